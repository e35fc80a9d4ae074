/* to_q8_0.h - the scale of a block of Q8_0 that is made from floats: shared by all levels, so that they store the same bits. */
#ifndef PRISM_GENERIC_TO_Q8_0_H
#define PRISM_GENERIC_TO_Q8_0_H

#include "arch/generic/bits.h"

/* The scale, as a half, of a block whose largest magnitude is `most`, and what its values are multiplied by to become bytes: 0 when all are zeros,
 * or when the scale is not finite. No |x| * inverse passes 127.25 by more than rounding: halves above 2^-14 are within 2^-11 of most / 127, those
 * below are made one step larger where that is not enough. */
static inline uint16_t prism_q8_0_scale(float most, float *inverse)
{
    uint16_t half = prism_f32_to_half(most / 127);

    half = (uint16_t)(half + (prism_half_to_f32(half) * 127.25f < most));
    *inverse = half > 0 && half < 0x7c00 ? 1 / prism_half_to_f32(half) : 0;
    return half;
}

#endif
