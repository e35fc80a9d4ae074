#!/bin/bash
# tools/compare.sh (make compare) with stand-ins for the programs that it runs: order of the runs, medians, ratios, both tables, failures. Needs
# neither node nor npm nor a network. Prints its result in cmocka's words, for run-tests.sh. PRISM_BUILD: BUILD of the Makefile.
set -u
cd "$(dirname "$0")/../.." || exit 1

BUILD=$(cd "${PRISM_BUILD:-build}" && pwd) || exit 1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0
unset MODELS CASES ATTN PRISM_FLAGS THREADS LEVEL REPS TEXT LLAMA_BENCH PEER PEER_FLAGS IK_LLAMA_BENCH IK_FLAGS

# check NAME COMMAND...: one test; what compare.sh said is shown when it fails.
check() {
    local name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "[  FAILED  ] $name"
        tail -n 30 "$dir/log" "$dir/table" "$dir/errors" "$dir/compare.csv"
    fi
}

# Stands in for prism-bench and both llama-bench: notes its call in `log` and answers with the next line of NAME.figures as tokens per second, the
# last one again and again. "fail" fails in two lines, "short" leaves a token out. ik_llama.cpp's has -gp in place of -d, and two repetitions.
cat >"$dir/prism-bench" <<'END'
#!/bin/bash
here=$(dirname "$0") name=$(basename "$0") d=0 level=avx2 json= samples=
while [ $# -gt 0 ]; do
    case $1 in -p) p=$2 ;; -n) n=$2 ;; -d) d=$2 ;; -t) t=$2 ;; -fa | -rtr) how=${how:-}$2 ;; -gp) p=${2%,*} n=${2#*,} gp=" gp" ;;
    -r) [ "$2" != 2 ] || samples="0.5, " ;; --attn) how=$2 ;; --cpu-level) level=$2 ;;
    -o) json=$2 ;; --no-warmup) cold=" cold"; set -- "" "$@" ;; --odd) cold=" odd"; set -- "" "$@" ;; esac
    shift 2
done
echo "$name $how $p+$n@$d t$t${gp:-}${cold:-}" >>"$here/log"
[ "$t" != 0 ] || t=3
figure=$(head -n 1 "$here/$name.figures")
[ "$(wc -l <"$here/$name.figures")" -eq 1 ] || sed -i 1d "$here/$name.figures"
case $figure in
fail) echo "loading" >&2; echo "no such tensor" >&2; exit 1 ;;
hang) echo $$ >"$here/pid"; exec sleep 600 ;;
short) p=$((p - 1)) figure=5 ;;
esac
if [ "$json" = jsonl ]; then
    echo "{\"build_commit\": \"pr\", \"cpu_info\": \"Chip, 2 GHz\", \"n_threads\": $t, \"n_prompt\": $p, \"n_gen\": $n, \"n_depth\": $d," \
        "\"avg_ts\": $figure, \"attn_density\": 0.2500, \"cpu_level\": \"$level\", \"samples_ts\": [$figure]}"
else
    printf '[\n  {\n    "build_commit": "abc",\n    "build_number": 7,\n    "n_batch": 2048,\n    "n_ubatch": 512,\n    "n_threads": %s,\n' "$t"
    [ "$name" = ik-bench ] || printf '    "n_depth": %s,\n' "$d"
    printf '    "n_prompt": %s,\n    "n_gen": %s,\n    "avg_ts": %s,\n    "samples_ts": [ %s ]\n  }\n]\n' "$p" "$n" \
        "$([ -z "$samples" ] && echo "$figure" || echo 0.7)" "$samples$figure"
fi
END
printf '#!/bin/sh\necho 11 12 13\n' >"$dir/prism-run"
chmod +x "$dir/prism-bench" "$dir/prism-run"
cp "$dir/prism-bench" "$dir/llama-bench"
cp "$dir/prism-bench" "$dir/ik-bench"

# figures NAME FIGURE...
figures() {
    local name=$1
    shift
    printf '%s\n' "$@" >"$dir/$name.figures"
}

