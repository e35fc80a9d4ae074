#!/bin/sh
# paper.sh BUILD - efficiency and perplexity against prompt length, as in the paper's figure (Prism, arXiv 2602.08426), on this machine and a
# small model: BUILD/paper/paper.csv and paper.png. Attention of one layer is timed by prism-bench attn, selection included in the speedup;
# perplexity is that of one chunk of the length, its second half scored, without a dense tail.
# LENGTHS, MODEL, TEXT and LAYER may be set; the whole takes about ten minutes on two cores.
set -eu

build=$1
out=$build/paper
model=${MODEL:-models/gutenberg-38m-q8_0.gguf}
text=${TEXT:-models/persuasion.txt}
layer=${LAYER:-3}
csv=$out/paper.csv
attn=$out/attn.csv

# Its setting of Llama-3.1-8B, that is block 128 and p 0.95, for length $1; nothing where it has no figure.
paper_speedup() {
    case $1 in 8192) echo 1.05 ;; 16384) echo 1.61 ;; 32768) echo 2.45 ;; 65536) echo 3.67 ;; 131072) echo 5.04 ;; esac
}

# Speeds of selectors $2 at length $1 with blocks of $3 and top-p $4 into $attn.
# Dense attention is measured again beside each group: speedups are ratios within one run.
measure() {
    repetitions=3
    [ "$1" -lt 32768 ] || repetitions=1
    "$build/prism-bench" attn -m "$model" -f "$text" --layer "$layer" --lengths "$1" -r "$repetitions" --attn "$2" --prism-block "$3" \
        --prism-p "$4" --prism-dense-tail 0 --csv >"$attn"
}

# Perplexity at length $1 with selector $2, blocks of $3, top-p $4.
perplexity() {
    "$build/prism-perplexity" -m "$model" -f "$text" -c "$1" --chunks 1 --attn "$2" --prism-block "$3" --prism-p "$4" \
        --prism-dense-tail 0 --json >"$out/perplexity.json"
    sed -n 's/^ *"perplexity": \([0-9.]*\),$/\1/p' "$out/perplexity.json"
}

# One line of the table: length, selector, block, p as measured, p as shown ("" where there is none), speedup in the paper. Takes the speeds
# from $attn and the dense perplexity from $dense.
row() {
    ppl=$dense
    [ "$2" = dense ] || ppl=$(perplexity "$1" "$2" "$3" "$4")
    awk -F, -v selector="$2" -v p="$5" -v ppl="$ppl" -v dense="$dense" -v paper="$6" '
        $2 == selector { printf "%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%.4f,%s\n", $1, $2, $3, p, $8, $5, $6, $9, ppl, dense, ppl - dense, paper }' \
        "$attn" | tee -a "$csv"
}

mkdir -p "$out"
echo length,selector,block,p,density,attention_ms,select_ms,speedup,ppl,ppl_dense,delta_ppl,paper_speedup | tee "$csv"
for n in ${LENGTHS:-4096 8192 16384 32768}; do
    dense=$(perplexity "$n" dense 128 1)
    measure "$n" prism,meanpool,streaming 128 0.95
    row "$n" dense 128 1 "" ""
    row "$n" prism 128 0.95 0.95 "$(paper_speedup "$n")"
    row "$n" meanpool 128 0.95 0.95 ""
    row "$n" streaming 128 0.95 "" ""
    measure "$n" prism 64 0.90
    row "$n" prism 64 0.90 0.90 ""
done
"$build/prism-bench" chart -f "$csv" -o "$out/paper.png" --title "$(basename "$model" .gguf), attention of layer $layer"
rm -f "$attn" "$out/perplexity.json"
echo "wrote $csv and $out/paper.png"
