/* test_special.c - where special tokens occur in text: against the rule written out (token after token, longest first), in steps that do not
 * depend on the tokens, and with the white space that phi-3's tokens take along. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/text/internal.h"
#include "tests/support/gguf_build.h"

#define KEY(name) "tokenizer.ggml." name

struct loaded {
    struct prism_gguf *g;
    struct prism_vocab *v;
};

static struct loaded load(const char *name, const char *const *tokens, const int32_t *types, size_t n)
{
    struct loaded l;
    struct prism_error err = { 0 };
    struct gb *file = gb_new();
    gb_str(file, "general.name", name);
    gb_str(file, KEY("model"), "gpt2");
    gb_str(file, KEY("pre"), "gpt-2");
    gb_strings(file, KEY("tokens"), tokens, n);
    gb_array(file, KEY("token_type"), PRISM_GV_I32, n, types, n * sizeof *types);
    gb_strings(file, KEY("merges"), NULL, 0);
    if (prism_gguf_open(gb_write(file, "special.gguf"), (struct prism_log){ 0 }, &l.g, &err) || prism_vocab_load(l.g, 0, &l.v, &err))
        fail_msg("%s", err.text);
    gb_free(file);
    return l;
}

static void unload(struct loaded l)
{
    prism_vocab_free(l.v);
    prism_gguf_close(l.g);
}

/* ---- the rule ---- */

enum { PLAIN = -1, GONE = -2, MAX_TEXT = 64 };

/* owner[i]: the token that byte i belongs to, PLAIN, or GONE for stripped space; begins[i]: a token begins there. */
struct cut {
    int32_t owner[MAX_TEXT];
    bool begins[MAX_TEXT];
};

static bool is_plain(const struct cut *c, size_t at, size_t n)
{
    for (size_t i = at; i < at + n; i++)
        if (c->owner[i] != PLAIN)
            return false;
    return true;
}

static void define(struct cut *c, const struct prism_vocab *v, const char *text, size_t len, bool parse, bool strip)
{
    size_t longest = 0;
    for (size_t i = 0; i < len; i++)
        c->owner[i] = PLAIN, c->begins[i] = false;
    for (uint32_t i = 0; i < v->n_tokens; i++)
        longest = v->text[i].n > longest ? v->text[i].n : longest;
    for (size_t n = longest; n > 0; n--)
        for (uint32_t id = 0; id < v->n_tokens; id++) {
            bool user = v->type[id] == PRISM_TOKEN_USER, other = v->type[id] == PRISM_TOKEN_CONTROL || v->type[id] == PRISM_TOKEN_UNKNOWN;
            if (v->text[id].n != n || !(user || (parse && other)))
                continue;
            for (size_t at = 0; at + n <= len; at++) {
                if (memcmp(text + at, v->text[id].p, n) != 0 || !is_plain(c, at, n))
                    continue;
                c->begins[at] = true;
                for (size_t i = at; i < at + n; i++)
                    c->owner[i] = (int32_t)id;
                for (size_t i = at + n; strip && i < len && c->owner[i] == PLAIN && text[i] == ' '; i++)
                    c->owner[i] = GONE;
            }
        }
}

static void compare(const struct prism_vocab *v, const char *text, size_t len, bool parse, bool strip)
{
    struct cut expected;
    struct prism_fragment *f;
    size_t n, at = 0;
    define(&expected, v, text, len, parse, strip);
    assert_int_equal(prism_special_split(v, text, len, parse, &f, &n, NULL), PRISM_OK);
    for (size_t i = 0; i < n; i++) {
        for (; at < f[i].start; at++)
            if (expected.owner[at] != GONE)
                fail_msg("\"%.*s\": byte %zu is in no fragment", (int)len, text, at);
        assert_true(f[i].start == at && f[i].len > 0 && f[i].start + f[i].len <= len);
        if (f[i].token >= 0)
            assert_true(expected.begins[at] && v->text[f[i].token].n == f[i].len);
        else if (i > 0)
            assert_true(f[i - 1].token >= 0); /* plain text is in one piece */
        for (; at < f[i].start + f[i].len; at++)
            if (expected.owner[at] != f[i].token)
                fail_msg("\"%.*s\": byte %zu: expected %d, found %d", (int)len, text, at, expected.owner[at], f[i].token);
    }
    for (; at < len; at++)
        assert_int_equal(expected.owner[at], GONE);
    free(f);
}

static uint64_t random_state = 1;
static unsigned draw(unsigned n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(random_state >> 33) % n;
}

