#!/bin/sh
# compare.sh BUILD - prismcpu beside llama.cpp, and ik_llama.cpp where there is one, on the same files, tokens and threads: BUILD/compare.csv and,
# on stdout, a Markdown table of median tokens per second and their ratios. Progress goes to stderr. About five minutes on two cores with the
# defaults.
#
#   MODELS       GGUF files
#   CASES        words ppN (prefill N tokens) or tgN (N steps of one token), @dN (after N tokens), :ATTN[,ATTN] (in place of $ATTN);
#                TESTS is taken: the Makefile calls its test programs so
#   ATTN         attention of prismcpu, "dense" or "dense prism"; PRISM_FLAGS: more flags of prism-bench, as "--prism-p 0.9"
#   THREADS      of all; LEVEL: --cpu-level of prismcpu alone
#   REPS         rounds; a round is one run of ours, then one of each of theirs
#   TEXT         what is read by prismcpu and the peer, unless that is a llama-bench, whose tokens are random
#   LLAMA_BENCH  llama.cpp's llama-bench, in place of the node-llama-cpp that is installed from npm into BUILD/peer
#   PEER         its name in the table; PEER_FLAGS: more flags for it, as "-ub 1024"
#   IK_LLAMA_BENCH  ik_llama.cpp's llama-bench: a second peer; IK_FLAGS: more flags for it, as "-fmoe 1"
#
# node-llama-cpp picks the variant of its CPU backend by itself. Against LEVEL=avx2 take a llama-bench that was built from
#   cmake -DGGML_NATIVE=OFF -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON -DGGML_AVX512=OFF -DLLAMA_CURL=OFF
# and for the best of a machine from -DGGML_NATIVE=ON. Every process warms itself up with an untimed run, but not for NO_WARMUP tokens or more:
# that takes too long. Peers run with flash attention and without, ik_llama.cpp also with weights repacked as they are loaded (-rtr) and not; after
# a first round only the fastest setting stays, and those less than a tenth behind it. ik_llama.cpp has no prompts behind other tokens.
set -eu
export LC_ALL=C

NODE_LLAMA_CPP=3.22.1
NO_WARMUP=8192

build=$1
cases=${CASES:-pp512 pp4096 tg64@d512 pp16384:prism}
reps=${REPS:-3}
threads=${THREADS:-0} # 0: prismcpu decides, then the peer gets as many
text=${TEXT:-models/persuasion.txt}
bench=${LLAMA_BENCH:-}
ik_bench=${IK_LLAMA_BENCH:-}
peers="llama${ik_bench:+ ik}"
csv=$build/compare.csv
scratch=$build/compare.tmp
status=0 child='' told=''

say() { echo "compare: $*" >&2; }
die() { say "$@"; exit 1; }
tell() { [ "$*" = "$told" ] || say "$@"; told=$*; } # what went wrong with one setting after the other is said once

# ---- one run ----

# Value of a member of the JSON of the last run: the same names everywhere. The last line's, should there be several.
field() {
    sed -n -e "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" -e t -e "s/.*\"$1\": *\([^],} ]*\).*/\1/p" "$scratch/stdout" | tail -n 1
}

# ran WHO: whether the last run did what it should.
ran() {
    depth=$(field n_depth) used=$(field n_threads)
    found="$(field n_prompt) + $(field n_gen) tokens after ${depth:-0} on $used threads"
    expected="$n_prompt + $n_gen tokens after $n_depth on $([ "$threads" -gt 0 ] && echo "$threads" || echo "$used") threads"
    # ik_llama.cpp tells what went before the steps as a prompt
    [ -z "$ik_depth" ] || expected="$n_depth + $n_gen tokens after 0 on ${expected##* on }"
    [ "$found" = "$expected" ] || { tell "$name $test: $1 ran $found, not $expected" && return 1; }
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
        tell "$name $test: $who failed: ${reason:-exit status $ended, nothing measured}"
        return 1
    fi
    ran "$who"
}

# ours ATTENTION
ours() {
    density=$scratch/density-$1 ik_depth=
    set -- -m "$model" -p "$n_prompt" -n "$n_gen" -d "$n_depth" -t "$threads" -r 1 -o jsonl -f "$text" --attn "$1"
    [ -z "${LEVEL:-}" ] || set -- "$@" --cpu-level "$LEVEL"
    [ "$n_prompt" -lt $NO_WARMUP ] || set -- "$@" --no-warmup
    # shellcheck disable=SC2086
    measure prismcpu "$build/prism-bench" "$@" ${PRISM_FLAGS:-} && field attn_density >"$density"
}

