/* vectors.c - norm, rotation and activation of single rows. Contracts: src/kernels.h. */
#include <assert.h>
#include <math.h>
#include <sleef.h>

#include "arch/generic/generic.h"

/* Source: Zhang & Sennrich 2019, RMSNorm. The sum of squares is kept in double. */
void prism_rms_norm_f32_generic(float *y, const float *x, const float *w, size_t n, float eps)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    float scale = sum < (double)INFINITY ? (float)(1.0 / sqrt(sum / (double)n + (double)eps)) : NAN;
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * scale * w[i];
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

/* Source: Shazeer 2020, GLU variants. exp(-z) may overflow to infinity: z / inf is the limit, -0. */
void prism_swiglu_f32_generic(float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gate[i] = gate[i] / (1.0f + Sleef_expf_u10(-gate[i])) * up[i];
}

void prism_add_f32_generic(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}
