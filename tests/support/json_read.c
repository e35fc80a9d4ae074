/* json_read.c - see json_read.h. */
#include "tests/support/json_read.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/utf8.h"
#include "tests/support/data.h"

struct reader {
    const char *path, *at, *begin;
};

static void wrong(const struct reader *r) { fail_msg("%s: no JSON at byte %td", r->path, r->at - r->begin); }

static void skip_space(struct reader *r)
{
    while (*r->at && strchr(" \t\r\n", *r->at))
        r->at++;
}

static bool take(struct reader *r, char ch)
{
    skip_space(r);
    bool there = *r->at == ch;
    r->at += there;
    return there;
}

static uint32_t read_hex(struct reader *r)
{
    unsigned code = 0;
    if (sscanf(r->at, "%4x", &code) != 1)
        wrong(r);
    r->at += 4;
    return code;
}

static char *read_string(struct reader *r)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char *out = malloc(strlen(r->at) + 1);
    size_t n = 0;

    assert_non_null(out);
    while (*r->at != '"') {
        if (!*r->at)
            wrong(r);
        if (*r->at != '\\') {
            out[n++] = *r->at++;
            continue;
        }
        const char *known = strchr(from, r->at[1]);
        r->at += 2;
        if (known && *known) {
            out[n++] = to[known - from];
            continue;
        }
        uint32_t code = read_hex(r);
        if (code >= 0xD800 && code < 0xDC00 && r->at[0] == '\\' && r->at[1] == 'u') {
            r->at += 2;
            code = 0x10000 + ((code - 0xD800) << 10) + (read_hex(r) - 0xDC00);
        }
        n += prism_utf8_encode(code, out + n);
    }
    r->at++;
    out[n++] = 0;
    char *fitted = realloc(out, n);
    return fitted ? fitted : out;
}

static struct json_value *read_value(struct reader *r);

static void read_children(struct reader *r, struct json_value *v, char close)
{
    struct json_value **end = &v->child;

    if (take(r, close))
        return;
    do {
        char *key = NULL;
        if (close == '}') {
            if (!take(r, '"'))
                wrong(r);
            key = read_string(r);
            if (!take(r, ':'))
                wrong(r);
        }
        *end = read_value(r);
        (*end)->key = key;
        end = &(*end)->next;
    } while (take(r, ','));
    if (!take(r, close))
        wrong(r);
}

static struct json_value *read_value(struct reader *r)
{
    struct json_value *v = calloc(1, sizeof *v);

    assert_non_null(v);
    if (take(r, '"')) {
        v->type = JSON_STRING;
        v->text = read_string(r);
    } else if (take(r, '[')) {
        v->type = JSON_LIST;
        read_children(r, v, ']');
    } else if (take(r, '{')) {
        v->type = JSON_OBJECT;
        read_children(r, v, '}');
    } else {
        const char *begin = r->at;
        while (isalnum((unsigned char)*r->at) || (*r->at && strchr("+-.", *r->at)))
            r->at++;
        if (r->at == begin)
            wrong(r);
    }
    return v;
}

struct json_value *json_read(const char *path)
{
    char *text = test_read_file(path, NULL);
    struct reader r = { path, text, text };
    struct json_value *v = read_value(&r);

    skip_space(&r);
    if (*r.at)
        wrong(&r);
    free(text);
    return v;
}

void json_free(struct json_value *v)
{
    while (v) {
        struct json_value *next = v->next;
        json_free(v->child);
        free(v->key);
        free(v->text);
        free(v);
        v = next;
    }
}

struct json_value *json_get(const struct json_value *object, const char *key)
{
    struct json_value *v = object ? object->child : NULL;
    while (v && (!v->key || strcmp(v->key, key) != 0))
        v = v->next;
    return v;
}

const char *json_text(const struct json_value *object, const char *key)
{
    const struct json_value *v = json_get(object, key);
    if (!v || v->type != JSON_STRING)
        fail_msg("no string \"%s\"", key);
    return v->text;
}
