#!/bin/sh
# demo.sh BUILD - a model reads a text in which facts were hidden and answers a question about one of them; then the answer is compared with
# what was hidden (models/prompts/answers.json). Exit status 1 when it is another. MODEL and PROMPT may be set.
set -eu

build=$1
model=${MODEL:-models/gutenberg-38m-q8_0.gguf}
prompt=${PROMPT:-models/prompts/secret-6.txt}
hidden=$(awk -F'"' -v file="${prompt##*/}" '$2 == "file" { wanted = $4 == file } $2 == "answer" && wanted { print $4 }' "${prompt%/*}/answers.json")
[ -n "$hidden" ] || { echo "demo: no answer to $prompt in ${prompt%/*}/answers.json" >&2; exit 1; }
who=$(sed -n 's/^Question: What is the secret word of \(.*\)?$/\1/p' "$prompt" | tail -n 1)
line=$(grep -n "secret word of $who is $hidden" "$prompt" | head -n 1 | cut -d: -f1)
n_tokens=$("$build/prism-run" -m "$model" -f "$prompt" --tokenize | wc -w)
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

echo "A model of 38 million parameters reads $prompt: $n_tokens tokens of a novel, $(wc -l <"$prompt") lines,"
echo "in which facts were hidden, and continues it. The text ends with a question:"
echo
tail -n 2 "$prompt" | sed 's/^/    /'
printf '\n\n%s\n\n' "$build/prism-run -m $model -f $prompt -n 24 --temp 0"
"$build/prism-run" -m "$model" -f "$prompt" -n 24 --temp 0 | tee "$answer"

answered=$(tr -cs '[:alpha:]' '\n' <"$answer" | awk 'NF { print; exit }')
verdict=right status=0
[ "$answered" = "$hidden" ] || verdict=wrong status=1
printf '\nhidden    "The secret word of %s is %s.", in line %s of the text\n' "$who" "$hidden" "$line"
printf 'answered  "%s": %s, after reading %s tokens\n' "$answered" "$verdict" "$n_tokens"
exit $status
