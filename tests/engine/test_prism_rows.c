/* test_prism_rows.c - the selector "prism-rows" inside the engine: threads, all blocks, calls in pieces, cancel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "src/engine/context.h"
#include "tests/support/engine_test.h"
#include "tests/support/mask_trace.h"
#include "tests/support/tiny_model.h"

enum { N = 1000 };

static struct prism_context_params rows_params(float t)
{
    struct prism_context_params p = trace_params(N);
    p.attention.selector = "prism-rows", p.attention.row_mass = t;
    return p;
}

static void test_threads(void **state)
{
    (void)state;
    prism_model *m = load_model("models/gutenberg-llama-16m-q8_0.gguf");
    int32_t *tokens = trace_tokens(m, N);
    struct prism_context_params p = rows_params(0.3f);
    struct trace *one = trace_call(m, &p, tokens, N);

    assert_true(one->chosen[0][0] < one->causal[0][0]);
    trace_same_for_threads(one, m, &p, tokens, N);
    trace_free(one);
    free(tokens);
    prism_model_free(m);
}

/* A t that every block reaches is dense attention, bit for bit. */
static void test_all_blocks(void **state)
{
    (void)state;
    prism_model *m = trace_tiny_model("rows.gguf", 3);
    int32_t *tokens = trace_tokens(m, N);
    struct prism_context_params p = rows_params(1e-30f), dense = p;

    dense.attention.selector = "dense";
    struct trace *all = trace_call(m, &p, tokens, N), *d = trace_call(m, &dense, tokens, N);
    assert_int_equal(all->chosen[0][0], all->causal[0][0]);
    assert_true(trace_same_logits(all, d, 0, N));
    trace_free(all);
    trace_free(d);
    free(tokens);
    prism_model_free(m);
}

/* The first call makes the basis; whatever follows in pieces that end on the grid chooses what one call chooses. A call that was cancelled
 * leaves nothing behind, be it the first. */
static struct trace *in_pieces(const prism_model *m, const int32_t *tokens, const size_t *ends, size_t n, prism_progress_fn *stop)
{
    struct prism_context_params p = rows_params(1);
    struct trace *t = trace_new(m);
    prism_context *c = make_context(m, &p);
    struct prism_error err;

    for (size_t i = 0; i < n; i++) {
        size_t from = i ? ends[i - 1] : 0;
        bool stopped = false;
        struct prism_prefill_params cancel = { .progress = stop, .progress_user = &stopped };
        if (stop)
            assert_int_equal(prism_prefill(c, tokens + from + 5, N - from - 5, &cancel, &err), PRISM_E_CANCELLED);
        trace_feed(c, t, tokens + from, ends[i] - from, true);
    }
    prism_context_free(c);
    return t;
}

static int stop_later(void *user, const struct prism_progress *p)
{
    (void)user;
    return p->done > p->total / 2;
}

static void test_pieces(void **state)
{
    (void)state;
    prism_model *m = trace_tiny_model("rows.gguf", 3);
    int32_t *tokens = trace_tokens(m, N);
    struct trace *two = in_pieces(m, tokens, (const size_t[]){ 320, N }, 2, NULL);
    struct trace *many = in_pieces(m, tokens, (const size_t[]){ 320, 384, 640, N }, 4, NULL);
    struct trace *cancelled = in_pieces(m, tokens, (const size_t[]){ 320, N }, 2, stop_later);

    for (size_t l = 0; l < m->n_layer; l++)
        for (size_t h = 0; h < m->hp.n_head; h++)
            for (size_t u = 0; u * 32 < N; u++)
                assert_memory_equal(many->row[l][h][u], two->row[l][h][u], sizeof two->row[l][h][u]);
    assert_true(trace_same_masks(cancelled, two));
    assert_true(trace_same_logits(cancelled, two, 0, N));
    trace_free(two);
    trace_free(many);
    trace_free(cancelled);
    free(tokens);
    prism_model_free(m);
}

static void decode(prism_context *c, const int32_t *tokens, size_t n)
{
    struct prism_error err;
    for (size_t i = 0; i < n; i++)
        must(prism_decode(c, tokens[i], &err), &err);
}

