/* attn_keys.h - what attention tiles of every level are told by their contract (struct prism_attn_tile of src/kernels.h): which keys of a
 * block a row sees, and what a row's softmax starts with. */
#ifndef PRISM_ARCH_GENERIC_ATTN_KEYS_H
#define PRISM_ARCH_GENERIC_ATTN_KEYS_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "src/kernels.h"

#define LOG2_E 0x1.715476p0f

/* One tile against one block: row r sees the keys gone + r .. seen + r - 1 of the block, as far as it has them. */
struct keys {
    size_t rows, block;
    ptrdiff_t gone, seen;
};

static inline struct keys keys_of_block(const struct prism_attn_tile *t, size_t b)
{
    struct keys k = { .rows = t->rows, .block = t->block, .seen = (ptrdiff_t)(t->q_pos + 1) - (ptrdiff_t)(b * t->block) };
    k.gone = t->window == 0 || t->window > t->q_pos + t->rows ? PTRDIFF_MIN / 2 : k.seen - (ptrdiff_t)t->window;
    return k;
}

/* n, or 0 below it, or `most` above. */
static inline size_t clamped(ptrdiff_t n, size_t most) { return n < 0 ? 0 : (size_t)n < most ? (size_t)n : most; }

/* The first key of the block that row r sees, and the one behind the last; equal for none. Rows that the tile lacks follow the last one. */
static inline size_t keys_gone(const struct keys *k, size_t r)
{
    return clamped(k->gone + (ptrdiff_t)(r < k->rows ? r : k->rows - 1), k->block);
}

static inline size_t keys_seen(const struct keys *k, size_t r)
{
    return clamped(k->seen + (ptrdiff_t)(r < k->rows ? r : k->rows - 1), k->block);
}

/* Of n rows from `row` on, the first that sees key i and the one behind the last. Rows that the tile lacks count as if it had them. */
static inline size_t keys_first_row(const struct keys *k, size_t row, size_t i, size_t n)
{
    return clamped((ptrdiff_t)(i + 1) - k->seen - (ptrdiff_t)row, n);
}

static inline size_t keys_end_row(const struct keys *k, size_t row, size_t i, size_t n)
{
    return clamped((ptrdiff_t)(i + 1) - k->gone - (ptrdiff_t)row, n);
}

/* Maximum, in units of which 1 in a logit is `unit` (LOG2_E for powers of two), and sum of a row before its first block: those of the sink. */
static inline void start_row(const struct prism_attn_tile *t, float unit, float *max, float *sum)
{
    const bool none = !t->sink || *t->sink == -INFINITY;
    *max = none ? -INFINITY : fminf(*t->sink * unit, FLT_MAX);
    *sum = none ? 0 : 1 + 0 * *t->sink; /* NaN for +infinity and NaN */
}

/* With a cap (in powers of two; 0: none) logits are multiplied by *to_cap, which puts them in units of it, and are worth their number when they are
 * capped. *step: what one unit of a logit is worth; a NaN, that of the row's query, stays there and leaves logits as they are by their keys. */
static inline void start_cap(float cap, float *step, float *to_cap)
{
    *to_cap = cap > 0 && *step < INFINITY ? *step / cap : 0;
    *step = cap > 0 ? 1 + 0 * *step : *step;
}

#endif
