/* tiny_model.c - see tiny_model.h. */
#include "tests/support/tiny_model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/gguf/gguf.h"
#include "src/kernels.h"

/* ---- random weights ---- */

static uint64_t next_u64(uint64_t *state) /* splitmix64, Steele et al. 2014 */
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* in (-1, 1) */
static double next_uniform(uint64_t *state) { return (double)(int64_t)next_u64(state) * 0x1p-63; }

/* round half to even, finite values below 65520 */
static uint16_t half_bits(double v)
{
    int e;
    double f = frexp(fabs(v), &e);
    uint16_t sign = v < 0 ? 0x8000 : 0;
    if (e < -13) /* subnormal */
        return sign | (uint16_t)rint(ldexp(fabs(v), 24));
    return sign | (uint16_t)((e + 13) * 1024 + (int)rint((2 * f - 1) * 1024) + 1024);
}

/* Where scale d and minimum m lie in a block of random bits, m per d that centres the values, and the standard deviation that d = 1 gives
 * (from the formulas of each type, bits uniform). */
static const struct {
    int d_at, m_at;
    double m_per_d, sd;
} random_blocks[PRISM_N_TYPES] = {
    [PRISM_Q4_0] = { 0, -1, 0, 4.61 },      [PRISM_Q4_1] = { 0, 2, -7.5, 4.61 },   [PRISM_Q5_0] = { 0, -1, 0, 9.23 },
    [PRISM_Q5_1] = { 0, 2, -15.5, 9.23 },   [PRISM_Q8_0] = { 0, -1, 0, 73.9 },     [PRISM_Q2_K] = { 80, 82, 1.5, 13.9 },
    [PRISM_Q3_K] = { 108, -1, 0, 43.3 },    [PRISM_Q4_K] = { 0, 2, 7.5, 258 },     [PRISM_Q5_K] = { 0, 2, 15.5, 527 },
    [PRISM_Q6_K] = { 208, -1, 0, 1366 },    [PRISM_IQ4_NL] = { 0, -1, 0, 67.4 },   [PRISM_IQ4_XS] = { 0, -1, 0, 1246 },
};

static void random_block(uint8_t *block, enum prism_type type, double sd, uint64_t *state)
{
    for (uint32_t i = 0; i < prism_types[type].bytes; i++)
        block[i] = (uint8_t)(next_u64(state) >> 32);
    if (type == PRISM_MXFP4) {
        block[0] = (uint8_t)(128 + floor(log2(sd / 5.85) + 0.5 + 0.5 * next_uniform(state))); /* powers of two: right on average */
        return;
    }
    double d = sd / random_blocks[type].sd * (1 + 0.3 * next_uniform(state));
    uint16_t h = half_bits(d);
    memcpy(block + random_blocks[type].d_at, &h, 2);
    if (random_blocks[type].m_at >= 0) {
        h = half_bits(d * random_blocks[type].m_per_d);
        memcpy(block + random_blocks[type].m_at, &h, 2);
    }
}

void tiny_random_weights(uint8_t *dst, enum prism_type type, size_t n, double sd, uint64_t *state)
{
    const struct prism_type_info *info = &prism_types[type];
    assert_int_equal(n % info->block, 0);
    for (size_t i = 0; i < n / info->block; i++, dst += info->bytes) {
        if (info->block > 1) {
            random_block(dst, type, sd, state);
            continue;
        }
        double v = next_uniform(state) * sqrt(3) * sd;
        float f = (float)v;
        uint16_t h = half_bits(v);
        if (type == PRISM_F32)
            memcpy(dst, &f, 4);
        else if (type == PRISM_BF16)
            memcpy(dst, (uint8_t *)&f + 2, 2); /* upper half: truncated */
        else
            memcpy(dst, &h, 2);
    }
}

static const char *layer_name(int layer, const char *name)
{
    static char buf[64];
    if (layer < 0)
        return name;
    snprintf(buf, sizeof buf, "blk.%d.%s", layer, name);
    return buf;
}

static void add_matrix(struct gb *g, int layer, const char *name, enum prism_type type, uint32_t k, uint32_t rows, uint64_t *state)
{
    size_t n = (size_t)k * rows, bytes = prism_row_bytes(type, n);
    uint8_t *data = malloc(bytes);
    assert_non_null(data);
    tiny_random_weights(data, type, n, 1 / sqrt(k), state);
    gb_add(g, layer_name(layer, name), prism_types[type].id, 2, (uint64_t[]){ k, rows }, data, bytes);
    free(data);
}

