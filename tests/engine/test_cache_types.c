/* test_cache_types.c - keys and values cached as any two types: right against the forward pass in double, whatever the way, at every level and in
 * both modes; what a plan, a selector, a truncation and a value that is not finite make of it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "src/base/redzone.h"
#include "src/engine/finite.h"
#include "src/model/model.h"
#include "tests/support/engine_test.h"
#include "tests/support/near.h"
#include "tests/support/reference.h"

enum { N = 150, N_TYPES = 4 };

static const struct cache_type {
    enum prism_kv_type type;
    const char *name;
    double error; /* of a value, relative to the root mean square of the 32 around it */
    size_t row_bytes; /* of 64 values */
} types[N_TYPES] = {
    { PRISM_KV_F16, "f16", 0x1p-11, 128 }, /* half a unit of 11 significant bits */
    { PRISM_KV_BF16, "bf16", 0x1p-9, 128 },
    { PRISM_KV_F32, "f32", 0, 256 },
    { PRISM_KV_Q8_0, "q8_0", 0.0048, 68 }, /* a step of max/127 with a max of 2.1 deviations, over sqrt(12): test_engine.c, AUTO_ERROR */
};

/* As in test_engine.c. The errors of keys and of values of two layers add up to the logits' at most as if they were of one sign. */
#define F32_ERROR 1.3e-5
#define AUTO_ERROR 0.026

static double bound_of(const struct cache_type *k, const struct cache_type *v, int mode)
{
    return 2 * k->error + 2 * v->error + (mode == PRISM_COMPUTE_F32 ? F32_ERROR : AUTO_ERROR);
}

/* Prefill at once, then in pieces with a truncation and decode. */
static void check_pair(const prism_model *m, const struct cache_type *k, const struct cache_type *v, const int32_t *tokens, const double *expected)
{
    const size_t n_vocab = m->n_vocab;

    for (int level = 0; level < prism_level_count(); level++)
        for (int mode = 0; mode < 2 && prism_level_supported(level); mode++) {
            const double bound = bound_of(k, v, mode);
            struct prism_error err;
            char what[128];
            prism_context *c = make_context(m, &(struct prism_context_params){ .n_ctx = N, .level = level + 1, .kv_type = k->type,
                                                    .v_type = v->type, .compute = (enum prism_compute)mode, .n_threads = 2 });

            snprintf(what, sizeof what, "keys %s, values %s, level %s, compute %d", k->name, v->name, prism_level_name(level), mode);
            float *got = all_logits(c, tokens, N, n_vocab);
            assert_sound(got, N, n_vocab);
            assert_within(relative_distance(got, expected, N * n_vocab), bound, what);
            free(got);
            must(prism_truncate(c, 70, &err), &err);
            for (size_t n = 70; n < 75; n++) {
                must(prism_decode(c, tokens[n], &err), &err);
                assert_sound(prism_logits(c), 1, n_vocab);
            }
            got = all_logits(c, tokens + 75, 12, n_vocab); /* row by row */
            assert_within(relative_distance(got, expected + 75 * n_vocab, 12 * n_vocab), bound, what);
            free(got);
            got = all_logits(c, tokens + 87, N - 87, n_vocab); /* tiles that begin inside a block */
            assert_within(relative_distance(got, expected + 87 * n_vocab, (N - 87) * n_vocab), bound, what);
            free(got);
            prism_context_free(c);
        }
}

static void every_pair_is_right(void **state)
{
    (void)state;
    struct tiny_model t = tiny_qwen3();
    t.n_head = 4, t.n_head_kv = 2;
    prism_model *m = load_tiny(&t, "pairs.gguf");
    int32_t tokens[N];

    make_tokens(tokens, N, m->n_vocab);
    double *expected = test_reference_logits(m, tokens, N);
    for (int k = 0; k < N_TYPES; k++)
        for (int v = 0; v < N_TYPES; v++)
            check_pair(m, &types[k], &types[v], tokens, expected);
    free(expected);
    prism_model_free(m);
}

static void plans_tell_the_types_and_their_bytes(void **state)
{
    (void)state;
    struct tiny_model t = tiny_qwen3();
    prism_model *m = load_tiny(&t, "plan.gguf");
    const uint64_t rows = 300 * (uint64_t)m->n_layer * m->hp.n_head_kv;
    struct prism_error err;
    struct prism_plan plan;

    assert_int_equal(m->hp.head_dim, 64);
    for (int k = 0; k < N_TYPES; k++)
        for (int v = 0; v < N_TYPES; v++) {
            must(prism_plan(m, &(struct prism_context_params){ .n_ctx = 300, .kv_type = types[k].type, .v_type = types[v].type }, &plan, &err), &err);
            assert_int_equal(plan.kv_type, types[k].type);
            assert_int_equal(plan.v_type, types[v].type);
            const uint64_t bytes = rows * (types[k].row_bytes + types[v].row_bytes);
            assert_in_range(plan.kv_bytes, bytes, bytes + 2 * (m->n_layer + 1) * (63 + PRISM_RED_ZONE + sizeof(void *))); /* each is rounded up to lines */
        }
    must(prism_plan(m, &(struct prism_context_params){ .kv_type = PRISM_KV_Q8_0 }, &plan, &err), &err);
    assert_int_equal(plan.v_type, PRISM_KV_Q8_0); /* as keys */
    must(prism_plan(m, &(struct prism_context_params){ .v_type = PRISM_KV_Q8_0 }, &plan, &err), &err);
    assert_int_equal(plan.kv_type, PRISM_KV_F16);
    assert_int_equal(plan.v_type, PRISM_KV_Q8_0);
    must(prism_plan(m, &(struct prism_context_params){ .v_type = PRISM_KV_Q8_0, .compute = PRISM_COMPUTE_F32 }, &plan, &err), &err);
    assert_int_equal(plan.kv_type, PRISM_KV_F32);
    prism_model_free(m);
}

