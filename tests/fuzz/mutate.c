/* mutate.c - see mutate.h. */
#include "tests/fuzz/mutate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/gguf/gguf.h"
#include "tests/fuzz/document.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Room for what mutations write; a document points into it until it is put together. */
static uint8_t room[1 << 18];
static size_t room_used;
static uint64_t random_state;

static uint64_t next(void) /* xorshift64*, Vigna 2016 */
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * UINT64_C(0x2545F4914F6CDD1D);
}

static size_t below(size_t n) { return n ? (size_t)(next() >> 33) % n : 0; }

static uint8_t *keep(const void *bytes, size_t n, size_t cap)
{
    if (cap > sizeof room - room_used)
        room_used = 0, cap = cap < sizeof room ? cap : sizeof room;
    uint8_t *at = room + room_used;
    memmove(at, bytes, n < cap ? n : cap);
    room_used += cap;
    return at;
}

/* ---- values worth trying ---- */

static const uint64_t numbers[] = {
    0, 1, 2, 3, 4, 7, 8, 16, 31, 32, 33, 64, 127, 128, 255, 256, 288, 289, 290, 512, 1024, 4096, 65504, 65535, 65536, 1 << 20, INT32_MAX,
    UINT64_C(1) << 31, UINT32_MAX - 63, UINT32_MAX, UINT64_C(1) << 32, (UINT64_C(1) << 32) + 32, UINT64_C(1) << 40, INT64_MAX, UINT64_C(1) << 63,
    UINT64_MAX - 31, UINT64_MAX,
};

/* Bits of fp32: zeros, one, tiny, subnormal, large, around what F16 holds, infinities, NaNs. */
static const uint32_t floats[] = {
    0, 0x80000000, 0x3F800000, 0xBF800000, 0x00800000, 1, 0x007FFFFF, 0x7F7FFFFF, 0xFF7FFFFF, 0x477FE000, 0x47800000, 0x7F800000, 0xFF800000,
    0x7FC00000, 0xFFC00000, 0x7F800001, 0x5F000000, 0x42C80000, 0x461C4000, 0x38D1B717, 0x322BCC77,
};
static const uint16_t halves[] = { 0, 0x8000, 0x3C00, 1, 0x03FF, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0x7C01, 0x7F80, 0x7FC0, 0x7F7F };

static const char *const keys[] = {
    "general.architecture", "general.type", "general.alignment", "general.file_type", "general.name", "split.count", "split.no", "split.tensors.count",
    "block_count", "context_length", "embedding_length", "feed_forward_length", "vocab_size", "attention.head_count", "attention.head_count_kv",
    "attention.key_length", "attention.value_length", "attention.layer_norm_rms_epsilon", "attention.scale", "attention.causal",
    "attention.sliding_window", "attention.clamp_kqv", "attention.max_alibi_bias", "rope.dimension_count", "rope.freq_base", "rope.scale_linear",
    "rope.scaling.type", "rope.scaling.factor", "rope.scaling.attn_factor", "rope.scaling.original_context_length", "rope.scaling.finetuned",
    "rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow", "rope.scaling.yarn_ext_factor", "rope.scaling.yarn_log_multiplier",
    "expert_count", "expert_used_count", "expert_feed_forward_length", "expert_shared_feed_forward_length", "expert_gating_func",
    "expert_weights_norm", "expert_weights_scale", "attention.sliding_window_pattern", "attention.temperature_scale", "rope.freq_base_swa",
    "rope.dimension_sections", "attn_logit_softcapping", "final_logit_softcapping", "embedding_scale", "residual_scale", "logit_scale", "use_parallel_residual",
    "pooling_type", "tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.ggml.merges",
    "tokenizer.ggml.scores", "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
    "tokenizer.ggml.unknown_token_id", "tokenizer.ggml.padding_token_id", "tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token",
    "tokenizer.ggml.add_space_prefix", "tokenizer.ggml.remove_extra_whitespaces", "tokenizer.chat_template",
};

static const char *const words[] = {
    "llama", "qwen2", "qwen3", "qwen2moe", "qwen3moe", "gemma2", "gemma3", "gpt-oss", "granite", "granitemoe", "mistral3", "phi3", "smollm3", "clip",
    "mmproj", "gpt2", "none", "linear", "yarn", "longrope", "llama3", "default", "llama-bpe", "qwen2", "gpt-2", "smollm",
    "tekken", "gpt-4o", "phi-3", "<s>", "</s>", "<|im_end|>", "<|endoftext|>", "<0x0A>", "\xE2\x96\x81", "\xC4\xA0the", " ", "", "\xFF\xFE", "a b",
};