# compare STATUS [VARIABLE=VALUE...]: runs it and looks at its exit status.
compare() {
    local expected=$1 status=0
    shift
    : >"$dir/log"
    env MODELS=dir/tiny.gguf LLAMA_BENCH="$dir/llama-bench" "$@" tools/compare.sh "$dir" >"$dir/table" 2>"$dir/errors" || status=$?
    [ $status -eq "$expected" ]
}

row() { grep -qxF -e "$1" "$dir/table"; }
csv_row() { grep -qxF -e "$1" "$dir/compare.csv"; }
logged() { grep -qxF -e "$1" "$dir/log"; }
told() { [ "$(grep -cF -e "$1" "$dir/errors")" -eq 1 ]; }

# A short run of each, then rounds: ours, theirs with flash attention and without. Of 200 and 100 the slower runs once, 10 and 11 both stay.
alternates() {
    figures prism-bench 1 400 90 300 80 500 100 20 30
    figures llama-bench 1 1 200 100 300 250 10 11 13 10 12 11
    compare 0 CASES="pp16:dense,prism tg4@d8" REPS=3 LEVEL=avx512 PRISM_FLAGS=--odd && diff - "$dir/log" <<'END'
prism-bench dense 64+0@0 t0 odd
llama-bench 1 64+0@0 t3
llama-bench 0 64+0@0 t3
prism-bench dense 16+0@0 t3 odd
prism-bench prism 16+0@0 t3 odd
llama-bench 1 16+0@0 t3
llama-bench 0 16+0@0 t3
prism-bench dense 16+0@0 t3 odd
prism-bench prism 16+0@0 t3 odd
llama-bench 1 16+0@0 t3
prism-bench dense 16+0@0 t3 odd
prism-bench prism 16+0@0 t3 odd
llama-bench 1 16+0@0 t3
prism-bench dense 0+4@8 t3 odd
llama-bench 1 0+4@8 t3
llama-bench 0 0+4@8 t3
prism-bench dense 0+4@8 t3 odd
llama-bench 1 0+4@8 t3
llama-bench 0 0+4@8 t3
prism-bench dense 0+4@8 t3 odd
llama-bench 1 0+4@8 t3
llama-bench 0 0+4@8 t3
END
}

# 400 300 500 over 200 300 250; 90 80 100 over the same; 20 30 30 over the better of 10 13 12 (on) and 11 10 11 (off).
tables() {
    row '| model | test | attention | prismcpu | llama.cpp | its flags | ratio |' && row '|---|---|---|---|---|---|---|' &&
        row '| tiny | pp16 | dense | 400 | 250 | -fa 1 | 1.60x |' && row '| tiny | pp16 | prism (0.2500) | 90.0 | 250 | -fa 1 | 0.36x |' &&
        row '| tiny | tg4@d8 | dense | 30.0 | 12.0 | -fa 1 | 2.50x |' && [ "$(grep -c '^|' "$dir/table")" -eq 5 ] &&
        [ "$(head -n 1 "$dir/table")" = 'Chip, 2 GHz, -t 3: tokens per second, medians of 3 alternating runs.' ] &&
        grep -qF 'prismcpu: level avx512, --odd. llama.cpp: llama-bench of build abc (7), batches of 2048 / 512; the fastest of its flags.' "$dir/table" &&
        csv_row 'model,test,attention,density,threads,level,prismcpu_ts,prismcpu_samples,llama_ts,llama_flags,llama_ratio,llama_samples' &&
        csv_row 'tiny,pp16,dense,0.2500,3,avx512,400,400 300 500,250,-fa 1,1.600,200 300 250' &&
        csv_row 'tiny,tg4@d8,dense,0.2500,3,avx512,30,20 30 30,12,-fa 1,2.500,10 13 12' && [ "$(wc -l <"$dir/compare.csv")" -eq 4 ]
}

