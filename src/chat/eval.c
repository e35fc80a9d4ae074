/* eval.c - expressions to values. One small function per kind of node, not inlined: what nests is the frame of chat_eval and of one of these. */
#include <string.h>

#include "src/chat/internal.h"

#define NESTS __attribute__((noinline)) static

/* ---- variables ---- */

static struct chat_variable *find(struct chat *c, const struct chat_scope *s, const struct chat_string *name)
{
    size_t looked_at = 0;
    struct chat_variable *v = s->first;

    while (v && !chat_equal_bytes(v->name, v->n, name->p, name->n)) {
        v = v->next;
        looked_at++;
    }
    return chat_charge(c, 4 * looked_at) ? v : NULL;
}

bool chat_lookup(struct chat *c, const struct chat_scope *s, const struct chat_string *name, struct chat_value *out)
{
    *out = chat_undefined(name);
    for (; s && !c->status; s = s->parent) {
        const struct chat_variable *v = find(c, s, name);
        if (v) {
            *out = v->value;
            return true;
        }
    }
    return !c->status;
}

bool chat_assign(struct chat *c, struct chat_scope *s, const struct chat_string *name, struct chat_value value)
{
    struct chat_variable *v = find(c, s, name);

    if (c->status)
        return false;
    if (!v) {
        if (!(v = chat_alloc(c, 1, sizeof *v)))
            return false;
        *v = (struct chat_variable){ .next = s->first, .name = name->p, .n = name->n };
        s->first = v;
    }
    v->value = value;
    return true;
}

/* ---- literals ---- */

NESTS bool eval_list(struct chat *c, struct chat_scope *s, const struct chat_node *n, struct chat_value *out)
{
    struct chat_list *list;
    size_t count = 0;

    for (const struct chat_node *i = n->a; i; i = i->next)
        count++;
    if (!chat_new_list(c, count, n->kind == N_TUPLE, &list, out))
        return false;
    count = 0;
    for (const struct chat_node *i = n->a; i; i = i->next)
        if (!chat_eval(c, s, i, &list->v[count++]))
            return false;
    return true;
}

NESTS bool eval_dict(struct chat *c, struct chat_scope *s, const struct chat_node *n, struct chat_value *out)
{
    struct chat_value key, value;

    if (!chat_new_dict(c, CHAT_DICT, out))
        return false;
    for (const struct chat_node *i = n->a; i; i = i->next)
        if (!chat_eval(c, s, i->a, &key) || !chat_eval(c, s, i->b, &value) || !chat_dict_set(c, out->dict, key, value))
            return false;
    return true;
}

/* ---- operators ---- */

NESTS bool eval_choice(struct chat *c, struct chat_scope *s, const struct chat_node *n, struct chat_value *out)
{
    if (!chat_eval(c, s, n->b, out))
        return false;
    const struct chat_node *chosen = chat_truth(*out) ? n->a : n->c;
    *out = chat_undefined(NULL);
    return !chosen || chat_eval(c, s, chosen, out);
}

/* "and", "or": the operand that decides. */
NESTS bool eval_logic(struct chat *c, struct chat_scope *s, const struct chat_node *n, struct chat_value *out)
{
    if (!chat_eval(c, s, n->a, out))
        return false;
    for (const struct chat_node *i = n->b; i && chat_truth(*out) == (n->kind == N_AND); i = i->next)
        if (!chat_eval(c, s, i->a, out))
            return false;
    return true;
}

static bool compare(struct chat *c, unsigned op, struct chat_value a, struct chat_value b, bool *yes)
{
    bool equality = op == OP2('=', '=') || op == OP2('!', '='), inside = op == OP1('i') || op == OP2('!', 'i');
    int order = 0;

    if (equality || inside) {
        if (!(equality ? chat_equal(c, a, b, yes) : chat_contains(c, b, a, yes)))
            return false;
        *yes = *yes != (op == OP2('!', '=') || op == OP2('!', 'i'));
        return true;
    }
    if (!chat_order(c, a, b, &order))
        return false;
    *yes = op == OP1('<') ? order < 0 : op == OP1('>') ? order > 0 : op == OP2('<', '=') ? order <= 0 : order >= 0;
    return true;
}

/* a < b < c: both. */
NESTS bool eval_compare(struct chat *c, struct chat_scope *s, const struct chat_node *n, struct chat_value *out)
{
    struct chat_value left, right;
    bool yes = true;

    if (!chat_eval(c, s, n->a, &left))
        return false;
    for (const struct chat_node *i = n->b; i && yes; i = i->next, left = right) {
        if (!chat_eval(c, s, i->a, &right))
            return false;
        c->line = i->line;
        if (!compare(c, i->op, left, right, &yes))
            return false;
    }
    *out = chat_bool(yes);
    return true;
}

