/* test_state.c - what prism.h says that a context is after each call: one that fails leaves it as it was, at whatever point it fails; logits
 * live until tokens are appended or forgotten; statistics count the calls that succeeded, decode apart from prefill. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "tests/support/mask_trace.h"
#include "tests/support/tiny_model.h"

enum { FIRST = 45, MORE = 90, N = FIRST + MORE, LAYERS = 3, HEADS = 4 };

static prism_model *model;
static size_t n_vocab;
static int32_t *tokens;

static void must(enum prism_status s, const struct prism_error *err)
{
    if (s)
        fail_msg("%s", err->text);
}

/* Blocks of 32 are chosen from the first on; FIRST ends inside one. */
static prism_context *start(bool causal)
{
    struct prism_context_params p = trace_params(N + 1);
    struct prism_error err;
    p.attention.causal_energy = causal;
    prism_context *c = trace_context(model, &p);
    must(prism_prefill(c, tokens, FIRST, NULL, &err), &err);
    return c;
}

/* All that can be asked of a context. */
struct view {
    size_t length;
    const float *at;
    float *logits; /* a copy */
    struct prism_stats stats;
    struct prism_layer_stats layer[LAYERS];
    struct prism_head_stats head[LAYERS][HEADS];
};

static struct view *look(const prism_context *c)
{
    struct view *v = calloc(1, sizeof *v);

    v->length = prism_length(c);
    v->at = prism_logits(c);
    v->logits = calloc(n_vocab, sizeof *v->logits);
    if (v->at)
        memcpy(v->logits, v->at, n_vocab * sizeof *v->logits);
    prism_get_stats(c, &v->stats);
    for (uint32_t l = 0; l < LAYERS; l++) {
        assert_true(prism_get_layer_stats(c, l, &v->layer[l]));
        for (uint32_t h = 0; h < HEADS; h++)
            assert_true(prism_get_head_stats(c, l, h, &v->head[l][h]));
    }
    return v;
}

static void assert_same_view(const struct view *a, const struct view *b)
{
    assert_int_equal(a->length, b->length);
    assert_ptr_equal(a->at, b->at);
    assert_memory_equal(a->logits, b->logits, n_vocab * sizeof *a->logits);
    assert_memory_equal(&a->stats, &b->stats, sizeof a->stats);
    assert_memory_equal(a->layer, b->layer, sizeof a->layer);
    assert_memory_equal(a->head, b->head, sizeof a->head);
}

static void forget(struct view *v)
{
    free(v->logits);
    free(v);
}

/* ---- a call that fails ---- */

struct stopper {
    size_t calls, stop_at;
};

static int stop_at(void *user, const struct prism_progress *p)
{
    struct stopper *s = user;
    (void)p;
    return ++s->calls == s->stop_at;
}

static void take_rows(void *user, size_t row, size_t n_rows, const float *logits) { (void)user, (void)row, (void)n_rows, (void)logits; }

/* Cancelled at every single point where that is possible, with one thread, so that the points are the same each time. */
static void check_cancel(bool causal, prism_logits_fn *rows)
{
    prism_context *c = start(causal), *fresh = start(causal);
    struct stopper s = { .stop_at = SIZE_MAX };
    struct prism_prefill_params p = { .progress = stop_at, .progress_user = &s, .logits = rows };
    struct view *before = look(c);
    struct prism_error err;

    assert_non_null(before->at);
    must(prism_prefill(fresh, tokens + FIRST, MORE, &p, &err), &err);
    assert_true(s.calls > 10 * LAYERS); /* phases of each */
    for (size_t points = s.calls, at = 1; at <= points; at++) {
        s = (struct stopper){ 0, at };
        assert_int_equal(prism_prefill(c, tokens, MORE, &p, &err), PRISM_E_CANCELLED); /* other tokens */
        assert_int_equal(s.calls, at); /* not asked again after that */
        struct view *after = look(c);
        assert_same_view(before, after);
        forget(after);
    }
    s.stop_at = SIZE_MAX;
    must(prism_prefill(c, tokens + FIRST, MORE, &p, &err), &err); /* as if nothing had happened */
    assert_memory_equal(prism_logits(c), prism_logits(fresh), n_vocab * sizeof(float));
    struct view *v[2] = { look(c), look(fresh) };
    assert_memory_equal(v[0]->head, v[1]->head, sizeof v[0]->head);
    assert_true(v[0]->head[0][0].causal_blocks > before->head[0][0].causal_blocks);
    forget(v[0]);
    forget(v[1]);
    forget(before);
    prism_context_free(c);
    prism_context_free(fresh);
}

