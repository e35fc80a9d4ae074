/* blocks.h - stored blocks in registers: 32 values at a time as signed bytes or floats, and the scales of a block. What a type
 * means is defined by arch/generic/unpack.h, whose layouts and tables are used here; the results are bit-equal to it. Used by
 * dequant.c, groups.c, gemv.c and gemv_i16.c.
 *
 * Every function takes the type as a constant, so that each caller gets its own straight code. A block has block / 32 groups;
 * group j is the values 32j .. 32j + 31. */
#ifndef PRISM_AVX2_BLOCKS_H
#define PRISM_AVX2_BLOCKS_H

#include "arch/avx2/blocks_iq.h"

/* Whether the type has cases below. The others are unpacked a block at a time by the generic function. */
PRISM_INLINE bool in_registers(enum prism_type type)
{
    return type <= PRISM_NVFP4;
}

/* ---- scales (struct block_scales) ---- */

/* d[0..8) = factor * bytes of the low half of q. */
PRISM_INLINE void scale_8(float *d, float factor, __m128i q)
{
    _mm256_storeu_ps(d, _mm256_mul_ps(_mm256_set1_ps(factor), vec_i8_to_f32(q)));
}

PRISM_INLINE void scale_16(float *d, float factor, __m128i q)
{
    scale_8(d, factor, q);
    scale_8(d + 8, factor, _mm_srli_si128(q, 8));
}

/* Q4_K and Q5_K: the six-bit fields of prism_q4_k_scale, four bytes of a word at a time. */
PRISM_INLINE void scales_q4_k(struct block_scales *s, const uint8_t *b)
{
    const uint32_t s0 = prism_load_u32(b + 4), s1 = prism_load_u32(b + 8), s2 = prism_load_u32(b + 12);
    const uint32_t d_high = (s2 & 0x0f0f0f0f) | (s0 >> 2 & 0x30303030), m_high = (s2 >> 4 & 0x0f0f0f0f) | (s1 >> 2 & 0x30303030);
    const __m128i d = _mm_cvtsi64_si128((int64_t)((uint64_t)d_high << 32 | (s0 & 0x3f3f3f3f)));
    const __m128i m = _mm_cvtsi64_si128((int64_t)((uint64_t)m_high << 32 | (s1 & 0x3f3f3f3f)));
    const __m128 super = _mm_cvtph_ps(_mm_loadl_epi64((const __m128i *)(const void *)b)); /* the first two of four halves */
    const __m128 minus = _mm_xor_ps(_mm_movehdup_ps(super), _mm_set1_ps(-0.0f));
    _mm256_storeu_ps(s->d, _mm256_mul_ps(_mm256_broadcastss_ps(super), vec_i8_to_f32(d)));
    _mm256_storeu_ps(s->m, _mm256_mul_ps(_mm256_broadcastss_ps(minus), vec_i8_to_f32(m)));
}

PRISM_INLINE void scales_q2_k(struct block_scales *s, const uint8_t *b)
{
    const __m128i x = _mm_loadu_si128((const __m128i *)b), low = _mm_set1_epi8(15);
    scale_16(s->d, vec_half(b + 80), _mm_and_si128(x, low));
    scale_16(s->m, -vec_half(b + 82), _mm_and_si128(_mm_srli_epi16(x, 4), low));
}

/* Four fields of prism_q3_k_scales at a time: four bits of a byte in each of the first two words, two of the third. */
PRISM_INLINE void scales_q3_k(struct block_scales *s, const uint8_t *b)
{
    const uint32_t low = 0x0f0f0f0f, high = 0x30303030;
    const uint32_t s0 = prism_load_u32(b + 96), s1 = prism_load_u32(b + 100), s2 = prism_load_u32(b + 104);
    const __m128i q = _mm_setr_epi32((int)((s0 & low) | (s2 << 4 & high)), (int)((s1 & low) | (s2 << 2 & high)),
                                     (int)((s0 >> 4 & low) | (s2 & high)), (int)((s1 >> 4 & low) | (s2 >> 2 & high)));
    scale_16(s->d, vec_half(b + 108), _mm_sub_epi8(q, _mm_set1_epi8(32)));
}

