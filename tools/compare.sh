#!/bin/sh
# compare.sh BUILD - prismcpu beside llama.cpp on the same files, tokens and threads: BUILD/compare.csv and, on stdout, a Markdown table of
# median tokens per second and their ratio. Progress goes to stderr. About five minutes on two cores with the defaults.
#
#   MODELS       GGUF files
#   CASES        words ppN (prefill N tokens) or tgN (N steps of one token), @dN (after N tokens), :ATTN[,ATTN] (in place of $ATTN);
#                TESTS is taken: the Makefile calls its test programs so
#   ATTN         attention of prismcpu, "dense" or "dense prism"; PRISM_FLAGS: more flags of prism-bench, as "--prism-p 0.9"
#   THREADS      of both; LEVEL: --cpu-level of prismcpu alone
#   REPS         rounds; a round is one run of ours, then one of theirs
#   TEXT         what is read by prismcpu and the peer, unless that is a llama-bench, whose tokens are random
#   LLAMA_BENCH  a llama-bench, of llama.cpp or ik_llama.cpp, in place of the node-llama-cpp that is installed from npm into BUILD/peer
#   PEER         its name in the table; PEER_FLAGS: more flags for a llama-bench, as "-ub 1024"
#
# node-llama-cpp picks the variant of its CPU backend by itself. Against LEVEL=avx2 take a llama-bench that was built from
#   cmake -DGGML_NATIVE=OFF -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON -DGGML_AVX512=OFF -DLLAMA_CURL=OFF
# and for the best of a machine from -DGGML_NATIVE=ON. Every process warms itself up with an untimed run, but not for NO_WARMUP tokens or more:
# that takes too long. The peer runs with flash attention and without; after a first round only the faster stays, if it is by a tenth.
set -eu
export LC_ALL=C

NODE_LLAMA_CPP=3.22.1
NO_WARMUP=8192

build=$1
cases=${CASES:-pp512 pp4096 tg64@d512 pp16384:prism}
reps=${REPS:-3}
threads=${THREADS:-0} # 0: prismcpu decides, then the peer gets as many
text=${TEXT:-models/persuasion.txt}
peer=${PEER:-llama.cpp}
bench=${LLAMA_BENCH:-}
csv=$build/compare.csv
scratch=$build/compare.tmp
status=0 child=

say() { echo "compare: $*" >&2; }
die() { say "$@"; exit 1; }

# ---- one run ----

# Value of a member of the JSON of the last run: the same names everywhere. The last line's, should there be several.
field() {
    sed -n -e "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" -e t -e "s/.*\"$1\": *\([^],} ]*\).*/\1/p" "$scratch/stdout" | tail -n 1
}

# measure WHO COMMAND...: sets ts to the tokens per second of n_prompt, n_gen, n_depth. A run that fails or does something else costs one line.
measure() {
    who=$1 ended=0
    shift
    # In the background, for the trap below to end it.
    "$@" >"$scratch/stdout" 2>"$scratch/stderr" </dev/null &
    child=$!
    wait "$child" || ended=$?
    child=
    ts=$(field avg_ts)
    if [ "$ended" -ne 0 ] || [ -z "$ts" ]; then
        reason=$(grep . "$scratch/stderr" | tail -n 1)
        say "$name $test: $who failed: ${reason:-exit status $ended, nothing measured}"
        return 1
    fi
    depth=$(field n_depth) used=$(field n_threads)
    ran="$(field n_prompt) + $(field n_gen) tokens after ${depth:-0} on $used threads"
    expected="$n_prompt + $n_gen tokens after $n_depth on $([ "$threads" -gt 0 ] && echo "$threads" || echo "$used") threads"
    [ "$ran" = "$expected" ] || { say "$name $test: $who ran $ran, not $expected" && return 1; }
}

# ours ATTENTION
ours() {
    density=$scratch/density-$1
    set -- -m "$model" -p "$n_prompt" -n "$n_gen" -d "$n_depth" -t "$threads" -r 1 -o jsonl -f "$text" --attn "$1"
    [ -z "${LEVEL:-}" ] || set -- "$@" --cpu-level "$LEVEL"
    [ "$n_prompt" -lt $NO_WARMUP ] || set -- "$@" --no-warmup
    # shellcheck disable=SC2086
    measure prismcpu "$build/prism-bench" "$@" ${PRISM_FLAGS:-} && field attn_density >"$density"
}

