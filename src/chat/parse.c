/* parse.c - statements become lists of nodes. */
#include <string.h>

#include "src/chat/internal.h"

/* ---- tokens ---- */

struct chat_node *chat_node(struct chat_parser *p, enum chat_node_kind kind)
{
    struct chat_node *n = chat_alloc(p->c, 1, sizeof *n);

    if (!n)
        return NULL;
    n->kind = kind;
    n->line = p->c->line = p->at->line;
    return n;
}

bool chat_at_op(const struct chat_parser *p, unsigned op) { return p->at->kind == T_OP && p->at->op == op; }

bool chat_at_name(const struct chat_parser *p, const char *name)
{
    return p->at->kind == T_NAME && chat_equal_bytes(p->at->p, p->at->n, name, strlen(name));
}

bool chat_skip_op(struct chat_parser *p, unsigned op)
{
    bool there = chat_at_op(p, op);
    p->at += there;
    return there;
}

bool chat_skip_name(struct chat_parser *p, const char *name)
{
    bool there = chat_at_name(p, name);
    p->at += there;
    return there;
}

bool chat_unexpected(struct chat_parser *p, const char *expected)
{
    static const char *const kinds[] = { "the end of the template", "text", "\"{{\"", "\"}}\"", "\"{%\"", "\"%}\"", "a name", "a string", "a number", "a number" };
    const struct chat_token *t = p->at;

    p->c->line = t->line;
    if (t->kind == T_OP)
        return chat_fail(p->c, PRISM_E_FORMAT, "expected %s, found \"%c%.*s\"", expected, (char)(t->op & 0xFF), t->op > 0xFF,
                         (const char[]){ (char)(t->op >> 8), 0 });
    if (t->kind == T_NAME)
        return chat_fail(p->c, PRISM_E_FORMAT, "expected %s, found \"%.*s\"", expected, SHOW(t->p, t->n));
    return chat_fail(p->c, PRISM_E_FORMAT, "expected %s, found %s", expected, kinds[t->kind]);
}

bool chat_expect_op(struct chat_parser *p, unsigned op)
{
    char text[] = { '"', (char)(op & 0xFF), '"', 0 };
    return chat_skip_op(p, op) || chat_unexpected(p, text);
}

bool chat_expect_name(struct chat_parser *p, const struct chat_string **name)
{
    struct chat_value v;

    if (p->at->kind != T_NAME)
        return chat_unexpected(p, "a name");
    if (!chat_text(p->c, p->at->p, p->at->n, &v))
        return false;
    *name = v.s;
    p->at++;
    return true;
}

static bool expect_kind(struct chat_parser *p, enum chat_token_kind kind)
{
    if (p->at->kind != kind)
        return chat_unexpected(p, kind == T_BLOCK_END ? "\"%}\"" : "\"}}\"");
    p->at++;
    return true;
}

/* ---- statements ---- */

static bool parse_statements(struct chat_parser *p, const char *const *ends, struct chat_node **list);

/* The body, up to one of the names in `ends`, of which the first ends the statement: then its tag is behind. */
static bool parse_body(struct chat_parser *p, const char *const *ends, struct chat_node **list)
{
    return expect_kind(p, T_BLOCK_END) && parse_statements(p, ends, list);
}

static bool parse_body_to(struct chat_parser *p, const char *end, struct chat_node **list)
{
    const char *ends[] = { end, NULL };
    return parse_body(p, ends, list) && chat_skip_name(p, end) && expect_kind(p, T_BLOCK_END);
}

/* a: branches (a: condition, none for "else"; b: body) */
static bool parse_if(struct chat_parser *p, struct chat_node *n)
{
    static const char *const ends[] = { "elif", "else", "endif", NULL }, *const last[] = { "endif", NULL };
    struct chat_node **branch = &n->a;

    do {
        if (!(*branch = chat_node(p, N_BRANCH)) || !((*branch)->a = chat_parse_tuple(p, false)) || !parse_body(p, ends, &(*branch)->b))
            return false;
        branch = &(*branch)->next;
    } while (chat_skip_name(p, "elif"));
    if (chat_skip_name(p, "else") && (!(*branch = chat_node(p, N_BRANCH)) || !parse_body(p, last, &(*branch)->b)))
        return false;
    return chat_skip_name(p, "endif") && expect_kind(p, T_BLOCK_END);
}

/* Names, with or without brackets: N_TARGET (s: name, a: N_NAME of an attribute or NULL). */
static bool parse_targets(struct chat_parser *p, bool attributes, struct chat_node **list)
{
    bool bracket = chat_skip_op(p, OP1('('));

    do {
        struct chat_node *t = *list = chat_node(p, N_TARGET);
        if (!t || !chat_expect_name(p, &t->s))
            return false;
        if (attributes && chat_skip_op(p, OP1('.'))) {
            if (!(t->a = chat_node(p, N_NAME)) || !chat_expect_name(p, &t->a->s))
                return false;
        }
        list = &t->next;
    } while (chat_skip_op(p, OP1(',')));
    return !bracket || chat_expect_op(p, OP1(')'));
}

/* a: targets, b: what is iterated over, c: a branch with the filter (a) and the body (b), d: body of "else" */
static bool parse_for(struct chat_parser *p, struct chat_node *n)
{
    static const char *const ends[] = { "endfor", "else", NULL }, *const last[] = { "endfor", NULL };

    if (!parse_targets(p, false, &n->a))
        return false;
    if (!chat_skip_name(p, "in"))
        return chat_unexpected(p, "\"in\"");
    if (!(n->b = chat_parse_tuple(p, false)) || !(n->c = chat_node(p, N_BRANCH)))
        return false;
    if (chat_skip_name(p, "if") && !(n->c->a = chat_parse_expression(p, true)))
        return false;
    if (chat_at_name(p, "recursive"))
        return chat_fail(p->c, PRISM_E_UNSUPPORTED, "\"recursive\" is not supported");
    if (!parse_body(p, ends, &n->c->b))
        return false;
    if (chat_skip_name(p, "else") && !parse_body(p, last, &n->d))
        return false;
    return chat_skip_name(p, "endfor") && expect_kind(p, T_BLOCK_END);
}

