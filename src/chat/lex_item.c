/* lex_item.c - what stands inside {{ }} and {% %}: strings, numbers, names and operators. */
#include <string.h>

#include "src/base/utf8.h"
#include "src/chat/lexer.h"

static bool is_name(char ch, bool first)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '_' || (unsigned char)ch >= 0x80 || (!first && ch >= '0' && ch <= '9');
}

static int digit(char ch) { return ch >= '0' && ch <= '9' ? ch - '0' : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : 99; }

/* An escape whose letter stands at p: digits of base 16, n of them. */
static bool hex_escape(struct lexer *l, const char *p, const char *end, size_t n, char *out, size_t *w)
{
    uint32_t code = 0;

    if ((size_t)(end - p) < n)
        return chat_fail(l->c, PRISM_E_FORMAT, "an escape in a string is cut off");
    for (size_t i = 0; i < n; i++) {
        if (digit(p[i]) > 15)
            return chat_fail(l->c, PRISM_E_FORMAT, "an escape in a string is cut off");
        code = code << 4 | (uint32_t)digit(p[i]);
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        return chat_fail(l->c, PRISM_E_FORMAT, "\\u%04x in a string is no character", code);
    *w += prism_utf8_encode(code, out + *w);
    return true;
}

/* The string between quotes, escapes as in Python. */
static bool unescape(struct lexer *l, const char *p, const char *end, struct chat_token *t)
{
    static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
    char *out = chat_alloc(l->c, (size_t)(end - p) + 1, 1);
    size_t w = 0;

    if (!out)
        return false;
    while (p < end) {
        if (*p != '\\' || p + 1 == end) {
            out[w++] = *p++;
            continue;
        }
        char ch = p[1];
        const char *known = memchr(from, ch, sizeof from - 1);
        size_t n = ch == 'x' ? 2 : ch == 'u' ? 4 : ch == 'U' ? 8 : 0;
        p += 2;
        if (known) {
            out[w++] = to[known - from];
        } else if (n) {
            if (!hex_escape(l, p, end, n, out, &w))
                return false;
            p += n;
        } else if (ch >= '0' && ch <= '7') {
            unsigned code = 0;
            for (p--, n = 0; n < 3 && p < end && *p >= '0' && *p <= '7'; n++)
                code = code * 8 + (unsigned)(*p++ - '0');
            w += prism_utf8_encode(code, out + w);
        } else if (ch != '\n') {
            out[w++] = '\\';
            out[w++] = ch;
        }
    }
    t->p = out;
    t->n = w;
    return true;
}

static bool string(struct lexer *l)
{
    size_t i = l->at + 1;
    char quote = l->p[l->at];

    while (i < l->n && l->p[i] != quote)
        i += l->p[i] == '\\' ? 2 : 1;
    if (i >= l->n)
        return chat_fail(l->c, PRISM_E_FORMAT, "a string has no end");
    struct chat_token *t = chat_lex_emit(l, T_STRING);
    if (!t || !unescape(l, l->p + l->at + 1, l->p + i, t))
        return false;
    chat_lex_advance(l, i + 1 - l->at);
    return true;
}

/* "." only where a digit follows and none precedes: a.0 is an item. */
static bool is_fraction(const struct lexer *l, size_t i)
{
    const struct chat_token *before = l->n_tokens > 1 ? &l->tokens[l->n_tokens - 2] : NULL; /* the number is a token already */
    bool item = before && before->kind == T_OP && before->op == OP1('.');
    return !item && i + 1 < l->n && l->p[i] == '.' && digit(l->p[i + 1]) < 10;
}

static bool number(struct lexer *l)
{
    size_t i = l->at;
    int base = 10;
    struct chat_token *t = chat_lex_emit(l, T_INT);

    if (!t)
        return false;
    if (l->p[i] == '0' && i + 2 < l->n && digit(l->p[i + 2]) < 16) {
        base = memchr("xX", l->p[i + 1], 2) ? 16 : memchr("oO", l->p[i + 1], 2) ? 8 : memchr("bB", l->p[i + 1], 2) ? 2 : 10;
        i += base == 10 ? 0 : 2;
    }
    for (; i < l->n && (digit(l->p[i]) < base || l->p[i] == '_'); i++)
        if (l->p[i] != '_' && (__builtin_mul_overflow(t->i, base, &t->i) || __builtin_add_overflow(t->i, digit(l->p[i]), &t->i)))
            return chat_fail(l->c, PRISM_E_UNSUPPORTED, "a number does not fit into 64 bits");
    if (base == 10 && is_fraction(l, i)) {
        t->kind = T_FLOAT;
        for (i++; i < l->n && (digit(l->p[i]) < 10 || memchr("eE_", l->p[i], 3)); i++)
            ;
    }
    if (i < l->n && is_name(l->p[i], false))
        return chat_fail(l->c, PRISM_E_FORMAT, "a number goes on with a letter");
    chat_lex_advance(l, i - l->at);
    return true;
}

static bool name(struct lexer *l)
{
    size_t i = l->at;
    struct chat_token *t = chat_lex_emit(l, T_NAME);

    if (!t)
        return false;
    while (i < l->n && is_name(l->p[i], false))
        i++;
    t->p = l->p + l->at;
    t->n = i - l->at;
    chat_lex_advance(l, t->n);
    return true;
}

static bool operator(struct lexer *l, unsigned *brackets)
{
    static const char *const two[] = { "==", "!=", "<=", ">=", "//", "**" };
    char ch = l->p[l->at];

    if (!ch || !strchr("+-*/%~<>=!.,:|()[]{};", ch))
        return chat_fail(l->c, PRISM_E_FORMAT, "unexpected character \"%.*s\"", (int)chat_unit(l->p + l->at, l->n - l->at), l->p + l->at);
    struct chat_token *t = chat_lex_emit(l, T_OP);
    if (!t)
        return false;
    t->op = OP1(ch);
    for (size_t i = 0; i < sizeof two / sizeof *two; i++)
        if (chat_lex_starts(l, two[i]))
            t->op = OP2(two[i][0], two[i][1]);
    if (strchr("([{", ch))
        ++*brackets;
    else if (strchr(")]}", ch) && *brackets)
        --*brackets;
    chat_lex_advance(l, t->op > 0xFF ? 2 : 1);
    return true;
}

bool chat_lex_item(struct lexer *l, unsigned *brackets)
{
    char ch = l->p[l->at];

    return ch == '"' || ch == '\'' ? string(l) : ch >= '0' && ch <= '9' ? number(l) : is_name(ch, true) ? name(l) : operator(l, brackets);
}
