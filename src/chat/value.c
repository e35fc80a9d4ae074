/* value.c - values: truth, equality, order, containers. As in Python, where templates can tell. */
#include "src/chat/internal.h"

#include <string.h>

const char *chat_type_name(struct chat_value v)
{
    static const char *const names[] = { "undefined", "none", "boolean", "integer", "string", "list", "mapping", "namespace", "macro", "method",
                                         "function", "loop" };
    return names[v.type];
}

bool chat_undefined_error(struct chat *c, struct chat_value v)
{
    if (v.s)
        return chat_fail(c, PRISM_E_FORMAT, "\"%.*s\" is undefined", SHOW(v.s->p, v.s->n));
    return chat_fail(c, PRISM_E_FORMAT, "a value is undefined");
}

bool chat_truth(struct chat_value v)
{
    switch (v.type) {
    case CHAT_UNDEFINED:
    case CHAT_NONE: return false;
    case CHAT_BOOL:
    case CHAT_INT: return v.i != 0;
    case CHAT_STRING: return v.s->n != 0;
    case CHAT_LIST: return v.list->n != 0;
    case CHAT_DICT: return v.dict->n != 0;
    default: return true;
    }
}

/* ---- equality and order ---- */

static bool is_number(struct chat_value v) { return v.type == CHAT_INT || v.type == CHAT_BOOL; }

static bool equal_lists(struct chat *c, const struct chat_list *a, const struct chat_list *b, bool *equal)
{
    *equal = a->n == b->n;
    for (size_t i = 0; i < a->n && *equal; i++)
        if (!chat_equal(c, a->v[i], b->v[i], equal))
            return false;
    return true;
}

static bool equal_dicts(struct chat *c, const struct chat_dict *a, const struct chat_dict *b, bool *equal)
{
    struct chat_value *other;

    *equal = a->n == b->n;
    for (size_t i = 0; i < a->n && *equal; i++) {
        if (!chat_dict_get(c, b, a->pairs[i].key, &other))
            return false;
        *equal = other != NULL;
        if (other && !chat_equal(c, a->pairs[i].value, *other, equal))
            return false;
    }
    return true;
}

bool chat_equal(struct chat *c, struct chat_value a, struct chat_value b, bool *equal)
{
    bool ok = true;

    if (!chat_charge(c, 0))
        return false;
    if (is_number(a) && is_number(b)) {
        *equal = a.i == b.i;
        return true;
    }
    *equal = a.type == b.type;
    if (!*equal)
        return true;
    switch (a.type) {
    case CHAT_UNDEFINED:
    case CHAT_NONE: break;
    case CHAT_STRING:
        *equal = chat_equal_bytes(a.s->p, a.s->n, b.s->p, b.s->n);
        return chat_charge(c, *equal ? a.s->n : 0);
    case CHAT_LIST:
    case CHAT_DICT:
        if (!chat_enter(c))
            return false;
        if (a.type == CHAT_DICT)
            ok = equal_dicts(c, a.dict, b.dict, equal);
        else if ((*equal = a.tuple == b.tuple))
            ok = equal_lists(c, a.list, b.list, equal);
        chat_leave(c);
        return ok;
    default: *equal = a.list == b.list; /* the same thing */
    }
    return true;
}

static int order_strings(const struct chat_string *a, const struct chat_string *b)
{
    size_t n = a->n < b->n ? a->n : b->n;
    int order = n ? memcmp(a->p, b->p, n) : 0; /* the order of UTF-8 is that of characters */
    return order ? order : (a->n > b->n) - (a->n < b->n);
}

static bool order_lists(struct chat *c, const struct chat_list *a, const struct chat_list *b, int *order)
{
    *order = 0;
    for (size_t i = 0; i < a->n && i < b->n; i++)
        if (!chat_order(c, a->v[i], b->v[i], order))
            return false;
        else if (*order)
            return true;
    *order = (a->n > b->n) - (a->n < b->n);
    return true;
}

