/* test_limits.c - templates that are after the machine: each ends soon, with an error in words, in little memory and little stack. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>

#include "src/base/redzone.h"
#include "tests/support/chat_case.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const struct chat_error_case small[] = {
    { "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", PRISM_E_UNSUPPORTED, "line 1: nested more than 100 deep" },
    { "{% macro a() %}{{ b() }}{% endmacro %}\n{% macro b() %}{{ a() }}{% endmacro %}\n{{ a() }}", PRISM_E_UNSUPPORTED, "line 1: nested more than 100 deep" },
    { "{% for i in range(100001) %}{% endfor %}", PRISM_E_UNSUPPORTED, "line 1: range: more than 100000 numbers" },
    { "{{ range(-9223372036854775807, 9223372036854775807)|length }}", PRISM_E_UNSUPPORTED, "line 1: range: more than 100000 numbers" },
    { "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", PRISM_E_UNSUPPORTED, "" },
    { "{% for i in range(100000) %}{% for j in range(100000) %}{% continue %}{% endfor %}{% endfor %}", PRISM_E_UNSUPPORTED, "" },
    { "{% for i in range(100000) %}{{ range(100000)|length }}{% endfor %}", PRISM_E_UNSUPPORTED, "" },
    { "{% for i in range(100000) %}{{ 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' }}{% endfor %}", PRISM_E_UNSUPPORTED, "" },
    { "{% set n = namespace(s='abcdefgh') %}{% for i in range(1000) %}{% set n.s = n.s + n.s %}{% endfor %}", PRISM_E_UNSUPPORTED, "" },
    { "{% set n = namespace(s='abcdefgh') %}{% for i in range(1000) %}{% set n.s = n.s ~ n.s %}{% endfor %}", PRISM_E_UNSUPPORTED, "" },
    { "{% set n = namespace(s=[1]) %}{% for i in range(1000) %}{% set n.s = n.s + n.s %}{% endfor %}", PRISM_E_UNSUPPORTED, "" },
    { "{% set n = namespace(s='aa') %}{% for i in range(1000) %}{% set n.s = n.s|replace('a', 'aa') %}{% endfor %}", PRISM_E_UNSUPPORTED, "" },
    { "{% set n = namespace(s='aa') %}{% for i in range(1000) %}{% set n.s = n.s|replace('', 'aa') %}{% endfor %}", PRISM_E_UNSUPPORTED, "" },
    { "{{ 'abc' * 9223372036854775807 }}", PRISM_E_UNSUPPORTED, "" },
    { "{{ 9223372036854775807 * 'abc' }}", PRISM_E_UNSUPPORTED, "" },
    { "{% set n = namespace(v=[]) %}{% for i in range(1000) %}{% set n.v = [n.v] %}{% endfor %}{{ n.v }}", PRISM_E_UNSUPPORTED, "line 1: nested more than 100 deep" },
    { "{% set n = namespace(v=[]) %}{% for i in range(1000) %}{% set n.v = [n.v] %}{% endfor %}{{ n.v|tojson }}", PRISM_E_UNSUPPORTED, "line 1: nested more than 100 deep" },
    { "{% set n = namespace(v=[], w=[]) %}{% for i in range(1000) %}{% set n.v = [n.v] %}{% set n.w = [n.w] %}{% endfor %}{{ n.v == n.w }}",
      PRISM_E_UNSUPPORTED, "line 1: nested more than 100 deep" },
    { "{% set n = namespace(v=[], w=[]) %}{% for i in range(1000) %}{% set n.v = [n.v] %}{% set n.w = [n.w] %}{% endfor %}{{ n.v < n.w }}",
      PRISM_E_UNSUPPORTED, "line 1: nested more than 100 deep" },
    { "{% set n = namespace(v={}) %}{% for i in range(1000) %}{% set n.v = {'a': n.v} %}{% endfor %}{{ n.v|tojson(indent=2) }}",
      PRISM_E_UNSUPPORTED, "line 1: nested more than 100 deep" },
    { "{% set n = namespace(v=['aaaaaaaaaaaaaaaa']) %}{% for i in range(60) %}{% set n.v = [n.v, n.v] %}{% endfor %}{{ n.v }}", PRISM_E_UNSUPPORTED, "" },
    { "{% set n = namespace(v=['aaaaaaaaaaaaaaaa']) %}{% for i in range(60) %}{% set n.v = [n.v, n.v] %}{% endfor %}{{ n.v == n.v }}", PRISM_E_UNSUPPORTED, "" },
    { "{% macro m(n) %}{% if n > 0 %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(15) }}{{ m(20) }}", PRISM_E_UNSUPPORTED, "" },
};

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void run(const char *source, struct prism_error *err, enum prism_status *st)
{
    struct prism_chat_input in = chat_input(source);
    struct prism_chat_text out;

    *err = (struct prism_error){ 0 };
    *st = prism_chat_run(&in, &out, err);
    prism_chat_text_free(&out);
}

/* The bound on time is a hundred times what they take, sanitizers apart. */
static void test_endless(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(small); i++) {
        struct prism_error err;
        enum prism_status st;
        double begin = seconds();
        run(small[i].source, &err, &st);
        if (st != small[i].status || !strstr(err.text, small[i].expected) || !strstr(err.text, "chat template, line "))
            fail_msg("%s\nexpected: %d, \"%s\"\nfound:    %d, \"%s\"", small[i].source, (int)small[i].status, small[i].expected, (int)st, err.text);
        if (!(seconds() - begin <= 20))
            fail_msg("%s\ntook %.1f s", small[i].source, seconds() - begin);
    }
}

