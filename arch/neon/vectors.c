/* vectors.c - norms, rotation and sums of single rows. Contracts: src/kernels.h; sources: arch/generic/vectors.c. */
#include <assert.h>
#include <math.h>
#include <sleef.h>

#include "arch/neon/neon.h"

/* The squares in double as in the generic kernel, in 8 partial sums. */
static double sum_of_squares(const float *x, size_t n)
{
    float64x2_t sum0 = vdupq_n_f64(0), sum1 = sum0, sum2 = sum0, sum3 = sum0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        float32x4_t a = vld1q_f32(x + i), b = vld1q_f32(x + i + 4);
        float64x2_t a0 = vcvt_f64_f32(vget_low_f32(a)), a1 = vcvt_high_f64_f32(a);
        float64x2_t b0 = vcvt_f64_f32(vget_low_f32(b)), b1 = vcvt_high_f64_f32(b);
        sum0 = vfmaq_f64(sum0, a0, a0);
        sum1 = vfmaq_f64(sum1, a1, a1);
        sum2 = vfmaq_f64(sum2, b0, b0);
        sum3 = vfmaq_f64(sum3, b1, b1);
    }
    double sum = vaddvq_f64(vaddq_f64(vaddq_f64(sum0, sum1), vaddq_f64(sum2, sum3)));
    for (; i < n; i++)
        sum += (double)x[i] * x[i];
    return sum;
}

double prism_rms_norm_f32_neon(float *y, const float *x, const float *w, size_t n, float eps)
{
    const double sum = sum_of_squares(x, n);
    const float scale = sum < (double)INFINITY ? (float)(1.0 / sqrt(sum / (double)n + (double)eps)) : NAN;
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const float32x4_t v = vmulq_n_f32(vld1q_f32(x + i), scale);
        vst1q_f32(y + i, w ? vmulq_f32(v, vld1q_f32(w + i)) : v);
    }
    for (; i < n; i++)
        y[i] = w ? x[i] * scale * w[i] : x[i] * scale;
    return sum;
}

static double sum_of(const float *x, size_t n)
{
    float64x2_t sum0 = vdupq_n_f64(0), sum1 = sum0;
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const float32x4_t v = vld1q_f32(x + i);
        sum0 = vaddq_f64(sum0, vcvt_f64_f32(vget_low_f32(v)));
        sum1 = vaddq_f64(sum1, vcvt_high_f64_f32(v));
    }
    double sum = vaddvq_f64(vaddq_f64(sum0, sum1));
    for (; i < n; i++)
        sum += (double)x[i];
    return sum;
}

static double squares_around(const float *x, size_t n, double mean)
{
    const float64x2_t m = vdupq_n_f64(mean);
    float64x2_t sum0 = vdupq_n_f64(0), sum1 = sum0;
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const float32x4_t v = vld1q_f32(x + i);
        const float64x2_t low = vsubq_f64(vcvt_f64_f32(vget_low_f32(v)), m), high = vsubq_f64(vcvt_high_f64_f32(v), m);
        sum0 = vfmaq_f64(sum0, low, low);
        sum1 = vfmaq_f64(sum1, high, high);
    }
    double sum = vaddvq_f64(vaddq_f64(sum0, sum1));
    for (; i < n; i++)
        sum += ((double)x[i] - mean) * ((double)x[i] - mean);
    return sum;
}

double prism_layer_norm_f32_neon(float *y, const float *x, const float *w, const float *b, size_t n, float eps)
{
    const double sum = sum_of_squares(x, n), mean = sum_of(x, n) / (double)n, around = squares_around(x, n, mean);
    const float scale = (float)(1.0 / sqrt(around / (double)n + (double)eps));
    const float high = (float)mean, low = (float)(mean - (double)high);
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const float32x4_t d = vsubq_f32(vsubq_f32(vld1q_f32(x + i), vdupq_n_f32(high)), vdupq_n_f32(low)), v = vmulq_n_f32(d, scale);
        const float32x4_t weighted = w ? vmulq_f32(v, vld1q_f32(w + i)) : v;
        vst1q_f32(y + i, b ? vaddq_f32(weighted, vld1q_f32(b + i)) : weighted);
    }
    for (; i < n; i++) {
        const float v = (x[i] - high - low) * scale, weighted = w ? v * w[i] : v;
        y[i] = b ? weighted + b[i] : weighted;
    }
    return sum;
}

/* Products and their difference are rounded apart, as in the generic kernel. */
void prism_rope_f32_neon(float *x, const float *c, const float *s, size_t n_rot, bool interleaved)
{
    size_t half = n_rot / 2, i = 0, step = interleaved ? 2 : 1, other = interleaved ? 1 : half;

    assert(n_rot % 2 == 0);
    for (; i + 4 <= half; i += 4) {
        float32x4x2_t v;
        if (interleaved)
            v = vld2q_f32(x + 2 * i);
        else
            v = (float32x4x2_t){ { vld1q_f32(x + i), vld1q_f32(x + half + i) } };
        float32x4_t cos = vld1q_f32(c + i), sin = vld1q_f32(s + i), a = v.val[0], b = v.val[1];
        v.val[0] = vsubq_f32(vmulq_f32(a, cos), vmulq_f32(b, sin));
        v.val[1] = vaddq_f32(vmulq_f32(a, sin), vmulq_f32(b, cos));
        if (interleaved) {
            vst2q_f32(x + 2 * i, v);
        } else {
            vst1q_f32(x + i, v.val[0]);
            vst1q_f32(x + half + i, v.val[1]);
        }
    }
    for (; i < half; i++) {
        float a = x[i * step], b = x[i * step + other];
        x[i * step] = a * c[i] - b * s[i];
        x[i * step + other] = a * s[i] + b * c[i];
    }
}

void prism_rope_table_f32_neon(float *c, float *s, const double *freq, size_t n_freq, size_t pos, size_t n_pos, float mag)
{
    for (size_t t = 0; t < n_pos; t++, c += n_freq, s += n_freq)
        for (size_t i = 0; i < n_freq; i += 2) {
            bool pair = i + 1 < n_freq;
            float64x2_t f = { freq[i], pair ? freq[i + 1] : 0 };
            Sleef_float64x2_t_2 r = Sleef_sincosd2_u10advsimd(vmulq_n_f64(f, (double)(pos + t)));
            float32x2_t sin = vcvt_f32_f64(vmulq_n_f64(r.x, (double)mag)), cos = vcvt_f32_f64(vmulq_n_f64(r.y, (double)mag));
            s[i] = vget_lane_f32(sin, 0);
            c[i] = vget_lane_f32(cos, 0);
            if (pair) {
                s[i + 1] = vget_lane_f32(sin, 1);
                c[i + 1] = vget_lane_f32(cos, 1);
            }
        }
}

void prism_add_f32_neon(float *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(y + i, vaddq_f32(vld1q_f32(y + i), vld1q_f32(x + i)));
    for (; i < n; i++)
        y[i] += x[i];
}

void prism_add_scaled_f32_neon(float *y, float a, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(y + i, vaddq_f32(vld1q_f32(y + i), vmulq_n_f32(vld1q_f32(x + i), a)));
    for (; i < n; i++)
        y[i] += a * x[i];
}

void prism_scale_f32_neon(float *y, float a, size_t n)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(y + i, vmulq_n_f32(vld1q_f32(y + i), a));
    for (; i < n; i++)
        y[i] *= a;
}
