/* string.c - strings whose bytes know where they come from. What is cut out, joined, replaced or changed in case keeps its origin. */
#include "src/chat/internal.h"

#include <string.h>

#include "src/base/utf8.h"

/* ---- building ---- */

static bool widen(struct chat *c, struct chat_builder *b, size_t n, bool mixed)
{
    size_t need, cap = b->cap;

    if (__builtin_add_overflow(b->n, n, &need) || (b->limit && need > b->limit))
        return chat_fail(c, PRISM_E_UNSUPPORTED, "the template writes more than %zu bytes", b->limit);
    if (need > cap) {
        cap = need < 64 ? 64 : 2 * need;
        char *p = chat_alloc(c, cap, 1);
        if (!p)
            return false;
        if (b->n)
            memcpy(p, b->p, b->n);
        b->p = p;
    }
    if (mixed && (!b->mark || cap > b->cap)) {
        bool *mark = chat_alloc(c, cap, sizeof *mark);
        if (!mark)
            return false;
        if (b->mark)
            memcpy(mark, b->mark, b->n);
        else
            memset(mark, b->user, b->n);
        b->mark = mark;
    }
    b->cap = cap;
    return true;
}

bool chat_add(struct chat *c, struct chat_builder *b, const struct chat_string *s)
{
    if (!s->n)
        return true;
    bool mixed = b->mark || s->mark || (b->n && b->user != s->user);
    if (!widen(c, b, s->n, mixed))
        return false;
    memcpy(b->p + b->n, s->p, s->n);
    if (b->mark && s->mark)
        memcpy(b->mark + b->n, s->mark, s->n);
    else if (b->mark)
        memset(b->mark + b->n, s->user, s->n);
    else
        b->user = s->user;
    b->n += s->n;
    return chat_charge(c, s->n);
}

bool chat_add_text(struct chat *c, struct chat_builder *b, const char *p, size_t n)
{
    return chat_add(c, b, &(struct chat_string){ .p = p, .n = n });
}

static bool new_string(struct chat *c, struct chat_string s, struct chat_value *out)
{
    struct chat_string *p = chat_alloc(c, 1, sizeof *p);

    if (!p)
        return false;
    *p = s;
    *out = (struct chat_value){ .type = CHAT_STRING, .s = p };
    return true;
}

bool chat_built(struct chat *c, const struct chat_builder *b, struct chat_value *out)
{
    return new_string(c, (struct chat_string){ b->n ? b->p : "", b->mark, b->n, b->user }, out);
}

bool chat_text(struct chat *c, const char *p, size_t n, struct chat_value *out)
{
    return new_string(c, (struct chat_string){ .p = p, .n = n }, out);
}

bool chat_slice(struct chat *c, const struct chat_string *s, size_t from, size_t n, struct chat_value *out)
{
    return new_string(c, (struct chat_string){ s->p + from, s->mark ? s->mark + from : NULL, n, s->user }, out);
}

/* ---- characters ---- */

bool chat_is(const struct chat_string *s, const char *text) { return chat_equal_bytes(s->p, s->n, text, strlen(text)); }

size_t chat_unit(const char *p, size_t n)
{
    unsigned k = prism_utf8_length(p, n, NULL);
    return k ? k : 1; /* a byte that starts no character counts as one */
}

size_t chat_characters(const char *p, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i += chat_unit(p + i, n - i))
        count++;
    return count;
}

static bool is_wide_space(uint32_t u)
{
    return u == 0x85 || u == 0xA0 || u == 0x1680 || (u >= 0x2000 && u <= 0x200A) || u == 0x2028 || u == 0x2029 || u == 0x202F || u == 0x205F ||
           u == 0x3000;
}

size_t chat_space(const char *p, size_t n)
{
    unsigned char ch = (unsigned char)*p;
    if (ch < 0x80)
        return ch == ' ' || (ch >= 9 && ch <= 13) || (ch >= 0x1C && ch <= 0x1F);
    unsigned k = prism_utf8_length(p, n, NULL);
    return k && is_wide_space(prism_utf8_decode(p, k)) ? k : 0;
}

