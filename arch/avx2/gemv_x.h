/* gemv_x.h - what the gemv_i16 of the x86 levels share: a packed row of activations, 256 values at a time (rounding:
 * arch/generic/gemv_i16.h), and the scales of 8 blocks of weights. */
#ifndef PRISM_AVX2_GEMV_X_H
#define PRISM_AVX2_GEMV_X_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

/* Of 256 values: their scales by groups of 32, and d * sum of the integers (what an offset of the weights is multiplied with); both
 * once more by groups of 16, for weights that have scales of 16. */
struct prism_x_scales {
    float d[8], sum[8], d16[16], sum16[16];
};

struct prism_x_words {
    int16_t q[256];
    struct prism_x_scales s;
};
_Static_assert(sizeof(struct prism_x_words) == 704, "eleven cache lines");

/* n <= 256 values, a multiple of 32; zeros behind them. 64-byte aligned out. gemv_i16.c. */
void prism_pack_x_words_avx2(struct prism_x_words *out, const float *x, size_t n);

/* The halves at p, p + bytes .. p + 7 * bytes: half j is word j of what is loaded 2 j bytes in front of it, and a blend needs no
 * shuffle. Reads nothing outside the 8 * bytes from p on, bytes >= 18. */
static inline __attribute__((always_inline)) __m256 strided_halves(const uint8_t *p, size_t bytes)
{
    __m128i x[8];
#pragma GCC unroll 8
    for (size_t j = 0; j < 8; j++)
        x[j] = _mm_loadu_si128((const __m128i *)(const void *)(p + j * (bytes - 2)));
    const __m128i low = _mm_blend_epi16(_mm_blend_epi16(x[0], x[1], 0x02), _mm_blend_epi16(x[2], x[3], 0x08), 0x0c);
    const __m128i high = _mm_blend_epi16(_mm_blend_epi16(x[4], x[5], 0x20), _mm_blend_epi16(x[6], x[7], 0x80), 0xc0);
    return _mm256_cvtph_ps(_mm_blend_epi16(low, high, 0xf0));
}

#endif
