/* select.c - scores and probabilities of pooled blocks. Contracts: src/kernels.h. Any alignment; tails by masked loads and stores, which
 * touch nothing past them. The order of additions depends on d, b1 and b2 (dots) or n (softmax) only. */
#include <assert.h>
#include <math.h>
#include <sleef.h>
#include <string.h>

#include "arch/avx2/avx2.h"
#include "arch/avx2/vec.h"

/* s[i] += q * k[i], n (1..8) values at `at` of each key. */
PRISM_INLINE void add_products(__m256 s[4], const float *q, const float *k, size_t d, size_t keys, size_t at, size_t n)
{
    const __m256 x = n == 8 ? _mm256_loadu_ps(q + at) : vec_load_n(q + at, n);
    for (size_t i = 0; i < keys; i++)
        s[i] = _mm256_fmadd_ps(x, n == 8 ? _mm256_loadu_ps(k + i * d + at) : vec_load_n(k + i * d + at, n), s[i]);
}

/* out[0..keys) = the dot products over [from, to) of q with that many keys, a constant 4 or 1. */
PRISM_INLINE void dots(float *out, const float *q, const float *k, size_t d, size_t keys, size_t from, size_t to)
{
    __m256 s[4] = { _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps() };
    size_t at = from;
    for (; at + 8 <= to; at += 8)
        add_products(s, q, k, d, keys, at, 8);
    if (at < to)
        add_products(s, q, k, d, keys, at, to - at);
    const __m128 sums = vec_sum_4(s[0], s[1], s[2], s[3]);
    if (keys == 4)
        _mm_storeu_ps(out, sums);
    else
        *out = _mm_cvtss_f32(sums);
}

/* Four keys share q; the rest one by one, in the same order of additions. */
void prism_band_dots_avx2(float *before, float *inside, float *after, const float *q, const float *k, size_t n, size_t d, size_t b1,
                          size_t b2)
{
    assert(b1 <= b2 && b2 <= d);
    size_t j = 0;
    for (; j + 4 <= n; j += 4) {
        dots(before + j, q, k + j * d, d, 4, 0, b1);
        dots(inside + j, q, k + j * d, d, 4, b1, b2);
        dots(after + j, q, k + j * d, d, 4, b2, d);
    }
    for (; j < n; j++) {
        dots(before + j, q, k + j * d, d, 1, 0, b1);
        dots(inside + j, q, k + j * d, d, 1, b1, b2);
        dots(after + j, q, k + j * d, d, 1, b2, d);
    }
}

/* e^(x - max). Below -80 it is 0 for all purposes; the clamp keeps subnormal numbers away. */
PRISM_INLINE __m256 weight(__m256 x, __m256 max)
{
    return Sleef_expf8_u10avx2(_mm256_max_ps(_mm256_set1_ps(-80.0f), _mm256_sub_ps(x, max))); /* the second operand wins when it is NaN */
}

/* sum[0], sum[1] += the low and the high half of e. */
PRISM_INLINE void add_weights(__m256d sum[2], __m256 e)
{
    sum[0] = _mm256_add_pd(sum[0], vec_low_pd(e));
    sum[1] = _mm256_add_pd(sum[1], vec_high_pd(e));
}

/* floor(e * scale + 0.5), in double. */
PRISM_INLINE __m256i to_units(__m256 e, __m256d scale)
{
    const __m256d half = _mm256_set1_pd(0.5);
    const __m256d low = _mm256_fmadd_pd(vec_low_pd(e), scale, half);
    const __m256d high = _mm256_fmadd_pd(vec_high_pd(e), scale, half);
    return _mm256_set_m128i(_mm256_cvttpd_epi32(high), _mm256_cvttpd_epi32(low));
}

/* The exponential is SLEEF's, 1 ULP; the rest of the 2e-6 is for x - max, rounded to fp32: 2^-20 where it decides (above -32), and
 * 2^-24 log(n) of the sum. Between the passes p holds the exponentials. */
void prism_softmax_q30_avx2(uint32_t *p, const float *x, size_t n)
{
    assert(n >= 1);
    const size_t rest = n % 8, whole = n - rest;
    const __m256i in_rest = vec_mask(rest);
    const __m256 max = _mm256_set1_ps(vec_max_of(x, n));
    __m256d sum[2] = { _mm256_setzero_pd(), _mm256_setzero_pd() };

    for (size_t i = 0; i < whole; i += 8) {
        const __m256 e = weight(_mm256_loadu_ps(x + i), max);
        _mm256_storeu_si256((__m256i *)(void *)(p + i), _mm256_castps_si256(e));
        add_weights(sum, e);
    }
    __m256 last = _mm256_setzero_ps();
    if (rest) {
        last = _mm256_and_ps(_mm256_castsi256_ps(in_rest), weight(vec_load_n(x + whole, rest), max));
        add_weights(sum, last);
    }

    const double total = vec_sum_pd(_mm256_add_pd(sum[0], sum[1]));
    if (isnan(total)) {
        memset(p, 0, n * sizeof *p);
        return;
    }
    const __m256d scale = _mm256_set1_pd(0x1p30 / total);
    for (size_t i = 0; i < whole; i += 8) {
        __m256i *const at = (__m256i *)(void *)(p + i);
        _mm256_storeu_si256(at, to_units(_mm256_castsi256_ps(_mm256_loadu_si256(at)), scale));
    }
    if (rest)
        _mm256_maskstore_epi32((int *)(void *)(p + whole), in_rest, to_units(last, scale));
}
