/* arena.h - planned memory: sizes first, one reservation, then pointers.
 *
 * The same walk runs twice: once with base NULL to add up the bytes, once over the reservation to hand out pointers. So plan
 * and context cannot disagree. All pieces are 64-byte aligned. */
#ifndef PRISM_BASE_ARENA_H
#define PRISM_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/error.h"

struct prism_arena {
    uint8_t *base;     /* NULL while planning */
    uint64_t used;     /* bytes handed out; saturates at UINT64_MAX */
    uint64_t capacity; /* of base */
};

/* count * size bytes, or NULL while planning. */
void *prism_arena_take(struct prism_arena *a, uint64_t count, uint64_t size);

/* Anonymous memory, zero, page aligned; not touched until used. NULL on failure. */
void *prism_reserve(uint64_t bytes);
void prism_release(void *base, uint64_t bytes);

#endif
