/* fingerprint.c - tells a model from another in milliseconds: fine-tunes, other quantisations of the same weights, other metadata. Identity,
 * not security: whoever wants to can change a weight between the samples. */
#include "src/model/model.h"

#include <string.h>

#include "src/base/size.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { SAMPLE = 4096 }; /* bytes, of the beginning, the middle and the end of each tensor */

/* All before the first tensor's data: header, metadata, names, shapes, types and offsets of tensors. */
static size_t metadata_bytes(const struct prism_gguf *all, const struct prism_gguf *part)
{
    size_t n = part->map_bytes;

    for (uint64_t i = 0; i < all->n_tensors; i++) {
        uintptr_t at = (uintptr_t)all->tensors[i].data, map = (uintptr_t)part->map;
        if (at >= map && at - map < n)
            n = at - map;
    }
    return n;
}

static void add_part(XXH3_state_t *state, const struct prism_gguf *all, const struct prism_gguf *part)
{
    uint64_t bytes[2] = { part->map_bytes, metadata_bytes(all, part) };

    XXH3_128bits_update(state, bytes, sizeof bytes);
    XXH3_128bits_update(state, part->map, bytes[1]);
}

void prism_model_fingerprint(const struct prism_model *m, uint64_t out[2])
{
    const struct prism_gguf *g = m->gguf;
    XXH3_state_t state; /* some 600 bytes */

    XXH3_128bits_reset(&state);
    add_part(&state, g, g);
    for (uint32_t i = 0; i + 1 < g->n_files; i++)
        add_part(&state, g, g->more[i]);
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        const struct prism_gguf_tensor *t = &g->tensors[i];
        size_t n = min_size(t->n_bytes, SAMPLE), left = t->n_bytes - n;
        XXH3_128bits_update(&state, t->data, n);
        XXH3_128bits_update(&state, t->data + left / 2, n);
        XXH3_128bits_update(&state, t->data + left, n);
    }
    XXH128_hash_t hash = XXH3_128bits_digest(&state);
    out[0] = hash.low64, out[1] = hash.high64;
}
