/* test_engine.c - prefill, continuation, decode, threads, contexts, cancel, memory: on tiny random models and a forward pass in double. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "src/engine/context.h"
#include "src/model/model.h"
#include "tests/support/allocations.h"
#include "tests/support/data.h"
#include "tests/support/engine_test.h"
#include "tests/support/near.h"
#include "tests/support/reference.h"

enum { N = 150 }; /* more than one key block, not a multiple of any tile */

/* Fails unless got[n][n_vocab] are, within bound, the logits of tokens [from, from + n) that the forward pass in double computes. */
static void judge(const prism_model *m, const int32_t *tokens, size_t from, size_t n, const float *got, double bound, const char *what)
{
    size_t n_vocab = m->n_vocab;
    double *expected = test_reference_logits(m, tokens, from + n);
    assert_within(relative_distance(got, expected + from * n_vocab, n * n_vocab), bound, what);
    free(expected);
}

/* ---- right at every level, architecture and mode ---- */

/* Both are relative root mean squares.
 * f32: rounding of 2^-24 per operation, sums of at most 256 terms, 14 sums deep: below 14 * 16 * 2^-24 = 1.3e-5 when it adds up as a
 * random walk. auto: an int8 step of max/127, max about 2.1 sigma in a group of 32, is 0.48 % of sigma as a root mean square; the same
 * again for weights that are requantised (0.7 % together); the 15 products of two layers and the output add in quadrature: 2.6 %. The kind i8w has
 * steps of the max in 64 activations, 2.4 sigma, and in 256 weights, 2.9 sigma: 0.54 % and 0.66 %, 0.85 % together and 3.3 % in all. */
#define F32_ERROR 1.3e-5
#define AUTO_ERROR 0.026
#define WIDE_ERROR 0.033
#define F16_CACHE_ERROR (4 * 0x1p-11) /* see test_cache_types */

static double auto_error(int level, enum prism_type type)
{
    return strcmp(prism_kernels_by_level[prism_level_at(level)]->linear_auto[type]->name, "i8w") ? AUTO_ERROR : WIDE_ERROR;
}

static void check_model(const struct tiny_model *t, const char *name, enum prism_kv_type kv, double kv_error)
{
    prism_model *m = load_tiny(t, name);
    int32_t tokens[N];
    size_t n_vocab = m->n_vocab;

    make_tokens(tokens, N, (uint32_t)n_vocab);
    double *expected = test_reference_logits(m, tokens, N);
    for (int level = 0; level < prism_level_count(); level++)
        for (int mode = 0; mode < 2 && prism_level_supported(level); mode++) {
            prism_context *c = make_context(m, &(struct prism_context_params){ .n_ctx = N, .level = level + 1, .kv_type = kv,
                                                                              .compute = (enum prism_compute)mode, .n_threads = 2 });
            float *got = all_logits(c, tokens, N, n_vocab);
            char what[128];
            snprintf(what, sizeof what, "%s, level %s, compute %s", name, prism_level_name(level), mode ? "f32" : "auto");
            assert_sound(got, N, n_vocab);
            assert_within(relative_distance(got, expected, N * n_vocab), kv_error + (mode == PRISM_COMPUTE_F32 ? F32_ERROR : auto_error(level, t->type)), what);
            assert_memory_equal(prism_logits(c), got + (N - 1) * n_vocab, n_vocab * sizeof *got);
            free(got);
            prism_context_free(c);
        }
    free(expected);
    prism_model_free(m);
}

static void test_architectures(void **state)
{
    (void)state;
    struct tiny_model t = tiny_llama();
    check_model(&t, "llama.gguf", PRISM_KV_F32, 0);
    t.untied = true, t.biases = true;
    check_model(&t, "llama-biases.gguf", PRISM_KV_F32, 0);
    t = tiny_qwen2();
    check_model(&t, "qwen2.gguf", PRISM_KV_F32, 0);
    t.fused_qkv = true;
    check_model(&t, "qwen2-fused.gguf", PRISM_KV_F32, 0);
    t = tiny_qwen3();
    check_model(&t, "qwen3.gguf", PRISM_KV_F32, 0);
}

