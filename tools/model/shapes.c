/* shapes.c - see shapes.h. Figures: the config.json of each model's public repository; names and order of the tensors: those that
 * llama.cpp's converter writes. */
#include "tools/model/shapes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define QWEN3 .arch = "qwen3", .head_dim = 128, .n_vocab = 151936, .n_ctx = 40960, .rope_base = 1e6f, .rms_eps = 1e-6f, .qk_norm = true
#define LLAMA3 .arch = "llama", .n_vocab = 128256, .n_ctx = 131072, .rope_base = 5e5f, .rms_eps = 1e-5f
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
    { .name = "llama-3.2-1b", .title = "Llama 3.2 1B", LLAMA3, .tied = true, .rope_factor = 32,
      .n_layer = 16, .n_embd = 2048, .n_ff = 8192, .n_head = 32, .n_head_kv = 8, .head_dim = 64 },
    { .name = "llama-3.2-3b", .title = "Llama 3.2 3B", LLAMA3, .tied = true, .rope_factor = 32,
      .n_layer = 28, .n_embd = 3072, .n_ff = 8192, .n_head = 24, .n_head_kv = 8, .head_dim = 128 },
    { .name = "llama-3.1-8b", .title = "Llama 3.1 8B", LLAMA3, .rope_factor = 8,
      .n_layer = 32, .n_embd = 4096, .n_ff = 14336, .n_head = 32, .n_head_kv = 8, .head_dim = 128 },
    { .name = "smollm2-135m", .title = "SmolLM2 135M", SMOLLM2,
      .n_layer = 30, .n_embd = 576, .n_ff = 1536, .n_head = 9, .n_head_kv = 3 },
    { .name = "smollm2-360m", .title = "SmolLM2 360M", SMOLLM2,
      .n_layer = 32, .n_embd = 960, .n_ff = 2560, .n_head = 15, .n_head_kv = 5 },
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

/* layer < 0: outside the layers. */
static struct shape_tensor *add(struct list *l, int layer, const char *name, enum shape_role role, uint64_t ne0, uint64_t ne1)
{
    struct shape_tensor *t = l->out ? &l->out[l->n] : &l->spare;

    l->n++;
    l->parameters += role == SHAPE_ROPE_FREQS ? 0 : ne0 * ne1;
    *t = (struct shape_tensor){ .role = role, .ne = { ne0, ne1 }, .layer = layer < 0 ? 0 : (uint32_t)layer };
    if (layer < 0)
        snprintf(t->name, sizeof t->name, "%s.weight", name);
    else
        snprintf(t->name, sizeof t->name, "blk.%d.%s.weight", layer, name);
    return t;
}

static void add_layer(struct list *l, const struct shape *s, int i)
{
    uint64_t nq = (uint64_t)s->n_head * s->head_dim, nkv = (uint64_t)s->n_head_kv * s->head_dim;

    add(l, i, "attn_norm", SHAPE_NORM, s->n_embd, 1);
    add(l, i, "ffn_down", SHAPE_MATRIX, s->n_ff, s->n_embd)->is_down = true;
    add(l, i, "ffn_gate", SHAPE_MATRIX, s->n_embd, s->n_ff);
    add(l, i, "ffn_up", SHAPE_MATRIX, s->n_embd, s->n_ff);
    add(l, i, "ffn_norm", SHAPE_NORM, s->n_embd, 1);
    if (s->qk_norm)
        add(l, i, "attn_k_norm", SHAPE_NORM, s->head_dim, 1);
    add(l, i, "attn_k", SHAPE_MATRIX, s->n_embd, nkv);
    add(l, i, "attn_output", SHAPE_MATRIX, nq, s->n_embd);
    if (s->qk_norm)
        add(l, i, "attn_q_norm", SHAPE_NORM, s->head_dim, 1);
    add(l, i, "attn_q", SHAPE_MATRIX, s->n_embd, nq);
    add(l, i, "attn_v", SHAPE_MATRIX, s->n_embd, nkv)->is_value = true;
}

static struct list walk(const struct shape *s, uint32_t n_layer, uint32_t n_vocab, struct shape_tensor *out)
{
    struct list l = { .out = out };

    if (s->rope_factor > 0)
        add(&l, -1, "rope_freqs", SHAPE_ROPE_FREQS, s->head_dim / 2, 1);
    if (!s->tied)
        add(&l, -1, "output", SHAPE_MATRIX, s->n_embd, n_vocab)->is_output = true;
    add(&l, -1, "token_embd", SHAPE_MATRIX, s->n_embd, n_vocab)->is_output = s->tied;
    for (uint32_t i = 0; i < n_layer; i++)
        add_layer(&l, s, (int)i);
    add(&l, -1, "output_norm", SHAPE_NORM, s->n_embd, 1);
    return l;
}

size_t shape_tensors(const struct shape *s, uint32_t n_layer, uint32_t n_vocab, struct shape_tensor *tensors)
{
    return walk(s, n_layer, n_vocab, tensors).n;
}

uint64_t shape_parameters(const struct shape *s, uint32_t n_layer, uint32_t n_vocab) { return walk(s, n_layer, n_vocab, NULL).parameters; }

/* Llama 3.1's scaling, which its converter stores as one divisor per pair: wavelengths below C/H keep their frequency, those above
 * C/L are stretched by the factor F, and in between the frequency is mixed linearly in C/wavelength. */
void shape_rope_freqs(const struct shape *s, float *divisors)
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
