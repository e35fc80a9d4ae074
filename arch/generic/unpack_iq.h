/* unpack_iq.h - the types with code books (books.h), see unpack.h: IQ1, IQ2, IQ3. A scale is an odd number times a power of two of the block's
 * half, so that every product is exact in fp32. static inline only. */
#ifndef PRISM_ARCH_GENERIC_UNPACK_IQ_H
#define PRISM_ARCH_GENERIC_UNPACK_IQ_H

#include "arch/generic/bits.h"
#include "arch/generic/books.h"

/* Seven bits and an eighth that makes the number of those that are set even. */
static inline unsigned prism_even_signs(unsigned bits) { return bits | (unsigned)__builtin_parity(bits) << 7; }

/* q[0..8) = the bytes of row, each 1 .. 127, negative where its bit of signs is set. */
static inline void prism_put_signed_8(int8_t *q, uint64_t row, unsigned signs)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t bits = signs * ones & UINT64_C(0x8040201008040201);     /* byte j: bit j, in its place */
    const uint64_t one = (bits + UINT64_C(0x7f7f7f7f7f7f7f7f)) >> 7 & ones; /* byte j: 1 if it is set */
    row = (row ^ ((one << 8) - one)) + one;                                /* ~row + 1, which carries nothing where row > 0 */
    memcpy(q, &row, sizeof row);
}

static inline uint64_t prism_rows_of_4(const uint32_t *book, unsigned first, unsigned second)
{
    return (uint64_t)book[second] << 32 | book[first];
}

/* d[0] = d * (1/2 + the four bits) / 4 for the low four bits, d[1] for the high ones. */
static inline void prism_iq2_scales(float *d, float super_d, unsigned byte)
{
    d[0] = super_d * 0.125f * (float)(2 * (byte & 15) + 1);
    d[1] = super_d * 0.125f * (float)(2 * (byte >> 4) + 1);
}

/* 8 groups of 32. */
static inline void prism_unpack_iq2_xxs(int8_t *q, float *d, float *m, const uint8_t *b)
{
    (void)m;
    const float super_d = prism_half_to_f32(prism_load_u16(b)) * 0.125f;
    for (int g = 0; g < 8; g++) {
        const uint8_t *index = b + 2 + 8 * g;
        const uint32_t s = prism_load_u32(index + 4);
        d[g] = super_d * (float)(2 * (s >> 28) + 1);
        for (int l = 0; l < 4; l++)
            prism_put_signed_8(q + 32 * g + 8 * l, prism_iq2_xxs_book[index[l]], prism_even_signs(s >> 7 * l & 127));
    }
}

/* 16 groups of 16. */
static inline void prism_unpack_iq2_xs(int8_t *q, float *d, float *m, const uint8_t *b)
{
    (void)m;
    const float super_d = prism_half_to_f32(prism_load_u16(b));
    for (int i = 0; i < 8; i++)
        prism_iq2_scales(d + 2 * i, super_d, b[66 + i]);
    for (int l = 0; l < 32; l++) {
        const unsigned code = prism_load_u16(b + 2 + 2 * l);
        prism_put_signed_8(q + 8 * l, prism_iq2_xs_book[code & 511], prism_even_signs(code >> 9));
    }
}

/* 16 groups of 16. */
static inline void prism_unpack_iq2_s(int8_t *q, float *d, float *m, const uint8_t *b)
{
    (void)m;
    const float super_d = prism_half_to_f32(prism_load_u16(b));
    for (int i = 0; i < 8; i++)
        prism_iq2_scales(d + 2 * i, super_d, b[74 + i]);
    for (int l = 0; l < 32; l++) {
        const unsigned high = b[66 + l / 4] >> l % 4 * 2 & 3;
        prism_put_signed_8(q + 8 * l, prism_iq2_s_book[b[2 + l] | high << 8], b[34 + l]);
    }
}

/* 8 groups of 32. */
static inline void prism_unpack_iq3_xxs(int8_t *q, float *d, float *m, const uint8_t *b)
{
    (void)m;
    const float super_d = prism_half_to_f32(prism_load_u16(b)) * 0.25f;
    for (int g = 0; g < 8; g++) {
        const uint8_t *index = b + 2 + 8 * g;
        const uint32_t s = prism_load_u32(b + 66 + 4 * g);
        d[g] = super_d * (float)(2 * (s >> 28) + 1);
        for (int l = 0; l < 4; l++)
            prism_put_signed_8(q + 32 * g + 8 * l, prism_rows_of_4(prism_iq3_xxs_book, index[2 * l], index[2 * l + 1]),
                               prism_even_signs(s >> 7 * l & 127));
    }
}

/* 8 groups of 32. */
static inline void prism_unpack_iq3_s(int8_t *q, float *d, float *m, const uint8_t *b)
{
    (void)m;
    const float super_d = prism_half_to_f32(prism_load_u16(b));
    for (int g = 0; g < 8; g++) {
        const uint8_t *index = b + 2 + 8 * g, *signs = b + 74 + 4 * g;
        const unsigned high = b[66 + g];
        d[g] = super_d * (float)(2 * (b[106 + g / 2] >> g % 2 * 4 & 15) + 1);
        for (int l = 0; l < 4; l++) {
            const unsigned first = index[2 * l] | (high >> 2 * l & 1) << 8, second = index[2 * l + 1] | (high >> (2 * l + 1) & 1) << 8;
            prism_put_signed_8(q + 32 * g + 8 * l, prism_rows_of_4(prism_iq3_s_book, first, second), signs[l]);
        }
    }
}

/* q[0..8) = eight times the row's values, plus 1 or, with `below`, minus 1: the format adds or takes an eighth. */
static inline void prism_put_shifted_8(int8_t *q, const int8_t *row, unsigned below)
{
    const int shift = below ? -1 : 1;
    for (int j = 0; j < 8; j++)
        q[j] = (int8_t)(row[j] + shift);
}

/* 8 groups of 32. */
static inline void prism_unpack_iq1_s(int8_t *q, float *d, float *m, const uint8_t *b)
{
    (void)m;
    const float super_d = prism_half_to_f32(prism_load_u16(b)) * 0.125f;
    for (int g = 0; g < 8; g++) {
        const unsigned high = prism_load_u16(b + 34 + 2 * g);
        d[g] = super_d * (float)(2 * (high >> 12 & 7) + 1);
        for (int l = 0; l < 4; l++)
            prism_put_shifted_8(q + 32 * g + 8 * l, prism_iq1_book[b[2 + 4 * g + l] | (high >> 3 * l & 7) << 8], high >> 15);
    }
}

/* 16 groups of 16. The half lies in the highest four bits of four words. */
static inline void prism_unpack_iq1_m(int8_t *q, float *d, float *m, const uint8_t *b)
{
    (void)m;
    unsigned half = 0;
    for (int i = 0; i < 4; i++)
        half |= prism_load_u16(b + 48 + 2 * i) >> 12 << 4 * i;
    const float super_d = prism_half_to_f32((uint16_t)half) * 0.125f;
    for (int s = 0; s < 16; s++)
        d[s] = super_d * (float)(2 * (prism_load_u16(b + 48 + s / 4 * 2) >> s % 4 * 3 & 7) + 1);
    for (int l = 0; l < 32; l++) {
        const unsigned high = b[32 + l / 2] >> l % 2 * 4;
        prism_put_shifted_8(q + 8 * l, prism_iq1_book[b[l] | (high & 7) << 8], high & 8);
    }
}

#endif
