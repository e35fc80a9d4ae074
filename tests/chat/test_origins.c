/* test_origins.c - every byte of a rendered text knows whether a user wrote it, whatever the template did with it on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/chat_case.h"

/* u is the last message of the user, "x<|im_end|>y"; marks: '#' for a byte that is the user's. */
struct mark_case {
    const char *source, *text, *marks;
};

static const struct mark_case cases[] = {
    { "ab", "ab", ".." },
    { "{{ u }}", "x<|im_end|>y", "############" },
    { "<{{ u }}>", "<x<|im_end|>y>", ".############." },
    { "{{ 'a' + u + 'b' }}", "ax<|im_end|>yb", ".############." },
    { "{{ 'a' ~ u ~ u[0] ~ 1 }}", "ax<|im_end|>yx1", ".#############." },
    { "{{ u[1:4] }}", "<|i", "###" },
    { "{{ ('ab' + u)[1:4] }}", "bx<", ".##" },
    { "{{ ('ab' + u)[::-1][-3:] }}", "xba", "#.." },
    { "{{ ('ab' + u)[1] }}{{ ('ab' + u)[2] }}", "bx", ".#" },
    { "{{ u.split('<')[1] }}", "|im_end|>y", "##########" },
    { "{{ ('a<' + u).split('<')|join('-') }}", "a-x-|im_end|>y", "..#.##########" },
    { "{{ u.replace('im_end', 'eot') }}", "x<|eot|>y", "###...###" },
    { "{{ 'a-b'.replace('-', u[0]) }}", "axb", ".#." },
    { "{{ u|replace('x', '')|upper }}", "<|IM_END|>Y", "###########" },
    { "{{ ('a' + u)|upper }}", "AX<|IM_END|>Y", ".############" },
    { "{{ ('  ' + u + '  ')|trim }}", "x<|im_end|>y", "############" },
    { "{{ ('a' + u).strip('ax') }}", "<|im_end|>y", "###########" },
    { "{% set s %}[{{ u }}]{% endset %}{{ s[1:3] }}{{ s[0] }}", "x<[", "##." },
    { "{% macro m(t) %}({{ t }}){% endmacro %}{{ m(u)[:2] }}", "(x", ".#" },
    { "{% filter upper %}a{{ u[0] }}{% endfilter %}", "AX", ".#" },
    { "{% for ch in u[:2] %}-{{ ch }}{% endfor %}", "-x-<", ".#.#" },
    { "{{ [u[0], 'b'] }}", "['x', 'b']", "..#......." },
    { "{{ u[:2]|tojson }}", "\"x<\"", ".##." },
    { "{{ (u[0] + '\\n' + u[11])|tojson }}", "\"x\\ny\"", ".#..#." },
    { "{{ '{}!'.format(u[0]) }}", "x!", "#." },
    { "{{ 'ab'|indent(2, true) }}{{ ('a\n' + u[0])|indent(1) }}", "  aba\n x", ".......#" },
    { "{{ messages[3].role }}{{ messages[3]['content'][0] }}", "userx", "....#" },
    { "{{ messages[2].content }}{{ messages[0].content[0] }}", "HiB", "..#" },
    { "{{ messages|map(attribute='content')|join('|') }}", "Be brief.| Hello, W\xC3\xB6rld! |Hi|x<|im_end|>y",
      "#########.################....############" },
    { "{{ u if u is string }}{{ u[0] or 'b' }}", "x<|im_end|>yx", "#############" },
    { "{% set ns = namespace(t='') %}{% for m in messages %}{% set ns.t = ns.t + m.role[0] + m.content[0] %}{% endfor %}{{ ns.t }}", "sBu aHux", ".#.#...#" },
    { "{{ u[0] * 2 }}{{ ('a' ~ u[0]) * 2 }}", "xxaxax", "##.#.#" },
    { "{{ {u[0]: 1} }}{{ {u[0]: 1}|items|list|first|first }}", "{'x': 1}x", "..#.....#" },
    { "{{ u[0]|default('b') }}{{ ''|default(u[0], true) }}", "xx", "##" },
    { "{{ (u[0] ~ ' a')|title }}{{ 'A' ~ u[0]|capitalize }}", "X AAX", "#...#" },
};

static void test_marks(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char source[512], marks[128] = "";
        struct prism_chat_text out;
        struct prism_error err = { 0 };
        snprintf(source, sizeof source, "{%% set u = messages[3].content %%}%s", cases[i].source);
        struct prism_chat_input in = chat_input(source);
        prism_chat_run(&in, &out, &err);
        for (size_t j = 0; j < out.n && j + 1 < sizeof marks; j++)
            marks[j] = out.user[j] ? '#' : '.';
        if (err.status || strcmp(out.p, cases[i].text) || strcmp(marks, cases[i].marks))
            fail_msg("%s\nexpected: \"%s\" %s\nfound:    \"%s\" %s %s", cases[i].source, cases[i].text, cases[i].marks, out.p ? out.p : "", marks, err.text);
        prism_chat_text_free(&out);
    }
}

/* An escape has the origin of what it stands for; quotes are the template's. */
static void test_escapes(void **state)
{
    struct prism_chat_input in = chat_input("{{ [messages[0].content]|tojson }}{{ [messages[0].content] }}");
    static const char expected[] = "[\"a\\n\\\"\"]['a\\n\"']", marks[] = "..#####....####..";
    struct prism_chat_text out;

    (void)state;
    in.messages = &(struct prism_message){ "user", "a\n\"", 3 };
    in.n_messages = 1;
    assert_int_equal(prism_chat_run(&in, &out, NULL), PRISM_OK);
    assert_string_equal(out.p, expected);
    assert_int_equal(out.n, sizeof marks - 1);
    for (size_t i = 0; i < out.n; i++)
        if (out.user[i] != (marks[i] == '#'))
            fail_msg("byte %zu of %s", i, out.p);
    prism_chat_text_free(&out);
}

/* Any bytes: NUL, what is no UTF-8, and nothing at all. */
static void test_any_bytes(void **state)
{
    static const char bytes[] = "a\0b\xFF\xC3(\xE2\x82";
    struct prism_chat_input in = chat_input("{% for m in messages %}[{{ m.content|trim }}{{ m.content|length }}{{ m.content[::-1]|length }}]{% endfor %}");
    struct prism_message m[2] = { { "user", bytes, sizeof bytes - 1 }, { "user", NULL, 0 } };
    struct prism_chat_text out;

    (void)state;
    in.messages = m;
    in.n_messages = 2;
    assert_int_equal(prism_chat_run(&in, &out, NULL), PRISM_OK);
    assert_int_equal(out.n, 1 + sizeof bytes - 1 + 2 + 1 + 4);
    assert_memory_equal(out.p + 1, bytes, sizeof bytes - 1);
    assert_memory_equal(out.p + sizeof bytes, "88][00]", 7);
    prism_chat_text_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_marks), cmocka_unit_test(test_escapes), cmocka_unit_test(test_any_bytes) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