static void test_shapes(void **state)
{
    (void)state;
    static const struct { uint32_t n_head, n_head_kv, head_dim, n_embd, n_ff; } shapes[] = {
        { 4, 4, 64, 64, 96 }, { 6, 2, 80, 96, 160 }, { 4, 1, 96, 64, 64 }, { 2, 2, 128, 160, 256 }, { 2, 1, 256, 64, 32 }, { 2, 1, 512, 64, 32 }, { 5, 1, 32, 32, 32 },
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct tiny_model t = tiny_qwen3();
        char name[32];
        t.n_head = shapes[i].n_head, t.n_head_kv = shapes[i].n_head_kv, t.head_dim = shapes[i].head_dim;
        t.n_embd = shapes[i].n_embd, t.n_ff = shapes[i].n_ff;
        snprintf(name, sizeof name, "shape-%zu.gguf", i);
        check_model(&t, name, PRISM_KV_F32, 0);
    }
}

static void test_types(void **state)
{
    (void)state;
    for (int type = 0; type < PRISM_N_TYPES; type++) {
        struct tiny_model t = tiny_llama();
        char name[32];
        t.type = t.output_type = (enum prism_type)type;
        t.n_layer = 1, t.n_head = 4, t.head_dim = 64, t.n_embd = 256, t.n_ff = 256; /* K types: rows of 256 */
        snprintf(name, sizeof name, "type-%s.gguf", prism_types[type].name);
        check_model(&t, name, PRISM_KV_F32, 0);
    }
}

/* Cached values carry 11 (F16) or 8 (BF16) significant bits: half a unit is 2^-11 or 2^-9 of each key and value. */
static void test_cache_types(void **state)
{
    (void)state;
    struct tiny_model t = tiny_qwen3();
    check_model(&t, "cache.gguf", PRISM_KV_F16, F16_CACHE_ERROR);
    check_model(&t, "cache.gguf", PRISM_KV_BF16, 8 * 0x1p-9);
}

/* ---- the same answer, whatever the way ---- */

static void check_threads(prism_model *m, int level)
{
    int32_t tokens[N + 1];
    float *first = NULL;
    static const uint32_t threads[] = { 1, 2, 3, 7, 24 };

    make_tokens(tokens, N, m->n_vocab);
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        prism_context *c = make_context(m, &(struct prism_context_params){ .n_ctx = N + 1, .n_threads = threads[i], .level = level + 1 });
        struct prism_error err;
        float *got = all_logits(c, tokens, N, m->n_vocab);
        must(prism_decode(c, tokens[0], &err), &err);
        got = realloc(got, (N + 1) * m->n_vocab * sizeof *got);
        memcpy(got + N * m->n_vocab, prism_logits(c), m->n_vocab * sizeof *got);
        if (first) {
            assert_memory_equal(got, first, (N + 1) * m->n_vocab * sizeof *got);
            free(got);
        } else {
            first = got;
        }
        prism_context_free(c);
    }
    tokens[N] = tokens[0];
    judge(m, tokens, 0, N + 1, first, AUTO_ERROR + F16_CACHE_ERROR, prism_level_name(level));
    free(first);
}

/* n_ff: one or two threads are given pieces of the gated product that are wide enough to be packed for the product that follows, more
 * threads get narrower ones, which are written as rows. */
static void test_threads(void **state)
{
    (void)state;
    struct tiny_model t = tiny_qwen3();
    t.n_ff = 512;
    prism_model *m = load_tiny(&t, "threads.gguf");

    for (int level = 0; level < prism_level_count(); level++)
        if (prism_level_supported(level))
            check_threads(m, level);
    prism_model_free(m);
}