static const char *const tensors[] = {
    "token_embd.weight", "output_norm.weight", "output.weight", "output.bias", "rope_freqs.weight", "rope_factors_long.weight",
    "rope_factors_short.weight", "blk.0.attn_norm.weight", "blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.attn_v.weight",
    "blk.0.attn_qkv.weight", "blk.0.attn_q.bias", "blk.0.attn_k.bias", "blk.0.attn_v.bias", "blk.0.attn_qkv.bias", "blk.0.attn_output.weight",
    "blk.0.attn_output.bias", "blk.0.attn_q_norm.weight", "blk.0.attn_k_norm.weight", "blk.0.ffn_norm.weight", "blk.0.ffn_gate.weight",
    "blk.0.ffn_up.weight", "blk.0.ffn_down.weight", "blk.0.ffn_gate.bias", "blk.0.ffn_down.bias", "blk.0.attn_sinks.weight",
    "blk.0.post_attention_norm.weight", "blk.0.post_ffw_norm.weight", "blk.0.ffn_gate_inp.weight", "blk.0.ffn_gate_inp.bias",
    "blk.0.ffn_gate_exps.weight", "blk.0.ffn_up_exps.weight", "blk.0.ffn_down_exps.weight", "blk.0.ffn_gate_up_exps.weight",
    "blk.0.ffn_gate_exps.bias", "blk.0.ffn_up_exps.bias", "blk.0.ffn_down_exps.bias", "blk.0.ffn_gate_shexp.weight", "blk.0.ffn_up_shexp.weight",
    "blk.0.ffn_down_shexp.weight", "blk.0.ffn_gate_inp_shexp.weight", "blk.1.attn_norm.weight", "blk.1.attn_q.weight", "output.scale", "blk.0.ffn_down.scale",
};

static struct fuzz_bytes text(const char *s) { return (struct fuzz_bytes){ (const uint8_t *)s, strlen(s) }; }

/* libFuzzer's mutation of a copy. */
static struct fuzz_bytes changed(struct fuzz_bytes b, size_t grow)
{
    size_t n = b.n < 4096 ? b.n : 4096;
    uint8_t *at = keep(b.at, n, n + grow);
    return (struct fuzz_bytes){ at, LLVMFuzzerMutate(at, n, n + grow) };
}

static void put_number(uint8_t *at, size_t n, bool is_float)
{
    uint64_t v = numbers[below(COUNT(numbers))];
    if (is_float && n == 4)
        v = floats[below(COUNT(floats))];
    if (is_float && n == 8) {
        double d = (double)(int64_t)v * (below(2) ? 1e300 : 1e-3);
        memcpy(&v, &d, 8);
    }
    memcpy(at, &v, n);
}

/* ---- pairs ---- */

static struct fuzz_bytes stored_string(struct fuzz_bytes s)
{
    uint8_t *at = keep(&(uint64_t){ s.n }, 8, 8 + s.n);
    memcpy(at + 8, s.at, s.n);
    return (struct fuzz_bytes){ at, 8 + s.n };
}

static void give_scalar(struct fuzz_pair *p, uint32_t type)
{
    uint8_t value[8];
    p->type = type;
    if (type == PRISM_GV_STR) {
        p->value = stored_string(text(words[below(COUNT(words))]));
        return;
    }
    size_t n = fuzz_scalar_bytes(type);
    put_number(value, n, type == PRISM_GV_F32 || type == PRISM_GV_F64);
    p->value = (struct fuzz_bytes){ keep(value, n, n), n };
}

static uint32_t scalar_type(void)
{
    static const uint32_t types[] = { PRISM_GV_U32, PRISM_GV_U32, PRISM_GV_F32, PRISM_GV_F32, PRISM_GV_BOOL, PRISM_GV_STR, PRISM_GV_U8,
                                      PRISM_GV_I32, PRISM_GV_I64, PRISM_GV_U64, PRISM_GV_F64 };
    return types[below(COUNT(types))];
}

static struct fuzz_bytes some_key(const struct fuzz_document *d)
{
    const char *key = keys[below(COUNT(keys))];
    struct fuzz_bytes arch = text("llama");
    char whole[128];

