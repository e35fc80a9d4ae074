/* words_i16.h - pairs of two-byte values for group_tile.h, group_pack.h and attention_i16_body.h. */
#ifndef PRISM_AVX2_WORDS_I16_H
#define PRISM_AVX2_WORDS_I16_H

#include <stdbool.h>

#include "arch/avx2/vec.h"

enum { WORDS = 16, HAS_START = 0 };

/* The addition is an asm statement as in words_f32.h: gcc leaves the sums where they are. */
PRISM_INLINE void dot(__m256i *sum, __m256i a, __m256i w, bool first)
{
    const __m256i product = _mm256_madd_epi16(a, w);
    if (first)
        *sum = product;
    else
        __asm__("vpaddd %1, %0, %0" : "+x"(*sum) : "x"(product));
}

PRISM_INLINE __m256i whole(__m256i sum) { return sum; }

#endif