static void add_vector(struct gb *g, int layer, const char *name, uint32_t n, float centre, uint64_t *state)
{
    float *v = malloc(n * sizeof *v);
    assert_non_null(v);
    for (uint32_t i = 0; i < n; i++)
        v[i] = centre + 0.1f * (float)next_uniform(state);
    gb_add(g, layer_name(layer, name), prism_types[PRISM_F32].id, 1, (uint64_t[]){ n }, v, n * sizeof *v);
    free(v);
}

void tiny_add_layers(struct gb *g, const char *name, uint64_t n)
{
    for (int layer = 0; layer < 2; layer++)
        gb_add_f32(g, layer_name(layer, name), n);
}

void tiny_add_longrope(struct gb *g, const char *arch, uint32_t n_original, uint64_t n)
{
    float narrow[PRISM_MAX_HEAD_DIM / 2], wide[PRISM_MAX_HEAD_DIM / 2];
    char type[64], original[64];

    for (uint64_t i = 0; i < n; i++)
        narrow[i] = 1 + 0.05f * (float)i, wide[i] = 1.5f + (float)i;
    snprintf(type, sizeof type, "%s.rope.scaling.type", arch);
    snprintf(original, sizeof original, "%s.rope.scaling.original_context_length", arch);
    gb_str(g, type, "longrope");
    gb_u32(g, original, n_original);
    gb_add(g, "rope_factors_short.weight", prism_types[PRISM_F32].id, 1, &n, narrow, n * sizeof *narrow);
    gb_add(g, "rope_factors_long.weight", prism_types[PRISM_F32].id, 1, &n, wide, n * sizeof *wide);
}

/* ---- vocabularies ---- */

