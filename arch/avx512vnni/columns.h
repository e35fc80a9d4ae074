/* columns.h - 16 rows of bytes as columns: a vector holds four neighbouring bytes of each, so that a product with four bytes of something else
 * (vpdpbusd) goes on in 16 sums and nothing is added across lanes. For weights as they are stored. */
#ifndef PRISM_AVX512VNNI_COLUMNS_H
#define PRISM_AVX512VNNI_COLUMNS_H

#include "arch/avx2/stream.h"
#include "arch/avx512/vec.h"

enum { COLUMNS = 16 };
struct columns {
    bool regular;         /* a constant: row j is at p[j / 4] + j % 4 * step; else row[j] says where */
    const uint8_t *p[4];
    size_t step;
    const uint8_t *row[COLUMNS];
    const uint8_t *ahead; /* of what is fetched next: so far in the COLUMNS rows after the next as what was read of these. Into the second-level
                           * cache, as streams are: into the first, which two times COLUMNS rows overflow, it took 2.7 times as long (Zen 4, Q8_0) */
};

/* n <= COLUMNS rows, row_bytes apart, the first at p; behind the last it is repeated. regular: only of COLUMNS rows. */
PRISM_INLINE void columns_begin(struct columns *c, const uint8_t *p, size_t row_bytes, size_t n, bool regular)
{
    c->regular = regular;
    c->step = row_bytes;
    c->ahead = p + 2 * COLUMNS * row_bytes;
    for (size_t i = 0; i < 4; i++)
        c->p[i] = p + 4 * i * row_bytes;
    for (size_t j = 0; !regular && j < COLUMNS; j++)
        c->row[j] = p + (j < n ? j : n - 1) * row_bytes;
}

/* What follows is about the bytes from `bytes` behind on. */
PRISM_INLINE void columns_advance(struct columns *c, size_t bytes)
{
    c->ahead += COLUMNS * bytes;
    for (size_t i = 0; i < 4; i++) {
        c->p[i] += bytes;
        __asm__("" : "+r"(c->p[i])); /* gcc 12 would keep 16 addresses, in memory */
    }
    for (size_t j = 0; !c->regular && j < COLUMNS; j++)
        c->row[j] += bytes;
}

PRISM_INLINE const uint8_t *column(const struct columns *c, size_t j) { return c->regular ? c->p[j / 4] + j % 4 * c->step : c->row[j]; }

/* Fetches part i of n of what is `ahead` for columns of `bytes`: all at once would wait for each other. */
PRISM_INLINE void fetch_next_columns(const struct columns *c, size_t bytes, size_t i, size_t n)
{
    const size_t lines = (COLUMNS * bytes + 63) / 64;
#pragma GCC unroll 64
    for (size_t line = lines * i / n; line < lines * (i + 1) / n; line++)
        stream_fetch(c->ahead + line * 64);
}

PRISM_INLINE __m512i two_loads(const uint8_t *low, const uint8_t *high)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(const void *)low)),
                              _mm256_loadu_si256((const __m256i *)(const void *)high), 1);
}

/* q[g] = bytes 4 g .. 4 g + 3 behind `at` of each row, g < 8: loads put rows where shuffles of 128 bits leave them in order. */
PRISM_INLINE void columns_32(__m512i q[8], const struct columns *c, size_t at)
{
    __m512i t[8], u[8];
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; j++) {
        t[j] = two_loads(column(c, j) + at, column(c, 4 + j) + at);
        t[4 + j] = two_loads(column(c, 8 + j) + at, column(c, 12 + j) + at);
    }
#pragma GCC unroll 4
    for (size_t j = 0; j < 8; j += 2) {
        u[j] = _mm512_unpacklo_epi32(t[j], t[j + 1]);
        u[j + 1] = _mm512_unpackhi_epi32(t[j], t[j + 1]);
    }
#pragma GCC unroll 2
    for (size_t j = 0; j < 8; j += 4)
#pragma GCC unroll 2
        for (size_t i = 0; i < 2; i++) { /* 4-byte groups 2 i, 2 i + 1 of each half of 32 bytes */
            t[j + 2 * i] = _mm512_unpacklo_epi64(u[j + i], u[j + 2 + i]);
            t[j + 2 * i + 1] = _mm512_unpackhi_epi64(u[j + i], u[j + 2 + i]);
        }
#pragma GCC unroll 4
    for (size_t g = 0; g < 4; g++) {
        q[g] = _mm512_shuffle_i32x4(t[g], t[4 + g], 0x88);
        q[4 + g] = _mm512_shuffle_i32x4(t[g], t[4 + g], 0xdd);
    }
}

