/* select.c - scores and probabilities of pooled blocks. Contracts: src/kernels.h. The order of additions depends on d, b1 and b2 (dots) or
 * n (softmax) only. */
#include <assert.h>
#include <math.h>
#include <sleef.h>
#include <string.h>

#include "arch/neon/neon.h"

/* out[0..keys) = the dot products over [from, to), of even length, of q with that many keys, a constant 4 or 1. */
static inline __attribute__((always_inline)) void dots(float *out, const float *q, const float *k, size_t d, size_t keys, size_t from,
                                                       size_t to)
{
    float32x4_t s[4] = { vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0) };
    size_t at = from;
    for (; at + 4 <= to; at += 4)
        for (size_t i = 0; i < keys; i++)
            s[i] = vfmaq_f32(s[i], vld1q_f32(q + at), vld1q_f32(k + i * d + at));
    if (at < to)
        for (size_t i = 0; i < keys; i++)
            s[i] = vaddq_f32(s[i], vcombine_f32(vmul_f32(vld1_f32(q + at), vld1_f32(k + i * d + at)), vdup_n_f32(0)));
    float32x4_t sums = vpaddq_f32(vpaddq_f32(s[0], s[1]), vpaddq_f32(s[2], s[3]));
    if (keys == 4)
        vst1q_f32(out, sums);
    else
        *out = vgetq_lane_f32(sums, 0);
}

/* Four keys share q; the rest one by one, in the same order of additions. */
void prism_band_dots_neon(float *before, float *inside, float *after, const float *q, const float *k, size_t n, size_t d, size_t b1,
                          size_t b2)
{
    assert(b1 <= b2 && b2 <= d && b1 % 2 == 0 && b2 % 2 == 0 && d % 2 == 0);
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
static inline float32x4_t weight(float32x4_t x, float32x4_t max)
{
    return Sleef_expf4_u10advsimd(vmaxq_f32(vsubq_f32(x, max), vdupq_n_f32(-80.0f)));
}

/* floor(e * scale + 0.5), in double. */
static inline uint32x4_t to_units(float32x4_t e, float64x2_t scale)
{
    float64x2_t half = vdupq_n_f64(0.5);
    uint64x2_t low = vcvtq_u64_f64(vfmaq_f64(half, vcvt_f64_f32(vget_low_f32(e)), scale));
    uint64x2_t high = vcvtq_u64_f64(vfmaq_f64(half, vcvt_high_f64_f32(e), scale));
    return vcombine_u32(vmovn_u64(low), vmovn_u64(high));
}

/* The exponential is SLEEF's, 1 ULP; the rest of the 2e-6 is for x - max, rounded to fp32: 2^-20 where it decides (above -32), and
 * 2^-24 log(n) of the sum. Between the passes p holds the exponentials. */
void prism_softmax_q30_neon(uint32_t *p, const float *x, size_t n)
{
    assert(n >= 1);
    const size_t whole = n / 4 * 4;
    const float32x4_t max = vdupq_n_f32(prism_max_neon(x, n));
    float64x2_t sum0 = vdupq_n_f64(0), sum1 = sum0;
    float last[4] = { 0 };
    uint32_t units[4];

    for (size_t i = 0; i < whole; i += 4) {
        float32x4_t e = weight(vld1q_f32(x + i), max);
        vst1q_u32(p + i, vreinterpretq_u32_f32(e));
        sum0 = vaddq_f64(sum0, vcvt_f64_f32(vget_low_f32(e)));
        sum1 = vaddq_f64(sum1, vcvt_high_f64_f32(e));
    }
    double sum = vaddvq_f64(vaddq_f64(sum0, sum1));
    memcpy(last, x + whole, (n - whole) * sizeof *x);
    vst1q_f32(last, weight(vld1q_f32(last), max));
    for (size_t i = whole; i < n; i++)
        sum += (double)last[i - whole];

    if (isnan(sum)) {
        memset(p, 0, n * sizeof *p);
        return;
    }
    const float64x2_t scale = vdupq_n_f64(0x1p30 / sum);
    for (size_t i = 0; i < whole; i += 4)
        vst1q_u32(p + i, to_units(vreinterpretq_f32_u32(vld1q_u32(p + i)), scale));
    vst1q_u32(units, to_units(vld1q_f32(last), scale));
    memcpy(p + whole, units, (n - whole) * sizeof *p);
}
