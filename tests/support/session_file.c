/* session_file.c - see session_file.h. */
#include "tests/support/session_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/data.h"
#include "tests/support/engine_test.h"

const char *session_path(const char *name)
{
    static char paths[4][512];
    static unsigned turn;
    char *path = paths[turn++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", test_tmp_dir(), name);
    return path;
}

void session_save(prism_context *c, const char *path)
{
    struct prism_error err;
    must(prism_session_save(c, path, &err), &err);
}

void session_load(prism_context *c, const char *path)
{
    struct prism_error err;
    must(prism_session_load(c, path, &err), &err);
}

void assert_load_fails(prism_context *c, const char *path, enum prism_status s, const char *text)
{
    struct prism_error err;
    enum prism_status found = prism_session_load(c, path, &err);

    if (found != s || err.status != s || !strstr(err.text, text))
        fail_msg("expected \"%s\" (%s), found \"%s\": %s", prism_status_text(s), text, prism_status_text(found), err.text);
    assert_null(strchr(err.text, '\n'));
    assert_int_equal(prism_length(c), 0);
    assert_null(prism_logits(c));
}

unsigned char *session_bytes(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    *n = (size_t)ftell(f);
    rewind(f);
    unsigned char *bytes = malloc(*n + 1);
    assert_int_equal(fread(bytes, 1, *n, f), *n);
    fclose(f);
    return bytes;
}

void session_write(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}