/* The 16 bytes behind `at` of rows i, i + 4, i + 8, i + 12 as the lanes of t[i]: a load for each, and no shuffles. */
PRISM_INLINE void lanes_16(__m512i t[4], const struct columns *c, size_t at)
{
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        t[i] = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)(column(c, i) + at)));
#pragma GCC unroll 3
        for (size_t lane = 1; lane < 4; lane++)
            t[i] = _mm512_mask_broadcast_i32x4(t[i], (__mmask16)(0xf << 4 * lane),
                                               _mm_loadu_si128((const __m128i *)(const void *)(column(c, i + 4 * lane) + at)));
    }
}

/* Such lanes as four groups of four bytes of each row. */
PRISM_INLINE void columns_of_lanes(__m512i q[4], const __m512i t[4])
{
    const __m512i a = _mm512_unpacklo_epi32(t[0], t[1]), b = _mm512_unpacklo_epi32(t[2], t[3]);
    const __m512i x = _mm512_unpackhi_epi32(t[0], t[1]), y = _mm512_unpackhi_epi32(t[2], t[3]);
    q[0] = _mm512_unpacklo_epi64(a, b);
    q[1] = _mm512_unpackhi_epi64(a, b);
    q[2] = _mm512_unpacklo_epi64(x, y);
    q[3] = _mm512_unpackhi_epi64(x, y);
}

PRISM_INLINE void columns_16(__m512i q[4], const struct columns *c, size_t at)
{
    __m512i t[4];
    lanes_16(t, c, at);
    columns_of_lanes(q, t);
}

/* Four bytes behind `at` of 8 rows from number j on: not more masks than there are registers for them. */
PRISM_INLINE __m256i eight_words(const struct columns *c, size_t j, size_t at)
{
    __m256i x = _mm256_zextsi128_si256(_mm_loadu_si32(column(c, j) + at));
#pragma GCC unroll 7
    for (size_t i = 1; i < 8; i++)
        x = _mm256_mask_broadcastd_epi32(x, (__mmask8)(1u << i), _mm_loadu_si32(column(c, j + i) + at));
    return x;
}

/* The same of all rows. */
PRISM_INLINE __m512i columns_4(const struct columns *c, size_t at)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(eight_words(c, 0, at)), eight_words(c, 8, at), 1);
}

/* The low half of each lane as a float. */
PRISM_INLINE __m512 low_halves(__m512i x) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(x)); }

/* Byte i of each lane as a float. */
PRISM_INLINE __m512 byte_of(__m512i x, unsigned i)
{
    return _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(x, 8 * i), _mm512_set1_epi32(255)));
}

/* The scales of the 8 groups of a block, and what their fields' sums are multiplied by in addition: d * scale, -(dmin * min). */
PRISM_INLINE void q4_k_scales(__m512 scale[8], __m512 min[8], const struct columns *c)
{
    const __m512i six = _mm512_set1_epi8(0x3f), two = _mm512_set1_epi8(0x30), four = _mm512_set1_epi8(0x0f);
    __m512i h[4];
    columns_16(h, c, 0);
    const __m512 d = low_halves(h[0]), m = _mm512_sub_ps(_mm512_set1_ps(-0.0f), low_halves(_mm512_srli_epi32(h[0], 16)));
    const __m512i s[2] = { _mm512_and_si512(h[1], six),
                           _mm512_or_si512(_mm512_and_si512(h[3], four), _mm512_and_si512(_mm512_srli_epi16(h[1], 2), two)) };
    const __m512i t[2] = { _mm512_and_si512(h[2], six),
                           _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(h[3], 4), four), _mm512_and_si512(_mm512_srli_epi16(h[2], 2), two)) };
#pragma GCC unroll 8
    for (unsigned g = 0; g < 8; g++) {
        scale[g] = _mm512_mul_ps(d, byte_of(s[g / 4], g % 4));
        min[g] = _mm512_mul_ps(m, byte_of(t[g / 4], g % 4));
    }
}

/* Those of the 16 groups of a block: d * scale. */
PRISM_INLINE void q6_k_scales(__m512 scale[16], const struct columns *c)
{
    const __m512 d = low_halves(_mm512_srli_epi32(columns_4(c, 206), 16)); /* not behind the block */
    __m512i s[4];
    columns_16(s, c, 192);
#pragma GCC unroll 16
    for (unsigned g = 0; g < 16; g++)
        scale[g] = _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(s[g / 4], 24 - 8 * (g % 4)), 24)));
}

#endif