/* ---- brackets inside brackets ---- */

/* prefix, `open` n times, middle, `close` n times. */
struct nesting {
    const char *prefix, *open, *middle, *close, *suffix;
};
static const struct nesting nestings[] = {
    { "{{ ", "(", "1", ")", " }}" },
    { "{{ ", "[", "1", "]", " }}" },
    { "{{ ", "{1:", "1", "}", " }}" },
    { "{{ ", "-", "1", "", " }}" },
    { "{{ ", "not ", "1", "", " }}" },
    { "{{ ", "1 + (", "1", ")", " }}" },
    { "{{ ", "1 if (", "1", ")", " }}" },
    { "{{ ", "1 if 0 else ", "1", "", " }}" },
    { "{{ ", "messages[", "0", "]", " }}" },
    { "{{ ", "messages[1:", "0", "]", " }}" },
    { "{{ ", "f(", "1", ")", " }}" },
    { "{{ ", "f(a=", "1", ")", " }}" },
    { "{{ ", "1|default(", "1", ")", " }}" },
    { "{{ ", "1 is eq(", "1", ")", " }}" },
    { "{{ ", "1 or 2 and 3 == 4 + 5 ~ 6 * (", "1", ")", " }}" },
    { "", "{% if 1 %}", "1", "{% endif %}", "" },
    { "", "{% if 0 %}{% else %}", "1", "{% endif %}", "" },
    { "", "{% for i in [1] %}", "1", "{% endfor %}", "" },
    { "", "{% for i in [] %}{% else %}", "1", "{% endfor %}", "" },
    { "", "{% set x %}", "1", "{% endset %}", "" },
    { "", "{% filter upper %}", "1", "{% endfilter %}", "" },
    { "", "{% generation %}", "1", "{% endgeneration %}", "" },
    { "", "{% macro m() %}", "1", "{% endmacro %}", "" },
    { "", "{% if (", "1", ") %}{% endif %}", "" },
};

static char *nest(const struct nesting *n, size_t depth)
{
    size_t open = strlen(n->open), close = strlen(n->close);
    char *text = malloc(strlen(n->prefix) + strlen(n->middle) + strlen(n->suffix) + depth * (open + close) + 1), *at = text;

    assert_non_null(text);
    at = stpcpy(at, n->prefix);
    for (size_t i = 0; i < depth; i++)
        at = stpcpy(at, n->open);
    at = stpcpy(at, n->middle);
    for (size_t i = 0; i < depth; i++)
        at = stpcpy(at, n->close);
    stpcpy(at, n->suffix);
    return text;
}

static void test_nesting(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(nestings); i++) {
        struct prism_error err;
        enum prism_status st;
        char *deep = nest(&nestings[i], 20000), *shallow = nest(&nestings[i], 8);
        run(deep, &err, &st);
        if ((st != PRISM_E_UNSUPPORTED && st != PRISM_E_FORMAT) || !strstr(err.text, "line 1: "))
            fail_msg("%s...: %d, %s", nestings[i].open, (int)st, err.text);
        run(shallow, &err, &st);
        if (st == PRISM_E_UNSUPPORTED)
            fail_msg("%s: %s", shallow, err.text);
        free(deep);
        free(shallow);
    }
}

