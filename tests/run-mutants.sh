#!/bin/bash
# run-mutants.sh - plants each mistake of tests/mutants/*.tsv into a copy of the tree, one at a time, and runs the test that must see it.
#
# A line of a table: file, search text that stands once in it, replacement, test program (arch/test_linear), and the level that the host
# needs (that of the file when it lies in arch/LEVEL/); TABs between them, # starts a comment. A mutant passes when its test goes red: a
# failed test, a crash, or a hang (limit.sh). It fails when the test stays green, when it does not compile, and when its search text does not
# stand exactly once in the file. Before that every program named runs unchanged and must be green.
#
# The copies lie below $BUILD/mutants, one for each of JOBS (number of processors); the tree itself is only read. T=text limits to mutants
# with that text in table, file or program, SHARE=K/N to every N-th, beginning with the K-th. MUTANT_SECONDS: see limit.sh (120).
set -u
cd "$(dirname "$0")/.." || exit 1
export BUILD=${BUILD:-build} MAKE=${MAKE:-make}
root=$PWD work=$(realpath -m "$BUILD")/mutants
# the caller's variables, CC above all, but neither its jobs nor its directories
MAKEFLAGS=$(sed -E 's/(^| )-?-j[0-9]*//g; s/--jobserver-[a-z]+=[^ ]*//g; s/(^| )(BUILD|T)=[^ ]*//g' <<<"${MAKEFLAGS:-}")
export MAKEFLAGS
export OMP_WAIT_POLICY=passive # the copies share the processors

since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }'; }

note() { # verdict, seconds, text
    printf '%-8s %6.1f s  %s\n' "$1" "$2" "$3"
    echo "$1" >>"$work/verdicts"
}

occurrences() { # file, text
    TEXT=$2 awk 'BEGIN { t = ENVIRON["TEXT"] } { for (s = $0; i = index(s, t); s = substr(s, i + length(t))) n++ } END { print n + 0 }' "$1"
}

# ---- in a copy: the working directory of these ----

# Runs a program up to its first failure. Prints what went red; nothing when it is green.
red() { # program
    local status failed='\[  FAILED  \] [a-zA-Z_0-9]*[a-zA-Z_][a-zA-Z_0-9]*'
    PRISM_BUILD=build IDLE_SECONDS=60 tests/limit.sh "${MUTANT_SECONDS:-120}" "build/tests/$1" </dev/null 2>&1 |
        awk '{ print >"test.log" } /\[  FAILED  \] [a-zA-Z_]/ { exit }'
    status=${PIPESTATUS[0]}
    if grep -qaE "$failed" test.log; then
        grep -aoE "$failed" test.log | head -n 1 | sed 's/.*\] //'
    elif [ "$status" -eq 124 ]; then
        echo "stopped"
    elif [ "$status" -ne 0 ]; then
        echo "exit status $status"
    elif ! grep -qaE '\[  PASSED  \] [1-9]' test.log; then
        echo "no test ran"
    fi
}

unchanged() { # program
    local start=$EPOCHREALTIME what
    what=$(red "$1")
    if [ -z "$what" ]; then
        note green "$(since "$start")" "$1"
    else
        note RED "$(since "$start")" "$1 without a mutant: $what"
        tail -n 20 test.log
    fi
}

# As it was, times included, so that make finds nothing to do.
restore() { # file
    local file
    cp -p "../origin/$1" "$1"
    find build -type f -newer stamp | while read -r file; do
        if [ -e "../origin/$file" ]; then cp -p "../origin/$file" "$file"; else rm -f "$file"; fi
    done
}

mutant() { # where, file, search, replacement, program
    local start=$EPOCHREALTIME label="$2: ${3:0:60} -> ${4:0:60}" what goals="build/tests/$5"
    ! grep -qE '"tests/support/(child|made_model|screen|tool_check)\.h"' "tests/$5.c" || goals+=" build" # the tools as well
    touch stamp
    SEARCH=$3 REPLACE=$4 awk 'BEGIN { s = ENVIRON["SEARCH"] }
        i = index($0, s) { $0 = substr($0, 1, i - 1) ENVIRON["REPLACE"] substr($0, i + length(s)) } { print }' "../origin/$2" >"$2"
    # shellcheck disable=SC2086
    if ! $MAKE --no-print-directory BUILD=build $goals >make.log 2>&1; then
        note BROKEN "$(since "$start")" "$1 does not compile: $label"
        grep -m 3 'error' make.log
    else
        what=$(red "$5")
        if [ -n "$what" ]; then
            note caught "$(since "$start")" "$label ($5: $what)"
        else
            note SURVIVED "$(since "$start")" "$1 $label ($5 is green)"
        fi
    fi
    restore "$2"
}

# fields SET LINE: the TAB-separated fields of a line, also empty ones.
fields() { mapfile -d $'\t' -t "$1" < <(printf '%s' "$2"); }

