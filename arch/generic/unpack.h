/* unpack.h - what each block type means, once: a block as signed bytes q with one scale d (and one offset m) per group,
 * value = d * q + m. to_f32, to_i8 and the packers of every level rest on these functions.
 *
 * Formulas: ggml's block layouts as of llama.cpp v0.5.0 (github.com/ggml-org/ggml, ggml-quants.c). Halves are widened to
 * fp32, products are made in fp32 from left to right: d * scale first, then times q. m is written by types with has_min and
 * Q2_K only. static inline only: files with different ISA flags include this. */
#ifndef PRISM_ARCH_GENERIC_UNPACK_H
#define PRISM_ARCH_GENERIC_UNPACK_H

#include "arch/generic/bits.h"
#include "arch/generic/unpack_few.h"
#include "arch/generic/unpack_iq.h"
#include "src/gguf/types.h"

/* q: the block's values; d, m: one per group; b: the block, any alignment. */
typedef void prism_unpack_fn(int8_t *q, float *d, float *m, const uint8_t *b);

/* The 16 values of a four-bit code book: IQ4_NL and IQ4_XS. */
static const int8_t prism_iq4_values[16] = { -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 };
/* E2M1 of OCP MX, doubled: the scale below is halved. */
static const int8_t prism_mxfp4_values[16] = { 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12 };

/* ---- blocks of 32: one group ---- */

/* 16 bytes of nibbles less offset: the low ones, then the high ones. From a copy, since q could point into the block for all that gcc knows. */
static inline void prism_split_nibbles(int8_t *q, const uint8_t *b, int offset)
{
    uint8_t pairs[16];
    memcpy(pairs, b, sizeof pairs);
    for (int j = 0; j < 16; j++) {
        q[j] = (int8_t)((pairs[j] & 15) - offset);
        q[j + 16] = (int8_t)((pairs[j] >> 4) - offset);
    }
}

static inline void prism_unpack_q4_0(int8_t *q, float *d, float *m, const uint8_t *b)
{
    (void)m;
    d[0] = prism_half_to_f32(prism_load_u16(b));
    prism_split_nibbles(q, b + 2, 8);
}

static inline void prism_unpack_q4_1(int8_t *q, float *d, float *m, const uint8_t *b)
{
    d[0] = prism_half_to_f32(prism_load_u16(b));
    m[0] = prism_half_to_f32(prism_load_u16(b + 2));
    prism_split_nibbles(q, b + 4, 0);
}

/* The fifth bits of Q5_0 and Q5_1: bit j of the little-endian word belongs to value j. */
static inline void prism_unpack_q5_bits(int8_t *q, const uint8_t *high, const uint8_t *low, int offset)
{
    uint32_t h = prism_load_u32(high);
    for (int j = 0; j < 16; j++) {
        q[j] = (int8_t)(((low[j] & 15) | (h >> j & 1) << 4) - (uint32_t)offset);
        q[j + 16] = (int8_t)((low[j] >> 4 | (h >> (j + 16) & 1) << 4) - (uint32_t)offset);
    }
}

static inline void prism_unpack_q5_0(int8_t *q, float *d, float *m, const uint8_t *b)
{
    (void)m;
    d[0] = prism_half_to_f32(prism_load_u16(b));
    prism_unpack_q5_bits(q, b + 2, b + 6, 16);
}

static inline void prism_unpack_q5_1(int8_t *q, float *d, float *m, const uint8_t *b)
{
    d[0] = prism_half_to_f32(prism_load_u16(b));
    m[0] = prism_half_to_f32(prism_load_u16(b + 2));
    prism_unpack_q5_bits(q, b + 4, b + 8, 0);
}

static inline void prism_unpack_q8_0(int8_t *q, float *d, float *m, const uint8_t *b)
{
    (void)m;
    d[0] = prism_half_to_f32(prism_load_u16(b));
    memcpy(q, b + 2, 32);
}

static inline void prism_unpack_nibbles(int8_t *q, const uint8_t *b, const int8_t *values)
{
    for (int j = 0; j < 16; j++) {
        q[j] = values[b[j] & 15];
        q[j + 16] = values[b[j] >> 4];
    }
}

static inline void prism_unpack_iq4_nl(int8_t *q, float *d, float *m, const uint8_t *b)
{
    (void)m;
    d[0] = prism_half_to_f32(prism_load_u16(b));
    prism_unpack_nibbles(q, b + 2, prism_iq4_values);
}

static inline void prism_unpack_mxfp4(int8_t *q, float *d, float *m, const uint8_t *b)
{
    (void)m;
    /* 2^(e - 128); the two smallest are subnormal. */
    d[0] = prism_bits_f32(b[0] < 2 ? 0x00200000u << b[0] : (uint32_t)(b[0] - 1) << 23);
    prism_unpack_nibbles(q, b + 1, prism_mxfp4_values);
}

/* ---- blocks of 64: four groups of 16 ---- */

