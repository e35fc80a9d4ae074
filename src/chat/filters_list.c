/* filters_list.c - filters over what can be iterated over. */
#include <string.h>

#include "src/chat/internal.h"

static bool to_list(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out)
{
    const struct chat_list *items;

    (void)a;
    if (!chat_items(c, v, &items))
        return false;
    *out = (struct chat_value){ .type = CHAT_LIST, .list = items };
    return true;
}

/* A copy that may be changed. */
static bool copy(struct chat *c, struct chat_value v, struct chat_list **list, struct chat_value *out)
{
    const struct chat_list *items;

    if (!chat_items(c, v, &items) || !chat_new_list(c, items->n, false, list, out))
        return false;
    if (items->n)
        memcpy((*list)->v, items->v, items->n * sizeof *items->v);
    return true;
}

/* As Jinja's select and map, for which nothing (none, too) is the empty list. */
static bool copy_any(struct chat *c, struct chat_value v, struct chat_list **list, struct chat_value *out)
{
    return chat_truth(v) ? copy(c, v, list, out) : chat_new_list(c, 0, false, list, out);
}

/* ---- attributes by name, as in selectattr("a.b") ---- */

static bool attribute_of(struct chat *c, struct chat_value v, struct chat_value path, struct chat_value *out)
{
    struct chat_string dot = { .p = ".", .n = 1 };
    struct chat_value parts;

    if (path.type == CHAT_INT)
        return chat_item(c, v, path, out);
    if (path.type != CHAT_STRING)
        return chat_fail(c, PRISM_E_FORMAT, "an attribute: expected a name, found %s", chat_type_name(path));
    if (!chat_split(c, path.s, &dot, -1, false, &parts))
        return false;
    *out = v;
    for (size_t i = 0; i < parts.list->n; i++)
        if (!chat_item(c, *out, parts.list->v[i], out))
            return false;
    return true;
}

static bool join(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out)
{
    const struct chat_string *separator = &(struct chat_string){ .p = "" };
    const struct chat_list *items;
    struct chat_value by = chat_none(), item;
    struct chat_builder b = { 0 };

    chat_argument(a, 1, "attribute", &by);
    if (!chat_argument_string(c, a, 0, "d", "join", &separator) || !chat_items(c, v, &items))
        return false;
    for (size_t i = 0; i < items->n; i++) {
        item = items->v[i];
        if ((i && !chat_add(c, &b, separator)) || (by.type != CHAT_NONE && !attribute_of(c, item, by, &item)) || !chat_write(c, &b, item))
            return false;
    }
    return chat_built(c, &b, out);
}

static bool items(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out)
{
    struct chat_list *none;

    (void)a;
    if (v.type == CHAT_UNDEFINED)
        return chat_new_list(c, 0, false, &none, out);
    return v.type == CHAT_DICT ? chat_pair_items(c, v.dict, out) : chat_fail(c, PRISM_E_FORMAT, "items: expected a mapping, found %s", chat_type_name(v));
}

/* The end at which the sort begins, from named or positional arguments. */
static bool flag(const struct chat_arguments *a, size_t at, const char *name)
{
    struct chat_value v = chat_bool(false);
    chat_argument(a, at, name, &v);
    return chat_truth(v);
}

static bool dictsort(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out)
{
    const struct chat_string *by = NULL;
    struct chat_list *list;

    if (v.type == CHAT_UNDEFINED)
        return chat_undefined_error(c, v);
    if (v.type != CHAT_DICT)
        return chat_fail(c, PRISM_E_FORMAT, "dictsort: expected a mapping, found %s", chat_type_name(v));
    if (!chat_argument_string(c, a, 1, "by", "dictsort", &by) || !chat_pair_items(c, v.dict, out) || !copy(c, *out, &list, out))
        return false;
    return chat_sort(c, list, by && chat_is(by, "value"), !flag(a, 0, "case_sensitive"), flag(a, 2, "reverse"));
}

static bool sort(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out)
{
    struct chat_list *list;

    return copy(c, v, &list, out) && chat_sort(c, list, -1, !flag(a, 1, "case_sensitive"), flag(a, 0, "reverse"));
}

static bool unique(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out)
{
    struct chat_list *list;
    size_t n = 0;
    bool same = false, ignore_case = !flag(a, 0, "case_sensitive");

    if (!copy(c, v, &list, out))
        return false;
    for (size_t i = 0; i < list->n; i++, same = false) {
        for (size_t j = 0; j < n && !same; j++) {
            struct chat_value x = list->v[i], y = list->v[j];
            if (ignore_case && x.type == CHAT_STRING && y.type == CHAT_STRING && (!chat_recase(c, x.s, CHAT_LOWER, &x) || !chat_recase(c, y.s, CHAT_LOWER, &y)))
                return false;
            if (!chat_equal(c, x, y, &same))
                return false;
        }
        if (!same)
            list->v[n++] = list->v[i];
    }
    list->n = n;
    return true;
}

static bool reverse(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out)
{
    struct chat_value bounds[3] = { chat_none(), chat_none(), chat_int(-1) }, list = v;

    if (v.type != CHAT_STRING && !to_list(c, v, a, &list))
        return false;
    return chat_slice_of(c, list, bounds, out);
}

