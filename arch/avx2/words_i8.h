/* words_i8.h - quads of bytes for group_tile.h and group_pack.h: activations + 128, unsigned, times signed weights of at most 32 in size. Sums
 * are of pairs, in 16 bits, and wrap: only what they end as must fit. */
#ifndef PRISM_AVX2_WORDS_I8_H
#define PRISM_AVX2_WORDS_I8_H

#include <stdbool.h>

#include "arch/avx2/vec.h"

enum { WORDS = 8, HAS_START = 1 };

/* The addition is an asm statement as in words_f32.h: gcc leaves the sums where they are. */
PRISM_INLINE void dot(__m256i *sum, __m256i a, __m256i w, bool first)
{
    const __m256i product = _mm256_maddubs_epi16(a, w);
    (void)first;
    __asm__("vpaddw %1, %0, %0" : "+x"(*sum) : "x"(product));
}

/* From memory: all registers are taken. */
static const _Alignas(32) int16_t all_one[16] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };

PRISM_INLINE __m256i whole(__m256i sum) { return _mm256_madd_epi16(sum, _mm256_load_si256((const __m256i *)(const void *)all_one)); }

/* What the sums of n quads begin with, which takes back the +128: -128 times the sums of the first two and of the other two bytes. */
PRISM_INLINE int32_t start_of(__m256i quads)
{
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), quads);
    __m128i sum = _mm_add_epi16(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
    sum = _mm_add_epi16(sum, _mm_shuffle_epi32(sum, 0x4e));
    sum = _mm_add_epi16(sum, _mm_shuffle_epi32(sum, 0xb1));
    return _mm_cvtsi128_si32(_mm_sub_epi16(_mm_setzero_si128(), _mm_slli_epi16(sum, 7)));
}

#endif
