/* test_delta.c - models with delta nets, whose layers have a state in place of keys: what calls, cuts and selectors do with it. Prompts that reuse
 * states: test_delta_reuse.c; clones and session files: test_delta_copies.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/engine/context.h"
#include "tests/support/delta_case.h"
#include "tests/support/engine_test.h"
#include "tests/support/near.h"

/* ---- calls ---- */

/* The same bits wherever calls of more than a few tokens began, if it was where a chunk does: also across slabs, of 512 tokens and shorter ones. */
static void test_grid(void **state)
{
    (void)state;
    static const size_t lengths[] = { 100, 512, 513, 528, 529, 576, 1100, 1300 }, cuts[] = { 64, 448, 512, 576, 1024 };

    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        float *want = delta_fresh(lengths[l]);
        for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
            if (cuts[i] + 17 > lengths[l])
                continue;
            prism_context *c = delta_dense();
            delta_prefill(c, 0, cuts[i]);
            delta_prefill(c, cuts[i], lengths[l]);
            delta_assert_logits(c, want);
            prism_context_free(c);
        }
        free(want);
    }
}

/* A call from inside a chunk has the chunks of others from its next multiple of 64 on, so that a cut there changes nothing either. */
static void test_off_grid(void **state)
{
    (void)state;
    prism_context *c = delta_dense(), *d = delta_dense();

    delta_prefill(c, 0, 32);
    delta_prefill(c, 32, 1200);
    delta_prefill(d, 0, 32);
    delta_prefill(d, 32, 576);
    delta_prefill(d, 576, 1200);
    delta_assert_logits(c, prism_logits(d));
    prism_context_free(c);
    prism_context_free(d);
}

/* Calls that begin inside chunks, and tokens one by one: near the whole. */
static void test_pieces(void **state)
{
    (void)state;
    static const size_t pieces[] = { 1, 5, 40, 63, 65, 200 };
    struct prism_context_params p = { .n_ctx = DELTA_CTX, .n_threads = 2, .compute = PRISM_COMPUTE_F32 };
    prism_context *whole = make_context(delta.model, &p);

    delta_prefill(whole, 0, 650);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        prism_context *c = make_context(delta.model, &p);
        for (size_t at = 0; at < 650; at += pieces[i])
            delta_prefill(c, at, at + pieces[i] < 650 ? at + pieces[i] : 650);
        assert_within(largest_difference_f32(prism_logits(c), prism_logits(whole), delta.n_vocab), 1e-4, "pieces");
        prism_context_free(c);
    }
    prism_context_free(whole);
}

/* A last layer with a state: one row of it, or all. */
static void test_last_layer(void **state)
{
    (void)state;
    struct tiny_model t = tiny_family("qwen35");
    t.n_layer = 3;
    prism_model *m = load_tiny(&t, "last.gguf");
    struct prism_context_params p = { .n_ctx = DELTA_CTX, .n_threads = 2, .compute = PRISM_COMPUTE_F32 };
    struct prism_error err;

    for (size_t n = 1; n <= 641; n += 320) {
        prism_context *c = make_context(m, &p), *d = make_context(m, &p);
        float *all = all_logits(c, delta.tokens, n, delta.n_vocab);
        must(prism_prefill(d, delta.tokens, n, NULL, &err), &err);
        assert_within(largest_difference_f32(prism_logits(d), all + (n - 1) * delta.n_vocab, delta.n_vocab), 1e-5, "the last row");
        free(all);
        prism_context_free(c);
        prism_context_free(d);
    }
    prism_model_free(m);
}

static int stop_soon(void *user, const struct prism_progress *p)
{
    (void)user;
    return p->done * 3 > p->total;
}

/* A call that is cancelled has changed nothing. */
static void test_cancelled(void **state)
{
    (void)state;
    prism_context *c = delta_dense(), *d = delta_dense();
    struct prism_error err;

    delta_prefill(c, 0, 200);
    delta_prefill(d, 0, 200);
    float *before = delta_logits(c);
    assert_int_equal(prism_prefill(c, delta.tokens + 200, 600, &(struct prism_prefill_params){ .progress = stop_soon }, &err), PRISM_E_CANCELLED);
    assert_int_equal(prism_length(c), 200);
    delta_assert_logits(c, before);
    delta_prefill(c, 200, 450);
    delta_prefill(d, 200, 450);
    delta_assert_logits(c, prism_logits(d));
    free(before);
    prism_context_free(c);
    prism_context_free(d);
}

/* Some layers only, taken away again. */
static void test_some_layers(void **state)
{
    (void)state;
    prism_context *c = delta_dense();
    struct prism_error err;
    float *want = delta_fresh(300);

    delta_prefill(c, 0, 128);
    must(prism_prefill(c, delta.tokens + 500, 300, &(struct prism_prefill_params){ .n_layers = 3 }, &err), &err);
    delta_cut(c, 128);
    delta_prefill(c, 128, 300);
    delta_assert_logits(c, want);
    free(want);
    prism_context_free(c);
}