/* Tokens that were forgotten, or whose call was cancelled, are in no sketch and no basis, also when others come one by one in their place,
 * which choose nothing. first: tokens before them. */
static struct trace *after_others(const prism_model *m, const int32_t *tokens, size_t first, int how)
{
    struct prism_context_params p = rows_params(1);
    struct trace *t = trace_new(m);
    prism_context *c = make_context(m, &p);
    struct prism_error err;
    bool stopped = false;
    struct prism_prefill_params cancel = { .progress = stop_later, .progress_user = &stopped };

    if (first > 16)
        must(prism_prefill(c, tokens, first, NULL, &err), &err);
    else
        decode(c, tokens, first);
    if (how == 1) {
        must(prism_prefill(c, tokens + 400, 200, NULL, &err), &err);
        must(prism_truncate(c, first, &err), &err);
    } else if (how == 2) {
        assert_int_equal(prism_prefill(c, tokens + 400, 200, &cancel, &err), PRISM_E_CANCELLED);
    }
    decode(c, tokens + first, 70);
    trace_feed(c, t, tokens + first + 70, 300, true);
    prism_context_free(c);
    return t;
}

static void test_forgotten(void **state)
{
    (void)state;
    static const size_t firsts[] = { 10, 256 }; /* the basis is theirs, or that of the call before */
    prism_model *m = trace_tiny_model("rows.gguf", 3);
    int32_t *tokens = trace_tokens(m, N);

    for (size_t i = 0; i < 2; i++) {
        struct trace *expected = after_others(m, tokens, firsts[i], 0);
        for (int how = 1; how < 3; how++) {
            struct trace *found = after_others(m, tokens, firsts[i], how);
            assert_true(trace_same_masks(found, expected));
            assert_true(trace_same_logits(found, expected, 0, 300));
            trace_free(found);
        }
        trace_free(expected);
    }
    free(tokens);
    prism_model_free(m);
}

/* longrope: a call that comes to the other set of rotations makes all tokens anew, and the basis too: the bits of one call. */
static void test_rotations(void **state)
{
    (void)state;
    enum { ORIGINAL = 450, FIRST = 440 };
    struct tiny_model t = tiny_qwen3();
    struct prism_context_params p = rows_params(1);
    struct prism_error err;

    t.n_layer = 3, t.n_head = 4, t.n_head_kv = 2;
    struct gb *g = tiny_build(&t);
    tiny_add_longrope(g, "qwen3", ORIGINAL, 32);
    prism_model *m = load_built(g, "rows-longrope.gguf");
    int32_t *tokens = trace_tokens(m, N);
    prism_context *one = make_context(m, &p), *two = make_context(m, &p);
    must(prism_prefill(one, tokens, N, NULL, &err), &err);
    must(prism_prefill(two, tokens, FIRST, NULL, &err), &err);
    must(prism_prefill(two, tokens + FIRST, N - FIRST, NULL, &err), &err);
    assert_memory_equal(prism_logits(one), prism_logits(two), m->n_vocab * sizeof(float));
    prism_context_free(one);
    prism_context_free(two);
    free(tokens);
    prism_model_free(m);
}

/* The plan counts the sketches: a byte for each coordinate of each key, beside what every selector keeps. */
static void test_plan(void **state)
{
    (void)state;
    prism_model *m = trace_tiny_model("rows.gguf", 3);
    struct prism_context_params p = rows_params(1);
    struct prism_plan rows, pooled;
    struct prism_error err;

    p.n_ctx = 4096;
    must(prism_plan(m, &p, &rows, &err), &err);
    p.attention.selector = "prism";
    must(prism_plan(m, &p, &pooled, &err), &err);
    uint64_t keys = (uint64_t)m->n_layer * m->hp.n_head_kv * p.n_ctx * prism_sketch_dim(m->hp.head_dim);
    assert_in_range(rows.attention_bytes, pooled.attention_bytes + keys, pooled.attention_bytes + 3 * keys);
    assert_int_equal(rows.total_bytes - rows.attention_bytes, pooled.total_bytes - pooled.attention_bytes);
    prism_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads), cmocka_unit_test(test_plan),
        cmocka_unit_test(test_all_blocks),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_forgotten),
        cmocka_unit_test(test_rotations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
