/* test_bounds.c - every number of the public parameters at its extremes: refused with the bound in the message, or planned without an overflow. */
#include <float.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "tests/support/engine_test.h"

/* Plan and create agree: both refuse, naming what and its bound. */
static void refused(const prism_model *m, const struct prism_context_params *p, const char *what, const char *bound)
{
    struct prism_error err;
    struct prism_plan plan;
    prism_context *c;

    if (prism_plan(m, p, &plan, &err) != PRISM_E_ARG)
        fail_msg("%s beyond %s was planned", what, bound);
    if (!strstr(err.text, what) || !strstr(err.text, bound))
        fail_msg("expected \"%s\" and \"%s\" in \"%s\"", what, bound, err.text);
    assert_int_equal(prism_context_create(m, p, &c, &err), PRISM_E_ARG);
    assert_null(c);
    assert_true(strstr(err.text, what) && strstr(err.text, bound));
}

/* ---- prism_context_params ---- */

static void test_context_fields(void **state)
{
    (void)state;
    struct tiny_model t = tiny_qwen3();
    prism_model *m = load_tiny(&t, "bounds.gguf");
    static const uint32_t n_ctx[] = { PRISM_MAX_CONTEXT + 1, 1u << 31, UINT32_MAX - 256, UINT32_MAX - 1, UINT32_MAX };

    for (size_t i = 0; i < 5; i++) {
        refused(m, &(struct prism_context_params){ .n_ctx = n_ctx[i] }, "n_ctx", "16777216");
        refused(m, &(struct prism_context_params){ .logits_rows = n_ctx[i] }, "logits_rows", "16777216");
        refused(m, &(struct prism_context_params){ .n_threads = n_ctx[i] }, "threads", "512");
    }
    refused(m, &(struct prism_context_params){ .n_threads = 513 }, "threads", "512");
    char levels[16];
    snprintf(levels, sizeof levels, "0..%d", prism_level_count());
    static const int level[] = { INT_MIN, INT_MIN + 1, -2, -1, 100, INT_MAX };
    for (size_t i = 0; i < 6; i++)
        refused(m, &(struct prism_context_params){ .level = level[i] }, "level", levels);
    refused(m, &(struct prism_context_params){ .level = prism_level_count() + 1 }, "level", levels);
    static const int value[] = { INT_MIN, -1, 5, INT_MAX };
    for (size_t i = 0; i < 4; i++) {
        refused(m, &(struct prism_context_params){ .compute = (enum prism_compute)value[i] }, "compute", "auto or f32");
        refused(m, &(struct prism_context_params){ .kv_type = (enum prism_kv_type)value[i] }, "cache type of keys", "f16, bf16, f32 or q8_0");
        refused(m, &(struct prism_context_params){ .v_type = (enum prism_kv_type)value[i] }, "cache type of values", "f16, bf16, f32 or q8_0");
    }
    prism_model_free(m);
}

/* ---- prism_attention_params ---- */

#define AT(field) offsetof(struct prism_context_params, attention.field)

static const struct { const char *name; size_t offset; } counts[] = {
    { "min_tokens", AT(min_tokens) }, { "sink", AT(sink) },   { "window", AT(window) },
    { "vertical", AT(vertical) },     { "slash", AT(slash) }, { "min_budget", AT(min_budget) },
};
static const struct { const char *name; size_t offset; } shares[] = {
    { "p_high", AT(p_high) }, { "p_low", AT(p_low) }, { "gamma", AT(gamma) }, { "tau", AT(tau) }, { "threshold", AT(threshold) },
};

static struct prism_context_params with(const char *selector, size_t offset, const void *value)
{
    struct prism_context_params p = { .n_ctx = 600, .n_threads = 1, .attention.selector = selector };
    memcpy((char *)&p + offset, value, 4);
    return p;
}

