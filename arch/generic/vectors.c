/* vectors.c - norms, rotation and sums of single rows. Contracts: src/kernels.h. */
#include <assert.h>
#include <math.h>
#include <sleef.h>

#include "arch/generic/generic.h"

/* Source: Zhang & Sennrich 2019, RMSNorm. The sum of squares is kept in double. */
double prism_rms_norm_f32_generic(float *y, const float *x, const float *w, size_t n, float eps)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    float scale = sum < (double)INFINITY ? (float)(1.0 / sqrt(sum / (double)n + (double)eps)) : NAN;
    for (size_t i = 0; i < n; i++)
        y[i] = w ? x[i] * scale * w[i] : x[i] * scale;
    return sum;
}

/* Source: Ba, Kiros & Hinton 2016, Layer Normalization (arXiv 1607.06450). The mean is taken off as two floats: where x is near it the first
 * difference is exact, so that a large mean costs nothing. An x that is not finite makes the variance NaN. */
double prism_layer_norm_f32_generic(float *y, const float *x, const float *w, const float *b, size_t n, float eps)
{
    double total = 0, sum = 0, around = 0;
    for (size_t i = 0; i < n; i++) {
        total += (double)x[i];
        sum += (double)x[i] * x[i];
    }
    const double mean = total / (double)n;
    for (size_t i = 0; i < n; i++)
        around += ((double)x[i] - mean) * ((double)x[i] - mean);
    const float scale = (float)(1.0 / sqrt(around / (double)n + (double)eps));
    const float high = (float)mean, low = (float)(mean - (double)high);
    for (size_t i = 0; i < n; i++) {
        const float v = (x[i] - high - low) * scale, weighted = w ? v * w[i] : v;
        y[i] = b ? weighted + b[i] : weighted;
    }
    return sum;
}

/* Source: Su et al. 2021, RoFormer. */
void prism_rope_f32_generic(float *x, const float *c, const float *s, size_t n_rot, bool interleaved)
{
    size_t half = n_rot / 2, step = interleaved ? 2 : 1, other = interleaved ? 1 : half;

    assert(n_rot % 2 == 0);
    for (size_t i = 0; i < half; i++) {
        float *a = x + i * step, *b = a + other, a0 = *a, b0 = *b;
        *a = a0 * c[i] - b0 * s[i];
        *b = a0 * s[i] + b0 * c[i];
    }
}

void prism_rope_table_f32_generic(float *c, float *s, const double *freq, size_t n_freq, size_t pos, size_t n_pos, float mag)
{
    for (size_t t = 0; t < n_pos; t++)
        for (size_t i = 0; i < n_freq; i++) {
            Sleef_double2 r = Sleef_sincos_u10((double)(pos + t) * freq[i]);
            s[t * n_freq + i] = (float)(mag * r.x);
            c[t * n_freq + i] = (float)(mag * r.y);
        }
}

void prism_add_f32_generic(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

void prism_add_scaled_f32_generic(float *y, float a, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += a * x[i];
}

void prism_scale_f32_generic(float *y, float a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] *= a;
}
