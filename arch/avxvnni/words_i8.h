/* words_i8.h - quads of bytes for group_tile.h and group_pack.h of arch/avx2: activations + 128, unsigned, times signed weights. */
#ifndef PRISM_AVXVNNI_WORDS_I8_H
#define PRISM_AVXVNNI_WORDS_I8_H

#include <stdbool.h>

#include "arch/avxvnni/simd.h"

enum { WORDS = 8, HAS_START = 1 };

PRISM_INLINE void dot(__m256i *sum, __m256i a, __m256i w, bool first)
{
    (void)first;
    *sum = _mm256_dpbusd_avx_epi32(*sum, a, w);
}

PRISM_INLINE __m256i whole(__m256i sum) { return sum; }

#endif