/* Pieces of any size, down to single tokens, continue the cache to the same logits (other kernels, so not the same bits). */
static void check_continuation(const struct tiny_model *t)
{
    prism_model *m = load_tiny(t, "pieces.gguf");
    int32_t tokens[N];
    size_t n_vocab = m->n_vocab;
    static const size_t pieces[][4] = { { 64, 64, 22 }, { 1, 148, 1 }, { 100, 17, 16, 17 }, { 149, 1 }, { 5, 128, 17 } };
    struct prism_error err;

    make_tokens(tokens, N, (uint32_t)n_vocab);
    double *expected = test_reference_logits(m, tokens, N);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        prism_context *c = make_context(m, &(struct prism_context_params){ .n_ctx = N, .compute = PRISM_COMPUTE_F32 });
        size_t done = 0;
        for (size_t p = 0; p < 4 && pieces[i][p]; p++) {
            float *got = all_logits(c, tokens + done, pieces[i][p], n_vocab);
            assert_within(relative_distance(got, expected + done * n_vocab, pieces[i][p] * n_vocab), F32_ERROR, "a piece");
            free(got);
            done += pieces[i][p];
            assert_int_equal(prism_length(c), done);
        }
        assert_int_equal(done, N);
        must(prism_truncate(c, 70, &err), &err);
        assert_null(prism_logits(c));
        for (size_t n = 70; n < 90; n++)
            must(prism_decode(c, tokens[n], &err), &err);
        assert_within(relative_distance(prism_logits(c), expected + 89 * n_vocab, n_vocab), F32_ERROR, "decode after truncate");
        prism_context_free(c);
    }
    free(expected);
    prism_model_free(m);
}

static void test_continuation(void **state)
{
    (void)state;
    struct tiny_model t = tiny_llama();
    check_continuation(&t);
    t.untied = t.biases = true, t.n_ff = 192; /* few rows add biases by another way */
    check_continuation(&t);
    t.type = t.output_type = PRISM_NVFP4; /* and multiply by the scale of a matrix */
    check_continuation(&t);
}

/* The last row alone (the usual prefill, which skips rows that nobody needs) equals the last row among all. */
static void test_last_row(void **state)
{
    (void)state;
    struct tiny_model t = tiny_qwen3();
    prism_model *m = load_tiny(&t, "last.gguf");
    int32_t tokens[N];
    struct prism_error err;

    make_tokens(tokens, N, m->n_vocab);
    prism_context *c = make_context(m, &(struct prism_context_params){ .n_ctx = N, .compute = PRISM_COMPUTE_F32 });
    must(prism_prefill(c, tokens, N, NULL, &err), &err);
    judge(m, tokens, N - 1, 1, prism_logits(c), F32_ERROR, "the last row");
    prism_context_free(c);
    prism_model_free(m);
}

/* ---- several contexts of one model, each in its own thread ---- */

struct worker {
    const prism_model *model;
    const int32_t *tokens;
    float *logits;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    prism_context *c = make_context(w->model, &(struct prism_context_params){ .n_ctx = N, .n_threads = 2 });
    for (int round = 0; round < 3; round++) {
        free(w->logits);
        w->logits = all_logits(c, w->tokens, N, w->model->n_vocab);
        prism_truncate(c, 0, NULL);
    }
    prism_context_free(c);
    return NULL;
}

static void test_contexts(void **state)
{
    (void)state;
    enum { WORKERS = 4 };
    struct tiny_model t = tiny_qwen3();
    prism_model *m = load_tiny(&t, "contexts.gguf");
    int32_t tokens[N];
    pthread_t threads[WORKERS];
    struct worker w[WORKERS], alone = { m, tokens, NULL };

    make_tokens(tokens, N, m->n_vocab);
    work(&alone);
    judge(m, tokens, 0, N, alone.logits, AUTO_ERROR + F16_CACHE_ERROR, "a context alone");
    for (int i = 0; i < WORKERS; i++) {
        w[i] = (struct worker){ m, tokens, NULL };
        assert_int_equal(pthread_create(&threads[i], NULL, work, &w[i]), 0);
    }
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
        assert_memory_equal(w[i].logits, alone.logits, N * m->n_vocab * sizeof(float));
        free(w[i].logits);
    }
    free(alone.logits);
    prism_model_free(m);
}

/* ---- progress, cancel ---- */

