/* test_errors.c - every error that prism.h documents for the functions that load, tokenize, plan and create: provoked, said in words, and none
 * beyond (tests/support/error_table.h). */
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
#include "tests/support/engine_test.h"
#include "tests/support/error_table.h"

enum { N_CTX = 64 };

static prism_model *model, *words_only, *wordless; /* words_only: no tensors; wordless: no vocabulary */

/* ---- how each is provoked ---- */

static enum prism_status load(const char *path, const struct prism_model_params *p, struct prism_error *err)
{
    prism_model *m = (prism_model *)&m;
    enum prism_status s = prism_model_load(path, p, &m, err);

    assert_true((s == PRISM_OK) == (m != NULL));
    prism_model_free(m);
    return s;
}

static enum prism_status load_good(struct prism_error *err)
{
    struct tiny_model t = tiny_llama();
    return load(tiny_write(&t, "good.gguf"), NULL, err);
}

static enum prism_status load_null_path(struct prism_error *err) { return load(NULL, NULL, err); }
static enum prism_status load_nowhere(struct prism_error *err) { return prism_model_load("x", NULL, NULL, err); }
static enum prism_status load_absent(struct prism_error *err) { return load("/nonexistent/model.gguf", NULL, err); }
static enum prism_status load_folder(struct prism_error *err) { return load("/", NULL, err); }
static enum prism_status load_junk(struct prism_error *err) { return load(gb_write_bytes("junk.gguf", "GGUF\3\0\0\0junk", 12), NULL, err); }

static enum prism_status load_with(const char *architecture, float norm, bool check, struct prism_error *err)
{
    struct tiny_model t = tiny_llama();
    struct gb *g = tiny_build(&t);

    gb_str(g, "general.architecture", architecture);
    memcpy(gb_tensor(g, "output_norm.weight")->data, &norm, sizeof norm);
    enum prism_status s = load(gb_write(g, "with.gguf"), &(struct prism_model_params){ .check_tensors = check }, err);
    gb_free(g);
    return s;
}

static enum prism_status load_unknown(struct prism_error *err) { return load_with("abacus", 1, false, err); }
static enum prism_status load_checked(struct prism_error *err) { return load_with("llama", INFINITY, true, err); }
static enum prism_status load_finite(struct prism_error *err) { return load_with("llama", 1, true, err); }

static enum prism_status tokenize(const prism_model *m, const char *text, size_t len, unsigned flags, struct prism_error *err)
{
    size_t n = 77;
    enum prism_status s = prism_tokenize(m, text, len, flags, NULL, 0, &n, err);

    assert_true(s == PRISM_OK ? n != 77 : n == 0);
    return s;
}

static enum prism_status tokenize_good(struct prism_error *err) { return tokenize(model, "good words", 10, PRISM_ADD_SPECIAL, err); }
static enum prism_status tokenize_nothing(struct prism_error *err) { return tokenize(model, NULL, 0, 0, err); }
static enum prism_status tokenize_no_model(struct prism_error *err) { return tokenize(NULL, "x", 1, 0, err); }
static enum prism_status tokenize_null(struct prism_error *err) { return tokenize(model, NULL, 1, 0, err); }
static enum prism_status tokenize_flags(struct prism_error *err) { return tokenize(model, "x", 1, 1u << 31, err); }
static enum prism_status tokenize_long(struct prism_error *err) { return tokenize(model, "x", ((size_t)1 << 30) + 1, 0, err); }
static enum prism_status tokenize_wordless(struct prism_error *err) { return tokenize(wordless, "x", 1, 0, err); }

static enum prism_status tokenize_uncounted(struct prism_error *err) { return prism_tokenize(model, "x", 1, 0, NULL, 0, NULL, err); }

static enum prism_status tokenize_no_room(struct prism_error *err)
{
    size_t n;
    return prism_tokenize(model, "x", 1, 0, NULL, 1, &n, err);
}

/* The same chat through prism_chat_render and prism_chat_tokenize. */
enum { RENDER, TOKENIZE };

static enum prism_status chat(int which, const prism_model *m, const struct prism_message *messages, size_t n_messages,
                              const struct prism_chat_params *p, struct prism_error *err)
{
    size_t n = 77;
    enum prism_status s = which == RENDER ? prism_chat_render(m, messages, n_messages, p, NULL, 0, &n, err)
                                          : prism_chat_tokenize(m, messages, n_messages, p, NULL, 0, &n, err);

    assert_true(s == PRISM_OK ? n != 77 : n == 0);
    return s;
}

