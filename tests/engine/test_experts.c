/* test_experts.c - prompts whose experts go through their products in several groups, one after the other (src/engine/experts.c): what comes out
 * depends neither on the groups nor on the threads. The models are of tests/golden/arch; test_architectures.c compares them with golden logits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/engine/layer.h"
#include "tests/support/engine_test.h"
#include "tests/support/near.h"
#include "tests/support/reference.h"
#include "tests/support/tiny_model.h"

enum { N_CTX = 5200, GROUP = 4096 };

static float *last_logits(const prism_model *m, const int32_t *tokens, size_t n, size_t piece, uint32_t n_threads)
{
    prism_context *c = make_context(m, &(struct prism_context_params){ .n_ctx = N_CTX, .n_threads = n_threads, .compute = PRISM_COMPUTE_F32,
                                                                      .attention.selector = "dense" });
    float *out = malloc(m->n_vocab * sizeof *out);
    struct prism_error err;

    for (size_t at = 0; at < n; at += piece)
        must(prism_prefill(c, tokens + at, piece < n - at ? piece : n - at, NULL, &err), &err);
    memcpy(out, prism_logits(c), m->n_vocab * sizeof *out);
    prism_context_free(c);
    return out;
}

static void check(const prism_model *m, const int32_t *tokens, size_t n, const char *what)
{
    float *whole = last_logits(m, tokens, n, n, 1), *threads = last_logits(m, tokens, n, n, 3), *pieces = last_logits(m, tokens, n, 400, 2);

    assert_sound(whole, 1, m->n_vocab);
    assert_memory_equal(whole, threads, m->n_vocab * sizeof *whole);
    assert_within(largest_difference_f32(pieces, whole, m->n_vocab), 2e-4, what);
    free(whole), free(threads), free(pieces);
}

/* 1500 rows with 3 experts each: two groups. */
static void test_groups(void **state)
{
    (void)state;
    enum { N = 1500 };
    prism_model *m = load_model("tests/golden/arch/qwen3moe.gguf");
    int32_t tokens[N];

    make_tokens(tokens, N, m->n_vocab);
    assert_true(N * m->layers[0].ffn.experts.n_used > GROUP);
    check(m, tokens, N, "groups of experts");
    float *got = last_logits(m, tokens, N, N, 2);
    double *all = test_reference_logits(m, tokens, N);
    assert_within(largest_difference(got, all + (N - 1) * (size_t)m->n_vocab, m->n_vocab), 1e-3, "groups of experts, against double");
    free(got), free(all);
    prism_model_free(m);
}

/* All rows want the same expert, which has more than a group has; the others have few rows or none. */
static void test_one_expert(void **state)
{
    (void)state;
    enum { N = 5000 };
    prism_model *m = load_model("tests/golden/arch/gpt-oss.gguf");
    float bias[6] = { -50, -50, 50, -50, -50, 0 };
    int32_t *tokens = malloc(N * sizeof *tokens);

    make_tokens(tokens, N, m->n_vocab);
    assert_int_equal(m->layers[0].ffn.experts.n, 6);
    for (size_t l = 0; l < m->n_layer; l++)
        m->layers[l].ffn.experts.router_bias = bias;
    check(m, tokens, N, "one expert for all");
    bias[0] = 49; /* and a second one */
    check(m, tokens, N, "two experts for all");
    free(tokens);
    prism_model_free(m);
}

/* In NVFP4 each expert has a scale of its own. In one piece, in pieces, and a token alone. */
static void test_scales(void **state)
{
    (void)state;
    enum { N = 150 };
    struct tiny_model t = tiny_family("qwen2moe");
    int32_t tokens[N];

    t.type = PRISM_NVFP4, t.n_ff_expert = 64, t.n_head = 4, t.n_head_kv = 2;
    prism_model *m = load_model(tiny_write(&t, "nvfp4-experts.gguf"));
    make_tokens(tokens, N, m->n_vocab);
    double *all = test_reference_logits(m, tokens, N);
    for (size_t piece = 1; piece <= N; piece += N - 1) {
        float *got = last_logits(m, tokens, N, piece, 2);
        assert_within(largest_difference(got, all + (N - 1) * (size_t)m->n_vocab, m->n_vocab), 1e-3, "experts with scales, against double");
        free(got);
    }
    free(all);
    prism_model_free(m);
}

/* What is planned for the rows of experts: no more than there can be, nor than a group has. */
static void test_rows(void **state)
{
    (void)state;
    prism_model *m = load_model("tests/golden/arch/qwen3moe.gguf"), *dense = load_model("tests/golden/arch/gemma2.gguf");
    prism_context *c = make_context(m, &(struct prism_context_params){ .n_ctx = N_CTX }), *d = make_context(dense, NULL);

    assert_int_equal(prism_experts_rows(c, 1), 3 * PRISM_PACK_ROWS);
    assert_int_equal(prism_experts_rows(c, 100), 300 + 8 * (PRISM_PACK_ROWS - 1));
    assert_int_equal(prism_experts_rows(c, N_CTX), 4104); /* whole panels */
    assert_int_equal(prism_experts_rows(d, N_CTX), 0);
    prism_context_free(c), prism_context_free(d);
    prism_model_free(m), prism_model_free(dense);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups), cmocka_unit_test(test_one_expert), cmocka_unit_test(test_scales), cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
