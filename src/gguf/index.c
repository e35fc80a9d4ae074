/* index.c - see index.h. Open addressing with linear probing, at most half full. */
#include "src/gguf/index.h"

#include <stdlib.h>
#include <string.h>

struct slot {
    const char *name; /* NULL: free */
    size_t n;
    uint64_t pos, hash;
};

struct prism_index {
    struct slot *slots;
    size_t cap, used; /* cap is a power of two */
};

struct prism_index *prism_index_new(void)
{
    struct prism_index *ix = calloc(1, sizeof *ix);
    if (!ix)
        return NULL;
    ix->cap = 64;
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

/* FNV-1a, then folded: its low bits alone are weak for names that differ in one digit. */
static uint64_t hash_of(const char *name, size_t n)
{
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)name[i]) * 0x100000001B3u;
    return h ^ h >> 32;
}

/* The slot that holds the name, or the free one where it belongs. */
static struct slot *probe(const struct prism_index *ix, const char *name, size_t n, uint64_t hash)
{
    for (size_t i = hash & (ix->cap - 1);; i = (i + 1) & (ix->cap - 1)) {
        struct slot *s = &ix->slots[i];
        if (!s->name || (s->hash == hash && s->n == n && memcmp(s->name, name, n) == 0))
            return s;
    }
}

static int grow(struct prism_index *ix)
{
    struct prism_index wider = { .cap = ix->cap * 2, .used = ix->used };
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
    uint64_t hash = hash_of(name, n);
    struct slot *s = probe(ix, name, n, hash);
    *held = s->name ? s->pos : PRISM_INDEX_NONE;
    if (!s->name) {
        *s = (struct slot){ name, n, pos, hash };
        ix->used++;
    }
    return 0;
}

uint64_t prism_index_find(const struct prism_index *ix, const char *name, size_t n)
{
    const struct slot *s = probe(ix, name, n, hash_of(name, n));
    return s->name ? s->pos : PRISM_INDEX_NONE;
}
