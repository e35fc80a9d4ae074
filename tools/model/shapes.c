/* shapes.c - see shapes.h. Figures: the config.json of each model's public repository; names and order of the tensors: those that
 * llama.cpp's converter writes. */
#include "tools/model/shapes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define QWEN3 .arch = "qwen3", .head_dim = 128, .n_vocab = 151936, .n_ctx = 40960, .rope_base = 1e6f, .rms_eps = 1e-6f, .qk_norm = true
#define LLAMA3 .arch = "llama", .n_vocab = 128256, .n_ctx = 131072, .rope_base = 5e5f, .rms_eps = 1e-5f
#define GEMMA3 .arch = "gemma3", .head_dim = 256, .rope_base = 1e6f, .rms_eps = 1e-6f, .qk_norm = true, .post_norms = true, .tied = true
#define SMOLLM2 .arch = "llama", .head_dim = 64, .n_vocab = 49152, .n_ctx = 8192, .rope_base = 1e5f, .rms_eps = 1e-5f, .tied = true

const struct shape shapes[] = {
    { .name = "qwen3-0.6b", .title = "Qwen3 0.6B", QWEN3, .tied = true,
      .n_layer = 28, .n_embd = 1024, .n_ff = 3072, .n_head = 16, .n_head_kv = 8 },
    { .name = "qwen3-1.7b", .title = "Qwen3 1.7B", QWEN3, .tied = true,
      .n_layer = 28, .n_embd = 2048, .n_ff = 6144, .n_head = 16, .n_head_kv = 8 },
    { .name = "qwen3-4b", .title = "Qwen3 4B", QWEN3, .tied = true,
      .n_layer = 36, .n_embd = 2560, .n_ff = 9728, .n_head = 32, .n_head_kv = 8 },
    { .name = "qwen3-8b", .title = "Qwen3 8B", QWEN3,
      .n_layer = 36, .n_embd = 4096, .n_ff = 12288, .n_head = 32, .n_head_kv = 8 },
    { .name = "qwen3.5-4b", .title = "Qwen3.5 4B", .arch = "qwen35", .head_dim = 256, .n_vocab = 248320, .n_ctx = 262144, .rope_base = 1e7f,
      .rms_eps = 1e-6f, .qk_norm = true, .tied = true, .n_rot = 64, .n_key_state = 16, .n_value_state = 32, .d_state = 128,
      .n_layer = 32, .n_embd = 2560, .n_ff = 9216, .n_head = 16, .n_head_kv = 4 },
    { .name = "llama-3.2-1b", .title = "Llama 3.2 1B", LLAMA3, .tied = true, .rope_scaling = SHAPE_LLAMA3, .rope_factor = 32,
      .n_layer = 16, .n_embd = 2048, .n_ff = 8192, .n_head = 32, .n_head_kv = 8, .head_dim = 64 },
    { .name = "llama-3.2-3b", .title = "Llama 3.2 3B", LLAMA3, .tied = true, .rope_scaling = SHAPE_LLAMA3, .rope_factor = 32,
      .n_layer = 28, .n_embd = 3072, .n_ff = 8192, .n_head = 24, .n_head_kv = 8, .head_dim = 128 },
    { .name = "llama-3.1-8b", .title = "Llama 3.1 8B", LLAMA3, .rope_scaling = SHAPE_LLAMA3, .rope_factor = 8,
      .n_layer = 32, .n_embd = 4096, .n_ff = 14336, .n_head = 32, .n_head_kv = 8, .head_dim = 128 },
    { .name = "smollm2-135m", .title = "SmolLM2 135M", SMOLLM2,
      .n_layer = 30, .n_embd = 576, .n_ff = 1536, .n_head = 9, .n_head_kv = 3 },
    { .name = "smollm2-360m", .title = "SmolLM2 360M", SMOLLM2,
      .n_layer = 32, .n_embd = 960, .n_ff = 2560, .n_head = 15, .n_head_kv = 5 },
    { .name = "qwen3-30b-a3b", .title = "Qwen3 30B A3B", .arch = "qwen3moe", .head_dim = 128, .n_vocab = 151936, .n_ctx = 40960,
      .rope_base = 1e6f, .rms_eps = 1e-6f, .qk_norm = true, .n_expert = 128, .n_expert_used = 8, .n_ff_exp = 768,
      .n_layer = 48, .n_embd = 2048, .n_ff = 6144, .n_head = 32, .n_head_kv = 4 },
    { .name = "gpt-oss-20b", .title = "gpt-oss 20B", .arch = "gpt-oss", .head_dim = 64, .n_vocab = 201088, .n_ctx = 131072,
      .rope_base = 150000, .rms_eps = 1e-5f, .oss = true, .n_expert = 32, .n_expert_used = 4, .n_ff_exp = 2880,
      .rope_scaling = SHAPE_YARN, .rope_factor = 32, .rope_orig_ctx = 4096, .window = 128,
      .n_layer = 24, .n_embd = 2880, .n_ff = 2880, .n_head = 64, .n_head_kv = 8 },
    { .name = "gemma-3-1b", .title = "Gemma 3 1B", GEMMA3, .n_vocab = 262144, .n_ctx = 32768, .window = 512,
      .n_layer = 26, .n_embd = 1152, .n_ff = 6912, .n_head = 4, .n_head_kv = 1 },
    { .name = "gemma-3-4b", .title = "Gemma 3 4B", GEMMA3, .n_vocab = 262208, .n_ctx = 131072, .window = 1024,
      .rope_scaling = SHAPE_LINEAR, .rope_factor = 8,
      .n_layer = 34, .n_embd = 2560, .n_ff = 10240, .n_head = 8, .n_head_kv = 4 },
    { .name = "phi-4-mini", .title = "Phi-4 mini", .arch = "phi3", .head_dim = 128, .n_vocab = 200064, .n_ctx = 131072,
      .rope_base = 10000, .rms_eps = 1e-5f, .fused = true, .tied = true, .n_rot = 96, .window = 262144,
      .rope_scaling = SHAPE_LONGROPE, .rope_factor = 32, .rope_orig_ctx = 4096,
      .n_layer = 32, .n_embd = 3072, .n_ff = 8192, .n_head = 24, .n_head_kv = 8 },
};
const size_t n_shapes = sizeof shapes / sizeof *shapes;