/* Half of an unsigned E4M3 (seven bits: exponent bias 7, subnormals, no infinity; its NaN counts as zero): the values of E2M1 are doubled. */
static inline float prism_half_of_e4m3(uint8_t x)
{
    const float value = prism_bits_f32((uint32_t)(x & 127) << 20) * 0x1p119f; /* biases are 127 and 7, and half of it */
    return x == 0x7f ? 0 : value;
}

static inline void prism_unpack_nvfp4(int8_t *q, float *d, float *m, const uint8_t *b)
{
    (void)m;
    for (int g = 0; g < 4; g++) {
        d[g] = prism_half_of_e4m3(b[g]);
        for (int j = 0; j < 8; j++) {
            q[16 * g + j] = prism_mxfp4_values[b[4 + 8 * g + j] & 15];
            q[16 * g + 8 + j] = prism_mxfp4_values[b[4 + 8 * g + j] >> 4];
        }
    }
}

/* ---- blocks of 256 ---- */

/* Scale and offset of sub-block j of Q4_K and Q5_K: six bits each, the upper two of the last four spread over the first 8 bytes. */
static inline void prism_q4_k_scale(unsigned j, const uint8_t *s, unsigned *scale, unsigned *min)
{
    *scale = j < 4 ? s[j] & 63u : (s[j + 4] & 15u) | (s[j - 4] >> 6) << 4;
    *min = j < 4 ? s[j + 4] & 63u : (unsigned)(s[j + 4] >> 4 | (s[j] >> 6) << 4);
}

static inline void prism_q4_k_scales(float *d, float *m, const uint8_t *b)
{
    float super_d = prism_half_to_f32(prism_load_u16(b)), super_m = prism_half_to_f32(prism_load_u16(b + 2));
    for (unsigned j = 0; j < 8; j++) {
        unsigned scale, min;
        prism_q4_k_scale(j, b + 4, &scale, &min);
        d[j] = super_d * (float)scale;
        m[j] = -(super_m * (float)min);
    }
}

/* 8 groups of 32. */
static inline void prism_unpack_q4_k(int8_t *q, float *d, float *m, const uint8_t *b)
{
    prism_q4_k_scales(d, m, b);
    for (int p = 0; p < 4; p++)
        for (int l = 0; l < 32; l++) {
            q[64 * p + l] = (int8_t)(b[16 + 32 * p + l] & 15);
            q[64 * p + 32 + l] = (int8_t)(b[16 + 32 * p + l] >> 4);
        }
}

/* 8 groups of 32. */
static inline void prism_unpack_q5_k(int8_t *q, float *d, float *m, const uint8_t *b)
{
    const uint8_t *high = b + 16, *low = b + 48;

    prism_q4_k_scales(d, m, b);
    for (int p = 0; p < 4; p++)
        for (int l = 0; l < 32; l++) {
            q[64 * p + l] = (int8_t)((low[32 * p + l] & 15) | (high[l] >> 2 * p & 1) << 4);
            q[64 * p + 32 + l] = (int8_t)(low[32 * p + l] >> 4 | (high[l] >> (2 * p + 1) & 1) << 4);
        }
}

/* 8 groups of 32. */
static inline void prism_unpack_iq4_xs(int8_t *q, float *d, float *m, const uint8_t *b)
{
    (void)m;
    float super_d = prism_half_to_f32(prism_load_u16(b));
    unsigned high = prism_load_u16(b + 2);
    for (unsigned s = 0; s < 8; s++) {
        unsigned scale = (b[4 + s / 2] >> 4 * (s % 2) & 15u) | (high >> 2 * s & 3) << 4;
        d[s] = super_d * (float)((int)scale - 32);
        prism_unpack_nibbles(q + 32 * s, b + 8 + 16 * s, prism_iq4_values);
    }
}

/* 16 groups of 16. */
static inline void prism_unpack_q2_k(int8_t *q, float *d, float *m, const uint8_t *b)
{
    float super_d = prism_half_to_f32(prism_load_u16(b + 80)), super_m = prism_half_to_f32(prism_load_u16(b + 82));
    for (int s = 0; s < 16; s++) {
        d[s] = super_d * (float)(b[s] & 15);
        m[s] = -(super_m * (float)(b[s] >> 4));
    }
    for (int h = 0; h < 2; h++)
        for (int j = 0; j < 4; j++)
            for (int l = 0; l < 32; l++)
                q[128 * h + 32 * j + l] = (int8_t)(b[16 + 32 * h + l] >> 2 * j & 3);
}

/* The 16 six-bit scales of Q3_K, 0..63; 32 is their zero. */
static inline void prism_q3_k_scales(uint8_t *scale, const uint8_t *s)
{
    for (int k = 0; k < 4; k++) {
        scale[k] = (uint8_t)((s[k] & 15) | (s[8 + k] & 3) << 4);
        scale[4 + k] = (uint8_t)((s[4 + k] & 15) | (s[8 + k] >> 2 & 3) << 4);
        scale[8 + k] = (uint8_t)(s[k] >> 4 | (s[8 + k] >> 4 & 3) << 4);
        scale[12 + k] = (uint8_t)(s[4 + k] >> 4 | (s[8 + k] >> 6 & 3) << 4);
    }
}

