/* exec.c - statements: what they write and what they remember. Loops, macros and captured blocks have a scope of their own, "if" has none. */
#include "src/chat/internal.h"

#define NESTS __attribute__((noinline)) static

static struct chat_scope *new_scope(struct chat *c, struct chat_scope *parent)
{
    struct chat_scope *s = chat_alloc(c, 1, sizeof *s);

    if (s)
        *s = (struct chat_scope){ .parent = parent };
    return s;
}

bool chat_capture(struct chat *c, struct chat_scope *s, const struct chat_node *list, struct chat_value *out)
{
    struct chat_builder *before = c->out, *b = chat_alloc(c, 1, sizeof *b);

    if (!b)
        return false;
    c->out = b;
    enum chat_flow flow = chat_exec(c, s, list);
    c->out = before;
    return flow != CHAT_FAILED && chat_built(c, b, out);
}

/* ---- set ---- */

static bool assign_attribute(struct chat *c, struct chat_scope *s, const struct chat_node *target, struct chat_value v)
{
    struct chat_value of, name = { .type = CHAT_STRING, .s = target->a->s };

    if (!chat_lookup(c, s, target->s, &of))
        return false;
    if (of.type == CHAT_UNDEFINED)
        return chat_undefined_error(c, of);
    if (of.type != CHAT_NAMESPACE)
        return chat_fail(c, PRISM_E_FORMAT, "\"%.*s\" is no namespace: its attributes cannot be set", SHOW(target->s->p, target->s->n));
    return chat_dict_set(c, of.dict, name, v);
}

static bool assign_one(struct chat *c, struct chat_scope *s, const struct chat_node *target, struct chat_value v)
{
    return target->a ? assign_attribute(c, s, target, v) : chat_assign(c, s, target->s, v);
}

/* One value for one target, or the items of one for several. */
static bool assign(struct chat *c, struct chat_scope *s, const struct chat_node *targets, struct chat_value v)
{
    const struct chat_list *items;
    size_t n = 0;

    if (!targets->next)
        return assign_one(c, s, targets, v);
    for (const struct chat_node *t = targets; t; t = t->next)
        n++;
    if (v.type == CHAT_UNDEFINED)
        return chat_undefined_error(c, v);
    if (!chat_items(c, v, &items))
        return false;
    if (items->n != n)
        return chat_fail(c, PRISM_E_FORMAT, "expected %zu values to unpack, found %zu", n, items->n);
    n = 0;
    for (const struct chat_node *t = targets; t; t = t->next)
        if (!assign_one(c, s, t, items->v[n++]))
            return false;
    return true;
}

static bool apply_filters(struct chat *c, struct chat_scope *s, const struct chat_node *filters, struct chat_value *v)
{
    struct chat_arguments a;

    for (; filters; filters = filters->next) {
        c->line = filters->line;
        if (!chat_eval_arguments(c, s, filters->a, &a) || !chat_filter(c, filters->s, *v, &a, v))
            return false;
    }
    return true;
}

/* Set blocks, filter blocks, generation: the body as a value. */
NESTS bool exec_block(struct chat *c, struct chat_scope *s, const struct chat_node *n)
{
    struct chat_scope *inner = new_scope(c, s);
    struct chat_value v;

    if (!inner || !chat_capture(c, inner, n->b, &v) || !apply_filters(c, s, n->c, &v))
        return false;
    return n->kind == N_SET_BLOCK ? assign(c, s, n->a, v) : chat_write(c, c->out, v);
}

NESTS bool exec_set(struct chat *c, struct chat_scope *s, const struct chat_node *n)
{
    struct chat_value v;

    return chat_eval(c, s, n->b, &v) && assign(c, s, n->a, v);
}

NESTS bool exec_print(struct chat *c, struct chat_scope *s, const struct chat_node *n)
{
    struct chat_value v;

    return chat_eval(c, s, n->a, &v) && chat_write(c, c->out, v);
}

