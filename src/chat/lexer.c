/* lexer.c - a template becomes tokens: data, and what stands between {{ }} and {% %}; with Jinja's rules of white space.
 *
 * trim_blocks: a newline right behind %} or #} goes. lstrip_blocks: blanks before {% or {# go when nothing else precedes them on their line.
 * "-" at a bracket takes all white space on its side, "+" none. */
#include <string.h>

#include "src/base/utf8.h"
#include "src/chat/internal.h"

struct lexer {
    struct chat *c;
    const char *p;
    size_t at, n;
    struct chat_token *tokens;
    size_t n_tokens, cap;
    uint32_t line;
    bool line_start;          /* what was last read ends with a newline */
    bool raw;
};

static struct chat_token *emit(struct lexer *l, enum chat_token_kind kind)
{
    if (l->n_tokens == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        struct chat_token *wider = chat_alloc(l->c, cap, sizeof *wider);
        if (!wider)
            return NULL;
        if (l->n_tokens)
            memcpy(wider, l->tokens, l->n_tokens * sizeof *wider);
        l->tokens = wider;
        l->cap = cap;
    }
    struct chat_token *t = &l->tokens[l->n_tokens++];
    *t = (struct chat_token){ .kind = kind, .line = l->line };
    return t;
}

/* Moves on, counting lines. */
static void advance(struct lexer *l, size_t n)
{
    for (; n; n--)
        l->line += l->p[l->at++] == '\n';
    l->c->line = l->line;
    l->line_start = !l->at || l->p[l->at - 1] == '\n';
}

static bool starts(const struct lexer *l, const char *text)
{
    size_t n = strlen(text);
    return l->n - l->at >= n && !memcmp(l->p + l->at, text, n);
}

static void skip_space(struct lexer *l)
{
    for (size_t n; l->at < l->n && (n = chat_space(l->p + l->at, l->n - l->at));)
        advance(l, n);
}

/* ---- data ---- */

/* Length of the data at `at`, of n bytes, once the bracket behind it has taken its blanks. */
static size_t strip_before(const struct lexer *l, size_t n, char bracket, char modifier)
{
    const char *p = l->p + l->at;
    size_t k;

    if (modifier == '-') {
        while (n && (k = chat_space_before(p, n)))
            n -= k;
        return n;
    }
    if (modifier == '+' || bracket == '{')
        return n;
    size_t line = n;
    while (line && p[line - 1] != '\n') {
        if (!(k = chat_space_before(p, line)))
            return n;
        line -= k;
    }
    return line || l->line_start ? line : n;
}

static bool emit_data(struct lexer *l, size_t shown, size_t n)
{
    if (shown) {
        struct chat_token *t = emit(l, T_DATA);
        if (!t)
            return false;
        t->p = l->p + l->at;
        t->n = shown;
    }
    advance(l, n);
    return true;
}

/* The bracket at position i opens a tag. */
static bool opens(const struct lexer *l, size_t i) { return l->p[i] == '{' && i + 1 < l->n && memchr("{%#", l->p[i + 1], 3); }

/* Behind the end of a block or comment. */
static void trim_after(struct lexer *l, char modifier)
{
    if (modifier == '-')
        skip_space(l);
    else if (modifier != '+' && l->at < l->n && l->p[l->at] == '\n')
        advance(l, 1);
}

static bool comment(struct lexer *l)
{
    const char *end = memmem(l->p + l->at, l->n - l->at, "#}", 2);
    if (!end)
        return chat_fail(l->c, PRISM_E_FORMAT, "a comment has no end");
    size_t n = (size_t)(end - (l->p + l->at));
    char modifier = n && (end[-1] == '-' || end[-1] == '+') ? end[-1] : 0;
    advance(l, n + 2);
    trim_after(l, modifier);
    return true;
}

/* ---- inside brackets ---- */

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
    struct chat_token *t = emit(l, T_STRING);
    if (!t || !unescape(l, l->p + l->at + 1, l->p + i, t))
        return false;
    advance(l, i + 1 - l->at);
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
    struct chat_token *t = emit(l, T_INT);

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
    advance(l, i - l->at);
    return true;
}

static bool name(struct lexer *l)
{
    size_t i = l->at;
    struct chat_token *t = emit(l, T_NAME);

    if (!t)
        return false;
    while (i < l->n && is_name(l->p[i], false))
        i++;
    t->p = l->p + l->at;
    t->n = i - l->at;
    advance(l, t->n);
    return true;
}

static bool operator(struct lexer *l, unsigned *brackets)
{
    static const char *const two[] = { "==", "!=", "<=", ">=", "//", "**" };
    char ch = l->p[l->at];

    if (!ch || !strchr("+-*/%~<>=!.,:|()[]{};", ch))
        return chat_fail(l->c, PRISM_E_FORMAT, "unexpected character \"%.*s\"", (int)chat_unit(l->p + l->at, l->n - l->at), l->p + l->at);
    struct chat_token *t = emit(l, T_OP);
    if (!t)
        return false;
    t->op = OP1(ch);
    for (size_t i = 0; i < sizeof two / sizeof *two; i++)
        if (starts(l, two[i]))
            t->op = OP2(two[i][0], two[i][1]);
    if (strchr("([{", ch))
        ++*brackets;
    else if (strchr(")]}", ch) && *brackets)
        --*brackets;
    advance(l, t->op > 0xFF ? 2 : 1);
    return true;
}

