/* test_layers.c - measuring a layer: prefills that stop early, times and choices of each layer, the peak of the threads; and which kinds
 * of linear layers it uses. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "src/engine/layer.h"
#include "tests/support/engine_test.h"
#include "tests/support/near.h"
#include "tests/support/reference.h"

enum { N = 150, BLOCK = 32 };

struct fixture {
    prism_model *model;
    prism_context *ctx;
    int32_t tokens[N];
    uint32_t n_layer;
};

static struct fixture start(const char *selector)
{
    struct tiny_model t = tiny_qwen3();
    struct fixture f = { 0 };
    struct prism_context_params p = { .n_ctx = N, .n_threads = 2, .attention = { .selector = selector, .block = BLOCK } };

    f.model = load_tiny(&t, "layers.gguf");
    f.ctx = make_context(f.model, &p);
    f.n_layer = f.model->n_layer;
    assert_true(f.n_layer >= 2);
    for (size_t i = 0; i < N; i++)
        f.tokens[i] = (int32_t)(i * i % f.model->n_vocab);
    return f;
}

static void stop(struct fixture *f)
{
    prism_context_free(f->ctx);
    prism_model_free(f->model);
}

static void prefill_layers(struct fixture *f, uint32_t n_layers)
{
    struct prism_error err;
    must(prism_prefill(f->ctx, f->tokens, N, &(struct prism_prefill_params){ .n_layers = n_layers }, &err), &err);
}

/* Layers up to the last one run for all rows, in it too, and the others not at all. */
static void test_stops(void **state)
{
    struct fixture f = start("prism");
    const uint64_t rows = (N + BLOCK - 1) / BLOCK;

    (void)state;
    for (uint32_t n_layers = 1; n_layers <= f.n_layer; n_layers++) {
        prefill_layers(&f, n_layers);
        assert_null(prism_logits(f.ctx));
        assert_int_equal(prism_length(f.ctx), N);
        for (uint32_t l = 0; l < f.n_layer; l++) {
            struct prism_head_stats head;
            struct prism_layer_stats layer;
            assert_true(prism_get_head_stats(f.ctx, l, 0, &head));
            assert_int_equal(head.causal_blocks, l < n_layers ? rows * (rows + 1) / 2 : 0);
            assert_true(prism_get_layer_stats(f.ctx, l, &layer));
            assert_true(l < n_layers ? layer.attention_ms > 0 && layer.select_ms > 0 : layer.attention_ms == 0 && layer.select_ms == 0);
        }
        prism_truncate(f.ctx, 0, NULL);
        prism_stats_reset(f.ctx);
    }
    stop(&f);
}

/* A context of dense attention after its last token: int8 layers and an F16 cache, as tests/engine/test_engine.c derives. */
static void judge_last(const struct fixture *f)
{
    size_t n_vocab = f->model->n_vocab;
    double *expected = test_reference_logits(f->model, f->tokens, N);
    assert_within(relative_distance(prism_logits(f->ctx), expected + (N - 1) * n_vocab, n_vocab), 0.026 + 4 * 0x1p-11, "the last token");
    free(expected);
}

/* Nothing of a measurement is left once its tokens are gone. */
static void leaves_no_trace(const char *selector)
{
    struct fixture used = start(selector), fresh = start(selector);
    struct prism_error err;

    must(prism_prefill(used.ctx, used.tokens, 40, NULL, &err), &err);
    must(prism_prefill(used.ctx, used.tokens + 40, 80, &(struct prism_prefill_params){ .n_layers = 1 }, &err), &err);
    must(prism_truncate(used.ctx, 40, &err), &err);
    must(prism_prefill(used.ctx, used.tokens + 40, N - 40, NULL, &err), &err);
    must(prism_prefill(fresh.ctx, fresh.tokens, 40, NULL, &err), &err);
    must(prism_prefill(fresh.ctx, fresh.tokens + 40, N - 40, NULL, &err), &err);
    assert_memory_equal(prism_logits(used.ctx), prism_logits(fresh.ctx), used.model->n_vocab * sizeof(float));
    if (!strcmp(selector, "dense"))
        judge_last(&fresh);
    stop(&used);
    stop(&fresh);
}

static void test_leaves_no_trace(void **state)
{
    (void)state;
    leaves_no_trace("prism");
    leaves_no_trace("dense");
}

static void no_logits_wanted(void *user, size_t row, size_t n_rows, const float *logits)
{
    (void)user, (void)row, (void)n_rows, (void)logits;
    fail_msg("logits after a prefill that stopped early");
}

static void test_errors(void **state)
{
    struct fixture f = start("dense");
    struct prism_error err;
    struct prism_prefill_params beyond = { .n_layers = f.n_layer + 1 }, both = { .n_layers = 1, .logits = no_logits_wanted };
    struct prism_layer_stats layer;

    (void)state;
    assert_int_equal(prism_prefill(f.ctx, f.tokens, N, &beyond, &err), PRISM_E_ARG);
    assert_non_null(strstr(err.text, "n_layers"));
    assert_int_equal(prism_prefill(f.ctx, f.tokens, N, &both, &err), PRISM_E_ARG);
    assert_int_equal(prism_length(f.ctx), 0);
    assert_false(prism_get_layer_stats(f.ctx, f.n_layer, &layer));
    stop(&f);
}

