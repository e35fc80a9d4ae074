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

/* round half to even, values from 0 to 448: four bits of exponent, three behind the point, the smallest without a 1 in front of it */
static uint8_t e4m3_bits(double v)
{
    int e;
    double f = frexp(v, &e);
    return (uint8_t)(e < -5 ? rint(ldexp(v, 9)) : (e + 6) * 8 + rint((2 * f - 1) * 8));
}

/* Of types with minima: m per d that centres the values of random bits, and the standard deviation that d = 1 then gives; it is not that of
 * equal minima in type_list.h. */
static const struct {
    double m_per_d, sd;
} minima[PRISM_N_TYPES] = {
    [PRISM_Q4_1] = { -7.5, 4.61 }, [PRISM_Q5_1] = { -15.5, 9.23 }, [PRISM_Q2_K] = { 1.5, 13.9 },
    [PRISM_Q4_K] = { 7.5, 258 },   [PRISM_Q5_K] = { 15.5, 527 },
};

static void random_block(uint8_t *block, enum prism_type type, double sd, uint64_t *state)
{
    const struct prism_type_info *info = &prism_types[type];
    for (uint32_t i = 0; i < info->bytes; i++)
        block[i] = (uint8_t)(next_u64(state) >> 32);
    if (info->scale == PRISM_SCALE_E8M0) { /* powers of two: right on average */
        block[info->scale_at[0]] = (uint8_t)(128 + floor(log2(sd / (double)info->rms) + 0.5 + 0.5 * next_uniform(state)));
        return;
    }
    if (info->scale == PRISM_SCALE_E4M3) {
        for (uint32_t g = 0; g < info->block / info->group; g++)
            block[g] = e4m3_bits(2 * sd / (double)info->rms * (1 + 0.3 * next_uniform(state)));
        return;
    }
    double d = sd / (info->stored_min ? minima[type].sd : (double)info->rms) * (1 + 0.3 * next_uniform(state));
    uint16_t h = half_bits(d);
    if (info->scale == PRISM_SCALE_NIBBLES)
        for (int i = 0; i < 4; i++)
            block[info->scale_at[0] + 2 * i + 1] = (uint8_t)((block[info->scale_at[0] + 2 * i + 1] & 15) | (h >> 4 * i & 15) << 4);
    else
        memcpy(block + info->scale_at[0], &h, 2);
    if (info->stored_min) {
        h = half_bits(d * minima[type].m_per_d);
        memcpy(block + info->scale_at[1], &h, 2);
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

/* The tensor beside a matrix in NVFP4: a number around `centre` for each slab. n: length of the matrix's name in front of ".weight". */
static void add_scales(struct gb *g, int layer, const char *name, size_t n, double centre, uint64_t slabs, uint64_t *state)
{
    char scale[48];
    float v[64];
    snprintf(scale, sizeof scale, "%.*s.scale", (int)n, name);
    assert_true(slabs <= sizeof v / sizeof *v);
    for (size_t i = 0; i < slabs; i++)
        v[i] = (float)(centre * (1 + 0.3 * next_uniform(state)));
    gb_add(g, layer_name(layer, scale), prism_types[PRISM_F32].id, 1, &slabs, v, slabs * sizeof *v);
}

/* n slabs of rows x k; n 0: a matrix. */
static void add_slabs(struct gb *g, int layer, const char *name, enum prism_type type, uint32_t k, uint32_t rows, uint32_t n, uint64_t *state)
{
    size_t slabs = n ? n : 1, values = (size_t)k * rows * slabs, bytes = prism_row_bytes(type, values);
    uint8_t *data = malloc(bytes);
    const char *dot = strrchr(name, '.');
    bool scaled = type == PRISM_NVFP4 && dot && strcmp(name, "token_embd.weight") != 0;
    assert_non_null(data);
    tiny_random_weights(data, type, values, scaled ? 1 : 1 / sqrt(k), state);
    if (scaled)
        add_scales(g, layer, name, (size_t)(dot - name), 1 / sqrt(k), slabs, state);
    gb_add(g, layer_name(layer, name), prism_types[type].id, n ? 3 : 2, (uint64_t[]){ k, rows, n }, data, bytes);
    free(data);
}

static void add_matrix(struct gb *g, int layer, const char *name, enum prism_type type, uint32_t k, uint32_t rows, uint64_t *state)
{
    add_slabs(g, layer, name, type, k, rows, 0, state);
}

/* n rows of width values; n 0: a vector. */
static void add_table(struct gb *g, int layer, const char *name, uint32_t width, uint32_t n, float centre, uint64_t *state)
{
    size_t values = (size_t)width * (n ? n : 1);
    float *v = malloc(values * sizeof *v);
    assert_non_null(v);
    for (size_t i = 0; i < values; i++)
        v[i] = centre + 0.1f * (float)next_uniform(state);
    gb_add(g, layer_name(layer, name), prism_types[PRISM_F32].id, n ? 2 : 1, (uint64_t[]){ width, n }, v, values * sizeof *v);
    free(v);
}

static void add_vector(struct gb *g, int layer, const char *name, uint32_t n, float centre, uint64_t *state)
{
    add_table(g, layer, name, n, 0, centre, state);
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

static void add_hparams(struct gb *g, const struct tiny_model *m)
{
    gb_str(g, "general.architecture", m->arch);
    gb_str(g, "general.name", "tiny");
    gb_u32(g, tiny_key(m->arch, "block_count"), m->n_layer);
    gb_u32(g, tiny_key(m->arch, "context_length"), m->n_ctx);
    gb_u32(g, tiny_key(m->arch, "embedding_length"), m->n_embd);
    gb_u32(g, tiny_key(m->arch, "feed_forward_length"), m->n_ff);
    gb_u32(g, tiny_key(m->arch, "attention.head_count"), m->n_head);
    gb_u32(g, tiny_key(m->arch, "attention.head_count_kv"), m->n_head_kv);
    gb_u32(g, tiny_key(m->arch, "attention.key_length"), m->head_dim);
    gb_u32(g, tiny_key(m->arch, "attention.value_length"), m->head_dim);
    gb_f32(g, tiny_key(m->arch, "attention.layer_norm_rms_epsilon"), 1e-5f);
    gb_f32(g, tiny_key(m->arch, "rope.freq_base"), (float)m->rope_base);
    tiny_add_family_keys(g, m);
}

static void add_delta(struct gb *g, const struct tiny_model *m, int i, uint64_t *state)
{
    uint32_t inner = TINY_N_VALUE * TINY_STATE, channels = inner + 2 * TINY_N_KEY * TINY_STATE;

    add_vector(g, i, "attn_norm.weight", m->n_embd, 1, state);
    add_matrix(g, i, "attn_qkv.weight", m->type, m->n_embd, channels, state);
    add_matrix(g, i, "attn_gate.weight", m->type, m->n_embd, inner, state);
    add_matrix(g, i, "ssm_beta.weight", m->type, m->n_embd, TINY_N_VALUE, state);
    add_matrix(g, i, "ssm_alpha.weight", m->type, m->n_embd, TINY_N_VALUE, state);
    add_table(g, i, "ssm_conv1d.weight", TINY_CONV, channels, 0.3f, state);
    add_vector(g, i, "ssm_dt.bias", TINY_N_VALUE, -1, state);
    add_vector(g, i, "ssm_a", TINY_N_VALUE, -0.3f, state);
    add_vector(g, i, "ssm_norm.weight", TINY_STATE, 1, state);
    add_matrix(g, i, "ssm_out.weight", m->type, inner, m->n_embd, state);
    add_vector(g, i, "post_attention_norm.weight", m->n_embd, 1, state);
}

static void add_attention(struct gb *g, const struct tiny_model *m, int i, unsigned parts, uint64_t *state)
{
    uint32_t nq = m->n_head * m->head_dim, nkv = m->n_head_kv * m->head_dim;
    bool biased = parts & TINY_QKV_BIAS || m->biases;

    add_vector(g, i, "attn_norm.weight", m->n_embd, 1, state);
    if (m->fused_qkv) {
        add_matrix(g, i, "attn_qkv.weight", m->type, m->n_embd, nq + 2 * nkv, state);
    } else {
        add_matrix(g, i, "attn_q.weight", m->type, m->n_embd, parts & TINY_DELTA ? 2 * nq : nq, state);
        add_matrix(g, i, "attn_k.weight", m->type, m->n_embd, nkv, state);
        add_matrix(g, i, "attn_v.weight", m->type, m->n_embd, nkv, state);
    }
    if (biased && m->fused_qkv) {
        add_vector(g, i, "attn_qkv.bias", nq + 2 * nkv, 0, state);
    } else if (biased) {
        add_vector(g, i, "attn_q.bias", nq, 0, state);
        add_vector(g, i, "attn_k.bias", nkv, 0, state);
        add_vector(g, i, "attn_v.bias", nkv, 0, state);
    }
    if (parts & TINY_QK_NORM) {
        add_vector(g, i, "attn_q_norm.weight", m->head_dim, 1, state);
        add_vector(g, i, "attn_k_norm.weight", m->head_dim, 1, state);
    }
    if (parts & TINY_SINKS)
        add_vector(g, i, "attn_sinks.weight", m->n_head, 1, state);
    add_matrix(g, i, "attn_output.weight", m->type, nq, m->n_embd, state);
    if (parts & TINY_O_BIAS)
        add_vector(g, i, "attn_output.bias", m->n_embd, 0, state);
    if (parts & TINY_POST_NORMS) {
        add_vector(g, i, "post_attention_norm.weight", m->n_embd, 1, state);
        add_vector(g, i, "post_ffw_norm.weight", m->n_embd, 1, state);
    }
    add_vector(g, i, parts & TINY_NORM_BEFORE_FFN ? "post_attention_norm.weight" : "ffn_norm.weight", m->n_embd, 1, state);
}

static void add_experts(struct gb *g, const struct tiny_model *m, int i, unsigned parts, uint64_t *state)
{
    uint32_t n = m->n_expert, width = m->n_ff_expert;

    add_matrix(g, i, "ffn_gate_inp.weight", PRISM_F32, m->n_embd, n, state);
    add_slabs(g, i, "ffn_gate_exps.weight", m->type, m->n_embd, width, n, state);
    add_slabs(g, i, "ffn_up_exps.weight", m->type, m->n_embd, width, n, state);
    add_slabs(g, i, "ffn_down_exps.weight", m->type, width, m->n_embd, n, state);
    if (parts & TINY_EXPERT_BIAS) {
        add_vector(g, i, "ffn_gate_inp.bias", n, 0, state);
        add_table(g, i, "ffn_gate_exps.bias", width, n, 0, state);
        add_table(g, i, "ffn_up_exps.bias", width, n, 0, state);
        add_table(g, i, "ffn_down_exps.bias", m->n_embd, n, 0, state);
    }
    if (parts & TINY_SHARED && m->n_ff_shared) {
        add_matrix(g, i, "ffn_gate_shexp.weight", m->type, m->n_embd, m->n_ff_shared, state);
        add_matrix(g, i, "ffn_up_shexp.weight", m->type, m->n_embd, m->n_ff_shared, state);
        add_matrix(g, i, "ffn_down_shexp.weight", m->type, m->n_ff_shared, m->n_embd, state);
    }
    if (parts & TINY_SHARED_GATE)
        add_vector(g, i, "ffn_gate_inp_shexp.weight", m->n_embd, 0, state);
}

static void add_ffn(struct gb *g, const struct tiny_model *m, int i, unsigned parts, uint64_t *state)
{
    if (!(parts & TINY_FUSED_FFN))
        add_matrix(g, i, "ffn_gate.weight", m->type, m->n_embd, m->n_ff, state);
    add_matrix(g, i, "ffn_up.weight", m->type, m->n_embd, m->n_ff * (parts & TINY_FUSED_FFN ? 2 : 1), state);
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
    tiny_add_vocab(g, m->vocab);
    gb_u32(g, "general.file_type", prism_types[m->type].file_type);
    add_matrix(g, -1, "token_embd.weight", m->output_type, m->n_embd, n_vocab, &state);
    add_vector(g, -1, "output_norm.weight", m->n_embd, 1, &state);
    if (m->untied)
        add_matrix(g, -1, "output.weight", m->output_type, m->n_embd, n_vocab, &state);
    if (m->biases && m->untied)
        add_vector(g, -1, "output.bias", n_vocab, 0, &state);
    for (uint32_t i = 0; i < m->n_layer; i++) {
        if (tiny_parts(m->arch) & TINY_DELTA && i % 2 == 0)
            add_delta(g, m, (int)i, &state);
        else
            add_attention(g, m, (int)i, tiny_parts(m->arch), &state);
        (m->n_expert ? add_experts : add_ffn)(g, m, (int)i, tiny_parts(m->arch), &state);
    }
    return g;
}

const char *tiny_write(const struct tiny_model *m, const char *name)
{
    struct gb *g = tiny_build(m);
    const char *path = gb_write(g, name);
    gb_free(g);
    return path;
}
