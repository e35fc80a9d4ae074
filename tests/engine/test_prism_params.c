/* test_prism_params.c - parameters of block selection: where and for which rows it acts, what is refused, statistics. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/mask_trace.h"

enum { N = 1000 };

static void test_parameters(void **state)
{
    (void)state;
    prism_model *m = trace_tiny_model("parameters.gguf", 1);
    int32_t *tokens = trace_tokens(m, N);
    struct prism_context_params p = trace_params(N), dense = p;

    dense.attention.selector = "dense";
    struct trace *d = trace_call(m, &dense, tokens, N), *sparse = trace_call(m, &p, tokens, N);
    assert_int_equal(d->calls[0], 0);
    assert_int_equal(sparse->calls[0], 1);
    assert_false(trace_same_logits(d, sparse, N - 32, N));
    trace_judge(d, m, &dense, tokens, 0, N, N);
    trace_judge(sparse, m, &p, tokens, 0, N, N);

    p.attention.dense_tail = 77; /* one layer: rows of the tail are those of dense attention, the row before is not */
    struct trace *t = trace_call(m, &p, tokens, N);
    assert_true(trace_same_masks(t, sparse));
    assert_true(trace_same_logits(t, d, N - 77, N));
    assert_true(trace_same_logits(t, sparse, 0, N - 77));
    assert_false(trace_same_logits(t, d, N - 78, N - 77));
    trace_free(t);

    p.attention.dense_tail = 0; /* the default is one block */
    t = trace_call(m, &p, tokens, N);
    assert_true(trace_same_logits(t, d, N - 32, N));
    assert_true(trace_same_logits(t, sparse, 0, N - 32));
    trace_free(t);

    p.attention.dense_tail = UINT32_MAX - 1;
    t = trace_call(m, &p, tokens, N);
    assert_true(trace_same_logits(t, d, 0, N));
    trace_free(t);

    p = trace_params(N), p.attention.p_high = p.attention.p_low = 1;
    t = trace_call(m, &p, tokens, N);
    assert_int_equal(t->chosen[0][3], t->causal[0][3]);
    assert_true(trace_same_logits(t, d, 0, N));
    trace_free(t);

    trace_free(d);
    trace_free(sparse);
    free(tokens);
    prism_model_free(m);
}

static void test_where(void **state)
{
    (void)state;
    prism_model *m = trace_tiny_model("where.gguf", 3);
    int32_t *tokens = trace_tokens(m, N);
    struct prism_context_params p = trace_params(N);
    struct prism_head_stats stats;
    struct prism_error err;

    p.attention.dense_layers[0] = 1 << 1;
    p.attention.min_tokens = 200;
    prism_context *c = trace_context(m, &p);
    struct trace *t = trace_new(m);
    trace_feed(c, t, tokens, 199, true);
    assert_int_equal(t->calls[0] + t->calls[1] + t->calls[2], 0);
    assert_int_equal(prism_truncate(c, 183, &err), PRISM_OK);
    trace_feed(c, t, tokens + 183, 17, true); /* tokens in the cache count, not those of the call */
    assert_true(t->calls[0] == 1 && t->calls[1] == 0 && t->calls[2] == 1);
    trace_feed(c, t, tokens + 200, 16, true); /* few tokens are dense */
    assert_int_equal(t->calls[0], 1);
    trace_feed(c, t, tokens + 216, 100, false); /* nor does the last layer choose for one row */
    assert_true(t->calls[0] == 2 && t->calls[1] == 0 && t->calls[2] == 1);

    for (uint32_t l = 0; l < 3; l++)
        for (uint32_t h = 0; h < 4; h++) {
            assert_true(prism_get_head_stats(c, l, h, &stats));
            assert_int_equal(stats.chosen_blocks, t->chosen[l][h]);
            assert_int_equal(stats.causal_blocks, t->causal[l][h]);
            assert_true(l == 1 ? isnan(stats.mass) : stats.mass > 0.6 && stats.mass <= 1.001);
        }
    assert_true(t->causal[0][0] > 0 && t->chosen[0][0] < t->causal[0][0]);
    assert_false(prism_get_head_stats(c, 3, 0, &stats));
    assert_false(prism_get_head_stats(c, 0, 4, &stats));
    prism_stats_reset(c);
    assert_true(prism_get_head_stats(c, 0, 0, &stats));
    assert_true(stats.chosen_blocks == 0 && stats.causal_blocks == 0);
    trace_free(t);
    free(tokens);
    prism_context_free(c);
    prism_model_free(m);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct { struct prism_attention_params a; const char *says; } cases[] = {
        { { .selector = "prisma" }, "unknown selector \"prisma\"" },
        { { .block = 48 }, "found 48" },
        { { .selector = "dense", .block = 512 }, "found 512" },
        { { .p_high = 2 }, "(0, 1]" },
        { { .p_low = -0.5f }, "(0, 1]" },
        { { .p_low = NAN }, "(0, 1]" },
        { { .gamma = 1.5f }, "(0, 1]" },
        { { .threshold = -1 }, "(0, 1]" },
        { { .high_dim = 33 }, "found 33" },
        { { .high_dim = 66 }, "found 66" },
        { { .low_dim = 7 }, "found 7" },
        { { .low_dim = 128 }, "found 128" },
        { { .stride = 5 }, "found 5" },
    };
    prism_model *m = trace_tiny_model("refusals.gguf", 1);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct prism_context_params p = { .n_ctx = N, .attention = cases[i].a };
        struct prism_error err;
        prism_context *c;
        assert_int_equal(prism_context_create(m, &p, &c, &err), PRISM_E_ARG);
        assert_null(c);
        if (!strstr(err.text, cases[i].says) || strchr(err.text, '\n'))
            fail_msg("case %zu: %s", i, err.text);
    }
    prism_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_parameters), cmocka_unit_test(test_where), cmocka_unit_test(test_refusals) };
    return cmocka_run_group_tests_name("prism parameters", tests, NULL, NULL);
}
