/* tests.c - what may stand behind "is". */
#include "src/chat/internal.h"

enum which { DEFINED, UNDEFINED, NONE, BOOLEAN, TRUE, FALSE, INTEGER, NUMBER, STRING, MAPPING, ITERABLE, SEQUENCE, CALLABLE, LOWER, UPPER, EVEN, ODD,
             /* with an argument */
             DIVISIBLE, EQUAL, UNEQUAL, LESS, LESS_EQUAL, GREATER, GREATER_EQUAL, IN, SAME };

static const struct {
    const char *name;
    enum which which;
} rows[] = {
    { "defined", DEFINED },   { "undefined", UNDEFINED }, { "none", NONE },         { "boolean", BOOLEAN },   { "true", TRUE },
    { "false", FALSE },       { "integer", INTEGER },     { "number", NUMBER },     { "string", STRING },     { "mapping", MAPPING },
    { "iterable", ITERABLE }, { "sequence", SEQUENCE },   { "callable", CALLABLE }, { "lower", LOWER },       { "upper", UPPER },
    { "even", EVEN },         { "odd", ODD },             { "divisibleby", DIVISIBLE }, { "eq", EQUAL },      { "equalto", EQUAL },
    { "==", EQUAL },          { "ne", UNEQUAL },          { "!=", UNEQUAL },        { "lt", LESS },           { "lessthan", LESS },
    { "<", LESS },            { "le", LESS_EQUAL },       { "<=", LESS_EQUAL },     { "gt", GREATER },        { "greaterthan", GREATER },
    { ">", GREATER },         { "ge", GREATER_EQUAL },    { ">=", GREATER_EQUAL },  { "in", IN },             { "sameas", SAME },
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static size_t find(const struct chat_string *name)
{
    size_t i = 0;
    while (i < N_ROWS && !chat_is(name, rows[i].name))
        i++;
    return i;
}

bool chat_test_takes_argument(const struct chat_string *name)
{
    size_t i = find(name);
    return i < N_ROWS && rows[i].which >= DIVISIBLE;
}

/* Has letters, and all of them are of that case. */
static bool has_case(struct chat *c, const struct chat_string *s, enum chat_case how, bool *yes)
{
    struct chat_value same, other;

    if (!chat_recase(c, s, how, &same) || !chat_recase(c, s, how == CHAT_LOWER ? CHAT_UPPER : CHAT_LOWER, &other))
        return false;
    *yes = chat_equal_bytes(s->p, s->n, same.s->p, same.s->n) && !chat_equal_bytes(s->p, s->n, other.s->p, other.s->n);
    return true;
}

static bool divides(struct chat *c, struct chat_value v, int64_t by, int64_t wanted, bool *yes)
{
    if (v.type != CHAT_INT || by == 0)
        return chat_fail(c, PRISM_E_FORMAT, "a test of divisibility: expected integers, not 0 to divide by");
    *yes = by == -1 ? wanted == 0 : (v.i % by != 0) == (wanted != 0);
    return true;
}

static bool test_alone(struct chat *c, enum which which, struct chat_value v, bool *yes)
{
    switch (which) {
    case DEFINED: *yes = v.type != CHAT_UNDEFINED; return true;
    case UNDEFINED: *yes = v.type == CHAT_UNDEFINED; return true;
    case NONE: *yes = v.type == CHAT_NONE; return true;
    case BOOLEAN: *yes = v.type == CHAT_BOOL; return true;
    case TRUE: *yes = v.type == CHAT_BOOL && v.i; return true;
    case FALSE: *yes = v.type == CHAT_BOOL && !v.i; return true;
    case INTEGER: *yes = v.type == CHAT_INT; return true;
    case NUMBER: *yes = v.type == CHAT_INT || v.type == CHAT_BOOL; return true;
    case STRING: *yes = v.type == CHAT_STRING; return true;
    case MAPPING: *yes = v.type == CHAT_DICT; return true;
    case ITERABLE:
    case SEQUENCE: *yes = v.type == CHAT_UNDEFINED || v.type == CHAT_STRING || v.type == CHAT_LIST || v.type == CHAT_DICT; return true;
    case CALLABLE: *yes = v.type == CHAT_MACRO || v.type == CHAT_METHOD || v.type == CHAT_GLOBAL; return true;
    case EVEN: return divides(c, v, 2, 0, yes);
    case ODD: return divides(c, v, 2, 1, yes);
    default:
        if (v.type != CHAT_STRING)
            return chat_fail(c, PRISM_E_FORMAT, "a test of case: expected a string, found %s", chat_type_name(v));
        return has_case(c, v.s, which == LOWER ? CHAT_LOWER : CHAT_UPPER, yes);
    }
}

static bool same_thing(struct chat *c, struct chat_value a, struct chat_value b, bool *yes)
{
    *yes = a.type == b.type && a.i == b.i;
    if (a.type == CHAT_STRING && b.type == CHAT_STRING)
        return chat_equal(c, a, b, yes);
    *yes = *yes || (a.type == b.type && (a.type == CHAT_NONE || a.type == CHAT_UNDEFINED));
    return true;
}

static bool test_with(struct chat *c, enum which which, struct chat_value v, struct chat_value by, bool *yes)
{
    int order = 0;

    switch (which) {
    case EQUAL: return chat_equal(c, v, by, yes);
    case UNEQUAL:
        if (!chat_equal(c, v, by, yes))
            return false;
        *yes = !*yes;
        return true;
    case IN: return chat_contains(c, by, v, yes);
    case SAME: return same_thing(c, v, by, yes);
    case DIVISIBLE: return divides(c, v, by.type == CHAT_INT ? by.i : 0, 0, yes);
    default:
        if (!chat_order(c, v, by, &order))
            return false;
        *yes = which == LESS ? order < 0 : which == LESS_EQUAL ? order <= 0 : which == GREATER ? order > 0 : order >= 0;
        return true;
    }
}

bool chat_test(struct chat *c, const struct chat_string *name, struct chat_value v, const struct chat_arguments *a, bool *out)
{
    size_t i = find(name);

    if (i == N_ROWS)
        return chat_fail(c, PRISM_E_UNSUPPORTED, "test \"%.*s\" is not supported", SHOW(name->p, name->n));
    if (a->n != a->n_positional || a->n != (rows[i].which >= DIVISIBLE))
        return chat_fail(c, PRISM_E_FORMAT, "test \"%s\": expected %d arguments, found %zu", rows[i].name, rows[i].which >= DIVISIBLE, a->n);
    return rows[i].which >= DIVISIBLE ? test_with(c, rows[i].which, v, a->v[0], out) : test_alone(c, rows[i].which, v, out);
}
