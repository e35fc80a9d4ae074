/* unpack_few.h - types of few values each, see unpack.h: three (TQ1_0, TQ2_0), and those of one and two bits. static inline only. */
#ifndef PRISM_ARCH_GENERIC_UNPACK_FEW_H
#define PRISM_ARCH_GENERIC_UNPACK_FEW_H

#include "arch/generic/unpack_iq.h"

static inline void prism_repeat_scale(float *d, float value, int n)
{
    for (int i = 0; i < n; i++)
        d[i] = value;
}

/* Digits of base three, the first the most significant: byte / 256 is the number behind the point, rounded up. digits x n values, digit by
 * digit. */
static inline void prism_unpack_threes(int8_t *q, const uint8_t *b, int n, int digits)
{
    uint16_t power = 1;
    for (int i = 0; i < digits; i++, power = (uint16_t)(power * 3))
        for (int j = 0; j < n; j++) {
            const uint16_t rest = (uint16_t)(b[j] * power) & 255, three = (uint16_t)(rest * 3);
            q[i * n + j] = (int8_t)((three >> 8) - 1);
        }
}

/* 8 groups of 32 with one scale: five digits in 48 bytes, four in 4 more. */
static inline void prism_unpack_tq1_0(int8_t *q, float *d, float *m, const uint8_t *b)
{
    (void)m;
    prism_repeat_scale(d, prism_half_to_f32(prism_load_u16(b + 52)), 8);
    prism_unpack_threes(q, b, 32, 5);
    prism_unpack_threes(q + 160, b + 32, 16, 5);
    prism_unpack_threes(q + 240, b + 48, 4, 4);
}

/* 8 groups of 32 with one scale. */
static inline void prism_unpack_tq2_0(int8_t *q, float *d, float *m, const uint8_t *b)
{
    (void)m;
    prism_repeat_scale(d, prism_half_to_f32(prism_load_u16(b + 64)), 8);
    for (int h = 0; h < 2; h++)
        for (int j = 0; j < 4; j++)
            for (int l = 0; l < 32; l++)
                q[128 * h + 32 * j + l] = (int8_t)((b[32 * h + l] >> 2 * j & 3) - 1);
}

/* 4 groups of 32 with one scale: a bit is 1 or -1. */
static inline void prism_unpack_q1_0(int8_t *q, float *d, float *m, const uint8_t *b)
{
    (void)m;
    prism_repeat_scale(d, prism_half_to_f32(prism_load_u16(b)), 4);
    for (int j = 0; j < 16; j++)
        prism_put_signed_8(q + 8 * j, UINT64_C(0x0101010101010101), (unsigned)~b[2 + j] & 255);
}

/* 2 groups of 32 with one scale. */
static inline void prism_unpack_q2_0(int8_t *q, float *d, float *m, const uint8_t *b)
{
    (void)m;
    prism_repeat_scale(d, prism_half_to_f32(prism_load_u16(b)), 2);
    for (int j = 0; j < 8; j++) {
        uint64_t x = prism_load_u16(b + 2 + 2 * j); /* eight values become eight bytes: halves move apart */
        x = (x | x << 24) & UINT64_C(0x000000ff000000ff);
        x = (x | x << 12) & UINT64_C(0x000f000f000f000f);
        x = (x | x << 6) & UINT64_C(0x0303030303030303);
        x = (x + UINT64_C(0x7f7f7f7f7f7f7f7f)) ^ UINT64_C(0x8080808080808080); /* minus 1, without a borrow */
        memcpy(q + 8 * j, &x, sizeof x);
    }
}

#endif