const struct shape *shape_find(const char *name)
{
    for (size_t i = 0; i < n_shapes; i++)
        if (!strcmp(shapes[i].name, name))
            return &shapes[i];
    return NULL;
}

/* ---- tensors ------------------------------------------------------------------------------------------------------ */

struct list {
    struct shape_tensor *out; /* NULL: only count */
    size_t n;
    uint64_t parameters;
    struct shape_tensor spare; /* what is only counted */
};

/* layer < 0: outside the layers. ne1, ne2: 0 beyond the last dimension. */
static struct shape_tensor *add3(struct list *l, int layer, const char *name, enum shape_role role, uint64_t ne0, uint64_t ne1, uint64_t ne2)
{
    struct shape_tensor *t = l->out ? &l->out[l->n] : &l->spare;
    const char *suffix = role == SHAPE_DECAY ? "" : role == SHAPE_BIAS ? ".bias" : ".weight";

    *t = (struct shape_tensor){ .role = role, .n_dims = 1 + (ne1 > 0) + (ne2 > 0), .ne = { ne0, ne1 ? ne1 : 1, ne2 ? ne2 : 1 },
                                .layer = layer < 0 ? 0 : (uint32_t)layer };
    l->n++;
    l->parameters += role == SHAPE_ROPE || role == SHAPE_ROPE_LONG ? 0 : t->ne[0] * t->ne[1] * t->ne[2];
    if (layer < 0)
        snprintf(t->name, sizeof t->name, "%s%s", name, suffix);
    else
        snprintf(t->name, sizeof t->name, "blk.%d.%s%s", layer, name, suffix);
    return t;
}

static struct shape_tensor *add(struct list *l, int layer, const char *name, enum shape_role role, uint64_t ne0, uint64_t ne1)
{
    return add3(l, layer, name, role, ne0, ne1, 0);
}

