/* quantize.h - floats to signed integers in groups of 32 with one scale each, for the packers of this level: the maxima of 16 groups are
 * found side by side, and divided once. */
#ifndef PRISM_AVX512VNNI_QUANTIZE_H
#define PRISM_AVX512VNNI_QUANTIZE_H

#include <assert.h>
#include <string.h>

#include "arch/avx512/vec.h"
#include "arch/avx512vnni/panel.h"

enum { MAX_GROUP_BYTES = MR * 64 + 64 }; /* two bytes a value, and a line of numbers */

/* The 32 values of a group. */
struct group {
    __m512 x, y;
};

PRISM_INLINE struct group load_group(const float *x)
{
    return (struct group){ _mm512_loadu_ps(x), _mm512_loadu_ps(x + 16) };
}

/* The larger of magnitudes, compared as integers: a NaN, which vmaxps drops when it is the first operand, is above infinity then. */
PRISM_INLINE __m512 larger(__m512 x, __m512 y)
{
    return _mm512_castsi512_ps(_mm512_max_epu32(_mm512_castps_si512(x), _mm512_castps_si512(y)));
}

/* Without the sign bit. SIMDe's _mm512_abs_ps leaves it to -0 and NaN. */
PRISM_INLINE __m512 magnitude(__m512 x)
{
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff)));
}

/* In whose lanes the largest magnitude of the group is found. */
PRISM_INLINE __m512 magnitudes(struct group g)
{
    return larger(magnitude(g.x), magnitude(g.y));
}

/* Lane i: the largest of the 16 lanes of v[i]; v is destroyed. Neighbours are interleaved and meet in one vector, four times. */
PRISM_INLINE __m512 max_of_each(__m512 v[16])
{
    for (int i = 0; i < 8; i++) /* lanes 4 l .. 4 l + 3 of v[i]: of 2 i, 2 i + 1, 2 i, 2 i + 1 */
        v[i] = larger(_mm512_unpacklo_ps(v[2 * i], v[2 * i + 1]), _mm512_unpackhi_ps(v[2 * i], v[2 * i + 1]));
    for (int i = 0; i < 4; i++) { /* of 4 i .. 4 i + 3 */
        const __m512d a = _mm512_castps_pd(v[2 * i]), b = _mm512_castps_pd(v[2 * i + 1]);
        v[i] = larger(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
    }
    /* 128-bit lanes: now of 0..3, 0..3, 4..7, 4..7, then of each four */
    const __m512 low = larger(_mm512_shuffle_f32x4(v[0], v[1], 0x44), _mm512_shuffle_f32x4(v[0], v[1], 0xee));
    const __m512 high = larger(_mm512_shuffle_f32x4(v[2], v[3], 0x44), _mm512_shuffle_f32x4(v[2], v[3], 0xee));
    return larger(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd));
}

/* Scales d = max / q_max of 16 groups, and their inverses, from their magnitudes, which are destroyed; 0 where max is below `least`, where
 * q_max / max would not be finite, or d have lost more than a bit. A NaN or infinity makes d the same. */
PRISM_INLINE __m512 scales_of(float inverse[16], __m512 v[16], float q_max, float least)
{
    const __m512 max = max_of_each(v), c = _mm512_set1_ps(q_max);
    const __mmask16 normal = _mm512_cmp_ps_mask(max, _mm512_set1_ps(least), _CMP_NLT_UQ);
    _mm512_store_ps(inverse, _mm512_maskz_div_ps(normal, c, max));
    return _mm512_maskz_div_ps(normal, max, c);
}

/* The same of two neighbouring groups of the rows of a panel: lanes 2 i and 2 i + 1 belong to row i, the others are zero. */
PRISM_INLINE __m512 scales_of_rows(float inverse[16], const float *x, size_t ldx, float q_max, float least)
{
    __m512 v[16];
    for (size_t i = 0; i < 2 * MR; i++)
        v[i] = magnitudes(load_group(x + i / 2 * ldx + i % 2 * 32));
    for (size_t i = 2 * MR; i < 16; i++)
        v[i] = _mm512_setzero_ps();
    return scales_of(inverse, v, q_max, least);
}

/* Of one group of 64 of the rows of a panel: lane i belongs to row i. */
PRISM_INLINE __m512 scales_of_rows_64(float inverse[16], const float *x, size_t ldx, float q_max, float least)
{
    __m512 v[16];
    for (size_t i = 0; i < MR; i++)
        v[i] = larger(magnitudes(load_group(x + i * ldx)), magnitudes(load_group(x + i * ldx + 32)));
    for (size_t i = MR; i < 16; i++)
        v[i] = _mm512_setzero_ps();
    return scales_of(inverse, v, q_max, least);
}

/* A group times f as signed words, round half to even, saturated. Order: four of the first half and four of the second by turns. */
PRISM_INLINE __m512i words_of_group(struct group g, float f)
{
    const __m512 factor = _mm512_set1_ps(f);
    return _mm512_packs_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(g.x, factor)), _mm512_cvtps_epi32(_mm512_mul_ps(g.y, factor)));
}

/* Two groups of bytes from the lanes of two words_of_group, put together by packs or packus, to the order of k. */
PRISM_INLINE __m512i in_order(__m512i packed)
{
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), packed);
}

/* Twice n groups of a whole panel's rows to groups of a panel at out. */
typedef void quantize_fn(char *out, const float *x, size_t ldx, size_t n);

/* An activation panel (prism_linear.pack_a) with groups of group_bytes. Fewer rows, and a group alone, go by way of a buffer; missing ones become
 * zeros. */
PRISM_INLINE void quantize_panel(quantize_fn *run, size_t group_bytes, char *panel, const float *x, size_t ldx, size_t rows, size_t k)
{
    const size_t whole = rows == MR ? k / 64 : 0;
    assert(rows >= 1 && rows <= MR && k % 32 == 0 && (uintptr_t)panel % 64 == 0 && group_bytes <= MAX_GROUP_BYTES);

    run(panel, x, ldx, whole);
    for (size_t i = 64 * whole; i < k; i += 64) {
        const size_t n = k - i < 64 ? k - i : 64;
        _Alignas(64) float values[MR][64] = { 0 };
        _Alignas(64) char two[2 * MAX_GROUP_BYTES];
        for (size_t r = 0; r < rows; r++)
            memcpy(values[r], x + i + r * ldx, n * sizeof *x);
        run(two, values[0], 64, 1);
        memcpy(panel + i / 32 * group_bytes, two, n / 32 * group_bytes);
    }
}

#endif
