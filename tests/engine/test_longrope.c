/* test_longrope.c - which of longrope's two sets of frequencies a call uses depends on the tokens in the cache alone: not on the size of the
 * context, not on the calls in which they came. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "src/model/model.h"
#include "tests/support/engine_test.h"

enum { ORIGINAL = 64, N = 150, N_CTX = 400 };

/* Token 77 of the damaged model has no finite embedding. */
static prism_model *load(bool damaged)
{
    struct tiny_model t = tiny_llama();

    t.output_type = PRISM_F32, t.untied = true;
    struct gb *g = tiny_build(&t);
    tiny_add_longrope(g, "llama", ORIGINAL, 16);
    if (damaged) {
        float value = NAN;
        memcpy(gb_tensor(g, "token_embd.weight")->data + (77 * t.n_embd + 3) * sizeof value, &value, sizeof value);
    }
    return load_built(g, "longrope.gguf");
}

static void fill_tokens(int32_t *tokens, size_t n)
{
    for (size_t i = 0; i < n; i++)
        tokens[i] = (int32_t)((i * 37 + i * i) % 200 / 3); /* never 77 */
}

static prism_context *context(const prism_model *m, struct prism_context_params p)
{
    p.n_threads = 1, p.compute = PRISM_COMPUTE_F32;
    return make_context(m, &p);
}

/* Logits after n tokens in one call, malloc'ed. */
static float *fresh(const prism_model *m, const int32_t *tokens, size_t n)
{
    prism_context *c = context(m, (struct prism_context_params){ .n_ctx = N_CTX });
    struct prism_error err;
    size_t bytes = m->n_vocab * sizeof(float);
    float *logits = malloc(bytes);

    must(prism_prefill(c, tokens, n, NULL, &err), &err);
    memcpy(logits, prism_logits(c), bytes);
    prism_context_free(c);
    return logits;
}

static double distance(const float *a, const float *b, size_t n)
{
    double difference = 0, square = 0;
    for (size_t i = 0; i < n; i++) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        square += (double)b[i] * b[i];
    }
    return sqrt(difference / square);
}

/* The rounding of fp32, as in test_engine.c. The two sets differ by far more: test_sets. */
static void assert_fresh(const prism_model *m, const prism_context *c, const int32_t *tokens)
{
    float *expected = fresh(m, tokens, prism_length(c));
    assert_true(distance(prism_logits(c), expected, m->n_vocab) <= 2 * 1.3e-5);
    free(expected);
}

/* ---- the size of the context ---- */

static void test_context_size(void **state)
{
    (void)state;
    prism_model *m = load(false);
    static const uint32_t n_ctx[] = { 16, 17, ORIGINAL, ORIGINAL + 1, N_CTX };
    struct prism_error err;
    int32_t tokens[16];
    float *first = NULL;
    size_t bytes = m->n_vocab * sizeof *first;

    fill_tokens(tokens, 16);
    for (size_t i = 0; i < 5; i++) {
        prism_context *c = context(m, (struct prism_context_params){ .n_ctx = n_ctx[i] });
        must(prism_prefill(c, tokens, 16, NULL, &err), &err);
        if (first)
            assert_memory_equal(prism_logits(c), first, bytes);
        else
            first = memcpy(malloc(bytes), prism_logits(c), bytes);
        prism_context_free(c);
    }
    free(first);
    prism_model_free(m);
}

/* ---- the set: that of the length, checked with models that have only one ---- */

static void test_sets(void **state)
{
    (void)state;
    prism_model *m = load(false);
    double *narrow = m->ropes[0].freq_short, *wide = m->ropes[0].freq;
    int32_t tokens[N];
    static const size_t lengths[] = { 20, ORIGINAL, ORIGINAL + 1, N };

    fill_tokens(tokens, N);
    for (size_t i = 0; i < 4; i++) {
        size_t n = lengths[i];
        float *got = fresh(m, tokens, n);
        m->ropes[0].freq_short = NULL; /* one set only */
        float *long_only = fresh(m, tokens, n);
        m->ropes[0].freq = narrow;
        float *short_only = fresh(m, tokens, n);
        m->ropes[0].freq = wide, m->ropes[0].freq_short = narrow;
        assert_true(distance(long_only, short_only, m->n_vocab) > 0.01);
        assert_memory_equal(got, n <= ORIGINAL ? short_only : long_only, m->n_vocab * sizeof *got);
        free(got), free(long_only), free(short_only);
    }
    prism_model_free(m);
}

/* ---- crossing by continuation, back by truncation ---- */

struct rows {
    float *logits;
    size_t n_vocab;
    unsigned char seen[N];
};

static void keep_rows(void *user, size_t row, size_t n_rows, const float *logits)
{
    struct rows *r = user;
    for (size_t i = 0; i < n_rows; i++)
        r->seen[row + i]++;
    memcpy(r->logits + row * r->n_vocab, logits, n_rows * r->n_vocab * sizeof *logits);
}