PRISM_INLINE void scales_iq4_xs(struct block_scales *s, const uint8_t *b)
{
    int8_t q[16];
    const unsigned high = prism_load_u16(b + 2);
    for (unsigned j = 0; j < 8; j++)
        q[j] = (int8_t)((int)((b[4 + j / 2] >> 4 * (j % 2) & 15u) | (high >> 2 * j & 3) << 4) - 32);
    scale_8(s->d, vec_half(b), _mm_loadl_epi64((const __m128i *)q));
}

/* prism_half_of_e4m3 of the low eight bytes. */
PRISM_INLINE __m256 halves_of_e4m3(__m128i bytes)
{
    const __m256i x = _mm256_cvtepu8_epi32(bytes), max = _mm256_set1_epi32(127);
    const __m256 value = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_and_si256(x, max), 20));
    return _mm256_andnot_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(x, max)), _mm256_mul_ps(value, _mm256_set1_ps(0x1p119f)));
}

PRISM_INLINE void block_scales(struct block_scales *s, const uint8_t *b, enum prism_type type)
{
    switch (type) {
    case PRISM_Q2_K: scales_q2_k(s, b); break;
    case PRISM_Q3_K: scales_q3_k(s, b); break;
    case PRISM_Q4_K:
    case PRISM_Q5_K: scales_q4_k(s, b); break;
    case PRISM_Q6_K: scale_16(s->d, vec_half(b + 208), _mm_loadu_si128((const __m128i *)(b + 192))); break;
    case PRISM_IQ4_XS: scales_iq4_xs(s, b); break;
    case PRISM_IQ2_XXS: scales_iq2_xxs(s, b); break;
    case PRISM_IQ2_XS: scales_iq2(s, b, b + 66), signs_iq2_xs(s, b); break;
    case PRISM_IQ2_S: scales_iq2(s, b, b + 74); break;
    case PRISM_IQ3_XXS:
        signs_and_scales(s, vec_half(b) * 0.25f, _mm256_loadu_si256((const __m256i *)(const void *)(b + 66)));
        break;
    case PRISM_IQ3_S: scales_iq3_s(s, b); break;
    case PRISM_IQ1_S: scales_iq1_s(s, b); break;
    case PRISM_IQ1_M: scales_iq1_m(s, b); break;
    case PRISM_NVFP4: _mm256_storeu_ps(s->d, halves_of_e4m3(_mm_cvtsi32_si128((int)prism_load_u32(b)))); break;
    case PRISM_MXFP4: s->d[0] = prism_bits_f32(b[0] < 2 ? 0x00200000u << b[0] : (uint32_t)(b[0] - 1) << 23); break;
    case PRISM_Q4_1:
    case PRISM_Q5_1: s->m[0] = vec_half(b + 2); /* fall through */
    case PRISM_Q4_0:
    case PRISM_Q5_0:
    case PRISM_Q8_0:
    case PRISM_IQ4_NL: s->d[0] = vec_half(b); break;
    default: prism_layout_of(type).unpack(s->q, s->d, s->m, b);
    }
}

/* ---- bytes ---- */

/* Field of `bits` bits at `shift` of each of 32 bytes. */
PRISM_INLINE __m256i bit_field(const uint8_t *p, int shift, int bits)
{
    const __m256i x = _mm256_loadu_si256((const __m256i *)p);
    return _mm256_and_si256(_mm256_srli_epi16(x, shift), _mm256_set1_epi8((char)((1 << bits) - 1)));
}

/* 16 bytes of nibbles: the low ones, then the high ones. */
PRISM_INLINE __m256i nibble_pair(const uint8_t *p)
{
    const __m128i x = _mm_loadu_si128((const __m128i *)p);
    return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(x, 4), x), _mm256_set1_epi8(15));
}

