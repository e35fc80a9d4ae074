/* test_callbacks.c - what prism.h says about the callbacks of a prefill, and about parameters: they are read during the call only. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "tests/support/mask_trace.h"
#include "tests/support/tiny_model.h"

enum { N = 150, LAYERS = 3, BLOCK = 32 };

static prism_model *model;
static size_t n_vocab;
static int32_t *tokens;

/* ---- logits ---- */

struct rows {
    atomic_uint times[N];   /* each row was received */
    atomic_bool strange;
    float *logits;          /* [N][n_vocab] */
};

static void take(void *user, size_t row, size_t n_rows, const float *logits)
{
    struct rows *r = user;

    if (n_rows == 0 || row + n_rows > N) {
        atomic_store(&r->strange, true);
        return;
    }
    for (size_t i = row; i < row + n_rows; i++)
        atomic_fetch_add(&r->times[i], 1);
    memcpy(r->logits + row * n_vocab, logits, n_rows * n_vocab * sizeof *logits);
}

/* Every row from `from` on, once, numbered from the start of the call; the last one is prism_logits. expected: of one thread. */
static void check_rows(uint32_t n_threads, uint32_t logits_rows, size_t from, float *expected)
{
    struct prism_context_params p = trace_params(2 * N);
    struct rows *r = calloc(1, sizeof *r);

    p.attention.selector = "dense", p.n_threads = n_threads, p.logits_rows = logits_rows;
    prism_context *c = trace_context(model, &p);
    r->logits = calloc(N * n_vocab, sizeof *r->logits);
    assert_int_equal(prism_prefill(c, tokens, N, NULL, NULL), PRISM_OK); /* rows do not count these */
    assert_int_equal(prism_prefill(c, tokens, N, &(struct prism_prefill_params){ .logits = take, .logits_user = r, .logits_from = from }, NULL),
                     PRISM_OK);
    assert_false(atomic_load(&r->strange));
    for (size_t i = 0; i < N; i++)
        assert_int_equal(atomic_load(&r->times[i]), i >= from);
    assert_memory_equal(prism_logits(c), r->logits + (N - 1) * n_vocab, n_vocab * sizeof(float));
    if (n_threads == 1)
        memcpy(expected, r->logits, N * n_vocab * sizeof *expected);
    assert_memory_equal(r->logits, expected, N * n_vocab * sizeof *expected); /* the same bits for any number of threads */
    prism_context_free(c);
    free(r->logits);
    free(r);
}

static void test_rows(void **state)
{
    float *expected = calloc(N * n_vocab, sizeof *expected);

    (void)state;
    for (size_t way = 0; way < 3; way++)
        for (uint32_t n_threads = 1; n_threads <= 3; n_threads++)
            check_rows(n_threads, way == 1 ? 1000 : 0, way == 2 ? 77 : 0, expected);
    free(expected);
}

/* ---- masks ---- */

struct masks {
    pthread_t thread;
    uint32_t next_layer;
    bool strange;
};

static void look(void *user, const struct prism_attention_mask *m)
{
    struct masks *s = user;
    uint32_t n_blocks = (2 * N + BLOCK - 1) / BLOCK, first = N / BLOCK;

    s->strange |= !pthread_equal(s->thread, pthread_self()) || m->layer != s->next_layer++;
    s->strange |= m->n_head != 4 || m->block != BLOCK || m->first_block != first || m->n_rows != n_blocks - first || m->n_words != 1;
    for (uint32_t h = 0; h < m->n_head; h++)
        for (uint32_t r = 0; r < m->n_rows; r++) {
            uint64_t row = m->bits[(h * m->n_rows + r) * m->n_words];
            s->strange |= row == 0 || row >> (first + r + 1) != 0; /* no block of the future */
        }
}

static void test_masks(void **state)
{
    struct prism_context_params p = trace_params(2 * N);
    struct masks s = { .thread = pthread_self() };

    (void)state;
    p.n_threads = 2;
    prism_context *c = trace_context(model, &p);
    assert_int_equal(prism_prefill(c, tokens, N, NULL, NULL), PRISM_OK);
    struct rows *r = calloc(1, sizeof *r); /* with all rows, so that the last layer chooses too */
    r->logits = calloc(N * n_vocab, sizeof *r->logits);
    assert_int_equal(prism_prefill(c, tokens, N, &(struct prism_prefill_params){ .mask = look, .mask_user = &s, .logits = take,
                                                                                 .logits_user = r }, NULL), PRISM_OK);
    assert_false(s.strange);
    assert_int_equal(s.next_layer, LAYERS);
    prism_context_free(c);
    free(r->logits);
    free(r);
}

/* ---- parameters ---- */

/* Nothing of them is kept: the one context's are overwritten as soon as it is there, the other's live on. */
static void test_parameters_end(void **state)
{
    struct prism_context_params kept = trace_params(N), *gone = malloc(sizeof *gone);
    char *selector = strdup("meanpool");

    (void)state;
    kept.attention.selector = "meanpool";
    *gone = kept;
    gone->attention.selector = selector;
    prism_context *a = trace_context(model, gone), *b = trace_context(model, &kept);
    memset(selector, 'x', strlen(selector));
    free(selector);
    memset(gone, 0xA5, sizeof *gone);
    free(gone);
    assert_int_equal(prism_prefill(a, tokens, N, NULL, NULL), PRISM_OK);
    assert_int_equal(prism_prefill(b, tokens, N, NULL, NULL), PRISM_OK);
    assert_memory_equal(prism_logits(a), prism_logits(b), n_vocab * sizeof(float));
    prism_context_free(a);
    prism_context_free(b);
}

static int set_up(void **state)
{
    struct prism_model_info info;

    (void)state;
    model = trace_tiny_model("callbacks.gguf", LAYERS);
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
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows), cmocka_unit_test(test_masks), cmocka_unit_test(test_parameters_end) };
    return cmocka_run_group_tests_name("callbacks", tests, set_up, tear_down);
}
