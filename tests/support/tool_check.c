/* tool_check.c - see tool_check.h. */
#include "tests/support/tool_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void assert_worked(const struct child *c)
{
    if (c->status != 0)
        fail_msg("exit status %d, stderr:\n%s", c->status, c->err);
}

void assert_refused(const struct child *c, const char *text)
{
    if (c->status != 1 || child_error_lines(c) != 1 || !strstr(c->err, text))
        fail_msg("expected status 1 and one line with \"%s\"; found status %d, stderr:\n%s", text, c->status, c->err);
    assert_int_equal(c->n_out, 0);
}

/* ---- a small JSON check (no limits on numbers) ---- */

static const char *json_value(const char *p, unsigned depth);

static const char *json_space(const char *p) { return p + strspn(p, " \n\t\r"); }

static const char *json_string(const char *p)
{
    if (*p++ != '"')
        return NULL;
    for (; *p != '"'; p++) {
        if ((unsigned char)*p < 0x20)
            return NULL;
        if (*p == '\\' && !strchr("\"\\/bfnrtu", *++p))
            return NULL;
    }
    return p + 1;
}

/* Members of an object or array up to its closing character. */
static const char *json_members(const char *p, char close, unsigned depth)
{
    p = json_space(p);
    if (*p == close)
        return p + 1;
    for (;;) {
        if (close == '}') {
            p = json_string(json_space(p));
            if (!p || *(p = json_space(p)) != ':')
                return NULL;
            p++;
        }
        p = json_value(json_space(p), depth + 1);
        if (!p)
            return NULL;
        p = json_space(p);
        if (*p == close)
            return p + 1;
        if (*p++ != ',')
            return NULL;
    }
}

/* End of the value at p, NULL when it is none. */
static const char *json_value(const char *p, unsigned depth)
{
    static const char *const words[] = { "true", "false", "null" };
    char *end;

    if (depth > 32)
        return NULL;
    if (*p == '{' || *p == '[')
        return json_members(p + 1, *p == '{' ? '}' : ']', depth);
    if (*p == '"')
        return json_string(p);
    for (size_t i = 0; i < 3; i++)
        if (strncmp(p, words[i], strlen(words[i])) == 0)
            return p + strlen(words[i]);
    if (*p != '-' && (*p < '0' || *p > '9'))
        return NULL;
    strtod(p, &end);
    return end;
}

void assert_json(const char *text)
{
    const char *end = json_value(text, 0);

    if (!end || *json_space(end))
        fail_msg("not one JSON document:\n%s", text);
}