static void heads_that_blocks_do_not_divide_are_refused(void **state)
{
    (void)state;
    struct tiny_model t = tiny_qwen3();
    t.head_dim = 80;
    prism_model *m = load_tiny(&t, "eighty.gguf");
    struct prism_error err;
    prism_context *c;

    for (int of_values = 0; of_values < 2; of_values++) {
        struct prism_context_params p = { .n_ctx = N };
        *(of_values ? &p.v_type : &p.kv_type) = PRISM_KV_Q8_0;
        if (!of_values)
            p.v_type = PRISM_KV_F16;
        assert_int_equal(prism_context_create(m, &p, &c, &err), PRISM_E_UNSUPPORTED);
        assert_null(c);
        assert_non_null(strstr(err.text, of_values ? "cache type of values: q8_0" : "cache type of keys: q8_0"));
        assert_non_null(strstr(err.text, "heads of 80"));
    }
    prism_model_free(m);
}

/* ---- selection ---- */

/* Every selector on a cache of Q8_0: finite, less than everything, the same bits for any number of threads and after a truncation at a block's end. */
static void check_selector(const prism_model *m, const char *selector, const int32_t *tokens, size_t n)
{
    const size_t n_vocab = m->n_vocab, keep = n / 64 * 32; /* blocks of 32 */
    float *logits[3];

    for (size_t i = 0; i < 3; i++) {
        struct prism_error err;
        struct prism_context_params p = { .n_ctx = (uint32_t)n, .kv_type = PRISM_KV_Q8_0, .n_threads = i == 1 ? 3 : 1,
                                          .attention = { .selector = selector, .block = 32, .p_high = 0.5f, .p_low = 0.5f, .sink = 32, .window = 64,
                                                         .vertical = 40, .slash = 40, .gamma = 0.5f, .threshold = 0.5f, .row_mass = 0.9f } };
        prism_context *c = make_context(m, &p);
        must(prism_prefill(c, tokens, keep, NULL, &err), &err);
        if (i == 2) {
            must(prism_prefill(c, tokens, n - keep, NULL, &err), &err);
            must(prism_truncate(c, keep, &err), &err);
        }
        logits[i] = all_logits(c, tokens + keep, n - keep - 1, n_vocab);
        must(prism_decode(c, tokens[n - 1], &err), &err);
        assert_sound(prism_logits(c), 1, n_vocab);
        assert_sound(logits[i], n - keep - 1, n_vocab);
        if (i > 0 && memcmp(logits[i], logits[0], (n - keep - 1) * n_vocab * sizeof(float)) != 0)
            fail_msg("%s: other bits %s", selector, i == 1 ? "with three threads" : "after a truncation");
        prism_context_free(c);
    }
    for (size_t i = 0; i < 3; i++)
        free(logits[i]);
}

static void selectors_read_it(void **state)
{
    (void)state;
    enum { LONG = 700 };
    struct tiny_model t = tiny_qwen3();
    t.n_layer = 3, t.n_head = 4, t.n_head_kv = 2;
    prism_model *m = load_tiny(&t, "selected.gguf");
    int32_t tokens[LONG];

    make_tokens(tokens, LONG, m->n_vocab);
    for (int s = 0; s < prism_selector_count(); s++)
        check_selector(m, prism_selector_name(s), tokens, LONG);
    prism_model_free(m);
}

/* ---- what is not finite ---- */

/* A scale in the cache (memory errors; no call stores one) that is not finite: the call that reads it fails, as tiles and as rows. */
static void a_scale_that_is_not_finite_is_no_number(void **state)
{
    (void)state;
    struct tiny_model t = tiny_qwen3();
    prism_model *m = load_tiny(&t, "scale.gguf");
    int32_t tokens[N];
    static const uint16_t scales[] = { 0x7e00, 0x7c00, 0xfc00 };

    make_tokens(tokens, N, m->n_vocab);
    for (int level = 0; level < prism_level_count(); level++)
        for (size_t i = 0; i < 12 && prism_level_supported(level); i++) {
            struct prism_error err;
            prism_context *c = make_context(m, &(struct prism_context_params){ .n_ctx = N, .level = level + 1, .kv_type = PRISM_KV_Q8_0,
                                                    .compute = i % 4 < 2 ? PRISM_COMPUTE_AUTO : PRISM_COMPUTE_F32 });
            must(prism_prefill(c, tokens, 40, NULL, &err), &err);
            struct prism_kv_view kv = prism_kv_view(c, 1, 1);
            memcpy((i % 2 ? prism_view_value(&kv, 0, 20) : prism_view_key(&kv, 0, 20)) + 34, &scales[i / 4], sizeof scales[0]);
            assert_int_equal(prism_prefill(c, tokens + 40, 100, NULL, &err), PRISM_E_NUMERIC);
            assert_int_equal(prism_decode(c, tokens[40], &err), PRISM_E_NUMERIC);
            assert_non_null(strstr(err.text, "layer 1: attention's output at position 40"));
            prism_context_free(c);
        }
    prism_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_is_right),
        cmocka_unit_test(plans_tell_the_types_and_their_bytes),
        cmocka_unit_test(heads_that_blocks_do_not_divide_are_refused),
        cmocka_unit_test(selectors_read_it),
        cmocka_unit_test(a_scale_that_is_not_finite_is_no_number),
    };
    return cmocka_run_group_tests_name("engine/cache_types", tests, NULL, NULL);
}
