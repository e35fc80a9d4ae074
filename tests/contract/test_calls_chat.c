/* test_calls_chat.c - what prism.h says about metadata, chat templates and messages. The other small functions: test_calls.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "tests/support/engine_test.h"

static prism_model *model; /* without a chat template */

/* ---- metadata ---- */

static void assert_meta(const prism_model *m, const char *key, const char *expected)
{
    char all[256], part[8];
    int64_t n = (int64_t)strlen(expected);

    memset(all, 'x', sizeof all);
    assert_int_equal(prism_model_meta(m, key, all, sizeof all), n);
    assert_string_equal(all, expected);
    assert_int_equal(prism_model_meta(m, key, NULL, 0), n);
    memset(part, 'x', sizeof part);
    assert_int_equal(prism_model_meta(m, key, part, 4), n);
    assert_int_equal(strlen(part), n < 3 ? n : 3);
    assert_memory_equal(part, expected, n < 3 ? (size_t)n : 3);
    assert_true(part[4] == 'x');
    assert_int_equal(prism_model_meta(m, key, part, 1), n);
    assert_true(part[0] == 0);
}

static void test_meta(void **state)
{
    struct tiny_model t = tiny_llama();
    struct gb *g = tiny_build(&t);
    static const uint8_t u8 = 200, flags[2] = { 1, 0 };
    static const int8_t i8 = -5;
    static const int16_t i16 = -300;
    static const int32_t i32[3] = { 1, -2, 3 };
    static const int64_t i64 = INT64_MIN;
    static const double f64 = 0.1;
    prism_model *m;
    char text[8] = "xxxxxxx";

    (void)state;
    gb_set(g, "x.u8", 0, &u8, 1);
    gb_set(g, "x.i8", 1, &i8, 1);
    gb_u16(g, "x.u16", 60000);
    gb_set(g, "x.i16", 3, &i16, 2);
    gb_u32(g, "x.u32", UINT32_MAX);
    gb_i32(g, "x.i32", INT32_MIN);
    gb_f32(g, "x.f32", 0.1f);
    gb_bool(g, "x.bool", 1);
    gb_str(g, "x.str", "a \"text\"\n");
    gb_str(g, "x.empty", "");
    gb_u64(g, "x.u64", UINT64_MAX);
    gb_set(g, "x.i64", 11, &i64, 8);
    gb_set(g, "x.f64", 12, &f64, 8);
    gb_array(g, "x.list", 5, 3, i32, sizeof i32);
    gb_array(g, "x.flags", 7, 2, flags, 2);
    gb_array(g, "x.none", 5, 0, NULL, 0);
    gb_strings(g, "x.texts", (const char *const[]){ "a", "b\"\\\n" }, 2);
    assert_int_equal(prism_model_load(gb_write(g, "meta.gguf"), NULL, &m, NULL), PRISM_OK);
    gb_free(g);
    assert_meta(m, "x.u8", "200");
    assert_meta(m, "x.i8", "-5");
    assert_meta(m, "x.u16", "60000");
    assert_meta(m, "x.i16", "-300");
    assert_meta(m, "x.u32", "4294967295");
    assert_meta(m, "x.i32", "-2147483648");
    assert_meta(m, "x.f32", "0.100000001");
    assert_meta(m, "x.bool", "true");
    assert_meta(m, "x.str", "a \"text\"\n");
    assert_meta(m, "x.empty", "");
    assert_meta(m, "x.u64", "18446744073709551615");
    assert_meta(m, "x.i64", "-9223372036854775808");
    assert_meta(m, "x.f64", "0.10000000000000001");
    assert_meta(m, "x.list", "[1, -2, 3]");
    assert_meta(m, "x.flags", "[true, false]");
    assert_meta(m, "x.none", "[]");
    assert_meta(m, "x.texts", "[\"a\", \"b\\\"\\\\\\n\"]");
    assert_meta(m, "general.architecture", "llama");
    assert_int_equal(prism_model_meta(m, "x.absent", text, sizeof text), -1);
    assert_string_equal(text, "");
    assert_int_equal(prism_model_meta(m, NULL, text, sizeof text), -1);
    assert_int_equal(prism_model_meta(m, "x.absent", NULL, 0), -1);
    prism_model_free(m);
}

/* ---- chat ---- */

static void test_chat_templates(void **state)
{
    struct tiny_model t = tiny_llama();
    struct gb *g = tiny_build(&t);
    static char huge[(1 << 20) + 2];
    prism_model *m;

    (void)state;
    memset(huge, 'x', sizeof huge - 1);
    gb_str(g, "tokenizer.chat_template", "default one");
    gb_str(g, "tokenizer.chat_template.tool_use", "for tools");
    gb_str(g, "tokenizer.chat_template.huge", huge);
    gb_set(g, "tokenizer.chat_template.nul", 8, "\3\0\0\0\0\0\0\0a\0b", 11);
    gb_u32(g, "tokenizer.chat_template.number", 1);
    gb_strings(g, "tokenizer.chat_templates", (const char *const[]){ "tool_use" }, 1);
    assert_int_equal(prism_model_load(gb_write(g, "templates.gguf"), NULL, &m, NULL), PRISM_OK);
    gb_free(g);
    assert_string_equal(prism_model_chat_template(m, NULL), "default one");
    assert_string_equal(prism_model_chat_template(m, "tool_use"), "for tools");
    assert_string_equal(prism_model_chat_template(m, "tool-use"), "for tools");
    static const char *const none[] = { "huge", "nul", "number", "tool", "tool_use_", "rag", "s" };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_null(prism_model_chat_template(m, none[i]));
    prism_model_free(m);
    assert_null(prism_model_chat_template(model, NULL));
    assert_null(prism_model_chat_template(model, "tool_use"));
}

