/* test_error.c - one line of text for every failure, whatever it is made of: what is too long loses its middle, never its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/error.h"
#include "src/base/utf8.h"

#define REASON ": key llama.block_count: expected 1..512, found 600"

static void make_path(char *path, size_t n, const char *unit)
{
    size_t k = strlen(unit);
    for (size_t i = 0; i < n; i++)
        path[i] = unit[i % k];
    memcpy(path, "/start/", 7);
    memcpy(path + n - 11, "/model.gguf", 12);
}

static void a_long_path_keeps_the_reason(void **state)
{
    (void)state;
    static const char *const units[] = { "directory/", "\x01", "\xC3\xA9", "\xE2\x82\xAC", "\xFF\xFE" };
    static char path[4096];
    for (size_t u = 0; u < sizeof units / sizeof *units; u++)
        for (size_t n = 400; n <= 4095; n += n < 600 ? 1 : 97) {
            struct prism_error err = { 0 };
            make_path(path, n, units[u]);
            assert_int_equal(prism_fail(&err, PRISM_E_FORMAT, "%s%s", path, REASON), PRISM_E_FORMAT);
            size_t len = strlen(err.text);
            assert_true(len < sizeof err.text);
            assert_true(len > sizeof err.text - 16 || n < 500);
            assert_true(strncmp(err.text, "/start/", 7) == 0);
            assert_string_equal(err.text + len - strlen("/model.gguf" REASON), "/model.gguf" REASON);
            if (len > sizeof err.text - 16)
                assert_true(strstr(err.text, "...") != NULL || n < 500);
            for (size_t i = 0; i < len;) { /* well-formed and printable */
                unsigned k = prism_utf8_length(err.text + i, len - i, NULL);
                assert_true(k > 0 && (unsigned char)err.text[i] >= 0x20);
                i += k;
            }
        }
}

static void what_fits_is_whole(void **state)
{
    (void)state;
    static char text[600];
    for (size_t n = 1; n < sizeof text; n++) {
        struct prism_error err = { 0 };
        memset(text, 'x', n);
        text[n] = 0;
        prism_fail(&err, PRISM_E_IO, "%s", text);
        if (n < sizeof err.text - 4)
            assert_string_equal(err.text, text);
        else
            assert_non_null(strstr(err.text, "x...x"));
    }
}

static void keep(void *user, const char *line) { snprintf(user, 512, "%s", line); }

static void warnings_too(void **state)
{
    (void)state;
    static char path[901], line[512];
    struct prism_log log = { keep, line };
    make_path(path, 900, "directory/");
    prism_warn(&log, "%s%s", path, REASON);
    assert_true(strncmp(line, "/start/", 7) == 0);
    assert_string_equal(line + strlen(line) - strlen(REASON), REASON);
    prism_warn(NULL, "nobody listens");
}

static void the_first_failure_counts(void **state)
{
    (void)state;
    struct prism_error err = { 0 };
    assert_int_equal(prism_fail(&err, PRISM_E_IO, "first"), PRISM_E_IO);
    assert_int_equal(prism_fail(&err, PRISM_E_ARG, "second"), PRISM_E_ARG);
    assert_int_equal(err.status, PRISM_E_IO);
    assert_string_equal(err.text, "first");
    prism_error_clear(&err);
    assert_int_equal(err.status, PRISM_OK);
    assert_string_equal(err.text, "");
    assert_int_equal(prism_fail(NULL, PRISM_E_ARG, "nowhere"), PRISM_E_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_path_keeps_the_reason), cmocka_unit_test(what_fits_is_whole), cmocka_unit_test(warnings_too),
        cmocka_unit_test(the_first_failure_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
