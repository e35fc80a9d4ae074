/* test_numeric.c - values that are not finite, or beyond the cache's type: PRISM_E_NUMERIC and where, at every level; never a finite logit that
 * is wrong. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "src/engine/finite.h"
#include "tests/support/engine_test.h"
#include "tests/support/numeric_case.h"
#include "tests/support/reference.h"

enum { N = NUMERIC_TOKENS };

/* ---- biases that the F16 cache cannot hold ---- */

static struct gb *biased(const char *tensor, size_t index, float value)
{
    struct tiny_model t = tiny_qwen2();
    struct gb *g = tiny_build(&t);
    numeric_poke(g, tensor, index, value);
    return g;
}

static void test_f16_overflow(void **state)
{
    (void)state;
    numeric_check_failure(biased("blk.1.attn_v.bias", 7, 7e4f), PRISM_KV_F16,
                  "layer 1: values of head 0 at position 0 exceed F16, which holds up to 65504: use a BF16 or F32 cache");
    numeric_check_failure(biased("blk.0.attn_v.bias", 31, -65530), PRISM_KV_F16, "layer 0: values of head 0 at position 0 exceed F16");
    numeric_check_failure(biased("blk.0.attn_k.bias", 0, 1e5f), PRISM_KV_F16, "layer 0: keys of head 0 at position 0 exceed F16");
}

static void test_q8_0_overflow(void **state)
{
    (void)state;
    numeric_check_failure(biased("blk.1.attn_v.bias", 7, 9e6f), PRISM_KV_Q8_0,
                  "layer 1: values of head 0 at position 0 exceed Q8_0, which holds up to 8.3e6: use a BF16 or F32 cache");
    numeric_check_failure(biased("blk.0.attn_v.bias", 31, -8.4e6f), PRISM_KV_Q8_0, "layer 0: values of head 0 at position 0 exceed Q8_0");
    numeric_check_failure(biased("blk.0.attn_k.bias", 0, 1e8f), PRISM_KV_Q8_0, "layer 0: keys of head 0 at position 0 exceed Q8_0");
}

