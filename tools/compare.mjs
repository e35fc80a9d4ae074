// compare.mjs MODEL IDS N_PROMPT N_GEN N_DEPTH THREADS FLASH WARMUP - one measurement of llama.cpp as node-llama-cpp ships it, for compare.sh,
// which copies this file beside its node_modules. One line of JSON with llama-bench's names on stdout; errors are one line on stderr.
//
// IDS is a file of token ids, repeated as needed after the beginning-of-text token that the model may ask for. FLASH and WARMUP are 0 or 1. As
// llama-bench does: N_DEPTH tokens go in untimed, then N_PROMPT in batches of 512 and N_GEN singly, with logits of each call's last token.
// The calls are those below the package's scheduler (its version is pinned), whose JavaScript costs more than a token of a small model.
import {readFileSync} from "node:fs";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const BATCH = 512;
const [modelPath, idsPath, ...numbers] = process.argv.slice(2);
const [nPrompt, nGen, nDepth, nThreads, flash, warmup] = numbers.map(Number);

// The processor variant of the backend that was loaded, "haswell" of libggml-cpu-haswell.so.
function cpuVariant() {
    const loaded = readFileSync("/proc/self/maps", "utf8").match(/libggml-cpu-([a-z0-9_.]+)\.so/);
    return loaded ? loaded[1] : "unknown";
}

async function measure(llama) {
    const model = await llama.loadModel({modelPath, gpuLayers: 0});
    const bos = model.tokens.shouldPrependBosToken ? [model.tokens.bos] : [];
    const ids = readFileSync(idsPath, "utf8").trim().split(/\s+/).map(Number);
    const tokens = Uint32Array.from({length: nDepth + nPrompt + nGen}, (_, i) => i < bos.length ? bos[i] : ids[(i - bos.length) % ids.length]);
    const context = await model.createContext({contextSize: Math.max(tokens.length, 256), batchSize: BATCH, sequences: 1, flashAttention: flash === 1,
        threads: {ideal: nThreads, min: nThreads}, failedCreationRemedy: false, ignoreMemorySafetyChecks: true});
    const sequence = context.getSequence();
    const native = context._ctx;

    // Appends tokens [from, to), `step` per call.
    async function append(from, to, step) {
        for (let at = from; at < to; at += step) {
            const piece = tokens.subarray(at, Math.min(at + step, to));
            native.initBatch(piece.length);
            native.addToBatch(0, at, piece.slice(), Uint32Array.of(piece.length - 1));
            await native.decodeBatch();
        }
    }

    if (warmup) {
        await append(0, nPrompt, BATCH);
        await append(nPrompt, nPrompt + Math.min(nGen, 1), 1);
        native.disposeSequence(0);
    }
    await append(0, nDepth, BATCH);
    const start = performance.now();
    await append(nDepth, nDepth + nPrompt, BATCH);
    await append(nDepth + nPrompt, tokens.length, 1);
    const ms = performance.now() - start;

    const cached = native.getSequenceKvCacheMaxPosition(0) + 1;
    if (cached !== tokens.length)
        throw new Error(`the cache holds ${cached} tokens of ${tokens.length}`);
    const {repo, release} = llama.llamaCppRelease;
    console.log(JSON.stringify({build_commit: `${repo} ${release}`, backends: cpuVariant(), n_threads: native.getThreads(), flash_attn: flash,
        n_batch: BATCH, n_ubatch: BATCH, n_prompt: nPrompt,
        n_gen: nGen, n_depth: nDepth, avg_ns: Math.round(ms * 1e6), avg_ts: +((nPrompt + nGen) / ms * 1000).toFixed(6)}));
    sequence.dispose();
}

try {
    const llama = await getLlama({gpu: false, build: "never", maxThreads: nThreads, logLevel: LlamaLogLevel.error});
    await measure(llama);
    await llama.dispose();
} catch (error) {
    console.error(String(error?.message ?? error).split("\n")[0]);
    process.exitCode = 1;
}
