/* words_i16.h - pairs of two-byte values for group_tile.h and attention_i16_body.h of arch/avx2; panels as those of arch/avx2/words_i16.h. */
#ifndef PRISM_AVXVNNI_WORDS_I16_H
#define PRISM_AVXVNNI_WORDS_I16_H

#include <stdbool.h>

#include "arch/avxvnni/simd.h"

enum { WORDS = 16, HAS_START = 0 };

/* An asm statement as in arch/avx2/words_f32.h: with the intrinsic gcc 12 copies and spills sums. */
PRISM_INLINE void dot(__m256i *sum, __m256i a, __m256i w, bool first)
{
    if (first)
        *sum = _mm256_setzero_si256();
#if defined(PRISM_SIMDE)
    *sum = _mm256_dpwssd_avx_epi32(*sum, a, w);
#else
    __asm__("%{vex%} vpdpwssd %2, %1, %0" : "+x"(*sum) : "x"(a), "x"(w));
#endif
}

PRISM_INLINE __m256i whole(__m256i sum) { return sum; }

#endif
