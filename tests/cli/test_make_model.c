/* test_make_model.c - make-model --shape: keys, tensors and parameters of each public shape, and the mix of types over layers. Vocabularies:
 * test_make_vocab.c; weights: test_make_weights.c; --convert: test_make_convert.c; refusals: test_make_refusals.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "src/gguf/gguf.h"
#include "tests/support/made_model.h"
#include "tests/support/tiny_model.h"
#include "tests/support/tool_check.h"

/* From the model cards: config.json, and the parameters that the hub counts. */
static const struct public_shape {
    const char *name, *arch;
    uint64_t parameters;
    uint32_t n_layer, n_embd, n_head, n_head_kv, head_dim, n_ff, n_vocab, n_ctx;
    float rope_base, rms_eps;
    bool tied;
    unsigned scaling; /* factor of llama3 RoPE scaling */
} public_shapes[] = {
    { "qwen3-0.6b", "qwen3", 596049920, 28, 1024, 16, 8, 128, 3072, 151936, 40960, 1e6f, 1e-6f, true, 0 },
    { "qwen3-1.7b", "qwen3", 1720574976, 28, 2048, 16, 8, 128, 6144, 151936, 40960, 1e6f, 1e-6f, true, 0 },
    { "qwen3-4b", "qwen3", 4022468096, 36, 2560, 32, 8, 128, 9728, 151936, 40960, 1e6f, 1e-6f, true, 0 },
    { "qwen3-8b", "qwen3", 8190735360, 36, 4096, 32, 8, 128, 12288, 151936, 40960, 1e6f, 1e-6f, false, 0 },
    { "llama-3.2-1b", "llama", 1235814400, 16, 2048, 32, 8, 64, 8192, 128256, 131072, 5e5f, 1e-5f, true, 32 },
    { "llama-3.2-3b", "llama", 3212749824, 28, 3072, 24, 8, 128, 8192, 128256, 131072, 5e5f, 1e-5f, true, 32 },
    { "llama-3.1-8b", "llama", 8030261248, 32, 4096, 32, 8, 128, 14336, 128256, 131072, 5e5f, 1e-5f, false, 8 },
    { "smollm2-135m", "llama", 134515008, 30, 576, 9, 3, 64, 1536, 49152, 8192, 1e5f, 1e-5f, true, 0 },
    { "smollm2-360m", "llama", 361821120, 32, 960, 15, 5, 64, 2560, 49152, 8192, 1e5f, 1e-5f, true, 0 },
};
enum { N_SHAPES = sizeof public_shapes / sizeof *public_shapes };

static void help_and_list(void **state)
{
    struct child c;

    (void)state;
    RUN(&c, "make-model", "--help");
    assert_worked(&c);
    assert_non_null(strstr(c.out, "Examples:\n  make-model --shape "));
    child_free(&c);
    RUN(&c, "make-model", "--list");
    assert_worked(&c);
    for (size_t i = 0; i < N_SHAPES; i++) {
        char line[64];
        snprintf(line, sizeof line, "\n%-14s %14llu ", public_shapes[i].name, (unsigned long long)public_shapes[i].parameters);
        assert_non_null(strstr(c.out, line));
    }
    child_free(&c);
}

/* The divisors grow from 1 to the factor; how many pairs have either follows from the wavelengths 2 pi base^(2i/d): below 8192/4 for
 * i < 14.1 of 32 pairs and 28.2 of 64, above 8192 for i > 17.5 and 35.0. */
static void check_rope_freqs(const struct prism_gguf *g, const struct public_shape *p)
{
    const struct prism_gguf_tensor *t = prism_gguf_tensor_find(g, "rope_freqs.weight");
    unsigned ones = 0, full = 0, n = p->head_dim / 2;
    float d[64];

    assert_non_null(t);
    memcpy(d, t->data, n * sizeof *d);
    for (unsigned i = 0; i < n; i++) {
        assert_true(i == 0 || d[i] >= d[i - 1]);
        ones += d[i] == 1;
        full += d[i] == (float)p->scaling;
    }
    assert_int_equal(ones, n == 32 ? 15 : 29);
    assert_int_equal(full, n == 32 ? 14 : 29);
    if (n == 32) /* pair 16: wavelength 2 pi sqrt(500000) = 4442.88, mix (8192/4442.88 - 1)/3 = 0.281284, 1/(0.718716/32 + 0.281284) */
        assert_float_equal(d[16], 3.29232, 1e-4);
}

static void check_keys(const struct prism_gguf *g, const struct public_shape *p, uint32_t n_layer, uint32_t n_vocab)
{
    has_u32(g, p->arch, "block_count", n_layer);
    has_u32(g, p->arch, "context_length", p->n_ctx);
    has_u32(g, p->arch, "embedding_length", p->n_embd);
    has_u32(g, p->arch, "feed_forward_length", p->n_ff);
    has_u32(g, p->arch, "attention.head_count", p->n_head);
    has_u32(g, p->arch, "attention.head_count_kv", p->n_head_kv);
    has_u32(g, p->arch, "attention.key_length", p->head_dim);
    has_u32(g, p->arch, "attention.value_length", p->head_dim);
    has_u32(g, p->arch, "rope.dimension_count", p->head_dim);
    has_u32(g, p->arch, "vocab_size", n_vocab);
    has_u32(g, "general", "file_type", 15);
    has_u32(g, "general", "quantization_version", 2);
    has_f32(g, p->arch, "rope.freq_base", p->rope_base);
    has_f32(g, p->arch, "attention.layer_norm_rms_epsilon", p->rms_eps);
}