static bool parse_filters(struct chat_parser *p, struct chat_node **list)
{
    while (chat_skip_op(p, OP1('|'))) {
        if (!(*list = chat_parse_filter(p)))
            return false;
        list = &(*list)->next;
    }
    return true;
}

/* a: targets, b: value; of a block b: body, c: filters */
static bool parse_set(struct chat_parser *p, struct chat_node *n)
{
    if (!parse_targets(p, true, &n->a))
        return false;
    if (chat_skip_op(p, OP1('=')))
        return (n->b = chat_parse_tuple(p, true)) && expect_kind(p, T_BLOCK_END);
    n->kind = N_SET_BLOCK;
    return parse_filters(p, &n->c) && parse_body_to(p, "endset", &n->b);
}

/* s: name, a: parameters (s: name, a: default), b: body */
static bool parse_macro(struct chat_parser *p, struct chat_node *n)
{
    struct chat_node **end = &n->a;

    if (!chat_expect_name(p, &n->s) || !chat_expect_op(p, OP1('(')))
        return false;
    while (!chat_at_op(p, OP1(')'))) {
        struct chat_node *a = *end = chat_node(p, N_ARGUMENT);
        if (!a || !chat_expect_name(p, &a->s) || (chat_skip_op(p, OP1('=')) && !(a->a = chat_parse_expression(p, true))))
            return false;
        end = &a->next;
        if (!chat_skip_op(p, OP1(',')))
            break;
    }
    return chat_expect_op(p, OP1(')')) && parse_body_to(p, "endmacro", &n->b);
}

/* b: body, c: filters */
static bool parse_filter_block(struct chat_parser *p, struct chat_node *n)
{
    if (!(n->c = chat_parse_filter(p)))
        return false;
    return parse_filters(p, &n->c->next) && parse_body_to(p, "endfilter", &n->b);
}

static bool parse_generation(struct chat_parser *p, struct chat_node *n) { return parse_body_to(p, "endgeneration", &n->b); }

static bool parse_word(struct chat_parser *p, struct chat_node *n)
{
    (void)n;
    return expect_kind(p, T_BLOCK_END);
}

static const struct {
    const char *name;
    enum chat_node_kind kind;
    bool (*parse)(struct chat_parser *, struct chat_node *);
} statements[] = {
    { "if", N_IF, parse_if },          { "for", N_FOR, parse_for },       { "set", N_SET, parse_set },       { "macro", N_MACRO, parse_macro },
    { "break", N_BREAK, parse_word },  { "continue", N_CONTINUE, parse_word },
    { "filter", N_FILTER_BLOCK, parse_filter_block },                    { "generation", N_GENERATION, parse_generation },
};

static struct chat_node *parse_statement(struct chat_parser *p)
{
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        if (chat_at_name(p, statements[i].name)) {
            struct chat_node *n = chat_node(p, statements[i].kind);
            p->at++;
            return n && statements[i].parse(p, n) ? n : NULL;
        }
    p->c->line = p->at->line;
    if (p->at->kind == T_NAME && strncmp(p->at->p, "end", 3) && !chat_at_name(p, "else") && !chat_at_name(p, "elif"))
        chat_fail(p->c, PRISM_E_UNSUPPORTED, "statement \"%.*s\" is not supported", SHOW(p->at->p, p->at->n));
    else
        chat_unexpected(p, "a statement");
    return NULL;
}

static struct chat_node *parse_data(struct chat_parser *p)
{
    struct chat_node *n = chat_node(p, N_DATA);
    struct chat_value v;

    if (!n || !chat_text(p->c, p->at->p, p->at->n, &v))
        return NULL;
    p->at++;
    n->s = v.s;
    return n;
}

static struct chat_node *parse_print(struct chat_parser *p)
{
    struct chat_node *n = chat_node(p, N_PRINT);

    p->at++;
    return n && (n->a = chat_parse_tuple(p, true)) && expect_kind(p, T_PRINT_END) ? n : NULL;
}

static bool at_one_of(const struct chat_parser *p, const char *const *names)
{
    for (; names && *names; names++)
        if (chat_at_name(p, *names))
            return true;
    return false;
}

/* Stops at the name in a tag that is one of `ends`; NULL: at the end of the template. */
static bool parse_statements(struct chat_parser *p, const char *const *ends, struct chat_node **list)
{
    uint32_t first_line = p->c->line;

    if (!chat_enter(p->c))
        return false;
    while (p->at->kind != T_END) {
        if (p->at->kind == T_BLOCK) {
            p->at++;
            if (at_one_of(p, ends)) {
                chat_leave(p->c);
                return true;
            }
            *list = parse_statement(p);
        } else {
            *list = p->at->kind == T_DATA ? parse_data(p) : parse_print(p);
        }
        if (!*list)
            return false;
        list = &(*list)->next;
    }
    chat_leave(p->c);
    p->c->line = p->at->line;
    while (ends && strncmp(*ends, "end", 3))
        ends++;
    return !ends || chat_fail(p->c, PRISM_E_FORMAT, "\"%s\" is missing for what begins in line %u", *ends, first_line);
}

bool chat_parse(struct chat *c, const struct chat_token *tokens, struct chat_node **list)
{
    struct chat_parser p = { c, tokens };

    c->depth = 0;
    return parse_statements(&p, NULL, list);
}
