/* test_windows.c - layers that see a window and keep a ring (src/engine/kv.h): more tokens than the ring holds, against a forward pass in double;
 * truncation, cancelled calls, clones, sessions. The model is gemma3's of tests/golden/arch: a window of 24 in five of six layers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/engine/context.h"
#include "tests/support/data.h"
#include "tests/support/engine_test.h"
#include "tests/support/near.h"
#include "tests/support/reference.h"

enum { N = 2700, N_CTX = 5000, RING = 2048, WINDOW = 24 };

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

/* The logits of the last token are those of a fresh context that had the first `length` tokens at once. */
static void assert_as_fresh(const prism_context *c, double bound, const char *what)
{
    prism_context *fresh = open_context(N_CTX);
    append(fresh, prism_length(c));
    assert_sound(prism_logits(c), 1, model->n_vocab);
    assert_within(largest_difference_f32(prism_logits(c), prism_logits(fresh), model->n_vocab), bound, what);
    prism_context_free(fresh);
}

static void test_capacity(void **state)
{
    (void)state;
    prism_context *c = open_context(N_CTX), *small = open_context(300);
    struct prism_plan full, rings;
    struct prism_error err;

    assert_int_equal(model->layers[0].attn.window, WINDOW);
    assert_int_equal(model->layers[5].attn.window, 0);
    assert_int_equal(prism_kv_capacity(c, 0), RING);
    assert_int_equal(prism_kv_capacity(c, 5), N_CTX);
    assert_int_equal(prism_kv_capacity(small, 0), 300);
    must(prism_plan(model, &(struct prism_context_params){ .n_ctx = 100 * RING }, &rings, &err), &err);
    must(prism_plan(model, &(struct prism_context_params){ .n_ctx = RING }, &full, &err), &err);
    assert_true(rings.kv_bytes < 100 * full.kv_bytes * 0.37); /* of six layers, one, and the rows that the five share */
    prism_context_free(c), prism_context_free(small);
}

/* Whole, in two calls, and token by token across the ring's end: all are what the double says. */
static void test_against_double(void **state)
{
    (void)state;
    double *expected = test_reference_logits(model, tokens, N);
    static const size_t first[] = { N, 2100, RING - 10, 100 };
    const size_t n_vocab = model->n_vocab;

    for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
        prism_context *c = open_context(N_CTX);
        append(c, first[i]);
        for (size_t k = 0; k < 40 && prism_length(c) < N; k++) {
            append(c, k % 4 == 3 ? 7 : 1);
            assert_within(largest_difference(prism_logits(c), expected + (prism_length(c) - 1) * n_vocab, n_vocab), 1e-3, "a few tokens");
        }
        if (prism_length(c) < N)
            append(c, N - prism_length(c));
        assert_within(largest_difference(prism_logits(c), expected + (N - 1) * n_vocab, n_vocab), 1e-3, "the last token");
        prism_context_free(c);
    }
    free(expected);
}

static void test_truncate(void **state)
{
    (void)state;
    struct prism_error err;
    prism_context *c = open_context(N_CTX);

    append(c, N);
    size_t block = c->plan.block, least = (N - RING + block - 1) / block * block + WINDOW - 1; /* all blocks that the next token sees are there */
    assert_int_equal(prism_truncate(c, least - 1, &err), PRISM_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "layers with a window keep those from 652 on"));
    assert_int_equal(prism_length(c), N);
    assert_non_null(prism_logits(c));
    must(prism_truncate(c, N - 500, &err), &err);
    append(c, 1);
    append(c, 300);
    assert_as_fresh(c, 1e-3, "cut by 500");
    must(prism_truncate(c, least, &err), &err);
    append(c, 3);
    assert_as_fresh(c, 1e-3, "cut as far as can be");
    assert_int_equal(prism_truncate(c, least - 1, &err), PRISM_E_UNSUPPORTED); /* it is gone for good */
    must(prism_truncate(c, 0, &err), &err);
    append(c, 100);
    must(prism_truncate(c, 10, &err), &err);
    append(c, 1);
    assert_as_fresh(c, 1e-3, "begun anew");
    prism_context_free(c);
}

/* What cannot be kept is made again. */
static void test_prefill_to(void **state)
{
    (void)state;
    struct prism_error err;
    size_t reused = 1;
    prism_context *c = open_context(N_CTX);

    append(c, N);
    must(prism_prefill_to(c, tokens, 300, &(struct prism_prefill_params){ .reuse = PRISM_REUSE_ALL }, &reused, &err), &err);
    assert_int_equal(reused, 0);
    assert_as_fresh(c, 1e-3, "300 of 2700");
    append(c, N - 300);
    must(prism_prefill_to(c, tokens, N - 200, &(struct prism_prefill_params){ .reuse = PRISM_REUSE_ALL }, &reused, &err), &err);
    assert_int_equal(reused, N - 201);
    assert_as_fresh(c, 1e-3, "2500 of 2700");
    prism_context_free(c);
}

static int stop_late(void *user, const struct prism_progress *p)
{
    (void)user;
    return p->done * 10 > p->total * 8;
}