PRISM_INLINE __m256i nibble_table(const uint8_t *p, const int8_t *values)
{
    const __m256i table = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)values));
    return _mm256_shuffle_epi8(table, nibble_pair(p));
}

/* The fifth bits of Q5_0 and Q5_1, in place: bit j of the word at p for value j. */
PRISM_INLINE __m256i fifth_bits(const uint8_t *p)
{
    const __m256i spread = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    const __m256i h = _mm256_shuffle_epi8(_mm256_set1_epi32((int)prism_load_u32(p)), spread);
    return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(h, bit), bit), _mm256_set1_epi8(16));
}

/* Low and high nibbles of eight bytes are a group: two groups. */
PRISM_INLINE __m256i bytes_nvfp4(const uint8_t *b, int j)
{
    return _mm256_permute4x64_epi64(nibble_table(b + 4 + 16 * j, prism_mxfp4_values), 0xd8);
}

PRISM_INLINE __m256i bytes_q3_k(const uint8_t *b, int j)
{
    const __m256i high = _mm256_slli_epi16(bit_field(b, j, 1), 2);
    return _mm256_sub_epi8(_mm256_or_si256(bit_field(b + 32 + j / 4 * 32, j % 4 * 2, 2), high), _mm256_set1_epi8(4));
}

PRISM_INLINE __m256i bytes_q6_k(const uint8_t *b, int j)
{
    const __m256i high = _mm256_slli_epi16(bit_field(b + 128 + j / 4 * 32, j % 4 * 2, 2), 4);
    const __m256i low = bit_field(b + j / 4 * 64 + j % 2 * 32, j % 4 / 2 * 4, 4);
    return _mm256_sub_epi8(_mm256_or_si256(low, high), _mm256_set1_epi8(32));
}

/* Group j of a block with scales s. */
PRISM_INLINE __m256i block_bytes(const uint8_t *b, const struct block_scales *s, int j, enum prism_type type)
{
    switch (type) {
    case PRISM_Q4_0: return _mm256_sub_epi8(nibble_pair(b + 2), _mm256_set1_epi8(8));
    case PRISM_Q4_1: return nibble_pair(b + 4);
    case PRISM_Q5_0: return _mm256_sub_epi8(_mm256_or_si256(nibble_pair(b + 6), fifth_bits(b + 2)), _mm256_set1_epi8(16));
    case PRISM_Q5_1: return _mm256_or_si256(nibble_pair(b + 8), fifth_bits(b + 4));
    case PRISM_Q8_0: return _mm256_loadu_si256((const __m256i *)(b + 2));
    case PRISM_Q2_K: return bit_field(b + 16 + j / 4 * 32, j % 4 * 2, 2);
    case PRISM_Q3_K: return bytes_q3_k(b, j);
    case PRISM_Q4_K: return bit_field(b + 16 + j / 2 * 32, j % 2 * 4, 4);
    case PRISM_Q5_K:
        return _mm256_or_si256(bit_field(b + 48 + j / 2 * 32, j % 2 * 4, 4), _mm256_slli_epi16(bit_field(b + 16, j, 1), 4));
    case PRISM_Q6_K: return bytes_q6_k(b, j);
    case PRISM_IQ4_NL: return nibble_table(b + 2, prism_iq4_values);
    case PRISM_IQ4_XS: return nibble_table(b + 8 + 16 * j, prism_iq4_values);
    case PRISM_MXFP4: return nibble_table(b + 1, prism_mxfp4_values);
    case PRISM_IQ2_XXS: return bytes_iq2_xxs(b, s, j);
    case PRISM_IQ2_XS: return bytes_iq2_xs(b, s, j);
    case PRISM_IQ2_S: return bytes_iq2_s(b, j);
    case PRISM_IQ3_XXS: return bytes_iq3_xxs(b, s, j);
    case PRISM_IQ3_S: return bytes_iq3_s(b, j);
    case PRISM_IQ1_S: return bytes_iq1_s(b, j);
    case PRISM_IQ1_M: return bytes_iq1_m(b, j);
    case PRISM_NVFP4: return bytes_nvfp4(b, j);
    default: return _mm256_load_si256((const __m256i *)(const void *)(s->q + 32 * j));
    }
}