static void test_attention_fields(void **state)
{
    (void)state;
    struct tiny_model t = tiny_qwen3();
    prism_model *m = load_tiny(&t, "bounds.gguf");
    static const float no_share[] = { NAN, INFINITY, -INFINITY, -1, -FLT_MIN, 1.0000001f, FLT_MAX };
    static const uint32_t no_count[] = { PRISM_MAX_TOKENS + 1, 1u << 31, UINT32_MAX - 1, UINT32_MAX };
    static const uint32_t no_block[] = { 1, 16, 33, 96, 512, 1u << 31, UINT32_MAX }, no_dim[] = { 1, 3, 66, 1u << 31, UINT32_MAX - 1, UINT32_MAX };
    static const uint32_t no_stride[] = { 3, 128, 1u << 31, UINT32_MAX };

    for (size_t f = 0; f < sizeof shares / sizeof *shares; f++)
        for (size_t i = 0; i < 7; i++) {
            struct prism_context_params p = with("prism", shares[f].offset, &no_share[i]);
            refused(m, &p, shares[f].name, "(0, 1]");
        }
    for (size_t f = 0; f < sizeof counts / sizeof *counts; f++)
        for (size_t i = 0; i < 4; i++) {
            struct prism_context_params p = with("streaming", counts[f].offset, &no_count[i]);
            refused(m, &p, counts[f].name, "1073741824");
        }
    for (size_t i = 0; i < 7; i++)
        refused(m, &(struct prism_context_params){ .attention.block = no_block[i] }, "block", "32, 64, 128 or 256");
    for (size_t i = 0; i < 6; i++) {
        refused(m, &(struct prism_context_params){ .attention.high_dim = no_dim[i] }, "high band", "2..64");
        refused(m, &(struct prism_context_params){ .attention.low_dim = no_dim[i] }, "low band", "2..64");
    }
    for (size_t i = 0; i < 4; i++)
        refused(m, &(struct prism_context_params){ .attention.stride = no_stride[i] }, "stride", "64");
    prism_model_free(m);
}

/* ---- the largest values that are allowed ---- */

/* Every selector takes the largest counts and the smallest and largest shares, and computes finite logits. */
static void test_largest(void **state)
{
    (void)state;
    enum { N = 300 };
    struct tiny_model t = tiny_qwen3();
    prism_model *m = load_tiny(&t, "bounds.gguf");
    static const float edge[] = { FLT_TRUE_MIN, 1 };
    static const uint32_t most = PRISM_MAX_TOKENS;
    struct prism_error err;
    int32_t tokens[N];

    for (size_t i = 0; i < N; i++)
        tokens[i] = (int32_t)(i * i % 200);
    for (int s = 0; s < prism_selector_count(); s++)
        for (int extreme = 0; extreme < 2; extreme++) {
            struct prism_context_params p = { .n_ctx = N, .n_threads = 1, .logits_rows = PRISM_MAX_CONTEXT,
                                              .attention = { .selector = prism_selector_name(s), .dense_tail = PRISM_NO_TAIL } };
            for (size_t f = 0; f < sizeof shares / sizeof *shares; f++)
                memcpy((char *)&p + shares[f].offset, &edge[extreme], sizeof *edge);
            for (size_t f = 1; extreme && f < sizeof counts / sizeof *counts; f++)
                memcpy((char *)&p + counts[f].offset, &most, sizeof most);
            prism_context *c = make_context(m, &p);
            must(prism_prefill(c, tokens, N, NULL, &err), &err);
            for (size_t i = 0; i < t.n_embd; i++)
                assert_true(isfinite(prism_logits(c)[i]));
            prism_context_free(c);
        }
    prism_model_free(m);
}