size_t chat_space_before(const char *p, size_t n)
{
    for (size_t k = 1; k <= 3 && k <= n; k++)
        if (chat_space(p + n - k, k) == k)
            return k;
    return 0;
}

size_t chat_find(const struct chat_string *s, size_t from, const struct chat_string *needle)
{
    if (!needle->n)
        return from <= s->n ? from : SIZE_MAX;
    const char *at = from < s->n ? memmem(s->p + from, s->n - from, needle->p, needle->n) : NULL;
    return at ? (size_t)(at - s->p) : SIZE_MAX;
}

/* ---- methods of Python's str ---- */

static bool is_one_of(const char *p, size_t n, const struct chat_string *chars)
{
    for (size_t i = 0, k; i < chars->n; i += k) {
        k = chat_unit(chars->p + i, chars->n - i);
        if (k == n && !memcmp(chars->p + i, p, n))
            return true;
    }
    return false;
}

/* Bytes of the character in front that goes, 0: none; and of the one at the end. */
static size_t stripped_first(const char *p, size_t n, const struct chat_string *chars)
{
    if (!chars)
        return chat_space(p, n);
    size_t k = chat_unit(p, n);
    return is_one_of(p, k, chars) ? k : 0;
}

static size_t stripped_last(const char *p, size_t n, const struct chat_string *chars)
{
    if (!chars)
        return chat_space_before(p, n);
    size_t k = 1;
    while (k < 4 && k < n && ((unsigned char)p[n - k] & 0xC0) == 0x80)
        k++;
    if (chat_unit(p + n - k, k) != k)
        k = 1;
    return is_one_of(p + n - k, k, chars) ? k : 0;
}

bool chat_strip(struct chat *c, const struct chat_string *s, const struct chat_string *chars, bool left, bool right, struct chat_value *out)
{
    size_t from = 0, to = s->n, k, work = chars ? chars->n + 1 : 1;

    while (left && from < to && (k = stripped_first(s->p + from, to - from, chars)))
        if (from += k, !chat_charge(c, work))
            return false;
    while (right && from < to && (k = stripped_last(s->p + from, to - from, chars)))
        if (to -= k, !chat_charge(c, work))
            return false;
    return chat_slice(c, s, from, to - from, out);
}

/* Pieces in the order in which they are found. */
struct pieces {
    struct chat_list *list;
    size_t cap;
};

static bool add_piece(struct chat *c, struct pieces *p, const struct chat_string *s, size_t from, size_t to)
{
    if (p->list->n == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 4;
        struct chat_value *v = chat_alloc(c, cap, sizeof *v);
        if (!v)
            return false;
        if (p->list->n)
            memcpy(v, p->list->v, p->list->n * sizeof *v);
        p->list->v = v;
        p->cap = cap;
    }
    return chat_charge(c, to - from) && chat_slice(c, s, from, to - from, &p->list->v[p->list->n++]);
}

static size_t find_last(struct chat *c, const struct chat_string *s, size_t end, const struct chat_string *needle)
{
    for (size_t at = end; at-- > 0 && chat_charge(c, needle->n);)
        if (needle->n <= end - at && !memcmp(s->p + at, needle->p, needle->n))
            return at;
    return SIZE_MAX;
}

static bool split_right(struct chat *c, const struct chat_string *s, const struct chat_string *separator, int64_t max, struct pieces *p)
{
    size_t end = s->n, at;

    for (; max != 0 && (at = find_last(c, s, end, separator)) != SIZE_MAX; end = at, max--)
        if (!add_piece(c, p, s, at + separator->n, end))
            return false;
    if (!add_piece(c, p, s, 0, end))
        return false;
    for (size_t i = 0, j = p->list->n - 1; i < j; i++, j--) {
        struct chat_value v = p->list->v[i];
        p->list->v[i] = p->list->v[j];
        p->list->v[j] = v;
    }
    return true;
}

static bool split_at_space(struct chat *c, const struct chat_string *s, int64_t max, struct pieces *p)
{
    size_t at = 0, from, k;

    for (;; max--) {
        while (at < s->n && (k = chat_space(s->p + at, s->n - at)))
            at += k;
        if (at == s->n)
            return true;
        from = at;
        while (at < s->n && (max == 0 || !chat_space(s->p + at, s->n - at)))
            at++;
        if (!add_piece(c, p, s, from, at))
            return false;
        if (max == 0)
            return true;
    }
}

