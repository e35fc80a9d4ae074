/* matmul.c - small products of rows as they lie, and decays. Contracts: src/kernels.h. */
#include <sleef.h>
#include <string.h>

#include "arch/neon/neon.h"

#define vf float32x4_t
#define VF_LANES 4
#define VF_ROWS 6
#define VF_VECTORS 4

static inline vf vf_load(const float *p) { return vld1q_f32(p); }
static inline void vf_store(float *p, vf x) { vst1q_f32(p, x); }
static inline vf vf_all(float x) { return vdupq_n_f32(x); }
static inline vf vf_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }

static inline vf vf_load_n(const float *p, size_t n)
{
    float x[VF_LANES] = { 0 };
    memcpy(x, p, n * sizeof *x);
    return vld1q_f32(x);
}

static inline void vf_store_n(float *p, vf y, size_t n)
{
    float x[VF_LANES];
    vst1q_f32(x, y);
    memcpy(p, x, n * sizeof *x);
}

#include "arch/generic/matmul_body.h"

void prism_matmul_f32_neon(const struct prism_matmul *m) { matmul_body(m); }

/* Two differences, and 0 or NaN for what is not finite. */
static inline float32x2_t difference(float64x2_t to, const double *from, float32x2_t *taint)
{
    const float64x2_t d = vsubq_f64(to, vld1q_f64(from));
    *taint = vcvt_f32_f64(vmulq_n_f64(d, 0));
    return vcvt_f32_f64(vmaxq_f64(d, vdupq_n_f64(-1000)));
}

static inline float32x4_t decay_4(float64x2_t to, const double *from)
{
    float32x2_t low_taint, high_taint;
    const float32x2_t low = difference(to, from, &low_taint), high = difference(to, from + 2, &high_taint);
    return vaddq_f32(Sleef_expf4_u10advsimd(vcombine_f32(low, high)), vcombine_f32(low_taint, high_taint));
}

void prism_decay_neon(float *y, double to, const double *from, size_t n)
{
    const float64x2_t end = vdupq_n_f64(to);
    size_t i = 0;

    for (; i + 4 <= n; i += 4)
        vst1q_f32(y + i, decay_4(end, from + i));
    if (i < n) {
        double rest[4] = { to, to, to, to };
        memcpy(rest, from + i, (n - i) * sizeof *rest);
        vf_store_n(y + i, decay_4(end, rest), n - i);
    }
}
