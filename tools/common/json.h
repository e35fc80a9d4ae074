/* json.h - writes one JSON document (RFC 8259) to a stream, indented for people or on one line.
 *
 * Always valid: strings are UTF-8 (anything else becomes U+FFFD), numbers that JSON lacks (NaN, infinities) become null.
 * `key` is NULL inside arrays and for the document itself. Failures of the stream are the caller's to ask (ferror). */
#ifndef PRISM_TOOLS_JSON_H
#define PRISM_TOOLS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { JSON_MAX_DEPTH = 16 };

/* Set `out` and perhaps `one_line`, the rest is zero. */
struct json {
    FILE *out;
    bool one_line;
    unsigned depth;
    struct {
        char close;  /* '}' or ']' */
        bool filled; /* has a member */
    } level[JSON_MAX_DEPTH];
};

void json_object(struct json *j, const char *key); /* "{" ... json_close */
void json_array(struct json *j, const char *key);  /* "[" ... json_close; members stay on one line unless they are objects */
void json_close(struct json *j);                   /* the last close ends the document with a newline */

void json_text(struct json *j, const char *key, const char *s); /* NULL: null */
void json_bytes(struct json *j, const char *key, const char *s, size_t len);
void json_int(struct json *j, const char *key, int64_t v);
void json_real(struct json *j, const char *key, double v); /* 6 significant digits */
void json_number(struct json *j, const char *key, const char *digits); /* a JSON number as text */
void json_bool(struct json *j, const char *key, bool v);

#endif
