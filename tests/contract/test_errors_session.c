/* test_errors_session.c - as test_errors.c, for what keeps and copies a context: prism_prefill_to, clones, session files. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "tests/support/allocations.h"
#include "tests/support/data.h"
#include "tests/support/engine_test.h"
#include "tests/support/error_table.h"

enum { N_CTX = 200, N = 150, LEFT = 50 }; /* LEFT: tokens that are not common */

static prism_context *context, *small, *other, *f32, *bad; /* small: holds fewer tokens; other: of another model; bad: token 77 is infinite */
static int32_t tokens[N_CTX + 1];
static char file[600], junk[600], nowhere[600];

/* ---- prism_prefill_to ---- */

static int stop(void *user, const struct prism_progress *p)
{
    (void)user, (void)p;
    return 1;
}

static void take(void *user, size_t row, size_t n_rows, const float *logits) { (void)user, (void)row, (void)n_rows, (void)logits; }

/* From the tokens of the fixture on. What fails before it has begun leaves everything; what fails on the way leaves what is common. */
static enum prism_status to(size_t n, int32_t last, struct prism_prefill_params p, struct prism_error *err)
{
    int32_t wanted[N_CTX + 1];
    size_t reused = 77;

    assert_int_equal(prism_prefill_to(context, tokens, N, NULL, NULL, NULL), PRISM_OK);
    const float *logits = prism_logits(context);
    memcpy(wanted, tokens, sizeof wanted);
    wanted[N - LEFT]++;
    wanted[n ? n - 1 : 0] = last;
    enum prism_status s = prism_prefill_to(context, wanted, n, &p, &reused, err);
    size_t kept = reused;
    if (s == PRISM_E_ARG || s == PRISM_E_LENGTH) {
        assert_int_equal(prism_length(context), N);
        assert_ptr_equal(prism_logits(context), logits);
        assert_memory_equal(prism_tokens(context), tokens, N * sizeof *tokens);
    } else if (s) {
        assert_true(prism_length(context) < N && prism_length(context) % 32 == 0);
        assert_null(prism_logits(context));
    } else {
        assert_int_equal(prism_length(context), n);
        assert_true(kept < N && prism_logits(context));
    }
    assert_true(s == PRISM_OK || reused == 0);
    return s;
}

#define TO(name, n, last, ...) \
    static enum prism_status name(struct prism_error *err) { return to(n, last, (struct prism_prefill_params){ __VA_ARGS__ }, err); }

TO(to_good, N_CTX, 1, .reuse = PRISM_REUSE_EXACT)
TO(to_all, N, 1, .reuse = PRISM_REUSE_ALL)
TO(to_cut, N, 1, .cut = N)
TO(to_none, 0, 1, .n_layers = 0)
TO(to_negative, N, -1, .n_layers = 0)
TO(to_beyond, N, (int32_t)tiny_n_vocab("gpt2"), .n_layers = 0)
TO(to_reuse, N, 1, .reuse = (enum prism_reuse)2)
TO(to_far_cut, N, 1, .cut = N + 1)
TO(to_odd_cuts, N, 1, .cut_every = 48)
TO(to_far_cuts, N, 1, .cut_every = SIZE_MAX - 31)
TO(to_rows, N, 1, .logits = take)
TO(to_layers, N, 1, .n_layers = 1)
TO(to_long, N_CTX + 1, 1, .n_layers = 0)
TO(to_stopped, N, 1, .progress = stop)

static enum prism_status to_no_context(struct prism_error *err) { return prism_prefill_to(NULL, tokens, 1, NULL, NULL, err); }
static enum prism_status to_null(struct prism_error *err) { return prism_prefill_to(context, NULL, 1, NULL, NULL, err); }

/* What was kept stays, and with an unchanged prefix the logits too. */
static enum prism_status to_infinite(struct prism_error *err)
{
    int32_t wanted[60];
    size_t reused = 77;

    for (int i = 0; i < 60; i++)
        wanted[i] = i == 50 ? 77 : 1;
    assert_int_equal(prism_prefill_to(bad, wanted, 32, NULL, NULL, NULL), PRISM_OK);
    const float *logits = prism_logits(bad);
    enum prism_status s = prism_prefill_to(bad, wanted, 60, NULL, &reused, err);
    assert_int_equal(prism_length(bad), 32);
    assert_ptr_equal(prism_logits(bad), logits);
    assert_int_equal(reused, 0);
    return s;
}

/* ---- clones ---- */

static enum prism_status clone_good(struct prism_error *err)
{
    prism_context *c = NULL;
    enum prism_status s = prism_context_clone(context, &c, err);

    assert_true((s == PRISM_OK) == (c != NULL));
    prism_context_free(c);
    return s;
}

