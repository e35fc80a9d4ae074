/* methods.c - methods of strings, mappings, lists and loops, by the names that Python gives them. Those that change a value are not there: the
 * sandbox in which templates are meant to run refuses them. */
#include <string.h>

#include "src/chat/internal.h"

typedef const struct chat_arguments *arguments;

static bool split_with(struct chat *c, struct chat_value v, arguments a, bool from_right, struct chat_value *out)
{
    const struct chat_string *separator = NULL;
    int64_t max = -1;

    return chat_argument_string(c, a, 0, "sep", "split", &separator) && chat_argument_int(c, a, 1, "maxsplit", "split", &max) &&
           chat_split(c, v.s, separator, max, from_right, out);
}

static bool split(struct chat *c, struct chat_value v, arguments a, struct chat_value *out) { return split_with(c, v, a, false, out); }
static bool rsplit(struct chat *c, struct chat_value v, arguments a, struct chat_value *out) { return split_with(c, v, a, true, out); }

static bool strip_sides(struct chat *c, struct chat_value v, arguments a, bool left, bool right, struct chat_value *out)
{
    const struct chat_string *chars = NULL;

    return chat_argument_string(c, a, 0, "chars", "strip", &chars) && chat_strip(c, v.s, chars, left, right, out);
}

static bool strip(struct chat *c, struct chat_value v, arguments a, struct chat_value *out) { return strip_sides(c, v, a, true, true, out); }
static bool lstrip(struct chat *c, struct chat_value v, arguments a, struct chat_value *out) { return strip_sides(c, v, a, true, false, out); }
static bool rstrip(struct chat *c, struct chat_value v, arguments a, struct chat_value *out) { return strip_sides(c, v, a, false, true, out); }

static bool upper(struct chat *c, struct chat_value v, arguments a, struct chat_value *out) { (void)a; return chat_recase(c, v.s, CHAT_UPPER, out); }
static bool lower(struct chat *c, struct chat_value v, arguments a, struct chat_value *out) { (void)a; return chat_recase(c, v.s, CHAT_LOWER, out); }
static bool title(struct chat *c, struct chat_value v, arguments a, struct chat_value *out) { (void)a; return chat_recase(c, v.s, CHAT_TITLE, out); }
static bool capitalize(struct chat *c, struct chat_value v, arguments a, struct chat_value *out) { (void)a; return chat_recase(c, v.s, CHAT_CAPITALIZE, out); }

/* A string, or a tuple of which one must fit. */
static bool at_side(struct chat *c, struct chat_value v, arguments a, bool end, struct chat_value *out)
{
    struct chat_value side = chat_none(), *one = &side;
    size_t n = 1;

    chat_argument(a, 0, "prefix", &side);
    if (side.type == CHAT_LIST)
        one = side.list->v, n = side.list->n;
    *out = chat_bool(false);
    for (size_t i = 0; i < n; i++) {
        if (one[i].type != CHAT_STRING)
            return chat_fail(c, PRISM_E_FORMAT, "%s: expected a string, found %s", end ? "endswith" : "startswith", chat_type_name(one[i]));
        const struct chat_string *s = one[i].s;
        if (!chat_charge(c, s->n))
            return false;
        if (s->n <= v.s->n && chat_equal_bytes(v.s->p + (end ? v.s->n - s->n : 0), s->n, s->p, s->n))
            *out = chat_bool(true);
    }
    return true;
}

static bool startswith(struct chat *c, struct chat_value v, arguments a, struct chat_value *out) { return at_side(c, v, a, false, out); }
static bool endswith(struct chat *c, struct chat_value v, arguments a, struct chat_value *out) { return at_side(c, v, a, true, out); }

static bool replace(struct chat *c, struct chat_value v, arguments a, struct chat_value *out)
{
    const struct chat_string *old = NULL, *by = NULL;
    int64_t count = -1;

    if (!chat_argument_string(c, a, 0, "old", "replace", &old) || !chat_argument_string(c, a, 1, "new", "replace", &by) ||
        !chat_argument_int(c, a, 2, "count", "replace", &count))
        return false;
    return old && by ? chat_replace(c, v.s, old, by, count, out) : chat_fail(c, PRISM_E_FORMAT, "replace: expected two strings");
}