static void test_cancel(void **state)
{
    (void)state;
    for (int causal = 0; causal < 2; causal++) {
        check_cancel(causal, NULL);
        check_cancel(causal, take_rows);
    }
}

/* Refusals, and numbers that run over (an embedding of 1e30, in a model with two of them). */
static void test_refusals(void **state)
{
    prism_context *c = start(false);
    struct view *before = look(c), *after;
    struct prism_error err;
    const int32_t bad[3] = { 1, (int32_t)n_vocab, 1 };

    (void)state;
    assert_int_equal(prism_prefill(c, bad, 3, NULL, &err), PRISM_E_ARG);
    assert_int_equal(prism_prefill(c, tokens, 0, NULL, &err), PRISM_E_ARG);
    assert_int_equal(prism_prefill(c, tokens, N, NULL, &err), PRISM_E_LENGTH);
    assert_int_equal(prism_prefill(c, tokens, 3, &(struct prism_prefill_params){ .n_layers = LAYERS + 1 }, &err), PRISM_E_ARG);
    assert_int_equal(prism_decode(c, -1, &err), PRISM_E_ARG);
    assert_int_equal(prism_truncate(c, FIRST + 1, &err), PRISM_E_ARG);
    assert_same_view(before, after = look(c));
    forget(after);
    forget(before);
    prism_context_free(c);
}

static void test_not_finite(void **state)
{
    struct tiny_model t = tiny_qwen3();
    struct gb *g;
    struct prism_context_params p = trace_params(N);
    struct prism_error err;
    float *row;

    (void)state;
    t.n_layer = LAYERS, t.n_head = HEADS, t.n_head_kv = 2, t.output_type = PRISM_F32, t.untied = true;
    g = tiny_build(&t);
    row = (float *)(void *)gb_tensor(g, "token_embd.weight")->data + 7 * t.n_embd;
    for (size_t i = 0; i < t.n_embd; i++)
        row[i] = 1e30f;
    prism_model *m = trace_load(gb_write(g, "runs-over.gguf"));
    prism_context *c = trace_context(m, &p);
    int32_t good[FIRST], bad[MORE];
    for (size_t i = 0; i < FIRST; i++)
        good[i] = (int32_t)(i % 7);
    for (size_t i = 0; i < MORE; i++)
        bad[i] = i == MORE / 2 ? 7 : (int32_t)(i % 7);
    must(prism_prefill(c, good, FIRST, NULL, &err), &err);
    struct view *before = look(c), *after;
    assert_int_equal(prism_prefill(c, bad, MORE, NULL, &err), PRISM_E_NUMERIC);
    assert_int_equal(prism_decode(c, 7, &err), PRISM_E_NUMERIC);
    assert_same_view(before, after = look(c));
    must(prism_decode(c, 1, &err), &err);
    assert_int_equal(prism_length(c), FIRST + 1);
    forget(after);
    forget(before);
    prism_context_free(c);
    prism_model_free(m);
    gb_free(g);
}

/* ---- logits ---- */

