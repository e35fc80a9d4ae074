/* group_tile.h - the product of the linears that add integers exactly within a group of 32 values of k and scale that sum in fp32:
 *     c += (d_a * d_w) * sum(qa * qw) + (d_a * sum(qa)) * m_w     the last term for types with a minimum only
 * Panels, register tile and product. Included by linear_i16.c, linear_i8.c, linear_i8k.c and by arch/avxvnni/linear_*.c after the words header of their
 * arithmetic, which defines
 *     WORDS        32-bit words of a group and row: 16 pairs of two-byte values, or 8 quads of bytes
 *     HAS_START    weight panels hold a start value for each integer sum (which else starts at zero)
 *     dot(sum, a, w, first)   sum += the product of the words of a and w; first: the sum holds its start value, or nothing
 *     whole(sum)   the sums of 8 columns in 32 bits, of those that dot makes
 *
 * Tile 6 x 16: 12 integer sums, 2 registers of W, one broadcast of A and one product are the 16 registers, so the 12 vectors of fp32
 * sums wait on the stack, in L1, and are touched once per group. To check: nothing else goes there in objdump -d of the includers.
 * Each element adds its groups in order within a piece of k (walk.h). */
#ifndef PRISM_AVX2_GROUP_TILE_H
#define PRISM_AVX2_GROUP_TILE_H

#include "arch/avx2/walk.h"

/* A panel, per group: words [MR][WORDS], then floats d[MR], d_sum[MR] = d * (sum of the row's 32 integers), up to whole lines.
 * W panel: a header whose first word tells whether the type has a minimum, then per group: words [WORDS][NR], with HAS_START int32
 * start[NR], floats d[NR], and with a minimum m[NR]. */
enum {
    MR = 6,
    NR = 16,
    A_D = MR * WORDS * 4,
    A_GROUP = (A_D + MR * 8 + 63) / 64 * 64,
    W_HEADER = 64,
    W_START = WORDS * NR * 4,
    W_D = W_START + HAS_START * NR * 4,
    W_M = W_D + NR * 4,
    W_GROUP = W_M, /* without a minimum */
    W_GROUP_MIN = W_M + NR * 4,
    KC = 256 / WORDS, /* groups of a piece: 17 to 22 KiB of W and 7 of A */
};

static size_t a_bytes(size_t k) { return k / 32 * A_GROUP; }

/* c += the group's share of 8 columns of a row. s: its integer sums; d_a, d_sum: its scales; w: the columns' part of the group. */
PRISM_INLINE void add_group(__m256 *c, __m256i s, const float *d_a, const float *d_sum, const char *w, bool has_min)
{
    const float *d_w = (const float *)(const void *)(w + W_D), *m_w = (const float *)(const void *)(w + W_M);
    *c = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_broadcast_ss(d_a), _mm256_load_ps(d_w)), _mm256_cvtepi32_ps(s), *c);
    if (has_min)
        *c = _mm256_fmadd_ps(_mm256_broadcast_ss(d_sum), _mm256_load_ps(m_w), *c);
}

PRISM_INLINE void put_row(float *c, const __m256 sum[2], bool add)
{
    _mm256_storeu_ps(c, add ? _mm256_add_ps(sum[0], _mm256_loadu_ps(c)) : sum[0]);
    _mm256_storeu_ps(c + 8, add ? _mm256_add_ps(sum[1], _mm256_loadu_ps(c + 8)) : sum[1]);
}

PRISM_INLINE void start_sums(__m256i s[MR][2], const char *start)
{
#pragma GCC unroll 6
    for (int r = 0; r < MR; r++) {
        s[r][0] = _mm256_load_si256((const __m256i *)(const void *)start);
        s[r][1] = _mm256_load_si256((const __m256i *)(const void *)(start + 32));
    }
}

/* s += words `from` to `to` of a group. */
PRISM_INLINE void dot_words(__m256i s[MR][2], const char *a, const char *w, int from, int to)
{
#pragma GCC unroll 16
    for (int i = from; i < to; i++) {
        __m256i w0 = _mm256_load_si256((const __m256i *)(const void *)(w + 64 * i));
        __m256i w1 = _mm256_load_si256((const __m256i *)(const void *)(w + 64 * i + 32));
        KEEP_IN_REGISTER(w0);
        KEEP_IN_REGISTER(w1);
#pragma GCC unroll 6
        for (int r = 0; r < MR; r++) {
            const __m256i x = _mm256_set1_epi32(((const int32_t *)(const void *)a)[r * WORDS + i]);
            dot(&s[r][0], x, w0, i == from);
            dot(&s[r][1], x, w1, i == from);
        }
    }
}

/* c[6][16] = (or +=, when add) a.w over n groups. has_min: a constant. Every loop over the small arrays is unrolled. */
PRISM_INLINE void tile(float *c, size_t ldc, const char *a, const char *w, size_t n, bool has_min, bool add)
{
    __m256 sum[MR][2];
#pragma GCC unroll 6
    for (int r = 0; r < MR; r++)
        sum[r][0] = sum[r][1] = _mm256_setzero_ps();
    for (; n > 0; n--, a += A_GROUP, w += has_min ? W_GROUP_MIN : W_GROUP) {
        __m256i s[MR][2];
        if (HAS_START)
            start_sums(s, w + W_START);
        dot_words(s, a, w, 0, WORDS);
        const float *d = (const float *)(const void *)(a + A_D);
#pragma GCC unroll 6
        for (int r = 0; r < MR; r++) {
            add_group(&sum[r][0], whole(s[r][0]), d + r, d + MR + r, w, has_min);
            add_group(&sum[r][1], whole(s[r][1]), d + r, d + MR + r, w + 32, has_min);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < MR; r++)
        put_row(c + (size_t)r * ldc, sum[r], add);
}

#endif
