/* select.c - probabilities of pooled blocks. Contract: src/kernels.h. Any alignment; tails by masks, which touch nothing past them. The
 * order of additions depends on n only. The dot products are those of arch/avx2: the parts are short, most of the work is to add up
 * lanes, and 16 of them take more shuffles than 8. Measured on a Xeon (Emerald Rapids), 512 against 256 bits: 55 against 83 GB/s for
 * parts of 24, 16 and 24 values, 103 against 95 for parts of 48, 32 and 48. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "arch/avx512/avx512.h"
#include "arch/avx512/sleef.h"
#include "arch/avx512/vec.h"

/* The exponential is SLEEF's, 1 ULP; the rest of the 2e-6 is for x - max, rounded to fp32: 2^-20 where it decides (above -32), and
 * 2^-24 log(n) of the sum. Below -80 it is 0 for all purposes; the clamp keeps subnormal numbers away. Between the passes p holds the
 * exponentials. */
void prism_softmax_q30_avx512(uint32_t *p, const float *x, size_t n)
{
    assert(n >= 1);
    const __m512 max = _mm512_set1_ps(vec_max_of(x, n)), least = _mm512_set1_ps(-80.0f);
    __m512d sum0 = _mm512_setzero_pd(), sum1 = sum0;

    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 in = vec_mask(n - i);
        const __m512 e = _mm512_maskz_mov_ps(in, vec_exp(_mm512_max_ps(least, _mm512_sub_ps(_mm512_maskz_loadu_ps(in, x + i), max)))); /* NaN stays */
        _mm512_mask_storeu_epi32(p + i, in, _mm512_castps_si512(e));
        sum0 = _mm512_add_pd(sum0, vec_low_pd(e));
        sum1 = _mm512_add_pd(sum1, vec_high_pd(e));
    }
    const double total = _mm512_reduce_add_pd(_mm512_add_pd(sum0, sum1));
    if (isnan(total)) {
        memset(p, 0, n * sizeof *p);
        return;
    }
    const __m512d scale = _mm512_set1_pd(0x1p30 / total), half = _mm512_set1_pd(0.5);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 in = vec_mask(n - i);
        const __m512 e = _mm512_castsi512_ps(_mm512_maskz_loadu_epi32(in, p + i));
        const __m256i low = _mm512_cvttpd_epi32(_mm512_fmadd_pd(vec_low_pd(e), scale, half));
        const __m256i high = _mm512_cvttpd_epi32(_mm512_fmadd_pd(vec_high_pd(e), scale, half));
        _mm512_mask_storeu_epi32(p + i, in, _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1));
    }
}