static void test_logits(void **state)
{
    struct prism_context_params p = trace_params(N);
    struct prism_error err;
    prism_context *c = trace_context(model, &p);

    (void)state;
    assert_null(prism_logits(NULL));
    assert_int_equal(prism_length(NULL), 0);
    assert_null(prism_logits(c));
    must(prism_truncate(c, 0, &err), &err); /* an empty context can be emptied */
    must(prism_prefill(c, tokens, FIRST, NULL, &err), &err);
    const float *logits = prism_logits(c);
    float first = logits[0];
    must(prism_truncate(c, FIRST, &err), &err); /* nothing to forget: nothing changes */
    assert_ptr_equal(prism_logits(c), logits);
    assert_true(logits[0] == first);
    assert_int_equal(prism_length(c), FIRST);
    must(prism_truncate(c, FIRST - 1, &err), &err);
    assert_null(prism_logits(c));
    assert_int_equal(prism_length(c), FIRST - 1);
    must(prism_decode(c, tokens[FIRST - 1], &err), &err);
    assert_non_null(prism_logits(c));
    must(prism_prefill(c, tokens, 3, &(struct prism_prefill_params){ .n_layers = 1 }, &err), &err);
    assert_null(prism_logits(c));
    assert_int_equal(prism_length(c), FIRST + 3);
    prism_context_free(c);
}

/* ---- statistics ---- */

static double parts(double a, double b, double c, double d)
{
    assert_true(a >= 0 && b >= 0 && c >= 0 && d >= 0);
    return a + b + c + d;
}

/* A sum of four doubles, which add up to the whole but for their roundings. */
static void assert_whole(double sum, double whole)
{
    assert_true(whole > 0 && fabs(sum - whole) <= 1e-12 * whole);
}

static void test_stats(void **state)
{
    static const struct prism_stats none;
    struct prism_stats a, b;
    struct prism_error err;
    prism_context *c = start(true);

    (void)state;
    prism_get_stats(c, &a);
    assert_int_equal(a.prefill_tokens, FIRST);
    assert_int_equal(a.decode_tokens, 0);
    assert_whole(parts(a.linear_ms, a.attention_ms, a.select_ms, a.other_ms), a.prefill_ms);
    assert_true(a.linear_ms > 0 && a.attention_ms > 0 && a.select_ms > 0 && a.other_ms > 0);
    assert_true(a.decode_ms == 0 && parts(a.decode_linear_ms, a.decode_attention_ms, a.decode_select_ms, a.decode_other_ms) == 0);

    for (int i = 0; i < 3; i++)
        must(prism_decode(c, tokens[FIRST + i], &err), &err);
    prism_get_stats(c, &b);
    assert_int_equal(b.decode_tokens, 3);
    assert_whole(parts(b.decode_linear_ms, b.decode_attention_ms, b.decode_select_ms, b.decode_other_ms), b.decode_ms);
    assert_true(b.decode_linear_ms > 0 && b.decode_attention_ms > 0 && b.decode_other_ms > 0);
    assert_true(b.prefill_tokens == FIRST && b.prefill_ms == a.prefill_ms); /* decode is not prefill */
    assert_true(b.linear_ms == a.linear_ms && b.attention_ms == a.attention_ms && b.select_ms == a.select_ms && b.other_ms == a.other_ms);

    must(prism_prefill(c, tokens, 1, NULL, &err), &err); /* one token: decode */
    must(prism_prefill(c, tokens, 2, NULL, &err), &err); /* two: prefill */
    prism_get_stats(c, &a);
    assert_true(a.decode_tokens == 4 && a.prefill_tokens == FIRST + 2);
    prism_stats_reset(c);
    struct view *v = look(c);
    assert_memory_equal(&v->stats, &none, sizeof none);
    assert_true(v->layer[0].attention_ms == 0 && v->head[0][0].causal_blocks == 0 && isnan(v->head[0][0].mass));
    forget(v);
    prism_context_free(c);
}

static int set_up(void **state)
{
    struct prism_model_info info;

    (void)state;
    model = trace_tiny_model("state.gguf", LAYERS);
    prism_model_info(model, &info);
    n_vocab = info.n_vocab;
    tokens = trace_tokens(model, N);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(tokens);
    prism_model_free(model);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cancel), cmocka_unit_test(test_refusals), cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_logits), cmocka_unit_test(test_stats),
    };
    return cmocka_run_group_tests_name("state of a context", tests, set_up, tear_down);
}