static enum prism_status clone_nothing(struct prism_error *err)
{
    prism_context *c = context;
    enum prism_status s = prism_context_clone(NULL, &c, err);
    assert_null(c);
    return s;
}

static enum prism_status clone_nowhere(struct prism_error *err) { return prism_context_clone(context, NULL, err); }

/* ---- files ---- */

static enum prism_status save_good(struct prism_error *err)
{
    assert_int_equal(prism_prefill_to(context, tokens, N, NULL, NULL, NULL), PRISM_OK);
    return prism_session_save(context, file, err);
}

static enum prism_status save_no_context(struct prism_error *err) { return prism_session_save(NULL, file, err); }
static enum prism_status save_no_path(struct prism_error *err) { return prism_session_save(context, NULL, err); }
static enum prism_status save_empty(struct prism_error *err) { return prism_session_save(small, nowhere, err); }
static enum prism_status save_nowhere(struct prism_error *err) { return prism_session_save(context, nowhere, err); }

static enum prism_status load(prism_context *c, const char *path, struct prism_error *err)
{
    assert_int_equal(prism_truncate(c, 0, NULL), PRISM_OK);
    enum prism_status s = prism_session_load(c, path, err);
    assert_int_equal(prism_length(c), s ? 0 : N);
    return s;
}

static enum prism_status load_good(struct prism_error *err) { return load(context, file, err); }
static enum prism_status load_no_context(struct prism_error *err) { return prism_session_load(NULL, file, err); }
static enum prism_status load_no_path(struct prism_error *err) { return load(context, NULL, err); }
static enum prism_status load_long(struct prism_error *err) { return load(small, file, err); }
static enum prism_status load_absent(struct prism_error *err) { return load(context, nowhere, err); }
static enum prism_status load_junk(struct prism_error *err) { return load(context, junk, err); }
static enum prism_status load_other(struct prism_error *err) { return load(other, file, err); }
static enum prism_status load_f32(struct prism_error *err) { return load(f32, file, err); }

static enum prism_status load_full(struct prism_error *err)
{
    assert_int_equal(prism_prefill_to(context, tokens, N, NULL, NULL, NULL), PRISM_OK);
    enum prism_status s = prism_session_load(context, file, err);
    assert_int_equal(prism_length(context), N);
    assert_non_null(prism_logits(context));
    return s;
}

static enum prism_status info(const char *path, struct prism_error *err)
{
    struct prism_session_info i = { 77, 77 };
    enum prism_status s = prism_session_info(path, &i, err);

    assert_int_equal(i.n_tokens, s ? 0 : N);
    assert_true((s == PRISM_OK) == (i.file_bytes > 0));
    return s;
}

static enum prism_status info_good(struct prism_error *err) { return info(file, err); }
static enum prism_status info_no_path(struct prism_error *err) { return info(NULL, err); }
static enum prism_status info_nowhere(struct prism_error *err) { return prism_session_info(file, NULL, err); }
static enum prism_status info_absent(struct prism_error *err) { return info(nowhere, err); }
static enum prism_status info_junk(struct prism_error *err) { return info(junk, err); }

static enum prism_status info_version(struct prism_error *err)
{
    char path[600];
    snprintf(path, sizeof path, "%s", gb_write_bytes("later.session", "PRISMSES\x63\0\0\0\0\0\0\0", 16));
    return info(path, err);
}

#ifdef COUNTS_ALLOCATIONS
static enum prism_status without_memory(enum prism_status (*fn)(struct prism_error *), struct prism_error *err)
{
    atomic_store(&allocations_allowed, 0);
    enum prism_status s = fn(err);
    atomic_store(&allocations_allowed, LONG_MAX);
    return s;
}

static enum prism_status clone_no_memory(struct prism_error *err) { return without_memory(clone_good, err); }
static enum prism_status save_no_memory(struct prism_error *err) { return without_memory(save_good, err); }
static enum prism_status load_no_memory(struct prism_error *err) { return without_memory(load_good, err); }
#else
#define clone_no_memory NULL
#define save_no_memory NULL
#define load_no_memory NULL
#endif

/* ---- the table ---- */