if [ "${1:-}" = --item ]; then # line number of $work/items: kind and arguments
    cd "$work/$SLOT" || exit 1
    fields item "$(sed -n "$2p" "$work/items")"
    "${item[@]}"
    exit 0
fi

# ---- the tables ----

# Whether this host runs a level, as prism-run prints them.
has_level() { "$BUILD/prism-run" --kernels 2>/dev/null | sed -n 's/^levels *//p' | tr -d '*' | tr ' ' '\n' | grep -qx "$1"; }

check_line() { # where, fields: prints what is wrong with the line
    local n
    [ $# -eq 5 ] || [ $# -eq 6 ] || { echo "expected 4 or 5 fields, found $(($# - 1))"; return; }
    [ -f "$2" ] || { echo "no file $2"; return; }
    n=$(occurrences "$2" "$3")
    [ "$n" -eq 1 ] || { echo "expected the text once in $2, found it $n times: $3"; return; }
    [ "$3" != "$4" ] || { echo "the replacement is the text"; return; }
    [ -f "tests/$5.c" ] || echo "no test program $5"
}

rm -rf "$work"
mkdir -p "$work/origin/build"
touch "$work/verdicts" "$work/lines" "$work/programs"
for table in tests/mutants/*.tsv; do
    number=0
    while IFS= read -r line || [ -n "$line" ]; do
        number=$((number + 1))
        [[ -n $line && $line != '#'* ]] || continue
        fields f "$line"
        [[ "$table ${f[0]} ${f[3]:-}" == *"${T:-}"* ]] || continue
        wrong=$(check_line "$table:$number" "${f[@]}")
        if [ -n "$wrong" ]; then
            note BROKEN 0 "$table:$number: $wrong"
        else
            printf 'mutant\t%s\t%s\n' "$table:$number" "$line" >>"$work/lines"
            echo "${f[3]}" >>"$work/programs"
        fi
    done <"$table"
done
if ! [ -s "$work/lines" ] && ! [ -s "$work/verdicts" ]; then
    echo "no planted mistake with \"${T:-}\" in table, file or program" >&2
    exit 1
fi
if [ -n "${SHARE:-}" ]; then # all lines have been looked at
    awk -v k="${SHARE%/*}" -v n="${SHARE#*/}" 'NR % n == k % n' "$work/lines" >"$work/some" && mv "$work/some" "$work/lines"
    cut -f 6 "$work/lines" >"$work/programs"
fi
sort -u -o "$work/programs" "$work/programs"

# ---- the copies ----

mapfile -t programs <"$work/programs"
$MAKE --no-print-directory -j"${JOBS:-$(nproc)}" -s BUILD="$BUILD" "${programs[@]/#/$BUILD/tests/}" build || exit 1

: >"$work/items"
while IFS= read -r line; do
    fields f "$line"
    level=${f[6]:-}
    [[ -n $level || ! ${f[2]} =~ ^arch/(.*)/ ]] || level=${BASH_REMATCH[1]}
    if [ -n "$level" ] && ! has_level "$level"; then
        note skipped 0 "skipped: no $level for ${f[2]}: ${f[3]}"
    else
        (IFS=$'\t'; printf '%s\n' "${f[*]:0:6}") >>"$work/items"
    fi
done <"$work/lines"
cut -f 6 "$work/items" | sort -u | sed 's/^/unchanged\t/' | cat - "$work/items" >"$work/all" && mv "$work/all" "$work/items" # of the skipped ones no program

copies=${JOBS:-$(nproc)}
cp -a Makefile README.md LICENSE include src arch tests tools "$work/origin"
ln -s "$root/models" "$work/origin/models"
[ ! -d ../shared ] || ln -s "$(realpath ../shared)" "$work/shared"
(
    cd "$BUILD" || exit 1
    cp -a --parents arch src tools libprismcpu.a tests/support "$work/origin/build"
    find . -maxdepth 1 -type f -perm -u+x -exec cp -a {} "$work/origin/build" \;
    for program in "${programs[@]}"; do cp -a --parents "tests/$program" "tests/$program".[od] "$work/origin/build"; done
)
if [ "$BUILD" != build ]; then # what each object depends on, so that a mistake in a header rebuilds it
    find "$work/origin/build" -name '*.d' -exec sed -i "s|$BUILD/|build/|g" {} +
fi
for ((i = 0; i < copies; i++)); do cp -a "$work/origin" "$work/$i"; done

seq "$(wc -l <"$work/items")" | xargs -r -P "$copies" -n 1 --process-slot-var=SLOT "$root/tests/run-mutants.sh" --item

count() { grep -cE "^($1)" "$work/verdicts"; }
failed=$(count 'RED|BROKEN|SURVIVED')
echo "$(count caught) passed, $failed failed, $(count skipped) skipped"
rm -rf "$work"
[ "$failed" -eq 0 ]
