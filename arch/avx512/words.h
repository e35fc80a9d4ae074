/* words.h - what linear_body.h and attention_body.h multiply: 32-bit words, here of one fp32. arch/avx512bf16/words.h has those of linear
 * layers on bf16, arch/avx512vnni/words.h those of attention on int16. */
#ifndef PRISM_AVX512_WORDS_H
#define PRISM_AVX512_WORDS_H

#include "arch/avx512/tile.h"

enum { PER_WORD = 1 }; /* values of k in a word */

PRISM_INLINE __m512 dot_words(__m512 c, __m512 a, __m512 b) { return _mm512_fmadd_ps(a, b, c); }

/* 16 * PER_WORD floats at x (64-byte aligned) as 16 words. */
PRISM_INLINE __m512 words_from_floats(const float *x)
{
    return _mm512_load_ps(x);
}

/* The same of the first n floats at x, any alignment; zeros behind them. */
PRISM_INLINE __m512 words_from_part(const float *x, size_t n)
{
    return _mm512_maskz_loadu_ps(vec_mask(n), x);
}

/* The values of two neighbours in k, 16 of each, to words: here two rows of words, `row` apart. */
PRISM_INLINE void join(float *out, size_t row, __m512 v0, __m512 v1)
{
    _mm512_store_ps(out, v0);
    _mm512_store_ps(out + row, v1);
}

#include "arch/avx512/madd.h"

#endif