static void check_continuation(const prism_model *m, const char *selector)
{
    prism_context *c = context(m, (struct prism_context_params){ .n_ctx = N_CTX, .attention = { .selector = selector, .block = 32 } });
    struct rows rows = { .logits = malloc(N * m->n_vocab * sizeof(float)), .n_vocab = m->n_vocab };
    struct prism_prefill_params p = { .logits = keep_rows, .logits_user = &rows, .logits_from = 5 };
    struct prism_error err;
    int32_t tokens[N];

    fill_tokens(tokens, N);
    must(prism_prefill(c, tokens, 50, NULL, &err), &err);
    must(prism_prefill(c, tokens + 50, 14, NULL, &err), &err); /* ORIGINAL */
    assert_fresh(m, c, tokens);
    must(prism_decode(c, tokens[64], &err), &err); /* across */
    assert_int_equal(prism_length(c), 65);
    assert_fresh(m, c, tokens);
    must(prism_prefill(c, tokens + 65, N - 65, NULL, &err), &err);
    assert_fresh(m, c, tokens);
    must(prism_truncate(c, 30, &err), &err);
    must(prism_prefill(c, tokens + 30, 20, NULL, &err), &err); /* back */
    assert_int_equal(prism_length(c), 50);
    assert_fresh(m, c, tokens);
    must(prism_truncate(c, 49, &err), &err);
    must(prism_decode(c, tokens[49], &err), &err);
    assert_fresh(m, c, tokens);

    must(prism_prefill(c, tokens + 50, N - 50, &p, &err), &err); /* across, all rows from the 6th of the call on: each once */
    assert_fresh(m, c, tokens);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(rows.seen[i], i >= 5 && i < N - 50);
    struct rows whole = { .logits = malloc(N * m->n_vocab * sizeof(float)), .n_vocab = m->n_vocab };
    p.logits_from = 0, p.logits_user = &whole;
    must(prism_truncate(c, 0, &err), &err);
    must(prism_prefill(c, tokens, N, &p, &err), &err);
    for (size_t i = 5; i < N - 50; i++)
        assert_true(distance(rows.logits + i * rows.n_vocab, whole.logits + (i + 50) * rows.n_vocab, rows.n_vocab) <= 2 * 1.3e-5);
    free(rows.logits), free(whole.logits);
    prism_context_free(c);
}

static void test_continuation(void **state)
{
    (void)state;
    prism_model *m = load(false);
    check_continuation(m, "dense");
    check_continuation(m, "auto"); /* dense up to 8192 tokens, with a selector's sums beside the cache */
    prism_model_free(m);
}

/* ---- calls that do not end well ---- */

static int stop(void *user, const struct prism_progress *p)
{
    double *part = user;
    *part = (double)p->done / (double)p->total;
    return *part >= 0.5;
}

/* A call that would cross, and fails or is cancelled: the context keeps its tokens, whether it is asked for few or many next. */
static void test_failure(void **state)
{
    (void)state;
    prism_model *m = load(true);
    struct prism_error err;
    int32_t tokens[N], bad[N];

    fill_tokens(tokens, N);
    memcpy(bad, tokens, sizeof bad);
    bad[100] = 77;
    for (int next = 0; next < 3; next++) {
        prism_context *c = context(m, (struct prism_context_params){ .n_ctx = N_CTX, .attention = { .selector = "auto", .block = 32 } });
        static const size_t more[] = { 1, 14, N - 50 };
        must(prism_prefill(c, tokens, 50, NULL, &err), &err);
        assert_int_equal(prism_prefill(c, bad + 50, N - 50, NULL, &err), PRISM_E_NUMERIC);
        assert_non_null(strstr(err.text, "position 100 "));
        assert_int_equal(prism_length(c), 50);
        assert_non_null(prism_logits(c)); /* those of the 50 */
        must(prism_prefill(c, tokens + 50, more[next], NULL, &err), &err);
        assert_int_equal(prism_length(c), 50 + more[next]);
        assert_fresh(m, c, tokens);
        prism_context_free(c);
    }
    prism_model_free(m);
}

/* Cancelled in the middle of a call that makes the cache again. */
static void test_cancel(void **state)
{
    (void)state;
    enum { LONG = 2000, BEFORE = 60 };
    prism_model *m = load(false);
    prism_context *c = context(m, (struct prism_context_params){ .n_ctx = LONG + 100 });
    int32_t *tokens = malloc(LONG * sizeof *tokens);
    double part = 0;
    struct prism_prefill_params p = { .progress = stop, .progress_user = &part };
    struct prism_error err;

    fill_tokens(tokens, LONG);
    must(prism_prefill(c, tokens, BEFORE, NULL, &err), &err);
    assert_int_equal(prism_prefill(c, tokens + BEFORE, LONG - BEFORE, &p, &err), PRISM_E_CANCELLED);
    assert_true(part >= 0.5 && part < 1);
    assert_int_equal(prism_length(c), BEFORE);
    must(prism_prefill(c, tokens + BEFORE, 3, NULL, &err), &err);
    assert_int_equal(prism_length(c), BEFORE + 3);
    assert_fresh(m, c, tokens);
    prism_context_free(c);
    free(tokens);
    prism_model_free(m);
}

/* Layers that a measurement left out are not read as if they had been made. */
static void test_few_layers(void **state)
{
    (void)state;
    prism_model *m = load(false);
    prism_context *c = context(m, (struct prism_context_params){ .n_ctx = N_CTX });
    struct prism_error err;
    int32_t tokens[N];

    fill_tokens(tokens, N);
    must(prism_prefill(c, tokens, 50, NULL, &err), &err);
    must(prism_prefill(c, tokens + 50, 50, &(struct prism_prefill_params){ .n_layers = 1 }, &err), &err);
    must(prism_truncate(c, 50, &err), &err);
    must(prism_prefill(c, tokens + 50, 50, NULL, &err), &err);
    assert_fresh(m, c, tokens);
    prism_context_free(c);
    prism_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_context_size), cmocka_unit_test(test_sets),   cmocka_unit_test(test_continuation),
        cmocka_unit_test(test_failure),      cmocka_unit_test(test_cancel), cmocka_unit_test(test_few_layers),
    };
    return cmocka_run_group_tests_name("longrope", tests, NULL, NULL);
}
