/* parse_expr.c - expressions. Operators by precedence, lowest first: a if b else c; or; and; not; comparisons, in; + -; ~; * / // %; signs; then
 * what is bound to an operand: .name [item] (call) |filter "is test". */
#include <string.h>

#include "src/chat/internal.h"

enum level { NO_OPERATOR, OR, AND, COMPARE, SUM, TILDE, PRODUCT, POWER };

#define OP_NOT_IN OP2('!', 'i')
#define OP_IN OP1('i')

static bool is_not_in(const struct chat_parser *p)
{
    return chat_at_name(p, "not") && p->at[1].kind == T_NAME && chat_equal_bytes(p->at[1].p, p->at[1].n, "in", 2);
}

static enum level level_of(const struct chat_parser *p)
{
    if (p->at->kind == T_NAME)
        return chat_at_name(p, "or") ? OR : chat_at_name(p, "and") ? AND : chat_at_name(p, "in") || is_not_in(p) ? COMPARE : NO_OPERATOR;
    if (p->at->kind != T_OP)
        return NO_OPERATOR;
    switch (p->at->op) {
    case OP2('=', '='):
    case OP2('!', '='):
    case OP2('<', '='):
    case OP2('>', '='):
    case OP1('<'):
    case OP1('>'): return COMPARE;
    case OP1('+'):
    case OP1('-'): return SUM;
    case OP1('~'): return TILDE;
    case OP1('*'):
    case OP1('/'):
    case OP1('%'):
    case OP2('/', '/'): return PRODUCT;
    case OP2('*', '*'): return POWER;
    default: return NO_OPERATOR;
    }
}

static unsigned take_operator(struct chat_parser *p)
{
    unsigned op = p->at->kind == T_OP ? p->at->op : chat_at_name(p, "not") ? OP_NOT_IN : OP_IN; /* "and" and "or" need none */
    p->at += op == OP_NOT_IN ? 2 : 1;
    return op;
}

/* ---- operands ---- */

/* Appends to a list. */
static bool append(struct chat_node ***end, struct chat_node *n)
{
    if (!n)
        return false;
    **end = n;
    *end = &n->next;
    return true;
}

static bool parse_items(struct chat_parser *p, unsigned close, struct chat_node **list)
{
    while (!chat_at_op(p, close)) {
        if (!append(&list, chat_parse_expression(p, true)))
            return false;
        if (!chat_skip_op(p, OP1(',')))
            break;
    }
    return chat_expect_op(p, close);
}

static bool parse_pairs(struct chat_parser *p, struct chat_node **list)
{
    while (!chat_at_op(p, OP1('}'))) {
        struct chat_node *pair = chat_node(p, N_PAIR);
        if (!pair || !(pair->a = chat_parse_expression(p, true)) || !chat_expect_op(p, OP1(':')) || !(pair->b = chat_parse_expression(p, true)))
            return false;
        append(&list, pair);
        if (!chat_skip_op(p, OP1(',')))
            break;
    }
    return chat_expect_op(p, OP1('}'));
}

/* Neighbouring strings are one. */
static struct chat_node *parse_string(struct chat_parser *p)
{
    struct chat_node *n = chat_node(p, N_STRING);
    struct chat_builder b = { 0 };
    struct chat_value v;

    for (; p->at->kind == T_STRING; p->at++)
        if (!chat_add_text(p->c, &b, p->at->p, p->at->n))
            return NULL;
    if (!n || !chat_built(p->c, &b, &v))
        return NULL;
    n->s = v.s;
    return n;
}

static struct chat_node *parse_name(struct chat_parser *p)
{
    static const struct { const char *name; enum chat_node_kind kind; int value; } constants[] = {
        { "true", N_BOOL, 1 }, { "True", N_BOOL, 1 }, { "false", N_BOOL, 0 }, { "False", N_BOOL, 0 }, { "none", N_NONE, 0 }, { "None", N_NONE, 0 },
    };
    static const char *const reserved[] = { "if", "else", "elif", "in", "is", "and", "or", "not", "for" };
    struct chat_node *n = chat_node(p, N_NAME);

    if (!n)
        return NULL;
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (chat_at_name(p, reserved[i])) {
            chat_unexpected(p, "a value");
            return NULL;
        }
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        if (chat_at_name(p, constants[i].name)) {
            n->kind = constants[i].kind;
            n->i = constants[i].value;
            p->at++;
            return n;
        }
    return chat_expect_name(p, &n->s) ? n : NULL;
}

/* Behind "(": an expression, or a tuple. */
static struct chat_node *parse_brackets(struct chat_parser *p)
{
    if (chat_skip_op(p, OP1(')')))
        return chat_node(p, N_TUPLE);
    struct chat_node *n = chat_parse_tuple(p, true);
    return n && chat_expect_op(p, OP1(')')) ? n : NULL;
}

