/* test_calls.c - what prism.h says about the small functions: names, texts, facts, lengths, and what they do with what is out of range.
 * Metadata and chat: test_calls_chat.c. */
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
#include "tests/support/engine_test.h"
#include "tests/support/mask_trace.h"

static prism_model *model;

/* ---- constants ---- */

static void test_status_texts(void **state)
{
    static const enum prism_status all[] = { PRISM_OK, PRISM_E_ARG, PRISM_E_LENGTH, PRISM_E_NOMEM, PRISM_E_IO, PRISM_E_FORMAT,
                                             PRISM_E_UNSUPPORTED, PRISM_E_CANCELLED, PRISM_E_NUMERIC };

    (void)state;
    assert_string_equal(prism_version(), PRISM_VERSION);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(prism_status_text(all[i]), prism_status_text(all[j]));
    assert_non_null(prism_status_text((enum prism_status)999));
    assert_non_null(prism_status_text((enum prism_status)-1));
}

/* The levels of this family of processors, which a context gets under the numbers that name them. */
static void test_levels(void **state)
{
    int n = prism_level_count(), n_here = 0;
    struct prism_context_params p = trace_params(32);
    struct prism_plan best, plan;

    (void)state;
    assert_true(n >= 1);
    assert_string_equal(prism_level_name(0), "generic");
    assert_int_equal(prism_plan(model, &p, &best, NULL), PRISM_OK);
    for (int i = 0; i < n; i++) {
#if defined(__x86_64__)
        assert_null(strstr(prism_level_name(i), "neon"));
#else
        assert_null(strstr(prism_level_name(i), "avx"));
#endif
        for (int j = 0; j < i; j++)
            assert_string_not_equal(prism_level_name(i), prism_level_name(j));
        p.level = 1 + i;
        assert_int_equal(prism_plan(model, &p, &plan, NULL), prism_level_supported(i) ? PRISM_OK : PRISM_E_UNSUPPORTED);
        if (!prism_level_supported(i))
            continue;
        assert_string_equal(plan.level, prism_level_name(i));
        n_here += !strcmp(plan.level, best.level);
    }
    assert_int_equal(n_here, 1);
    for (int i = 0; i < 3; i++) {
        static const int outside[] = { -1, INT32_MIN, INT32_MAX };
        assert_null(prism_level_name(outside[i]));
        assert_false(prism_level_supported(outside[i]));
        assert_null(prism_selector_name(outside[i]));
    }
    assert_null(prism_level_name(n));
    assert_false(prism_level_supported(n));
    assert_null(prism_selector_name(prism_selector_count()));
}

static void test_kernels_text(void **state)
{
    char all[8192], part[100];
    size_t n = prism_kernels_text(-1, NULL, 0), n_alone;

    (void)state;
    assert_true(n > sizeof part && n < sizeof all);
    assert_int_equal(prism_kernels_text(-1, all, sizeof all), n);
    assert_int_equal(strlen(all), n);
    memset(part, 'x', sizeof part);
    assert_int_equal(prism_kernels_text(-1, part, sizeof part - 1), n);
    assert_int_equal(strlen(part), sizeof part - 2);
    assert_memory_equal(part, all, sizeof part - 2);
    assert_true(part[sizeof part - 1] == 'x');
    for (int i = 0; i < prism_level_count(); i++)
        assert_non_null(strstr(all, prism_level_name(i)));
    assert_non_null(strstr(all, "linear"));
    n_alone = prism_kernels_text(prism_level_count(), all, sizeof all);
    assert_true(n_alone > 0 && n_alone < n);
    assert_null(strstr(all, "linear"));
}

/* ---- the model ---- */

static void check_strings(prism_model *m)
{
    struct prism_model_info i;

    memset(&i, 0xA5, sizeof i);
    prism_model_info(m, &i);
    assert_true(i.path && i.architecture && i.name && i.type && i.rope_order && i.rope_scaling && i.tokenizer && i.pre_tokenizer);
    assert_true(strlen(i.path) && strlen(i.architecture));
    prism_model_free(m);
}

static prism_model *load(struct tiny_model t, const char *tokenizer, bool vocab_only)
{
    struct gb *g = tiny_build(&t);
    struct prism_error err;
    prism_model *m;

    if (tokenizer)
        gb_str(g, "tokenizer.ggml.model", tokenizer);
    must(prism_model_load(gb_write(g, "calls.gguf"), &(struct prism_model_params){ .vocab_only = vocab_only }, &m, &err), &err);
    gb_free(g);
    return m;
}

static void test_info(void **state)
{
    struct tiny_model spm = tiny_llama();
    struct prism_model_info i;

    (void)state;
    spm.vocab = "llama";
    check_strings(load(tiny_qwen3(), NULL, false));
    check_strings(load(spm, NULL, false));
    check_strings(load(spm, NULL, true));
    check_strings(load(tiny_llama(), "no_vocab", false));
    prism_model *words = load(tiny_llama(), NULL, true);
    prism_model_info(words, &i);
    assert_true(i.n_layer == 0 && i.n_embd == 0 && i.n_ctx_train == 0 && i.n_vocab == tiny_n_vocab("gpt2"));
    prism_model_free(words);
    prism_model_free(NULL);
    prism_context_free(NULL);
}

struct lines {
    pthread_t thread;
    size_t n;
    bool strange;
};

static void on_line(void *user, const char *line)
{
    struct lines *l = user;
    l->n++;
    l->strange |= !pthread_equal(l->thread, pthread_self()) || !line[0] || strpbrk(line, "\n\r\033") != NULL;
}

