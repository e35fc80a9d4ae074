/* write.c - values as text: as Python's str() shows them, and as JSON. */
#include "src/chat/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "src/base/utf8.h"

static bool add_int(struct chat *c, struct chat_builder *b, int64_t i)
{
    char text[32];
    return chat_add_text(c, b, text, (size_t)snprintf(text, sizeof text, "%" PRId64, i));
}

static bool add(struct chat *c, struct chat_builder *b, const char *text) { return chat_add_text(c, b, text, strlen(text)); }

/* The bytes [from, to) of s, then `text` (with the origin of byte `to`). */
static bool add_escape(struct chat *c, struct chat_builder *b, const struct chat_string *s, size_t from, size_t to, const char *text)
{
    bool user = s->mark ? s->mark[to] : s->user;
    return chat_add(c, b, &(struct chat_string){ s->p + from, s->mark ? s->mark + from : NULL, to - from, s->user }) &&
           chat_add(c, b, &(struct chat_string){ .p = text, .n = strlen(text), .user = user });
}

/* In quotes, what has to be escaped escaped: for JSON, or as Python's repr. */
static bool add_quoted(struct chat *c, struct chat_builder *b, const struct chat_string *s, bool json)
{
    bool single = !json && !(memchr(s->p, '\'', s->n) && !memchr(s->p, '"', s->n));
    char quote[2] = { single ? '\'' : '"', 0 }, escape[8];
    size_t from = 0;

    if (!add(c, b, quote))
        return false;
    for (size_t i = 0; i < s->n; i++) {
        unsigned char ch = (unsigned char)s->p[i];
        const char *letters = "\n\r\t\b\f", *names = "nrtbf", *known = ch ? memchr(letters, ch, json ? 5 : 3) : NULL;
        if (known)
            snprintf(escape, sizeof escape, "\\%c", names[known - letters]);
        else if (ch == '\\' || ch == (unsigned char)quote[0])
            snprintf(escape, sizeof escape, "\\%c", ch);
        else if (ch < 0x20 || (ch == 0x7F && !json))
            snprintf(escape, sizeof escape, json ? "\\u%04x" : "\\x%02x", ch);
        else
            continue;
        if (!add_escape(c, b, s, from, i, escape))
            return false;
        from = i + 1;
    }
    return chat_add(c, b, &(struct chat_string){ s->p + from, s->mark ? s->mark + from : NULL, s->n - from, s->user }) && add(c, b, quote);
}

/* ---- one writer for both forms: how NULL is Python's ---- */

struct writer {
    struct chat *c;
    struct chat_builder *b;
    const struct chat_json *how;
    int64_t level;
};

static bool write_value(struct writer *w, struct chat_value v);

static bool new_line(struct writer *w)
{
    if (!w->how || w->how->indent < 0)
        return true;
    if (!add(w->c, w->b, "\n"))
        return false;
    for (int64_t i = 0; i < w->how->indent * w->level; i++)
        if (!add(w->c, w->b, " "))
            return false;
    return true;
}

static bool between(struct writer *w, size_t i)
{
    return i == 0 || (w->how ? chat_add(w->c, w->b, &w->how->item) : add(w->c, w->b, ", "));
}

static bool write_list(struct writer *w, struct chat_value v)
{
    bool tuple = v.tuple && !w->how;

    if (!add(w->c, w->b, tuple ? "(" : "["))
        return false;
    w->level++;
    for (size_t i = 0; i < v.list->n; i++)
        if (!between(w, i) || !new_line(w) || !write_value(w, v.list->v[i]))
            return false;
    w->level--;
    return (!v.list->n || new_line(w)) && add(w->c, w->b, !tuple ? "]" : v.list->n == 1 ? ",)" : ")");
}

static bool write_key(struct writer *w, struct chat_value key)
{
    if (!w->how || key.type == CHAT_STRING)
        return write_value(w, key);
    return add(w->c, w->b, "\"") && write_value(w, key) && add(w->c, w->b, "\""); /* JSON has no other keys */
}

static bool write_dict(struct writer *w, const struct chat_dict *d)
{
    if (!add(w->c, w->b, "{"))
        return false;
    w->level++;
    for (size_t i = 0; i < d->n; i++)
        if (!between(w, i) || !new_line(w) || !write_key(w, d->pairs[i].key) ||
            !(w->how ? chat_add(w->c, w->b, &w->how->key) : add(w->c, w->b, ": ")) || !write_value(w, d->pairs[i].value))
            return false;
    w->level--;
    return (!d->n || new_line(w)) && add(w->c, w->b, "}");
}

static bool write_value(struct writer *w, struct chat_value v)
{
    bool ok;

    switch (v.type) {
    case CHAT_NONE: return add(w->c, w->b, w->how ? "null" : "None");
    case CHAT_BOOL: return add(w->c, w->b, w->how ? v.i ? "true" : "false" : v.i ? "True" : "False");
    case CHAT_INT: return add_int(w->c, w->b, v.i);
    case CHAT_STRING: return add_quoted(w->c, w->b, v.s, w->how != NULL);
    case CHAT_LIST:
    case CHAT_DICT:
        if (!chat_enter(w->c))
            return false;
        ok = v.type == CHAT_LIST ? write_list(w, v) : write_dict(w, v.dict);
        chat_leave(w->c);
        return ok;
    case CHAT_UNDEFINED:
        if (w->how)
            return chat_undefined_error(w->c, v);
        return add(w->c, w->b, "Undefined");
    default: return chat_fail(w->c, PRISM_E_UNSUPPORTED, "%s as text is not supported", chat_type_name(v));
    }
}

bool chat_write(struct chat *c, struct chat_builder *b, struct chat_value v)
{
    struct writer w = { .c = c, .b = b };

    if (v.type == CHAT_STRING)
        return chat_add(c, b, v.s);
    return v.type == CHAT_UNDEFINED || write_value(&w, v);
}

bool chat_string_of(struct chat *c, struct chat_value v, const struct chat_string **out)
{
    struct chat_builder b = { 0 };
    struct chat_value text = v;

    if (v.type != CHAT_STRING && (!chat_write(c, &b, v) || !chat_built(c, &b, &text)))
        return false;
    *out = text.s;
    return true;
}

bool chat_write_json(struct chat *c, struct chat_builder *b, struct chat_value v, const struct chat_json *how)
{
    struct writer w = { .c = c, .b = b, .how = how };
    return write_value(&w, v);
}