static const char *const gpt2_merges[] = {
    "t h", "th e", "Ġ t", "Ġ the", "Ġ a", "i n", "o n", "a n", "an d", "Ġ and", "e r", "r e", "o u", "Ġ w", "Ġ s",
    "Ġ o", "Ġo f", "e d", "in g", "Ġ h", "o r", "i s", "a t", "e s", "Ġ b", "Ġ c", "Ġ m", "i t", "Ġt o", "e n",
};
static const char *const gpt2_special[] = { "<|endoftext|>", "<|im_start|>", "<|im_end|>" };
static const char *const spm_pieces[] = { "▁t", "he", "▁the", "▁a", "in", "on", "er", "an", "nd", "▁and", "ou", "▁w", "▁s", "of", "ing" };
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The printable character that byte-level BPE writes for a byte, as UTF-8. */
static void byte_text(unsigned byte, char out[4])
{
    unsigned code = byte;
    if (!((byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE))
        code = 0x100 + (byte <= 0x20 ? byte : byte <= 0xA0 ? byte - 0x7F + 33 : 67);
    if (code < 0x80)
        snprintf(out, 4, "%c", (int)code);
    else
        snprintf(out, 4, "%c%c", (int)(0xC0 | code >> 6), (int)(0x80 | (code & 0x3F)));
}

#define MAX_TOKENS 400
struct tokens {
    const char *text[MAX_TOKENS];
    char room[MAX_TOKENS][16];
    int32_t type[MAX_TOKENS];
    float score[MAX_TOKENS];
    uint32_t n;
};

static char *add_token(struct tokens *t, int32_t type, float score)
{
    assert_true(t->n < MAX_TOKENS);
    t->text[t->n] = t->room[t->n];
    t->type[t->n] = type;
    t->score[t->n] = score;
    return t->room[t->n++];
}

static void make_gpt2(struct tokens *t)
{
    for (unsigned b = 0; b < 256; b++)
        byte_text(b, add_token(t, 1, 0));
    for (size_t i = 0; i < COUNT(gpt2_merges); i++) {
        const char *gap = strchr(gpt2_merges[i] + 1, ' ');
        snprintf(add_token(t, 1, 0), 16, "%.*s%s", (int)(gap - gpt2_merges[i]), gpt2_merges[i], gap + 1);
    }
    for (size_t i = 0; i < COUNT(gpt2_special); i++)
        snprintf(add_token(t, 3, 0), 16, "%s", gpt2_special[i]);
}

static void make_spm(struct tokens *t)
{
    snprintf(add_token(t, 2, 0), 16, "<unk>");
    snprintf(add_token(t, 3, 0), 16, "<s>");
    snprintf(add_token(t, 3, 0), 16, "</s>");
    for (unsigned b = 0; b < 256; b++)
        snprintf(add_token(t, 6, 0), 16, "<0x%02X>", b);
    for (size_t i = 0; i < COUNT(spm_pieces); i++)
        snprintf(add_token(t, 1, -(float)i), 16, "%s", spm_pieces[i]);
    snprintf(add_token(t, 1, -100), 16, "▁");
    for (int c = 'a'; c <= 'z'; c++)
        snprintf(add_token(t, 1, -101 - (float)(c - 'a')), 16, "%c", c);
}

uint32_t tiny_n_vocab(const char *vocab)
{
    struct tokens t = { .n = 0 };
    strcmp(vocab, "gpt2") == 0 ? make_gpt2(&t) : make_spm(&t);
    return t.n;
}

static void add_vocab(struct gb *g, const char *vocab)
{
    struct tokens t = { .n = 0 };
    bool bpe = strcmp(vocab, "gpt2") == 0;
    bpe ? make_gpt2(&t) : make_spm(&t);
    gb_str(g, "tokenizer.ggml.model", vocab);
    if (bpe)
        gb_str(g, "tokenizer.ggml.pre", "qwen2");
    gb_strings(g, "tokenizer.ggml.tokens", t.text, t.n);
    gb_array(g, "tokenizer.ggml.token_type", PRISM_GV_I32, t.n, t.type, t.n * sizeof t.type[0]);
    if (bpe)
        gb_strings(g, "tokenizer.ggml.merges", gpt2_merges, COUNT(gpt2_merges));
    else
        gb_array(g, "tokenizer.ggml.scores", PRISM_GV_F32, t.n, t.score, t.n * sizeof t.score[0]);
    gb_u32(g, "tokenizer.ggml.bos_token_id", bpe ? t.n - 3 : 1);
    gb_u32(g, "tokenizer.ggml.eos_token_id", bpe ? t.n - 1 : 2);
    gb_bool(g, "tokenizer.ggml.add_bos_token", !bpe);
}

/* ---- models ---- */

struct tiny_model tiny_llama(void)
{
    return (struct tiny_model){
        .arch = "llama", .vocab = "gpt2", .n_layer = 2, .n_embd = 64, .n_head = 2, .n_head_kv = 1, .head_dim = 32, .n_ff = 128,
        .n_ctx = 512, .rope_base = 10000, .type = PRISM_Q8_0, .output_type = PRISM_Q8_0, .seed = 1,
    };
}

struct tiny_model tiny_qwen2(void)
{
    struct tiny_model m = tiny_llama();
    m.arch = "qwen2";
    return m;
}

struct tiny_model tiny_qwen3(void)
{
    struct tiny_model m = tiny_llama();
    m.arch = "qwen3";
    m.head_dim = 64;
    return m;
}

static const char *key_of(const struct tiny_model *m, const char *suffix)
{
    static char key[64];
    snprintf(key, sizeof key, "%s.%s", m->arch, suffix);
    return key;
}

static void add_hparams(struct gb *g, const struct tiny_model *m)
{
    gb_str(g, "general.architecture", m->arch);
    gb_str(g, "general.name", "tiny");
    gb_u32(g, key_of(m, "block_count"), m->n_layer);
    gb_u32(g, key_of(m, "context_length"), m->n_ctx);
    gb_u32(g, key_of(m, "embedding_length"), m->n_embd);
    gb_u32(g, key_of(m, "feed_forward_length"), m->n_ff);
    gb_u32(g, key_of(m, "attention.head_count"), m->n_head);
    gb_u32(g, key_of(m, "attention.head_count_kv"), m->n_head_kv);
    gb_u32(g, key_of(m, "attention.key_length"), m->head_dim);
    gb_u32(g, key_of(m, "attention.value_length"), m->head_dim);
    gb_f32(g, key_of(m, "attention.layer_norm_rms_epsilon"), 1e-5f);
    gb_f32(g, key_of(m, "rope.freq_base"), (float)m->rope_base);
}

/* general.file_type of a file whose matrices have one type (llama.h, enum llama_ftype) */
static uint32_t file_type_of(enum prism_type type)
{
    static const uint32_t ids[PRISM_N_TYPES] = {
        [PRISM_F32] = 0, [PRISM_F16] = 1, [PRISM_BF16] = 32, [PRISM_Q4_0] = 2, [PRISM_Q4_1] = 3, [PRISM_Q5_0] = 8, [PRISM_Q5_1] = 9,
        [PRISM_Q8_0] = 7, [PRISM_Q2_K] = 10, [PRISM_Q3_K] = 12, [PRISM_Q4_K] = 15, [PRISM_Q5_K] = 17, [PRISM_Q6_K] = 18,
        [PRISM_IQ4_NL] = 25, [PRISM_IQ4_XS] = 30, [PRISM_MXFP4] = 38,
    };
    return ids[type];
}

static void add_layer(struct gb *g, const struct tiny_model *m, int i, uint64_t *state)
{
    uint32_t nq = m->n_head * m->head_dim, nkv = m->n_head_kv * m->head_dim;
    bool qwen2 = strcmp(m->arch, "qwen2") == 0;

    add_vector(g, i, "attn_norm.weight", m->n_embd, 1, state);
    if (m->fused_qkv) {
        add_matrix(g, i, "attn_qkv.weight", m->type, m->n_embd, nq + 2 * nkv, state);
    } else {
        add_matrix(g, i, "attn_q.weight", m->type, m->n_embd, nq, state);
        add_matrix(g, i, "attn_k.weight", m->type, m->n_embd, nkv, state);
        add_matrix(g, i, "attn_v.weight", m->type, m->n_embd, nkv, state);
    }
    if ((qwen2 || m->biases) && m->fused_qkv) {
        add_vector(g, i, "attn_qkv.bias", nq + 2 * nkv, 0, state);
    } else if (qwen2 || m->biases) {
        add_vector(g, i, "attn_q.bias", nq, 0, state);
        add_vector(g, i, "attn_k.bias", nkv, 0, state);
        add_vector(g, i, "attn_v.bias", nkv, 0, state);
    }
    if (strcmp(m->arch, "qwen3") == 0) {
        add_vector(g, i, "attn_q_norm.weight", m->head_dim, 1, state);
        add_vector(g, i, "attn_k_norm.weight", m->head_dim, 1, state);
    }
    add_matrix(g, i, "attn_output.weight", m->type, nq, m->n_embd, state);
    add_vector(g, i, "ffn_norm.weight", m->n_embd, 1, state);
    add_matrix(g, i, "ffn_gate.weight", m->type, m->n_embd, m->n_ff, state);
    add_matrix(g, i, "ffn_up.weight", m->type, m->n_embd, m->n_ff, state);
    add_matrix(g, i, "ffn_down.weight", m->type, m->n_ff, m->n_embd, state);
    if (m->biases) {
        add_vector(g, i, "attn_output.bias", m->n_embd, 0, state);
        add_vector(g, i, "ffn_gate.bias", m->n_ff, 0, state);
        add_vector(g, i, "ffn_up.bias", m->n_ff, 0, state);
        add_vector(g, i, "ffn_down.bias", m->n_embd, 0, state);
    }
}

struct gb *tiny_build(const struct tiny_model *m)
{
    struct gb *g = gb_new();
    uint64_t state = m->seed;
    uint32_t n_vocab = tiny_n_vocab(m->vocab);

    add_hparams(g, m);
    add_vocab(g, m->vocab);
    gb_u32(g, "general.file_type", file_type_of(m->type));
    add_matrix(g, -1, "token_embd.weight", m->output_type, m->n_embd, n_vocab, &state);
    add_vector(g, -1, "output_norm.weight", m->n_embd, 1, &state);
    if (m->untied)
        add_matrix(g, -1, "output.weight", m->output_type, m->n_embd, n_vocab, &state);
    if (m->biases && m->untied)
        add_vector(g, -1, "output.bias", n_vocab, 0, &state);
    for (uint32_t i = 0; i < m->n_layer; i++)
        add_layer(g, m, (int)i, &state);
    return g;
}

const char *tiny_write(const struct tiny_model *m, const char *name)
{
    struct gb *g = tiny_build(m);
    const char *path = gb_write(g, name);
    gb_free(g);
    return path;
}
