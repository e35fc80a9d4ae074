#!/bin/bash
# run-tests.sh PROGRAM... - runs test programs one after the other from the root of the repository. A program that passes gets
# one line (tests, seconds, what it skipped), one that fails its whole output. The last line sums up cmocka's own counts;
# exit status 1 if anything failed. A program that prints no count, or exits badly without a failed test, is one failure.
# TEST_TIMEOUT: seconds of processor time that a thread of a program may take (300; tests/limit.sh), so that a busy machine does not turn a
# test red. TEST_RUNNER: a command that runs the program, as an emulator does.
set -u
cd "$(dirname "$0")/.." || exit 1

[ $# -gt 0 ] || { echo "run-tests.sh: no test programs" >&2; exit 1; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT TERM
passed=0 failed=0 skipped=0

# Sums N over cmocka's lines "[  PASSED  ] N test(s)". They may stand in the middle of a line of the program's output.
count() { grep -aoE "\[ +$1 +\] [0-9]+ test" "$log" | awk '{ n += $(NF - 1) } END { print n + 0 }'; }

for program; do
    name=${program##*/tests/}
    start=$EPOCHREALTIME
    # shellcheck disable=SC2086
    tests/limit.sh "${TEST_TIMEOUT:-300}" ${TEST_RUNNER:-} "$program" >"$log" 2>&1 </dev/null
    status=$?
    seconds=$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
    p=$(count PASSED) f=$(count FAILED) s=$(count SKIPPED)
    if [ $((p + f + s)) -eq 0 ] || { [ $status -ne 0 ] && [ "$f" -eq 0 ]; }; then
        f=$((f + 1))
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    if [ "$f" -gt 0 ]; then
        cat "$log"
        printf '%-36s FAILED (%d of %d), exit status %d, %s s\n' "$name" "$f" $((p + f + s)) $status "$seconds"
    else
        printf '%-36s %3d ok %7s s\n' "$name" "$p" "$seconds"
        grep -aoE 'skipped: .*' "$log" | sort | uniq -c | awk '{ n = $1; sub(/^ *[0-9]+ /, ""); print "    " $0 (n > 1 ? " (" n " times)" : "") }'
    fi
done

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
