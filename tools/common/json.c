/* json.c - see json.h. */
#include "tools/common/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "prism/prism.h"

/* One piece of valid UTF-8 between quotes. */
static void put_escaped(FILE *out, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c == '\n')
            fputs("\\n", out);
        else if (c == '\t')
            fputs("\\t", out);
        else if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\u%04x", c);
        else
            putc(c, out);
    }
}

static void put_string(FILE *out, const char *s, size_t len)
{
    enum { PIECE = 1024 };
    char clean[3 * (PIECE + 4)];
    struct prism_utf8 utf8 = { 0 };

    putc('"', out);
    for (size_t at = 0; at < len; at += PIECE) {
        size_t n = len - at < PIECE ? len - at : PIECE;
        put_escaped(out, clean, prism_utf8_push(&utf8, s + at, n, at + n == len, clean));
    }
    putc('"', out);
}

/* Comma, line break and key of the next member. */
static void begin_member(struct json *j, const char *key, bool is_object)
{
    if (j->depth == 0)
        return;
    bool inline_member = j->one_line || (j->level[j->depth - 1].close == ']' && !is_object);
    if (j->level[j->depth - 1].filled)
        fputs(inline_member ? ", " : ",", j->out);
    j->level[j->depth - 1].filled = true;
    if (!inline_member)
        fprintf(j->out, "\n%*s", 2 * (int)j->depth, "");
    if (key) {
        put_string(j->out, key, strlen(key));
        fputs(": ", j->out);
    }
}

static void open_level(struct json *j, const char *key, char open, char close)
{
    begin_member(j, key, open == '{');
    if (j->depth == JSON_MAX_DEPTH)
        abort(); /* the documents of the tools have fixed depths */
    putc(open, j->out);
    j->level[j->depth].close = close;
    j->level[j->depth].filled = false;
    j->depth++;
}

void json_object(struct json *j, const char *key) { open_level(j, key, '{', '}'); }
void json_array(struct json *j, const char *key) { open_level(j, key, '[', ']'); }

void json_close(struct json *j)
{
    j->depth--;
    if (j->level[j->depth].filled && j->level[j->depth].close == '}' && !j->one_line)
        fprintf(j->out, "\n%*s", 2 * (int)j->depth, "");
    putc(j->level[j->depth].close, j->out);
    if (j->depth == 0)
        putc('\n', j->out);
}

void json_bytes(struct json *j, const char *key, const char *s, size_t len)
{
    begin_member(j, key, false);
    put_string(j->out, s, len);
}

void json_text(struct json *j, const char *key, const char *s)
{
    if (s) {
        json_bytes(j, key, s, strlen(s));
    } else {
        begin_member(j, key, false);
        fputs("null", j->out);
    }
}

void json_int(struct json *j, const char *key, int64_t v)
{
    begin_member(j, key, false);
    fprintf(j->out, "%" PRId64, v);
}

void json_real(struct json *j, const char *key, double v)
{
    begin_member(j, key, false);
    if (isfinite(v))
        fprintf(j->out, "%.6g", v);
    else
        fputs("null", j->out);
}

void json_number(struct json *j, const char *key, const char *digits)
{
    begin_member(j, key, false);
    fputs(digits, j->out);
}

void json_bool(struct json *j, const char *key, bool v)
{
    begin_member(j, key, false);
    fputs(v ? "true" : "false", j->out);
}