static bool exec_macro(struct chat *c, struct chat_scope *s, const struct chat_node *n)
{
    struct chat_macro *m = chat_alloc(c, 1, sizeof *m);

    if (!m)
        return false;
    *m = (struct chat_macro){ n, s };
    return chat_assign(c, s, n->s, (struct chat_value){ .type = CHAT_MACRO, .macro = m });
}

/* ---- if, for ---- */

NESTS enum chat_flow exec_if(struct chat *c, struct chat_scope *s, const struct chat_node *n)
{
    struct chat_value v;

    for (const struct chat_node *b = n->a; b; b = b->next) {
        if (b->a && !chat_eval(c, s, b->a, &v))
            return CHAT_FAILED;
        if (!b->a || chat_truth(v))
            return chat_exec(c, s, b->b);
    }
    return CHAT_GO_ON;
}

/* The items that the loop's filter lets through. */
NESTS bool loop_items(struct chat *c, struct chat_scope *s, const struct chat_node *n, const struct chat_list **items)
{
    struct chat_value v, yes;
    struct chat_list *kept;

    if (!chat_eval(c, s, n->b, &v) || !chat_items(c, v, items))
        return false;
    if (!n->c->a)
        return true;
    if (!chat_new_list(c, (*items)->n, false, &kept, &v))
        return false;
    kept->n = 0;
    for (size_t i = 0; i < (*items)->n; i++) {
        struct chat_scope *inner = new_scope(c, s);
        if (!inner || !assign(c, inner, n->a, (*items)->v[i]) || !chat_eval(c, inner, n->c->a, &yes))
            return false;
        if (chat_truth(yes))
            kept->v[kept->n++] = (*items)->v[i];
    }
    *items = kept;
    return true;
}

NESTS enum chat_flow exec_for(struct chat *c, struct chat_scope *s, const struct chat_node *n)
{
    static const struct chat_string name = { .p = "loop", .n = 4 };
    struct chat_loop *loop = chat_alloc(c, 1, sizeof *loop);

    if (!loop || !loop_items(c, s, n, &loop->items))
        return CHAT_FAILED;
    if (!loop->items->n)
        return chat_exec(c, s, n->d);
    for (; loop->at < loop->items->n; loop->at++) {
        struct chat_scope *inner = new_scope(c, s);
        if (!inner || !chat_charge(c, 0))
            return CHAT_FAILED;
        if (!assign(c, inner, n->a, loop->items->v[loop->at]) ||
            !chat_assign(c, inner, &name, (struct chat_value){ .type = CHAT_LOOP, .loop = loop }))
            return CHAT_FAILED;
        enum chat_flow flow = chat_exec(c, inner, n->c->b);
        if (flow == CHAT_FAILED)
            return flow;
        if (flow == CHAT_BREAK)
            break;
    }
    return CHAT_GO_ON;
}

static enum chat_flow exec_statement(struct chat *c, struct chat_scope *s, const struct chat_node *n)
{
    bool ok;

    switch (n->kind) {
    case N_IF: return exec_if(c, s, n);
    case N_FOR: return exec_for(c, s, n);
    case N_BREAK: return CHAT_BREAK;
    case N_CONTINUE: return CHAT_CONTINUE;
    case N_DATA: ok = chat_add(c, c->out, n->s); break;
    case N_PRINT: ok = exec_print(c, s, n); break;
    case N_SET: ok = exec_set(c, s, n); break;
    case N_MACRO: ok = exec_macro(c, s, n); break;
    default: ok = exec_block(c, s, n); break;
    }
    return ok ? CHAT_GO_ON : CHAT_FAILED;
}

enum chat_flow chat_exec(struct chat *c, struct chat_scope *s, const struct chat_node *list)
{
    enum chat_flow flow = CHAT_GO_ON;

    if (!chat_enter(c))
        return CHAT_FAILED;
    for (; list && flow == CHAT_GO_ON; list = list->next) {
        c->line = list->line;
        flow = chat_charge(c, 0) ? exec_statement(c, s, list) : CHAT_FAILED;
    }
    chat_leave(c);
    return flow;
}