# ik_llama.cpp as a second peer: in each round after the first one, with the settings that are not a tenth behind the best, the second of its
# two repetitions; steps after a prompt by -gp.
two_peers() {
    figures prism-bench 1 80 100
    figures llama-bench 1 1 50 10
    figures ik-bench 1 1 1 1 40 36.1 20 36 42 44
    compare 0 CASES="pp16 tg4@d8" REPS=2 IK_LLAMA_BENCH="$dir/ik-bench" IK_FLAGS=--odd || return 1
    head -n 18 "$dir/log" | diff - <(cat <<'END'
prism-bench dense 64+0@0 t0
llama-bench 1 64+0@0 t3
llama-bench 0 64+0@0 t3
ik-bench 11 64+0@0 t3 odd
ik-bench 10 64+0@0 t3 odd
ik-bench 01 64+0@0 t3 odd
ik-bench 00 64+0@0 t3 odd
prism-bench dense 16+0@0 t3
llama-bench 1 16+0@0 t3
llama-bench 0 16+0@0 t3
ik-bench 11 16+0@0 t3 odd
ik-bench 10 16+0@0 t3 odd
ik-bench 01 16+0@0 t3 odd
ik-bench 00 16+0@0 t3 odd
prism-bench dense 16+0@0 t3
llama-bench 1 16+0@0 t3
ik-bench 11 16+0@0 t3 odd
ik-bench 10 16+0@0 t3 odd
END
    ) && logged 'ik-bench 11 8+4@0 t3 gp odd' && row '|---|---|---|---|---|---|---|---|---|---|' &&
        row '| model | test | attention | prismcpu | llama.cpp | its flags | ratio | ik_llama.cpp | its flags | ratio |' &&
        row '| tiny | pp16 | dense | 90.0 | 30.0 | -fa 1 | 3.00x | 41.0 | -fa 1 -rtr 1 | 2.20x |' &&
        csv_row 'tiny,pp16,dense,0.2500,3,avx2,90,80 100,30,-fa 1,3.000,50 10,41,-fa 1 -rtr 1,2.195,40 42' &&
        grep -qF 'of its flags. ik_llama.cpp: llama-bench of build abc (7) with --odd, batches of 2048 / 512; the fastest of its flags.' "$dir/table"
}

# Its failures are not the other peer's, and it has no prompt behind tokens.
second_peer_fails() {
    figures prism-bench 100
    figures llama-bench 50
    figures ik-bench 1 1 1 1 fail
    compare 0 CASES="pp16 pp8@d8" REPS=2 IK_LLAMA_BENCH="$dir/ik-bench" &&
        row '| tiny | pp16 | dense | 100 | 50.0 | -fa 1 | 2.00x | - | - | - |' &&
        row '| tiny | pp8@d8 | dense | 100 | 50.0 | -fa 1 | 2.00x | - | - | - |' &&
        told 'compare: tiny pp16: ik_llama.cpp failed: no such tensor' &&
        told 'compare: tiny pp8@d8: ik_llama.cpp has no prompts behind other tokens' || return 1
    figures ik-bench fail
    compare 0 CASES=pp16 REPS=2 IK_LLAMA_BENCH="$dir/ik-bench" && row '| tiny | pp16 | dense | 100 | 50.0 | -fa 1 | 2.00x | - | - | - |' &&
        told 'compare: tiny warm-up: ik_llama.cpp failed: no such tensor' && grep -qF ' ik_llama.cpp: did not run;' "$dir/table" && [ "$(grep -c ik-bench "$dir/log")" -eq 4 ] || return 1
    figures ik-bench 1 1 1 1 short
    compare 0 CASES=tg4@d8 REPS=1 IK_LLAMA_BENCH="$dir/ik-bench" &&
        told 'ik_llama.cpp ran 7 + 4 tokens after 0 on 3 threads, not 8 + 4 tokens after 0 on 3 threads'
}

