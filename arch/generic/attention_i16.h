/* attention_i16.h - the numbers of int16 attention, the same at every level; what they are for is said in attention_i16.c. */
#ifndef PRISM_ARCH_GENERIC_ATTENTION_I16_H
#define PRISM_ARCH_GENERIC_ATTENTION_I16_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    NORM = 32767,  /* of a query or key in steps */
    P_BITS = 13,   /* log2 of the largest probability of a block */
    V_MAX = 4095,  /* the largest value of a column and chunk in steps */
    CHUNK = 64,    /* keys that share the steps of the columns */
};
#define LEAST_V 0x1p-110f /* columns below count as zero: from here on V_MAX / max is finite */

static inline size_t chunk_keys(size_t block) { return block < CHUNK ? block : CHUNK; }

/* Factor that gives a vector with this sum of squares a norm of NORM, and its inverse to *step. Vectors that are nothing but underflow count as
 * zero (0, 0); those that are not finite get 0 and NaN. */
static inline float norm_factor(float square, float *step)
{
    const float norm = sqrtf(square);
    const bool is_normal = square >= 0x1p-120f && norm < INFINITY;

    *step = is_normal ? norm / NORM : square < 0x1p-120f ? 0 : NAN;
    return is_normal ? NORM / norm : 0;
}

/* The steps of a block of which n keys exist: all NaN if one is not finite. */
static inline void spread_nan(float *step, size_t n, size_t block)
{
    bool finite = true;

    for (size_t key = 0; key < n; key++)
        finite = finite && step[key] < INFINITY;
    for (size_t key = 0; key < block && !finite; key++)
        step[key] = NAN;
}

#endif
