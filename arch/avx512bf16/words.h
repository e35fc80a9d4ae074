/* words.h - what arch/avx512/linear_body.h multiplies: 32-bit words, here of two bf16 of neighbouring k. Sums are fp32. */
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
#else
PRISM_INLINE __m512 dot_words(__m512 c, __m512 a, __m512 b)
{
    return _mm512_dpbf16_ps(c, (__m512bh)_mm512_castps_si512(a), (__m512bh)_mm512_castps_si512(b));
}
#endif

/* 32 values in their order in memory as 16 words. The instruction also takes subnormals as zero. */
PRISM_INLINE __m512 words_in_order(__m512 low, __m512 high)
{
#if defined(PRISM_SIMDE)
    const __m256i v0 = _mm512_cvtepi32_epi16(vec_to_bf16(low)), v1 = _mm512_cvtepi32_epi16(vec_to_bf16(high));
    return _mm512_castsi512_ps(_mm512_inserti64x4(_mm512_castsi256_si512(v0), v1, 1));
#else
    return _mm512_castsi512_ps((__m512i)_mm512_cvtne2ps_pbh(high, low));
#endif
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

#include "arch/avx512/madd.h"

#endif
