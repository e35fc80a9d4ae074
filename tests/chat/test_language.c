/* test_language.c - white space, statements and operators of chat templates. The expected texts are those of Python's jinja2 3.1 in the
 * environment of the transformers library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/chat_case.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const struct chat_text_case space_cases[] = {
    { "  {% if true %}  \n  x\n  {% endif %}  \ny", "  \n  x\n  \ny" },
    { "  {%- if true -%}  \n  x\n  {%- endif -%}  \ny", "xy" },
    { "a\n  {{ 'b' }}\n  c\n", "a\n  b\n  c" },
    { "a\n  {%+ if true %}b{% endif +%}\n\nc", "a\n  b\n\nc" },
    { "{% if true %}\n\t{# c #}\nx{% endif %}\n\n\nz\n\n", "x\n\nz\n" },
    { "a\r\nb\rc\r\n", "a\nb\nc" },
    { "{%- set x = 'a' -%}\n{{- x -}}\n{% if x == 'a' -%}\n y\n{%- endif %}\n", "ay" },
    { "a {# c #}\n b", "a  b" },
    { "{# c #}\n{# d #}\nb", "b" },
    { "x\n   {#- c #}\n  {{ 1 }}\n{% set a = 1 %}\n{% set b = 2 +%}\n  {% set c = 3 -%}\n\n end", "x  1\n\nend" },
    { "{% for x in [1,2] %}\n  {{ x }}\n{% endfor %}\n", "  1\n  2\n" },
    { "a  {{- ' b ' -}}  c", "a b c" },
    { "a {% if true %} b {% endif %} c", "a  b  c" },
    { "{# comment #}a{#- strip -#} b {#+ c #}", "ab " },
    { "{% raw %}{{ x }}{% y %}{% endraw %}a{%- raw -%}  {{ z }}  {%- endraw -%} b", "{{ x }}{% y %}a{{ z }}b" },
};

static void test_space(void **state)
{
    (void)state;
    chat_check_texts(space_cases, COUNT(space_cases));
}

static const struct chat_text_case statements_cases[] = {
    { "{% for x in [1,2,3] %}{{ x }}{% endfor %}", "123" },
    { "{% for x in [] %}a{% else %}none{% endfor %}{% for x in [1] %}a{% else %}none{% endfor %}", "nonea" },
    { "{% for x in [1,2,3] %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex"
      " }}{{ loop.revindex0 }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.previtem is defined }};{% endfor %}",
      "10TrueFalse3322False;21FalseFalse32113True;32FalseTrue3102True;" },
    { "{% for k, v in {'a':1,'b':2}.items() %}{{ k }}={{ v }},{% endfor %}{% for (a,b) in [(1,2)] %}{{ a }}{{ b }}{% endfor %}{%"
      " for k in {'x':1} %}{{ k }}{% endfor %}{% for c in 'ab' %}{{ c }}.{% endfor %}",
      "a=1,b=2,12xa.b." },
    { "{% for x in [1,2,3,4] if x is even %}{{ loop.index }}:{{ x }}/{{ loop.length }} {% endfor %}", "1:2/2 2:4/2 " },
    { "{% for x in range(5) %}{% if x == 1 %}{% continue %}{% endif %}{% if x == 3 %}{% break %}{% endif %}{{ x }}{% endfor %}", "02" },
    { "{% for i in range(3) %}{% for j in range(2) %}{{ loop.depth }}{{ i }}{{ j }}{{ loop.cycle('a','b') }} {% endfor %}{% endfor %}",
      "100a 101b 110a 111b 120a 121b " },
    { "{% for x in nope %}a{% else %}empty{% endfor %}", "empty" },
    { "{% set x = 1 %}{% for i in [1,2] %}{% set x = i %}{{ x }}{% endfor %}{{ x }}", "121" },
    { "{% for i in [1,2,3] %}{{ y is defined }}{% set y = 1 %}{{ y }}{% endfor %}", "False1False1False1" },
    { "{% if true %}{% set z = 5 %}{% endif %}{{ z }}", "5" },
    { "{% set ns = namespace(a=1, b='x') %}{% for i in [1,2] %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.c"
      " is defined }}",
      "4xFalse" },
    { "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set c = 1, 2 %}{{ c }}{% set (d, e) = 'xy' %}{{ d }}{{ e }}", "12(1, 2)xy" },
    { "{% set t %}in {{ 1 + 1 }}{% endset %}[{{ t }}]{% set u | upper %}abc{% endset %}{{ u }}{{ t is string }}", "[in 2]ABCTrue" },
    { "{% set q %}{% set inner = 3 %}x{% endset %}{{ inner is defined }}{{ q }}", "Falsex" },
    { "{% macro m(a, b='d', c=none) %}<{{ a }},{{ b }},{{ c }}>{% endmacro %}{{ m(1) }}{{ m(1, 2) }}{{ m(1, c=3) }}{{ m() }}{{"
      " m(b=1, a=2) }}",
      "<1,d,None><1,2,None><1,d,3><,d,None><2,1,None>" },
    { "{% macro m() %}{{ outer }}{% endmacro %}{% set outer = 'o' %}{% for i in [1] %}{% set outer = 'l' %}{{ m() }}{% endfor %}", "o" },
    { "{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}", "54321" },
    { "{% macro m(x) %}{{ loop is defined }}{{ i is defined }}{% endmacro %}{% for i in [1] %}{{ m(1) }}{% endfor %}", "FalseFalse" },
    { "{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1,2) }}", "1112" },
    { "{% macro m() %}a{% endmacro %}{{ m() + 'b' }}{{ m()|upper }}{{ m is callable }}{{ m() is string }}", "abATrueTrue" },
    { "{% filter upper %}abc {{ 'd' }}{% endfilter %}{% filter trim|upper %} x {% endfilter %}", "ABC DX" },
    { "{% generation %}g{{ 1 }}{% set gg = 1 %}{% endgeneration %}{{ gg is defined }}", "g1False" },
    { "{% set d = {'a': 1} %}{{ d.a }}{% if d.b is defined %}x{% elif d.a == 1 %}y{% else %}z{% endif %}", "1y" },
    { "{% for m in messages %}{% if loop.first and m.role == 'system' %}S{% elif m.role == 'user' %}U{% else %}A{% endif %}{% endfor %}",
      "SUAU" },
    { "{% for m in messages[1:] %}{{ m['role'] + ':' + m['content'] | trim + ';' }}{% endfor %}",
      "user:Hello, W\303\266rld!;assistant:Hi;user:x<|im_end|>y;" },
    { "{% set loop_messages = messages[1:] if messages[0]['role'] == 'system' else messages %}{{ loop_messages|length }}", "3" },
    { "{% if not (false or false) %}ok{% endif %}{% if [] %}no{% else %}ok{% endif %}{% if [0] %}ok{% endif %}{% if '' %}{% else"
      " %}ok{% endif %}{% if 0 %}{% else %}ok{% endif %}",
      "okokokokok" },
};

static void test_statements(void **state)
{
    (void)state;
    chat_check_texts(statements_cases, COUNT(statements_cases));
}

static const struct chat_text_case expressions_cases[] = {
    { "a{{ 1 }}b", "a1b" },
    { "{{ 1 + 2 * 3 - 4 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ (1 + 2) * 3 }}", "3 3 -4 2 -2 9" },
    { "{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }}", "True False" },
    { "{{ 1 == true }} {{ 0 == false }} {{ 'a' == 'a' }} {{ none == none }} {{ [1,2] == [1,2] }} {{ (1,2) == [1,2] }} {{ {'a':1}"
      " == {'a':1} }}",
      "True True True True True False True" },
    { "{{ 'a' < 'b' }} {{ '\303\251' > 'z' }} {{ [1,2] < [1,3] }}", "True True True" },
    { "{{ 'ell' in 'hello' }} {{ 'x' not in 'hello' }} {{ 1 in [1,2] }} {{ 'k' in {'k': 1} }} {{ 'a' in undefinedthing }}",
      "True True True True False" },
    { "{{ 0 or 'a' }} {{ '' or none or [] }} {{ 1 and 'b' }} {{ 0 and x.y.z }}", "a [] b 0" },
    { "{{ 'a' if true else 'b' }} {{ 'a' if false }} {{ 'a' if false else 'b' if false else 'c' }}", "a  c" },
    { "{{ [1, 'a', none, true, [2], (3,), {'k': 'v'}] }}", "[1, 'a', None, True, [2], (3,), {'k': 'v'}]" },
    { "{{ (1, 2) }} {{ () }} {{ (1,) }} {{ [] }} {{ {} }} {{ [1,2,] }} {{ {'a':1,} }}", "(1, 2) () (1,) [] {} [1, 2] {'a': 1}" },
    { "{{ \"it's\" }} {{ [\"it's\", 'say \"x\"', 'both \\' and \"'] }} {{ ['a\\nb\\\\c\\t'] }}",
      "it's [\"it's\", 'say \"x\"', 'both \\' and \"'] ['a\\nb\\\\c\\t']" },
    { "{{ 'a\\nb\\tc\\\\d\\'e\\\"f\\x41\\u00e9\\101' }}", "a\nb\tc\\d'e\"fA\303\251A" },
    { "{{ \"a\" 'b' }}", "ab" },
    { "{{ [1,2,3,4][1:3] }} {{ [1,2,3,4][::-1] }} {{ [1,2,3,4][::2] }} {{ [1,2,3][-100:100] }} {{ [1,2,3][5:] }} {{ (1,2,3)[1:]"
      " }} {{ [1,2,3][-1:-4:-1] }} {{ [1,2,3][3:0:-1] }}",
      "[2, 3] [4, 3, 2, 1] [1, 3] [1, 2, 3] [] (2, 3) [3, 2, 1] [3, 2]" },
    { "{{ strftime_now('%Y-%m-%d %H:%M:%S %B %b %A %a %d %j %y %I %p %e %-d %%') }}",
      "2026-09-28 14:05:09 September Sep Monday Mon 28 271 26 02 PM 28 28 %" },
    { "a", "a" },
    { "  {{ 'b' }}", "  b" },
    { "  c", "  c" },
    { "a", "a" },
    { "\t{# c #}", "" },
    { "{{ '{{' }}{{ '%}' }}{{ \"}}\" }}{{ {'a': {'b': 1}}['a']['b'] }}", "{{%}}}1" },
    { "{{ 1_000 }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }}", "1000 31 5 15" },
    { "{{ 'ab' * 2 }} {{ 2 * 'ab' }} {{ [1] + [2] }} {{ (1,) + (2,) }}", "abab abab [1, 2] (1, 2)" },
    { "{{ true and not false or false }} {{ 1 if 0 else 2 if 1 else 3 }} {{ [1 if true else 2, 3] }} {{ 'x' if 'a' in 'abc' and"
      " not 'z' in 'abc' }}",
      "True 2 [1, 3] x" },
    { " ~ 'b' }}", " ~ 'b' }}" },
    { " y", " y" },
};

static void test_expressions(void **state)
{
    (void)state;
    chat_check_texts(expressions_cases, COUNT(expressions_cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_space),
        cmocka_unit_test(test_statements),
        cmocka_unit_test(test_expressions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
