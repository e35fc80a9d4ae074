/* words.h - what linear_body.h and attention_body.h multiply: 32-bit words, here of two bf16 of neighbouring k. Sums are fp32. */
#ifndef PRISM_AVX512BF16_WORDS_H
#define PRISM_AVX512BF16_WORDS_H

#include "arch/avx512/tile.h"

enum { PER_WORD = 2 }; /* values of k in a word */

#if defined(PRISM_SIMDE)
/* The even and the odd values as fp32, two FMAs; the instruction also takes subnormals as zero, which no test sees. */
PRISM_INLINE __m512 dot_words(__m512 c, __m512 a, __m512 b)
{
    const __m512i odd = _mm512_set1_epi32((int)0xffff0000u), x = _mm512_castps_si512(a), y = _mm512_castps_si512(b);
    c = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(x, odd)), _mm512_castsi512_ps(_mm512_and_si512(y, odd)), c);
    return _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(x, 16)), _mm512_castsi512_ps(_mm512_slli_epi32(y, 16)), c);
}

/* Lane i: v0[i] in the lower half, v1[i] in the upper. */
PRISM_INLINE __m512 pairs_bf16(__m512 v0, __m512 v1)
{
    return _mm512_castsi512_ps(_mm512_or_si512(vec_to_bf16(v0), _mm512_slli_epi32(vec_to_bf16(v1), 16)));
}
#else
PRISM_INLINE __m512 dot_words(__m512 c, __m512 a, __m512 b)
{
    return _mm512_dpbf16_ps(c, (__m512bh)_mm512_castps_si512(a), (__m512bh)_mm512_castps_si512(b));
}

/* Lane i: v0[i] in the lower half, v1[i] in the upper. The conversion leaves v1 behind v0; the permutation interleaves them. */
PRISM_INLINE __m512 pairs_bf16(__m512 v0, __m512 v1)
{
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3,
                                           18, 2, 17, 1, 16, 0);
    return _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(v1, v0)));
}
#endif

/* 32 values in their order in memory as 16 words. */
PRISM_INLINE __m512 words_in_order(__m512 low, __m512 high)
{
    const __m256i v0 = _mm512_cvtepi32_epi16(vec_to_bf16(low)), v1 = _mm512_cvtepi32_epi16(vec_to_bf16(high));
    return _mm512_castsi512_ps(_mm512_inserti64x4(_mm512_castsi256_si512(v0), v1, 1));
}

/* 16 * PER_WORD floats at x (64-byte aligned) as 16 words. */
PRISM_INLINE __m512 words_from_floats(const float *x)
{
    return words_in_order(_mm512_load_ps(x), _mm512_load_ps(x + 16));
}

/* The same of the first n floats at x, any alignment; zeros behind them. */
PRISM_INLINE __m512 words_from_part(const float *x, size_t n)
{
    return words_in_order(_mm512_maskz_loadu_ps(vec_mask(n), x), _mm512_maskz_loadu_ps(vec_mask(n < 16 ? 0 : n - 16), x + 16));
}

/* The values of two neighbours in k, 16 of each, to words: here one row of words. */
PRISM_INLINE void join(float *out, size_t row, __m512 v0, __m512 v1)
{
    (void)row;
    _mm512_store_ps(out, pairs_bf16(v0, v1));
}

#include "arch/avx512/madd.h"

#endif
