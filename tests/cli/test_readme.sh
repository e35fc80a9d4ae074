#!/bin/bash
# The commands of the README: every line of a shell block that starts with build/ runs and succeeds, every make target that the text
# names exists, every relative link leads to a file, and tools/demo.sh finds the answer. Prints its result in cmocka's words, for run-tests.sh.
# PRISM_BUILD: BUILD of the Makefile.
set -u
cd "$(dirname "$0")/../.." || exit 1

BUILD=${PRISM_BUILD:-build}
passed=0 failed=0
dir=$(mktemp -d)
log=$dir/log
trap 'rm -rf "$dir"' EXIT

result() { # STATUS NAME
    if [ "$1" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "[  FAILED  ] $2"
        cat "$log"
    fi
}

commands=$(awk '/^```/ { shell = /^```sh/ } shell && /^build\// { sub(/ +#.*/, ""); print }' README.md)
[ "$(wc -l <<<"$commands")" -ge 5 ]
result $? "the README has commands to run"
# The same with fewer tokens and rounds; what no pattern fits runs as it is written.
shortened() {
    sed -E "s/-c 4096 --chunks 4/-c 256 --chunks 1/; s/--lengths 4096/--lengths 1024/; s/-p 512,2048 -n 16 -r 2/-p 16,32 -n 2 -r 1/
        s/-p 8192/-p 512/; s/secret-2.txt -n 16/secret-1.txt -n 2/; s/(-p \"It was.*)/\1 -n 4/; s/peak\$/peak --threads 1/
        s/kernels linear_layer\$/kernels 'linear_layer Q8_0 512x1024'/; s,/tmp/,$dir/," <<<"$1"
}
while read -r command; do
    eval "$BUILD/$(shortened "${command#build/}")" >"$log" 2>&1 </dev/null
    result $? "$command"
done <<<"$commands"

mkdir "$dir/build" && cp "$BUILD/prism-run" "$dir/build" # a session file of its own
for again in "" " again, from the session file"; do
    PROMPT=models/prompts/secret-1.txt tools/demo.sh "$dir/build" >"$log" 2>&1 &&
        grep -qxF 'What is the secret word of Lady Johnson?  result: right, it is in line 23 of 31' "$log" &&
        [ "$(grep -c ': right, it is in line' "$log")" -eq 3 ] && grep -q "^cache *reused $([ -z "$again" ] && echo 0 || echo 1088) of" "$log"
    result $? "the demo finds what was hidden$again"
done
printf 'Uncle Holder\tshining\nLady Johnson\tseized\nDoctor Barkis\tintimate\n' >"$dir/facts"
! FACTS=$dir/facts PROMPT=models/prompts/secret-1.txt tools/demo.sh "$dir/build" >"$log" 2>&1 &&
    grep -qxF 'What is the secret word of Lady Johnson?  result: wrong, it is in line 23 of 31' "$log"
result $? "the demo tells a wrong answer"

for target in $(grep -oE '`make [a-z][a-z0-9-]+' README.md | cut -d' ' -f2 | sort -u); do
    grep -qE "^$target:.*## " Makefile
    result $? "make $target is a documented target"
done

for link in $(grep -oE '\]\([a-zA-Z.][^):#]*\)' README.md | tr -d '()]'); do
    [ -e "$link" ]
    result $? "link $link"
done

echo "[  PASSED  ] $passed test(s)."
[ $failed -eq 0 ] || { echo "[  FAILED  ] $failed test(s)."; exit 1; }