static bool needle_of(struct chat *c, arguments a, const char *what, const struct chat_string **out)
{
    *out = NULL;
    if (!chat_argument_string(c, a, 0, "sub", what, out))
        return false;
    return *out || chat_fail(c, PRISM_E_FORMAT, "%s: expected a string", what);
}

static bool find(struct chat *c, struct chat_value v, arguments a, struct chat_value *out)
{
    const struct chat_string *needle;

    if (!needle_of(c, a, "find", &needle) || !chat_charge(c, v.s->n))
        return false;
    size_t at = chat_find(v.s, 0, needle);
    *out = chat_int(at == SIZE_MAX ? -1 : (int64_t)chat_characters(v.s->p, at));
    return true;
}

static bool count(struct chat *c, struct chat_value v, arguments a, struct chat_value *out)
{
    const struct chat_string *needle;
    int64_t n = 0;

    if (!needle_of(c, a, "count", &needle) || !chat_charge(c, v.s->n))
        return false;
    if (!needle->n)
        n = (int64_t)chat_characters(v.s->p, v.s->n) + 1;
    for (size_t at = 0; needle->n && (at = chat_find(v.s, at, needle)) != SIZE_MAX; at += needle->n)
        n++;
    *out = chat_int(n);
    return true;
}

static bool splitlines(struct chat *c, struct chat_value v, arguments a, struct chat_value *out)
{
    struct chat_string newline = { .p = "\n", .n = 1 };

    (void)a;
    if (memchr(v.s->p, '\r', v.s->n))
        return chat_fail(c, PRISM_E_UNSUPPORTED, "splitlines: carriage returns are not supported");
    if (!chat_split(c, v.s, &newline, -1, false, out))
        return false;
    struct chat_list *list;
    size_t n = out->list->n;
    struct chat_value all = *out;
    if (all.list->v[n - 1].s->n)
        return true;
    if (!chat_new_list(c, n - 1, false, &list, out)) /* nothing behind the last newline */
        return false;
    if (n > 1)
        memcpy(list->v, all.list->v, (n - 1) * sizeof *list->v);
    return true;
}

static bool join(struct chat *c, struct chat_value v, arguments a, struct chat_value *out)
{
    struct chat_value all = chat_none();
    const struct chat_list *items;
    struct chat_builder b = { 0 };

    chat_argument(a, 0, "iterable", &all);
    if (!chat_items(c, all, &items))
        return false;
    for (size_t i = 0; i < items->n; i++) {
        if (items->v[i].type != CHAT_STRING)
            return chat_fail(c, PRISM_E_FORMAT, "join: expected strings, found %s", chat_type_name(items->v[i]));
        if ((i && !chat_add(c, &b, v.s)) || !chat_add(c, &b, items->v[i].s))
            return false;
    }
    return chat_built(c, &b, out);
}

/* The value of a field [from, to) of a format, empty: the next argument. */
static bool field(struct chat *c, const struct chat_string *s, size_t from, size_t to, arguments a, size_t *next, struct chat_value *out)
{
    size_t at = 0, i = from;

    while (i < to && s->p[i] >= '0' && s->p[i] <= '9' && at < 1000)
        at = at * 10 + (size_t)(s->p[i++] - '0');
    if (i == to) {
        at = from == to ? (*next)++ : at;
        if (at < a->n_positional) {
            *out = a->v[at];
            return true;
        }
        return chat_fail(c, PRISM_E_FORMAT, "format: there is no argument %zu", at);
    }
    for (i = a->n_positional; i < a->n; i++)
        if (chat_equal_bytes(a->names[i]->p, a->names[i]->n, s->p + from, to - from)) {
            *out = a->v[i];
            return true;
        }
    return chat_fail(c, PRISM_E_UNSUPPORTED, "format: field \"{%.*s}\" is not supported", SHOW(s->p + from, to - from));
}

static bool format(struct chat *c, struct chat_value v, arguments a, struct chat_value *out)
{
    const struct chat_string *s = v.s;
    struct chat_builder b = { 0 };
    struct chat_value value;
    size_t next = 0, end;

    for (size_t i = 0; i < s->n; i++) {
        bool twice = i + 1 < s->n && s->p[i + 1] == s->p[i];
        if ((s->p[i] != '{' && s->p[i] != '}') || twice) {
            i += twice && (s->p[i] == '{' || s->p[i] == '}');
            if (!chat_slice(c, s, i, 1, &value) || !chat_add(c, &b, value.s))
                return false;
            continue;
        }
        const char *close = s->p[i] == '{' ? memchr(s->p + i, '}', s->n - i) : NULL;
        if (!close)
            return chat_fail(c, PRISM_E_FORMAT, "format: a single \"%c\"", s->p[i]);
        end = (size_t)(close - s->p);
        if (!field(c, s, i + 1, end, a, &next, &value) || !chat_write(c, &b, value))
            return false;
        i = end;
    }
    return chat_built(c, &b, out);
}

