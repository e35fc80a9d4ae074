/* blocks_iq.h - the types with code books (arch/generic/unpack_iq.h), for blocks.h: 32 values at a time are rows of a book, which scalar loads
 * bring together, with the signs of 32 bits. */
#ifndef PRISM_AVX2_BLOCKS_IQ_H
#define PRISM_AVX2_BLOCKS_IQ_H

#include "arch/avx2/vec.h"
#include "arch/generic/books.h"
#include "arch/generic/unpack.h"

/* value = d * q + m, one d and m per group of the layout (32 or 16 values); m only where the layout has it. */
struct block_scales {
    float d[16], m[16];
    _Alignas(32) int8_t q[256];    /* the values, unless in_registers */
    _Alignas(32) uint8_t signs[32]; /* of types with code books: a bit for each value */
};

/* ---- scales: an odd number times part of the block's half ---- */

/* 2 x + 1 of 8 words, times factor. */
PRISM_INLINE void odd_scales_8(float *d, float factor, __m256i x)
{
    const __m256i odd = _mm256_add_epi32(_mm256_slli_epi32(x, 1), _mm256_set1_epi32(1));
    _mm256_storeu_ps(d, _mm256_mul_ps(_mm256_set1_ps(factor), _mm256_cvtepi32_ps(odd)));
}

/* The nibbles of the bytes of x's low half, the low one first. */
PRISM_INLINE __m128i nibbles_in_turn(__m128i x)
{
    const __m128i low = _mm_set1_epi8(15);
    return _mm_unpacklo_epi8(_mm_and_si128(x, low), _mm_and_si128(_mm_srli_epi16(x, 4), low));
}

PRISM_INLINE void scales_iq2(struct block_scales *s, const uint8_t *b, const uint8_t *nibbles)
{
    const __m128i x = nibbles_in_turn(_mm_loadl_epi64((const __m128i *)(const void *)nibbles));
    odd_scales_8(s->d, vec_half(b) * 0.125f, _mm256_cvtepu8_epi32(x));
    odd_scales_8(s->d + 8, vec_half(b) * 0.125f, _mm256_cvtepu8_epi32(_mm_srli_si128(x, 8)));
}

PRISM_INLINE void scales_iq3_s(struct block_scales *s, const uint8_t *b)
{
    const __m128i x = nibbles_in_turn(_mm_cvtsi32_si128((int)prism_load_u32(b + 106)));
    odd_scales_8(s->d, vec_half(b), _mm256_cvtepu8_epi32(x));
}

PRISM_INLINE void scales_iq1_s(struct block_scales *s, const uint8_t *b)
{
    const __m256i high = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)(b + 34)));
    odd_scales_8(s->d, vec_half(b) * 0.125f, _mm256_and_si256(_mm256_srli_epi32(high, 12), _mm256_set1_epi32(7)));
}

/* The half in the upper four bits of four words, and three bits of each for four scales. */
PRISM_INLINE void scales_iq1_m(struct block_scales *s, const uint8_t *b)
{
    uint64_t x;
    memcpy(&x, b + 48, sizeof x);
    const int half = (int)((x >> 12 & 15) | (x >> 24 & 0xf0) | (x >> 36 & 0xf00) | (x >> 48 & 0xf000));
    const float d = _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half))) * 0.125f;
    const __m256i words = _mm256_castsi128_si256(_mm_cvtepu16_epi32(_mm_cvtsi64_si128((long long)x)));
    const __m256i shift = _mm256_setr_epi32(0, 3, 6, 9, 0, 3, 6, 9), seven = _mm256_set1_epi32(7);
    const __m256i w01 = _mm256_permutevar8x32_epi32(words, _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1));
    const __m256i w23 = _mm256_permutevar8x32_epi32(words, _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3));
    odd_scales_8(s->d, d, _mm256_and_si256(_mm256_srlv_epi32(w01, shift), seven));
    odd_scales_8(s->d + 8, d, _mm256_and_si256(_mm256_srlv_epi32(w23, shift), seven));
}

/* ---- signs ---- */