static struct chat_node *parse_primary(struct chat_parser *p)
{
    struct chat_node *n = NULL;

    switch (p->at->kind) {
    case T_STRING: return parse_string(p);
    case T_NAME: return parse_name(p);
    case T_INT:
    case T_FLOAT:
        if ((n = chat_node(p, p->at->kind == T_INT ? N_INT : N_FLOAT)))
            n->i = p->at->i;
        p->at++;
        return n;
    default: break;
    }
    if (chat_skip_op(p, OP1('(')))
        return parse_brackets(p);
    if (chat_skip_op(p, OP1('[')))
        return (n = chat_node(p, N_LIST)) && parse_items(p, OP1(']'), &n->a) ? n : NULL;
    if (chat_skip_op(p, OP1('{')))
        return (n = chat_node(p, N_DICT)) && parse_pairs(p, &n->a) ? n : NULL;
    chat_unexpected(p, "a value");
    return NULL;
}

/* ---- what follows an operand ---- */

/* Behind "[": an item or a slice. */
static struct chat_node *parse_subscript(struct chat_parser *p)
{
    struct chat_node *n = chat_node(p, N_ITEM), **part[3];
    size_t at = 0;

    if (!n)
        return NULL;
    part[0] = &n->a, part[1] = &n->b, part[2] = &n->c;
    while (!chat_at_op(p, OP1(']'))) {
        if (chat_skip_op(p, OP1(':'))) {
            n->kind = N_SLICE;
            if (++at == 3) {
                chat_unexpected(p, "\"]\"");
                return NULL;
            }
        } else if (*part[at] || !(*part[at] = chat_parse_expression(p, true))) {
            chat_unexpected(p, "\"]\"");
            return NULL;
        }
    }
    if (n->kind == N_ITEM && !n->a) {
        chat_unexpected(p, "a value");
        return NULL;
    }
    return chat_expect_op(p, OP1(']')) ? n : NULL;
}

/* Behind ".": a name, or a number. */
static struct chat_node *parse_attribute(struct chat_parser *p)
{
    struct chat_node *n = chat_node(p, N_ATTRIBUTE), *number;

    if (!n || p->at->kind != T_INT)
        return n && chat_expect_name(p, &n->s) ? n : NULL;
    if (!(number = chat_node(p, N_INT)))
        return NULL;
    number->i = p->at++->i;
    n->kind = N_ITEM;
    n->a = number;
    return n;
}

bool chat_parse_arguments(struct chat_parser *p, struct chat_node **list)
{
    while (!chat_at_op(p, OP1(')'))) {
        struct chat_node *n = chat_node(p, N_ARGUMENT);
        if (!n)
            return false;
        if (chat_at_op(p, OP1('*')) || chat_at_op(p, OP2('*', '*')))
            return chat_fail(p->c, PRISM_E_UNSUPPORTED, "arguments behind \"*\" are not supported");
        if (p->at->kind == T_NAME && p->at[1].kind == T_OP && p->at[1].op == OP1('=')) {
            if (!chat_expect_name(p, &n->s))
                return false;
            p->at++;
        }
        if (!(n->a = chat_parse_expression(p, true)))
            return false;
        append(&list, n);
        if (!chat_skip_op(p, OP1(',')))
            break;
    }
    return chat_expect_op(p, OP1(')'));
}

struct chat_node *chat_parse_filter(struct chat_parser *p)
{
    struct chat_node *n = chat_node(p, N_FILTER);

    if (!n || !chat_expect_name(p, &n->s) || (chat_skip_op(p, OP1('(')) && !chat_parse_arguments(p, &n->a)))
        return NULL;
    return n;
}

static struct chat_node *parse_suffix(struct chat_parser *p);

/* Behind "is". */
static struct chat_node *parse_test(struct chat_parser *p)
{
    struct chat_node *n = chat_node(p, N_TEST), *argument;

    if (!n)
        return NULL;
    n->op = chat_skip_name(p, "not");
    if (!chat_expect_name(p, &n->s))
        return NULL;
    if (chat_skip_op(p, OP1('(')))
        return chat_parse_arguments(p, &n->a) ? n : NULL;
    if (!chat_test_takes_argument(n->s) || chat_at_name(p, "else") || chat_at_name(p, "or") || chat_at_name(p, "and"))
        return n;
    if (!(n->a = chat_node(p, N_ARGUMENT)) || !(argument = chat_node(p, N_POSTFIX)) || !(argument->a = parse_primary(p)))
        return NULL;
    for (struct chat_node **end = &argument->b; chat_at_op(p, OP1('.')) || chat_at_op(p, OP1('[')) || chat_at_op(p, OP1('('));)
        if (!append(&end, parse_suffix(p)))
            return NULL;
    n->a->a = argument;
    return n;
}

