/* table.c - the AVX-512 BF16 level (Zen 4 and later; Intel's processors do better at the level below, see arch/detect.c): linear layers whose
 * weights are stored as BF16, the rest from the levels below. vdpbf16ps and vpdpwssd do the same number of multiply-adds, so bf16 only saves
 * the scaling of integers. What that costs was measured on Zen 4 (AMD EPYC, family 25, model 17), on a text of 2048 tokens and the 38M model:
 *
 *                          i16           bf16          divergence from fp32, i16    bf16
 *   weights of BF16        193 Gop/s     208           4e-7 nats a token            1.7e-5   (int8 on weights of Q8_0: 1.1e-4)
 *   weights of F16         193           208           4e-7                         3.4e-5
 *   attention, heads 128   200           206           1.4e-7                       1.4e-5
 *   attention, heads 64    184           187           7e-6 .. 7e-5                 5e-3 .. 4e-2, keys with outliers (test_key_outliers.c)
 *
 * BF16 weights: bf16, 7 % faster, for weights are exact and activations keep the bits that they were trained with; F16 has three more
 * bits, which bf16 would drop. Attention: i16, as accurate as its level below and 1 to 3 % slower than bf16. */
#include "arch/avx2/avx2.h"
#include "arch/avx512/avx512.h"
#include "arch/avx512bf16/avx512bf16.h"
#include "arch/avx512vnni/avx512vnni.h"
#include "arch/generic/generic.h"

