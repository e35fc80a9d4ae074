/* vectors.c - norms, rotation and sums of single rows. Any alignment; tails by masked loads that read nothing past n.
 * Contracts: src/kernels.h; sources: arch/generic/vectors.c. */
#include "arch/avx2/avx2.h"

#include <assert.h>
#include <math.h>
#include <sleef.h>

#include "arch/avx2/vec.h"

PRISM_INLINE void add_squares(__m256d s[4], __m256 a, __m256 b)
{
    const __m256d a0 = vec_low_pd(a), a1 = vec_high_pd(a), b0 = vec_low_pd(b), b1 = vec_high_pd(b);
    s[0] = _mm256_fmadd_pd(a0, a0, s[0]);
    s[1] = _mm256_fmadd_pd(a1, a1, s[1]);
    s[2] = _mm256_fmadd_pd(b0, b0, s[2]);
    s[3] = _mm256_fmadd_pd(b1, b1, s[3]);
}

/* The squares in double as in the generic kernel, in 16 partial sums. */
static double sum_of_squares(const float *x, size_t n)
{
    __m256d s[4] = { _mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd() };
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        add_squares(s, _mm256_loadu_ps(x + i), _mm256_loadu_ps(x + i + 8));
    if (i < n) {
        const size_t rest = n - i;
        add_squares(s, vec_load_n(x + i, rest < 8 ? rest : 8), vec_load_n(x + i + 8, rest < 8 ? 0 : rest - 8));
    }
    return vec_sum_pd(_mm256_add_pd(_mm256_add_pd(s[0], s[1]), _mm256_add_pd(s[2], s[3])));
}

double prism_rms_norm_f32_avx2(float *y, const float *x, const float *w, size_t n, float eps)
{
    const double sum = sum_of_squares(x, n);
    const __m256 scale = _mm256_set1_ps(sum < (double)INFINITY ? (float)(1.0 / sqrt(sum / (double)n + (double)eps)) : NAN);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + i), scale);
        _mm256_storeu_ps(y + i, w ? _mm256_mul_ps(v, _mm256_loadu_ps(w + i)) : v);
    }
    if (i < n) {
        const __m256 v = _mm256_mul_ps(vec_load_n(x + i, n - i), scale);
        vec_store_n(y + i, w ? _mm256_mul_ps(v, vec_load_n(w + i, n - i)) : v, n - i);
    }
    return sum;
}

static double sum_of(const float *x, size_t n)
{
    __m256d s0 = _mm256_setzero_pd(), s1 = s0;
    for (size_t i = 0; i < n; i += 8) {
        const __m256 v = vec_load_n(x + i, n - i < 8 ? n - i : 8);
        s0 = _mm256_add_pd(s0, vec_low_pd(v));
        s1 = _mm256_add_pd(s1, vec_high_pd(v));
    }
    return vec_sum_pd(_mm256_add_pd(s0, s1));
}

static double squares_around(const float *x, size_t n, double mean)
{
    const __m256d m = _mm256_set1_pd(mean);
    __m256d s0 = _mm256_setzero_pd(), s1 = s0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256 v = _mm256_loadu_ps(x + i);
        const __m256d low = _mm256_sub_pd(vec_low_pd(v), m), high = _mm256_sub_pd(vec_high_pd(v), m);
        s0 = _mm256_fmadd_pd(low, low, s0);
        s1 = _mm256_fmadd_pd(high, high, s1);
    }
    double sum = vec_sum_pd(_mm256_add_pd(s0, s1));
    for (; i < n; i++)
        sum += ((double)x[i] - mean) * ((double)x[i] - mean);
    return sum;
}

double prism_layer_norm_f32_avx2(float *y, const float *x, const float *w, const float *b, size_t n, float eps)
{
    const double sum = sum_of_squares(x, n), mean = sum_of(x, n) / (double)n, around = squares_around(x, n, mean);
    const __m256 scale = _mm256_set1_ps((float)(1.0 / sqrt(around / (double)n + (double)eps)));
    const __m256 high = _mm256_set1_ps((float)mean), low = _mm256_set1_ps((float)(mean - (double)(float)mean));
    for (size_t i = 0; i < n; i += 8) {
        const size_t m = n - i < 8 ? n - i : 8;
        __m256 v = _mm256_mul_ps(_mm256_sub_ps(_mm256_sub_ps(vec_load_n(x + i, m), high), low), scale);
        if (w)
            v = _mm256_mul_ps(v, vec_load_n(w + i, m));
        if (b)
            v = _mm256_add_ps(v, vec_load_n(b + i, m));
        vec_store_n(y + i, v, m);
    }
    return sum;
}

