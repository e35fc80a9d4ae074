#!/bin/bash
# "The library never prints, never exits and obeys no environment variable": what it would have to call for that is not among the symbols that
# libprismcpu.a needs. Prints its result in cmocka's words, for run-tests.sh. PRISM_BUILD: BUILD of the Makefile.
set -u
cd "$(dirname "$0")/../.." || exit 1

library=${PRISM_BUILD:-build}/libprismcpu.a
passed=0 failed=0

# none NAME PATTERN: no undefined symbol of the library is one of those.
none() {
    local found
    found=$(nm -u "$library" 2>/dev/null | awk '{ print $NF }' | sort -u | grep -xE "$2" | tr '\n' ' ')
    if [ -z "$found" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "[  FAILED  ] $1: $found"
    fi
}

# Lists of symbols at all, or the rest could not fail.
if [ "$(nm -u "$library" 2>/dev/null | grep -cE ' (malloc|memcpy|snprintf)$')" -gt 0 ]; then
    passed=$((passed + 1))
else
    failed=$((failed + 1))
    echo "[  FAILED  ] nm -u $library: expected its symbols"
fi
none "prints" '(__)?(v?f?printf|v?dprintf)(_chk)?|puts|fputs|fputc|putc|putchar|fwrite|write|writev|perror|psignal|error|v?warnx?|v?errx?|syslog|stdout|stderr'
none "exits" '_?exit|_Exit|quick_exit|abort|raise|kill|longjmp|__longjmp_chk|siglongjmp'
none "reads the environment" '(secure_|__secure_)?getenv|setenv|putenv|unsetenv|clearenv|environ|__environ'
none "changes the process" 'signal|sigaction|setlocale|chdir|srand|rand|strtok|setrlimit|umask'

[ $failed -eq 0 ] || echo "[  FAILED  ] $failed test(s)"
echo "[  PASSED  ] $passed test(s)"
[ $failed -eq 0 ]
