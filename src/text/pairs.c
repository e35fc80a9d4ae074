/* pairs.c - the merges of byte-level BPE as a table from (left id, right id) to rank and resulting token. */
#include "src/text/internal.h"

#include <stdlib.h>
#include <string.h>

/* The slot of key, or the free one where it would go; linear probing. */
static struct prism_pair *probe(const struct prism_vocab *v, uint64_t key)
{
    const struct prism_pairs *t = &v->pairs;
    uint64_t i = prism_hash_u64(&v->seed, key) & t->mask;

    while (t->slots[i].key != key && t->slots[i].key != UINT64_MAX)
        i = (i + 1) & t->mask;
    return &t->slots[i];
}

const struct prism_pair *prism_pair_find(const struct prism_vocab *v, int32_t left, int32_t right)
{
    if (left < 0 || right < 0)
        return NULL;
    uint64_t key = (uint64_t)left << 32 | (uint32_t)right;
    const struct prism_pair *p = probe(v, key);
    return p->key == key ? p : NULL;
}

/* Adds merge number rank. joined: room for v->longest bytes. False: it says nothing about known tokens. */
static bool add_merge(struct prism_vocab *v, struct prism_str m, uint32_t rank, char *joined)
{
    const char *space = m.n > 1 ? memchr(m.p + 1, ' ', m.n - 1) : NULL; /* the left half has at least one byte */
    if (!space)
        return false;
    size_t nl = (size_t)(space - m.p), nr = m.n - nl - 1;
    if (!nr || nl + nr > v->longest)
        return false;
    memcpy(joined, m.p, nl);
    memcpy(joined + nl, space + 1, nr);
    int32_t left = prism_token_find(v, m.p, nl), right = prism_token_find(v, space + 1, nr);
    int32_t merged = prism_token_find(v, joined, nl + nr);
    if (left < 0 || right < 0 || merged < 0)
        return false;
    uint64_t key = (uint64_t)left << 32 | (uint32_t)right;
    struct prism_pair *p = probe(v, key);
    if (p->key != key) /* of two equal pairs the first wins */
        *p = (struct prism_pair){key, rank, merged};
    return true;
}

enum prism_status prism_pairs_build(struct prism_vocab *v, const struct prism_gguf *g, const struct prism_gguf_kv *merges,
                                    struct prism_error *err)
{
    if (merges->n >= PRISM_NO_MERGE)
        return prism_fail(err, PRISM_E_FORMAT, "%s: key tokenizer.ggml.merges: expected fewer than 2^32 - 1 entries, found %llu",
                          g->path, (unsigned long long)merges->n);
    unsigned log2_size = 4;
    while ((uint64_t)1 << log2_size < merges->n + merges->n / 2)
        log2_size++;
    size_t size = (size_t)1 << log2_size;
    v->pairs.slots = malloc(size * sizeof *v->pairs.slots);
    char *joined = malloc(v->longest + 1);
    if (!v->pairs.slots || !joined) {
        free(joined);
        return prism_fail(err, PRISM_E_NOMEM, "%s: key tokenizer.ggml.merges: no memory for %llu merges", g->path,
                          (unsigned long long)merges->n);
    }
    memset(v->pairs.slots, 0xFF, size * sizeof *v->pairs.slots);
    v->pairs.mask = size - 1;

    uint64_t n_bad = 0, first_bad = 0;
    for (uint64_t i = 0; i < merges->n; i++)
        if (!add_merge(v, merges->strings[i], (uint32_t)i, joined) && n_bad++ == 0)
            first_bad = i;
    free(joined);
    if (n_bad)
        prism_warn(&g->log, "%s: key tokenizer.ggml.merges: expected pairs of known tokens, found %llu others, ignored; first: index %llu",
                   g->path, (unsigned long long)n_bad, (unsigned long long)first_bad);
    return PRISM_OK;
}
