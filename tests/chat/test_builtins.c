/* test_builtins.c - filters, tests, methods and indexing in chat templates. The expected texts are those of Python's jinja2 3.1 in the
 * environment of the transformers library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/chat_case.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const struct chat_text_case builtins_cases[] = {
    { "{{ {'a': 1}['items']()|list }} {{ {'a': 1}['get']('a') }} {{ 'ab'['upper']() }}", "[('a', 1)] 1 AB" },
    { "{{ ['b', 'A', 'a', 'B']|sort }} {{ ['b', 'A', 'a', 'B']|sort(reverse=true) }} {{ [[1, 'b'], [1, 'a'], [0, 'c']]|sort }}",
      "['A', 'a', 'b', 'B'] ['b', 'B', 'A', 'a'] [[0, 'c'], [1, 'a'], [1, 'b']]" },
    { "{{ -5|string|length }} {{ -2|abs + 1 }} {{ - 3 ~ 'a' }} {{ -4 is even }}", "2 3 -3a True" },
    { "{{ '\\u00a0x\\u3000\\t'|trim }}|{{ '\\u2028x\\x1f'.strip() }}|{{ '\\u200bx'|trim|length }}|{{ 'a\\u00a0b\\u2003c'.split() }}",
      "x|x|2|['a', 'b', 'c']" },
    { "{{ 'a' + 'b' }}|{{ 'a' ~ 1 ~ true ~ none }}", "ab|a1TrueNone" },
    { "{{ -3|abs }} {{ +3 }} {{ --3 }}", "3 3 3" },
    { "{{ not true }} {{ not undefinedthing }} {{ not x is defined }} {{ not 1 == 2 }}", "False True True True" },
    { "{{ messages[0].role }} {{ messages[0]['content'] }} {{ messages[-1].role }} {{ messages[9] }} {{ messages[0].nope }} {{"
      " messages[0]['nope'] is defined }}",
      "system Be brief. user   False" },
    { "{{ messages|length }} {{ messages[1].content|length }} {{ ''|length }} {{ nope|length }}", "4 15 0 0" },
    { "{{ messages[1].content|trim }}| {{ messages[1].content.strip() }}|{{ messages[1].content.lstrip() }}|{{"
      " messages[1].content.rstrip() }}|",
      "Hello, W\303\266rld!| Hello, W\303\266rld!|Hello, W\303\266rld! | Hello, W\303\266rld!|" },
    { "{{ 'xxaxx'.strip('x') }} {{ 'abcab'.strip('ba') }} {{ '\303\251a\303\251'.strip('\303\251') }} {{ 'xay'|trim('xy') }}",
      "a c a a" },
    { "{{ 'a,b,,c'.split(',') }} {{ 'a b  c '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ ' a b"
      " c'.split(none, 1) }} {{ ''.split(',') }} {{ ''.split() }}",
      "['a', 'b', '', 'c'] ['a', 'b', 'c'] ['a', 'b,c'] ['a,b', 'c'] ['a', 'b c'] [''] []" },
    { "{{ 'x'.split('x')[-1] }}|{{ 'a</think>b'.split('</think>')[-1].lstrip('\\n') }}", "|b" },
    { "{{ 'hello'[1] }} {{ 'hello'[-1] }} {{ 'hello'[1:3] }} {{ 'hello'[::-1] }} {{ 'hello'[:2] }} {{ 'hello'[-3:] }} {{"
      " 'hello'[10:] }}| {{ 'W\303\266rld'[1] }} {{ 'W\303\266rld'[2:] }} {{ 'hello'[4:1:-2] }}",
      "e o el olleh he llo | \303\266 rld ol" },
    { "{{ 'aXbXc'.replace('X', '-') }} {{ 'aaa'.replace('a', 'b', 2) }} {{ 'abc'|replace('b', '') }} {{ 'ab'.replace('', '-') }}"
      " {{ 'aaa'|replace('a','b',1) }}",
      "a-b-c bba ac -a-b- baa" },
    { "{{ 'aBc'.upper() }} {{ 'aBc'|lower }} {{ 'hello wORLD'|title }} {{ 'hELLO'|capitalize }} {{ '\303\274ber"
      " \303\204\303\226'|upper }} {{ '\303\234BER'.lower() }} {{ \"they're bill's\"|capitalize }}",
      "ABC abc Hello World Hello \303\234BER \303\204\303\226 \303\274ber They're bill's" },
    { "{{ 'hello'.startswith('he') }} {{ 'hello'.endswith(('x','lo')) }} {{ 'hello'.find('l') }} {{ 'hello'.find('z') }} {{"
      " 'banana'.count('an') }} {{ 'W\303\266rld'.find('r') }}",
      "True True 2 -1 2 2" },
    { "{{ 'a-{}-{}'.format(1, 'b') }} {{ '{1}{0}'.format('a','b') }} {{ '{x}'.format(x=3) }} {{ '{{}}'.format() }}", "a-1-b ba 3 {}" },
    { "{{ ', '.join(['a','b']) }} {{ ['a', 1, none]|join('-') }} {{ 'abc'|join(',') }} {{ []|join }} {{ messages|join(', ',"
      " attribute='role') }}",
      "a, b a-1-None a,b,c  system, user, assistant, user" },
    { "{{ [3,1,2]|sort }} {{ ['b','A','c']|sort }} {{ ['b','A','c']|sort(reverse=true) }} {{"
      " ['b','A','C']|sort(case_sensitive=true) }} {{ [1,2,3]|reverse|list }} {{ 'abc'|reverse }}",
      "[1, 2, 3] ['A', 'b', 'c'] ['c', 'b', 'A'] ['A', 'C', 'b'] [3, 2, 1] cba" },
    { "{{ [1,2,1,'a','A']|unique|list }} {{ [3,1,2]|min }} {{ [3,1,2]|max }} {{ [1,2]|first }} {{ [1,2]|last }} {{ []|first }} {{"
      " ''|first }}",
      "[1, 2, 'a'] 1 3 1 2  " },
    { "{{ {'b':1,'a':2}|dictsort }} {{ {'b':1,'a':2}|dictsort(by='value') }} {{ {'b':1,'a':2}|items|list }} {{"
      " {'b':1,'a':2}.items()|list }} {{ {'b':1}.keys()|list }} {{ {'b':1}.values()|list }} {{ {'a':1}|list }} {{ nope|items|list }}",
      "[('a', 2), ('b', 1)] [('b', 1), ('a', 2)] [('b', 1), ('a', 2)] [('b', 1), ('a', 2)] ['b'] [1] ['a'] []" },
    { "{{ {'a':1}.get('a') }} {{ {'a':1}.get('b') }} {{ {'a':1}.get('b', 'd') }} {{ {'a':1}['a'] }} {{ {'a':1}.a }} {{"
      " {'items':1}['items'] }} {{ {1:'x'}[1] }} {{ {true:'x'}[1] }}",
      "1 None d 1 1 1 x x" },
    { "{{ messages|selectattr('role','equalto','user')|list|length }} {{"
      " messages|selectattr('role','==','user')|map(attribute='content')|list }} {{"
      " messages|rejectattr('role','equalto','user')|map(attribute='role')|join(',') }} {{ [1,0,2]|select|list }} {{"
      " [1,2,3]|reject('eq', 2)|list }} {{ [1,2,3]|select('odd')|list }} {{ messages|selectattr('nope')|list }} {{"
      " messages|selectattr('nope', 'defined')|list }}",
      "2 [' Hello, W\303\266rld! ', 'x<|im_end|>y'] system,assistant [1, 2] [1, 3] [1, 3] [] []" },
    { "{{ ['a','b']|map('upper')|list }} {{ ['a ',' b']|map('trim')|join('|') }} {{ [{'a':{'b':1}}]|map(attribute='a.b')|list }}"
      " {{ messages|map(attribute='nope', default='d')|list }} {{ ['ab','c']|map('replace','a','x')|list }} {{ none|map('upper')|list }}",
      "['A', 'B'] a|b [1] ['d', 'd', 'd', 'd'] ['xb', 'c'] []" },
    { "{{ nope|default('d') }} {{ ''|default('d') }}| {{ ''|default('d', true) }} {{ none|default('d') }} {{ none|default('d',"
      " boolean=true) }} {{ nope|d }}| {{ nope|default }}|",
      "d | d None d | |" },
    { "{{ '3'|int }} {{ ' -12 '|int }} {{ 'x'|int }} {{ 'x'|int(7) }} {{ true|int }} {{ 5|int }} {{ none|int }} {{ [1]|string }}"
      " {{ 3|string + 'a' }} {{ none|string }} {{ true|string }}",
      "3 -12 0 7 1 5 0 [1] 3a None True" },
    { "{{ 'a\\nb\\n\\nc'|indent }}| {{ 'a\\nb'|indent(2, true) }} {{ 'a\\n\\nb'|indent(2, blank=true) }} {{ ''|indent(2,"
      " first=true) }}|{{ 'a\\n'|indent(2) }}|",
      "a\n    b\n\n    c|   a\n  b a\n  \n  b   |a\n|" },
    { "{{ {'a': [1, 'x\"y', none, true, {}], '\303\251': []}|tojson }} {{ 'a\\nb\\t<&>\\'\"\\\\/'|tojson }} {{"
      " '\\x01\\x7f'|tojson }} {{ {1: 2}|tojson }}",
      "{\"a\": [1, \"x\\\"y\", null, true, {}], \"\303\251\": []} \"a\\nb\\t<&>'\\\"\\\\/\" \"\\u0001\177\" {\"1\": 2}" },
    { "{{ {'a': [1, {'b': []}], 'c': {}}|tojson(indent=2) }} {{ []|tojson(indent=2) }} {{ [1,[2]]|tojson(indent=1) }} {{"
      " {'a':1}|tojson(separators=(',',':')) }} {{ {'a':1}|tojson(ensure_ascii=False) }}",
      "{\n  \"a\": [\n    1,\n    {\n      \"b\": []\n    }\n  ],\n  \"c\": {}\n} [] [\n 1,\n [\n  2\n ]\n] {\"a\":1} {\"a\": 1}" },
    { "{{ range(3)|list }} {{ range(1,4)|list }} {{ range(5,0,-2)|list }} {{ range(0)|list }} {{ range(3,1)|list }}",
      "[0, 1, 2] [1, 2, 3] [5, 3, 1] [] []" },
    { "{{ 1 is number }} {{ 'a' is string }} {{ none is none }} {{ true is boolean }} {{ 1 is boolean }} {{ [] is iterable }} {{"
      " 1 is iterable }} {{ {} is mapping }} {{ [] is sequence }} {{ 'a' is sequence }} {{ {} is sequence }} {{ nope is undefined"
      " }} {{ nope is iterable }} {{ nope is sequence }} {{ true is true }} {{ 1 is true }} {{ false is false }} {{ true is"
      " number }} {{ true is integer }} {{ 3 is integer }}",
      "True True True True False True False True True True True True True True True False True True False True" },
    { "{{ 4 is even }} {{ 4 is odd }} {{ 6 is divisibleby 3 }} {{ 6 is divisibleby(4) }} {{ 1 is eq 1 }} {{ 1 is not eq 1 }} {{"
      " 'a' is in ['a'] }} {{ 1 is sameas 1 }} {{ 'ab' is lower }} {{ 'AB' is upper }} {{ 2 is gt 1 }} {{ 2 is lt(1) }} {{ 1 is"
      " ne 2 }} {{ 2 is ge 2 }} {{ 2 is le 1 }}",
      "True False True False True False True True True True True False True True False" },
    { "{{ x is not defined and true }} {{ 'a' if x is defined else 'b' }} {{ 1 == 1 is true }} {{ 2 + 'ab'|length }} {{ 'a' ~ 'b"
      " '|trim ~ 'c' }} {{ -1|abs }} {{ (-1)|abs }}",
      "True b False 4 abc 1 1" },
    { "{{ namespace() is mapping }} {{ dict(a=1, b=2) }} {{ dict({'a':1}) }}", "False {'a': 1, 'b': 2} {'a': 1}" },
    { "{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}{{ tools is defined }}{{ messages[0] is mapping }}{{ messages is"
      " iterable }}{{ 'role' in messages[0] }}",
      "<s></s>TrueFalseTrueTrueTrue" },
    { "{{ messages[0].content.nope is defined }}{{ none.x is defined }}{{ [].nope is defined }}", "FalseFalseFalse" },
    { "{{ [[1,2],[3]][0][1] }} {{ [[1,2]].0.1 }} {{ {'a': [5]}.a[0] }} {{ 'a'.upper().lower().strip() }}", "2 2 5 a" },
    { "{{ 'line1\\nline2\\n'.splitlines() }} {{ 'a b'.title() }} {{ 'aB c'.capitalize() }}", "['line1', 'line2'] A B Ab c" },
    { "{{ messages|map(attribute='role')|join(' ')|upper|replace('SYSTEM', 's')|trim }}", "s USER ASSISTANT USER" },
    { "{{ '' is defined }} {{ 1 in (1,2) }} {{ none in [none] }} {{ [] == () }} {{ {} == [] }} {{ 'a' != 'b' }} {{ 1 != '1' }}",
      "True True True False False True True" },
    { "{{ messages | length > 3 and messages[0].role == 'system' }}", "True" },
    { "{{ ['a','b'] | join(', ') | length }} {{ ('a' ~ 'b') | upper }}", "4 AB" },
    { "{{ '\343\200\200x '|trim }}|{{ 'ab'.strip() }}", "x|ab" },
};

static void test_builtins(void **state)
{
    (void)state;
    chat_check_texts(builtins_cases, COUNT(builtins_cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_builtins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