static void test_chat_lengths(void **state)
{
    static const struct prism_message messages[2] = { { "system", "Be\0brief", 8 }, { "user", "Hello", 5 } };
    struct prism_chat_params p = { .template_text = "chatml" };
    char all[128], part[128];
    int32_t ids[128], some[128];
    size_t n, n_all, n_open;
    static const char expected[] = "<|im_start|>system\nBe\0brief<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n";

    (void)state;
    assert_int_equal(prism_chat_render(model, messages, 2, &p, NULL, 0, &n_all, NULL), PRISM_OK);
    assert_int_equal(n_all, sizeof expected - 1);
    assert_int_equal(prism_chat_render(model, messages, 2, &p, all, sizeof all, &n, NULL), PRISM_OK);
    assert_int_equal(n, n_all);
    assert_memory_equal(all, expected, n);
    memset(part, 'x', sizeof part);
    assert_int_equal(prism_chat_render(model, messages, 2, &p, part, 5, &n, NULL), PRISM_OK);
    assert_int_equal(n, n_all);
    assert_memory_equal(part, "<|im_xxx", 8);
    p.no_generation_prompt = true;
    assert_int_equal(prism_chat_render(model, messages, 2, &p, NULL, 0, &n_open, NULL), PRISM_OK);
    assert_int_equal(n_open, n_all - strlen("<|im_start|>assistant\n"));

    assert_int_equal(prism_chat_tokenize(model, messages, 2, &p, NULL, 0, &n_all, NULL), PRISM_OK);
    assert_true(n_all > 10 && n_all < 128);
    assert_int_equal(prism_chat_tokenize(model, messages, 2, &p, ids, 128, &n, NULL), PRISM_OK);
    assert_int_equal(n, n_all);
    memset(some, 0xA5, sizeof some);
    assert_int_equal(prism_chat_tokenize(model, messages, 2, &p, some, 3, &n, NULL), PRISM_OK);
    assert_int_equal(n, n_all);
    assert_memory_equal(some, ids, 3 * sizeof *ids);
    assert_int_equal(some[3], (int32_t)0xA5A5A5A5);
}

/* What a template sees of the parameters: thinking in three states, today, and the clock where nothing is said. */
static void test_chat_params(void **state)
{
    static const struct prism_message hello = { "user", "Hello", 5 };
    static const char *const seen[] = { "False", "True True", "True False" };
    struct prism_chat_params p = { .template_text = "{{ enable_thinking is defined }}{{ ' ' ~ enable_thinking if enable_thinking is defined }}" };
    char text[64];
    size_t n;

    (void)state;
    for (int i = 0; i < 3; i++) {
        p.thinking = (enum prism_thinking)i;
        assert_int_equal(prism_chat_render(model, &hello, 1, &p, text, sizeof text, &n, NULL), PRISM_OK);
        assert_int_equal(n, strlen(seen[i]));
        assert_memory_equal(text, seen[i], n);
    }
    p = (struct prism_chat_params){ .template_text = "{{ strftime_now('%Y-%m-%d %H:%M:%S %a %j') }}" };
    static const struct { int64_t now; const char *expected; } dates[] = {
        { 1, "1970-01-01 00:00:01 Thu 001" },           { -1, "1969-12-31 23:59:59 Wed 365" },
        { 951782400, "2000-02-29 00:00:00 Tue 060" },   { 1735603200, "2024-12-31 00:00:00 Tue 366" },
        { 4107542399, "2100-02-28 23:59:59 Sun 059" },  { 1790604309, "2026-09-28 14:05:09 Mon 271" },
    };
    for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) {
        p.now = dates[i].now;
        assert_int_equal(prism_chat_render(model, &hello, 1, &p, text, sizeof text, &n, NULL), PRISM_OK);
        text[n] = 0;
        assert_string_equal(text, dates[i].expected);
    }
    p.now = INT64_MIN;
    assert_int_equal(prism_chat_render(model, &hello, 1, &p, text, sizeof text, &n, NULL), PRISM_OK);
    p.now = INT64_MAX;
    assert_int_equal(prism_chat_render(model, &hello, 1, &p, text, sizeof text, &n, NULL), PRISM_OK);
    p = (struct prism_chat_params){ .template_text = "{{ strftime_now('%s')|length }}" };
    assert_int_equal(prism_chat_render(model, &hello, 1, &p, text, sizeof text, &n, NULL), PRISM_E_UNSUPPORTED);
    p.template_text = "{{ strftime_now('%Y')|int >= 2026 }}";
    assert_int_equal(prism_chat_render(model, &hello, 1, &p, text, sizeof text, &n, NULL), PRISM_OK);
    assert_memory_equal(text, "True", 4);
}

static int set_up(void **state)
{
    struct tiny_model t = tiny_llama();

    *state = model = load_tiny(&t, "calls.gguf");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meta),
        cmocka_unit_test(test_chat_templates),
        cmocka_unit_test(test_chat_lengths),
        cmocka_unit_test(test_chat_params),
    };
    return cmocka_run_group_tests_name("metadata and chat", tests, set_up, free_group_model);
}
