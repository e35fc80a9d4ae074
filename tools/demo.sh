#!/bin/sh
# demo.sh BUILD - a model reads a text in which facts were hidden and answers three questions about it, each from what it has read once; what it
# answers is compared with what was hidden. What was read is kept in BUILD/demo.session, where the next demo of that text begins. Exit status 1
# when an answer is another than FACTS says (lines "name<TAB>word"; default: what the text says). MODEL and PROMPT may be set.
set -eu

build=$1
model=${MODEL:-models/gutenberg-38m-q8_0.gguf}
prompt=${PROMPT:-models/prompts/secret-6.txt}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# The text ends with a question of its own, after an empty line.
question=$(grep -n '^Question: ' "$prompt" | tail -n 1 | cut -d: -f1)
[ -n "$question" ] || { echo "demo: no question at the end of $prompt" >&2; exit 1; }
head -n $((question - 2)) "$prompt" >"$dir/text.txt"
grep -o 'secret word of [^.]* is [^.]*\.' "$dir/text.txt" | sed 's/secret word of \(.*\) is \(.*\)\./\1	\2/' | tail -n 3 >"$dir/facts"
[ -s "$dir/facts" ] || { echo "demo: no secret words in $prompt" >&2; exit 1; }

set --
while IFS='	' read -r who word; do
    set -- "$@" -p "Question: What is the secret word of $who?
Answer:"
done <"$dir/facts"

echo "A model of 38 million parameters reads a text of $(wc -w <"$dir/text.txt") words, in which facts were hidden, and answers questions about it."
echo "What it has read is kept in $build/demo.session: the next \`make demo\` begins there."
printf '\n%s\n\n' "$build/prism-run -m $model -f TEXT -p \"Question: What is the secret word of NAME? Answer:\" -p ... -n 8 -r . --temp 0 --prompt-cache $build/demo.session"
if [ -t 2 ]; then # the bar is drawn on a terminal only
    "$build/prism-run" -m "$model" -f "$dir/text.txt" "$@" -n 8 -r . --temp 0 --prompt-cache "$build/demo.session" >"$dir/answers"
else
    "$build/prism-run" -m "$model" -f "$dir/text.txt" "$@" -n 8 -r . --temp 0 --prompt-cache "$build/demo.session" >"$dir/answers" 2>"$dir/summary"
    cat "$dir/summary" >&2
fi

tr -cs '[:alpha:]\n' ' ' <"$dir/answers" | awk 'NF { print $1 }' >"$dir/words"
paste "${FACTS:-$dir/facts}" "$dir/words" >"$dir/both"
status=0
echo
while IFS='	' read -r who word answered; do
    verdict=right
    [ "$answered" = "$word" ] || verdict=wrong status=1
    line=$(grep -n "secret word of $who is " "$prompt" | head -n 1 | cut -d: -f1)
    printf 'What is the secret word of %s?  %s: %s, it is in line %s of %s\n' "$who" "${answered:-(nothing)}" "$verdict" "$line" "$(wc -l <"$prompt")"
done <"$dir/both"
exit $status