/* Random texts over three letters, random tokens of up to 7 of them: nested, overlapping, of all types. */
static void the_rule_holds(void **state)
{
    (void)state;
    static const int32_t types[] = { PRISM_TOKEN_NORMAL, PRISM_TOKEN_UNKNOWN, PRISM_TOKEN_CONTROL, PRISM_TOKEN_USER };
    for (int round = 0; round < 300; round++) {
        char texts[24][8] = { { 0 } };
        const char *tokens[24];
        int32_t type[24];
        size_t n = 0;
        unsigned wanted = 1 + draw(24), letters = 2 + draw(2);
        for (unsigned tries = 0; n < wanted && tries < 200; tries++) {
            unsigned len = 1 + draw(7);
            for (unsigned i = 0; i < len; i++)
                texts[n][i] = "ab "[draw(letters)];
            texts[n][len] = 0;
            bool twin = false;
            for (size_t i = 0; i < n; i++)
                twin = twin || strcmp(texts[i], texts[n]) == 0;
            tokens[n] = texts[n];
            type[n] = types[draw(4)];
            n += !twin;
        }
        bool strip = round % 2;
        struct loaded l = load(strip ? "My Phi-3 Mini" : "My model", tokens, type, n);
        for (int k = 0; k < 60; k++) {
            char text[MAX_TEXT];
            size_t len = 1 + draw(MAX_TEXT - 1);
            for (size_t i = 0; i < len; i++)
                text[i] = "ab x"[draw(letters + (draw(8) == 0 && letters == 3))];
            compare(l.v, text, len, k % 2, strip);
        }
        unload(l);
    }
}

/* ---- steps ---- */

enum { TEXT = 20000 };

static uint64_t steps_of(const struct prism_vocab *v, const char *text, size_t len, size_t *n)
{
    struct prism_fragment *f;
    uint64_t steps;
    assert_int_equal(prism_special_split_counted(v, text, NULL, len, true, &f, n, &steps, NULL), PRISM_OK);
    free(f);
    return steps;
}

/* Tokens whose beginnings are everywhere in the text, and tokens of each length that end at every byte. */
static void steps_do_not_depend_on_the_tokens(void **state)
{
    (void)state;
    enum { LONG = 5000, NESTED = 300 };
    char *text = malloc(TEXT), *one = malloc(LONG + 2), *runs = malloc((NESTED + 1) * (NESTED + 1));
    const char *tokens[NESTED];
    int32_t type[NESTED];
    size_t n;
    assert_true(text && one && runs);
    memset(text, 'a', TEXT);

    memset(one, 'a', LONG);
    memcpy(one + LONG, "b", 2);
    tokens[0] = one;
    type[0] = PRISM_TOKEN_CONTROL;
    struct loaded l = load("one", tokens, type, 1);
    assert_true(steps_of(l.v, text, TEXT, &n) <= 2 * TEXT); /* once there and back */
    assert_int_equal(n, 1);
    unload(l);

    char *p = runs;
    for (size_t i = 0; i < NESTED; i++) {
        memset(p, 'a', i + 1);
        p[i + 1] = 0;
        tokens[i] = p;
        type[i] = i % 2 ? PRISM_TOKEN_CONTROL : PRISM_TOKEN_USER;
        p += i + 2;
    }
    l = load("nested", tokens, type, NESTED);
    uint64_t steps = steps_of(l.v, text, TEXT, &n);
    print_message("nested tokens: %.2f steps per byte\n", (double)steps / TEXT);
    assert_int_equal(n, TEXT / NESTED + 1); /* 66 of 300 and one of 200 */
    assert_true(steps <= 30 * TEXT);        /* 2 moves and 2 searches of at most 2 log2(300) each */
    unload(l);
    free(text);
    free(one);
    free(runs);
}

/* ---- phi-3 ---- */

static void space_behind_special_tokens(void **state)
{
    (void)state;
    static const char *const tokens[] = { "<unk>", "<s>", "<|endoftext|>", "<|user|>", "<|end|>", "x" };
    static const int32_t types[] = { 2, 3, 3, 3, 3, 1 };
    static const char text[] = "<|user|> \n\t x<|end|>\r\n<s> x<|endoftext|> <unk> ";
    static const struct prism_fragment stripped[] = {
        { 0, 8, 3 }, { 12, 1, -1 }, { 13, 7, 4 }, { 22, 3, 1 }, { 25, 2, -1 }, { 27, 13, 2 }, { 40, 1, -1 }, { 41, 5, 0 }, { 46, 1, -1 },
    };
    static const char *const names[] = { "Phi-3-mini-4k-instruct", "phi3", "microsoft_Phi 3" };
    for (size_t k = 0; k < 3; k++) {
        struct loaded l = load(names[k], tokens, types, 6);
        struct prism_fragment *f;
        size_t n;
        assert_int_equal(prism_special_split(l.v, text, sizeof text - 1, true, &f, &n, NULL), PRISM_OK);
        if (k < 2) {
            assert_int_equal(n, sizeof stripped / sizeof *stripped);
            for (size_t i = 0; i < n; i++)
                assert_true(f[i].start == stripped[i].start && f[i].len == stripped[i].len && f[i].token == stripped[i].token);
        } else {
            assert_true(f[1].start == 8 && f[1].len == 5 && f[1].token == -1); /* another model: nothing is stripped */
        }
        free(f);
        unload(l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rule_holds), cmocka_unit_test(steps_do_not_depend_on_the_tokens), cmocka_unit_test(space_behind_special_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
