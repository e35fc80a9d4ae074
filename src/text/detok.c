/* detok.c - the bytes of one token. */
#include "src/text/internal.h"

#include <string.h>

/* Appends n bytes at *len as far as they fit in cap. */
static void put(char *buf, size_t cap, size_t *len, const char *p, size_t n)
{
    if (*len < cap)
        memcpy(buf + *len, p, n < cap - *len ? n : cap - *len);
    *len += n;
}

/* Byte-level text: each character of the map is a byte; anything else (only in a damaged vocabulary) stays as it is. */
static size_t put_mapped(char *buf, size_t cap, struct prism_str t)
{
    size_t len = 0;
    unsigned n;

    for (size_t i = 0; i < t.n; i += n ? n : 1) {
        n = prism_utf8_length(t.p + i, t.n - i, NULL);
        int b = n ? prism_char_to_byte(prism_utf8_decode(t.p + i, n)) : -1;
        if (b >= 0)
            put(buf, cap, &len, &(char){(char)b}, 1);
        else
            put(buf, cap, &len, t.p + i, n ? n : 1);
    }
    return len;
}

static size_t put_spaced(char *buf, size_t cap, struct prism_str t, bool drop_space)
{
    size_t len = 0;

    while (t.n) {
        bool space = t.n >= 3 && !memcmp(t.p, PRISM_SPM_SPACE, 3);
        size_t n = space ? 3 : 1;
        if (!space || !drop_space)
            put(buf, cap, &len, space ? " " : t.p, 1);
        drop_space = false;
        t.p += n;
        t.n -= n;
    }
    return len;
}

static int hex_digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

/* "<0xHH>"; a byte token with another text stands for that text. */
static size_t put_byte(char *buf, size_t cap, struct prism_str t)
{
    size_t len = 0;
    int hi = t.n == 6 ? hex_digit(t.p[3]) : -1, lo = t.n == 6 ? hex_digit(t.p[4]) : -1;

    if (hi >= 0 && lo >= 0)
        put(buf, cap, &len, &(char){(char)(hi * 16 + lo)}, 1);
    else
        put(buf, cap, &len, t.p, t.n);
    return len;
}

size_t prism_vocab_bytes(const struct prism_vocab *v, int32_t token, bool special, bool first, char *buf, size_t cap)
{
    size_t len = 0;

    if (token < 0 || (uint32_t)token >= v->n_tokens || v->kind == PRISM_TOKENIZER_NONE)
        return 0;
    const struct prism_str t = v->text[token];
    switch (v->type[token]) {
    case PRISM_TOKEN_NORMAL:
        return v->kind == PRISM_TOKENIZER_BPE ? put_mapped(buf, cap, t) : put_spaced(buf, cap, t, first && v->add_space_prefix);
    case PRISM_TOKEN_BYTE:
        return put_byte(buf, cap, t);
    case PRISM_TOKEN_USER:
        put(buf, cap, &len, t.p, t.n);
        return len;
    case PRISM_TOKEN_CONTROL:
    case PRISM_TOKEN_UNKNOWN:
        if (special)
            put(buf, cap, &len, t.p, t.n);
        return len;
    default: /* unused and undefined tokens have no bytes */
        return 0;
    }
}
