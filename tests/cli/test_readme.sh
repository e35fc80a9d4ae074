#!/bin/bash
# The commands of the README: every line of a shell block that starts with build/ runs and succeeds, every make target that the text
# names exists, every relative link leads to a file. Prints its result in cmocka's words, for run-tests.sh. PRISM_BUILD: BUILD of the Makefile.
set -u
cd "$(dirname "$0")/../.." || exit 1

BUILD=${PRISM_BUILD:-build}
passed=0 failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

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
while read -r command; do
    eval "$BUILD/${command#build/}" >"$log" 2>&1 </dev/null
    result $? "$command"
done <<<"$commands"

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
