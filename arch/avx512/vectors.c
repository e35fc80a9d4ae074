/* vectors.c - norms, rotation and sums of single rows. Any alignment; tails by masks, which read nothing past n.
 * Contracts: src/kernels.h; sources: arch/generic/vectors.c. */
#include <assert.h>
#include <math.h>

#include "arch/avx512/avx512.h"
#include "arch/avx512/sleef.h"
#include "arch/avx512/vec.h"

/* The squares in double as in the generic kernel, in 16 partial sums. */
static double exact_sum_of_squares(const float *x, size_t n)
{
    __m512d s0 = _mm512_setzero_pd(), s1 = s0;
    for (size_t i = 0; i < n; i += 16) {
        const __m512 v = _mm512_maskz_loadu_ps(vec_mask(n - i), x + i);
        const __m512d low = vec_low_pd(v), high = vec_high_pd(v);
        s0 = _mm512_fmadd_pd(low, low, s0);
        s1 = _mm512_fmadd_pd(high, high, s1);
    }
    return _mm512_reduce_add_pd(_mm512_add_pd(s0, s1));
}

/* In fp32 by eights, which loses 4 * 2^-24 of a sum at most; where a square could be too large or too small for that, or is not finite, exactly. */
static double sum_of_squares(const float *x, size_t n)
{
    __m512d s0 = _mm512_setzero_pd(), s1 = s0;
    for (size_t i = 0; i < n; i += 128) {
        __m512 a = _mm512_setzero_ps(), b = a;
        size_t j = i;
        for (; j + 32 <= n && j < i + 128; j += 32) {
            const __m512 v = _mm512_loadu_ps(x + j), w = _mm512_loadu_ps(x + j + 16);
            a = _mm512_fmadd_ps(v, v, a);
            b = _mm512_fmadd_ps(w, w, b);
        }
        if (j < n && j < i + 128) {
            const __m512 v = _mm512_maskz_loadu_ps(vec_mask(n - j), x + j);
            const __m512 w = _mm512_maskz_loadu_ps(vec_mask(n - j > 16 ? n - j - 16 : 0), x + j + 16);
            a = _mm512_fmadd_ps(v, v, a);
            b = _mm512_fmadd_ps(w, w, b);
        }
        a = _mm512_add_ps(a, b);
        s0 = _mm512_add_pd(s0, vec_low_pd(a));
        s1 = _mm512_add_pd(s1, vec_high_pd(a));
    }
    const double sum = _mm512_reduce_add_pd(_mm512_add_pd(s0, s1));
    return sum > 0x1p-80 && sum < 0x1p120 ? sum : exact_sum_of_squares(x, n);
}

double prism_rms_norm_f32_avx512(float *y, const float *x, const float *w, size_t n, float eps)
{
    const double sum = sum_of_squares(x, n);
    const __m512 scale = _mm512_set1_ps(sum < (double)INFINITY ? (float)(1.0 / sqrt(sum / (double)n + (double)eps)) : NAN);
    size_t i = 0;
    for (; w && i + 16 <= n; i += 16) /* without masks: two thirds of the time */
        _mm512_storeu_ps(y + i, _mm512_mul_ps(_mm512_mul_ps(_mm512_loadu_ps(x + i), scale), _mm512_loadu_ps(w + i)));
    for (; i < n; i += 16) {
        const __mmask16 in = vec_mask(n - i);
        const __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(in, x + i), scale);
        _mm512_mask_storeu_ps(y + i, in, w ? _mm512_mul_ps(v, _mm512_maskz_loadu_ps(in, w + i)) : v);
    }
    return sum;
}

static double sum_of(const float *x, size_t n)
{
    __m512d s0 = _mm512_setzero_pd(), s1 = s0;
    for (size_t i = 0; i < n; i += 16) {
        const __m512 v = _mm512_maskz_loadu_ps(vec_mask(n - i), x + i);
        s0 = _mm512_add_pd(s0, vec_low_pd(v));
        s1 = _mm512_add_pd(s1, vec_high_pd(v));
    }
    return _mm512_reduce_add_pd(_mm512_add_pd(s0, s1));
}

static double squares_around(const float *x, size_t n, double mean)
{
    const __m512d m = _mm512_set1_pd(mean);
    __m512d s0 = _mm512_setzero_pd(), s1 = s0;
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 in = vec_mask(n - i);
        const __m512 v = _mm512_maskz_loadu_ps(in, x + i);
        const __m512d low = _mm512_maskz_sub_pd((__mmask8)in, vec_low_pd(v), m);
        const __m512d high = _mm512_maskz_sub_pd((__mmask8)(in >> 8), vec_high_pd(v), m);
        s0 = _mm512_fmadd_pd(low, low, s0);
        s1 = _mm512_fmadd_pd(high, high, s1);
    }
    return _mm512_reduce_add_pd(_mm512_add_pd(s0, s1));
}