static const struct error_row rows[] = {
    { "prism_session_save", PRISM_OK, save_good }, /* first: the others read it */
    { "prism_session_save", PRISM_E_ARG, save_no_context },
    { "prism_session_save", PRISM_E_ARG, save_no_path },
    { "prism_session_save", PRISM_E_ARG, save_empty },
    { "prism_session_save", PRISM_E_IO, save_nowhere },
    { "prism_session_save", PRISM_E_NOMEM, save_no_memory },
    { "prism_session_load", PRISM_OK, load_good },
    { "prism_session_load", PRISM_E_ARG, load_no_context },
    { "prism_session_load", PRISM_E_ARG, load_no_path },
    { "prism_session_load", PRISM_E_ARG, load_full },
    { "prism_session_load", PRISM_E_LENGTH, load_long },
    { "prism_session_load", PRISM_E_IO, load_absent },
    { "prism_session_load", PRISM_E_FORMAT, load_junk },
    { "prism_session_load", PRISM_E_UNSUPPORTED, load_other },
    { "prism_session_load", PRISM_E_UNSUPPORTED, load_f32 },
    { "prism_session_load", PRISM_E_NOMEM, load_no_memory },
    { "prism_session_info", PRISM_OK, info_good },
    { "prism_session_info", PRISM_E_ARG, info_no_path },
    { "prism_session_info", PRISM_E_ARG, info_nowhere },
    { "prism_session_info", PRISM_E_IO, info_absent },
    { "prism_session_info", PRISM_E_FORMAT, info_junk },
    { "prism_session_info", PRISM_E_UNSUPPORTED, info_version },
    { "prism_prefill_to", PRISM_OK, to_good },
    { "prism_prefill_to", PRISM_OK, to_all },
    { "prism_prefill_to", PRISM_OK, to_cut },
    { "prism_prefill_to", PRISM_E_ARG, to_no_context },
    { "prism_prefill_to", PRISM_E_ARG, to_null },
    { "prism_prefill_to", PRISM_E_ARG, to_none },
    { "prism_prefill_to", PRISM_E_ARG, to_negative },
    { "prism_prefill_to", PRISM_E_ARG, to_beyond },
    { "prism_prefill_to", PRISM_E_ARG, to_reuse },
    { "prism_prefill_to", PRISM_E_ARG, to_far_cut },
    { "prism_prefill_to", PRISM_E_ARG, to_odd_cuts },
    { "prism_prefill_to", PRISM_E_ARG, to_far_cuts },
    { "prism_prefill_to", PRISM_E_ARG, to_rows },
    { "prism_prefill_to", PRISM_E_ARG, to_layers },
    { "prism_prefill_to", PRISM_E_LENGTH, to_long },
    { "prism_prefill_to", PRISM_E_CANCELLED, to_stopped },
    { "prism_prefill_to", PRISM_E_NUMERIC, to_infinite },
    { "prism_context_clone", PRISM_OK, clone_good },
    { "prism_context_clone", PRISM_E_ARG, clone_nothing },
    { "prism_context_clone", PRISM_E_ARG, clone_nowhere },
    { "prism_context_clone", PRISM_E_NOMEM, clone_no_memory },
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
    assert_int_equal(error_table_documented(rows, N_ROWS), 5); /* test_errors_context.c adds up all of them */
}

/* ---- fixture ---- */

static prism_model *model, *second, *infinite;

static int set_up(void **state)
{
    struct tiny_model t = tiny_llama(), u = tiny_llama(), v = tiny_llama();
    struct prism_context_params p = { .n_ctx = N_CTX, .n_threads = 2, .attention = { .selector = "dense", .block = 32 } };
    float value = INFINITY;

    (void)state;
    u.seed++;
    v.output_type = PRISM_F32, v.untied = true;
    struct gb *g = tiny_build(&v);
    memcpy(gb_tensor(g, "token_embd.weight")->data + (77 * v.n_embd + 3) * sizeof value, &value, sizeof value);
    for (size_t i = 0; i <= N_CTX; i++)
        tokens[i] = (int32_t)(i % 50);
    model = load_tiny(&t, "model.gguf");
    second = load_tiny(&u, "second.gguf");
    infinite = load_built(g, "infinite.gguf");
    context = make_context(model, &p), other = make_context(second, &p), bad = make_context(infinite, &p);
    p.n_ctx = N - 1;
    small = make_context(model, &p);
    p.n_ctx = N_CTX, p.compute = PRISM_COMPUTE_F32;
    f32 = make_context(model, &p);
    snprintf(file, sizeof file, "%s/good.session", test_tmp_dir());
    snprintf(nowhere, sizeof nowhere, "%s/no/folder", test_tmp_dir());
    snprintf(junk, sizeof junk, "%s", gb_write_bytes("junk.session", "ggsn, and not ours", 18));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    prism_context_free(context);
    prism_context_free(small);
    prism_context_free(other);
    prism_context_free(f32);
    prism_context_free(bad);
    prism_model_free(model);
    prism_model_free(second);
    prism_model_free(infinite);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_table), cmocka_unit_test(test_docstrings) };
    return cmocka_run_group_tests_name("errors of sessions", tests, set_up, tear_down);
}