/* Bit 7 of each of 32 bytes, where it is 0, set where the others have an odd number of bits: prism_even_signs. */
PRISM_INLINE __m256i even_signs(__m256i x)
{
    const __m256i odd = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, -128, -128, 0, -128, 0, 0, -128, -128, 0, 0, -128, 0, -128, -128, 0));
    const __m256i low = _mm256_set1_epi8(15);
    const __m256i a = _mm256_shuffle_epi8(odd, _mm256_and_si256(x, low));
    const __m256i c = _mm256_shuffle_epi8(odd, _mm256_and_si256(_mm256_srli_epi16(x, 4), low));
    return _mm256_or_si256(x, _mm256_xor_si256(a, c));
}

/* Four times seven bits of each of 8 words, in bytes. */
PRISM_INLINE __m256i spread_sevens(__m256i x)
{
    const __m256i a = _mm256_and_si256(x, _mm256_set1_epi32(0x7f));
    const __m256i c = _mm256_and_si256(_mm256_slli_epi32(x, 1), _mm256_set1_epi32(0x7f00));
    const __m256i d = _mm256_and_si256(_mm256_slli_epi32(x, 2), _mm256_set1_epi32(0x7f0000));
    const __m256i e = _mm256_and_si256(_mm256_slli_epi32(x, 3), _mm256_set1_epi32(0x7f000000));
    return _mm256_or_si256(_mm256_or_si256(a, c), _mm256_or_si256(d, e));
}

/* IQ2_XXS and IQ3_XXS: 8 words of signs and four bits of the scale. */
PRISM_INLINE void signs_and_scales(struct block_scales *s, float factor, __m256i words)
{
    odd_scales_8(s->d, factor, _mm256_srli_epi32(words, 28));
    _mm256_store_si256((__m256i *)(void *)s->signs, even_signs(spread_sevens(words)));
}

PRISM_INLINE void scales_iq2_xxs(struct block_scales *s, const uint8_t *b)
{
    const __m256 x = _mm256_loadu_ps((const float *)(const void *)(b + 2)), y = _mm256_loadu_ps((const float *)(const void *)(b + 34));
    const __m256i odd = _mm256_castps_si256(_mm256_shuffle_ps(x, y, 0xdd)); /* words 1 3, 9 11, 5 7, 13 15 */
    signs_and_scales(s, vec_half(b) * 0.125f, _mm256_permute4x64_epi64(odd, 0xd8));
}

/* Of IQ2_XS: the upper seven bits of 32 words of two bytes. */
PRISM_INLINE void signs_iq2_xs(struct block_scales *s, const uint8_t *b)
{
    const __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(b + 2)), y = _mm256_loadu_si256((const __m256i *)(const void *)(b + 34));
    const __m256i sevens = _mm256_permute4x64_epi64(_mm256_packus_epi16(_mm256_srli_epi16(x, 9), _mm256_srli_epi16(y, 9)), 0xd8);
    _mm256_store_si256((__m256i *)(void *)s->signs, even_signs(sevens));
}

/* x, negative where its bit of the 32 at p is set. */
PRISM_INLINE __m256i with_signs(__m256i x, const uint8_t *p)
{
    const __m256i spread = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    const __m256i s = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32((int)prism_load_u32(p)), spread), bit);
    return _mm256_sign_epi8(x, _mm256_or_si256(_mm256_cmpeq_epi8(s, bit), _mm256_set1_epi8(1)));
}

/* ---- rows of books ---- */

PRISM_INLINE __m256i rows_of_8(const uint64_t *book, unsigned i0, unsigned i1, unsigned i2, unsigned i3)
{
    return _mm256_setr_epi64x((long long)book[i0], (long long)book[i1], (long long)book[i2], (long long)book[i3]);
}

PRISM_INLINE __m256i bytes_iq2_xxs(const uint8_t *b, const struct block_scales *s, int j)
{
    const uint8_t *i = b + 2 + 8 * j;
    return with_signs(rows_of_8(prism_iq2_xxs_book, i[0], i[1], i[2], i[3]), s->signs + 4 * j);
}

PRISM_INLINE __m256i bytes_iq2_xs(const uint8_t *b, const struct block_scales *s, int j)
{
    const uint8_t *p = b + 2 + 8 * j;
    return with_signs(rows_of_8(prism_iq2_xs_book, prism_load_u16(p) & 511u, prism_load_u16(p + 2) & 511u, prism_load_u16(p + 4) & 511u,
                                prism_load_u16(p + 6) & 511u), s->signs + 4 * j);
}