/* A projection, with its bias where the shape has such. */
static struct shape_tensor *project(struct list *l, const struct shape *s, int i, const char *name, uint64_t ne0, uint64_t ne1)
{
    if (s->oss)
        add(l, i, name, SHAPE_BIAS, ne1, 0);
    return add(l, i, name, SHAPE_MATRIX, ne0, ne1);
}

static struct shape_tensor *expert(struct list *l, const struct shape *s, int i, const char *name, uint64_t ne0, uint64_t ne1)
{
    if (s->oss)
        add(l, i, name, SHAPE_BIAS, ne1, s->n_expert);
    return add3(l, i, name, SHAPE_EXPERTS, ne0, ne1, s->n_expert);
}

static void add_ffn(struct list *l, const struct shape *s, int i)
{
    if (s->n_expert) {
        expert(l, s, i, "ffn_down_exps", s->n_ff_exp, s->n_embd)->is_down = true;
        expert(l, s, i, "ffn_gate_exps", s->n_embd, s->n_ff_exp);
        expert(l, s, i, "ffn_up_exps", s->n_embd, s->n_ff_exp);
        if (s->oss)
            add(l, i, "ffn_gate_inp", SHAPE_BIAS, s->n_expert, 0);
        add(l, i, "ffn_gate_inp", SHAPE_ROUTER, s->n_embd, s->n_expert);
        return;
    }
    add(l, i, "ffn_down", SHAPE_MATRIX, s->n_ff, s->n_embd)->is_down = true;
    if (!s->fused)
        add(l, i, "ffn_gate", SHAPE_MATRIX, s->n_embd, s->n_ff);
    add(l, i, "ffn_up", SHAPE_MATRIX, s->n_embd, s->fused ? 2 * (uint64_t)s->n_ff : s->n_ff);
}

static void add_attention(struct list *l, const struct shape *s, int i)
{
    uint64_t nq = (uint64_t)s->n_head * s->head_dim, nkv = (uint64_t)s->n_head_kv * s->head_dim;

    if (s->qk_norm)
        add(l, i, "attn_k_norm", SHAPE_NORM, s->head_dim, 0);
    if (!s->fused)
        project(l, s, i, "attn_k", s->n_embd, nkv);
    project(l, s, i, "attn_output", nq, s->n_embd);
    if (s->qk_norm)
        add(l, i, "attn_q_norm", SHAPE_NORM, s->head_dim, 0);
    if (s->n_value_state) {
        project(l, s, i, "attn_q", s->n_embd, 2 * nq); /* and gates */
        project(l, s, i, "attn_v", s->n_embd, nkv)->is_value = true;
    } else if (s->fused) {
        project(l, s, i, "attn_qkv", s->n_embd, nq + 2 * nkv)->is_qkv = true;
    } else {
        project(l, s, i, "attn_q", s->n_embd, nq);
        project(l, s, i, "attn_v", s->n_embd, nkv)->is_value = true;
    }
    if (s->oss)
        add(l, i, "attn_sinks", SHAPE_SINKS, s->n_head, 0);
}

static void add_delta(struct list *l, const struct shape *s, int i)
{
    uint64_t inner = (uint64_t)s->n_value_state * s->d_state, channels = inner + 2 * (uint64_t)s->n_key_state * s->d_state;

    add(l, i, "attn_gate", SHAPE_MATRIX, s->n_embd, inner);
    add(l, i, "attn_qkv", SHAPE_MATRIX, s->n_embd, channels)->is_qkv = true;
    add(l, i, "ssm_a", SHAPE_DECAY, s->n_value_state, 0);
    add(l, i, "ssm_alpha", SHAPE_MATRIX, s->n_embd, s->n_value_state);
    add(l, i, "ssm_beta", SHAPE_MATRIX, s->n_embd, s->n_value_state);
    add(l, i, "ssm_conv1d", SHAPE_ROUTER, SHAPE_N_CONV, channels);
    add(l, i, "ssm_dt", SHAPE_BIAS, s->n_value_state, 0);
    add(l, i, "ssm_norm", SHAPE_NORM, s->d_state, 0);
    add(l, i, "ssm_out", SHAPE_MATRIX, inner, s->n_embd);
}