/* The layers' times are all there is, and a reset forgets them. */
static void test_times(void **state)
{
    struct fixture f = start("prism");
    struct prism_stats all;
    struct prism_layer_stats layer;
    double attention = 0, select = 0;
    struct prism_error err;

    (void)state;
    must(prism_prefill(f.ctx, f.tokens, N - 1, NULL, &err), &err);
    must(prism_decode(f.ctx, f.tokens[N - 1], &err), &err);
    assert_sound(prism_logits(f.ctx), 1, f.model->n_vocab); /* times of work that was done */
    prism_get_stats(f.ctx, &all);
    for (uint32_t l = 0; l < f.n_layer; l++) {
        prism_get_layer_stats(f.ctx, l, &layer);
        attention += layer.attention_ms;
        select += layer.select_ms;
    }
    assert_true(all.attention_ms > 0 && all.select_ms > 0);
    all.attention_ms += all.decode_attention_ms, all.select_ms += all.decode_select_ms;
    assert_true(fabs(attention - all.attention_ms) <= 1e-12 * all.attention_ms); /* a few roundings of 2^-53 of the total */
    assert_true(fabs(select - all.select_ms) <= 1e-12 * all.select_ms);
    prism_stats_reset(f.ctx);
    prism_get_layer_stats(f.ctx, 0, &layer);
    assert_true(layer.attention_ms == 0 && layer.select_ms == 0);
    stop(&f);
}

/* At every level: fp32 always, and what attention multiplies. */
static void test_peak(void **state)
{
    (void)state;
    struct fixture f = start("dense");
    struct prism_error err;

    for (int level = 0; level < prism_level_count(); level++) {
        if (!prism_level_supported(level))
            continue;
        struct prism_context_params p = { .n_ctx = N, .n_threads = 2, .level = level + 1 };
        struct prism_plan plan;
        prism_context *c = make_context(f.model, &p);
        must(prism_plan(f.model, &p, &plan, &err), &err);
        assert_true(prism_peak_gops(c, "f32") > 0.01 && prism_peak_gops(c, "f32") < 1e5);
        assert_true(prism_peak_gops(c, plan.attention_type) > 0.01);
        assert_true(prism_peak_gops(c, "f64") == 0);
        prism_context_free(c);
    }
    stop(&f);
}

static bool is_wide(enum prism_type type)
{
    return type == PRISM_F32 || type == PRISM_F16 || type == PRISM_BF16 || type == PRISM_Q8_0 || type == PRISM_Q6_K;
}

/* Finer activations for wide weights only, and Q6_K as its neighbours of few bits, at every level of this build; and --kernels says so. */
static void test_fine_kinds(void **state)
{
    size_t n_finer = 0, n_few = 0;

    (void)state;
    for (int level = 0; level < prism_level_count(); level++) {
        const struct prism_kernels *k = prism_kernels_by_level[prism_level_at(level)];
        char text[4096];
        assert_true(prism_kernels_text(level, text, sizeof text) < sizeof text);
        for (int t = 0; t < PRISM_N_TYPES; t++) {
            bool finer = is_wide((enum prism_type)t) && k->linear_finer[t];
            char name[16];
            for (int beside = 0; beside < PRISM_N_TYPES; beside++) {
                bool wide = is_wide((enum prism_type)beside);
                const struct prism_linear *own = wide ? finer ? k->linear_finer[t] : NULL : k->linear_beside_few[t];
                assert_ptr_equal(prism_fine_kind(k, (enum prism_type)t, (enum prism_type)beside), own ? own : k->linear_auto[t]);
            }
            snprintf(name, sizeof name, "\n  %s ", prism_types[t].name);
            const char *line = strstr(text, name), *said;
            assert_non_null(line);
            said = strstr(line + 1, "k, v, down: ");
            assert_int_equal(said && said < strchr(line + 1, '\n'), finer);
            said = strstr(line + 1, "beside few bits: i8w");
            assert_int_equal(said && said < strchr(line + 1, '\n'), k->linear_beside_few[t] != NULL);
            assert_true(!k->linear_beside_few[t] || t == PRISM_Q6_K);
            n_finer += finer;
            n_few += k->linear_beside_few[t] != NULL;
        }
    }
#if defined(__x86_64__) || defined(__aarch64__)
    assert_true(n_finer > 0 && n_few > 0);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stops), cmocka_unit_test(test_leaves_no_trace), cmocka_unit_test(test_errors),
        cmocka_unit_test(test_times), cmocka_unit_test(test_peak), cmocka_unit_test(test_fine_kinds),
    };
    return cmocka_run_group_tests_name("engine/layers", tests, NULL, NULL);
}