    if (!strncmp(key, "general.", 8) || !strncmp(key, "split.", 6) || !strncmp(key, "tokenizer.", 10))
        return text(key);
    for (size_t i = 0; i < d->n_pairs; i++) { /* the architecture that the file names */
        const struct fuzz_pair *p = &d->pair[i];
        if (p->key.n == 20 && !memcmp(p->key.at, "general.architecture", 20) && p->value.n > 8 && p->value.n < 8 + 32)
            arch = (struct fuzz_bytes){ p->value.at + 8, p->value.n - 8 };
    }
    int n = snprintf(whole, sizeof whole, "%.*s.%s", (int)arch.n, (const char *)arch.at, key);
    return (struct fuzz_bytes){ keep(whole, (size_t)n, (size_t)n), (size_t)n };
}

/* Changes one element of an array, or its count. */
static void change_array(struct fuzz_pair *p)
{
    uint32_t element;
    uint64_t n;

    if (p->value.n < 12)
        return;
    memcpy(&element, p->value.at, 4);
    memcpy(&n, p->value.at + 4, 8);
    if (below(8) == 0) { /* a count that does not fit */
        uint8_t *at = keep(p->value.at, p->value.n, p->value.n);
        put_number(at + 4, 8, false);
        p->value.at = at;
        return;
    }
    size_t size = fuzz_scalar_bytes(element), which = below((size_t)n);
    if (size && n && n <= (p->value.n - 12) / size) {
        uint8_t *at = keep(p->value.at, p->value.n, p->value.n);
        put_number(at + 12 + which * size, size, element == PRISM_GV_F32 || element == PRISM_GV_F64);
        p->value.at = at;
    } else if (element == PRISM_GV_STR && n) {
        size_t at = 12;
        uint64_t len = 0;
        for (size_t i = 0; i <= which; i++) {
            at += i ? 8 + (size_t)len : 0;
            if (at + 8 > p->value.n) /* an earlier change made the count or the type a lie */
                return;
            memcpy(&len, p->value.at + at, 8);
            if (len > p->value.n - at - 8)
                return;
        }
        struct fuzz_bytes old = { p->value.at + at + 8, (size_t)len };
        struct fuzz_bytes s = below(3) ? changed(old, 16) : text(words[below(COUNT(words))]);
        size_t rest = at + 8 + old.n, whole = at + 8 + s.n + p->value.n - rest;
        if (whole > sizeof room / 2)
            return;
        struct fuzz_bytes held = { keep(s.at, s.n, s.n), s.n };
        uint8_t *out = keep(p->value.at, at, whole);
        memcpy(out + at, &(uint64_t){ held.n }, 8);
        memmove(out + at + 8, held.at, held.n);
        memcpy(out + at + 8 + held.n, p->value.at + rest, p->value.n - rest);
        p->value = (struct fuzz_bytes){ out, whole };
    }
}

static void change_pairs(struct fuzz_document *d)
{
    struct fuzz_pair *p = &d->pair[below(d->n_pairs)], *q = &d->pair[below(d->n_pairs)];

    switch (below(10)) {
    case 0: /* one pair less */
        *p = d->pair[--d->n_pairs];
        break;
    case 1: case 2: /* one more */
        if (d->n_pairs < FUZZ_PAIRS) {
            struct fuzz_pair *more = &d->pair[d->n_pairs];
            more->key = below(8) ? some_key(d) : p->key;
            give_scalar(more, scalar_type());
            d->n_pairs++;
        }
        break;
    case 3: p->key = below(2) ? some_key(d) : changed(p->key, 8); break;
    case 4: p->type = (uint32_t)below(14); break;
    case 5: give_scalar(p, scalar_type()); break;
    case 6: { struct fuzz_bytes v = p->value; uint32_t t = p->type; p->value = q->value, p->type = q->type, q->value = v, q->type = t; break; }
    default:
        if (p->type == PRISM_GV_ARR)
            change_array(p);
        else if (p->type == PRISM_GV_STR && p->value.n >= 8)
            p->value = stored_string(below(2) ? text(words[below(COUNT(words))]) : changed((struct fuzz_bytes){ p->value.at + 8, p->value.n - 8 }, 8));
        else
            give_scalar(p, p->type);
    }
}

/* ---- tensors ---- */

