/* test_errors_context.c - as test_errors.c, for the functions of a context: prefill, decode, truncate. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "tests/support/engine_test.h"
#include "tests/support/error_table.h"

enum { N_CTX = 64 };

static prism_context *context, *bad_context; /* bad_context: its logits are not finite */
static prism_model *model, *infinite;
static int32_t tokens[N_CTX + 1];

/* ---- how each is provoked ---- */

static int stop(void *user, const struct prism_progress *p)
{
    (void)user, (void)p;
    return 1;
}

static void take(void *user, size_t row, size_t n_rows, const float *logits) { (void)user, (void)row, (void)n_rows, (void)logits; }

static enum prism_status prefill(size_t n, int32_t last, struct prism_prefill_params p, struct prism_error *err)
{
    size_t length = prism_length(context);
    const float *logits = prism_logits(context);

    tokens[n ? n - 1 : 0] = last;
    enum prism_status s = prism_prefill(context, tokens, n, &p, err);
    tokens[n ? n - 1 : 0] = 1;
    assert_int_equal(prism_length(context), length + (s ? 0 : n));
    assert_true(s == PRISM_OK || prism_logits(context) == logits);
    if (!s)
        assert_int_equal(prism_truncate(context, length, NULL), PRISM_OK);
    return s;
}

#define PREFILL(name, n, last, ...) \
    static enum prism_status name(struct prism_error *err) { return prefill(n, last, (struct prism_prefill_params){ __VA_ARGS__ }, err); }

PREFILL(prefill_good, N_CTX, 1, .n_layers = 0)
PREFILL(prefill_none, 0, 1, .n_layers = 0)
PREFILL(prefill_negative, 3, -1, .n_layers = 0)
PREFILL(prefill_beyond, 3, (int32_t)tiny_n_vocab("gpt2"), .n_layers = 0)
PREFILL(prefill_late_logits, 3, 1, .logits = take, .logits_from = 3)
PREFILL(prefill_layers, 3, 1, .n_layers = 3)
PREFILL(prefill_layers_logits, 3, 1, .n_layers = 1, .logits = take)
PREFILL(prefill_long, N_CTX + 1, 1, .n_layers = 0)
PREFILL(prefill_stopped, 3, 1, .progress = stop)

static enum prism_status prefill_no_context(struct prism_error *err) { return prism_prefill(NULL, tokens, 1, NULL, err); }
static enum prism_status prefill_null(struct prism_error *err) { return prism_prefill(context, NULL, 1, NULL, err); }

/* An infinite norm makes all logits infinite or NaN. */
static enum prism_status not_finite(size_t n, struct prism_error *err)
{
    enum prism_status s = n == 1 ? prism_decode(bad_context, 1, err) : prism_prefill(bad_context, tokens, n, NULL, err);
    assert_int_equal(prism_length(bad_context), 0);
    assert_null(prism_logits(bad_context));
    return s;
}

static enum prism_status prefill_infinite(struct prism_error *err) { return not_finite(20, err); }
static enum prism_status decode_infinite(struct prism_error *err) { return not_finite(1, err); }

static enum prism_status decode_good(struct prism_error *err)
{
    enum prism_status s = prism_decode(context, 1, err);
    assert_int_equal(prism_truncate(context, 0, NULL), PRISM_OK);
    return s;
}

static enum prism_status decode_no_context(struct prism_error *err) { return prism_decode(NULL, 1, err); }
static enum prism_status decode_negative(struct prism_error *err) { return prism_decode(context, -1, err); }

static enum prism_status decode_long(struct prism_error *err)
{
    assert_int_equal(prism_prefill(context, tokens, N_CTX, NULL, NULL), PRISM_OK);
    enum prism_status s = prism_decode(context, 1, err);
    assert_int_equal(prism_truncate(context, 0, NULL), PRISM_OK);
    return s;
}

static enum prism_status truncate_good(struct prism_error *err) { return prism_truncate(context, 0, err); }
static enum prism_status truncate_no_context(struct prism_error *err) { return prism_truncate(NULL, 0, err); }

/* More tokens than the ring of a window holds. */
static enum prism_status truncate_window(struct prism_error *err)
{
    enum { N = 2200 };
    struct tiny_model t = tiny_family("gemma3");
    prism_model *m = load_tiny(&t, "window.gguf");
    prism_context *c = make_context(m, &(struct prism_context_params){ .n_ctx = N });
    int32_t *many = malloc(N * sizeof *many);
    struct prism_error none;