/* Each side is named by its own type. */
static void test_two_types(void **state)
{
    (void)state;
    static const struct { enum prism_kv_type k, v; const char *tensor, *text; } cases[] = {
        { PRISM_KV_F16, PRISM_KV_BF16, "blk.0.attn_k.bias", "layer 0: keys of head 0 at position 0 exceed F16" },
        { PRISM_KV_BF16, PRISM_KV_F16, "blk.0.attn_v.bias", "layer 0: values of head 0 at position 0 exceed F16" },
        { PRISM_KV_Q8_0, PRISM_KV_F16, "blk.0.attn_k.bias", "layer 0: keys of head 0 at position 0 exceed Q8_0" },
        { PRISM_KV_F32, PRISM_KV_Q8_0, "blk.0.attn_v.bias", "layer 0: values of head 0 at position 0 exceed Q8_0" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        prism_model *m = load_built(biased(cases[i].tensor, 3, 1e8f), "two.gguf");
        numeric_each_level(m, (struct prism_context_params){ .n_ctx = N, .kv_type = cases[i].k, .v_type = cases[i].v }, numeric_expect_failure,
                   &(struct numeric_expected){ m, cases[i].text, 0 });
        prism_model_free(m);
    }
}

/* The same model in a wider cache gives the logits of the reference, within the bounds of test_engine.c. */
struct wide {
    const prism_model *model;
    const double *expected;
    double bound[2]; /* compute auto, f32 */
};

static void expect_logits(prism_context *c, const void *arg)
{
    const struct wide *w = arg;
    size_t n_vocab = w->model->n_vocab;
    int32_t tokens[N];
    struct prism_error err;
    struct numeric_rows rows = { .logits = malloc(N * n_vocab * sizeof(float)), .n_vocab = n_vocab };
    double difference = 0, square = 0, bound = w->bound[c->compute == PRISM_COMPUTE_F32];

    make_tokens(tokens, N, (uint32_t)n_vocab);
    must(prism_prefill(c, tokens, N, &(struct prism_prefill_params){ .logits = numeric_keep_rows, .logits_user = &rows }, &err), &err);
    assert_int_equal(rows.n, N);
    for (size_t i = 0; i < N * n_vocab; i++) {
        difference += (rows.logits[i] - w->expected[i]) * (rows.logits[i] - w->expected[i]);
        square += w->expected[i] * w->expected[i];
    }
    if (!(sqrt(difference / square) <= bound))
        fail_msg("level %s, compute %s: %.2e beyond %.2e", c->plan.level, c->plan.compute, sqrt(difference / square), bound);
    free(rows.logits);
}

static void test_wide_caches(void **state)
{
    (void)state;
    prism_model *m = load_built(biased("blk.0.attn_v.bias", 7, 7e4f), "wide.gguf");
    int32_t tokens[N];

    make_tokens(tokens, N, m->n_vocab);
    double *expected = test_reference_logits(m, tokens, N);
    numeric_each_level(m, (struct prism_context_params){ .n_ctx = N, .kv_type = PRISM_KV_F32 }, expect_logits,
               &(struct wide){ m, expected, { 0.026, 1.3e-5 } });
    numeric_each_level(m, (struct prism_context_params){ .n_ctx = N, .kv_type = PRISM_KV_BF16 }, expect_logits,
               &(struct wide){ m, expected, { 0.026 + 8 * 0x1p-9, 8 * 0x1p-9 } });
    free(expected);
    prism_model_free(m);
}

/* ---- NaN and infinity in weights ---- */

static struct gb *plain(void)
{
    struct tiny_model t = tiny_qwen2();
    t.type = t.output_type = PRISM_F32;
    t.untied = true;
    return tiny_build(&t);
}

static struct gb *poked(const char *tensor, size_t index, float value)
{
    struct gb *g = plain();
    numeric_poke(g, tensor, index, value);
    return g;
}

/* The row of the embedding that token `i` of make_tokens reads. */
static size_t embedding_of(size_t i)
{
    int32_t tokens[N];
    make_tokens(tokens, N, tiny_n_vocab("gpt2"));
    return (size_t)tokens[i] * 64;
}

static void test_weights(void **state)
{
    (void)state;
    static const float bad[] = { NAN, -INFINITY };

    for (size_t i = 0; i < 2; i++) {
        numeric_check_failure(poked("token_embd.weight", embedding_of(0) + 5, bad[i]), PRISM_KV_F32, "layer 0: the embedding of the token at position 0");
        numeric_check_failure(poked("blk.1.attn_q.bias", 40, bad[i]), PRISM_KV_F32, "layer 1: queries of head 1 at position 0");
        numeric_check_failure(poked("blk.1.attn_k.bias", 3, bad[i]), PRISM_KV_F32, "layer 1: keys of head 0 at position 0");
        numeric_check_failure(poked("blk.1.attn_k.bias", 3, bad[i]), PRISM_KV_F16, "layer 1: keys of head 0 at position 0 are not finite");
        numeric_check_failure(poked("blk.1.attn_k.bias", 3, bad[i]), PRISM_KV_Q8_0, "layer 1: keys of head 0 at position 0 are not finite");
        numeric_check_failure(poked("blk.0.attn_v.bias", 3, bad[i]), PRISM_KV_Q8_0, "layer 0: values of head 0 at position 0 are not finite");
        numeric_check_failure(poked("blk.0.attn_v.bias", 3, bad[i]), PRISM_KV_BF16, "layer 0: values of head 0 at position 0 are not finite");
    }
}

/* Finite, but its sum of squares is not: a norm would make zeros of it. */
static void test_squares(void **state)
{
    (void)state;
    numeric_check_failure(poked("token_embd.weight", embedding_of(0) + 5, 1e20f), PRISM_KV_F32, "layer 0: the embedding of the token at position 0");
    numeric_check_failure(poked("blk.0.attn_k.bias", 3, 1e20f), PRISM_KV_BF16, "layer 0: keys of head 0 at position 0");
    numeric_check_failure(poked("blk.0.attn_v.bias", 3, -1e20f), PRISM_KV_F32, "layer 0: values of head 0 at position 0");
}

/* A weight that is not finite in each matrix of a layer. In fp32 the products hand it on to the residual stream; what the kinds of compute
 * auto do with it is the kernels' contract (tests/arch). */
static void test_matrices(void **state)
{
    (void)state;
    static const struct { const char *tensor, *text; } cases[] = {
        { "blk.0.attn_output.weight", "layer 0: attention's output at position 0" },
        { "blk.0.ffn_gate.weight", "layer 0: the output at position 0" },
        { "blk.0.ffn_up.weight", "layer 0: the output at position 0" },
        { "blk.1.ffn_down.weight", "layer 1: the output at position" },
        { "output.weight", "logits at position" },
    };
    static const size_t places[] = { 0, 5, 31, 32, 70, 127 }; /* in groups of 32 values, the first and the second row */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t j = 0; j < sizeof places / sizeof *places; j++)
            numeric_check_failure(poked(cases[i].tensor, places[j], NAN), PRISM_KV_F32, cases[i].text);
}