/* Chains are no nesting: a thousand operands, suffixes, branches, statements. */
static void test_chains(void **state)
{
    static const struct nesting chains[] = {
        { "{{ ", "1 + ", "1", "", " }}" },       { "{{ ", "'a' ~ ", "1", "", " }}" },     { "{{ ", "0 or ", "1", "", " }}" },
        { "{{ ", "1 < ", "1", "", " }}" },       { "{{ 'a'", "|upper", "", "", " }}" },   { "{{ 'a'", ".strip()", "", "", " }}" },
        { "{{ 'a'", "[0]", "", "", " }}" },      { "{{ [", "1, ", "1", "", "] }}" },      { "", "{{ 1 }}", "", "", "" },
        { "{% if 0 %}", "{% elif 0 %}", "", "", "{% endif %}" },
        { "", "{% set x = 1 %}", "", "", "" },   { "", "{# c #}", "", "", "" },           { "{{ 'a'", " 'b'", "", "", " }}" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(chains); i++) {
        struct prism_error err;
        enum prism_status st;
        char *text = nest(&chains[i], 1000);
        run(text, &err, &st);
        if (st)
            fail_msg("%s: %s", chains[i].open, err.text);
        free(text);
    }
}

/* ---- sizes ---- */

static void test_template_size(void **state)
{
    size_t n = PRISM_CHAT_MAX_TEMPLATE + 1;
    char *text = malloc(n + 1);
    struct prism_error err = { 0 };
    struct prism_chat_text out;

    (void)state;
    assert_non_null(text);
    memset(text, 'x', n);
    text[n] = 0;
    struct prism_chat_input in = chat_input(text);
    assert_int_equal(prism_chat_run(&in, &out, &err), PRISM_E_UNSUPPORTED);
    assert_string_equal(err.text, "chat template, line 1: expected a template of at most 1048576 bytes, found 1048577");
    in.n_text--;
    assert_int_equal(prism_chat_run(&in, &out, &err), PRISM_OK);
    assert_int_equal(out.n, in.n_text);
    prism_chat_text_free(&out);
    free(text);
}

/* A document of 8 MiB passes through what templates do with it, and is there once. */
static void test_long_document(void **state)
{
    static const char source[] = "{% for m in messages %}{% set c = m['content']|trim %}{{ '<|' + m.role + '|>' + c + '<|end|>\n' }}{% endfor %}";
    size_t n = (size_t)8 << 20;
    char *text = malloc(n);
    struct prism_chat_input in = chat_input(source);
    struct prism_chat_text out;
    struct prism_error err = { 0 };

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < n; i++)
        text[i] = "a document "[i % 11];
    text[n - 1] = '.';
    in.messages = &(struct prism_message){ "user", text, n };
    in.n_messages = 1;
    if (prism_chat_run(&in, &out, &err))
        fail_msg("%s", err.text);
    assert_int_equal(out.n, n + strlen("<|user|><|end|>\n"));
    assert_memory_equal(out.p + 8, text, n);
    assert_false(out.user[7]);
    assert_true(out.user[8] && out.user[8 + n - 1]);
    assert_false(out.user[8 + n]);
    prism_chat_text_free(&out);
    free(text);
}

/* ---- stack ---- */

enum { STACK = 1 << 20, LIBRARY_STACK = PRISM_MIN_STACK };

static void *call(void *source)
{
    struct prism_error err;
    enum prism_status st;
    run(source, &err, &st);
    return NULL;
}

static size_t stack_used(char *source)
{
    uint8_t *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_t attr;
    pthread_t thread;
    size_t untouched = 0;

    assert_true(stack != MAP_FAILED);
    memset(stack, 0x5a, STACK);
    pthread_attr_init(&attr);
    assert_int_equal(pthread_attr_setstack(&attr, stack, STACK), 0);
    assert_int_equal(pthread_create(&thread, &attr, call, source), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
    while (untouched < STACK && stack[untouched] == 0x5a)
        untouched++;
    munmap(stack, STACK);
    return STACK - untouched;
}

static void check_stack(char *source, const char *what)
{
    size_t used = stack_used(source);
    if (used > LIBRARY_STACK)
        fail_msg("%s: %zu bytes of stack, documented %d", what, used, LIBRARY_STACK);
}

/* As deep as it goes, in PRISM_MIN_STACK: the deepest that still renders, and what is refused. */
static void test_stack(void **state)
{
    (void)state;
    if (PRISM_RED_ZONE) /* sanitizers pad every frame */
        skip();
    for (size_t i = 0; i < COUNT(nestings); i++)
        for (size_t depth = 20; depth <= 120; depth += 5) {
            char *text = nest(&nestings[i], depth);
            check_stack(text, nestings[i].open);
            free(text);
        }
    for (size_t i = 0; i < COUNT(small); i++)
        if (strstr(small[i].expected, "nested")) {
            char *text = strdup(small[i].source);
            check_stack(text, text);
            free(text);
        }
    char loops[] = "{% macro m(n) %}{% for i in [1] %}{% if 1 %}{% set x %}{% filter trim %}{{ 'a' ~ [{'k': m(n=m)}][0]['k']|trim|default('x') + 'b' }}"
                   "{% endfilter %}{% endset %}{% endif %}{% endfor %}{% endmacro %}{{ m(1) }}";
    check_stack(loops, "a macro through everything");
}

/* Should a limit be missing, this program pays for it, and not the machine. Sanitizers reserve terabytes of addresses. */
static void limit_myself(void)
{
    const struct rlimit memory = { (rlim_t)2 << 30, (rlim_t)2 << 30 }, time = { PRISM_RED_ZONE ? 600 : 15, RLIM_INFINITY };

    if (!PRISM_RED_ZONE)
        setrlimit(RLIMIT_AS, &memory);
    setrlimit(RLIMIT_CPU, &time);
}

int main(void)
{
    limit_myself();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endless),       cmocka_unit_test(test_nesting),       cmocka_unit_test(test_chains),
        cmocka_unit_test(test_template_size), cmocka_unit_test(test_long_document), cmocka_unit_test(test_stack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