/* 16 groups of 16. */
static inline void prism_unpack_q3_k(int8_t *q, float *d, float *m, const uint8_t *b)
{
    (void)m;
    float super_d = prism_half_to_f32(prism_load_u16(b + 108));
    uint8_t scale[16];

    prism_q3_k_scales(scale, b + 96);
    for (int s = 0; s < 16; s++)
        d[s] = super_d * (float)(scale[s] - 32);
    for (int h = 0; h < 2; h++)
        for (int j = 0; j < 4; j++)
            for (int l = 0; l < 32; l++)
                q[128 * h + 32 * j + l] = (int8_t)((b[32 + 32 * h + l] >> 2 * j & 3) + (b[l] >> (4 * h + j) & 1) * 4 - 4);
}

/* 16 groups of 16. */
static inline void prism_unpack_q6_k(int8_t *q, float *d, float *m, const uint8_t *b)
{
    (void)m;
    float super_d = prism_half_to_f32(prism_load_u16(b + 208));
    for (int s = 0; s < 16; s++)
        d[s] = super_d * (float)(int8_t)b[192 + s];
    for (int h = 0; h < 2; h++) {
        const uint8_t *low = b + 64 * h, *high = b + 128 + 32 * h;
        int8_t *y = q + 128 * h;
        for (int l = 0; l < 32; l++) {
            y[l] = (int8_t)(((low[l] & 15) | (high[l] & 3) << 4) - 32);
            y[l + 32] = (int8_t)(((low[l + 32] & 15) | (high[l] >> 2 & 3) << 4) - 32);
            y[l + 64] = (int8_t)((low[l] >> 4 | (high[l] >> 4 & 3) << 4) - 32);
            y[l + 96] = (int8_t)((low[l + 32] >> 4 | (high[l] >> 6) << 4) - 32);
        }
    }
}

/* ---- blocks to floats and to groups of 32 ---- */

/* How the values of a block type lie: constant at every call, so that each caller gets its own specialised loop. */
struct prism_layout {
    prism_unpack_fn *unpack;
    unsigned block, bytes, group; /* values and bytes of a block, values of a group */
    bool has_min;                 /* the unpacker writes m */
};

static inline __attribute__((always_inline)) struct prism_layout prism_layout_of(enum prism_type type)
{
#define PRISM_LAYOUT(A, NAME, name, id, block, bytes, group, has_min, ...) \
    case PRISM_##NAME: return (struct prism_layout){ prism_unpack_##name, block, bytes, group, has_min };
    switch (type) {
        PRISM_BLOCK_TYPES(PRISM_LAYOUT, )
    default: return (struct prism_layout){ 0 };
    }
#undef PRISM_LAYOUT
}

/* y[0..n) = the values of the blocks at x. The contract of prism_to_f32_fn. */
static inline __attribute__((always_inline)) void prism_expand_f32(float *y, const void *x, size_t n, struct prism_layout l)
{
    const uint8_t *b = x;
    for (size_t i = 0; i < n; i += l.block, b += l.bytes) {
        int8_t q[256];
        float d[16], m[16];
        l.unpack(q, d, m, b);
        for (unsigned g = 0; g < l.block / l.group; g++)
            for (unsigned j = 0; j < l.group; j++) {
                float v = d[g] * (float)q[g * l.group + j];
                y[i + g * l.group + j] = l.has_min ? v + m[g] : v;
            }
    }
}

/* One group of 32 floats as bytes: d = max|x| / 127, q = x * (127 / max|x|) rounded half to even; returns d.
 * Exactly these operations at every level (one division for 127 / max, one product per value), so that the bytes agree. A
 * group whose largest magnitude is below 2^-120 counts as zero: there 127 / max would overflow. With a NaN or infinity in x, d is that, and
 * the bytes mean nothing. */
static inline float prism_quantize_32(int8_t *q, const float *x)
{
    float max = prism_largest_32(x);
    float d = max < 0x1p-120f ? 0.0f : max / 127.0f, inverse = max < 0x1p-120f ? 0.0f : 127.0f / max;
    for (int i = 0; i < 32; i++)
        q[i] = (int8_t)prism_round_i32(x[i] * inverse);
    return d;
}

/* The contract of prism_to_i8_fn. Groups of 16 are requantised; m stays untouched only when NULL. */
static inline __attribute__((always_inline)) void prism_expand_i8(int8_t *q, float *d, float *m, const void *x, size_t n,
                                                                  struct prism_layout l)
{
    const uint8_t *b = x;
    for (size_t i = 0; i < n; i += l.block, b += l.bytes) {
        float block_d[16], block_m[16] = { 0 };
        if (l.group == 32) {
            l.unpack(q + i, block_d, block_m, b);
        } else {
            float y[256];
            prism_expand_f32(y, b, l.block, l);
            for (unsigned g = 0; g < l.block / 32; g++)
                block_d[g] = prism_quantize_32(q + i + 32 * g, y + 32 * g);
        }
        for (unsigned g = 0; g < l.block / 32; g++) {
            d[i / 32 + g] = block_d[g];
            if (m)
                m[i / 32 + g] = l.group == 32 ? block_m[g] : 0.0f;
        }
    }
}

#endif