# Settings of a peer are words: "fa=1+rtr=1" for the flags -fa 1 -rtr 1.
flags_of() { [ -z "$1" ] || echo "-$1" | sed 's/+/ -/g; s/=/ /g'; }

# theirs PEER SETTING
theirs() {
    ik_depth=
    if [ "$1" = ik ]; then
        run_ik "$2"
    elif [ -n "$bench" ]; then
        run_bench "$2"
    else
        measure "$(peer_name llama)" node "$build/peer/compare.mjs" "$model" "$scratch/ids" "$n_prompt" "$n_gen" "$n_depth" "$threads" \
            "${2#fa=}" $((n_prompt < NO_WARMUP))
    fi
}

# run_bench SETTING: llama.cpp's
run_bench() {
    # shellcheck disable=SC2046
    set -- -m "$model" -p "$n_prompt" -n "$n_gen" -d "$n_depth" -t "$threads" -r 1 -o json $(flags_of "$1")
    [ "$n_prompt" -lt $NO_WARMUP ] || set -- "$@" --no-warmup
    # shellcheck disable=SC2086
    measure "$(peer_name llama)" "$bench" "$@" ${PEER_FLAGS:-}
}

# run_ik SETTING. Its own warm-up is one token: of two repetitions the second counts.
run_ik() {
    reps_ik=$((n_prompt < NO_WARMUP ? 2 : 1))
    # shellcheck disable=SC2046
    set -- -m "$model" -t "$threads" -o json -w 0 -r $reps_ik $(flags_of "$1")
    if [ "$n_depth" -eq 0 ]; then
        set -- "$@" -p "$n_prompt" -n "$n_gen"
    elif [ "$n_gen" -gt 0 ]; then
        ik_depth=1
        set -- "$@" -p 0 -n 0 -gp "$n_depth,$n_gen"
    else
        tell "$name $test: $(peer_name ik) has no prompts behind other tokens"
        return 1
    fi
    # shellcheck disable=SC2086
    measure "$(peer_name ik)" "$ik_bench" "$@" ${IK_FLAGS:-} || return 1
    ts=$(sed -n 's/.*"samples_ts": *\[\(.*\)\].*/\1/p' "$scratch/stdout" | tail -n 1 | awk -F, '{ print $NF + 0 }')
}

# ---- the peers ----

peer_name() { if [ "$1" = ik ]; then echo ik_llama.cpp; else echo "${PEER:-llama.cpp}"; fi; }
settings() { cat "$scratch/settings-$1"; } # that work
settings_to_try() { if [ "$1" = ik ]; then echo fa=1+rtr=1 fa=1+rtr=0 fa=0+rtr=1 fa=0+rtr=0; else echo fa=1 fa=0; fi; }

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