/* The plan of the largest context adds up: no product or sum of it has lost bits. Nothing is reserved here. */
static void test_largest_plan(void **state)
{
    (void)state;
    struct tiny_model t = tiny_qwen3();
    prism_model *m = load_tiny(&t, "bounds.gguf");
    struct prism_error err;

    for (int s = -1; s < prism_selector_count(); s++) {
        struct prism_context_params p = { .n_ctx = PRISM_MAX_CONTEXT, .n_threads = 512, .logits_rows = PRISM_MAX_CONTEXT,
                                          .attention = { .selector = s < 0 ? "dense" : prism_selector_name(s), .block = 32 } };
        struct prism_plan large, half;
        must(prism_plan(m, &p, &large, &err), &err);
        p.n_ctx /= 2;
        must(prism_plan(m, &p, &half, &err), &err);
        uint64_t kv = 2ull * PRISM_MAX_CONTEXT * t.n_layer * t.n_head_kv * t.head_dim * 2;
        assert_in_range(large.kv_bytes, kv, kv + 4096);
        assert_int_equal(large.total_bytes,
                         large.kv_bytes + large.activation_bytes + large.panel_bytes + large.attention_bytes + large.logits_bytes);
        assert_true(large.attention_bytes > half.attention_bytes);
        assert_true(large.activation_bytes - half.activation_bytes >= 8388608ull * (t.n_embd + t.n_head * t.head_dim + t.head_dim) * 4);
    }
    prism_model_free(m);
}

/* ---- prism_prefill_params and tokens ---- */

static void test_prefill_fields(void **state)
{
    (void)state;
    struct tiny_model t = tiny_qwen3();
    prism_model *m = load_tiny(&t, "bounds.gguf");
    struct prism_error err;
    struct prism_prefill_params p = { .n_layers = UINT32_MAX };
    int32_t tokens[2] = { 1, 2 };
    prism_context *c = make_context(m, &(struct prism_context_params){ .n_ctx = 10, .n_threads = 1 });

    must(prism_prefill(c, tokens, 2, NULL, &err), &err);
    static const size_t too_many[] = { 9, SIZE_MAX / 2, SIZE_MAX - 1, SIZE_MAX };
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(prism_prefill(c, tokens, too_many[i], NULL, &err), PRISM_E_LENGTH);
        assert_non_null(strstr(err.text, "10"));
    }
    assert_int_equal(prism_prefill(c, tokens, 2, &p, &err), PRISM_E_ARG);
    assert_non_null(strstr(err.text, "0..2"));
    static const int32_t no_token[] = { INT32_MIN, -1, INT32_MAX };
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(prism_prefill(c, (int32_t[]){ 1, no_token[i] }, 2, NULL, &err), PRISM_E_ARG);
        assert_non_null(strstr(err.text, "token 1"));
    }
    static const size_t no_length[] = { 3, SIZE_MAX };
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(prism_truncate(c, no_length[i], &err), PRISM_E_ARG);
        assert_non_null(strstr(err.text, "0..2"));
    }
    assert_int_equal(prism_length(c), 2);
    prism_context_free(c);
    prism_model_free(m);
}

static void ignore_rows(void *user, size_t row, size_t n_rows, const float *logits)
{
    (void)user, (void)row, (void)n_rows, (void)logits;
}

static void test_logits_from(void **state)
{
    (void)state;
    struct tiny_model t = tiny_qwen3();
    prism_model *m = load_tiny(&t, "bounds.gguf");
    static const size_t from[] = { 2, SIZE_MAX - 1, SIZE_MAX };
    struct prism_error err;
    prism_context *c = make_context(m, &(struct prism_context_params){ .n_ctx = 10, .n_threads = 1 });

    for (size_t i = 0; i < 3; i++) {
        struct prism_prefill_params p = { .logits = ignore_rows, .logits_from = from[i] };
        assert_int_equal(prism_prefill(c, (int32_t[]){ 1, 2 }, 2, &p, &err), PRISM_E_ARG);
        assert_non_null(strstr(err.text, "0..1"));
    }
    prism_context_free(c);
    prism_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_context_fields), cmocka_unit_test(test_attention_fields), cmocka_unit_test(test_largest),
        cmocka_unit_test(test_largest_plan),   cmocka_unit_test(test_prefill_fields),   cmocka_unit_test(test_logits_from),
    };
    return cmocka_run_group_tests_name("bounds", tests, NULL, NULL);
}