# theirs FLASH_ATTENTION
theirs() {
    if [ -z "$bench" ]; then
        measure "$peer" node "$build/peer/compare.mjs" "$model" "$scratch/ids" "$n_prompt" "$n_gen" "$n_depth" "$threads" "$1" \
            $((n_prompt < NO_WARMUP))
        return
    fi
    set -- -m "$model" -p "$n_prompt" -n "$n_gen" -t "$threads" -r 1 -o json -fa "$1"
    [ "$n_depth" -eq 0 ] || set -- "$@" -d "$n_depth" # ik_llama.cpp has no depth
    [ "$n_prompt" -lt $NO_WARMUP ] || set -- "$@" $no_warmup
    # shellcheck disable=SC2086
    measure "$peer" "$bench" "$@" ${PEER_FLAGS:-}
}

# ---- the peer ----

install_node_peer() {
    if ! node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' 2>/dev/null || ! command -v npm >/dev/null; then
        die "needs node 20 or later and npm to install node-llama-cpp $NODE_LLAMA_CPP, or LLAMA_BENCH=/path/to/llama-bench"
    fi
    case $(uname -m) in
    x86_64) binary=linux-x64 ;;
    aarch64) binary=linux-arm64 ;;
    *) die "node-llama-cpp has no binary for $(uname -m): needs LLAMA_BENCH=/path/to/llama-bench" ;;
    esac
    mkdir -p "$build/peer"
    if ! grep -qs "\"version\": \"$NODE_LLAMA_CPP\"" "$build/peer/node_modules/node-llama-cpp/package.json"; then
        say "installing node-llama-cpp $NODE_LLAMA_CPP into $build/peer"
        # Neither the binaries for GPUs, half a gigabyte, nor scripts.
        npm install --prefix "$build/peer" --omit=optional --ignore-scripts --no-audit --no-fund --loglevel=error \
            "node-llama-cpp@$NODE_LLAMA_CPP" "@node-llama-cpp/$binary@$NODE_LLAMA_CPP" >&2 || die "npm could not install node-llama-cpp"
    fi
    cp "$(dirname "$0")/compare.mjs" "$build/peer/"
}

# What a run of the peer says about itself.
describe_peer() {
    if [ -n "$bench" ]; then
        peer_build="llama-bench of build $(field build_commit) ($(field build_number))${PEER_FLAGS:+ with $PEER_FLAGS}"
    else
        peer_build="$(field build_commit) in node-llama-cpp $NODE_LLAMA_CPP, CPU backend $(field backends)"
    fi
    peer_build="$peer_build, batches of $(field n_batch) / $(field n_ubatch)"
}

# ---- one test ----

# Splits a word of CASES.
parse() {
    test=${1%%:*} n_prompt=0 n_gen=0 n_depth=0
    attentions=$(case $1 in *:*) echo "${1#*:}" | tr , ' ' ;; *) echo "${ATTN:-dense}" ;; esac)
    echo "$test" | grep -qxE '(pp|tg)[1-9][0-9]*(@d[0-9]+)?' || die "CASES: expected words like pp4096, tg64@d512 or pp16384:prism, found '$1'"
    count=${test%@*} count=${count#??}
    case $test in *@d*) n_depth=${test#*@d} ;; esac
    case $test in pp*) n_prompt=$count ;; *) n_gen=$count ;; esac
}

# sample KEY COMMAND...: appends one measurement to the file KEY. What failed leaves none and does not run again.
sample() {
    key=$1
    shift
    [ ! -e "$scratch/$key.over" ] || return 0
    if "$@"; then
        echo "$ts" >>"$scratch/$key"
        say "$name $test, round $n of $reps: $key $ts t/s"
    else
        rm -f "$scratch/$key"
        : >"$scratch/$key.over"
    fi
}

# Of the peer's two settings, the slower goes when it is so by a tenth.
drop_slower() {
    [ -e "$scratch/peer-fa1" ] && [ -e "$scratch/peer-fa0" ] || return 0
    loser=$(paste "$scratch/peer-fa0" "$scratch/peer-fa1" | awk '{ print $1 < 0.9 * $2 ? 0 : $2 < 0.9 * $1 ? 1 : "none" }')
    rm -f "$scratch/peer-fa$loser"
    : >"$scratch/peer-fa$loser.over"
}

