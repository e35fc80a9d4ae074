/* index.c - see index.h. Open addressing with linear probing, at most half full. */
#include "src/gguf/index.h"

#include <stdlib.h>
#include <string.h>

struct prism_index *prism_index_new(void)
{
    struct prism_index *ix = calloc(1, sizeof *ix);
    if (!ix)
        return NULL;
    ix->cap = 64;
    ix->seed = prism_hash_new_seed();
    ix->slots = calloc(ix->cap, sizeof *ix->slots);
    if (!ix->slots) {
        free(ix);
        return NULL;
    }
    return ix;
}

void prism_index_free(struct prism_index *ix)
{
    if (ix)
        free(ix->slots);
    free(ix);
}

/* The slot that holds the name, or the free one where it belongs. */
static struct prism_index_slot *probe(const struct prism_index *ix, const char *name, size_t n, uint64_t hash)
{
    for (size_t i = hash & (ix->cap - 1);; i = (i + 1) & (ix->cap - 1)) {
        struct prism_index_slot *s = &ix->slots[i];
        if (!s->name || (s->hash == hash && s->n == n && memcmp(s->name, name, n) == 0))
            return s;
    }
}

static int grow(struct prism_index *ix)
{
    struct prism_index wider = { .cap = ix->cap * 2, .used = ix->used, .seed = ix->seed };
    wider.slots = calloc(wider.cap, sizeof *wider.slots);
    if (!wider.slots)
        return -1;
    for (size_t i = 0; i < ix->cap; i++)
        if (ix->slots[i].name)
            *probe(&wider, ix->slots[i].name, ix->slots[i].n, ix->slots[i].hash) = ix->slots[i];
    free(ix->slots);
    *ix = wider;
    return 0;
}

int prism_index_add(struct prism_index *ix, const char *name, size_t n, uint64_t pos, uint64_t *held)
{
    if (2 * (ix->used + 1) > ix->cap && grow(ix))
        return -1;
    uint64_t hash = prism_hash_bytes(&ix->seed, name, n);
    struct prism_index_slot *s = probe(ix, name, n, hash);
    *held = s->name ? s->pos : PRISM_INDEX_NONE;
    if (!s->name) {
        *s = (struct prism_index_slot){ name, n, pos, hash };
        ix->used++;
    }
    return 0;
}

uint64_t prism_index_find(const struct prism_index *ix, const char *name, size_t n)
{
    const struct prism_index_slot *s = probe(ix, name, n, prism_hash_bytes(&ix->seed, name, n));
    return s->name ? s->pos : PRISM_INDEX_NONE;
}
