/* neon.h - the kernels of the NEON level, and what its files share: exponential, maxima, bytes, and the way of a tile to its result.
 * Contracts: src/kernels.h. The level needs ARMv8-A with Advanced SIMD only (FMA and half conversions are part of it). */
#ifndef PRISM_ARCH_NEON_H
#define PRISM_ARCH_NEON_H

#include <arm_neon.h>

#include "arch/generic/bits.h"
#include "src/kernels.h"

extern const struct prism_kernels prism_kernels_neon;
extern const struct prism_linear prism_linear_f32_neon;
extern const struct prism_attention prism_attention_f32_neon;

prism_to_f32_fn prism_to_f32_f16_neon;
prism_gemv_fn prism_gemv_f32_neon;
prism_rms_norm_fn prism_rms_norm_f32_neon;
prism_layer_norm_fn prism_layer_norm_f32_neon;
prism_rope_fn prism_rope_f32_neon;
prism_rope_table_fn prism_rope_table_f32_neon;
prism_gate_fn prism_swiglu_f32_neon, prism_geglu_f32_neon, prism_geglu_erf_f32_neon, prism_swiglu_clamped_f32_neon,
    prism_sigmoid_gate_f32_neon; /* gates.c */
prism_act_fn prism_gelu_f32_neon, prism_gelu_erf_f32_neon, prism_relu2_f32_neon, prism_silu_f32_neon;
prism_matmul_fn prism_matmul_f32_neon; /* matmul.c */
prism_decay_fn prism_decay_neon;
prism_add_fn prism_add_f32_neon;
prism_add_scaled_fn prism_add_scaled_f32_neon;
prism_scale_fn prism_scale_f32_neon;
prism_softcap_fn prism_softcap_f32_neon;
prism_to_16_fn prism_f32_to_f16_neon, prism_f32_to_bf16_neon;
prism_from_16_fn prism_f16_to_f32_neon, prism_bf16_to_f32_neon;
prism_to_q8_0_fn prism_f32_to_q8_0_neon;
prism_attn_row_fn prism_attn_row_f32_neon;
prism_band_dots_fn prism_band_dots_neon;
prism_softmax_q30_fn prism_softmax_q30_neon;
prism_sketch_pack_fn prism_sketch_pack_neon; /* sketch.c */
prism_sketch_scan_fn prism_sketch_scan_neon;
prism_sketch_needed_fn prism_sketch_needed_neon;
prism_peak_fn prism_peak_f32_neon;

/* c[row..][col..] = tile (or += with add), a [mr][nr] tile of a product whose rows and columns end at g->rows and g->cols. */
void prism_tile_to_c_neon(const struct prism_gemm_args *g, size_t row, size_t col, const float *tile, size_t mr, size_t nr,
                          bool add);

/* 2^x for x <= 0, 2 ULP: x = n + f with |f| <= 1/2, a minimax polynomial of degree 6 for 2^f (relative error 1.6e-8 with these
 * fp32 coefficients; constant 1, so that 2^0 is exactly 1), and n added to the exponent. Below -126.5 the result is 0, as it is
 * for -inf; NaN stays NaN. */
static inline float32x4_t prism_exp2_neon(float32x4_t x)
{
    x = vmaxq_f32(x, vdupq_n_f32(-127.0f));
    float32x4_t n = vrndnq_f32(x), f = vsubq_f32(x, n);
    float32x4_t p = vdupq_n_f32(1.53533605e-4f);
    p = vfmaq_f32(vdupq_n_f32(1.33988750e-3f), p, f);
    p = vfmaq_f32(vdupq_n_f32(9.61843692e-3f), p, f);
    p = vfmaq_f32(vdupq_n_f32(5.55033237e-2f), p, f);
    p = vfmaq_f32(vdupq_n_f32(2.40226477e-1f), p, f);
    p = vfmaq_f32(vdupq_n_f32(6.93147182e-1f), p, f);
    p = vfmaq_f32(vdupq_n_f32(1.0f), p, f);
    int32x4_t e = vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23);
    return vmulq_f32(p, vreinterpretq_f32_s32(e));
}

/* tanh x = (1 - e) / (1 + e) with e = e^(-2 |x|), and the sign of x: off by 1.4e-7 at most (not relative to it); NaN stays NaN. */
static inline float32x4_t prism_tanh_neon(float32x4_t x)
{
    const float32x4_t one = vdupq_n_f32(1), e = prism_exp2_neon(vmulq_n_f32(vabsq_f32(x), -2 * 1.44269504f));
    return vbslq_f32(vdupq_n_u32(0x80000000), x, vdivq_f32(vsubq_f32(one, e), vaddq_f32(one, e)));
}

/* The largest of n >= 1 floats. */
static inline float prism_max_neon(const float *x, size_t n)
{
    float32x4_t max = vdupq_n_f32(x[0]);
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        max = vmaxq_f32(max, vld1q_f32(x + i));
    float most = vmaxvq_f32(max);
    for (; i < n; i++)
        most = x[i] > most ? x[i] : most;
    return most;
}

/* The largest magnitude of n floats, n % 4 == 0: compared as integers, so that infinity is above all numbers and NaN above infinity. */
static inline float prism_largest_neon(const float *x, size_t n)
{
    uint32x4_t largest = vdupq_n_u32(0);
    for (size_t i = 0; i < n; i += 4)
        largest = vmaxq_u32(largest, vandq_u32(vreinterpretq_u32_f32(vld1q_f32(x + i)), vdupq_n_u32(0x7fffffff)));
    return prism_bits_f32(vmaxvq_u32(largest));
}

/* Eight values times inverse as bytes, rounded half to even; a NaN becomes 0. */
static inline int8x8_t prism_bytes_8_neon(float32x4_t x0, float32x4_t x1, float inverse)
{
    const int32x4_t q0 = vcvtnq_s32_f32(vmulq_n_f32(x0, inverse)), q1 = vcvtnq_s32_f32(vmulq_n_f32(x1, inverse));
    return vmovn_s16(vcombine_s16(vmovn_s32(q0), vmovn_s32(q1)));
}

#endif