static void rope_pair(float *a, float *b, float c, float s)
{
    const float a0 = *a, b0 = *b;
    *a = a0 * c - b0 * s;
    *b = a0 * s + b0 * c;
}

/* Pairs (2i, 2i+1): c and s are doubled to the pairs' lanes, the other value of each pair comes by a swap; the even lanes
 * subtract. */
static void rope_interleaved(float *x, const float *c, const float *s, size_t half)
{
    const __m256i pairs = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    size_t i = 0;
    for (; i + 4 <= half; i += 4) {
        __m256 v = _mm256_loadu_ps(x + 2 * i);
        __m256 cc = _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(c + i)), pairs);
        __m256 ss = _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(s + i)), pairs);
        __m256 swapped = _mm256_permute_ps(v, 0xb1);
        _mm256_storeu_ps(x + 2 * i, _mm256_addsub_ps(_mm256_mul_ps(v, cc), _mm256_mul_ps(swapped, ss)));
    }
    for (; i < half; i++)
        rope_pair(x + 2 * i, x + 2 * i + 1, c[i], s[i]);
}

void prism_rope_f32_avx2(float *x, const float *c, const float *s, size_t n_rot, bool interleaved)
{
    const size_t half = n_rot / 2;
    assert(n_rot % 2 == 0);
    if (interleaved) {
        rope_interleaved(x, c, s, half);
        return;
    }
    size_t i = 0;
    for (; i + 8 <= half; i += 8) {
        const __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + half + i);
        const __m256 cc = _mm256_loadu_ps(c + i), ss = _mm256_loadu_ps(s + i);
        _mm256_storeu_ps(x + i, _mm256_sub_ps(_mm256_mul_ps(a, cc), _mm256_mul_ps(b, ss)));
        _mm256_storeu_ps(x + half + i, _mm256_add_ps(_mm256_mul_ps(a, ss), _mm256_mul_ps(b, cc)));
    }
    for (; i < half; i++)
        rope_pair(x + i, x + half + i, c[i], s[i]);
}

void prism_rope_table_f32_avx2(float *c, float *s, const double *freq, size_t n_freq, size_t pos, size_t n_pos, float mag)
{
    const __m256d m = _mm256_set1_pd((double)mag);
    for (size_t t = 0; t < n_pos; t++, c += n_freq, s += n_freq) {
        const __m256d p = _mm256_set1_pd((double)(pos + t));
        for (size_t i = 0; i < n_freq; i += 4) {
            const size_t n = n_freq - i < 4 ? n_freq - i : 4;
            const __m128i mask = _mm256_castsi256_si128(vec_mask(n));
            __m256d f = _mm256_maskload_pd(freq + i, _mm256_cvtepi32_epi64(mask));
            Sleef___m256d_2 r = Sleef_sincosd4_u10avx2(_mm256_mul_pd(p, f));
            _mm_maskstore_ps(s + i, mask, _mm256_cvtpd_ps(_mm256_mul_pd(m, r.x)));
            _mm_maskstore_ps(c + i, mask, _mm256_cvtpd_ps(_mm256_mul_pd(m, r.y)));
        }
    }
}

void prism_add_f32_avx2(float *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_add_ps(_mm256_loadu_ps(y + i), _mm256_loadu_ps(x + i)));
    for (; i < n; i++)
        y[i] += x[i];
}

void prism_add_scaled_f32_avx2(float *y, float a, const float *x, size_t n)
{
    const __m256 factor = _mm256_set1_ps(a);
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_add_ps(_mm256_loadu_ps(y + i), _mm256_mul_ps(factor, _mm256_loadu_ps(x + i))));
    for (; i < n; i++)
        y[i] += a * x[i];
}

void prism_scale_f32_avx2(float *y, float a, size_t n)
{
    const __m256 factor = _mm256_set1_ps(a);
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_loadu_ps(y + i), factor));
    for (; i < n; i++)
        y[i] *= a;
}
