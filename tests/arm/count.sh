#!/bin/sh
# count.sh BUILD - instructions per token of a prefill, at both ARM levels: what 320 tokens take more than 64, on one thread of an emulated
# processor. The emulator (RUN, from the Makefile) executes BUILD/prefill and counts by the plugin BUILD/instructions.so. An instruction is not a
# cycle: tools/port-model.sh has those of the inner loops.
set -eu

build=$1
model=models/gutenberg-38m-q8_0.gguf text=models/persuasion.txt

instructions() { # level, tokens
    # shellcheck disable=SC2086
    $RUN -plugin "$build/instructions.so" -cpu max,sve=off "$build/prefill" $model "$1" $text "$2" 2>&1 | sed -n 's/^instructions //p'
}

for level in neon neon_i8mm_bf16; do
    few=$(instructions $level 64)
    many=$(instructions $level 320)
    [ "${few:-0}" -gt 0 ] && [ "${many:-0}" -gt "$few" ] || { echo "count: the prefill at $level failed" >&2; exit 1; }
    echo "prefill of $model, $level: $(((many - few) / 256)) instructions a token"
done