static bool pick(struct chat *c, struct chat_value v, bool last, struct chat_value *out)
{
    const struct chat_list *list;

    if (!chat_items(c, v, &list))
        return false;
    *out = list->n ? list->v[last ? list->n - 1 : 0] : chat_undefined(NULL);
    return true;
}

static bool first(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out) { (void)a; return pick(c, v, false, out); }
static bool last(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out) { (void)a; return pick(c, v, true, out); }

/* sign 1: the smallest, -1: the largest. */
static bool extreme(struct chat *c, struct chat_value v, int sign, struct chat_value *out)
{
    const struct chat_list *list;
    int order;

    *out = chat_undefined(NULL);
    if (!chat_items(c, v, &list))
        return false;
    for (size_t i = 0; i < list->n; i++) {
        order = -1;
        if (i && (!chat_order(c, list->v[i], *out, &order) || !chat_charge(c, 0)))
            return false;
        if (i == 0 || order * sign < 0)
            *out = list->v[i];
    }
    return true;
}

static bool smallest(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out) { (void)a; return extreme(c, v, 1, out); }
static bool largest(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out) { (void)a; return extreme(c, v, -1, out); }

/* ---- filters that take a test or a filter ---- */

/* Arguments from position `from` on. */
static struct chat_arguments rest(const struct chat_arguments *a, size_t from)
{
    struct chat_arguments r = *a;
    size_t skip = a->n_positional < from ? a->n_positional : from;
    if (!a->n)
        return r;
    r.v += skip;
    r.names += skip;
    r.n -= skip;
    r.n_positional -= skip;
    return r;
}

static bool choose(struct chat *c, struct chat_value v, const struct chat_arguments *a, bool by_attribute, bool wanted, struct chat_value *out)
{
    const struct chat_string *test = NULL;
    struct chat_arguments more = rest(a, by_attribute ? 2 : 1);
    struct chat_list *list;
    size_t n = 0;

    if ((by_attribute && !a->n_positional) || a->n != a->n_positional)
        return chat_fail(c, PRISM_E_FORMAT, "selectattr: expected the name of an attribute, then a test");
    if (!chat_argument_string(c, a, by_attribute, "test", "select", &test) || !copy_any(c, v, &list, out))
        return false;
    for (size_t i = 0; i < list->n; i++) {
        struct chat_value item = list->v[i];
        if (!chat_charge(c, 0) || (by_attribute && !attribute_of(c, item, a->v[0], &item)))
            return false;
        bool yes = chat_truth(item);
        if (test && !chat_test(c, test, item, &more, &yes))
            return false;
        if (yes == wanted)
            list->v[n++] = list->v[i];
    }
    list->n = n;
    return true;
}

static bool select_items(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out) { return choose(c, v, a, false, true, out); }
static bool reject(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out) { return choose(c, v, a, false, false, out); }
static bool selectattr(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out) { return choose(c, v, a, true, true, out); }
static bool rejectattr(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out) { return choose(c, v, a, true, false, out); }

static bool map(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out)
{
    const struct chat_string *filter = NULL;
    struct chat_value by = chat_none(), fallback;
    struct chat_arguments more = rest(a, 1);
    struct chat_list *list;

    chat_argument(a, SIZE_MAX, "attribute", &by);
    bool has_fallback = chat_argument(a, SIZE_MAX, "default", &fallback);
    if (!chat_argument_string(c, a, 0, "filter", "map", &filter) || !copy_any(c, v, &list, out))
        return false;
    if ((by.type == CHAT_NONE) == !filter)
        return chat_fail(c, PRISM_E_FORMAT, "map: expected a filter, or attribute=");
    for (size_t i = 0; i < list->n; i++) {
        struct chat_value *item = &list->v[i];
        if (!chat_charge(c, 0) || !(filter ? chat_filter(c, filter, *item, &more, item) : attribute_of(c, *item, by, item)))
            return false;
        if (!filter && has_fallback && item->type == CHAT_UNDEFINED)
            *item = fallback;
    }
    return true;
}

static bool unsupported_json(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out)
{
    (void)v, (void)a, (void)out;
    return chat_fail(c, PRISM_E_UNSUPPORTED, "filter \"from_json\" is not supported");
}

const struct chat_filter_row chat_list_filters[] = {
    { "list", to_list, 0, { 0 } },
    { "join", join, 2, { "d", "attribute" } },
    { "items", items, 0, { 0 } },
    { "dictsort", dictsort, 3, { "case_sensitive", "by", "reverse" } },
    { "sort", sort, 2, { "reverse", "case_sensitive" } },
    { "unique", unique, 1, { "case_sensitive" } },
    { "reverse", reverse, 0, { 0 } },
    { "first", first, 0, { 0 } },
    { "last", last, 0, { 0 } },
    { "min", smallest, 0, { 0 } },
    { "max", largest, 0, { 0 } },
    { "select", select_items, 9, { 0 } },
    { "reject", reject, 9, { 0 } },
    { "selectattr", selectattr, 9, { 0 } },
    { "rejectattr", rejectattr, 9, { 0 } },
    { "map", map, 9, { "attribute", "default" } },
    { "from_json", unsupported_json, 9, { 0 } },
    { NULL, NULL, 0, { 0 } },
};
