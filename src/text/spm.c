/* spm.c - SentencePiece BPE with byte fallback (Kudo & Richardson 2018): one fragment of text to ids. */
#include "src/text/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Falling scores become rising integers: the bits of a float order like its value once negative ones are flipped. */
static uint32_t priority_of(float score)
{
    uint32_t bits;

    score += 0.0f; /* -0 ties with 0 */
    memcpy(&bits, &score, sizeof bits);
    return bits & 0x80000000u ? bits : ~(bits | 0x80000000u);
}

/* Whether U+2581 occurs only as a run at the start of each token. */
static bool words_are_apart(const struct prism_vocab *v)
{
    for (uint32_t i = 0; i < v->n_tokens; i++) {
        struct prism_str t = v->text[i];
        for (; t.n >= 3 && !memcmp(t.p, PRISM_SPM_SPACE, 3); t.n -= 3)
            t.p += 3;
        if (t.n && memmem(t.p, t.n, PRISM_SPM_SPACE, 3))
            return false;
    }
    return true;
}

enum prism_status prism_spm_prepare(struct prism_vocab *v, const struct prism_gguf_kv *scores, struct prism_error *err)
{
    v->priority = malloc((v->n_tokens + (size_t)1) * sizeof *v->priority);
    if (!v->priority)
        return prism_fail(err, PRISM_E_NOMEM, "tokenizer: no memory for %u scores", v->n_tokens);
    for (uint32_t i = 0; i < v->n_tokens; i++) {
        float score;
        int32_t integer;
        memcpy(&score, scores->data + 4 * (size_t)i, 4);
        memcpy(&integer, scores->data + 4 * (size_t)i, 4);
        v->priority[i] = priority_of(scores->elem == PRISM_GV_I32 ? (float)integer : score);
    }
    v->words_apart = words_are_apart(v);
    prism_spm_bytes(v);
    return PRISM_OK;
}

void prism_spm_bytes(struct prism_vocab *v)
{
    for (unsigned b = 0; b < 256; b++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", b);
        v->byte_token[b] = prism_token_find(v, text, 6);
        if (v->byte_token[b] < 0)
            v->byte_token[b] = prism_token_find(v, &(char){(char)b}, 1);
    }
}

static void lookup_pair(const struct prism_vocab *v, const char *text, struct prism_symbol *left, const struct prism_symbol *right)
{
    size_t n = (size_t)left->len + right->len;
    if (n > v->longest)
        return;
    int32_t id = prism_token_find(v, text + left->start, n);
    if (id >= 0) {
        left->priority = v->priority[id];
        left->merged = id;
    }
}

static void emit_bytes(struct prism_encoder *e, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int32_t id = e->v->byte_token[(uint8_t)p[i]];
        prism_encoder_emit(e, id >= 0 ? id : e->v->unk);
    }
}

/* Merges the first n symbols and writes their ids. */
static void encode_symbols(struct prism_encoder *e, const char *text, size_t n)
{
    if (!n)
        return;
    prism_merge(e, text, n, lookup_pair);
    for (uint32_t i = 0; i != PRISM_NO_SYMBOL; i = e->symbols[i].next) {
        const struct prism_symbol *s = &e->symbols[i];
        if (s->id >= 0)
            prism_encoder_emit(e, s->id);
        else
            emit_bytes(e, text + s->start, s->len);
    }
}

/* Invalid bytes are not replaced here: a symbol takes as many bytes as its first one announces. */
static size_t symbol_length(uint8_t lead) { return lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4; }

/* text: spaces are already U+2581. */
static enum prism_status encode_escaped(struct prism_encoder *e, const char *text, size_t len)
{
    size_t n = 0;
    bool was_space = true;

    for (size_t at = 0, k; at < len; at += k) {
        k = symbol_length((uint8_t)text[at]);
        if (k > len - at)
            k = len - at;
        bool is_space = k == 3 && !memcmp(text + at, PRISM_SPM_SPACE, 3);
        if (e->v->words_apart && is_space && !was_space) { /* nothing merges across this point */
            encode_symbols(e, text, n);
            n = 0;
        }
        enum prism_status st = prism_encoder_reserve(e, n + 1);
        if (st)
            return st;
        e->symbols[n++] = (struct prism_symbol){.start = (uint32_t)at, .len = (uint32_t)k, .id = prism_token_find(e->v, text + at, k)};
        was_space = is_space;
    }
    encode_symbols(e, text, n);
    return PRISM_OK;
}

size_t prism_escape_spaces(char *out, const char *text, size_t len)
{
    size_t w = 0;

    for (size_t i = 0; i < len; i++)
        if (text[i] == ' ') {
            memcpy(out + w, PRISM_SPM_SPACE, 3);
            w += 3;
        } else {
            out[w++] = text[i];
        }
    return w;
}

enum prism_status prism_spm_encode(struct prism_encoder *e, const char *text, size_t len, bool space_prefix)
{
    size_t w = 0;
    char *escaped = malloc(3 * (len + 1));

    if (!escaped)
        return prism_fail(e->err, PRISM_E_NOMEM, "tokenizer: no memory for %zu bytes of text", 3 * (len + 1));
    if (space_prefix) {
        memcpy(escaped, PRISM_SPM_SPACE, 3);
        w = 3;
    }
    w += prism_escape_spaces(escaped + w, text, len);
    enum prism_status st = encode_escaped(e, escaped, w);
    free(escaped);
    return st;
}
