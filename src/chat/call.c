/* call.c - arguments, macros and the global functions. */
#include <string.h>

#include "src/chat/internal.h"

bool chat_eval_arguments(struct chat *c, struct chat_scope *s, const struct chat_node *list, struct chat_arguments *out)
{
    size_t n = 0;

    *out = (struct chat_arguments){ 0 };
    for (const struct chat_node *i = list; i; i = i->next)
        n++;
    if (!n)
        return true;
    out->v = chat_alloc(c, n, sizeof *out->v);
    out->names = chat_alloc(c, n, sizeof *out->names);
    if (!out->v || !out->names)
        return false;
    for (const struct chat_node *i = list; i; i = i->next) {
        if (!i->s && out->n > out->n_positional)
            return chat_fail(c, PRISM_E_FORMAT, "an argument without a name stands behind one with a name");
        if (!chat_eval(c, s, i->a, &out->v[out->n]))
            return false;
        out->names[out->n++] = i->s;
        out->n_positional += !i->s;
    }
    return true;
}

bool chat_argument(const struct chat_arguments *a, size_t at, const char *name, struct chat_value *out)
{
    if (at < a->n_positional) {
        *out = a->v[at];
        return true;
    }
    for (size_t i = a->n_positional; i < a->n; i++)
        if (chat_is(a->names[i], name)) {
            *out = a->v[i];
            return true;
        }
    return false;
}

bool chat_argument_string(struct chat *c, const struct chat_arguments *a, size_t at, const char *name, const char *what, const struct chat_string **out)
{
    struct chat_value v;

    if (!chat_argument(a, at, name, &v) || v.type == CHAT_NONE)
        return true;
    if (v.type == CHAT_UNDEFINED)
        return chat_undefined_error(c, v);
    if (v.type != CHAT_STRING)
        return chat_fail(c, PRISM_E_FORMAT, "%s: %s: expected a string, found %s", what, name, chat_type_name(v));
    *out = v.s;
    return true;
}

bool chat_argument_int(struct chat *c, const struct chat_arguments *a, size_t at, const char *name, const char *what, int64_t *out)
{
    struct chat_value v;

    if (!chat_argument(a, at, name, &v) || v.type == CHAT_NONE)
        return true;
    if (v.type == CHAT_UNDEFINED)
        return chat_undefined_error(c, v);
    if (v.type != CHAT_INT && v.type != CHAT_BOOL)
        return chat_fail(c, PRISM_E_FORMAT, "%s: %s: expected an integer, found %s", what, name, chat_type_name(v));
    *out = v.i;
    return true;
}

bool chat_check_arguments(struct chat *c, const struct chat_arguments *a, size_t n, const char *const *names, const char *what)
{
    if (a->n_positional > n)
        return chat_fail(c, PRISM_E_FORMAT, "%s: expected at most %zu arguments, found %zu", what, n, a->n_positional);
    bool any = names[0] && !strcmp(names[0], "*");
    for (size_t i = a->n_positional; i < a->n && !any; i++) {
        const char *const *name = names;
        while (*name && !chat_is(a->names[i], *name))
            name++;
        if (!*name)
            return chat_fail(c, PRISM_E_UNSUPPORTED, "%s: argument \"%.*s\" is not supported", what, SHOW(a->names[i]->p, a->names[i]->n));
    }
    return true;
}

/* ---- macros ---- */

/* The parameters in a scope of their own; those without an argument have their default, which sees those before it. */
static bool bind(struct chat *c, const struct chat_macro *m, const struct chat_arguments *a, struct chat_scope *scope)
{
    size_t at = 0;
    struct chat_value v;

    for (const struct chat_node *p = m->node->a; p; p = p->next, at++) {
        bool given = at < a->n_positional;
        v = given ? a->v[at] : chat_undefined(p->s);
        for (size_t i = a->n_positional; i < a->n && !given; i++)
            if ((given = chat_equal_bytes(a->names[i]->p, a->names[i]->n, p->s->p, p->s->n)))
                v = a->v[i];
        if (!given && p->a && !chat_eval(c, scope, p->a, &v))
            return false;
        if (!chat_assign(c, scope, p->s, v))
            return false;
    }
    if (a->n_positional > at)
        return chat_fail(c, PRISM_E_FORMAT, "macro \"%.*s\": expected at most %zu arguments, found %zu", SHOW(m->node->s->p, m->node->s->n), at,
                         a->n_positional);
    for (size_t i = a->n_positional; i < a->n; i++) {
        const struct chat_node *p = m->node->a;
        while (p && !chat_equal_bytes(a->names[i]->p, a->names[i]->n, p->s->p, p->s->n))
            p = p->next;
        if (!p)
            return chat_fail(c, PRISM_E_FORMAT, "macro \"%.*s\" has no parameter \"%.*s\"", SHOW(m->node->s->p, m->node->s->n),
                             SHOW(a->names[i]->p, a->names[i]->n));
    }
    return true;
}

__attribute__((noinline)) static bool call_macro(struct chat *c, const struct chat_macro *m, const struct chat_arguments *a, struct chat_value *out)
{
    struct chat_scope *scope = chat_alloc(c, 1, sizeof *scope);

    if (!scope)
        return false;
    scope->parent = m->scope;
    return bind(c, m, a, scope) && chat_capture(c, scope, m->node->b, out);
}

