#!/bin/bash
# prism-run --prompt-cache: the same text from the file as without it, what is reused and written, files that cannot be used, full disks.
# Prints its result in cmocka's words, for run-tests.sh. PRISM_BUILD: BUILD of the Makefile.
set -u
cd "$(dirname "$0")/../.." || exit 1

run=${PRISM_BUILD:-build}/prism-run model=models/gutenberg-llama-16m-q8_0.gguf
passed=0 failed=0
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
file=$dir/cache.session

if [ ! -f $model ]; then
    echo "skipped: $model not present"
    echo "[  PASSED  ] 0 test(s)"
    exit 0
fi

check() { # STATUS NAME
    if [ "$1" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "[  FAILED  ] $2"
        head -c 2000 "$dir/out" "$dir/err"
    fi
}

document=$(head -c 3000 models/persuasion.txt)

# ask QUESTION FLAGS...: the document and a question; the text to out, the messages to err.
ask() {
    printf '%s%s' "$document" "$1" >"$dir/prompt"
    shift
    "$run" -m $model -f "$dir/prompt" -n 8 --temp 0 -t 1 "$@" >"$dir/out" 2>"$dir/err"
}

# said PATTERN: stderr has the five lines of a good run, one of them the cache's.
said() { [ "$(wc -l <"$dir/err")" -eq 5 ] && grep -qE "^cache     $1$" "$dir/err"; }

# warned PATTERN: a warning in one line besides.
warned() { [ "$(wc -l <"$dir/err")" -eq 6 ] && grep -qE "^prism-run: warning: .*$1" "$dir/err" && grep -q '^cache' "$dir/err"; }

same() { cmp -s "$dir/out" "$1"; }

n_tokens() { sed -n 's/^tokenize .* \([0-9]*\) tokens$/\1/p' "$dir/err"; }

for attn in dense prism prism-rows; do
    rm -f "$file"
    ask " She said" --attn $attn && [ "$(wc -l <"$dir/err")" -eq 4 ] && cp "$dir/out" "$dir/plain"
    check $? "$attn: without a cache, no line about it"
    n=$(n_tokens)
    ask " She said" --attn $attn --prompt-cache "$file" && said "reused 0 of $n tokens, wrote [0-9.]+ MiB" && cp "$dir/out" "$dir/first"
    check $? "$attn: the first run writes"
    [ "$attn" != dense ] || same "$dir/plain"
    check $? "$attn: the text without a cache"
    cp "$file" "$dir/kept"
    ask " She said" --attn $attn --prompt-cache "$file" && said "reused $n of $n tokens" && same "$dir/first" && cmp -s "$file" "$dir/kept"
    check $? "$attn: the second run computes nothing and writes nothing"
    ask " He was" --attn $attn --prompt-cache "$file" && said "reused [0-9]{3} of [0-9]+ tokens" && cmp -s "$file" "$dir/kept"
    check $? "$attn: another question reuses the document"
    cp "$dir/out" "$dir/second"
    ask " He was" --attn $attn --prompt-cache "$dir/new.session" && said "reused 0 of .*" && same "$dir/second"
    check $? "$attn: the same answer when it is the first question"
    ask " He was" --attn $attn --prompt-cache "$dir/new.session" --json &&
        [ "$(sed -n 's/^ *"n_reused": \([0-9]*\),$/\1/p' "$dir/out")" = "$(sed -n 's/^ *"n_prompt": \([0-9]*\),$/\1/p' "$dir/out")" ]
    check $? "$attn: --json has what was reused"
    rm -f "$dir/new.session"
done

# ---- files that cannot be used ----

ask " She said" --prompt-cache "$dir/good"
n=$(n_tokens)
cp "$dir/out" "$dir/text"
size=$(stat -c %s "$dir/good")

# damaged NAME PATTERN: $file, which somebody has made, is replaced by the run; with -ro it stays.
damaged() {
    cp "$file" "$dir/bad"
    ask " She said" --prompt-cache "$file" --prompt-cache-ro && warned "$2.*: the prompt is computed anew, and the file left as it is" &&
        same "$dir/text" && cmp -s "$file" "$dir/bad"
    check $? "$1: read only, left as it is"
    ask " She said" --prompt-cache "$file" && warned "$2.*: the prompt is computed anew, and the file replaced" && same "$dir/text" &&
        grep -qE "^cache     reused 0 of $n tokens, wrote" "$dir/err"
    check $? "$1: computed anew and replaced"
    ask " She said" --prompt-cache "$file" && said "reused $n of $n tokens" && same "$dir/text"
    check $? "$1: good again"
}

flip() { # BYTE
    cp "$dir/good" "$file"
    printf '\377' | dd of="$file" bs=1 seek="$1" conv=notrunc 2>/dev/null
    cmp -s "$file" "$dir/good" && printf '\0' | dd of="$file" bs=1 seek="$1" conv=notrunc 2>/dev/null
    return 0
}

flip 100
damaged "a byte of the header" "header: damaged"
flip $((size / 2))
damaged "a byte in the middle" "damaged"
head -c $((size - 100)) "$dir/good" >"$file"
damaged "cut off" "expected [0-9]+ bytes, found [0-9]+"
: >"$file"
damaged "empty" "not a session file"
flip 8
damaged "another version" "made in version [0-9]+ of the format"
"$run" -m models/gutenberg-38m-q8_0.gguf -p "It was" -n 1 --prompt-cache "$dir/other" >/dev/null 2>&1
cp "$dir/other" "$file"
damaged "another model" "another model"
ask " She said" --attn dense --prompt-cache "$dir/dense"
cp "$dir/dense" "$file"
damaged "another selector" "made with selector dense, this context has selector prism"

# ---- what is not written ----

rm -f "$file"
ask " She said" --prompt-cache "$file" --prompt-cache-ro && said "reused 0 of $n tokens" && [ ! -e "$file" ]
check $? "read only: no file is made"
cp "$dir/good" "$file"
ask " She said" --prompt-cache "$file" --prompt-cache-ro && said "reused $n of $n tokens" && cmp -s "$file" "$dir/good"
check $? "read only: the file is used"
printf 'precious words' >"$dir/mine"
! ask " She said" --prompt-cache "$dir/mine" && [ "$(wc -l <"$dir/err")" -eq 1 ] && grep -q "not a session file, and it would be overwritten" "$dir/err" &&
    [ "$(cat "$dir/mine")" = "precious words" ]
check $? "another kind of file is not overwritten"
for flag in --prompt-cache-ro --prompt-cache-all; do
    ! ask "" $flag && [ "$(wc -l <"$dir/err")" -eq 1 ] && grep -q -- "^prism-run: $flag: give the file" "$dir/err"
    check $? "$flag alone"
done
! ask "" --prompt-cache "" && [ "$(wc -l <"$dir/err")" -eq 1 ]
check $? "a file without a name"
! ask "" --prompt-cache "$file" --attn-map "$dir/map.png" && [ "$(wc -l <"$dir/err")" -eq 1 ] && [ ! -e "$dir/map.png" ]
check $? "--attn-map with it"

# Less than half of the prompt is in the file: it is written anew.
document="Something else. $(head -c 200 "$dir/prompt")"
ask " She said" --prompt-cache "$file" && said "reused 0 of [0-9]+ tokens, wrote .*" && ! cmp -s "$file" "$dir/good"
check $? "another document replaces it"
document=$(head -c 3000 models/persuasion.txt)

cp "$dir/good" "$file"
(ulimit -f 100 && "$run" -m $model -p "Another text. $document$document" -n 3 --temp 0 --prompt-cache "$file" >"$dir/out" 2>"$dir/err") &&
    warned "cannot write [0-9]+ bytes: File too large: the prompt is not kept" && [ -s "$dir/out" ] && cmp -s "$file" "$dir/good" && [ ! -e "$file.tmp" ]
check $? "no room: one line, the answer all the same, the old file"
"$run" -m $model -p x -n 1 --prompt-cache "$dir/no/folder/x" >"$dir/out" 2>"$dir/err" && warned "No such file or directory: the prompt is not kept"
check $? "no such folder"

# ---- the generated text too ----

rm -f "$file"
"$run" -m $model -p "$document" -n 30 --temp 0 --prompt-cache "$file" --prompt-cache-all --display-prompt >"$dir/out" 2>"$dir/err" && said "reused 0 of .*"
check $? "all: the first run"
"$run" -m $model -p "$(cat "$dir/out") And" -n 3 --temp 0 --prompt-cache "$file" --prompt-cache-all >"$dir/more" 2>"$dir/err"
read -r reused n <<<"$(sed -n 's/^cache     reused \([0-9]*\) of \([0-9]*\) tokens$/\1 \2/p' "$dir/err")"
[ "${n:-0}" -gt 0 ] && [ "$reused" -ge $((n - 6)) ]
check $? "all: the second run goes on from the generated text"

[ $failed -eq 0 ] || echo "[  FAILED  ] $failed test(s)"
echo "[  PASSED  ] $passed test(s)"
[ $failed -eq 0 ]
