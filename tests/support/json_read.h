/* json_read.h - reads the JSON of golden data: enough of RFC 8259 for files that we trust. */
#ifndef PRISM_TESTS_JSON_READ_H
#define PRISM_TESTS_JSON_READ_H

#include <stddef.h>

enum json_type { JSON_OTHER, JSON_STRING, JSON_LIST, JSON_OBJECT };

struct json_value {
    enum json_type type;      /* OTHER: numbers, true, false, null: not read */
    char *key;                /* inside an object */
    char *text;               /* STRING: UTF-8, terminated */
    struct json_value *child; /* of a list or object: the first */
    struct json_value *next;
};

/* Fails the running test when the file is no JSON. */
struct json_value *json_read(const char *path);
void json_free(struct json_value *v); /* NULL allowed */

/* The member with that key, or NULL. */
struct json_value *json_get(const struct json_value *object, const char *key);
/* The text of the member with that key, which must be a string. */
const char *json_text(const struct json_value *object, const char *key);

#endif