/* ---- mappings, lists, loops ---- */

static bool items(struct chat *c, struct chat_value v, arguments a, struct chat_value *out)
{
    (void)a;
    return chat_pair_items(c, v.dict, out);
}

static bool get(struct chat *c, struct chat_value v, arguments a, struct chat_value *out)
{
    struct chat_value key = chat_none(), *found;

    if (!chat_argument(a, 0, "key", &key))
        return chat_fail(c, PRISM_E_FORMAT, "get: expected a key");
    if (!chat_dict_get(c, v.dict, key, &found))
        return false;
    *out = chat_none();
    if (found)
        *out = *found;
    else
        chat_argument(a, 1, "default", out);
    return true;
}

static bool side(struct chat *c, struct chat_value v, bool values, struct chat_value *out)
{
    struct chat_list *list;

    if (!chat_new_list(c, v.dict->n, false, &list, out))
        return false;
    for (size_t i = 0; i < list->n; i++)
        list->v[i] = values ? v.dict->pairs[i].value : v.dict->pairs[i].key;
    return true;
}

static bool keys(struct chat *c, struct chat_value v, arguments a, struct chat_value *out) { (void)a; return side(c, v, false, out); }
static bool values(struct chat *c, struct chat_value v, arguments a, struct chat_value *out) { (void)a; return side(c, v, true, out); }

static bool cycle(struct chat *c, struct chat_value v, arguments a, struct chat_value *out)
{
    if (!a->n_positional)
        return chat_fail(c, PRISM_E_FORMAT, "cycle: expected values");
    *out = a->v[v.loop->at % a->n_positional];
    return true;
}

static const struct chat_method_row rows[] = {
    { "split", CHAT_STRING, split, 2, { "sep", "maxsplit" } },
    { "rsplit", CHAT_STRING, rsplit, 2, { "sep", "maxsplit" } },
    { "strip", CHAT_STRING, strip, 1, { 0 } },
    { "lstrip", CHAT_STRING, lstrip, 1, { 0 } },
    { "rstrip", CHAT_STRING, rstrip, 1, { 0 } },
    { "startswith", CHAT_STRING, startswith, 1, { 0 } },
    { "endswith", CHAT_STRING, endswith, 1, { 0 } },
    { "replace", CHAT_STRING, replace, 3, { "count" } },
    { "upper", CHAT_STRING, upper, 0, { 0 } },
    { "lower", CHAT_STRING, lower, 0, { 0 } },
    { "title", CHAT_STRING, title, 0, { 0 } },
    { "capitalize", CHAT_STRING, capitalize, 0, { 0 } },
    { "find", CHAT_STRING, find, 1, { 0 } },
    { "count", CHAT_STRING, count, 1, { 0 } },
    { "splitlines", CHAT_STRING, splitlines, 0, { 0 } },
    { "join", CHAT_STRING, join, 1, { 0 } },
    { "format", CHAT_STRING, format, 1000, { "*" } },
    { "items", CHAT_DICT, items, 0, { 0 } },
    { "get", CHAT_DICT, get, 2, { 0 } },
    { "keys", CHAT_DICT, keys, 0, { 0 } },
    { "values", CHAT_DICT, values, 0, { 0 } },
    { "pop", CHAT_DICT, NULL, 0, { 0 } },
    { "update", CHAT_DICT, NULL, 0, { 0 } },
    { "append", CHAT_LIST, NULL, 0, { 0 } },
    { "pop", CHAT_LIST, NULL, 0, { 0 } },
    { "extend", CHAT_LIST, NULL, 0, { 0 } },
    { "insert", CHAT_LIST, NULL, 0, { 0 } },
    { "cycle", CHAT_LOOP, cycle, 1000, { 0 } },
};

const struct chat_method_row *chat_method_find(enum chat_type type, const struct chat_string *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].type == type && chat_is(name, rows[i].name))
            return &rows[i];
    return NULL;
}