    make_tokens(many, N, tiny_n_vocab("gpt2"));
    must(prism_prefill(c, many, N, NULL, &none), &none);
    enum prism_status s = prism_truncate(c, 10, err);
    assert_int_equal(prism_length(c), N);
    free(many);
    prism_context_free(c);
    prism_model_free(m);
    return s;
}
static enum prism_status truncate_beyond(struct prism_error *err) { return prism_truncate(context, 1, err); }

/* ---- the table ---- */

static const struct error_row rows[] = {
    { "prism_prefill", PRISM_OK, prefill_good },
    { "prism_prefill", PRISM_E_ARG, prefill_no_context },
    { "prism_prefill", PRISM_E_ARG, prefill_null },
    { "prism_prefill", PRISM_E_ARG, prefill_none },
    { "prism_prefill", PRISM_E_ARG, prefill_negative },
    { "prism_prefill", PRISM_E_ARG, prefill_beyond },
    { "prism_prefill", PRISM_E_ARG, prefill_late_logits },
    { "prism_prefill", PRISM_E_ARG, prefill_layers },
    { "prism_prefill", PRISM_E_ARG, prefill_layers_logits },
    { "prism_prefill", PRISM_E_LENGTH, prefill_long },
    { "prism_prefill", PRISM_E_CANCELLED, prefill_stopped },
    { "prism_prefill", PRISM_E_NUMERIC, prefill_infinite },
    { "prism_decode", PRISM_OK, decode_good },
    { "prism_decode", PRISM_E_ARG, decode_no_context },
    { "prism_decode", PRISM_E_ARG, decode_negative },
    { "prism_decode", PRISM_E_LENGTH, decode_long },
    { "prism_decode", PRISM_E_NUMERIC, decode_infinite },
    { "prism_truncate", PRISM_OK, truncate_good },
    { "prism_truncate", PRISM_E_ARG, truncate_no_context },
    { "prism_truncate", PRISM_E_ARG, truncate_beyond },
    { "prism_truncate", PRISM_E_UNSUPPORTED, truncate_window },
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static void test_table(void **state)
{
    (void)state;
    error_table_run(rows, N_ROWS);
}

static void test_docstrings(void **state)
{
    (void)state;
    assert_int_equal(error_table_documented(rows, N_ROWS), 3);
    assert_int_equal(error_table_functions(), 6 + 3 + 5); /* those of test_errors.c, these, and those of test_errors_session.c */
}

/* What is wrong is named, and nothing has happened. */
static void test_texts(void **state)
{
    prism_context *none;
    struct prism_error err;
    int32_t wrong[50] = { 0 };

    (void)state;
    assert_int_equal(prism_context_create(model, &(struct prism_context_params){ .n_threads = 4096 }, &none, &err), PRISM_E_ARG);
    assert_null(none);
    assert_non_null(strstr(err.text, "4096"));
    assert_int_equal(prism_truncate(context, 0, &err), PRISM_OK);
    assert_int_equal(prism_prefill(context, tokens, N_CTX + 1, NULL, &err), PRISM_E_LENGTH);
    assert_non_null(strstr(err.text, "64"));
    wrong[7] = (int32_t)tiny_n_vocab("gpt2");
    assert_int_equal(prism_prefill(context, wrong, 50, NULL, &err), PRISM_E_ARG);
    assert_non_null(strstr(err.text, "token 7"));
    assert_int_equal(prism_truncate(context, 1, &err), PRISM_E_ARG);
    assert_int_equal(prism_length(context), 0);
}

/* ---- fixture ---- */

static int set_up(void **state)
{
    struct tiny_model t = tiny_llama();
    struct prism_context_params p = { .n_ctx = N_CTX, .n_threads = 2 };
    struct gb *bad = tiny_build(&t);
    float infinity[64];

    (void)state;
    for (size_t i = 0; i < 64; i++)
        infinity[i] = INFINITY;
    memcpy(gb_tensor(bad, "output_norm.weight")->data, infinity, sizeof infinity);
    for (size_t i = 0; i <= N_CTX; i++)
        tokens[i] = 1;
    model = load_tiny(&t, "model.gguf");
    infinite = load_built(bad, "infinite.gguf");
    return prism_context_create(model, &p, &context, NULL) || prism_context_create(infinite, &p, &bad_context, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    prism_context_free(context);
    prism_context_free(bad_context);
    prism_model_free(model);
    prism_model_free(infinite);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_table), cmocka_unit_test(test_docstrings), cmocka_unit_test(test_texts) };
    return cmocka_run_group_tests_name("errors of a context", tests, set_up, tear_down);
}