/* ---- floats ---- */

/* 32 values in order. */
struct group {
    __m256 w0, w1, w2, w3;
};

PRISM_INLINE struct group load_group(const float *x)
{
    return (struct group){_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8), _mm256_loadu_ps(x + 16), _mm256_loadu_ps(x + 24)};
}

/* The largest magnitudes of lanes: one of them is the group's, as prism_largest_32 of arch/generic/bits.h finds it. */
PRISM_INLINE __m256 group_maxima(struct group g)
{
    return vec_larger(vec_larger(vec_magnitude(g.w0), vec_magnitude(g.w1)), vec_larger(vec_magnitude(g.w2), vec_magnitude(g.w3)));
}

PRISM_INLINE float group_max(struct group g) { return vec_largest(group_maxima(g)); }

PRISM_INLINE struct group group_of_bytes(__m256i q)
{
    const __m128i low = _mm256_castsi256_si128(q), high = _mm256_extracti128_si256(q, 1);
    return (struct group){vec_i8_to_f32(low), vec_i8_to_f32(_mm_srli_si128(low, 8)), vec_i8_to_f32(high),
                          vec_i8_to_f32(_mm_srli_si128(high, 8))};
}

/* Group j of a block with scales s: d * q, then + m, each rounded. */
PRISM_INLINE struct group block_group(const uint8_t *b, const struct block_scales *s, int j, enum prism_type type)
{
    const struct prism_layout l = prism_layout_of(type);
    const int first = l.group == 16 ? 2 * j : j, second = l.group == 16 ? 2 * j + 1 : j;
    const __m256 d0 = _mm256_broadcast_ss(s->d + first), d1 = _mm256_broadcast_ss(s->d + second);
    struct group g = group_of_bytes(block_bytes(b, s, j, type));
    g = (struct group){_mm256_mul_ps(d0, g.w0), _mm256_mul_ps(d0, g.w1), _mm256_mul_ps(d1, g.w2), _mm256_mul_ps(d1, g.w3)};
    if (l.has_min) {
        const __m256 m0 = _mm256_broadcast_ss(s->m + first), m1 = _mm256_broadcast_ss(s->m + second);
        g = (struct group){_mm256_add_ps(g.w0, m0), _mm256_add_ps(g.w1, m0), _mm256_add_ps(g.w2, m1), _mm256_add_ps(g.w3, m1)};
    }
    return g;
}

/* Four vectors of floats, scaled, as 32 bytes in order: round half to even. |x * inverse| must be below 127.5. */
PRISM_INLINE __m256i bytes_of_group(struct group g, __m256 inverse)
{
    const __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(g.w0, inverse)), b = _mm256_cvtps_epi32(_mm256_mul_ps(g.w1, inverse));
    const __m256i c = _mm256_cvtps_epi32(_mm256_mul_ps(g.w2, inverse)), d = _mm256_cvtps_epi32(_mm256_mul_ps(g.w3, inverse));
    const __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    return _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)); /* undo the packing by 128-bit lanes */
}

/* prism_quantize_32 of arch/generic/unpack.h: the same operations, so the same bytes. *d: the scale. */
PRISM_INLINE __m256i quantize_group(float *d, struct group g)
{
    const float max = group_max(g);
    const bool zero = max < 0x1p-120f;
    *d = zero ? 0.0f : max / 127.0f;
    return bytes_of_group(g, _mm256_set1_ps(zero ? 0.0f : 127.0f / max));
}

#endif
