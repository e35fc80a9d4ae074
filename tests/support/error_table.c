/* error_table.c - see error_table.h. */
#include "tests/support/error_table.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/data.h"

static const char mark[] = "PRISM_API enum prism_status ";

static const struct { const char *name; enum prism_status status; } names[] = {
    { "PRISM_E_ARG", PRISM_E_ARG }, { "PRISM_E_LENGTH", PRISM_E_LENGTH }, { "PRISM_E_NOMEM", PRISM_E_NOMEM }, { "PRISM_E_IO", PRISM_E_IO },
    { "PRISM_E_FORMAT", PRISM_E_FORMAT }, { "PRISM_E_UNSUPPORTED", PRISM_E_UNSUPPORTED }, { "PRISM_E_CANCELLED", PRISM_E_CANCELLED },
    { "PRISM_E_NUMERIC", PRISM_E_NUMERIC },
};
enum { N_NAMES = sizeof names / sizeof *names };

static void check_text(const struct error_row *r, size_t i, const struct prism_error *err)
{
    size_t n = strnlen(err->text, sizeof err->text);

    if (r->status == PRISM_OK ? n != 0 : n == 0 || n == sizeof err->text || strpbrk(err->text, "\n\r\t\033"))
        fail_msg("row %zu, %s, %s: text \"%.*s\"", i, r->function, prism_status_text(r->status), (int)n, err->text);
}

/* false: does not apply */
static bool check_row(const struct error_row *r, size_t i, struct prism_error *err)
{
    enum prism_status s = r->call ? r->call(err) : ERROR_ROW_DOES_NOT_APPLY;

    if (s == ERROR_ROW_DOES_NOT_APPLY)
        return false;
    if (s != r->status || err->status != r->status)
        fail_msg("row %zu, %s: expected \"%s\", found \"%s\"; err has %d: %.100s", i, r->function, prism_status_text(r->status),
                 prism_status_text(s), (int)err->status, err->text);
    check_text(r, i, err);
    return true;
}

void error_table_run(const struct error_row *rows, size_t n)
{
    struct prism_error err;

    for (size_t i = 0; i < n; i++) {
        memset(&err, 0xA5, sizeof err);
        if (check_row(&rows[i], i, &err))
            assert_int_equal(rows[i].call(NULL), rows[i].status);
    }
}

void error_table_mix(const struct error_row *rows, size_t n)
{
    struct prism_error err;

    memset(&err, 0xA5, sizeof err);
    for (size_t step = 1; step <= 7; step += 3) /* other neighbours each time */
        for (size_t i = 0, at = 0; i < n; i++, at = (at + step) % n)
            check_row(&rows[at], at, &err);
}

/* Whether the comment [from, to) names the status behind "Errors:". */
static bool documents(const char *from, const char *to, const char *name)
{
    const char *at = strstr(from, "Errors:");
    size_t n = strlen(name);

    for (at = at && at < to ? strstr(at, name) : NULL; at && at < to; at = strstr(at + n, name))
        if (!isalnum((unsigned char)at[n]) && at[n] != '_')
            return true;
    return false;
}

static bool has_row(const struct error_row *rows, size_t n, const char *function, enum prism_status status)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(rows[i].function, function) && rows[i].status == status)
            return true;
    return false;
}

size_t error_table_documented(const struct error_row *rows, size_t n)
{
    char *header = test_read_file("include/prism/prism.h", NULL), function[64];
    size_t compared = 0;

    for (const char *at = header; (at = strstr(at, mark)); at++) {
        const char *comment = at, *name = at + strlen(mark);
        while (comment > header && strncmp(comment, "/*", 2))
            comment--;
        snprintf(function, sizeof function, "%.*s", (int)strcspn(name, "("), name);
        if (!has_row(rows, n, function, PRISM_OK))
            continue;
        compared++;
        for (size_t s = 0; s < N_NAMES; s++)
            if (has_row(rows, n, function, names[s].status) != documents(comment, at, names[s].name))
                fail_msg("%s, %s: either in prism.h or in the table", function, names[s].name);
    }
    free(header);
    return compared;
}

size_t error_table_functions(void)
{
    char *header = test_read_file("include/prism/prism.h", NULL);
    size_t n = 0;

    for (const char *at = header; (at = strstr(at, mark)); at++)
        n++;
    free(header);
    return n;
}