# Of an even number, the mean of the middle two; flash attention off may be the better one; a name for the peer; long prompts start cold.
even_and_cold() {
    figures prism-bench 1 10 20
    figures llama-bench 1 1 100 200 300
    compare 0 CASES=pp8192 REPS=2 THREADS=2 PEER=lama.cpp && row '| tiny | pp8192 | dense | 15.0 | 250 | -fa 0 | 0.06x |' &&
        row '| model | test | attention | prismcpu | lama.cpp | its flags | ratio |' &&
        [ "$(grep -c 't2 cold$' "$dir/log")" -eq 5 ] && [ "$(grep -vc cold "$dir/log")" -eq 3 ]
}

# A failure of the peer: one line and no figure, and not the other tests' trouble.
peer_fails() {
    figures prism-bench 100
    figures llama-bench 1 1 fail fail 50
    compare 0 CASES="pp16 pp32" REPS=2 && row '| tiny | pp16 | dense | 100 | - | - | - |' &&
        row '| tiny | pp32 | dense | 100 | 50.0 | -fa 1 | 2.00x |' && csv_row 'tiny,pp16,dense,0.2500,3,avx2,100,100 100,,,,' &&
        told 'compare: tiny pp16: llama.cpp failed: no such tensor' &&
        [ "$(grep -c 'llama-bench . 16' "$dir/log")" -eq 2 ]
}

one_setting_fails() {
    figures prism-bench 100
    figures llama-bench fail 40
    compare 0 CASES=pp16 REPS=2 && row '| tiny | pp16 | dense | 100 | 40.0 | -fa 0 | 2.50x |' &&
        told 'warm-up: llama.cpp failed: no such tensor' && ! grep -q 'llama-bench 1 16' "$dir/log"
}

fewer_tokens() {
    figures prism-bench 100
    figures llama-bench 1 1 short 40
    compare 0 CASES=pp16 REPS=2 && row '| tiny | pp16 | dense | 100 | 40.0 | -fa 0 | 2.50x |' &&
        told 'compare: tiny pp16: llama.cpp ran 15 + 0 tokens after 0 on 3 threads, not 16 + 0 tokens after 0 on 3 threads'
}

we_fail() {
    figures prism-bench 1 100 fail
    figures llama-bench 50
    compare 1 CASES=pp16 || return 1
    row '| tiny | pp16 | dense | - | 50.0 | -fa 1 | - |' && told 'compare: tiny pp16: prismcpu failed: no such tensor' || return 1
    figures prism-bench fail
    compare 1 CASES="pp16 pp32" && row '| tiny | pp32 | dense | - | - | - | - |' && told 'tiny warm-up: prismcpu failed: no such tensor' &&
        [ "$(wc -l <"$dir/log")" -eq 1 ]
}

wrong_words() {
    local word
    for word in pp x16 pp16@512 tg4@d pp-1 pp16d4; do
        compare 1 CASES="pp16 $word" || return 1
        told "found '$word'" || return 1
        [ ! -s "$dir/log" ] && [ ! -s "$dir/table" ] || return 1
    done
    compare 1 REPS=x && told "REPS: " && compare 1 THREADS=-1 && told "THREADS: " && compare 1 REPS=0 && told "REPS: " &&
        compare 1 LLAMA_BENCH=/nonexistent && told "LLAMA_BENCH: no program '/nonexistent'" &&
        compare 1 IK_LLAMA_BENCH=/nonexistent && told "compare: IK_LLAMA_BENCH: no program '/nonexistent'" && [ ! -s "$dir/log" ]
}

# SIGTERM, as bash makes its background processes deaf to SIGINT; the trap is the same.
interrupted() {
    local status=0 pid
    rm -f "$dir/pid"
    figures prism-bench 100
    figures llama-bench 1 1 hang
    CASES=pp16 MODELS=tiny.gguf LLAMA_BENCH=$dir/llama-bench tools/compare.sh "$dir" >"$dir/table" 2>"$dir/errors" &
    pid=$!
    while [ ! -s "$dir/pid" ] && kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
    kill "$pid"
    wait "$pid" || status=$?
    [ $status -eq 130 ] && told "compare: interrupted" && ! kill -0 "$(cat "$dir/pid")" 2>/dev/null && [ ! -e "$dir/compare.tmp" ]
}

