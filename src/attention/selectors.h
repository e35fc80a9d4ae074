/* selectors.h - the rows of the selector table, one file each, and what those files share. Private to src/attention. */
#ifndef PRISM_ATTENTION_SELECTORS_H
#define PRISM_ATTENTION_SELECTORS_H

#include "src/attention/select.h"
#include "src/base/redzone.h"

extern const struct prism_selector prism_selector_prism, prism_selector_meanpool; /* prism.c */
extern const struct prism_selector prism_selector_rows;                           /* prism_rows.c */
extern const struct prism_selector prism_selector_streaming;                      /* streaming.c */
extern const struct prism_selector prism_selector_vertical_slash;                 /* vertical_slash.c */
extern const struct prism_selector prism_selector_flexprefill;                    /* flexprefill.c */
extern const struct prism_selector prism_selector_xattention;                     /* xattention.c */

/* Key blocks of the call. */
static inline size_t prism_select_blocks(const struct prism_select_call *c) { return (c->kv_len + c->block - 1) / c->block; }

static inline void prism_set_bit(uint64_t *bits, size_t i) { bits[i / 64] |= UINT64_C(1) << i % 64; }

/* Scratch is cut into arrays that are each rounded up to 64 bytes (and a red zone): their size, and the next one. */
static inline size_t prism_carved(size_t n, size_t size) { return ((n * size + 63) & ~(size_t)63) + PRISM_RED_ZONE; }
static inline void *prism_carve(uint8_t **at, size_t n, size_t size)
{
    uint8_t *p = *at;
    *at += prism_carved(n, size);
    if (PRISM_RED_ZONE) {
        prism_unpoison(p, n * size); /* the piece may lie otherwise than the last time */
        prism_poison(p + n * size, (size_t)(*at - p) - n * size);
    }
    return p;
}

#endif
