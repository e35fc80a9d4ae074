/* arena.h - planned memory: sizes first, one reservation, then pointers.
 *
 * The same walk runs twice: once with base NULL to add up the bytes, once over the reservation to hand out pointers. So plan
 * and context cannot disagree. All pieces are 64-byte aligned; under AddressSanitizer a red zone lies behind each.
 *
 * Panels and activations are read in long strides, and huge pages make linear layers 2-6 % faster. Where only the beginnings of pieces are
 * used, each would take a huge page for a few kilobytes: there pages stay small until a caller knows that it will fill them. */
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

/* The same for pieces that threads use at the same time, *stride bytes apart: they do not share lines, nor neighbouring lines. */
void *prism_arena_take_each(struct prism_arena *a, uint64_t count, uint64_t size, size_t *stride);

#define PRISM_HUGE_PAGE (UINT64_C(2) << 20) /* of x86-64 and most of ARM; memory is aligned to it */

/* Anonymous memory, zero; not touched until used. The first `dense` bytes get huge pages, the rest small ones. NULL on failure. */
void *prism_reserve(uint64_t bytes, uint64_t dense);

/* Gives those bytes huge pages, as far as they are whole ones. Of use before they are touched. */
void prism_advise_huge(void *from, uint64_t bytes);

void prism_release(void *base, uint64_t bytes);

#endif
