/* unpack.h - blocks of the common types as vectors, for groups.c and for the packers and gemv of arch/avx512vnni.
 * The formulas, and the other types, are in arch/generic/unpack.h; bit-equal to them. */
#ifndef PRISM_AVX512_UNPACK_H
#define PRISM_AVX512_UNPACK_H

#include "arch/avx512/vec.h"
#include "arch/generic/unpack.h"

/* The four halves at p, any alignment: a conversion that reads memory needs no shuffle. */
PRISM_INLINE __m128 load_halves(const uint8_t *p)
{
    return _mm_cvtph_ps(_mm_loadl_epi64((const __m128i *)(const void *)p));
}

/* The half at the beginning of a block of at least 8 bytes. */
PRISM_INLINE float first_half(const uint8_t *block)
{
    return _mm_cvtss_f32(load_halves(block));
}

/* 16 signed bytes as floats. */
PRISM_INLINE __m512 vec_i8_to_f32(__m128i q)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q));
}

/* The 32 values of a Q4_0 block. */
PRISM_INLINE __m256i unpack_q4_0(const uint8_t *b)
{
    const __m128i low = _mm_loadu_si128((const __m128i *)(const void *)(b + 2)), high = _mm_srli_epi16(low, 4);
    const __m256i nibbles = _mm256_and_si256(_mm256_set_m128i(high, low), _mm256_set1_epi8(15));
    return _mm256_sub_epi8(nibbles, _mm256_set1_epi8(8));
}

struct q4_k_scales {
    __m256 d, m; /* of the 8 groups of 32 */
};

/* d * scale and -(dmin * min): the 8 pairs of six bits are put together in words of four bytes. */
PRISM_INLINE struct q4_k_scales unpack_q4_k_scales(const uint8_t *b)
{
    const uint32_t s0 = prism_load_u32(b + 4), s1 = prism_load_u32(b + 8), s2 = prism_load_u32(b + 12);
    const uint32_t scale_high = (s2 & 0x0f0f0f0f) | (s0 >> 6 & 0x03030303) << 4;
    const uint32_t min_high = (s2 >> 4 & 0x0f0f0f0f) | (s1 >> 6 & 0x03030303) << 4;
    const __m128i scale = _mm_cvtsi64_si128((int64_t)((uint64_t)scale_high << 32 | (s0 & 0x3f3f3f3f)));
    const __m128i min = _mm_cvtsi64_si128((int64_t)((uint64_t)min_high << 32 | (s1 & 0x3f3f3f3f)));
    const __m128 super = load_halves(b);
    const __m256 super_d = _mm256_broadcastss_ps(super), super_m = _mm256_broadcastss_ps(_mm_movehdup_ps(super));
    const __m256 m = _mm256_mul_ps(super_m, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(min)));
    return (struct q4_k_scales){ _mm256_mul_ps(super_d, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(scale))),
                                 _mm256_xor_ps(m, _mm256_set1_ps(-0.0f)) };
}

/* The 16 scales of a Q6_K block. */
PRISM_INLINE __m512 unpack_q6_k_scales(const uint8_t *b)
{
    const __m128 super = load_halves(b + 202); /* the last of four */
    const __m512 scales = vec_i8_to_f32(_mm_loadu_si128((const __m128i *)(const void *)(b + 192)));
    return _mm512_mul_ps(_mm512_set1_ps(_mm_cvtss_f32(_mm_shuffle_ps(super, super, 0xff))), scales);
}

/* The 256 values of a Q6_K block, 64 per vector. */
PRISM_INLINE void unpack_q6_k(__m512i v[4], const uint8_t *b)
{
    for (int h = 0; h < 2; h++) {
        const __m512i low = _mm512_loadu_si512(b + 64 * h), nibble = _mm512_set1_epi8(15), bits = _mm512_set1_epi8(0x30);
        const __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(b + 128 + 32 * h));
        const __m512i high01 = _mm512_inserti64x4(_mm512_castsi256_si512(high), _mm256_srli_epi16(high, 2), 1);
        const __m512i value01 = _mm512_or_si512(_mm512_and_si512(low, nibble), _mm512_and_si512(_mm512_slli_epi16(high01, 4), bits));
        const __m512i value23 = _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(low, 4), nibble), _mm512_and_si512(high01, bits));
        v[2 * h] = _mm512_sub_epi8(value01, _mm512_set1_epi8(32));
        v[2 * h + 1] = _mm512_sub_epi8(value23, _mm512_set1_epi8(32));
    }
}

#endif
