/* access.c - a.b, a[b] and slices. Mappings have keys before attributes for a[b], and attributes before keys for a.b. */
#include "src/chat/internal.h"

static bool bound_method(struct chat *c, struct chat_value of, const struct chat_string *name, struct chat_value *out)
{
    const struct chat_method_row *row = chat_method_find(of.type, name);
    struct chat_method *m;

    if (!row) {
        *out = chat_undefined(name);
        return true;
    }
    if (!(m = chat_alloc(c, 1, sizeof *m)))
        return false;
    *m = (struct chat_method){ row, of };
    *out = (struct chat_value){ .type = CHAT_METHOD, .method = m };
    return true;
}

static struct chat_value neighbour(const struct chat_loop *l, bool there, size_t at, const struct chat_string *name)
{
    return there ? l->items->v[at] : chat_undefined(name);
}

static void loop_attribute(const struct chat_loop *l, const struct chat_string *name, struct chat_value *out)
{
    int64_t at = (int64_t)l->at, n = (int64_t)l->items->n;
    const struct { const char *name; struct chat_value value; } rows[] = {
        { "index", chat_int(at + 1) },     { "index0", chat_int(at) },          { "first", chat_bool(at == 0) },
        { "last", chat_bool(at == n - 1) }, { "length", chat_int(n) },           { "revindex", chat_int(n - at) },
        { "revindex0", chat_int(n - at - 1) }, { "depth", chat_int(1) },         { "depth0", chat_int(0) }, /* of recursion, which is not there */
        { "previtem", neighbour(l, at > 0, l->at - 1, name) }, { "nextitem", neighbour(l, at + 1 < n, l->at + 1, name) },
    };

    *out = chat_undefined(name);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (chat_is(name, rows[i].name))
            *out = rows[i].value;
}

static bool key(struct chat *c, const struct chat_dict *d, const struct chat_string *name, struct chat_value *out)
{
    struct chat_value *found;

    if (!chat_dict_text(c, d, name->p, name->n, &found))
        return false;
    *out = found ? *found : chat_undefined(name);
    return true;
}

bool chat_attribute(struct chat *c, struct chat_value of, const struct chat_string *name, struct chat_value *out)
{
    switch (of.type) {
    case CHAT_UNDEFINED: return chat_undefined_error(c, of);
    case CHAT_NAMESPACE: return key(c, of.dict, name, out);
    case CHAT_LOOP:
        loop_attribute(of.loop, name, out);
        return out->type != CHAT_UNDEFINED || bound_method(c, of, name, out);
    case CHAT_DICT:
        if (!bound_method(c, of, name, out))
            return false;
        return out->type == CHAT_METHOD || key(c, of.dict, name, out);
    default: return bound_method(c, of, name, out);
    }
}

/* Position i of n, counted from the end when negative. False: there is none. */
static bool position(int64_t i, size_t n, size_t *at)
{
    *at = (size_t)(i < 0 ? i + (int64_t)n : i);
    return i < (int64_t)n && i >= -(int64_t)n;
}

static bool character(struct chat *c, const struct chat_string *s, int64_t i, struct chat_value *out)
{
    size_t at, from = 0;

    *out = chat_undefined(NULL);
    if (!chat_charge(c, s->n))
        return false;
    if (!position(i, chat_characters(s->p, s->n), &at))
        return true;
    for (; at; at--)
        from += chat_unit(s->p + from, s->n - from);
    return chat_slice(c, s, from, chat_unit(s->p + from, s->n - from), out);
}

bool chat_item(struct chat *c, struct chat_value of, struct chat_value k, struct chat_value *out)
{
    struct chat_value *found;
    size_t at;

    *out = chat_undefined(k.type == CHAT_STRING ? k.s : NULL);
    if (of.type == CHAT_UNDEFINED)
        return chat_undefined_error(c, of);
    if (of.type == CHAT_DICT) {
        if (!chat_dict_get(c, of.dict, k, &found))
            return false;
        if (found)
            *out = *found;
        return found || k.type != CHAT_STRING || bound_method(c, of, k.s, out);
    }
    if (k.type == CHAT_INT && of.type == CHAT_LIST) {
        if (position(k.i, of.list->n, &at))
            *out = of.list->v[at];
        return true;
    }
    if (k.type == CHAT_INT && of.type == CHAT_STRING)
        return character(c, of.s, k.i, out);
    return k.type != CHAT_STRING || chat_attribute(c, of, k.s, out);
}

