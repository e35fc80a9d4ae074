/* bits.h - number formats of 16 bits and the rounding to bytes, as plain C. Owns the definition that every level's
 * conversion is compared with. static inline only: files with different ISA flags include it. */
#ifndef PRISM_ARCH_GENERIC_BITS_H
#define PRISM_ARCH_GENERIC_BITS_H

#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "blocks are read as they lie in the file");

static inline uint32_t prism_f32_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static inline float prism_bits_f32(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline uint16_t prism_load_u16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t prism_load_u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* IEEE half to fp32, exact; subnormals by the product with 2^112, no branch. */
static inline float prism_half_to_f32(uint16_t h)
{
    float magnitude = prism_bits_f32((uint32_t)(h & 0x7fff) << 13) * 0x1p112f;
    uint32_t u = prism_f32_bits(magnitude) | (uint32_t)(h & 0x8000) << 16;
    return prism_bits_f32((h & 0x7c00) == 0x7c00 ? u | 0x7f800000 : u);
}

/* fp32 to IEEE half, round half to even; overflow to infinity, NaN to a quiet NaN. */
static inline uint16_t prism_f32_to_half(float f)
{
    uint32_t sign = prism_f32_bits(f) >> 16 & 0x8000, u = prism_f32_bits(f) & 0x7fffffff;

    if (u > 0x7f800000)
        return (uint16_t)(sign | 0x7e00);
    if (u >= 0x477ff000) /* 65520: half way past the largest half */
        return (uint16_t)(sign | 0x7c00);
    if (u < 0x38800000) /* below 2^-14: a multiple of 2^-24; adding 1/2 leaves it in the low bits, rounded by the FPU */
        return (uint16_t)(sign | (prism_f32_bits(prism_bits_f32(u) + 0.5f) - 0x3f000000));
    return (uint16_t)(sign | (u - 0x38000000 + 0xfff + (u >> 13 & 1)) >> 13);
}

static inline float prism_bf16_to_f32(uint16_t b) { return prism_bits_f32((uint32_t)b << 16); }

/* fp32 to bf16, round half to even; overflow to infinity, NaN to a quiet NaN. Subnormals are kept (VCVTNEPS2BF16 drops them). */
static inline uint16_t prism_f32_to_bf16(float f)
{
    uint32_t u = prism_f32_bits(f);
    uint32_t rounded = (u + 0x7fff + (u >> 16 & 1)) >> 16;
    return (uint16_t)((u & 0x7fffffff) > 0x7f800000 ? u >> 16 | 0x40 : rounded);
}

/* The largest magnitude of 32 floats, as an integer: magnitudes order like their bits, and a NaN, which a maximum of floats would drop, is
 * above infinity and that above every number. gcc vectorises this reduction. */
static inline float prism_largest_32(const float *x)
{
    uint32_t bits = 0;
    for (int i = 0; i < 32; i++) {
        uint32_t u = prism_f32_bits(x[i]) & 0x7fffffff;
        bits = u > bits ? u : bits;
    }
    return prism_bits_f32(bits);
}

/* Round half to even, |v| < 2^22: the sum with 1.5 * 2^23 leaves the integer in the low bits. Vectorises on SSE2. */
static inline int32_t prism_round_i32(float v) { return (int32_t)(prism_f32_bits(v + 0x1.8p23f) - 0x4b400000); }

#endif
