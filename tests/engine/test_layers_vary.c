/* test_layers_vary.c - models whose layers have heads of other sizes, other widths, and keys and values of earlier layers (gemma4 of
 * tests/golden/arch): the cache and its rings, selection, clones, sessions, the plan. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/engine/context.h"
#include "tests/support/engine_test.h"
#include "tests/support/near.h"
#include "tests/support/session_file.h"
#include "tests/support/state_case.h"

enum { N = 2700, N_CTX = 5000, RING = 2048, FULL_KV = 3, WINDOW_KV = 2, FULL_SHARED = 5, WINDOW_SHARED = 4 };

static prism_model *model;
static int32_t tokens[N_CTX];

static prism_context *open_context(uint32_t n_ctx)
{
    return make_context(model, &(struct prism_context_params){ .n_ctx = n_ctx, .n_threads = 2, .compute = PRISM_COMPUTE_F32 });
}

static void append(prism_context *c, size_t n)
{
    struct prism_error err;
    must(prism_prefill(c, tokens + prism_length(c), n, NULL, &err), &err);
}

/* ---- the cache ---- */

static void test_facts(void **state)
{
    (void)state;
    const struct prism_layer *l = model->layers;

    assert_true(l[WINDOW_SHARED].attn.kv_layer == WINDOW_KV && l[FULL_SHARED].attn.kv_layer == FULL_KV);
    assert_true(l[WINDOW_KV].attn.head_dim == 16 && l[FULL_KV].attn.head_dim == 24);
    assert_true(l[WINDOW_KV].attn.n_head_kv == 2 && l[FULL_KV].attn.n_head_kv == 1);
    assert_true(l[0].ffn.dense.width == 24 && l[FULL_SHARED].ffn.dense.width == 48 && l[0].embd.width == 8);
    assert_null(l[1].attn.v.data);
    assert_non_null(l[FULL_KV].attn.v.data);
    assert_int_equal(model->ropes[0].n_rot, 24);
    assert_int_equal(model->ropes[0].n_turning, 6);
    for (size_t i = 0; i < model->n_layer; i++)
        assert_true(prism_has_kv(model, i) == (i < WINDOW_SHARED));
}

/* The cap of logits is on where the file does not say, and off where it says 0. */
static void test_cap(void **state)
{
    (void)state;
    for (int says = 0; says < 2; says++) {
        struct gb *g = gb_read("tests/golden/arch/gemma4.gguf");
        gb_remove(g, "gemma4.final_logit_softcapping");
        if (says)
            gb_f32(g, "gemma4.final_logit_softcapping", 0);
        prism_model *m = load_built(g, "cap.gguf");
        assert_true(m->logit_softcap == (says ? 0 : 30));
        prism_model_free(m);
    }
}

/* However many rows of logits are scaled and capped together, and by however many threads. */
static void test_capped_rows(void **state)
{
    (void)state;
    struct prism_context_params p = { .n_ctx = 200, .n_threads = 1, .logits_rows = 1 };
    prism_context *one = make_context(model, &p);
    float *expected = all_logits(one, tokens, 160, model->n_vocab);

    for (p.n_threads = 1, p.logits_rows = 160; p.n_threads <= 3; p.n_threads++) {
        prism_context *c = make_context(model, &p);
        float *found = all_logits(c, tokens, 160, model->n_vocab);
        for (size_t i = 0; i < 160 * model->n_vocab; i++)
            assert_true(fabsf(found[i]) <= 12); /* the cap of the file */
        assert_within(largest_difference_f32(found, expected, 160 * model->n_vocab), 1e-4, "rows together");
        free(found);
        prism_context_free(c);
    }
    free(expected);
    prism_context_free(one);
}

/* What the plan says of the cache: the layers' own rows, as many heads as wide as each has, and the rows that rings share. */
static void test_plan(void **state)
{
    (void)state;
    struct prism_context_params p = { .n_ctx = N_CTX, .compute = PRISM_COMPUTE_F32, .attention = { .selector = "dense" } };
    prism_context *c = make_context(model, &p);
    const size_t full = 24 * 4, window = 2 * 16 * 4; /* bytes of a token */
    const uint64_t bytes = 2 * (2 * full * N_CTX + 2 * window * RING + window * N_CTX);

    assert_true(c->plan.kv_bytes >= bytes && c->plan.kv_bytes < bytes + 8192);
    assert_true(c->k_cache.layer[FULL_SHARED] == c->k_cache.layer[FULL_KV] && c->v_cache.layer[WINDOW_SHARED] == c->v_cache.layer[WINDOW_KV]);
    assert_true(c->k_cache.layer[FULL_KV] != c->k_cache.layer[1] && c->k_cache.layer[WINDOW_KV] != c->k_cache.layer[0]);
    prism_context_free(c);
}