/* ---- the context afterwards ---- */

/* A token whose embedding is NaN, in the middle of a call: the context stays as it was, with every selector and cache type, and goes on as if
 * nothing had happened. */
static void check_after(const prism_model *m, const char *selector, enum prism_kv_type kv)
{
    enum { BEFORE = 70, BAD = 83 };
    struct prism_context_params p = { .n_ctx = N, .kv_type = kv, .n_threads = 2, .attention = { .selector = selector, .block = 32 } };
    size_t bytes = m->n_vocab * sizeof(float);
    int32_t tokens[N], bad[N];
    struct prism_error err;
    prism_context *c = make_context(m, &p), *fresh = make_context(m, &p);

    make_tokens(tokens, N, m->n_vocab);
    for (size_t i = 0; i < N; i++)
        tokens[i] = tokens[i] == 77 ? 78 : tokens[i];
    memcpy(bad, tokens, sizeof bad);
    bad[BAD] = 77;
    must(prism_prefill(fresh, tokens, BEFORE, NULL, &err), &err);
    must(prism_prefill(fresh, tokens + BEFORE, N - BEFORE, NULL, &err), &err);
    must(prism_prefill(c, tokens, BEFORE, NULL, &err), &err);
    assert_int_equal(prism_prefill(c, bad + BEFORE, N - BEFORE, NULL, &err), PRISM_E_NUMERIC);
    assert_non_null(strstr(err.text, "embedding of the token at position 83 "));
    assert_int_equal(prism_length(c), BEFORE);
    assert_int_equal(prism_decode(c, 77, &err), PRISM_E_NUMERIC);
    assert_non_null(strstr(err.text, "embedding of the token at position 70 "));
    must(prism_prefill(c, tokens + BEFORE, N - BEFORE, NULL, &err), &err);
    assert_int_equal(err.status, PRISM_OK);
    assert_memory_equal(prism_logits(c), prism_logits(fresh), bytes);
    prism_context_free(c);
    prism_context_free(fresh);
}

static void test_context_afterwards(void **state)
{
    (void)state;
    static const enum prism_kv_type kv[] = { PRISM_KV_F16, PRISM_KV_BF16, PRISM_KV_F32, PRISM_KV_Q8_0 };
    prism_model *m = load_built(poked("token_embd.weight", 77 * 64 + 9, NAN), "afterwards.gguf");

    check_after(m, "dense", PRISM_KV_DEFAULT);
    for (int s = 0; s < prism_selector_count(); s++)
        check_after(m, prism_selector_name(s), kv[s % 4]);
    prism_model_free(m);
}

