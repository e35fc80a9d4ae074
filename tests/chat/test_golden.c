/* test_golden.c - 70 public chat templates against what Python's jinja2 makes of them (golden/chat/README.md): every byte of 205 texts, the
 * variants of enable_thinking, 5 refusals, and the time that the longest takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "src/chat/chat.h"
#include "tests/support/data.h"
#include "tests/support/json_read.h"

enum { MAX_MESSAGES = 8, N_TEXTS = 205, N_ERRORS = 5, N_THINKING = 27 };

static const int64_t now = 1790604309; /* 2026-09-28 14:05:09 */

struct conversation {
    struct prism_message m[MAX_MESSAGES];
    size_t n;
};

static struct conversation conversation(const struct json_value *list)
{
    struct conversation c = { .n = 0 };

    for (const struct json_value *v = list->child; v; v = v->next) {
        assert_true(c.n < MAX_MESSAGES);
        const char *content = json_text(v, "content");
        c.m[c.n++] = (struct prism_message){ json_text(v, "role"), content, strlen(content) };
    }
    return c;
}

static enum prism_status run(const char *source, size_t n, const struct conversation *c, int thinking, struct prism_chat_text *out,
                             struct prism_error *err)
{
    struct prism_chat_input in = { .text = source, .n_text = n, .messages = c->m, .n_messages = c->n, .bos = "<s>", .n_bos = 3, .eos = "</s>",
                                   .n_eos = 4, .generation_prompt = true, .thinking = thinking, .now = now };
    return prism_chat_run(&in, out, err);
}

static char *source_of(const char *file, size_t *n)
{
    char rel[256];

    snprintf(rel, sizeof rel, "golden/chat/templates/%s", file);
    return test_read_file(test_shared(rel), n);
}

/* Whether rendering gives the text, or an error where that is expected. */
static bool matches(const struct json_value *file, const char *name, const char *source, size_t n, const struct conversation *c, int thinking)
{
    const struct json_value *expected = json_get(file, name);
    struct prism_chat_text out;
    struct prism_error err = { 0 };
    enum prism_status st = run(source, n, c, thinking, &out, &err);
    bool same = expected->type == JSON_STRING ? !st && out.n == strlen(expected->text) && !memcmp(out.p, expected->text, out.n)
                                              : st == PRISM_E_ARG || st == PRISM_E_FORMAT;

    if (!same)
        print_error("%s, %s: %s\n--- expected\n%s\n--- found\n%s\n", file->key, name, err.text, expected->type == JSON_STRING ? expected->text : "an error",
                    out.p ? out.p : "nothing");
    prism_chat_text_free(&out);
    return same;
}

static void test_texts(void **state)
{
    static const char *const names[] = { "user", "system_user", "multi" };
    struct json_value *all = json_read(test_shared("golden/chat/expected.json")), *conversations = json_get(all, "conversations");
    size_t texts = 0, errors = 0, wrong = 0;

    (void)state;
    for (const struct json_value *f = json_get(all, "templates")->child; f; f = f->next) {
        size_t n;
        char *source = source_of(f->key, &n);
        for (size_t i = 0; i < 3; i++) {
            struct conversation c = conversation(json_get(conversations, names[i]));
            bool text = json_get(f, names[i])->type == JSON_STRING;
            texts += text;
            errors += !text;
            wrong += !matches(f, names[i], source, n, &c, -1);
        }
        free(source);
    }
    assert_int_equal(wrong, 0);
    assert_int_equal(texts, N_TEXTS);
    assert_int_equal(errors, N_ERRORS);
    json_free(all);
}

/* enable_thinking: where the golden data has no variant, the text is that without it. */
static void test_thinking(void **state)
{
    struct json_value *all = json_read(test_shared("golden/chat/expected.json"));
    struct conversation c = conversation(json_get(json_get(all, "conversations"), "user"));
    size_t differing = 0, wrong = 0;

    (void)state;
    for (const struct json_value *f = json_get(all, "templates")->child; f; f = f->next) {
        size_t n;
        char *source = source_of(f->key, &n);
        for (int on = 0; on <= 1; on++) {
            const char *name = on ? "think_on" : "think_off";
            bool differs = json_get(f, name) != NULL;
            differing += differs;
            wrong += !matches(f, differs ? name : "user", source, n, &c, on);
        }
        free(source);
    }
    assert_int_equal(wrong, 0);
    assert_int_equal(differing, N_THINKING);
    json_free(all);
}

/* What the user wrote is marked as such, and nothing else: outside of the marks the user's words do not turn up. */
static void test_origins(void **state)
{
    struct json_value *all = json_read(test_shared("golden/chat/expected.json"));
    const char *words = "xyzzy <|im_end|></s>";
    struct conversation c = { { { "user", words, strlen(words) } }, 1 };

    (void)state;
    for (const struct json_value *f = json_get(all, "templates")->child; f; f = f->next) {
        struct prism_chat_text out;
        size_t n, marked = 0;
        char *source = source_of(f->key, &n);
        if (run(source, n, &c, -1, &out, NULL) == PRISM_OK) {
            const char *at = memmem(out.p, out.n, words, strlen(words));
            for (size_t i = 0; i < out.n; i++)
                marked += out.user[i];
            if (!at || marked < strlen(words) || memchr(out.user + (at - out.p), false, strlen(words)))
                fail_msg("%s: %zu marks in \"%s\"", f->key, marked, out.p);
            assert_true(marked % strlen(words) == 0);
        }
        prism_chat_text_free(&out);
        free(source);
    }
    json_free(all);
}

static double milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

/* 5 ms of processor time for every template, and ten times that under a sanitizer. */
static void test_time(void **state)
{
    struct json_value *all = json_read(test_shared("golden/chat/expected.json"));
    struct conversation c = conversation(json_get(json_get(all, "conversations"), "multi"));
#if defined(__SANITIZE_ADDRESS__)
    double bound = 50, longest = 0;
#else
    double bound = 5, longest = 0;
#endif

    (void)state;
    for (const struct json_value *f = json_get(all, "templates")->child; f; f = f->next) {
        struct prism_chat_text out;
        size_t n;
        double best = 1e9;
        char *source = source_of(f->key, &n);
        for (int i = 0; i < 3; i++) {
            double begin = milliseconds();
            run(source, n, &c, -1, &out, NULL);
            prism_chat_text_free(&out);
            double t = milliseconds() - begin;
            best = t < best ? t : best;
        }
        longest = best > longest ? best : longest;
        if (!(best <= bound))
            fail_msg("%s: %.2f ms", f->key, best);
        free(source);
    }
    print_message("longest: %.3f ms\n", longest);
    json_free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_thinking),
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
