/* words_i16.h - pairs of two-byte values for group_tile.h of arch/avx2; panels as those of arch/avx2/words_i16.h. */
#ifndef PRISM_AVXVNNI_WORDS_I16_H
#define PRISM_AVXVNNI_WORDS_I16_H

#include <stdbool.h>

#include "arch/avxvnni/simd.h"

enum { WORDS = 16, HAS_START = 0 };

PRISM_INLINE void dot(__m256i *sum, __m256i a, __m256i w, bool first)
{
    *sum = _mm256_dpwssd_avx_epi32(first ? _mm256_setzero_si256() : *sum, a, w);
}

#endif
