/* numeric_case.c - see numeric_case.h. */
#include "tests/support/numeric_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "src/engine/context.h"
#include "tests/support/engine_test.h"

void numeric_poke(struct gb *g, const char *tensor, size_t index, float value)
{
    struct gb_tensor *t = gb_tensor(g, tensor);
    assert_true((index + 1) * sizeof value <= t->n_bytes);
    memcpy(t->data + index * sizeof value, &value, sizeof value);
}

void numeric_keep_rows(void *user, size_t row, size_t n_rows, const float *logits)
{
    struct numeric_rows *r = user;
    atomic_fetch_add(&r->n, n_rows);
    for (size_t i = 0; i < n_rows * r->n_vocab; i++)
        if (!isfinite(logits[i]))
            atomic_fetch_add(&r->n_bad, 1);
    if (r->logits)
        memcpy(r->logits + row * r->n_vocab, logits, n_rows * r->n_vocab * sizeof *logits);
}

void numeric_each_level(const prism_model *m, struct prism_context_params p, void (*fn)(prism_context *c, const void *arg), const void *arg)
{
    for (int level = 0; level < prism_level_count(); level++)
        for (int mode = 0; mode < 2 && prism_level_supported(level); mode++) {
            p.level = level + 1, p.compute = (enum prism_compute)mode, p.n_threads = 1;
            prism_context *c = make_context(m, &p);
            fn(c, arg);
            prism_context_free(c);
        }
}

void numeric_expect_failure(prism_context *c, const void *arg)
{
    const struct numeric_expected *e = arg;
    int32_t tokens[NUMERIC_TOKENS];
    struct prism_error err;
    struct numeric_rows rows = { .n_vocab = e->model->n_vocab };
    struct prism_prefill_params all = { .logits = numeric_keep_rows, .logits_user = &rows };

    make_tokens(tokens, NUMERIC_TOKENS, e->model->n_vocab);
    for (int round = 0; round < 8; round++) {
        static const size_t lengths[] = { NUMERIC_TOKENS, 20, 5, 1 }; /* tiles, a few of them, rows, decode */
        assert_int_equal(prism_prefill(c, tokens, lengths[round / 2], round % 2 ? &all : NULL, &err), PRISM_E_NUMERIC);
        assert_int_equal(err.status, PRISM_E_NUMERIC);
        if (!strstr(err.text, e->text))
            fail_msg("level %s: expected \"%s\", found \"%s\"", c->plan.level, e->text, err.text);
        assert_int_equal(prism_length(c), 0);
        assert_null(prism_logits(c));
        assert_int_equal(rows.n_bad, 0);
    }
}

void numeric_check_failure(struct gb *g, enum prism_kv_type kv, const char *text)
{
    prism_model *m = load_built(g, "fault.gguf");

    numeric_each_level(m, (struct prism_context_params){ .n_ctx = NUMERIC_TOKENS, .kv_type = kv }, numeric_expect_failure, &(struct numeric_expected){ m, text, 0 });
    prism_model_free(m);
}