# Of the samples of KEY; nothing when there are none.
median() {
    [ ! -e "$scratch/$1" ] || sort -n "$scratch/$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}
samples() { [ ! -e "$scratch/$1" ] || paste -sd' ' "$scratch/$1"; }

# report ATTENTION: a row of both tables.
report() {
    our_ts=$(median "prismcpu-$1")
    [ -n "$our_ts" ] || status=1
    awk -v OFS=, -v csv="$csv" -v model="$name" -v test="$test" -v attention="$1" -v density="$(cat "$scratch/density-$1" 2>/dev/null)" \
        -v threads="$threads" -v level="$level" -v ours="$our_ts" -v theirs="$peer_ts" -v fa="$peer_fa" \
        -v our_samples="$(samples "prismcpu-$1")" -v their_samples="$(samples "peer-fa$peer_fa")" '
        function shown(x) { return x == "" ? "-" : sprintf(x < 100 ? "%.1f" : "%.0f", x) }
        BEGIN {
            ratio = ours == "" || theirs == "" ? "" : sprintf("%.3f", ours / theirs)
            print model, test, attention, density, threads, level, ours, theirs, fa, ratio, our_samples, their_samples >>csv
            if (attention != "dense" && density != "")
                attention = attention " (" density ")"
            print "| " model " | " test " | " attention " | " shown(ours) " | " shown(theirs) " | " (fa == "" ? "-" : fa ? "on" : "off") \
                " | " (ratio == "" ? "-" : sprintf("%.2fx", ratio)) " |"
        }'
}

run_test() {
    rm -f "$scratch"/prismcpu-* "$scratch"/peer-* "$scratch"/density-*
    n=1
    while [ -n "$level" ] && [ "$n" -le "$reps" ]; do
        for attention in $attentions; do sample "prismcpu-$attention" ours "$attention"; done
        for fa in $peer_settings; do sample "peer-fa$fa" theirs "$fa"; done
        [ "$n" -gt 1 ] || drop_slower
        n=$((n + 1))
    done
    peer_ts='' peer_fa=''
    for fa in $peer_settings; do
        m=$(median "peer-fa$fa")
        [ -z "$m" ] || ! awk "BEGIN { exit !($m > ${peer_ts:-0}) }" || peer_ts=$m peer_fa=$fa
    done
    for attention in $attentions; do report "$attention"; done
}

# ---- the whole ----

# A short run of each brings the file into memory, settles the number of threads and shows which of the peer's settings work. The level stays
# empty when prismcpu cannot run the model; then nothing runs.
warm_up() {
    name=$(basename "$model" .gguf) test=warm-up n_prompt=64 n_gen=0 n_depth=0 peer_settings='' level=''
    ours dense || return 0
    threads=$(field n_threads) level=$(field cpu_level) machine="$(field cpu_info), -t $threads"
    [ -n "$bench" ] || "$build/prism-run" --tokenize -m "$model" -f "$text" >"$scratch/ids"
    for fa in 1 0; do
        ! theirs $fa || { peer_settings="$peer_settings $fa" && describe_peer; }
    done
}

trap 'rm -rf "$scratch"' EXIT
trap 'trap - INT TERM; [ -z "$child" ] || { kill "$child"; wait "$child"; } 2>/dev/null || :; say interrupted; exit 130' INT TERM

case $reps in '' | 0 | *[!0-9]*) die "REPS: expected a number of rounds, found '$reps'" ;; esac
case $threads in '' | *[!0-9]*) die "THREADS: expected a number of threads, found '$threads'" ;; esac
for word in $cases; do parse "$word"; done
mkdir -p "$scratch"
no_warmup=
if [ -z "$bench" ]; then
    install_node_peer
elif ! command -v "$bench" >/dev/null; then
    die "LLAMA_BENCH: no program '$bench'"
elif "$bench" --help 2>&1 | grep -q -e --no-warmup; then # ik_llama.cpp has it not
    no_warmup=--no-warmup
fi
machine='unknown processor' peer_build='did not run'
echo "model,test,attention,density,threads,level,prismcpu_ts,peer_ts,peer_fa,ratio,prismcpu_samples,peer_samples" >"$csv"
printf '| model | test | attention | prismcpu, t/s | %s, t/s | its fa | ratio |\n|---|---|---|---|---|---|---|\n' "$peer"
for model in ${MODELS:-models/gutenberg-38m-q8_0.gguf}; do
    warm_up
    for word in $cases; do
        parse "$word"
        run_test
    done
done
printf '\n%s\n' "$machine, medians of $reps alternating runs. prismcpu: level ${level:-unknown}${PRISM_FLAGS:+, $PRISM_FLAGS}. \
$peer: $peer_build; the faster of flash attention on and off."
say "wrote $csv"
exit $status