bool chat_order(struct chat *c, struct chat_value a, struct chat_value b, int *order)
{
    if (is_number(a) && is_number(b)) {
        *order = (a.i > b.i) - (a.i < b.i);
        return true;
    }
    if (a.type == CHAT_STRING && b.type == CHAT_STRING) {
        *order = order_strings(a.s, b.s);
        return chat_charge(c, a.s->n < b.s->n ? a.s->n : b.s->n);
    }
    if (a.type == CHAT_LIST && b.type == CHAT_LIST) {
        if (!chat_enter(c))
            return false;
        bool ok = chat_charge(c, 0) && order_lists(c, a.list, b.list, order);
        chat_leave(c);
        return ok;
    }
    if (a.type == CHAT_UNDEFINED || b.type == CHAT_UNDEFINED)
        return chat_undefined_error(c, a.type == CHAT_UNDEFINED ? a : b);
    return chat_fail(c, PRISM_E_FORMAT, "there is no order between %s and %s", chat_type_name(a), chat_type_name(b));
}

bool chat_contains(struct chat *c, struct chat_value container, struct chat_value item, bool *found)
{
    struct chat_value *value;

    *found = false;
    switch (container.type) {
    case CHAT_UNDEFINED: return true;
    case CHAT_STRING:
        if (item.type == CHAT_UNDEFINED)
            return chat_undefined_error(c, item);
        if (item.type != CHAT_STRING)
            return chat_fail(c, PRISM_E_FORMAT, "\"in\" a string: expected a string, found %s", chat_type_name(item));
        *found = chat_find(container.s, 0, item.s) != SIZE_MAX;
        return chat_charge(c, container.s->n + item.s->n);
    case CHAT_LIST:
        for (size_t i = 0; i < container.list->n && !*found; i++)
            if (!chat_equal(c, container.list->v[i], item, found))
                return false;
        return true;
    case CHAT_DICT:
        if (!chat_dict_get(c, container.dict, item, &value))
            return false;
        *found = value != NULL;
        return true;
    default: return chat_fail(c, PRISM_E_FORMAT, "\"in\": %s holds nothing", chat_type_name(container));
    }
}

bool chat_length(struct chat *c, struct chat_value v, int64_t *n)
{
    switch (v.type) {
    case CHAT_UNDEFINED: *n = 0; return true;
    case CHAT_STRING: *n = (int64_t)chat_characters(v.s->p, v.s->n); return chat_charge(c, v.s->n);
    case CHAT_LIST: *n = (int64_t)v.list->n; return true;
    case CHAT_DICT: *n = (int64_t)v.dict->n; return true;
    default: return chat_fail(c, PRISM_E_FORMAT, "%s has no length", chat_type_name(v));
    }
}

/* ---- lists and mappings ---- */

bool chat_new_list(struct chat *c, size_t n, bool tuple, struct chat_list **list, struct chat_value *out)
{
    struct chat_list *l = *list = chat_alloc(c, 1, sizeof *l);

    if (!l || (n && !(l->v = chat_alloc(c, n, sizeof *l->v))))
        return false;
    l->n = n;
    *out = (struct chat_value){ .type = CHAT_LIST, .tuple = tuple, .list = l };
    return true;
}

bool chat_new_dict(struct chat *c, enum chat_type type, struct chat_value *out)
{
    struct chat_dict *d = chat_alloc(c, 1, sizeof *d);

    *out = (struct chat_value){ .type = type, .dict = d };
    return d != NULL;
}

bool chat_dict_get(struct chat *c, const struct chat_dict *d, struct chat_value key, struct chat_value **found)
{
    bool equal;

    *found = NULL;
    for (size_t i = 0; i < d->n; i++) {
        if (!chat_equal(c, d->pairs[i].key, key, &equal))
            return false;
        if (equal) {
            *found = &d->pairs[i].value;
            return true;
        }
    }
    return true;
}

bool chat_dict_text(struct chat *c, const struct chat_dict *d, const char *key, size_t n, struct chat_value **found)
{
    struct chat_string s = { .p = key, .n = n };
    return chat_dict_get(c, d, (struct chat_value){ .type = CHAT_STRING, .s = &s }, found);
}

bool chat_dict_set(struct chat *c, struct chat_dict *d, struct chat_value key, struct chat_value value)
{
    struct chat_value *found;

    if (key.type == CHAT_LIST || key.type == CHAT_DICT || key.type == CHAT_UNDEFINED)
        return chat_fail(c, PRISM_E_FORMAT, "%s cannot be a key", chat_type_name(key));
    if (!chat_dict_get(c, d, key, &found))
        return false;
    if (found) {
        *found = value;
        return true;
    }
    if (d->n == d->cap) {
        size_t cap = d->cap ? 2 * d->cap : 4;
        struct chat_pair *pairs = chat_alloc(c, cap, sizeof *pairs);
        if (!pairs)
            return false;
        if (d->n)
            memcpy(pairs, d->pairs, d->n * sizeof *pairs);
        d->pairs = pairs;
        d->cap = cap;
    }
    d->pairs[d->n++] = (struct chat_pair){ key, value };
    return true;
}

