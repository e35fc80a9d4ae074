/* delta_case.c - see delta_case.h. */
#include "tests/support/delta_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/engine/context.h"
#include "tests/support/engine_test.h"

struct delta_case delta;

int delta_set_up(void **state)
{
    (void)state;
    struct tiny_model t = tiny_family("qwen35");
    t.n_layer = 4, t.n_ctx = DELTA_CTX;
    delta.model = load_tiny(&t, "delta.gguf");
    delta.n_vocab = delta.model->n_vocab;
    delta.layer_floats = prism_delta_floats(&delta.model->layers[0].delta);
    make_tokens(delta.tokens, DELTA_TOKENS, delta.n_vocab);
    return 0;
}

int delta_tear_down(void **state)
{
    (void)state;
    prism_model_free(delta.model);
    return 0;
}

prism_context *delta_dense_of(const prism_model *m)
{
    return make_context(m, &(struct prism_context_params){ .n_ctx = DELTA_CTX, .n_threads = 2, .attention = { .selector = "dense", .block = DELTA_BLOCK } });
}

prism_context *delta_dense(void) { return delta_dense_of(delta.model); }

void delta_prefill(prism_context *c, size_t from, size_t to)
{
    struct prism_error err;
    must(prism_prefill(c, delta.tokens + from, to - from, NULL, &err), &err);
}

float *delta_logits(const prism_context *c)
{
    float *x = malloc(delta.n_vocab * sizeof *x);
    assert_non_null(prism_logits(c));
    memcpy(x, prism_logits(c), delta.n_vocab * sizeof *x);
    return x;
}

void delta_assert_logits(const prism_context *c, const float *want) { assert_memory_equal(prism_logits(c), want, delta.n_vocab * sizeof *want); }

float *delta_fresh(size_t n)
{
    prism_context *c = delta_dense();
    delta_prefill(c, 0, n);
    float *x = delta_logits(c);
    prism_context_free(c);
    return x;
}

void delta_cut(prism_context *c, size_t n)
{
    struct prism_error err;
    must(prism_truncate(c, n, &err), &err);
    assert_int_equal(prism_length(c), n);
    assert_true(n > 0 || !prism_logits(c));
}