# describe PEER: what its last run says about it.
describe() {
    if [ "$1" = llama ] && [ -z "$bench" ]; then
        echo "$(field build_commit) in node-llama-cpp $NODE_LLAMA_CPP, CPU backend $(field backends), batches of $(field n_batch) / $(field n_ubatch)"
    else
        [ "$1" = ik ] && more=${IK_FLAGS:-} || more=${PEER_FLAGS:-}
        echo "llama-bench of build $(field build_commit) ($(field build_number))${more:+ with $more}, batches of $(field n_batch) / $(field n_ubatch)"
    fi
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

# drop_slower PEER: of its settings, those that are slower than the fastest by a tenth.
drop_slower() {
    for setting in $(settings "$1"); do
        [ ! -e "$scratch/$1-$setting" ] || echo "$(cat "$scratch/$1-$setting") $setting"
    done | awk '{ ts[$2] = $1; if ($1 > best) best = $1 } END { for (s in ts) if (ts[s] < 0.9 * best) print s }' | while read -r setting; do
        rm -f "$scratch/$1-$setting"
        : >"$scratch/$1-$setting.over"
    done
}

# Of the samples of KEY; nothing when there are none.
median() {
    [ ! -e "$scratch/$1" ] || sort -n "$scratch/$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}
samples() { [ ! -e "$scratch/$1" ] || paste -sd' ' "$scratch/$1"; }

# fastest PEER: its best setting; nothing when none ran.
fastest() {
    for setting in $(settings "$1"); do
        [ ! -e "$scratch/$1-$setting" ] || echo "$(median "$1-$setting") $setting"
    done | awk '$1 > best { best = $1; which = $2 } END { print which }'
}

shown() { [ -n "$1" ] && awk "BEGIN { printf($1 < 100 ? \"%.1f\" : \"%.0f\", $1) }" || printf %s -; }
quotient() { [ -z "$1" ] || [ -z "$2" ] || awk "BEGIN { printf(\"$3\", $1 / $2) }"; }

# report ATTENTION: a row of both tables.
report() {
    our_ts=$(median "prismcpu-$1") density=$(cat "$scratch/density-$1" 2>/dev/null || :) attention=$1
    [ -n "$our_ts" ] || status=1
    line="$name,$test,$1,$density,$threads,$level,$our_ts,$(samples "prismcpu-$1")"
    [ "$1" = dense ] || [ -z "$density" ] || attention="$1 ($density)"
    row="| $name | $test | $attention | $(shown "$our_ts") |"
    for peer in $peers; do
        setting=$(fastest "$peer")
        peer_ts=$(median "$peer-$setting") flags=$(flags_of "$setting") ratio=$(quotient "$our_ts" "$peer_ts" %.2fx)
        line="$line,$peer_ts,$flags,$(quotient "$our_ts" "$peer_ts" %.3f),$(samples "$peer-$setting")"
        row="$row $(shown "$peer_ts") | ${flags:--} | ${ratio:--} |"
    done
    echo "$line" >>"$csv"
    echo "$row"
}

run_test() {
    for each in prismcpu $peers density; do rm -f "$scratch/$each"-*; done
    n=1
    while [ -n "$level" ] && [ "$n" -le "$reps" ]; do
        for attention in $attentions; do sample "prismcpu-$attention" ours "$attention"; done
        for peer in $peers; do
            for setting in $(settings "$peer"); do sample "$peer-$setting" theirs "$peer" "$setting"; done
            [ "$n" -gt 1 ] || drop_slower "$peer"
        done
        n=$((n + 1))
    done
    for attention in $attentions; do report "$attention"; done
}

# ---- the whole ----

# A short run of each brings the file into memory, settles the number of threads and shows which of the peers' settings work. The level stays
# empty when prismcpu cannot run the model; then nothing runs.
warm_up() {
    name=$(basename "$model" .gguf) test=warm-up n_prompt=64 n_gen=0 n_depth=0 level=''
    for peer in $peers; do : >"$scratch/settings-$peer"; done
    ours dense || return 0
    threads=$(field n_threads) level=$(field cpu_level) machine="$(field cpu_info), -t $threads"
    [ -n "$bench" ] || "$build/prism-run" --tokenize -m "$model" -f "$text" >"$scratch/ids"
    for peer in $peers; do
        for setting in $(settings_to_try "$peer"); do
            ! theirs "$peer" "$setting" || { echo "$setting" >>"$scratch/settings-$peer" && describe "$peer" >"$scratch/build-$peer"; }
        done
    done
}

# Once, when the first model has told what the machine is.
heading() {
    [ -z "$headed" ] || return 0
    headed=1
    printf '%s: tokens per second, medians of %s alternating runs.\n\n| model | test | attention | prismcpu |' "$machine" "$reps"
    for peer in $peers; do printf ' %s | its flags | ratio |' "$(peer_name "$peer")"; done
    printf '\n|---|---|---|---|'
    for peer in $peers; do printf -- '---|---|---|'; done
    echo
}

trap 'rm -rf "$scratch"' EXIT
trap 'trap - INT TERM; [ -z "$child" ] || { kill "$child"; wait "$child"; } 2>/dev/null || :; say interrupted; exit 130' INT TERM

case $reps in '' | 0 | *[!0-9]*) die "REPS: expected a number of rounds, found '$reps'" ;; esac
case $threads in '' | *[!0-9]*) die "THREADS: expected a number of threads, found '$threads'" ;; esac
for word in $cases; do parse "$word"; done
mkdir -p "$scratch"
if [ -z "$bench" ]; then
    install_node_peer
elif ! command -v "$bench" >/dev/null; then
    die "LLAMA_BENCH: no program '$bench'"
fi
[ -z "$ik_bench" ] || command -v "$ik_bench" >/dev/null || die "IK_LLAMA_BENCH: no program '$ik_bench'"
machine='unknown processor' headed=
{
    printf %s model,test,attention,density,threads,level,prismcpu_ts,prismcpu_samples
    for peer in $peers; do printf ',%s_ts,%s_flags,%s_ratio,%s_samples' "$peer" "$peer" "$peer" "$peer"; done
    echo
} >"$csv"
for model in ${MODELS:-models/gutenberg-38m-q8_0.gguf}; do
    warm_up
    heading
    for word in $cases; do
        parse "$word"
        run_test
    done
done
printf '\nprismcpu: level %s.' "${level:-unknown}${PRISM_FLAGS:+, $PRISM_FLAGS}"
for peer in $peers; do
    printf ' %s: %s; the fastest of its flags.' "$(peer_name "$peer")" "$(cat "$scratch/build-$peer" 2>/dev/null || echo 'did not run')"
done
echo
say "wrote $csv"
exit $status