bool chat_pair_items(struct chat *c, const struct chat_dict *d, struct chat_value *out)
{
    struct chat_list *all, *pair;

    if (!chat_new_list(c, d->n, false, &all, out))
        return false;
    for (size_t i = 0; i < d->n; i++) {
        if (!chat_new_list(c, 2, true, &pair, &all->v[i]))
            return false;
        pair->v[0] = d->pairs[i].key;
        pair->v[1] = d->pairs[i].value;
    }
    return true;
}

static bool characters(struct chat *c, const struct chat_string *s, const struct chat_list **items)
{
    struct chat_list *list;
    struct chat_value v;
    size_t at = 0, k;

    if (!chat_new_list(c, chat_characters(s->p, s->n), false, &list, &v))
        return false;
    for (size_t i = 0; i < list->n; i++, at += k) {
        k = chat_unit(s->p + at, s->n - at);
        if (!chat_slice(c, s, at, k, &list->v[i]))
            return false;
    }
    *items = list;
    return true;
}

bool chat_items(struct chat *c, struct chat_value v, const struct chat_list **items)
{
    struct chat_list *list;
    struct chat_value unused;

    switch (v.type) {
    case CHAT_LIST: *items = v.list; return true;
    case CHAT_STRING: return characters(c, v.s, items);
    case CHAT_UNDEFINED:
    case CHAT_DICT:
        *items = NULL;
        if (!chat_new_list(c, v.type == CHAT_DICT ? v.dict->n : 0, false, &list, &unused))
            return false;
        for (size_t i = 0; i < list->n; i++)
            list->v[i] = v.dict->pairs[i].key;
        *items = list;
        return true;
    default: return chat_fail(c, PRISM_E_FORMAT, "%s cannot be iterated over", chat_type_name(v));
    }
}

/* ---- sorting ---- */

struct sorting {
    int by;
    bool ignore_case, reverse;
};

static bool sort_key(struct chat *c, const struct sorting *s, struct chat_value v, struct chat_value *key)
{
    *key = s->by >= 0 && v.type == CHAT_LIST && (size_t)s->by < v.list->n ? v.list->v[s->by] : v;
    return !s->ignore_case || key->type != CHAT_STRING || chat_recase(c, key->s, CHAT_LOWER, key);
}

/* from[lo, mid) and from[mid, hi) into `to`; keys go along. */
static bool merge(struct chat *c, const struct sorting *s, const struct chat_pair *from, struct chat_pair *to, size_t lo, size_t mid, size_t hi)
{
    size_t i = lo, j = mid;
    int order;

    for (size_t k = lo; k < hi; k++) {
        order = j == hi ? -1 : i == mid ? 1 : 0;
        if (!order && !chat_order(c, from[i].key, from[j].key, &order))
            return false;
        else if (i < mid && j < hi && s->reverse)
            order = -order;
        to[k] = from[order > 0 ? j++ : i++];
    }
    return chat_charge(c, (hi - lo) * 16);
}

bool chat_sort(struct chat *c, struct chat_list *l, int by, bool ignore_case, bool reverse)
{
    struct sorting s = { by, ignore_case, reverse };
    struct chat_pair *a = chat_alloc(c, l->n + 1, sizeof *a), *b = chat_alloc(c, l->n + 1, sizeof *b), *t;

    if (!a || !b)
        return false;
    for (size_t i = 0; i < l->n; i++) {
        a[i].value = l->v[i];
        if (!sort_key(c, &s, l->v[i], &a[i].key))
            return false;
    }
    for (size_t width = 1; width < l->n; width *= 2) {
        for (size_t lo = 0; lo < l->n; lo += 2 * width) {
            size_t mid = lo + width < l->n ? lo + width : l->n, hi = lo + 2 * width < l->n ? lo + 2 * width : l->n;
            if (!merge(c, &s, a, b, lo, mid, hi))
                return false;
        }
        t = a, a = b, b = t;
    }
    for (size_t i = 0; i < l->n; i++)
        l->v[i] = a[i].value;
    return true;
}
