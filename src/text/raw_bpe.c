/* raw_bpe.c - BPE over the text itself (tokenizer model "gemma4"): spaces become U+2581 as in SentencePiece, only runs of newlines are pieces of
 * their own, symbols are characters in place of bytes of an alphabet, and a character without a token becomes its bytes' tokens. Rules:
 * architectures.md 2.7; the published tokenizer and its description with llama.cpp's pull request 21343. */
#include "src/text/internal.h"

#include <stdlib.h>
#include <string.h>

static void emit_symbol(struct prism_encoder *e, const char *text, const struct prism_symbol *s)
{
    if (s->id >= 0) {
        prism_encoder_emit(e, s->id);
        return;
    }
    for (uint32_t i = 0; i < s->len; i++) {
        int32_t id = e->v->byte_token[(uint8_t)text[s->start + i]];
        if (id >= 0) /* a byte that the vocabulary lacks vanishes */
            prism_encoder_emit(e, id);
    }
}

/* A line, or a run of newlines: such a run is looked up whole before it is merged. */
static enum prism_status encode_piece(struct prism_encoder *e, const char *piece, size_t len)
{
    int32_t whole = piece[0] == '\n' ? prism_token_find(e->v, piece, len) : -1;
    size_t n = 0;

    if (whole >= 0) {
        prism_encoder_emit(e, whole);
        return PRISM_OK;
    }
    enum prism_status st = prism_encoder_reserve(e, len);
    if (st)
        return st;
    for (size_t at = 0, k; at < len; at += k) {
        k = prism_utf8_length(piece + at, len - at, NULL);
        e->symbols[n++] = (struct prism_symbol){ .start = (uint32_t)at, .len = (uint32_t)k, .id = prism_token_find(e->v, piece + at, k) };
    }
    prism_merge(e, piece, n, prism_pair_merge);
    for (uint32_t i = 0; i != PRISM_NO_SYMBOL; i = e->symbols[i].next)
        emit_symbol(e, piece, &e->symbols[i]);
    return PRISM_OK;
}

static enum prism_status encode_escaped(struct prism_encoder *e, const char *text, size_t len)
{
    enum prism_status st = PRISM_OK;

    for (size_t at = 0, end; !st && at < len; at = end) {
        bool newlines = text[at] == '\n';
        for (end = at; end < len && (text[end] == '\n') == newlines;)
            end++;
        st = encode_piece(e, text + at, end - at);
    }
    return st;
}

enum prism_status prism_raw_bpe_encode(struct prism_encoder *e, const char *text, size_t len)
{
    size_t clean_len, bad, n = 0;
    char *copy = prism_replace_invalid(text, len, &clean_len, &bad), *escaped = bad && !copy ? NULL : malloc(3 * (clean_len + 1));
    enum prism_status st = PRISM_E_NOMEM;

    if (escaped) {
        n = prism_escape_spaces(escaped, copy ? copy : text, clean_len);
        st = encode_escaped(e, escaped, n);
    } else {
        prism_fail(e->err, PRISM_E_NOMEM, "tokenizer: no memory for %zu bytes of text", 3 * (clean_len + 1));
    }
    free(escaped);
    free(copy);
    return st;
}