/* With a ring (5000 tokens) and without (2048) the same calls give the same bits. block 0: the usual */
static void ring_as_flat(const prism_model *m, uint32_t block)
{
    static const size_t pieces[] = { 2000, 512, 100 };
    struct prism_context_params p = { .n_threads = 2, .compute = PRISM_COMPUTE_F32, .attention = { .selector = "dense", .block = block } };

    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        prism_context *ring = (p.n_ctx = N_CTX, make_context(m, &p)), *flat = (p.n_ctx = RING, make_context(m, &p));
        while (prism_length(flat) + pieces[i] <= 2000) {
            append(ring, pieces[i]), append(flat, pieces[i]);
            assert_sound(prism_logits(ring), 1, m->n_vocab);
            assert_memory_equal(prism_logits(ring), prism_logits(flat), m->n_vocab * sizeof(float));
        }
        for (int k = 0; k < 5; k++) {
            append(ring, 1 + 3 * k), append(flat, 1 + 3 * k);
            assert_memory_equal(prism_logits(ring), prism_logits(flat), m->n_vocab * sizeof(float));
        }
        prism_context_free(ring), prism_context_free(flat);
    }
}

static void test_ring(void **state)
{
    (void)state;
    ring_as_flat(model, 0);
}

/* Layers that see chunks, of 64 tokens in place of 8192 (llama4): keys of a chunk that a row does not see are no part of its sums. */
static void test_chunks(void **state)
{
    (void)state;
    prism_model *m = load_model("tests/golden/arch/llama4.gguf");

    for (size_t l = 0; l < m->n_layer; l++) {
        assert_true(m->layers[l].attn.window == (l == 3 ? 0 : 8192) && m->layers[l].attn.chunked);
        m->layers[l].attn.window = l == 3 ? 0 : 64;
    }
    ring_as_flat(m, 32);
    prism_model_free(m);
}

/* Past the ring's end: at once, in pieces, token by token, and after a cut. */
static void test_past_the_ring(void **state)
{
    (void)state;
    static const size_t first[] = { 2100, RING - 10, 700 };
    prism_context *whole = open_context(N_CTX);
    struct prism_error err;

    append(whole, N);
    assert_sound(prism_logits(whole), 1, model->n_vocab);
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
        prism_context *c = open_context(N_CTX);
        append(c, first[i]);
        for (size_t k = 0; k < 40; k++)
            append(c, k % 4 == 3 ? 7 : 1);
        append(c, N - prism_length(c));
        assert_within(largest_difference_f32(prism_logits(c), prism_logits(whole), model->n_vocab), 1e-3, "in pieces");
        must(prism_truncate(c, N - 300, &err), &err);
        append(c, 5), append(c, 295);
        assert_within(largest_difference_f32(prism_logits(c), prism_logits(whole), model->n_vocab), 1e-3, "after a cut");
        prism_context_free(c);
    }
    prism_context_free(whole);
}

/* A call that fills the ring, and so overwrites what its first rows see, before another layer reads it. */
static void test_whole_ring(void **state)
{
    (void)state;
    prism_context *whole = open_context(N_CTX), *c = open_context(N_CTX);
    const size_t n_vocab = model->n_vocab;
    float *expected = all_logits(whole, tokens, N, n_vocab);

    append(c, 100);
    float *found = all_logits(c, tokens + 100, N - 100, n_vocab);
    assert_sound(found, N - 100, n_vocab);
    assert_within(largest_difference_f32(found, expected + 100 * n_vocab, (N - 100) * n_vocab), 1e-3, "rows of the second call");
    free(found), free(expected);
    prism_context_free(c), prism_context_free(whole);
}

/* ---- selection ---- */

static double density(const prism_context *c, uint32_t layer)
{
    struct prism_head_stats s, sum = { 0 };

    for (uint32_t h = 0; h < prism_heads(c, layer)->n_head; h++) {
        assert_true(prism_get_head_stats(c, layer, h, &s));
        sum.chosen_blocks += s.chosen_blocks, sum.causal_blocks += s.causal_blocks;
    }
    assert_false(prism_get_head_stats(c, layer, prism_heads(c, layer)->n_head, &s));
    return (double)sum.chosen_blocks / (double)sum.causal_blocks; /* NaN: the layer chose nothing */
}

static float *selected(const struct prism_attention_params *a, double dense[6])
{
    struct prism_context_params p = { .n_ctx = 1200, .n_threads = 2, .compute = PRISM_COMPUTE_F32, .attention = *a };
    prism_context *c = make_context(model, &p);
    float *logits = all_logits(c, tokens, 1024, model->n_vocab);

    for (uint32_t l = 0; l < 6; l++)
        dense[l] = density(c, l);
    assert_sound(logits, 1024, model->n_vocab);
    prism_context_free(c);
    return logits;
}