bool chat_split(struct chat *c, const struct chat_string *s, const struct chat_string *separator, int64_t max, bool from_right,
                struct chat_value *out)
{
    struct pieces p = { 0 };
    size_t from = 0, at;

    if (separator && !separator->n)
        return chat_fail(c, PRISM_E_FORMAT, "split: the separator is empty");
    if (from_right && !separator)
        return chat_fail(c, PRISM_E_UNSUPPORTED, "rsplit at white space is not supported");
    if (!chat_new_list(c, 0, false, &p.list, out))
        return false;
    if (from_right)
        return split_right(c, s, separator, max, &p);
    if (!separator)
        return split_at_space(c, s, max, &p);
    for (; max != 0 && (at = chat_find(s, from, separator)) != SIZE_MAX; from = at + separator->n, max--)
        if (!add_piece(c, &p, s, from, at))
            return false;
    return add_piece(c, &p, s, from, s->n);
}

static bool add_part(struct chat *c, struct chat_builder *b, const struct chat_string *s, size_t from, size_t to)
{
    return chat_add(c, b, &(struct chat_string){ s->p + from, s->mark ? s->mark + from : NULL, to - from, s->user });
}

bool chat_replace(struct chat *c, const struct chat_string *s, const struct chat_string *old, const struct chat_string *by, int64_t max,
                  struct chat_value *out)
{
    struct chat_builder b = { 0 };
    size_t from = 0, at;

    for (; max != 0 && (at = chat_find(s, from, old)) != SIZE_MAX; max--) {
        if (!old->n) { /* before every character, and at the end */
            if (!chat_add(c, &b, by) || from == s->n)
                break;
            size_t k = chat_unit(s->p + from, s->n - from);
            if (!add_part(c, &b, s, from, from + k))
                return false;
            from += k;
            continue;
        }
        if (!add_part(c, &b, s, from, at) || !chat_add(c, &b, by))
            return false;
        from = at + old->n;
    }
    return !c->status && add_part(c, &b, s, from, s->n) && chat_charge(c, s->n) && chat_built(c, &b, out);
}

/* ASCII, and the letters of Latin-1, Greek and Cyrillic that change in place; others stay as they are. */
static uint32_t to_lower(uint32_t u)
{
    if ((u >= 'A' && u <= 'Z') || (u >= 0xC0 && u <= 0xDE && u != 0xD7) || (u >= 0x391 && u <= 0x3A9) || (u >= 0x410 && u <= 0x42F))
        return u + 32;
    return u >= 0x400 && u <= 0x40F ? u + 80 : u;
}

static uint32_t to_upper(uint32_t u)
{
    if ((u >= 'a' && u <= 'z') || (u >= 0xE0 && u <= 0xFE && u != 0xF7) || (u >= 0x3B1 && u <= 0x3C9 && u != 0x3C2) || (u >= 0x430 && u <= 0x44F))
        return u - 32;
    return u == 0x3C2 ? 0x3A3 : u >= 0x450 && u <= 0x45F ? u - 80 : u;
}

bool chat_recase(struct chat *c, const struct chat_string *s, enum chat_case how, struct chat_value *out)
{
    char *p = chat_alloc(c, s->n + 1, 1);
    bool first = true;

    if (!p || !chat_charge(c, s->n))
        return false;
    for (size_t i = 0, k; i < s->n; i += k) {
        k = prism_utf8_length(s->p + i, s->n - i, NULL);
        if (k == 0 || k > 2) {
            k = k ? k : 1;
            memcpy(p + i, s->p + i, k);
            first = how == CHAT_TITLE && k == 1;
            continue;
        }
        uint32_t u = prism_utf8_decode(s->p + i, (unsigned)k);
        bool letter = to_lower(u) != u || to_upper(u) != u;
        prism_utf8_encode(how == CHAT_UPPER || (how != CHAT_LOWER && first) ? to_upper(u) : to_lower(u), p + i);
        first = how == CHAT_TITLE && !letter;
    }
    return new_string(c, (struct chat_string){ p, s->mark, s->n, s->user }, out);
}