static const struct prism_message hello = { "user", "Hello", 5 }, no_role = { NULL, "x", 1 }, no_content = { "user", NULL, 1 },
                                  endless = { "user", "x", ((size_t)1 << 30) + 1 }, empty = { "user", NULL, 0 };
static const struct prism_chat_params chatml = { .template_text = "chatml" }, refusing = { .template_text = "{{ raise_exception('no') }}" },
                                      broken = { .template_text = "{{" }, undefined = { .template_text = "{{ x.y }}" },
                                      foreign = { .template_text = "{% include 'x' %}" }, deep = { .template_text = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}" },
                                      thinking = { .template_text = "chatml", .thinking = (enum prism_thinking)3 };

#define CHAT(name, m, messages, n, p) \
    static enum prism_status render_##name(struct prism_error *err) { return chat(RENDER, m, messages, n, p, err); } \
    static enum prism_status chat_ids_##name(struct prism_error *err) { return chat(TOKENIZE, m, messages, n, p, err); }

CHAT(good, model, &hello, 1, &chatml)
CHAT(empty, words_only, &empty, 1, &chatml)
CHAT(no_model, NULL, &hello, 1, &chatml)
CHAT(no_messages, model, NULL, 1, &chatml)
CHAT(none, model, &hello, 0, &chatml)
CHAT(no_role, model, &no_role, 1, &chatml)
CHAT(no_content, model, &no_content, 1, &chatml)
CHAT(endless, model, &endless, 1, &chatml)
CHAT(thinking, model, &hello, 1, &thinking)
CHAT(refused, model, &hello, 1, &refusing)
CHAT(broken, model, &hello, 1, &broken)
CHAT(undefined, model, &hello, 1, &undefined)
CHAT(foreign, model, &hello, 1, &foreign)
CHAT(deep, model, &hello, 1, &deep)
CHAT(no_template, model, &hello, 1, NULL)

static enum prism_status chat_ids_wordless(struct prism_error *err) { return chat(TOKENIZE, wordless, &hello, 1, &chatml, err); }
static enum prism_status render_wordless(struct prism_error *err) { return chat(RENDER, wordless, &hello, 1, &chatml, err); }
static enum prism_status render_uncounted(struct prism_error *err) { return prism_chat_render(model, &hello, 1, &chatml, NULL, 0, NULL, err); }
static enum prism_status chat_ids_uncounted(struct prism_error *err) { return prism_chat_tokenize(model, &hello, 1, &chatml, NULL, 0, NULL, err); }

static enum prism_status render_no_room(struct prism_error *err)
{
    size_t n;
    return prism_chat_render(model, &hello, 1, &chatml, NULL, 1, &n, err);
}

static enum prism_status chat_ids_no_room(struct prism_error *err)
{
    size_t n;
    return prism_chat_tokenize(model, &hello, 1, &chatml, NULL, 1, &n, err);
}

/* The same parameters through prism_plan and prism_context_create. */
static enum prism_status plan(const prism_model *m, struct prism_context_params p, struct prism_error *err)
{
    static const struct prism_plan zeros;
    struct prism_plan plan;

    memset(&plan, 0xA5, sizeof plan);
    enum prism_status s = prism_plan(m, &p, &plan, err);
    assert_true(s == PRISM_OK ? plan.total_bytes > 0 : !memcmp(&plan, &zeros, sizeof plan));
    return s;
}

static enum prism_status create(const prism_model *m, struct prism_context_params p, struct prism_error *err)
{
    prism_context *c = (prism_context *)&c;
    enum prism_status s = prism_context_create(m, &p, &c, err);

    assert_true((s == PRISM_OK) == (c != NULL));
    prism_context_free(c);
    return s;
}

#define BOTH(name, m, ...) \
    static enum prism_status plan_##name(struct prism_error *err) { return plan(m, (struct prism_context_params){ __VA_ARGS__ }, err); } \
    static enum prism_status create_##name(struct prism_error *err) { return create(m, (struct prism_context_params){ __VA_ARGS__ }, err); }