/* The data gets the size that shape and type ask for: what is there, and zeros or fewer bytes. */
static void fit_data(struct fuzz_tensor *t)
{
    const struct prism_file_type *type = prism_file_type_find(t->type);
    uint64_t n = 1;

    for (uint32_t i = 0; i < t->n_dims && i < FUZZ_DIMS; i++)
        if (__builtin_mul_overflow(n, t->ne[i], &n) || n > sizeof room)
            return;
    if (!type || !type->block || n / type->block * type->bytes > sizeof room / 4)
        return;
    size_t size = (size_t)(n / type->block * type->bytes);
    if (size > t->data.n) {
        size_t have = t->data.n;
        uint8_t *at = keep(t->data.at, have, size);
        for (size_t i = have; i < size; i++)
            at[i] = have ? at[i - have] : 0;
        t->data.at = at;
    }
    t->data.n = size;
}

static void change_values(struct fuzz_tensor *t)
{
    if (t->data.n < 4)
        return;
    uint8_t *at = keep(t->data.at, t->data.n, t->data.n);
    for (size_t i = 0, n = 1 + below(3); i < n; i++) {
        size_t size = t->type == 0 ? 4 : 2, where = below(t->data.n / size) * size;
        const struct prism_file_type *type = prism_file_type_find(t->type);
        if (type && type->block > 1 && type->bytes > 1) /* the scale in front of a block, or one of the two behind it */
            where = below(t->data.n / type->bytes) * type->bytes + (below(3) ? 0 : below(2) ? 2 : type->bytes - 2);
        if (where + size > t->data.n)
            continue;
        if (size == 4)
            memcpy(at + where, &floats[below(COUNT(floats))], 4);
        else
            memcpy(at + where, &halves[below(COUNT(halves))], 2);
    }
    t->data.at = at;
}

static void change_tensors(struct fuzz_document *d)
{
    struct fuzz_tensor *t = &d->tensor[below(d->n_tensors)];

    switch (below(10)) {
    case 0: *t = d->tensor[--d->n_tensors]; break;
    case 1:
        if (d->n_tensors < FUZZ_TENSORS) {
            struct fuzz_tensor *more = &d->tensor[d->n_tensors++];
            *more = *t;
            more->name = text(tensors[below(COUNT(tensors))]);
        }
        break;
    case 2: t->name = text(tensors[below(COUNT(tensors))]); break;
    case 3:
        t->type = (uint32_t)below(42);
        if (below(4))
            fit_data(t);
        break;
    case 4: case 5:
        t->ne[below(FUZZ_DIMS)] = numbers[below(COUNT(numbers))];
        if (below(4) == 0)
            t->n_dims = (uint32_t)below(6);
        if (below(4))
            fit_data(t);
        break;
    case 6: t->shift = numbers[below(COUNT(numbers))]; break;
    default: change_values(t);
    }
}

/* ---- whole files ---- */

static struct fuzz_document document;

static void change(struct fuzz_document *d)
{
    size_t what = below(16);

    if (what == 0)
        d->pairs_shift = numbers[below(COUNT(numbers))];
    else if (what == 1)
        d->tensors_shift = numbers[below(COUNT(numbers))];
    else if (what == 2)
        d->version = (uint32_t)below(5);
    else if (what <= 5)
        d->trailing = changed(d->trailing, 64);
    else if (what <= 10 && d->n_pairs)
        change_pairs(d);
    else if (d->n_tensors)
        change_tensors(d);
}

size_t fuzz_mutate(uint8_t *bytes, size_t n, size_t cap, unsigned seed)
{
    static uint8_t out[1 << 18];

    random_state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    room_used = 0;
    if (below(64) == 0 || !fuzz_take_apart(&document, bytes, n))
        return LLVMFuzzerMutate(bytes, n, cap);
    for (size_t i = 0, times = below(3) ? 1 : 2; i < times; i++)
        change(&document);
    size_t made = fuzz_put_together(&document, out, cap < sizeof out ? cap : sizeof out);
    if (!made)
        return LLVMFuzzerMutate(bytes, n, cap);
    memcpy(bytes, out, made);
    return made;
}

size_t fuzz_trailing(const uint8_t *bytes, size_t n)
{
    return fuzz_take_apart(&document, bytes, n) && document.trailing.n ? (size_t)(document.trailing.at - bytes) : n;
}