# The npm package: asked for once, at its version, and run on the tokens that prism-run finds.
node_peer() {
    local old=$PATH
    mkdir -p "$dir/bin"
    printf '#!/bin/sh\nexit 1\n' >"$dir/bin/node"
    cat >"$dir/bin/npm" <<'END'
#!/bin/sh
echo "npm $*" >>"${3%/peer}/log"
mkdir -p "$3/node_modules/node-llama-cpp"
echo '  "version": "3.22.1",' >"$3/node_modules/node-llama-cpp/package.json"
END
    chmod +x "$dir/bin/node" "$dir/bin/npm"
    figures prism-bench 100
    PATH=$dir/bin:$old compare 1 LLAMA_BENCH= || return 1
    told 'compare: needs node 20 or later and npm' && [ ! -s "$dir/table" ] || return 1
    cat >"$dir/bin/node" <<'END'
#!/bin/sh
[ "$1" != -e ] || exit 0
echo "node $4+$5@$6 t$7 fa$8 warm$9 $(cat "$3")" >>"${1%/peer/compare.mjs}/log"
echo "{\"build_commit\":\"v\",\"backends\":\"haswell\",\"n_batch\":512,\"n_ubatch\":512,\"n_threads\":$7,\"n_prompt\":$4,\"n_gen\":$5," \
    "\"n_depth\":$6,\"avg_ts\":25}"
END
    PATH=$dir/bin:$old compare 0 LLAMA_BENCH= CASES=pp9000 REPS=1 && row '| tiny | pp9000 | dense | 100 | 25.0 | -fa 1 | 4.00x |' &&
        grep -qE '^npm install --prefix .*/peer .*--ignore-scripts .*node-llama-cpp@3.22.1 @node-llama-cpp/linux-[a-z0-9]*@3.22.1$' "$dir/log" &&
        logged 'node 64+0@0 t3 fa1 warm1 11 12 13' && logged 'node 9000+0@0 t3 fa0 warm0 11 12 13' &&
        grep -qF ': v in node-llama-cpp 3.22.1, CPU backend haswell, batches of 512 / 512;' "$dir/table" &&
        PATH=$dir/bin:$old compare 0 LLAMA_BENCH= CASES=tg4@d2 REPS=1 && logged 'node 0+4@2 t3 fa1 warm1 11 12 13' && ! grep -q npm "$dir/log"
}

# Our own JSON, from the program itself.
real_prism_bench() {
    figures llama-bench 1
    cp "$BUILD/prism-bench" "$dir/prism-bench"
    compare 0 CASES="pp24:prism tg2@d16:dense" REPS=1 THREADS=1 MODELS=models/gutenberg-llama-16m-q8_0.gguf PRISM_FLAGS="--prism-min-tokens 1" &&
        grep -qxE '\| gutenberg-llama-16m-q8_0 \| pp24 \| prism \(1.0000\) \| [1-9][0-9.]* \| 1.0 \| -fa 1 \| [0-9.]+x \|' "$dir/table" &&
        grep -qE '^gutenberg-llama-16m-q8_0,tg2@d16,dense,1.0000,1,[a-z]' "$dir/compare.csv"
}

check "ours and theirs take turns" alternates
check "medians, ratios, both tables" tables
check "even counts, cold long prompts, another name" even_and_cold
check "two peers" two_peers
check "a failing second peer" second_peer_fails
check "a failing peer" peer_fails
check "a failing setting of the peer" one_setting_fails
check "a peer that ran fewer tokens" fewer_tokens
check "our own failures" we_fail
check "wrong words" wrong_words
check "interrupted" interrupted
check "the npm package" node_peer
if [ -f models/gutenberg-llama-16m-q8_0.gguf ]; then
    check "the real prism-bench" real_prism_bench
else
    echo "skipped: models/gutenberg-llama-16m-q8_0.gguf not present"
fi

[ $failed -eq 0 ] || echo "[  FAILED  ] $failed test(s)"
echo "[  PASSED  ] $passed test(s)"
[ $failed -eq 0 ]