/* ---- global functions ---- */

static bool make_namespace(struct chat *c, const struct chat_arguments *a, struct chat_value *out)
{
    struct chat_value key = { .type = CHAT_STRING };

    if (!chat_new_dict(c, CHAT_NAMESPACE, out))
        return false;
    if (a->n_positional > 1 || (a->n_positional && a->v[0].type != CHAT_DICT))
        return chat_fail(c, PRISM_E_FORMAT, "namespace: expected named arguments");
    for (size_t i = 0; a->n_positional && i < a->v[0].dict->n; i++)
        if (!chat_dict_set(c, out->dict, a->v[0].dict->pairs[i].key, a->v[0].dict->pairs[i].value))
            return false;
    for (size_t i = a->n_positional; i < a->n; i++) {
        key.s = a->names[i];
        if (!chat_dict_set(c, out->dict, key, a->v[i]))
            return false;
    }
    return true;
}

static bool make_dict(struct chat *c, const struct chat_arguments *a, struct chat_value *out)
{
    if (!make_namespace(c, a, out))
        return false;
    out->type = CHAT_DICT;
    return true;
}

static bool raise_exception(struct chat *c, const struct chat_arguments *a, struct chat_value *out)
{
    const struct chat_string *text = NULL;

    (void)out;
    if (a->n && !chat_string_of(c, a->v[0], &text))
        return false;
    return chat_fail(c, PRISM_E_ARG, "the template refuses these messages: %.*s", text ? (int)(text->n < 300 ? text->n : 300) : 0, text ? text->p : "");
}

static bool strftime_now(struct chat *c, const struct chat_arguments *a, struct chat_value *out)
{
    const struct chat_string *format = NULL;

    if (!chat_argument_string(c, a, 0, "format", "strftime_now", &format))
        return false;
    return format ? chat_date(c, format, out) : chat_fail(c, PRISM_E_FORMAT, "strftime_now: expected a format");
}

static bool range(struct chat *c, const struct chat_arguments *a, struct chat_value *out)
{
    int64_t v[3] = { 0, 0, 1 };
    struct chat_list *list;

    if (a->n == 0 || a->n > 3 || a->n != a->n_positional)
        return chat_fail(c, PRISM_E_FORMAT, "range: expected 1 to 3 arguments, found %zu", a->n);
    for (size_t i = 0; i < a->n; i++)
        if (!chat_argument_int(c, a, i, "bound", "range", &v[i]))
            return false;
    if (a->n == 1)
        v[1] = v[0], v[0] = 0;
    if (v[2] == 0)
        return chat_fail(c, PRISM_E_FORMAT, "range: the step is 0");
    bool up = v[2] > 0;
    uint64_t distance = up ? (v[1] > v[0] ? (uint64_t)v[1] - (uint64_t)v[0] : 0) : v[0] > v[1] ? (uint64_t)v[0] - (uint64_t)v[1] : 0;
    uint64_t step = up ? (uint64_t)v[2] : -(uint64_t)v[2], n = distance / step + (distance % step != 0);
    if (n > CHAT_MAX_RANGE)
        return chat_fail(c, PRISM_E_UNSUPPORTED, "range: more than %d numbers", CHAT_MAX_RANGE);
    if (!chat_new_list(c, n, false, &list, out))
        return false;
    for (size_t i = 0; i < n; i++)
        list->v[i] = chat_int((int64_t)((uint64_t)v[0] + i * (uint64_t)v[2]));
    return true;
}

static const struct {
    const char *name;
    bool (*fn)(struct chat *, const struct chat_arguments *, struct chat_value *);
} globals[] = {
    { "namespace", make_namespace }, { "dict", make_dict }, { "raise_exception", raise_exception }, { "strftime_now", strftime_now },
    { "range", range },
};

bool chat_add_globals(struct chat *c)
{
    struct chat_value name;

    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
        if (!chat_text(c, globals[i].name, strlen(globals[i].name), &name) ||
            !chat_assign(c, c->globals, name.s, (struct chat_value){ .type = CHAT_GLOBAL, .i = (int64_t)i }))
            return false;
    return true;
}

static bool call_method(struct chat *c, const struct chat_method *m, const struct chat_arguments *a, struct chat_value *out)
{
    if (!m->row->fn)
        return chat_fail(c, PRISM_E_UNSUPPORTED, "method \"%s\" is not supported", m->row->name);
    return chat_check_arguments(c, a, m->row->n_positional, m->row->names, m->row->name) && m->row->fn(c, m->self, a, out);
}

bool chat_call(struct chat *c, struct chat_value f, const struct chat_arguments *a, struct chat_value *out)
{
    switch (f.type) {
    case CHAT_MACRO: return call_macro(c, f.macro, a, out);
    case CHAT_METHOD: return call_method(c, f.method, a, out);
    case CHAT_GLOBAL: return globals[f.i].fn(c, a, out);
    case CHAT_UNDEFINED: return chat_undefined_error(c, f);
    default: return chat_fail(c, PRISM_E_FORMAT, "%s cannot be called", chat_type_name(f));
    }
}
