#!/bin/bash
# prism-bench answers on a short document: every selector is counted, all blocks give dense's answers, a wrong list is refused.
# Prints its result in cmocka's words, for run-tests.sh. PRISM_BUILD: BUILD of the Makefile.
set -u
cd "$(dirname "$0")/../.." || exit 1

bench=${PRISM_BUILD:-build}/prism-bench model=models/gutenberg-tasks-52m-q8_0.gguf
passed=0 failed=0
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

check() { # NAME, by the status of the command before
    if [ "$1" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "[  FAILED  ] $2"
        cat "$dir/out" "$dir/err"
    fi
}

# The first questions of a document, as many tokens as they need.
head -c 4000 models/tasks/kv-8192-101.txt >"$dir/short.txt"
awk '$1 == "kv-8192-101.txt" && $4 < 900 { $1 = "short.txt"; $3 = 1024; print }' models/tasks/list.txt >"$dir/list.txt"
n=$(wc -l <"$dir/list.txt")
"$bench" answers -m $model -f "$dir" --attn prism-rows@0.000001,prism-rows@0.2,prism --prism-dense-tail 0 --csv -o "$dir/a.png" >"$dir/out" 2>"$dir/err"
check $? "runs"
[ "$(grep -c . "$dir/out")" -ge 5 ] && [ -s "$dir/a.png" ]
check $? "a line for each selector, and a chart"
awk -F, -v n="$n" '$2 == "dense" { dense = $5 } $2 == "prism-rows@0.000001" { all = $4 == 1 && $5 == dense } END { exit !(n > 5 && dense > n / 2 && all) }' \
    "$dir/out"
check $? "all blocks: the answers of dense attention"
echo "short.txt kv 1024 999999 1" >"$dir/list.txt"
! "$bench" answers -m $model -f "$dir" --attn prism >"$dir/out" 2>"$dir/err" && [ "$(wc -l <"$dir/err")" -eq 1 ]
check $? "a position beyond the document is refused in one line"

[ $failed -eq 0 ] || echo "[  FAILED  ] $failed test(s)"
echo "[  PASSED  ] $passed test(s)"
[ $failed -eq 0 ]