/* NULL with c->status 0: there is none. */
static struct chat_node *parse_suffix(struct chat_parser *p)
{
    struct chat_node *n;

    if (chat_skip_op(p, OP1('.')))
        return parse_attribute(p);
    if (chat_skip_op(p, OP1('[')))
        return parse_subscript(p);
    if (chat_skip_op(p, OP1('|')))
        return chat_parse_filter(p);
    if (chat_skip_name(p, "is"))
        return parse_test(p);
    if (chat_at_op(p, OP1('(')) && (n = chat_node(p, N_CALL))) {
        p->at++;
        return chat_parse_arguments(p, &n->a) ? n : NULL;
    }
    return NULL;
}

static bool at_filter(const struct chat_parser *p) { return chat_at_op(p, OP1('|')) || chat_at_name(p, "is"); }

/* A sign binds tighter than filters and tests, and looser than the other suffixes. */
static struct chat_node *parse_operand(struct chat_parser *p, bool filters)
{
    struct chat_node *base, *suffix, *n;
    bool sign = chat_at_op(p, OP1('-')) || chat_at_op(p, OP1('+'));

    if (!chat_enter(p->c))
        return NULL;
    if (sign) {
        base = chat_node(p, chat_at_op(p, OP1('-')) ? N_NEGATIVE : N_POSITIVE);
        p->at++;
        if (base && !(base->a = parse_operand(p, false)))
            base = NULL;
    } else {
        base = parse_primary(p);
    }
    chat_leave(p->c);
    if (!base || !(n = chat_node(p, N_POSTFIX)))
        return NULL;
    n->a = base;
    for (struct chat_node **end = &n->b; at_filter(p) ? filters : !sign;) {
        if (!(suffix = parse_suffix(p)))
            return p->c->status ? NULL : n->b ? n : base;
        append(&end, suffix);
    }
    return n->b ? n : base;
}

/* ---- operators ---- */

static struct chat_node *parse_level(struct chat_parser *p, enum level least);

static struct chat_node *parse_not(struct chat_parser *p)
{
    struct chat_node *n = chat_node(p, N_NOT);

    p->at++;
    if (!n || !chat_enter(p->c))
        return NULL;
    n->a = parse_level(p, COMPARE);
    chat_leave(p->c);
    return n->a ? n : NULL;
}

static struct chat_node *parse_level(struct chat_parser *p, enum level least)
{
    struct chat_node *left = chat_at_name(p, "not") && !is_not_in(p) ? parse_not(p) : parse_operand(p, true), *chain, *rest;
    enum level level;

    while (left && (level = level_of(p)) && level >= least) {
        chain = chat_node(p, level == OR ? N_OR : level == AND ? N_AND : level == COMPARE ? N_COMPARE : N_BINARY);
        if (!chain)
            return NULL;
        chain->a = left;
        for (struct chat_node **end = &chain->b; level_of(p) == level;) {
            if (!(rest = chat_node(p, N_REST)))
                return NULL;
            rest->op = take_operator(p);
            if (!chat_enter(p->c))
                return NULL;
            rest->a = parse_level(p, level + 1);
            chat_leave(p->c);
            if (!rest->a)
                return NULL;
            append(&end, rest);
        }
        left = chain;
    }
    return left;
}

struct chat_node *chat_parse_expression(struct chat_parser *p, bool if_else)
{
    struct chat_node *n, *choice;

    if (!chat_enter(p->c))
        return NULL;
    n = parse_level(p, OR);
    while (n && if_else && chat_skip_name(p, "if")) {
        if (!(choice = chat_node(p, N_IF_ELSE)))
            return NULL;
        choice->a = n;
        if (!(choice->b = parse_level(p, OR)) || (chat_skip_name(p, "else") && !(choice->c = chat_parse_expression(p, true))))
            return NULL;
        n = choice;
    }
    chat_leave(p->c);
    return n;
}

/* What can end a tuple behind a comma. */
static bool at_tuple_end(const struct chat_parser *p)
{
    return p->at->kind == T_PRINT_END || p->at->kind == T_BLOCK_END || chat_at_op(p, OP1(')'));
}

struct chat_node *chat_parse_tuple(struct chat_parser *p, bool if_else)
{
    struct chat_node *first = chat_parse_expression(p, if_else), *tuple;

    if (!first || !chat_at_op(p, OP1(',')))
        return first;
    if (!(tuple = chat_node(p, N_TUPLE)))
        return NULL;
    tuple->a = first;
    for (struct chat_node **end = &first->next; chat_skip_op(p, OP1(',')) && !at_tuple_end(p);)
        if (!append(&end, chat_parse_expression(p, if_else)))
            return NULL;
    return tuple;
}