/* A NaN that is already in the cache (memory errors; no call stores one) and that only later rows see. */
static void expect_cached_nan(prism_context *c, const void *arg)
{
    const struct numeric_expected *e = arg;
    int32_t tokens[N];
    struct prism_error err;
    const float nan_value = NAN;

    make_tokens(tokens, N, e->model->n_vocab);
    must(prism_prefill(c, tokens, 40, NULL, &err), &err);
    struct prism_kv_view kv = prism_kv_view(c, 1, 1);
    memcpy(prism_view_value(&kv, 0, 20), &nan_value, sizeof nan_value);
    assert_int_equal(prism_prefill(c, tokens + 40, e->n, NULL, &err), PRISM_E_NUMERIC);
    assert_non_null(strstr(err.text, e->text));
    assert_int_equal(prism_length(c), 40);
}

static void test_cached_nan(void **state)
{
    (void)state;
    prism_model *m = load_built(plain(), "cached.gguf");
    numeric_each_level(m, (struct prism_context_params){ .n_ctx = N, .kv_type = PRISM_KV_F32 }, expect_cached_nan,
               &(struct numeric_expected){ m, "layer 1: attention's output at position", 100 });
    numeric_each_level(m, (struct prism_context_params){ .n_ctx = N, .kv_type = PRISM_KV_F32 }, expect_cached_nan,
               &(struct numeric_expected){ m, "layer 1: attention's output at position 40", 1 });
    prism_model_free(m);
}

/* An infinite weight of one output: no row is finite, so none is delivered, and the first that was asked for is named. */
static void test_logits_rows(void **state)
{
    (void)state;
    struct gb *g = poked("output.weight", 70, INFINITY);
    prism_model *m = load_built(g, "rows.gguf");
    struct numeric_rows rows = { .n_vocab = m->n_vocab };
    int32_t tokens[N];
    struct prism_error err;

    make_tokens(tokens, N, m->n_vocab);
    prism_context *c = make_context(m, &(struct prism_context_params){ .n_ctx = N, .compute = PRISM_COMPUTE_F32 });
    struct prism_prefill_params p = { .logits = numeric_keep_rows, .logits_user = &rows, .logits_from = 100 };
    assert_int_equal(prism_prefill(c, tokens, N, &p, &err), PRISM_E_NUMERIC);
    assert_string_equal(err.text, "logits at position 100 are not finite");
    assert_int_equal(rows.n, 0);
    prism_context_free(c);
    prism_model_free(m);
}

/* ---- the checks themselves: every position ---- */

static double squares(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

static void test_checks(void **state)
{
    (void)state;
    static const float bad[] = { NAN, -NAN, INFINITY, -INFINITY };
    float x[100];

    for (size_t n = 1; n <= 100; n++)
        for (size_t at = 0; at < n; at++) {
            for (size_t i = 0; i < n; i++)
                x[i] = i % 2 ? 1e15f : -1e15f;
            assert_true(prism_is_tame(squares(x, n)) && prism_is_finite(x, n));
            for (size_t b = 0; b < 4; b++) {
                x[at] = bad[b];
                assert_false(prism_is_tame(squares(x, n)));
                assert_false(prism_is_finite(x, n));
            }
            x[at] = 3e38f;
            assert_false(prism_is_tame(squares(x, n)));
            assert_true(prism_is_finite(x, n));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checks),   cmocka_unit_test(test_f16_overflow), cmocka_unit_test(test_wide_caches),
        cmocka_unit_test(test_q8_0_overflow), cmocka_unit_test(test_two_types),
        cmocka_unit_test(test_weights),  cmocka_unit_test(test_squares),      cmocka_unit_test(test_matrices),
        cmocka_unit_test(test_context_afterwards), cmocka_unit_test(test_cached_nan), cmocka_unit_test(test_logits_rows),
    };
    return cmocka_run_group_tests_name("numeric", tests, NULL, NULL);
}
