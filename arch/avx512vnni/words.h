/* words.h - what attention_body.h multiplies at this level: 32-bit words of two int16 of neighbouring k. Sums are int32, and travel as the
 * bits of a __m512. */
#ifndef PRISM_AVX512VNNI_WORDS_H
#define PRISM_AVX512VNNI_WORDS_H

#include "arch/avx512/tile.h"

enum { PER_WORD = 2 }; /* values of k in a word */

/* c + a . b over both values of each word. Without the last line gcc 12 keeps a second copy of every sum in a loop. */
PRISM_INLINE __m512 dot_words(__m512 c, __m512 a, __m512 b)
{
    c = _mm512_castsi512_ps(_mm512_dpwssd_epi32(_mm512_castps_si512(c), _mm512_castps_si512(a), _mm512_castps_si512(b)));
    KEEP_IN_REGISTER(c);
    return c;
}

/* 32 floats at x (64-byte aligned), in -32768 .. 32767, rounded half to even, as 16 words. */
PRISM_INLINE __m512 words_from_floats(const float *x)
{
    const __m256i v0 = _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(_mm512_load_ps(x)));
    const __m256i v1 = _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(_mm512_load_ps(x + 16)));
    return _mm512_castsi512_ps(_mm512_inserti64x4(_mm512_castsi256_si512(v0), v1, 1));
}

/* The values of two neighbours in k, 16 of each, 0 .. 32767 or (v1 only) negative, to words. */
PRISM_INLINE __m512i join(__m512i v0, __m512i v1)
{
    return _mm512_or_si512(v0, _mm512_slli_epi32(v1, 16));
}

#include "arch/avx512/madd.h"

#endif