BOTH(good, model, .n_ctx = N_CTX)
BOTH(no_model, NULL, .n_ctx = N_CTX)
BOTH(words_only, words_only, .n_ctx = N_CTX)
BOTH(threads, model, .n_threads = PRISM_MAX_THREADS + 1)
BOTH(level, model, .level = prism_level_count() + 1)
BOTH(negative_level, model, .level = -1)
BOTH(lowest_level, model, .level = INT32_MIN)
BOTH(n_ctx, model, .n_ctx = PRISM_MAX_CONTEXT + 1)
BOTH(logits_rows, model, .n_ctx = N_CTX, .logits_rows = PRISM_MAX_CONTEXT + 1)
BOTH(compute, model, .compute = (enum prism_compute)7)
BOTH(kv_type, model, .kv_type = (enum prism_kv_type)9)
BOTH(v_type, model, .v_type = (enum prism_kv_type)(PRISM_KV_Q8_0 + 1))
BOTH(selector, model, .attention = { .selector = "guess" })
BOTH(block, model, .attention = { .block = 48 })
BOTH(p_high, model, .attention = { .p_high = 1.5f })
BOTH(p_low, model, .attention = { .p_low = NAN })
BOTH(high_dim, model, .attention = { .high_dim = 3 })
BOTH(low_dim, model, .attention = { .low_dim = 1000 })
BOTH(gamma, model, .attention = { .gamma = -1 })
BOTH(threshold, model, .attention = { .threshold = 2 })
BOTH(stride, model, .attention = { .stride = 7 })
BOTH(tau, model, .attention = { .tau = 2 })
BOTH(window, model, .attention = { .window = PRISM_MAX_TOKENS + 1u })

static enum prism_status plan_nowhere(struct prism_error *err) { return prism_plan(model, NULL, NULL, err); }
static enum prism_status create_nowhere(struct prism_error *err) { return prism_context_create(model, NULL, NULL, err); }

static enum prism_status on_absent_level(enum prism_status (*fn)(const prism_model *, struct prism_context_params, struct prism_error *),
                                         struct prism_error *err)
{
    for (int i = 0; i < prism_level_count(); i++)
        if (!prism_level_supported(i))
            return fn(model, (struct prism_context_params){ .n_ctx = N_CTX, .level = 1 + i }, err);
    return ERROR_ROW_DOES_NOT_APPLY;
}

static enum prism_status plan_absent_level(struct prism_error *err) { return on_absent_level(plan, err); }
static enum prism_status create_absent_level(struct prism_error *err) { return on_absent_level(create, err); }

/* Without memory: the first allocation fails, and all that follow. */
#ifdef COUNTS_ALLOCATIONS
static enum prism_status without_memory(enum prism_status (*fn)(struct prism_error *), struct prism_error *err)
{
    atomic_store(&allocations_allowed, 0);
    enum prism_status s = fn(err);
    atomic_store(&allocations_allowed, LONG_MAX);
    return s;
}

static enum prism_status load_again(struct prism_error *err) { return load("models/gutenberg-llama-16m-q8_0.gguf", NULL, err); }
static enum prism_status load_no_memory(struct prism_error *err) { return without_memory(load_again, err); }
static enum prism_status tokenize_no_memory(struct prism_error *err) { return without_memory(tokenize_good, err); }
static enum prism_status plan_no_memory(struct prism_error *err) { return without_memory(plan_good, err); }
static enum prism_status create_no_memory(struct prism_error *err) { return without_memory(create_good, err); }
static enum prism_status render_no_memory(struct prism_error *err) { return without_memory(render_good, err); }
static enum prism_status chat_ids_no_memory(struct prism_error *err) { return without_memory(chat_ids_good, err); }
#else
#define load_no_memory NULL
#define tokenize_no_memory NULL
#define plan_no_memory NULL
#define create_no_memory NULL
#define render_no_memory NULL
#define chat_ids_no_memory NULL
#endif

/* ---- the table ---- */

#define CHAT_ROWS(status, name) { "prism_chat_render", status, render_##name }, { "prism_chat_tokenize", status, chat_ids_##name }
#define BOTH_ARG(name) { "prism_plan", PRISM_E_ARG, plan_##name }, { "prism_context_create", PRISM_E_ARG, create_##name }