/* PRISM_REUSE_EXACT in the fast arithmetic, where the keys of a block share scales: the bits of a fresh context. */
static void test_exact_bits(void **state)
{
    (void)state;
    const struct prism_context_params p = { .n_ctx = N_CTX, .n_threads = 2, .attention.selector = "dense" };
    int32_t other[N_CTX];

    for (size_t common = 2000; common < N; common += 97) {
        prism_context *c = make_context(model, &p), *fresh = make_context(model, &p);
        struct prism_error err;
        size_t reused, n = common + 60;
        append(c, N);
        memcpy(other, tokens, sizeof other);
        other[common] = (other[common] + 1) % (int32_t)model->n_vocab;
        must(prism_prefill_to(c, other, n, NULL, &reused, &err), &err);
        assert_int_equal(reused, common / 128 * 128);
        must(prism_prefill(fresh, other, n, NULL, &err), &err);
        assert_memory_equal(prism_logits(c), prism_logits(fresh), model->n_vocab * sizeof(float));
        prism_context_free(c), prism_context_free(fresh);
    }
}

/* Layers before the one that was running have lost what the tokens before the call need. */
static void test_cancelled(void **state)
{
    (void)state;
    struct prism_error err;
    prism_context *c = open_context(N_CTX);

    append(c, 1000);
    assert_int_equal(prism_prefill(c, tokens + 1000, 2300, &(struct prism_prefill_params){ .progress = stop_late }, &err), PRISM_E_CANCELLED);
    assert_int_equal(prism_length(c), 1000);
    append(c, 1);
    assert_as_fresh(c, 1e-3, "after a cancelled call");
    append(c, 900);
    append(c, 1);
    assert_as_fresh(c, 1e-3, "some time after a cancelled call");
    prism_context_free(c);
}

static void test_copies(void **state)
{
    (void)state;
    struct prism_error err;
    char path[300];
    prism_context *c = open_context(N_CTX), *clone, *loaded = open_context(N_CTX + 1000);

    snprintf(path, sizeof path, "%s/ring.session", test_tmp_dir());
    append(c, N);
    must(prism_context_clone(c, &clone, &err), &err);
    must(prism_session_save(c, path, &err), &err);
    must(prism_session_load(loaded, path, &err), &err);
    prism_context *all[] = { c, clone, loaded };
    float *first = malloc(3 * model->n_vocab * sizeof *first);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(prism_truncate(all[i], 600, &err), PRISM_E_UNSUPPORTED);
    for (size_t i = 0; i < 3; i++)
        for (size_t step = 0; step < 3; step++) {
            static const size_t more[] = { 1, 50, 20 };
            float *expected = first + step * model->n_vocab;
            if (step == 2)
                must(prism_truncate(all[i], N - 1000, &err), &err);
            append(all[i], more[step]);
            if (i == 0)
                memcpy(expected, prism_logits(c), model->n_vocab * sizeof *expected);
            assert_memory_equal(prism_logits(all[i]), expected, model->n_vocab * sizeof *expected);
            assert_int_equal(prism_truncate(all[i], 600, &err), PRISM_E_UNSUPPORTED);
        }
    free(first);
    prism_context_free(clone), prism_context_free(loaded);
    assert_as_fresh(c, 1e-3, "the copied one");
    prism_context_free(c);
}

/* ---- selection ---- */

struct seen {
    bool layers[8]; /* that chose blocks */
};

static void note_mask(void *user, const struct prism_attention_mask *m) { ((struct seen *)user)->layers[m->layer] = true; }

/* Only layers that see everything choose; where they choose all, nothing changes. */
static void test_selection(void **state)
{
    (void)state;
    enum { LONG = 1200 };
    static const char *const selectors[] = { "prism", "prism-rows" };

    for (size_t i = 0; i < 2; i++) {
        struct prism_attention_params all = { .selector = selectors[i], .block = 32, .min_tokens = 1, .p_high = 1, .p_low = 1, .row_mass = 1e-30f };
        prism_context *c = make_context(model, &(struct prism_context_params){ .n_ctx = N_CTX, .compute = PRISM_COMPUTE_F32, .attention = all });
        struct seen seen = { { false } };
        struct prism_head_stats s;
        struct prism_error err;
        must(prism_prefill(c, tokens, LONG, &(struct prism_prefill_params){ .mask = note_mask, .mask_user = &seen, .n_layers = 6 }, &err), &err);
        for (uint32_t l = 0; l < model->n_layer; l++) {
            assert_true(prism_get_head_stats(c, l, 0, &s));
            assert_int_equal(seen.layers[l], l == 5);
            assert_int_equal(s.causal_blocks > 0, l == 5);
        }
        must(prism_truncate(c, 0, &err), &err);
        append(c, LONG);
        append(c, 700); /* over the grid of blocks */
        must(prism_truncate(c, LONG + 5, &err), &err);
        append(c, 50);
        assert_as_fresh(c, 1e-3, selectors[i]);
        prism_context_free(c);
    }
}

static int set_up(void **state)
{
    *state = model = load_model("tests/golden/arch/gemma3.gguf");
    make_tokens(tokens, N_CTX, model->n_vocab);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_capacity), cmocka_unit_test(test_against_double), cmocka_unit_test(test_truncate),
        cmocka_unit_test(test_prefill_to), cmocka_unit_test(test_exact_bits), cmocka_unit_test(test_cancelled), cmocka_unit_test(test_copies),
        cmocka_unit_test(test_selection),
    };
    return cmocka_run_group_tests(tests, set_up, free_group_model);
}
