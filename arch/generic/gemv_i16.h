/* gemv_i16.h - activations of two bytes for gemv_i16: the rounding, and what every level's packed row starts from. Owns the
 * definition; the layouts are each level's own. static inline only: files with different ISA flags include it. */
#ifndef PRISM_ARCH_GENERIC_GEMV_I16_H
#define PRISM_ARCH_GENERIC_GEMV_I16_H

#include "arch/generic/bits.h"

/* 127 * 257: the largest q = 256 * high + low with high in -127..127 and low in -128..127, for levels that multiply bytes. */
#define PRISM_GEMV_X_MAX 32639

/* A group whose largest magnitude is below counts as zero: its step would not be a normal float. */
#define PRISM_GEMV_X_TINY 0x1p-112f

/* Half a step of max / 32639, the roundings of d, of its inverse and of a product of at most 2^15 (half units of 2^-24 each). */
#define PRISM_GEMV_X_ERR (0.5f / PRISM_GEMV_X_MAX + 3 * 0x1p-24f)

/* 32 floats as d * q, round half to even; returns d, not finite when one of x is not. Exactly these operations at every level, so that the
 * integers agree. */
static inline float prism_quantize_32_i16(int16_t *q, const float *x)
{
    const float max = prism_largest_32(x);
    float inverse = max < PRISM_GEMV_X_TINY ? 0.0f : PRISM_GEMV_X_MAX / max;
    for (int i = 0; i < 32; i++)
        q[i] = (int16_t)prism_round_i32(x[i] * inverse);
    return max < PRISM_GEMV_X_TINY ? 0.0f : max / PRISM_GEMV_X_MAX;
}

#endif
