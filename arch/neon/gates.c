/* gates.c - activations, alone and times a gated row. An element's bits do not depend on where in the row it lies: tails go through the same
 * instructions in a padded vector. Contracts: src/kernels.h; sources and formulas: arch/generic/gates.c. */
#include <sleef.h>
#include <string.h>

#include "arch/neon/neon.h"

static inline float32x4_t times_logistic(float32x4_t x, float32x4_t z)
{
    return vdivq_f32(x, vaddq_f32(vdupq_n_f32(1), Sleef_expf4_u10advsimd(z)));
}

static inline float32x4_t silu(float32x4_t x) { return times_logistic(x, vnegq_f32(x)); }

static inline float32x4_t gelu(float32x4_t x)
{
    const float32x4_t cubic = vmulq_n_f32(vmulq_f32(x, x), 0.0713548163f);
    return times_logistic(x, vmulq_f32(x, vsubq_f32(vdupq_n_f32(-1.59576912f), cubic)));
}

/* arch/generic/gates.c has the formula. */
static inline float32x4_t gelu_erf(float32x4_t x)
{
    const float32x4_t t = vabsq_f32(x), four = vdupq_n_f32(4), s = vdivq_f32(four, vaddq_f32(four, t));
    const float32x4_t e = Sleef_expf4_u10advsimd(vmulq_f32(vmulq_n_f32(t, -0.5f), t));
    float32x4_t sum = vfmaq_f32(vdupq_n_f32(-0.0635156482f), vdupq_n_f32(0.0167092029f), s);
    sum = vfmaq_f32(vdupq_n_f32(0.0534068085f), sum, s);
    sum = vfmaq_f32(vdupq_n_f32(0.0260151587f), sum, s);
    sum = vfmaq_f32(vdupq_n_f32(0.0148023088f), sum, s);
    sum = vfmaq_f32(vdupq_n_f32(0.0854871571f), sum, s);
    sum = vfmaq_f32(vdupq_n_f32(0.0724227875f), sum, s);
    sum = vfmaq_f32(vdupq_n_f32(0.0954202935f), sum, s);
    sum = vfmaq_f32(vdupq_n_f32(0.0995046943f), sum, s);
    sum = vfmaq_f32(vdupq_n_f32(0.0997472405f), sum, s);
    return vsubq_f32(vmaxq_f32(vdupq_n_f32(0), x), vmulq_f32(vmulq_f32(t, e), vmulq_f32(s, sum)));
}

/* x, and NaN in the place of an infinity. */
static inline float32x4_t finite_or_nan(float32x4_t x) { return vfmaq_f32(x, x, vdupq_n_f32(0)); }

/* A minimum and a maximum with NaN are NaN. */
static inline float32x4_t relu2(float32x4_t x)
{
    const float32x4_t y = vmaxq_f32(vdupq_n_f32(0), finite_or_nan(x));
    return vmulq_f32(y, y);
}

static inline float32x4_t silu_times(float32x4_t g, float32x4_t u) { return vmulq_f32(silu(g), u); }
static inline float32x4_t gelu_times(float32x4_t g, float32x4_t u) { return vmulq_f32(gelu(g), u); }
static inline float32x4_t gelu_erf_times(float32x4_t g, float32x4_t u) { return vmulq_f32(gelu_erf(g), u); }

static inline float32x4_t swiglu_clamped(float32x4_t g, float32x4_t u)
{
    const float32x4_t most = vdupq_n_f32(7), least = vdupq_n_f32(-7);
    g = vminq_f32(most, finite_or_nan(g));
    u = vmaxq_f32(least, vminq_f32(most, finite_or_nan(u)));
    return vmulq_f32(times_logistic(g, vmulq_n_f32(g, -1.702f)), vaddq_f32(u, vdupq_n_f32(1)));
}

static inline float32x4_t sigmoid_gate(float32x4_t g, float32x4_t u) { return times_logistic(u, vnegq_f32(finite_or_nan(g))); }

/* ---- rows ---- */

static inline void gate_row(float *gate, const float *up, size_t n, float32x4_t (*f)(float32x4_t, float32x4_t))
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(gate + i, f(vld1q_f32(gate + i), vld1q_f32(up + i)));
    if (i < n) {
        float g[4] = { 0 }, u[4] = { 0 };
        memcpy(g, gate + i, (n - i) * sizeof *g);
        memcpy(u, up + i, (n - i) * sizeof *u);
        vst1q_f32(g, f(vld1q_f32(g), vld1q_f32(u)));
        memcpy(gate + i, g, (n - i) * sizeof *g);
    }
}

static inline void act_row(float *x, size_t n, float32x4_t (*f)(float32x4_t))
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(x + i, f(vld1q_f32(x + i)));
    if (i < n) {
        float y[4] = { 0 };
        memcpy(y, x + i, (n - i) * sizeof *y);
        vst1q_f32(y, f(vld1q_f32(y)));
        memcpy(x + i, y, (n - i) * sizeof *y);
    }
}

void prism_swiglu_f32_neon(float *gate, const float *up, size_t n) { gate_row(gate, up, n, silu_times); }
void prism_geglu_f32_neon(float *gate, const float *up, size_t n) { gate_row(gate, up, n, gelu_times); }
void prism_geglu_erf_f32_neon(float *gate, const float *up, size_t n) { gate_row(gate, up, n, gelu_erf_times); }
void prism_swiglu_clamped_f32_neon(float *gate, const float *up, size_t n) { gate_row(gate, up, n, swiglu_clamped); }
void prism_sigmoid_gate_f32_neon(float *gate, const float *up, size_t n) { gate_row(gate, up, n, sigmoid_gate); }

void prism_gelu_f32_neon(float *x, size_t n) { act_row(x, n, gelu); }
void prism_gelu_erf_f32_neon(float *x, size_t n) { act_row(x, n, gelu_erf); }
void prism_relu2_f32_neon(float *x, size_t n) { act_row(x, n, relu2); }
void prism_silu_f32_neon(float *x, size_t n) { act_row(x, n, silu); }

static inline float32x4_t softcap(float32x4_t x, float cap)
{
    return vmulq_n_f32(prism_tanh_neon(vdivq_f32(finite_or_nan(x), vdupq_n_f32(cap))), cap);
}

void prism_softcap_f32_neon(float *x, float cap, size_t n)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(x + i, softcap(vld1q_f32(x + i), cap));
    if (i < n) {
        float y[4] = { 0 };
        memcpy(y, x + i, (n - i) * sizeof *y);
        vst1q_f32(y, softcap(vld1q_f32(y), cap));
        memcpy(x + i, y, (n - i) * sizeof *y);
    }
}