/* ---- slices ---- */

struct range {
    int64_t from, step;
    size_t n;
};

static int64_t clip(int64_t i, int64_t n, int64_t lo, int64_t hi)
{
    i = i < 0 ? i + n : i;
    return i < lo ? lo : i > hi ? hi : i;
}

/* As Python's slice.indices. */
static bool resolve(struct chat *c, const struct chat_value b[3], size_t length, struct range *r)
{
    int64_t n = (int64_t)length, lo, hi, to;

    for (int i = 0; i < 3; i++)
        if (b[i].type != CHAT_NONE && b[i].type != CHAT_INT && b[i].type != CHAT_BOOL)
            return b[i].type == CHAT_UNDEFINED ? chat_undefined_error(c, b[i])
                                               : chat_fail(c, PRISM_E_FORMAT, "a slice: expected integers, found %s", chat_type_name(b[i]));
    r->step = b[2].type == CHAT_NONE ? 1 : b[2].i;
    if (r->step == 0)
        return chat_fail(c, PRISM_E_FORMAT, "a slice has the step 0");
    lo = r->step < 0 ? -1 : 0;
    hi = r->step < 0 ? n - 1 : n;
    r->from = b[0].type == CHAT_NONE ? (r->step < 0 ? hi : lo) : clip(b[0].i, n, lo, hi);
    to = b[1].type == CHAT_NONE ? (r->step < 0 ? lo : hi) : clip(b[1].i, n, lo, hi);
    uint64_t distance = r->step > 0 ? (to > r->from ? (uint64_t)(to - r->from) : 0) : (r->from > to ? (uint64_t)(r->from - to) : 0);
    uint64_t step = r->step > 0 ? (uint64_t)r->step : -(uint64_t)r->step;
    r->n = (size_t)(distance / step + (distance % step != 0));
    return true;
}

static bool slice_string(struct chat *c, const struct chat_string *s, const struct chat_value bounds[3], struct chat_value *out)
{
    struct chat_builder b = { 0 };
    const struct chat_list *all;
    struct range r;

    if (!resolve(c, bounds, chat_characters(s->p, s->n), &r) || !chat_charge(c, s->n))
        return false;
    if (r.step == 1) { /* bytes that lie together */
        size_t from = 0, n = 0;
        for (int64_t i = 0; i < r.from && from < s->n; i++)
            from += chat_unit(s->p + from, s->n - from);
        for (size_t i = 0; i < r.n; i++)
            n += chat_unit(s->p + from + n, s->n - from - n);
        return chat_slice(c, s, from, n, out);
    }
    if (!chat_items(c, (struct chat_value){ .type = CHAT_STRING, .s = s }, &all))
        return false;
    for (size_t i = 0; i < r.n; i++)
        if (!chat_add(c, &b, all->v[r.from + (int64_t)i * r.step].s))
            return false;
    return chat_built(c, &b, out);
}

bool chat_slice_of(struct chat *c, struct chat_value of, const struct chat_value bounds[3], struct chat_value *out)
{
    struct chat_list *list;
    struct range r;

    if (of.type == CHAT_UNDEFINED)
        return chat_undefined_error(c, of);
    if (of.type == CHAT_STRING)
        return slice_string(c, of.s, bounds, out);
    if (of.type != CHAT_LIST)
        return chat_fail(c, PRISM_E_FORMAT, "%s has no slices", chat_type_name(of));
    if (!resolve(c, bounds, of.list->n, &r) || !chat_new_list(c, r.n, of.tuple, &list, out))
        return false;
    for (size_t i = 0; i < r.n; i++)
        list->v[i] = of.list->v[r.from + (int64_t)i * r.step];
    return true;
}
