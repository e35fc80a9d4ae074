/* test_utf8.c - what counts as well-formed, and the stream that never splits a character. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "src/base/utf8.h"

static void every_code_point_is_well_formed(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        char p[4];
        unsigned n = prism_utf8_encode(c, p), part = 9;
        bool surrogate = c >= 0xD800 && c <= 0xDFFF;
        assert_int_equal(n, c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4);
        assert_int_equal(prism_utf8_length(p, n, NULL), surrogate ? 0 : n);
        if (!surrogate)
            assert_int_equal(prism_utf8_decode(p, n), c);
        if (n > 1 && !surrogate) { /* cut short: all of it could go on */
            assert_int_equal(prism_utf8_length(p, n - 1, &part), 0);
            assert_int_equal(part, n - 1);
        }
    }
}

static void ill_formed_sequences(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        unsigned part;
    } rows[] = {
        {"\x80", 1, 1},         {"\xBF" "a", 2, 1},         {"\xC0\x80", 2, 1},     {"\xC1\xBF", 2, 1},
        {"\xE0\x9F\xBF", 3, 1}, {"\xED\xA0\x80", 3, 1},     {"\xE2\x82" "a", 3, 2}, {"\xF0\x8F\xBF\xBF", 4, 1},
        {"\xF4\x90\x80\x80", 4, 1}, {"\xF5\x80\x80\x80", 4, 1}, {"\xFF", 1, 1},     {"\xF0\x9F\xA6" "a", 4, 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned part = 0;
        assert_int_equal(prism_utf8_length(rows[i].bytes, rows[i].n, &part), 0);
        assert_int_equal(part, rows[i].part);
    }
}

static void a_stream_replaces_what_is_invalid(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"plain", "plain"},
        {"\xC3\xA9\xF0\x9F\xA6\x80", "\xC3\xA9\xF0\x9F\xA6\x80"},
        {"a\xFF" "b", "a" PRISM_REPLACEMENT "b"},
        {"\xE2\x82" "b", PRISM_REPLACEMENT "b"},                           /* one for a sequence that breaks off */
        {"\xED\xA0\x80", PRISM_REPLACEMENT PRISM_REPLACEMENT PRISM_REPLACEMENT},
        {"x\xF0\x9F\xA6", "x" PRISM_REPLACEMENT},                          /* flushed at the end */
        {"\xF0\x9F\xF0\x9F\xA6\x80", PRISM_REPLACEMENT "\xF0\x9F\xA6\x80"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int by_byte = 0; by_byte < 2; by_byte++) {
            struct prism_utf8 s = {0};
            char out[64];
            size_t n = 0, len = strlen(rows[i].in);
            for (size_t k = 0; by_byte && k < len; k++)
                n += prism_utf8_push(&s, rows[i].in + k, 1, false, out + n);
            if (!by_byte)
                n += prism_utf8_push(&s, rows[i].in, len, false, out + n);
            n += prism_utf8_push(&s, "", 0, true, out + n);
            assert_int_equal(n, strlen(rows[i].out));
            assert_memory_equal(out, rows[i].out, n);
            assert_int_equal(s.n_held, 0);
        }
}

static void only_what_can_go_on_is_held(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t out;
        unsigned held;
    } rows[] = {{"a\x80", 4, 0}, {"a\xC1", 4, 0}, {"a\xFF", 4, 0}, {"a\xC2", 1, 1}, {"a\xE0\xA0", 1, 2}, {"a\xF4\x8F\xBF", 1, 3}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct prism_utf8 s = {0};
        char out[32];
        assert_int_equal(prism_utf8_push(&s, rows[i].in, strlen(rows[i].in), false, out), rows[i].out);
        assert_int_equal(s.n_held, rows[i].held);
    }
}

/* Random bytes that love lead and continuation bytes, in random portions: each portion comes out well-formed and within the
 * promised room, and the portions do not change the whole. */
static void portions_do_not_matter(void **state)
{
    (void)state;
    static const uint8_t liked[] = {'a', 0x80, 0xBF, 0xC3, 0xE0, 0xA0, 0xE2, 0xED, 0xF0, 0x90, 0xF4, 0xFF};
    uint32_t r = 1;
    for (int round = 0; round < 3000; round++) {
        char in[40], whole[3 * 44], pieces[3 * 44];
        for (size_t i = 0; i < sizeof in; i++)
            in[i] = (char)liked[((r = r * 1664525u + 1013904223u) >> 16) % sizeof liked];
        struct prism_utf8 a = {0}, b = {0};
        size_t n = prism_utf8_push(&a, in, sizeof in, true, whole), m = 0;
        for (size_t at = 0, k; at < sizeof in; at += k) {
            k = 1 + ((r = r * 1664525u + 1013904223u) >> 16) % 6;
            k = k < sizeof in - at ? k : sizeof in - at;
            char *out = malloc(3 * (k + 4)); /* the sanitizer watches the bound */
            assert_non_null(out);
            size_t w = prism_utf8_push(&b, in + at, k, at + k == sizeof in, out);
            for (size_t i = 0, len; i < w; i += len)
                assert_int_not_equal(len = prism_utf8_length(out + i, w - i, NULL), 0);
            memcpy(pieces + m, out, w);
            m += w;
            free(out);
        }
        assert_int_equal(n, m);
        assert_memory_equal(whole, pieces, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_is_well_formed),
        cmocka_unit_test(ill_formed_sequences),
        cmocka_unit_test(a_stream_replaces_what_is_invalid),
        cmocka_unit_test(only_what_can_go_on_is_held),
        cmocka_unit_test(portions_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