static int64_t floor_divide(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

/* Integers; what does not fit is an error. */
static bool calculate(struct chat *c, unsigned op, int64_t a, int64_t b, struct chat_value *out)
{
    int64_t r = 0;
    bool divides = op == OP1('%') || op == OP2('/', '/'), overflow = false;

    if (divides && b == 0)
        return chat_fail(c, PRISM_E_FORMAT, "division by zero");
    if (op == OP1('+'))
        overflow = __builtin_add_overflow(a, b, &r);
    else if (op == OP1('-'))
        overflow = __builtin_sub_overflow(a, b, &r);
    else if (op == OP1('*'))
        overflow = __builtin_mul_overflow(a, b, &r);
    else if (divides && b == -1)
        overflow = op == OP1('%') ? false : __builtin_sub_overflow((int64_t)0, a, &r);
    else if (divides)
        r = op == OP1('%') ? a - b * floor_divide(a, b) : floor_divide(a, b);
    else
        return chat_fail(c, PRISM_E_UNSUPPORTED, "operator \"%s\" is not supported", op == OP1('/') ? "/" : "**");
    if (overflow)
        return chat_fail(c, PRISM_E_UNSUPPORTED, "a number does not fit into 64 bits");
    *out = chat_int(r);
    return true;
}

static bool join_strings(struct chat *c, struct chat_value a, struct chat_value b, struct chat_value *out)
{
    struct chat_builder text = { 0 };

    return chat_write(c, &text, a) && chat_write(c, &text, b) && chat_built(c, &text, out);
}

static bool join_lists(struct chat *c, struct chat_value a, struct chat_value b, struct chat_value *out)
{
    struct chat_list *list;

    if (!chat_new_list(c, a.list->n + b.list->n, a.tuple, &list, out))
        return false;
    if (a.list->n)
        memcpy(list->v, a.list->v, a.list->n * sizeof *list->v);
    if (b.list->n)
        memcpy(list->v + a.list->n, b.list->v, b.list->n * sizeof *list->v);
    return true;
}

static bool repeat(struct chat *c, const struct chat_string *s, int64_t times, struct chat_value *out)
{
    struct chat_builder b = { 0 };

    for (int64_t i = 0; i < times && s->n; i++)
        if (!chat_add(c, &b, s))
            return false;
    return chat_built(c, &b, out);
}

static bool binary(struct chat *c, unsigned op, struct chat_value a, struct chat_value b, struct chat_value *out)
{
    bool numbers = (a.type == CHAT_INT || a.type == CHAT_BOOL) && (b.type == CHAT_INT || b.type == CHAT_BOOL);
    char shown[3] = { (char)(op & 0xFF), (char)(op >> 8), 0 };

    if (op == OP1('~'))
        return join_strings(c, a, b, out);
    if (a.type == CHAT_UNDEFINED || b.type == CHAT_UNDEFINED)
        return chat_undefined_error(c, a.type == CHAT_UNDEFINED ? a : b);
    if (numbers)
        return calculate(c, op, a.i, b.i, out);
    if (op == OP1('+') && a.type == CHAT_STRING && b.type == CHAT_STRING)
        return join_strings(c, a, b, out);
    if (op == OP1('+') && a.type == CHAT_LIST && b.type == CHAT_LIST && a.tuple == b.tuple)
        return join_lists(c, a, b, out);
    if (op == OP1('*') && a.type == CHAT_STRING && b.type == CHAT_INT)
        return repeat(c, a.s, b.i, out);
    if (op == OP1('*') && a.type == CHAT_INT && b.type == CHAT_STRING)
        return repeat(c, b.s, a.i, out);
    if (op == OP1('%') && a.type == CHAT_STRING)
        return chat_fail(c, PRISM_E_UNSUPPORTED, "operator \"%%\" for strings is not supported");
    return chat_fail(c, PRISM_E_FORMAT, "operator \"%s\" between %s and %s", shown, chat_type_name(a), chat_type_name(b));
}

NESTS bool eval_binary(struct chat *c, struct chat_scope *s, const struct chat_node *n, struct chat_value *out)
{
    struct chat_value right;

    if (!chat_eval(c, s, n->a, out))
        return false;
    for (const struct chat_node *i = n->b; i; i = i->next) {
        if (!chat_eval(c, s, i->a, &right))
            return false;
        c->line = i->line;
        if (!binary(c, i->op, *out, right, out))
            return false;
    }
    return true;
}

/* not, -, + */
NESTS bool eval_sign(struct chat *c, struct chat_scope *s, const struct chat_node *n, struct chat_value *out)
{
    if (!chat_eval(c, s, n->a, out))
        return false;
    if (n->kind == N_NOT) {
        *out = chat_bool(!chat_truth(*out));
        return true;
    }
    if (out->type == CHAT_UNDEFINED)
        return chat_undefined_error(c, *out);
    if (out->type != CHAT_INT && out->type != CHAT_BOOL)
        return chat_fail(c, PRISM_E_FORMAT, "a sign before %s", chat_type_name(*out));
    return calculate(c, n->kind == N_NEGATIVE ? OP1('-') : OP1('+'), 0, out->i, out);
}

/* ---- what follows an operand ---- */

NESTS bool eval_slice(struct chat *c, struct chat_scope *s, const struct chat_node *n, struct chat_value *v)
{
    struct chat_value *bounds = chat_alloc(c, 3, sizeof *bounds);
    const struct chat_node *parts[3] = { n->a, n->b, n->c };

    for (int i = 0; bounds && i < 3; i++) {
        bounds[i] = chat_none();
        if (parts[i] && !chat_eval(c, s, parts[i], &bounds[i]))
            return false;
    }
    c->line = n->line;
    return bounds && chat_slice_of(c, *v, bounds, v);
}

NESTS bool eval_item(struct chat *c, struct chat_scope *s, const struct chat_node *n, struct chat_value *v)
{
    struct chat_value key;

    return chat_eval(c, s, n->a, &key) && chat_item(c, *v, key, v);
}

/* Calls, filters, tests. */
NESTS bool eval_applied(struct chat *c, struct chat_scope *s, const struct chat_node *n, struct chat_value *v)
{
    struct chat_arguments a;
    bool yes;

    if (!chat_eval_arguments(c, s, n->a, &a))
        return false;
    c->line = n->line;
    if (n->kind == N_CALL)
        return chat_call(c, *v, &a, v);
    if (n->kind == N_FILTER)
        return chat_filter(c, n->s, *v, &a, v);
    if (!chat_test(c, n->s, *v, &a, &yes))
        return false;
    *v = chat_bool(yes != (n->op != 0));
    return true;
}

NESTS bool eval_postfix(struct chat *c, struct chat_scope *s, const struct chat_node *n, struct chat_value *out)
{
    if (!chat_eval(c, s, n->a, out))
        return false;
    for (const struct chat_node *i = n->b; i; i = i->next) {
        bool ok;
        c->line = i->line;
        switch (i->kind) {
        case N_ATTRIBUTE: ok = chat_attribute(c, *out, i->s, out); break;
        case N_ITEM: ok = eval_item(c, s, i, out); break;
        case N_SLICE: ok = eval_slice(c, s, i, out); break;
        default: ok = eval_applied(c, s, i, out); break;
        }
        if (!ok)
            return false;
    }
    return true;
}

NESTS bool eval_node(struct chat *c, struct chat_scope *s, const struct chat_node *n, struct chat_value *out)
{
    switch (n->kind) {
    case N_STRING: *out = (struct chat_value){ .type = CHAT_STRING, .s = n->s }; return true;
    case N_INT: *out = chat_int(n->i); return true;
    case N_BOOL: *out = chat_bool(n->i != 0); return true;
    case N_NONE: *out = chat_none(); return true;
    case N_NAME: return chat_lookup(c, s, n->s, out);
    case N_LIST:
    case N_TUPLE: return eval_list(c, s, n, out);
    case N_DICT: return eval_dict(c, s, n, out);
    case N_IF_ELSE: return eval_choice(c, s, n, out);
    case N_OR:
    case N_AND: return eval_logic(c, s, n, out);
    case N_NOT:
    case N_NEGATIVE:
    case N_POSITIVE: return eval_sign(c, s, n, out);
    case N_COMPARE: return eval_compare(c, s, n, out);
    case N_BINARY: return eval_binary(c, s, n, out);
    case N_POSTFIX: return eval_postfix(c, s, n, out);
    default: return chat_fail(c, PRISM_E_UNSUPPORTED, "numbers with a fraction are not supported");
    }
}

bool chat_eval(struct chat *c, struct chat_scope *s, const struct chat_node *n, struct chat_value *out)
{
    c->line = n->line;
    if (!chat_charge(c, 0) || !chat_enter(c))
        return false;
    bool ok = eval_node(c, s, n, out);
    chat_leave(c);
    return ok;
}