PRISM_INLINE __m256i bytes_iq2_s(const uint8_t *b, int j)
{
    const uint8_t *i = b + 2 + 4 * j;
    const unsigned high = b[66 + j];
    return with_signs(rows_of_8(prism_iq2_s_book, i[0] | (high << 8 & 0x300), i[1] | (high << 6 & 0x300), i[2] | (high << 4 & 0x300),
                                i[3] | (high << 2 & 0x300)), b + 34 + 4 * j);
}

/* Two rows of four, put together in a word: faster than insertions or a gather. */
PRISM_INLINE long long two_rows(const uint32_t *book, unsigned i0, unsigned i1)
{
    return (long long)((uint64_t)book[i1] << 32 | book[i0]);
}

PRISM_INLINE __m256i bytes_iq3_xxs(const uint8_t *b, const struct block_scales *s, int j)
{
    const uint8_t *i = b + 2 + 8 * j;
    const uint32_t *book = prism_iq3_xxs_book;
    return with_signs(_mm256_setr_epi64x(two_rows(book, i[0], i[1]), two_rows(book, i[2], i[3]), two_rows(book, i[4], i[5]),
                                         two_rows(book, i[6], i[7])), s->signs + 4 * j);
}

/* The ninth bits of the eight numbers are those of a byte. */
PRISM_INLINE __m256i bytes_iq3_s(const uint8_t *b, int j)
{
    const uint8_t *i = b + 2 + 8 * j;
    const uint32_t *book = prism_iq3_s_book;
    const unsigned h = b[66 + j];
    return with_signs(_mm256_setr_epi64x(two_rows(book, i[0] | (h << 8 & 256), i[1] | (h << 7 & 256)),
                                         two_rows(book, i[2] | (h << 6 & 256), i[3] | (h << 5 & 256)),
                                         two_rows(book, i[4] | (h << 4 & 256), i[5] | (h << 3 & 256)),
                                         two_rows(book, i[6] | (h << 2 & 256), i[7] | (h << 1 & 256))), b + 74 + 4 * j);
}

PRISM_INLINE __m256i rows_of_iq1(unsigned i0, unsigned i1, unsigned i2, unsigned i3)
{
    const __m128i low = _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i *)(const void *)prism_iq1_book[i0]),
                                           _mm_loadl_epi64((const __m128i *)(const void *)prism_iq1_book[i1]));
    const __m128i high = _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i *)(const void *)prism_iq1_book[i2]),
                                            _mm_loadl_epi64((const __m128i *)(const void *)prism_iq1_book[i3]));
    return _mm256_set_m128i(high, low);
}

PRISM_INLINE __m256i bytes_iq1_s(const uint8_t *b, int j)
{
    const uint8_t *i = b + 2 + 4 * j;
    const unsigned h = prism_load_u16(b + 34 + 2 * j);
    const __m256i rows = rows_of_iq1(i[0] | (h << 8 & 0x700), i[1] | (h << 5 & 0x700), i[2] | (h << 2 & 0x700), i[3] | (h >> 1 & 0x700));
    return _mm256_add_epi8(rows, _mm256_set1_epi8(h >> 15 ? -1 : 1));
}

/* Four bits for each eight values: three of the row's number, and which way they are shifted. */
PRISM_INLINE __m256i bytes_iq1_m(const uint8_t *b, int j)
{
    const uint8_t *i = b + 4 * j;
    const unsigned h = prism_load_u16(b + 32 + 2 * j);
    const __m256i rows = rows_of_iq1(i[0] | (h << 8 & 0x700), i[1] | (h << 4 & 0x700), i[2] | (h & 0x700), i[3] | (h >> 4 & 0x700));
    const __m256i bit = _mm256_setr_epi64x(8, 0x80, 0x800, 0x8000), down = _mm256_and_si256(_mm256_set1_epi64x(h), bit);
    return _mm256_add_epi8(rows, _mm256_or_si256(_mm256_cmpeq_epi64(down, bit), _mm256_set1_epi8(1)));
}

#endif
