/* bpe.c - byte-level BPE (Radford et al. 2019; merging: Sennrich et al. 2016): one fragment of text to ids. */
#include "src/text/internal.h"

#include <stdlib.h>
#include <string.h>

/* The bytes that are printable in Latin-1 stand for themselves, the other 68 for U+0100 and on, in order. */
static bool maps_to_itself(uint32_t c) { return (c >= 0x21 && c <= 0x7E) || (c >= 0xA1 && c <= 0xAC) || (c >= 0xAE && c <= 0xFF); }

uint32_t prism_byte_to_char(uint8_t byte)
{
    if (maps_to_itself(byte))
        return byte;
    return byte <= 0x20 ? 0x100u + byte : byte <= 0xA0 ? 0x121u + (byte - 0x7F) : 0x143u;
}

int prism_char_to_byte(uint32_t c)
{
    if (c < 0x100)
        return maps_to_itself(c) ? (int)c : -1;
    return c <= 0x120 ? (int)c - 0x100 : c <= 0x142 ? (int)c - 0x121 + 0x7F : c == 0x143 ? 0xAD : -1;
}

void prism_bpe_prepare(struct prism_vocab *v)
{
    for (unsigned b = 0; b < 256; b++) {
        char text[4];
        unsigned n = prism_utf8_encode(prism_byte_to_char((uint8_t)b), text);
        v->byte_token[b] = prism_token_find(v, text, n);
    }
}

void prism_pair_merge(const struct prism_vocab *v, const char *text, struct prism_symbol *left, const struct prism_symbol *right)
{
    (void)text;
    const struct prism_pair *p = prism_pair_find(v, left->id, right->id);
    if (p) {
        left->priority = p->rank;
        left->merged = p->merged;
    }
}

/* The token whose text is the whole mapped piece, or -1. */
static int32_t whole_piece(struct prism_encoder *e, const char *piece, size_t len)
{
    size_t n = 0;

    if (len > e->v->longest)
        return -1;
    for (size_t i = 0; i < len; i++)
        n += prism_utf8_encode(prism_byte_to_char((uint8_t)piece[i]), e->mapped + n);
    return prism_token_find(e->v, e->mapped, n);
}

static enum prism_status encode_piece(void *user, const char *piece, size_t len)
{
    struct prism_encoder *e = user;
    const struct prism_vocab *v = e->v;

    if (v->whole_pieces) {
        int32_t id = whole_piece(e, piece, len);
        if (id >= 0) {
            prism_encoder_emit(e, id);
            return PRISM_OK;
        }
    }
    enum prism_status st = prism_encoder_reserve(e, len);
    if (st)
        return st;
    for (size_t i = 0; i < len; i++)
        e->symbols[i] = (struct prism_symbol){.start = (uint32_t)i, .len = 1, .id = v->byte_token[(uint8_t)piece[i]]};
    prism_merge(e, piece, len, prism_pair_merge);
    for (uint32_t i = 0; i != PRISM_NO_SYMBOL; i = e->symbols[i].next)
        if (e->symbols[i].id >= 0) /* a byte that the vocabulary lacks vanishes */
            prism_encoder_emit(e, e->symbols[i].id);
    return PRISM_OK;
}

char *prism_replace_invalid(const char *text, size_t len, size_t *out_len, size_t *bad)
{
    unsigned n;

    *bad = 0;
    for (size_t i = 0; i < len; i += n ? n : 1) {
        n = prism_utf8_length(text + i, len - i, NULL);
        *bad += n == 0;
    }
    *out_len = len + 2 * *bad;
    char *copy = *bad ? malloc(*out_len) : NULL;
    if (!copy)
        return NULL;
    size_t w = 0;
    for (size_t i = 0; i < len; i += n ? n : 1) {
        n = prism_utf8_length(text + i, len - i, NULL);
        memcpy(copy + w, n ? text + i : PRISM_REPLACEMENT, n ? n : 3);
        w += n ? n : 3;
    }
    return copy;
}

enum prism_status prism_bpe_encode(struct prism_encoder *e, const char *text, size_t len)
{
    size_t clean_len, bad;
    char *copy = prism_replace_invalid(text, len, &clean_len, &bad);

    if (bad && !copy)
        return prism_fail(e->err, PRISM_E_NOMEM, "tokenizer: no memory for %zu bytes of text", clean_len);
    enum prism_status st = prism_split(e->v->splitter, copy ? copy : text, clean_len, encode_piece, e, e->err);
    free(copy);
    return st;
}
