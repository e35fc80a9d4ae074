/* token_table.c - token text -> id. The texts stay in the GGUF mapping; the table keeps 8 bytes per slot. */
#include "src/text/internal.h"

#include <stdlib.h>
#include <string.h>

/* The slot that holds the text, or the free one where it would go. */
static struct prism_token_slot *probe(const struct prism_vocab *v, const char *p, size_t n, uint32_t hash)
{
    for (uint32_t i = hash & v->ids.mask;; i = (i + 1) & v->ids.mask) {
        struct prism_token_slot *s = &v->ids.slots[i];
        if (s->id < 0 || (s->hash == hash && v->text[s->id].n == n && !memcmp(v->text[s->id].p, p, n)))
            return s;
    }
}

int32_t prism_token_find(const struct prism_vocab *v, const char *text, size_t n)
{
    return probe(v, text, n, (uint32_t)prism_hash_bytes(&v->seed, text, n))->id;
}

enum prism_status prism_token_table_build(struct prism_vocab *v, const char *path, struct prism_error *err)
{
    uint64_t size = 16;
    while (size < v->n_tokens + (uint64_t)v->n_tokens / 2)
        size *= 2;
    v->ids.slots = malloc(size * sizeof *v->ids.slots);
    if (!v->ids.slots)
        return prism_fail(err, PRISM_E_NOMEM, "%s: key tokenizer.ggml.tokens: no memory for %u tokens", path, v->n_tokens);
    memset(v->ids.slots, 0xFF, size * sizeof *v->ids.slots);
    v->ids.mask = (uint32_t)(size - 1);
    v->seed = prism_hash_new_seed();

    for (uint32_t i = 0; i < v->n_tokens; i++) {
        const struct prism_str t = v->text[i];
        if (!t.n)
            continue;
        uint32_t hash = (uint32_t)prism_hash_bytes(&v->seed, t.p, t.n);
        struct prism_token_slot *s = probe(v, t.p, t.n, hash);
        if (s->id >= 0)
            return prism_fail(err, PRISM_E_FORMAT, "%s: key tokenizer.ggml.tokens: expected distinct texts, found \"%.*s\" as tokens %d and %u",
                              path, (int)(t.n < 64 ? t.n : 64), t.p, s->id, i);
        *s = (struct prism_token_slot){hash, (int32_t)i};
        if (t.n > v->longest)
            v->longest = t.n;
    }
    return PRISM_OK;
}