/* A file named with control characters, with something to warn of; and an error about it. */
static void test_lines(void **state)
{
    struct tiny_model t = tiny_llama();
    struct lines lines = { .thread = pthread_self() };
    struct gb *g = tiny_build(&t);
    struct prism_error err;
    prism_model *m;

    (void)state;
    gb_str(g, "tokenizer.ggml.pre", "default");
    assert_int_equal(prism_model_load(gb_write(g, "odd\n\033[2Jname.gguf"),
                                      &(struct prism_model_params){ .log = on_line, .log_user = &lines }, &m, &err), PRISM_OK);
    assert_true(lines.n > 0);
    assert_false(lines.strange);
    prism_model_free(m);
    gb_free(g);
    assert_int_equal(prism_model_load("/absent\n\033[2J/name", NULL, &m, &err), PRISM_E_IO);
    assert_null(strpbrk(err.text, "\n\033"));
    assert_non_null(strstr(err.text, "absent"));
}

/* ---- text ---- */

static void test_lengths(void **state)
{
    static const char text[] = "some words";
    int32_t ids[64], some[64];
    size_t n, n_all;
    char all[64], part[64];

    (void)state;
    assert_int_equal(prism_tokenize(model, text, strlen(text), 0, NULL, 0, &n_all, NULL), PRISM_OK);
    assert_true(n_all >= 3 && n_all < 60);
    assert_int_equal(prism_tokenize(model, text, strlen(text), 0, ids, 64, &n, NULL), PRISM_OK);
    assert_int_equal(n, n_all);
    memset(some, 0xA5, sizeof some);
    assert_int_equal(prism_tokenize(model, text, strlen(text), 0, some, 2, &n, NULL), PRISM_OK);
    assert_int_equal(n, n_all);
    assert_memory_equal(some, ids, 2 * sizeof *ids);
    assert_int_equal(some[2], (int32_t)0xA5A5A5A5);

    for (int32_t id = 0; id < (int32_t)tiny_n_vocab("gpt2"); id++) {
        size_t len = prism_token_bytes(model, id, true, false, all, sizeof all);
        assert_int_equal(prism_token_bytes(model, id, true, false, NULL, 0), len);
        memset(part, 'x', sizeof part);
        assert_int_equal(prism_token_bytes(model, id, true, false, part, 1), len);
        assert_true(len == 0 || part[0] == all[0]);
        assert_true(part[1] == 'x');
    }
    assert_int_equal(prism_token_bytes(model, -1, true, false, all, sizeof all), 0);
    assert_int_equal(prism_token_bytes(model, (int32_t)tiny_n_vocab("gpt2"), true, false, all, sizeof all), 0);
    assert_false(prism_token_is_eog(model, -1));
    assert_false(prism_token_is_eog(model, INT32_MAX));
}

/* ---- sampling ---- */

static void test_sample(void **state)
{
    const float logits[4] = { 1, 3, 3, 2 };
    struct prism_sampling greedy = { .temp = 0 }, warm = { .temp = 1, .top_p = NAN, .min_p = NAN, .state = 1 }, odd = { .temp = NAN };
    struct prism_context_params p = trace_params(32);
    prism_context *c = make_context(model, &p);
    char scratch[4 * 8];
    unsigned drawn = 0;

    (void)state;
    assert_int_equal(prism_sample(&greedy, logits, 4, NULL), 1);
    assert_int_equal(prism_sample(&odd, logits, 4, NULL), 1);
    for (int i = 0; i < 200; i++)
        drawn |= 1u << prism_sample(&warm, logits, 4, scratch);
    assert_int_equal(drawn, 15); /* NaN switched the filters off */
    assert_int_equal(prism_sample(&greedy, prism_logits(c), 4, scratch), -1); /* of an empty context */
    assert_int_equal(prism_sample(&greedy, logits, 0, scratch), -1);
    assert_int_equal(prism_sample(&warm, logits, 0, scratch), -1);
    assert_int_equal(prism_sample(&warm, logits, 4, NULL), -1);
    assert_int_equal(prism_decode(c, -1, NULL), PRISM_E_ARG); /* what follows from it is an error, not a crash */
    assert_true(prism_log_prob(logits, 4, 4) == -INFINITY && prism_log_prob(logits, 4, -1) == -INFINITY);
    assert_true(prism_log_prob(prism_logits(c), 4, 0) == -INFINITY);
    assert_true(fabs(prism_log_prob(logits, 4, 1) - (3 - log(exp(1) + 2 * exp(3) + exp(2)))) <= 1e-12);
    prism_context_free(c);
}

/* ---- threads ---- */

static void test_threads(void **state)
{
    struct prism_context_params p = trace_params(32);
    int core[4] = { 77, 77, 77, 77 };

    (void)state;
    p.n_threads = 2;
    prism_context *c = make_context(model, &p);
    assert_int_equal(prism_threads(c, NULL, 0), 2);
    assert_int_equal(prism_threads(c, core, 1), 2);
    assert_int_equal(core[1], 77);
    assert_int_equal(prism_threads(c, core, 4), 2);
    assert_true(core[1] != 77 && core[2] == 77 && core[3] == 77);
    assert_true(prism_peak_gops(c, "f32") > 0);
    assert_true(prism_peak_gops(c, "q4") == 0);
    prism_context_free(c);
}

static int set_up(void **state)
{
    struct tiny_model t = tiny_llama();

    *state = model = load(t, NULL, false);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_texts),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_kernels_text),
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_sample),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests_name("small functions", tests, set_up, free_group_model);
}