static const struct error_row rows[] = {
    { "prism_model_load", PRISM_OK, load_good },
    { "prism_model_load", PRISM_OK, load_finite },
    { "prism_model_load", PRISM_E_ARG, load_null_path },
    { "prism_model_load", PRISM_E_ARG, load_nowhere },
    { "prism_model_load", PRISM_E_IO, load_absent },
    { "prism_model_load", PRISM_E_IO, load_folder },
    { "prism_model_load", PRISM_E_FORMAT, load_junk },
    { "prism_model_load", PRISM_E_FORMAT, load_checked },
    { "prism_model_load", PRISM_E_UNSUPPORTED, load_unknown },
    { "prism_model_load", PRISM_E_NOMEM, load_no_memory },
    { "prism_tokenize", PRISM_OK, tokenize_good },
    { "prism_tokenize", PRISM_OK, tokenize_nothing },
    { "prism_tokenize", PRISM_E_ARG, tokenize_no_model },
    { "prism_tokenize", PRISM_E_ARG, tokenize_null },
    { "prism_tokenize", PRISM_E_ARG, tokenize_uncounted },
    { "prism_tokenize", PRISM_E_ARG, tokenize_no_room },
    { "prism_tokenize", PRISM_E_ARG, tokenize_flags },
    { "prism_tokenize", PRISM_E_ARG, tokenize_long },
    { "prism_tokenize", PRISM_E_UNSUPPORTED, tokenize_wordless },
    { "prism_tokenize", PRISM_E_NOMEM, tokenize_no_memory },
    CHAT_ROWS(PRISM_OK, good), CHAT_ROWS(PRISM_OK, empty), CHAT_ROWS(PRISM_E_ARG, no_model), CHAT_ROWS(PRISM_E_ARG, no_messages),
    CHAT_ROWS(PRISM_E_ARG, none), CHAT_ROWS(PRISM_E_ARG, no_role), CHAT_ROWS(PRISM_E_ARG, no_content), CHAT_ROWS(PRISM_E_ARG, endless),
    CHAT_ROWS(PRISM_E_ARG, thinking), CHAT_ROWS(PRISM_E_ARG, refused), CHAT_ROWS(PRISM_E_ARG, uncounted), CHAT_ROWS(PRISM_E_ARG, no_room),
    CHAT_ROWS(PRISM_E_FORMAT, broken), CHAT_ROWS(PRISM_E_FORMAT, undefined), CHAT_ROWS(PRISM_E_UNSUPPORTED, foreign),
    CHAT_ROWS(PRISM_E_UNSUPPORTED, deep), CHAT_ROWS(PRISM_E_UNSUPPORTED, no_template), CHAT_ROWS(PRISM_E_NOMEM, no_memory),
    { "prism_chat_render", PRISM_OK, render_wordless },
    { "prism_chat_tokenize", PRISM_E_UNSUPPORTED, chat_ids_wordless },
    { "prism_plan", PRISM_OK, plan_good },
    { "prism_context_create", PRISM_OK, create_good },
    { "prism_plan", PRISM_E_ARG, plan_nowhere },
    { "prism_context_create", PRISM_E_ARG, create_nowhere },
    BOTH_ARG(no_model), BOTH_ARG(words_only), BOTH_ARG(threads), BOTH_ARG(level), BOTH_ARG(negative_level), BOTH_ARG(lowest_level),
    BOTH_ARG(compute), BOTH_ARG(kv_type), BOTH_ARG(v_type), BOTH_ARG(selector), BOTH_ARG(block), BOTH_ARG(p_high), BOTH_ARG(p_low),
    BOTH_ARG(high_dim), BOTH_ARG(low_dim), BOTH_ARG(gamma), BOTH_ARG(threshold), BOTH_ARG(stride), BOTH_ARG(n_ctx), BOTH_ARG(logits_rows), BOTH_ARG(tau),
    BOTH_ARG(window),
    { "prism_plan", PRISM_E_UNSUPPORTED, plan_absent_level },
    { "prism_context_create", PRISM_E_UNSUPPORTED, create_absent_level },
    { "prism_plan", PRISM_E_NOMEM, plan_no_memory },
    { "prism_context_create", PRISM_E_NOMEM, create_no_memory },
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
    assert_int_equal(error_table_documented(rows, N_ROWS), 6);
}

/* ---- fixture ---- */

static int set_up(void **state)
{
    struct tiny_model t = tiny_llama();
    struct gb *no_words = tiny_build(&t);
    struct prism_error err;

    (void)state;
    gb_str(no_words, "tokenizer.ggml.model", "no_vocab");
    model = load_tiny(&t, "model.gguf");
    must(prism_model_load(tiny_write(&t, "words.gguf"), &(struct prism_model_params){ .vocab_only = true }, &words_only, &err), &err);
    wordless = load_built(no_words, "wordless.gguf");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    prism_model_free(model);
    prism_model_free(words_only);
    prism_model_free(wordless);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_table), cmocka_unit_test(test_docstrings) };
    return cmocka_run_group_tests_name("errors", tests, set_up, tear_down);
}
