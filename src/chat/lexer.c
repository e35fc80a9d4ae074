/* lexer.c - a template becomes tokens: data, and what stands between {{ }} and {% %} (lex_item.c); with Jinja's rules of white space.
 *
 * trim_blocks: a newline right behind %} or #} goes. lstrip_blocks: blanks before {% or {# go when nothing else precedes them on their line.
 * "-" at a bracket takes all white space on its side, "+" none. */
#include <string.h>

#include "src/chat/lexer.h"

struct chat_token *chat_lex_emit(struct lexer *l, enum chat_token_kind kind)
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

void chat_lex_advance(struct lexer *l, size_t n)
{
    for (; n; n--)
        l->line += l->p[l->at++] == '\n';
    l->c->line = l->line;
    l->line_start = !l->at || l->p[l->at - 1] == '\n';
}

bool chat_lex_starts(const struct lexer *l, const char *text)
{
    size_t n = strlen(text);
    return l->n - l->at >= n && !memcmp(l->p + l->at, text, n);
}

static void skip_space(struct lexer *l)
{
    for (size_t n; l->at < l->n && (n = chat_space(l->p + l->at, l->n - l->at));)
        chat_lex_advance(l, n);
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
        struct chat_token *t = chat_lex_emit(l, T_DATA);
        if (!t)
            return false;
        t->p = l->p + l->at;
        t->n = shown;
    }
    chat_lex_advance(l, n);
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
        chat_lex_advance(l, 1);
}

static bool comment(struct lexer *l)
{
    const char *end = memmem(l->p + l->at, l->n - l->at, "#}", 2);
    if (!end)
        return chat_fail(l->c, PRISM_E_FORMAT, "a comment has no end");
    size_t n = (size_t)(end - (l->p + l->at));
    char modifier = n && (end[-1] == '-' || end[-1] == '+') ? end[-1] : 0;
    chat_lex_advance(l, n + 2);
    trim_after(l, modifier);
    return true;
}

/* ---- tags ---- */

/* Whether a tag ends here; then *modifier is '-', '+' or 0 and *n its bytes. */
static bool at_end(const struct lexer *l, bool print, char *modifier, size_t *n)
{
    const char *end = print ? "}}" : "%}";
    char ch = l->p[l->at];
    bool modified = l->n - l->at > 2 && (ch == '-' || (ch == '+' && !print)) && !memcmp(l->p + l->at + 1, end, 2);

    *modifier = modified ? ch : 0;
    *n = modified ? 3 : 2;
    return modified || chat_lex_starts(l, end);
}

static bool tag(struct lexer *l, bool print)
{
    unsigned brackets = 0;
    char modifier;
    size_t n;

    if (!chat_lex_emit(l, print ? T_PRINT : T_BLOCK))
        return false;
    for (;;) {
        skip_space(l);
        if (l->at == l->n)
            return chat_fail(l->c, PRISM_E_FORMAT, "\"%s\" is missing at the end", print ? "}}" : "%}");
        if (!brackets && at_end(l, print, &modifier, &n))
            break;
        if (!chat_lex_item(l, &brackets))
            return false;
    }
    if (!chat_lex_emit(l, print ? T_PRINT_END : T_BLOCK_END))
        return false;
    chat_lex_advance(l, n);
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

    if (!chat_lex_starts(&t, "{%"))
        return false;
    chat_lex_advance(&t, 2);
    if (t.at < t.n && (t.p[t.at] == '-' || t.p[t.at] == '+'))
        chat_lex_advance(&t, 1);
    skip_space(&t);
    if (!chat_lex_starts(&t, word))
        return false;
    chat_lex_advance(&t, strlen(word));
    skip_space(&t);
    if (t.at == t.n || !at_end(&t, false, &modifier, &n))
        return false;
    chat_lex_advance(&t, n);
    trim_after(&t, modifier);
    *l = t;
    return true;
}

static bool raw_text(struct lexer *l)
{
    struct lexer t = *l;

    for (; t.at < t.n; chat_lex_advance(&t, 1)) {
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
    chat_lex_advance(l, 2);
    if (bracket == '#')
        return comment(l);
    chat_lex_advance(l, modifier ? 1 : 0);
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
    if (!chat_lex_emit(&l, T_END))
        return false;
    *tokens = l.tokens;
    return true;
}