/* ---- cuts ---- */

static void refused(prism_context *c, size_t n, const char *text)
{
    struct prism_error err;
    size_t length = prism_length(c);

    assert_int_equal(prism_truncate(c, n, &err), PRISM_E_UNSUPPORTED);
    if (!strstr(err.text, text))
        fail_msg("%s", err.text);
    assert_int_equal(prism_length(c), length);
}

/* A context can be cut to 0, to its length, and to where a call ended or left its mark. */
static void test_cuts(void **state)
{
    (void)state;
    prism_context *c = delta_dense();
    float *want = delta_fresh(300);

    delta_prefill(c, 0, 300); /* the mark: the last chunk's end with more than 16 tokens behind it */
    refused(c, 299, "truncate: to 299 of 300 tokens: layers with a state in place of keys have kept that of 0 and of 256");
    refused(c, 1, "256");
    delta_cut(c, 300);
    delta_assert_logits(c, want);
    delta_cut(c, 256);
    delta_prefill(c, 256, 300);
    delta_assert_logits(c, want);
    delta_cut(c, 0);
    delta_prefill(c, 0, 300);
    delta_assert_logits(c, want);
    delta_prefill(c, 300, 310);
    delta_cut(c, 300);
    delta_cut(c, 256);
    refused(c, 64, "256 tokens: layers with a state in place of keys have kept that of 0 and of 0");
    free(want);
    prism_context_free(c);
}

/* A state that long calls led to stays while short calls come and go: here the first mark, 64 tokens behind which nothing else is needed. */
static void test_long_stay(void **state)
{
    (void)state;
    prism_context *c = delta_dense();

    delta_prefill(c, 0, 1024);
    delta_prefill(c, 1024, 1100);
    for (size_t at = 1100; at < 1140; at++)
        delta_prefill(c, at, at + 1);
    delta_cut(c, 960);
    delta_prefill(c, 960, 1100);
    float *want = delta_fresh(1100);
    delta_assert_logits(c, want);
    free(want);
    prism_context_free(c);
}

/* ---- selectors ---- */

static void test_selector(void **state)
{
    (void)state;
    static const char *const selectors[] = { "prism", "prism-rows" };

    for (size_t i = 0; i < 2; i++) {
        struct prism_context_params p = { .n_ctx = DELTA_CTX, .n_threads = 2, .attention = { .selector = selectors[i], .p_high = 0.5f, .p_low = 0.5f } };
        prism_context *c = make_context(delta.model, &p), *d = make_context(delta.model, &p), *clone;
        struct prism_error err;
        struct prism_head_stats s;

        delta_prefill(c, 0, 1280);
        for (uint32_t l = 0; l < delta.model->n_layer; l++) {
            assert_true(prism_get_head_stats(c, l, 0, &s));
            assert_true((s.causal_blocks > 0) == (l == 1)); /* of the full layers, which are 1 and 3, the last has one row */
        }
        assert_sound(prism_logits(c), 1, delta.n_vocab);
        must(prism_context_clone(c, &clone, &err), &err);
        delta_prefill(c, 1280, 1300);
        delta_prefill(clone, 1280, 1300);
        delta_assert_logits(clone, prism_logits(c));
        prism_context_free(clone);

        size_t reused;
        must(prism_prefill_to(d, delta.tokens, 1000, &(struct prism_prefill_params){ .cut = 900 }, &reused, &err), &err);
        float *want = delta_logits(d);
        delta_cut(d, 896);
        must(prism_prefill_to(d, delta.tokens, 1000, &(struct prism_prefill_params){ .cut = 900 }, &reused, &err), &err);
        assert_int_equal(reused, 896);
        delta_assert_logits(d, want);
        free(want);
        prism_context_free(c);
        prism_context_free(d);
    }
}

/* ---- memory ---- */

/* The plan counts four states of each layer that has one, and keys and values of the others. */
static void test_plan(void **state)
{
    (void)state;
    struct prism_plan p;
    struct prism_error err;
    const struct prism_attn_spec *a = &delta.model->layers[1].attn;

    must(prism_plan(delta.model, &(struct prism_context_params){ .n_ctx = DELTA_CTX, .n_threads = 1, .kv_type = PRISM_KV_F16 }, &p, &err), &err);
    uint64_t states = 2 * PRISM_DELTA_STATES * delta.layer_floats * sizeof(float);
    uint64_t kv = 2 * 2 * (uint64_t)DELTA_CTX * a->n_head_kv * a->head_dim * sizeof(uint16_t);
    assert_true(p.kv_bytes >= states + kv && p.kv_bytes < states + kv + 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grid),
        cmocka_unit_test(test_off_grid),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_some_layers),
        cmocka_unit_test(test_last_layer),
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_long_stay),
        cmocka_unit_test(test_selector),
        cmocka_unit_test(test_plan),
    };
    return cmocka_run_group_tests_name("engine/delta", tests, delta_set_up, delta_tear_down);
}