/* Parameters of the full model from those of the file: its layer n_layer times, its vocabulary at the public size. */
static uint64_t full_parameters(const struct prism_gguf *g, const struct public_shape *p)
{
    uint64_t layer = 0, around = 0;

    for (uint64_t i = 0; i < g->n_tensors; i++) {
        const struct prism_gguf_tensor *t = &g->tensors[i];
        if (!strncmp(t->name, "blk.0.", 6))
            layer += t->ne[0] * t->ne[1];
        else if (strcmp(t->name, "rope_freqs.weight"))
            around += t->ne[0] * (t->n_dims == 2 ? p->n_vocab : 1);
    }
    return around + layer * p->n_layer;
}

/* A file of one layer in the mix Q4_K_M: that layer has more bits (0 >= 7 * 1 / 8), and rows of 576 or 960 fall back. */
static void one_shape(const struct public_shape *p, const char *vocab, uint32_t n_vocab)
{
    bool falls_back = p->n_embd % 256 != 0, qwen = !strcmp(p->arch, "qwen3");
    const char *q4 = falls_back ? "Q5_0" : "Q4_K", *q6 = falls_back ? "Q8_0" : "Q6_K";
    uint64_t nq = (uint64_t)p->n_head * p->head_dim, nkv = (uint64_t)p->n_head_kv * p->head_dim;
    const char *path = MAKE("shape.gguf", "--shape", p->name, "--layers", "1", "--type", "q4_k_m", "--vocab", vocab, "--keep-vocab");
    struct prism_gguf *g = open_made(path);

    assert_int_equal(g->version, 3);
    check_keys(g, p, 1, n_vocab);
    has_tensor(g, "token_embd.weight", p->tied ? q6 : q4, p->n_embd, n_vocab);
    if (!p->tied)
        has_tensor(g, "output.weight", q6, p->n_embd, n_vocab);
    has_tensor(g, "output_norm.weight", "F32", p->n_embd, 0);
    has_tensor(g, "blk.0.attn_norm.weight", "F32", p->n_embd, 0);
    has_tensor(g, "blk.0.ffn_norm.weight", "F32", p->n_embd, 0);
    has_tensor(g, "blk.0.attn_q.weight", q4, p->n_embd, nq);
    has_tensor(g, "blk.0.attn_k.weight", q4, p->n_embd, nkv);
    has_tensor(g, "blk.0.attn_v.weight", q6, p->n_embd, nkv);
    has_tensor(g, "blk.0.attn_output.weight", nq % 256 ? "Q5_0" : "Q4_K", nq, p->n_embd);
    has_tensor(g, "blk.0.ffn_gate.weight", q4, p->n_embd, p->n_ff);
    has_tensor(g, "blk.0.ffn_up.weight", q4, p->n_embd, p->n_ff);
    has_tensor(g, "blk.0.ffn_down.weight", "Q6_K", p->n_ff, p->n_embd);
    if (qwen) {
        has_tensor(g, "blk.0.attn_q_norm.weight", "F32", p->head_dim, 0);
        has_tensor(g, "blk.0.attn_k_norm.weight", "F32", p->head_dim, 0);
    }
    if (p->scaling)
        check_rope_freqs(g, p);
    assert_int_equal(g->n_tensors, 11 + 2 * qwen + !p->tied + (p->scaling != 0));
    assert_int_equal(full_parameters(g, p), p->parameters);
    prism_gguf_close(g);
    prism_model_free(load_made(path));
    unlink(path);
}

static void shapes_are_the_public_ones(void **state)
{
    char vocab[512];

    (void)state;
    snprintf(vocab, sizeof vocab, "%s", made_vocab("gpt2"));
    for (size_t i = 0; i < N_SHAPES; i++)
        one_shape(&public_shapes[i], vocab, tiny_n_vocab("gpt2"));
}

/* Of nine layers 0, 3, 6, 7 and 8 have more bits: i < 9/8, i >= 7*9/8, (i - 1) % 3 == 2. */
static void mix_by_layer(void **state)
{
    const char *path = MAKE("mix.gguf", "--shape", "qwen3-0.6b", "--layers", "9", "--type", "Q4_K_M", "--vocab", made_vocab("gpt2"), "--keep-vocab");
    struct prism_gguf *g = open_made(path);

    (void)state;
    for (unsigned i = 0; i < 9; i++) {
        const char *type = strchr("03678", '0' + (int)i) ? "Q6_K" : "Q4_K";
        char name[64];
        snprintf(name, sizeof name, "blk.%u.attn_v.weight", i);
        has_tensor(g, name, type, 1024, 1024);
        snprintf(name, sizeof name, "blk.%u.ffn_down.weight", i);
        has_tensor(g, name, type, 3072, 1024);
        snprintf(name, sizeof name, "blk.%u.attn_k.weight", i);
        has_tensor(g, name, "Q4_K", 1024, 1024);
    }
    prism_gguf_close(g);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_and_list),
        cmocka_unit_test(shapes_are_the_public_ones),
        cmocka_unit_test(mix_by_layer),
    };
    return cmocka_run_group_tests_name("cli/make_model", tests, NULL, NULL);
}