/* Every selector: layers with a window choose nothing, the others do, those too that read another layer's keys. What is chosen when nearly nothing
 * may be left out gives nearly dense logits, and less the less. */
static void test_selectors(void **state)
{
    (void)state;
    double all[6], part[6], none[6];
    const size_t values = 1024 * model->n_vocab;
    float *dense = selected(&(struct prism_attention_params){ .selector = "dense", .block = 32 }, none);

    for (uint32_t l = 0; l < 6; l++)
        assert_true(isnan(none[l]));
    for (int i = 0; i < prism_selector_count(); i++) {
        const char *name = prism_selector_name(i);
        struct prism_attention_params most = { .selector = name, .block = 32, .p_high = 1, .p_low = 1, .dense_tail = PRISM_NO_TAIL, .sink = 1024,
            .window = 1024, .vertical = 1024, .slash = 1024, .gamma = 1, .min_budget = 1024, .threshold = 1, .row_mass = 1e-7f };
        struct prism_attention_params less = { .selector = name, .block = 32, .p_high = 0.4f, .p_low = 0.4f, .dense_tail = PRISM_NO_TAIL, .sink = 32,
            .window = 64, .vertical = 16, .slash = 64, .gamma = 0.4f, .threshold = 0.4f, .row_mass = 0.5f };
        float *near = selected(&most, all), *far = selected(&less, part);
        for (uint32_t l = 0; l < 6; l++) {
            if (l % 2 == 0)
                assert_true(isnan(all[l]) && isnan(part[l]));
            else if (!(all[l] > 0.9 && all[l] <= 1 && part[l] > 0.05 && part[l] < 0.8))
                fail_msg("%s, layer %u: densities %g and %g", name, l, all[l], part[l]);
        }
        double d = largest_difference_f32(near, dense, values), e = largest_difference_f32(far, dense, values);
        if (!(d < 1e-3 && e > 1e-2))
            fail_msg("%s: nearly all: logits differ by %g, less: by %g", name, d, e);
        free(near), free(far);
    }
    free(dense);
}

/* ---- what a context holds ---- */

static void test_states(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_state_cases; i++) {
        prism_context *a = state_context(model, &state_cases[i].params), *b, *c = make_context(model, &state_cases[i].params);
        struct prism_error err;

        must(prism_context_clone(a, &b, &err), &err);
        session_save(a, session_path("vary.session"));
        session_load(c, session_path("vary.session"));
        assert_same_state(a, b, model->n_vocab);
        assert_same_state(a, c, model->n_vocab);
        prism_context *d = make_context(model, &state_cases[i].params);
        session_load(d, session_path("vary.session"));
        assert_same_future(a, b, model->n_vocab);
        assert_same_future(c, d, model->n_vocab);
        assert_same_state(a, c, model->n_vocab);
        prism_context_free(a), prism_context_free(b), prism_context_free(c), prism_context_free(d);
    }
}

/* Sums of keys follow a cut: those of the open block are made again from the cache, in the layers that have one. */
static void test_sums(void **state)
{
    (void)state;
    struct prism_context_params p = { .n_ctx = 600, .kv_type = PRISM_KV_F32, .compute = PRISM_COMPUTE_F32,
                                      .attention = { .selector = "prism", .block = 32 } };
    prism_context *c = make_context(model, &p), *fresh = make_context(model, &p);
    struct prism_error err;

    append(c, 300);
    must(prism_truncate(c, 275, &err), &err);
    append(fresh, 275);
    for (size_t l = 0; l < 6; l++) {
        const struct prism_pooled *a = &c->selection.pooled[l], *b = &fresh->selection.pooled[l];
        assert_true((a->k_sum != NULL) == (l % 2 == 1) && (a->q_energy != NULL) == (l % 2 == 1));
        assert_true((a->k_sum_open != NULL) == (l % 2 == 1 && l < FULL_SHARED));
        for (size_t k = 0; a->k_sum_open && k < (275 / 32 + 1) * 24; k++)
            assert_within(fabs((double)(a->k_sum[k] - b->k_sum[k])), 1e-4, "sum of keys");
    }
    assert_ptr_equal(c->selection.pooled[FULL_SHARED].k_sum, c->selection.pooled[FULL_KV].k_sum);
    prism_context_free(c), prism_context_free(fresh);
}

static int set_up(void **state)
{
    *state = model = load_model("tests/golden/arch/gemma4.gguf");
    make_tokens(tokens, N_CTX, model->n_vocab);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts), cmocka_unit_test(test_cap), cmocka_unit_test(test_capped_rows), cmocka_unit_test(test_plan),
        cmocka_unit_test(test_ring), cmocka_unit_test(test_past_the_ring), cmocka_unit_test(test_whole_ring), cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_selectors), cmocka_unit_test(test_states), cmocka_unit_test(test_sums),
    };
    return cmocka_run_group_tests_name("layers that vary", tests, set_up, free_group_model);
}