const struct prism_kernels prism_kernels_avx512bf16 = {
    .level = PRISM_LEVEL_AVX512BF16,
    .name = "avx512bf16",

    .to_f32 = {
        [PRISM_F32] = prism_to_f32_f32_generic,               [PRISM_F16] = prism_to_f32_f16_avx2,
        [PRISM_BF16] = prism_to_f32_bf16_avx2,                [PRISM_Q4_0] = prism_to_f32_q4_0_avx2,
        [PRISM_Q4_1] = prism_to_f32_q4_1_avx2,                [PRISM_Q5_0] = prism_to_f32_q5_0_avx2,
        [PRISM_Q5_1] = prism_to_f32_q5_1_avx2,                [PRISM_Q8_0] = prism_to_f32_q8_0_avx2,
        [PRISM_Q2_K] = prism_to_f32_q2_k_avx2,                [PRISM_Q3_K] = prism_to_f32_q3_k_avx2,
        [PRISM_Q4_K] = prism_to_f32_q4_k_avx2,                [PRISM_Q5_K] = prism_to_f32_q5_k_avx2,
        [PRISM_Q6_K] = prism_to_f32_q6_k_avx2,                [PRISM_IQ4_NL] = prism_to_f32_iq4_nl_avx2,
        [PRISM_IQ4_XS] = prism_to_f32_iq4_xs_avx2,            [PRISM_MXFP4] = prism_to_f32_mxfp4_avx2,
    },
    .to_i8 = {
        [PRISM_Q4_0] = prism_to_i8_q4_0_avx512,               [PRISM_Q4_1] = prism_to_i8_q4_1_avx2,
        [PRISM_Q5_0] = prism_to_i8_q5_0_avx2,                 [PRISM_Q5_1] = prism_to_i8_q5_1_avx2,
        [PRISM_Q8_0] = prism_to_i8_q8_0_avx512,               [PRISM_Q2_K] = prism_to_i8_q2_k_avx2,
        [PRISM_Q3_K] = prism_to_i8_q3_k_avx2,                 [PRISM_Q4_K] = prism_to_i8_q4_k_avx512,
        [PRISM_Q5_K] = prism_to_i8_q5_k_avx2,                 [PRISM_Q6_K] = prism_to_i8_q6_k_avx512,
        [PRISM_IQ4_NL] = prism_to_i8_iq4_nl_avx2,             [PRISM_IQ4_XS] = prism_to_i8_iq4_xs_avx2,
        [PRISM_MXFP4] = prism_to_i8_mxfp4_avx2,
    },

    .linear_f32 = &prism_linear_f32_avx512,
    .linear_auto = {
        [PRISM_F32] = &prism_linear_f32_avx512,               [PRISM_F16] = &prism_linear_i16_avx512vnni,
        [PRISM_BF16] = &prism_linear_bf16_avx512bf16,         [PRISM_Q4_0] = &prism_linear_i8_avx512vnni,
        [PRISM_Q4_1] = &prism_linear_i8_avx512vnni,           [PRISM_Q5_0] = &prism_linear_i8_avx512vnni,
        [PRISM_Q5_1] = &prism_linear_i8_avx512vnni,           [PRISM_Q8_0] = &prism_linear_i8_avx512vnni,
        [PRISM_Q2_K] = &prism_linear_i8_avx512vnni,           [PRISM_Q3_K] = &prism_linear_i8_avx512vnni,
        [PRISM_Q4_K] = &prism_linear_i8sym_avx512vnni,        [PRISM_Q5_K] = &prism_linear_i8_avx512vnni,
        [PRISM_Q6_K] = &prism_linear_i8_avx512vnni,           [PRISM_IQ4_NL] = &prism_linear_i8_avx512vnni,
        [PRISM_IQ4_XS] = &prism_linear_i8_avx512vnni,         [PRISM_MXFP4] = &prism_linear_i8_avx512vnni,
    },
    .gemv = prism_gemv_f32_avx512,
    .gemv_auto = {
        [PRISM_Q4_0] = &prism_gemv_i16_avx512vnni,            [PRISM_Q4_1] = &prism_gemv_i16_avx2,
        [PRISM_Q5_0] = &prism_gemv_i16_avx2,                  [PRISM_Q5_1] = &prism_gemv_i16_avx2,
        [PRISM_Q8_0] = &prism_gemv_i16_avx512vnni,            [PRISM_Q2_K] = &prism_gemv_i16_avx2,
        [PRISM_Q3_K] = &prism_gemv_i16_avx2,                  [PRISM_Q4_K] = &prism_gemv_i16_avx512vnni,
        [PRISM_Q5_K] = &prism_gemv_i16_avx2,                  [PRISM_Q6_K] = &prism_gemv_i16_avx512vnni,
        [PRISM_IQ4_NL] = &prism_gemv_i16_avx2,                [PRISM_IQ4_XS] = &prism_gemv_i16_avx2,
        [PRISM_MXFP4] = &prism_gemv_i16_avx2,
    },

    .rms_norm = prism_rms_norm_f32_avx512,
    .layer_norm = prism_layer_norm_f32_avx512,
    .rope = prism_rope_f32_avx512,
    .rope_table = prism_rope_table_f32_avx512,
    .gate = {
        [PRISM_GATE_SWIGLU] = prism_swiglu_f32_avx512,       [PRISM_GATE_GEGLU] = prism_geglu_f32_avx512,
        [PRISM_GATE_GEGLU_ERF] = prism_geglu_erf_f32_avx512, [PRISM_GATE_SWIGLU_CLAMPED] = prism_swiglu_clamped_f32_avx512,
    },
    .act = {
        [PRISM_ACT_GELU] = prism_gelu_f32_avx512,            [PRISM_ACT_GELU_ERF] = prism_gelu_erf_f32_avx512,
        [PRISM_ACT_RELU2] = prism_relu2_f32_avx512,          [PRISM_ACT_SILU] = prism_silu_f32_avx512,
    },
    .add = prism_add_f32_avx512,
    .add_scaled = prism_add_scaled_f32_avx512,
    .scale = prism_scale_f32_avx512,
    .softcap = prism_softcap_f32_avx512,
    .f32_to_f16 = prism_f32_to_f16_avx512,
    .f32_to_bf16 = prism_f32_to_bf16_avx512,
    .f16_to_f32 = prism_f16_to_f32_avx512,
    .bf16_to_f32 = prism_bf16_to_f32_avx512,
    .f32_to_q8_0 = prism_f32_to_q8_0_avx2,

    .attention_f32 = &prism_attention_f32_avx512,
    .attention_auto = &prism_attention_i16_avx512vnni,
    .attn_row = prism_attn_row_f32_avx512,
    .attn_row_auto = prism_attn_row_i16_avx512vnni,

    .band_dots = prism_band_dots_avx2,
    .softmax_q30 = prism_softmax_q30_avx512,
    .sketch_pack = prism_sketch_pack_avx512vnni,
    .sketch_scan = prism_sketch_scan_avx512vnni,
    .sketch_needed = prism_sketch_needed_avx512vnni,

    .peak = { [PRISM_PEAK_F32] = prism_peak_f32_avx512, [PRISM_PEAK_I8] = prism_peak_i8_avx512vnni,
              [PRISM_PEAK_I16] = prism_peak_i16_avx512vnni,
              [PRISM_PEAK_BF16] = prism_peak_bf16_avx512bf16 },
};