double prism_layer_norm_f32_avx512(float *y, const float *x, const float *w, const float *b, size_t n, float eps)
{
    const double sum = sum_of_squares(x, n), mean = sum_of(x, n) / (double)n, around = squares_around(x, n, mean);
    const __m512 scale = _mm512_set1_ps((float)(1.0 / sqrt(around / (double)n + (double)eps)));
    const __m512 high = _mm512_set1_ps((float)mean), low = _mm512_set1_ps((float)(mean - (double)(float)mean));
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 in = vec_mask(n - i);
        __m512 v = _mm512_mul_ps(_mm512_sub_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(in, x + i), high), low), scale);
        if (w)
            v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(in, w + i));
        if (b)
            v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(in, b + i));
        _mm512_mask_storeu_ps(y + i, in, v);
    }
    return sum;
}

/* Pairs (2i, 2i+1), eight at a time: c and s are doubled to the pairs' lanes, the other value of each pair comes by a swap;
 * the even lanes subtract. No FMA: the generic kernel rounds both products. */
static void rope_interleaved(float *x, const float *c, const float *s, size_t half)
{
    const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    for (size_t i = 0; i < half; i += 8) {
        const size_t n = half - i < 8 ? half - i : 8;
        const __mmask16 in = vec_mask(2 * n);
        const __m512 v = _mm512_maskz_loadu_ps(in, x + 2 * i), swapped = _mm512_shuffle_ps(v, v, 0xb1);
        const __m512 cc = _mm512_permutexvar_ps(twice, _mm512_maskz_loadu_ps(vec_mask(n), c + i));
        const __m512 ss = _mm512_permutexvar_ps(twice, _mm512_maskz_loadu_ps(vec_mask(n), s + i));
        const __m512 a = _mm512_mul_ps(v, cc), b = _mm512_mul_ps(swapped, ss);
        _mm512_mask_storeu_ps(x + 2 * i, in, _mm512_mask_sub_ps(_mm512_add_ps(a, b), 0x5555, a, b));
    }
}

void prism_rope_f32_avx512(float *x, const float *c, const float *s, size_t n_rot, bool interleaved)
{
    const size_t half = n_rot / 2;
    assert(n_rot % 2 == 0);
    if (interleaved) {
        rope_interleaved(x, c, s, half);
        return;
    }
    for (size_t i = 0; i < half; i += 16) {
        const __mmask16 in = vec_mask(half - i);
        const __m512 a = _mm512_maskz_loadu_ps(in, x + i), b = _mm512_maskz_loadu_ps(in, x + half + i);
        const __m512 cc = _mm512_maskz_loadu_ps(in, c + i), ss = _mm512_maskz_loadu_ps(in, s + i);
        _mm512_mask_storeu_ps(x + i, in, _mm512_sub_ps(_mm512_mul_ps(a, cc), _mm512_mul_ps(b, ss)));
        _mm512_mask_storeu_ps(x + half + i, in, _mm512_add_ps(_mm512_mul_ps(a, ss), _mm512_mul_ps(b, cc)));
    }
}

void prism_rope_table_f32_avx512(float *c, float *s, const double *freq, size_t n_freq, size_t pos, size_t n_pos, float mag)
{
    const __m512d m = _mm512_set1_pd((double)mag);
    for (size_t t = 0; t < n_pos; t++, c += n_freq, s += n_freq) {
        const __m512d p = _mm512_set1_pd((double)(pos + t));
        for (size_t i = 0; i < n_freq; i += 8) {
            const __mmask8 in = (__mmask8)vec_mask(n_freq - i < 8 ? n_freq - i : 8);
            __m512d sine, cosine;
            vec_sincos(_mm512_mul_pd(p, _mm512_maskz_loadu_pd(in, freq + i)), &sine, &cosine);
            _mm256_mask_storeu_ps(s + i, in, _mm512_cvtpd_ps(_mm512_mul_pd(m, sine)));
            _mm256_mask_storeu_ps(c + i, in, _mm512_cvtpd_ps(_mm512_mul_pd(m, cosine)));
        }
    }
}

void prism_add_f32_avx512(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 in = vec_mask(n - i);
        _mm512_mask_storeu_ps(y + i, in, _mm512_add_ps(_mm512_maskz_loadu_ps(in, y + i), _mm512_maskz_loadu_ps(in, x + i)));
    }
}

void prism_add_scaled_f32_avx512(float *y, float a, const float *x, size_t n)
{
    const __m512 factor = _mm512_set1_ps(a);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 in = vec_mask(n - i);
        const __m512 product = _mm512_mul_ps(factor, _mm512_maskz_loadu_ps(in, x + i));
        _mm512_mask_storeu_ps(y + i, in, _mm512_add_ps(_mm512_maskz_loadu_ps(in, y + i), product));
    }
}

void prism_scale_f32_avx512(float *y, float a, size_t n)
{
    const __m512 factor = _mm512_set1_ps(a);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 in = vec_mask(n - i);
        _mm512_mask_storeu_ps(y + i, in, _mm512_mul_ps(_mm512_maskz_loadu_ps(in, y + i), factor));
    }
}