struct watcher {
    int calls, stop_at;
    uint64_t last_done;
    bool ordered;
};

static int watch(void *user, const struct prism_progress *p)
{
    struct watcher *w = user;
    w->ordered &= p->done >= w->last_done && p->tokens_done <= p->tokens_total && p->total > 0;
    w->last_done = p->done;
    return ++w->calls >= w->stop_at;
}

static void test_cancel(void **state)
{
    (void)state;
    enum { LONG = 3000 };
    struct prism_error err;
    prism_model *m = load_model("models/gutenberg-llama-16m-q8_0.gguf");
    int32_t *tokens = malloc(LONG * sizeof *tokens);

    make_tokens(tokens, LONG, m->n_vocab);
    prism_context *c = make_context(m, &(struct prism_context_params){ .n_ctx = LONG, .n_threads = 2 });
    must(prism_prefill(c, tokens, 20, NULL, &err), &err);
    float *before = malloc(m->n_vocab * sizeof *before);
    must(prism_decode(c, tokens[20], &err), &err);
    memcpy(before, prism_logits(c), m->n_vocab * sizeof *before);
    judge(m, tokens, 20, 1, before, AUTO_ERROR * 4, "before the cancelled call"); /* 6 to 10 layers in place of two, and larger values */
    must(prism_truncate(c, 20, &err), &err);

    struct watcher w = { .stop_at = 2, .ordered = true };
    struct prism_prefill_params p = { .progress = watch, .progress_user = &w };
    assert_int_equal(prism_prefill(c, tokens + 20, LONG - 20, &p, &err), PRISM_E_CANCELLED);
    assert_int_equal(err.status, PRISM_E_CANCELLED);
    assert_true(w.calls == 2 && w.ordered);
    assert_int_equal(prism_length(c), 20);
    assert_null(prism_logits(c));
    must(prism_decode(c, tokens[20], &err), &err); /* as if nothing had happened */
    assert_int_equal(err.status, PRISM_OK);
    assert_memory_equal(prism_logits(c), before, m->n_vocab * sizeof *before);

    w = (struct watcher){ .stop_at = 1 << 30, .ordered = true };
    must(prism_prefill(c, tokens + 21, LONG - 21, &p, &err), &err);
    assert_true(w.calls >= 2 && w.ordered);
    prism_context_free(c);
    prism_model_free(m);
    free(before);
    free(tokens);
}

/* ---- memory ---- */

#ifdef COUNTS_ALLOCATIONS
static void test_no_allocation(void **state)
{
    (void)state;
    struct tiny_model t = tiny_qwen3();
    prism_model *m = load_tiny(&t, "allocation.gguf");
    int32_t tokens[N + 10];
    struct prism_error err;

    make_tokens(tokens, N + 10, m->n_vocab);
    for (int bind = 0; bind < 2; bind++) {
        prism_context *c = make_context(m, &(struct prism_context_params){ .n_ctx = N + 10, .n_threads = 2, .bind_threads = bind });
        long before = atomic_load(&allocations);
        must(prism_prefill(c, tokens, N, NULL, &err), &err);
        for (int i = 0; i < 10; i++)
            must(prism_decode(c, tokens[N + i], &err), &err);
        assert_int_equal(prism_threads(c, NULL, 0), 2);
        assert_int_equal(atomic_load(&allocations) - before, 0);
        judge(m, tokens, N + 9, 1, prism_logits(c), AUTO_ERROR + F16_CACHE_ERROR, "the last token");
        prism_context_free(c);
    }
    prism_model_free(m);
}
#else
static void test_no_allocation(void **state)
{
    (void)state;
    print_message("skipped: allocations are not counted under a sanitizer\n");
    skip();
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_architectures), cmocka_unit_test(test_shapes),       cmocka_unit_test(test_types),
        cmocka_unit_test(test_cache_types),   cmocka_unit_test(test_threads),      cmocka_unit_test(test_continuation),
        cmocka_unit_test(test_last_row),      cmocka_unit_test(test_contexts),     cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_no_allocation),
    };
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
