/* filters.c - the table of filters, and those that give one value; filters_list.c has those for lists. As Jinja's, in the sense of its
 * templates.designers documentation. */
#include <string.h>

#include "src/chat/internal.h"

static bool trim(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out)
{
    const struct chat_string *s, *chars = NULL;

    return chat_string_of(c, v, &s) && chat_argument_string(c, a, 0, "chars", "trim", &chars) && chat_strip(c, s, chars, true, true, out);
}

static bool recase(struct chat *c, struct chat_value v, enum chat_case how, struct chat_value *out)
{
    const struct chat_string *s;

    return chat_string_of(c, v, &s) && chat_recase(c, s, how, out);
}

static bool upper(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out) { (void)a; return recase(c, v, CHAT_UPPER, out); }
static bool lower(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out) { (void)a; return recase(c, v, CHAT_LOWER, out); }
static bool title(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out) { (void)a; return recase(c, v, CHAT_TITLE, out); }
static bool capitalize(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out) { (void)a; return recase(c, v, CHAT_CAPITALIZE, out); }

static bool length(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out)
{
    int64_t n;

    (void)a;
    if (!chat_length(c, v, &n))
        return false;
    *out = chat_int(n);
    return true;
}

static bool string(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out)
{
    const struct chat_string *s;

    (void)a;
    if (!chat_string_of(c, v, &s))
        return false;
    *out = (struct chat_value){ .type = CHAT_STRING, .s = s };
    return true;
}

static bool default_value(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out)
{
    struct chat_value by, boolean = chat_bool(false);

    chat_argument(a, 1, "boolean", &boolean);
    *out = v;
    if (v.type != CHAT_UNDEFINED && (!chat_truth(boolean) || chat_truth(v)))
        return true;
    if (!chat_text(c, "", 0, &by))
        return false;
    chat_argument(a, 0, "default_value", &by);
    *out = by;
    return true;
}

static bool replace(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out)
{
    const struct chat_string *s, *old = NULL, *by = NULL;
    int64_t count = -1;

    if (!chat_string_of(c, v, &s) || !chat_argument_string(c, a, 0, "old", "replace", &old) ||
        !chat_argument_string(c, a, 1, "new", "replace", &by) || !chat_argument_int(c, a, 2, "count", "replace", &count))
        return false;
    return old && by ? chat_replace(c, s, old, by, count, out) : chat_fail(c, PRISM_E_FORMAT, "replace: expected two strings");
}

/* Lines behind the first get spaces in front, empty ones none. */
static bool indent(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out)
{
    const struct chat_string *s;
    struct chat_value first = chat_bool(false), blank = first, width = chat_int(4), pad;
    struct chat_builder spaces = { 0 }, b = { 0 };

    chat_argument(a, 1, "first", &first);
    chat_argument(a, 2, "blank", &blank);
    chat_argument(a, 0, "width", &width);
    if (width.type != CHAT_INT || width.i < 0 || width.i > 1000)
        return chat_fail(c, PRISM_E_UNSUPPORTED, "indent: expected a width of 0..1000");
    for (int64_t i = 0; i < width.i; i++)
        if (!chat_add_text(c, &spaces, " ", 1))
            return false;
    if (!chat_string_of(c, v, &s) || !chat_built(c, &spaces, &pad))
        return false;
    bool padded = chat_truth(first);
    for (size_t from = 0, to; from <= s->n; from = to + 1, padded = true) {
        const char *end = from < s->n ? memchr(s->p + from, '\n', s->n - from) : NULL;
        struct chat_value line;
        to = end ? (size_t)(end - s->p) : s->n;
        if (padded && (from == 0 || to > from || chat_truth(blank)) && !chat_add(c, &b, pad.s))
            return false;
        if (!chat_slice(c, s, from, to - from + (to < s->n), &line) || !chat_add(c, &b, line.s))
            return false;
    }
    return chat_built(c, &b, out);
}

static bool parse_int(const struct chat_string *s, int64_t *out)
{
    size_t i = 0, from, to = s->n, k;
    bool negative = false;

    while (i < to && (k = chat_space(s->p + i, to - i)))
        i += k;
    while (to > i && (k = chat_space_before(s->p + i, to - i)))
        to -= k;
    if (i < to && (s->p[i] == '-' || s->p[i] == '+'))
        negative = s->p[i++] == '-';
    *out = 0;
    for (from = i; i < to && s->p[i] >= '0' && s->p[i] <= '9'; i++)
        if (__builtin_mul_overflow(*out, 10, out) || __builtin_add_overflow(*out, s->p[i] - '0', out))
            return false;
    *out = negative ? -*out : *out;
    return i == to && i > from;
}

