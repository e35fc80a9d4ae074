/* engine_test.c - see engine_test.h. */
#include "tests/support/engine_test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void must(enum prism_status s, const struct prism_error *err)
{
    if (s)
        fail_msg("%s", err->text);
}

prism_model *load_model(const char *path)
{
    struct prism_error err;
    prism_model *m;
    must(prism_model_load(path, NULL, &m, &err), &err);
    return m;
}

prism_model *load_tiny(const struct tiny_model *t, const char *name) { return load_model(tiny_write(t, name)); }

prism_model *load_built(struct gb *g, const char *name)
{
    prism_model *m = load_model(gb_write(g, name));
    gb_free(g);
    return m;
}

int free_group_model(void **state)
{
    prism_model_free(*state);
    return 0;
}

prism_context *make_context(const prism_model *m, const struct prism_context_params *p)
{
    struct prism_error err;
    prism_context *c;
    must(prism_context_create(m, p, &c, &err), &err);
    return c;
}

void make_tokens(int32_t *tokens, size_t n, uint32_t n_vocab)
{
    uint32_t s = 12345;
    for (size_t i = 0; i < n; i++) {
        s = s * 1664525u + 1013904223u;
        tokens[i] = (int32_t)((s >> 8) % n_vocab);
    }
}

struct sink {
    float *logits;
    size_t n_vocab;
};

static void keep_rows(void *user, size_t row, size_t n_rows, const float *logits)
{
    struct sink *s = user;
    memcpy(s->logits + row * s->n_vocab, logits, n_rows * s->n_vocab * sizeof *logits);
}

float *all_logits(prism_context *c, const int32_t *tokens, size_t n, size_t n_vocab)
{
    struct sink s = { malloc(n * n_vocab * sizeof(float)), n_vocab };
    struct prism_error err;
    assert_non_null(s.logits);
    must(prism_prefill(c, tokens, n, &(struct prism_prefill_params){ .logits = keep_rows, .logits_user = &s }, &err), &err);
    return s.logits;
}