/* Whether a tag ends here; then *modifier is '-', '+' or 0 and *n its bytes. */
static bool at_end(const struct lexer *l, bool print, char *modifier, size_t *n)
{
    const char *end = print ? "}}" : "%}";
    char ch = l->p[l->at];
    bool modified = l->n - l->at > 2 && (ch == '-' || (ch == '+' && !print)) && !memcmp(l->p + l->at + 1, end, 2);

    *modifier = modified ? ch : 0;
    *n = modified ? 3 : 2;
    return modified || starts(l, end);
}

static bool tag(struct lexer *l, bool print)
{
    unsigned brackets = 0;
    char modifier;
    size_t n;

    if (!emit(l, print ? T_PRINT : T_BLOCK))
        return false;
    for (;;) {
        skip_space(l);
        if (l->at == l->n)
            return chat_fail(l->c, PRISM_E_FORMAT, "\"%s\" is missing at the end", print ? "}}" : "%}");
        if (!brackets && at_end(l, print, &modifier, &n))
            break;
        char ch = l->p[l->at];
        if (!(ch == '"' || ch == '\'' ? string(l) : ch >= '0' && ch <= '9' ? number(l) : is_name(ch, true) ? name(l) : operator(l, &brackets)))
            return false;
    }
    if (!emit(l, print ? T_PRINT_END : T_BLOCK_END))
        return false;
    advance(l, n);
    if (!print)
        trim_after(l, modifier);
    else if (modifier)
        skip_space(l);
    return true;
}

/* {% raw %}: what follows, up to {% endraw %}, is data. True: the tag at `at` is one; then it is behind it. */
static bool skip_word_tag(struct lexer *l, const char *word)
{
    struct lexer t = *l;
    char modifier;
    size_t n;

    if (!starts(&t, "{%"))
        return false;
    advance(&t, 2);
    if (t.at < t.n && (t.p[t.at] == '-' || t.p[t.at] == '+'))
        advance(&t, 1);
    skip_space(&t);
    if (!starts(&t, word))
        return false;
    advance(&t, strlen(word));
    skip_space(&t);
    if (t.at == t.n || !at_end(&t, false, &modifier, &n))
        return false;
    advance(&t, n);
    trim_after(&t, modifier);
    *l = t;
    return true;
}

static bool raw_text(struct lexer *l)
{
    struct lexer t = *l;

    for (; t.at < t.n; advance(&t, 1)) {
        struct lexer end = t;
        if (!opens(&t, t.at) || t.p[t.at + 1] != '%' || !skip_word_tag(&end, "endraw"))
            continue;
        size_t n = t.at - l->at;
        char modifier = t.at + 2 < t.n && (t.p[t.at + 2] == '-' || t.p[t.at + 2] == '+') ? t.p[t.at + 2] : 0;
        if (!emit_data(l, strip_before(l, n, '%', modifier), n))
            return false;
        return skip_word_tag(l, "endraw");
    }
    return chat_fail(l->c, PRISM_E_FORMAT, "\"raw\" has no end");
}

static bool next_piece(struct lexer *l)
{
    size_t i = l->at;

    while (i < l->n && !opens(l, i))
        i++;
    if (i == l->n)
        return emit_data(l, l->n - l->at, l->n - l->at);
    char bracket = l->p[i + 1], modifier = i + 2 < l->n && (l->p[i + 2] == '-' || l->p[i + 2] == '+') ? l->p[i + 2] : 0;
    size_t n = i - l->at;
    if (!emit_data(l, strip_before(l, n, bracket, modifier), n))
        return false;
    if (bracket == '%' && skip_word_tag(l, "raw"))
        return raw_text(l);
    l->c->line = l->line;
    advance(l, 2);
    if (bracket == '#')
        return comment(l);
    advance(l, modifier ? 1 : 0);
    return tag(l, bracket == '{');
}

/* \r\n and \r are newlines; one at the very end goes. */
static const char *normalize(struct chat *c, const char *text, size_t *n)
{
    char *out = chat_alloc(c, *n + 1, 1);
    size_t w = 0;

    for (size_t i = 0; out && i < *n; i++) {
        if (text[i] == '\r' && i + 1 < *n && text[i + 1] == '\n')
            continue;
        out[w++] = text[i] == '\r' ? '\n' : text[i];
    }
    *n = w && out[w - 1] == '\n' ? w - 1 : w;
    return out;
}

bool chat_lex(struct chat *c, const char *text, size_t n, struct chat_token **tokens)
{
    struct lexer l = { .c = c, .line = 1, .line_start = true };

    c->line = 1;
    l.p = normalize(c, text, &n);
    l.n = n;
    if (!l.p)
        return false;
    while (l.at < l.n)
        if (!next_piece(&l))
            return false;
    if (!emit(&l, T_END))
        return false;
    *tokens = l.tokens;
    return true;
}
