#!/bin/sh
# selectors.sh BUILD - every selector of key blocks at about the density of prism's default setting: perplexity, and how many of the prompts in
# models/prompts it answers, without a dense tail and with the default one. BUILD/selectors.csv, and the same on stdout.
# The settings were tuned for a density of 0.24 at CTX tokens. MODEL, TEXT, CTX, CHUNKS and PROMPTS may be set; about ten minutes on two cores.
set -eu

build=$1
model=${MODEL:-models/gutenberg-38m-q8_0.gguf}
novel=${TEXT:-models/persuasion.txt}
prompts=${PROMPTS:-models/prompts}
csv=$build/selectors.csv

# How many prompts' greedy continuation starts with the expected word. Arguments: flags of prism-run.
answered() {
    right=0
    for prompt in "$prompts"/secret-*.txt; do
        word=$(awk -F'"' -v file="${prompt##*/}" '$2 == "file" { wanted = $4 == file } $2 == "answer" && wanted { print $4 }' "$prompts/answers.json")
        text=$("$build/prism-run" -m "$model" -f "$prompt" -n 8 --temp 0 --prism-min-tokens 1 "$@" 2>"$csv.log") || { cat "$csv.log" >&2; exit 1; }
        case $text in " $word"*) right=$((right + 1)) ;; esac
    done
    echo "$right"
}

row() {
    "$build/prism-perplexity" -m "$model" -f "$novel" -c "${CTX:-8192}" --chunks "${CHUNKS:-2}" --prism-dense-tail 0 --attn "$@" --json >"$csv.json"
    # The first density is that of all layers.
    measured=$(awk -F'[ ,]+' '/"perplexity":/ { ppl = $3 } /"density":/ { if (!seen++) density = $3 } END { print density "," ppl }' "$csv.json")
    without_tail=$(answered --prism-dense-tail 0 --attn "$@")
    with_tail=$(answered --attn "$@")
    echo "$1,\"$*\",$measured,$without_tail,$with_tail" | tee -a "$csv"
}

echo selector,flags,density,perplexity,answered_without_tail,answered | tee "$csv"
row dense
row prism --prism-block 64 --prism-p 0.95
row meanpool --prism-block 64 --prism-p 0.947
row xattention --prism-block 64 --xattn-threshold 0.948
row flexprefill --prism-block 64 --flex-gamma 0.959
row vertical-slash --prism-block 64 --vs-vertical 50 --vs-slash 300
row streaming --prism-block 64 --stream-window 832
rm -f "$csv.json" "$csv.log"