static void add_layer(struct list *l, const struct shape *s, int i)
{
    add(l, i, "attn_norm", SHAPE_NORM, s->n_embd, 0);
    add_ffn(l, s, i);
    add(l, i, s->oss || s->n_value_state ? "post_attention_norm" : "ffn_norm", SHAPE_NORM, s->n_embd, 0); /* both: in front of the feed-forward half */
    if (s->post_norms) {
        add(l, i, "post_attention_norm", SHAPE_NORM, s->n_embd, 0);
        add(l, i, "post_ffw_norm", SHAPE_NORM, s->n_embd, 0);
    }
    if (s->n_value_state && (i + 1) % 4)
        add_delta(l, s, i);
    else
        add_attention(l, s, i);
}

static void add_rope(struct list *l, const struct shape *s)
{
    if (s->rope_scaling == SHAPE_LLAMA3)
        add(l, -1, "rope_freqs", SHAPE_ROPE, shape_n_rot(s) / 2, 0);
    if (s->rope_scaling == SHAPE_LONGROPE) {
        add(l, -1, "rope_factors_long", SHAPE_ROPE_LONG, shape_n_rot(s) / 2, 0);
        add(l, -1, "rope_factors_short", SHAPE_ROPE, shape_n_rot(s) / 2, 0);
    }
}

static struct list walk(const struct shape *s, uint32_t n_layer, uint32_t n_vocab, struct shape_tensor *out)
{
    struct list l = { .out = out };

    add_rope(&l, s);
    if (!s->tied)
        add(&l, -1, "output", SHAPE_MATRIX, s->n_embd, n_vocab)->is_output = true;
    add(&l, -1, "token_embd", SHAPE_MATRIX, s->n_embd, n_vocab)->is_output = s->tied;
    for (uint32_t i = 0; i < n_layer; i++)
        add_layer(&l, s, (int)i);
    add(&l, -1, "output_norm", SHAPE_NORM, s->n_embd, 0);
    return l;
}

size_t shape_tensors(const struct shape *s, uint32_t n_layer, uint32_t n_vocab, struct shape_tensor *tensors)
{
    return walk(s, n_layer, n_vocab, tensors).n;
}

uint64_t shape_parameters(const struct shape *s, uint32_t n_layer, uint32_t n_vocab) { return walk(s, n_layer, n_vocab, NULL).parameters; }

uint32_t shape_n_rot(const struct shape *s) { return s->n_rot ? s->n_rot : s->head_dim; }

/* Llama 3.1's scaling, which its converter stores as one divisor per pair: wavelengths below C/H keep their frequency, those above
 * C/L are stretched by the factor F, and in between the frequency is mixed linearly in C/wavelength. */
static void llama3_divisors(const struct shape *s, float *divisors)
{
    const double context = 8192, low = 1, high = 4, pi = 3.14159265358979323846;

    for (uint32_t i = 0; i < s->head_dim / 2; i++) {
        double wavelength = 2 * pi * pow(s->rope_base, 2.0 * i / s->head_dim), mix = (context / wavelength - low) / (high - low);
        if (wavelength < context / high)
            divisors[i] = 1;
        else if (wavelength > context / low)
            divisors[i] = s->rope_factor;
        else
            divisors[i] = (float)(1 / ((1 - mix) / s->rope_factor + mix));
    }
}

/* longrope's are the outcome of a search (Ding et al. 2024): nothing up to the original context, and beyond it about a geometric row from 1 to
 * the factor, reached after two thirds of the pairs. */
void shape_rope_divisors(const struct shape *s, enum shape_role role, float *divisors)
{
    double n = shape_n_rot(s) / 2;

    if (s->rope_scaling == SHAPE_LLAMA3)
        llama3_divisors(s, divisors);
    else
        for (uint32_t i = 0; i < shape_n_rot(s) / 2; i++)
            divisors[i] = role == SHAPE_ROPE_LONG ? (float)fmin(pow(s->rope_factor, 1.5 * i / n), s->rope_factor) : 1;
}