static bool to_int(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out)
{
    int64_t i = 0;
    struct chat_value by = chat_int(0);

    chat_argument(a, 0, "default", &by);
    *out = v.type == CHAT_INT || v.type == CHAT_BOOL ? chat_int(v.i) : v.type == CHAT_STRING && parse_int(v.s, &i) ? chat_int(i) : by;
    return chat_charge(c, v.type == CHAT_STRING ? v.s->n : 0);
}

static bool absolute(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out)
{
    (void)a;
    if (v.type != CHAT_INT || v.i == INT64_MIN)
        return chat_fail(c, PRISM_E_FORMAT, "abs: expected an integer, found %s", chat_type_name(v));
    *out = chat_int(v.i < 0 ? -v.i : v.i);
    return true;
}

/* "separators" is a pair of strings; with an indentation Python's json ends lines with "," alone. */
static bool json_form(struct chat *c, const struct chat_arguments *a, struct chat_json *how)
{
    struct chat_value separators = chat_none(), ascii = chat_bool(false), sorted = chat_bool(false);

    *how = (struct chat_json){ .indent = -1, .key = { .p = ": ", .n = 2 } };
    chat_argument(a, 1, "ensure_ascii", &ascii);
    chat_argument(a, 2, "separators", &separators);
    chat_argument(a, 3, "sort_keys", &sorted);
    if (chat_truth(ascii) || chat_truth(sorted))
        return chat_fail(c, PRISM_E_UNSUPPORTED, "tojson: %s is not supported", chat_truth(ascii) ? "ensure_ascii" : "sort_keys");
    if (!chat_argument_int(c, a, 0, "indent", "tojson", &how->indent))
        return false;
    if (how->indent > 100)
        return chat_fail(c, PRISM_E_UNSUPPORTED, "tojson: an indent of more than 100");
    how->item = (struct chat_string){ .p = how->indent < 0 ? ", " : ",", .n = how->indent < 0 ? 2 : 1 };
    if (separators.type == CHAT_NONE)
        return true;
    if (separators.type != CHAT_LIST || separators.list->n != 2 || separators.list->v[0].type != CHAT_STRING ||
        separators.list->v[1].type != CHAT_STRING)
        return chat_fail(c, PRISM_E_FORMAT, "tojson: separators: expected two strings");
    how->item = *separators.list->v[0].s;
    how->key = *separators.list->v[1].s;
    return true;
}

static bool tojson(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out)
{
    struct chat_builder b = { 0 };
    struct chat_json how;

    return json_form(c, a, &how) && chat_write_json(c, &b, v, &how) && chat_built(c, &b, out);
}

/* After the transformers library "tojson" takes indent first and leaves characters beyond ASCII and HTML alone. */
const struct chat_filter_row chat_filters[] = {
    { "trim", trim, 1, { "chars" } },
    { "upper", upper, 0, { 0 } },
    { "lower", lower, 0, { 0 } },
    { "title", title, 0, { 0 } },
    { "capitalize", capitalize, 0, { 0 } },
    { "length", length, 0, { 0 } },
    { "count", length, 0, { 0 } },
    { "string", string, 0, { 0 } },
    { "safe", string, 0, { 0 } },
    { "default", default_value, 2, { "default_value", "boolean" } },
    { "d", default_value, 2, { "default_value", "boolean" } },
    { "replace", replace, 3, { "old", "new", "count" } },
    { "indent", indent, 3, { "width", "first", "blank" } },
    { "int", to_int, 1, { "default" } },
    { "abs", absolute, 0, { 0 } },
    { "tojson", tojson, 1, { "indent", "ensure_ascii", "separators", "sort_keys" } },
    { NULL, NULL, 0, { 0 } },
};

static const struct chat_filter_row *find(const struct chat_filter_row *rows, const struct chat_string *name)
{
    while (rows->name && !chat_is(name, rows->name))
        rows++;
    return rows->name ? rows : NULL;
}

bool chat_filter(struct chat *c, const struct chat_string *name, struct chat_value v, const struct chat_arguments *a, struct chat_value *out)
{
    const struct chat_filter_row *row = find(chat_filters, name);
    const char *names[5] = { 0 };

    if (!row)
        row = find(chat_list_filters, name);
    if (!row)
        return chat_fail(c, PRISM_E_UNSUPPORTED, "filter \"%.*s\" is not supported", SHOW(name->p, name->n));
    memcpy(names, row->names, sizeof row->names);
    return chat_check_arguments(c, a, row->n_positional, names, row->name) && row->fn(c, v, a, out);
}
