/* index.h - a hash table from byte strings to positions: keys and tensor names of a file. Internal to src/gguf. */
#ifndef PRISM_GGUF_INDEX_H
#define PRISM_GGUF_INDEX_H

#include "src/base/hash.h"

#define PRISM_INDEX_NONE UINT64_MAX

struct prism_index {
    struct prism_index_slot {
        const char *name; /* NULL: free */
        size_t n;
        uint64_t pos, hash;
    } *slots;
    size_t cap, used;     /* cap is a power of two */
    struct prism_hash_seed seed;
};

struct prism_index *prism_index_new(void); /* NULL: out of memory */
void prism_index_free(struct prism_index *ix); /* NULL allowed */

/* Maps the n bytes at name (kept by pointer: they must outlive the index) to pos. A name that is there already keeps its position,
 * which goes to *held; otherwise *held is PRISM_INDEX_NONE. Returns -1 when out of memory, else 0. */
int prism_index_add(struct prism_index *ix, const char *name, size_t n, uint64_t pos, uint64_t *held);

/* The position of name, or PRISM_INDEX_NONE. */
uint64_t prism_index_find(const struct prism_index *ix, const char *name, size_t n);

#endif
