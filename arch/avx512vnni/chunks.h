/* chunks.h - 16 columns of stored weights at a time, and how they become lines of a panel: what pack_w_i8.c and pack_w_i8w.c share. */
#ifndef PRISM_AVX512VNNI_CHUNKS_H
#define PRISM_AVX512VNNI_CHUNKS_H

#include "arch/avx512/unpack.h"

/* Where the lines of a half panel go. */
struct half_panel {
    char *out;          /* of 16 columns, first group */
    size_t group_bytes;
};

static inline void put_line(const struct half_panel *h, size_t offset, __m512i v) { _mm512_store_si512(h->out + offset, v); }

/* The chunks of 16 columns: vector i holds those of columns i, 4 + i, 8 + i, 12 + i. */
struct chunk {
    __m512i v[4];
};

PRISM_INLINE struct chunk load_chunk(const uint8_t *p, size_t stride)
{
    struct chunk c;
    for (size_t i = 0; i < 4; i++, p += stride) {
        __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)p));
        v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(const void *)(p + 4 * stride)), 1);
        v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(const void *)(p + 8 * stride)), 2);
        c.v[i] = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(const void *)(p + 12 * stride)), 3);
    }
    return c;
}

/* Puts chunk `index` of a group, 16 of its values; returns sum + 128 * (sum of the values of each column). */
PRISM_INLINE __m512i put_chunk(const struct half_panel *h, size_t group, size_t index, struct chunk c, __m512i sum)
{
    const __m512i a = _mm512_unpacklo_epi32(c.v[0], c.v[1]), b = _mm512_unpackhi_epi32(c.v[0], c.v[1]);
    const __m512i d = _mm512_unpacklo_epi32(c.v[2], c.v[3]), e = _mm512_unpackhi_epi32(c.v[2], c.v[3]);
    const __m512i line[4] = { _mm512_unpacklo_epi64(a, d), _mm512_unpackhi_epi64(a, d), _mm512_unpacklo_epi64(b, e),
                              _mm512_unpackhi_epi64(b, e) };
    for (size_t i = 0; i < 4; i++) {
        put_line(h, group * h->group_bytes + 128 * (4 * index + i), line[i]);
        sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8((char)128), line[i]);
    }
    return sum;
}

/* Fetches what the next 16 columns will read in place of the 64 bytes at offset. */
PRISM_INLINE void fetch_next(const uint8_t *rows, size_t row_bytes, size_t offset)
{
    for (size_t j = 16; j < 32; j++)
        _mm_prefetch((const char *)rows + j * row_bytes + offset, _MM_HINT_T0);
}

/* The halves at the beginning of 16 blocks. */
PRISM_INLINE __m512i halves_of_blocks(const uint8_t *block, size_t row_bytes)
{
    const __m256i index = _mm256_mullo_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32((int)row_bytes));
    const __m256i low = _mm256_i32gather_epi32((const int *)(const void *)block, index, 1);
    const __m256i high = _mm256_i32gather_epi32((const int *)(const void *)(block + 8 * row_bytes), index, 1);
    return _mm512_castps_si512(_mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1))));
}

/* dm[column]: d of 8 groups of 32, then m of the same groups; becomes r[g], r[8 + g]: of 16 columns. */
PRISM_INLINE void scales_of_columns(__m512 r[16], float dm[16][16])
{
    for (size_t j = 0; j < 16; j++)
        r[j] = _mm512_load_ps(dm[j]);
    vec_transpose_16(r);
}

#endif
