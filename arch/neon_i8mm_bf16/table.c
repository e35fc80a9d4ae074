/* table.c - the NEON level with int8 and bf16 matrix products: quantised weights go through SMMLA, F16 and BF16 through
 * BFMMLA. Speed is not measured: chosen by what the instructions do per cycle on Neoverse V1 and N2, four times the multiply-adds of
 * an FMA. Their error is (arch/avx512bf16/table.c has figures of the same roundings): a third of int8's at most. Attention stays fp32:
 * BFDOT does twice the multiply-adds, but keys with outliers lose their other values in bf16 (tests/engine/test_key_outliers.c). */
#include "arch/generic/generic.h"
#include "arch/neon_i8mm_bf16/neon_i8mm_bf16.h"

const struct prism_kernels prism_kernels_neon_i8mm_bf16 = {
    .level = PRISM_LEVEL_NEON_I8MM_BF16,
    .name = "neon_i8mm_bf16",

    .to_f32 = {
        [PRISM_F32] = prism_to_f32_f32_generic,       [PRISM_F16] = prism_to_f32_f16_neon,
        [PRISM_BF16] = prism_to_f32_bf16_generic,     [PRISM_Q4_0] = prism_to_f32_q4_0_generic,
        [PRISM_Q4_1] = prism_to_f32_q4_1_generic,     [PRISM_Q5_0] = prism_to_f32_q5_0_generic,
        [PRISM_Q5_1] = prism_to_f32_q5_1_generic,     [PRISM_Q8_0] = prism_to_f32_q8_0_generic,
        [PRISM_Q2_K] = prism_to_f32_q2_k_generic,     [PRISM_Q3_K] = prism_to_f32_q3_k_generic,
        [PRISM_Q4_K] = prism_to_f32_q4_k_generic,     [PRISM_Q5_K] = prism_to_f32_q5_k_generic,
        [PRISM_Q6_K] = prism_to_f32_q6_k_generic,     [PRISM_IQ4_NL] = prism_to_f32_iq4_nl_generic,
        [PRISM_IQ4_XS] = prism_to_f32_iq4_xs_generic, [PRISM_MXFP4] = prism_to_f32_mxfp4_generic,
    },
    .to_i8 = {
        [PRISM_Q4_0] = prism_to_i8_q4_0_generic,      [PRISM_Q4_1] = prism_to_i8_q4_1_generic,
        [PRISM_Q5_0] = prism_to_i8_q5_0_generic,      [PRISM_Q5_1] = prism_to_i8_q5_1_generic,
        [PRISM_Q8_0] = prism_to_i8_q8_0_generic,      [PRISM_Q2_K] = prism_to_i8_q2_k_generic,
        [PRISM_Q3_K] = prism_to_i8_q3_k_generic,      [PRISM_Q4_K] = prism_to_i8_q4_k_generic,
        [PRISM_Q5_K] = prism_to_i8_q5_k_generic,      [PRISM_Q6_K] = prism_to_i8_q6_k_generic,
        [PRISM_IQ4_NL] = prism_to_i8_iq4_nl_generic,  [PRISM_IQ4_XS] = prism_to_i8_iq4_xs_generic,
        [PRISM_MXFP4] = prism_to_i8_mxfp4_generic,
    },

    .linear_f32 = &prism_linear_f32_neon,
    .linear_auto = {
        [PRISM_F32] = &prism_linear_f32_neon,                   [PRISM_F16] = &prism_linear_bf16_neon_i8mm_bf16,
        [PRISM_BF16] = &prism_linear_bf16_neon_i8mm_bf16,       [PRISM_Q4_0] = &prism_linear_i8_neon_i8mm_bf16,
        [PRISM_Q4_1] = &prism_linear_i8_neon_i8mm_bf16,         [PRISM_Q5_0] = &prism_linear_i8_neon_i8mm_bf16,
        [PRISM_Q5_1] = &prism_linear_i8_neon_i8mm_bf16,         [PRISM_Q8_0] = &prism_linear_i8_neon_i8mm_bf16,
        [PRISM_Q2_K] = &prism_linear_i8_neon_i8mm_bf16,         [PRISM_Q3_K] = &prism_linear_i8_neon_i8mm_bf16,
        [PRISM_Q4_K] = &prism_linear_i8_neon_i8mm_bf16,         [PRISM_Q5_K] = &prism_linear_i8_neon_i8mm_bf16,
        [PRISM_Q6_K] = &prism_linear_i8_neon_i8mm_bf16,         [PRISM_IQ4_NL] = &prism_linear_i8_neon_i8mm_bf16,
        [PRISM_IQ4_XS] = &prism_linear_i8_neon_i8mm_bf16,       [PRISM_MXFP4] = &prism_linear_i8_neon_i8mm_bf16,
    },
    .gemv = prism_gemv_f32_neon,
    .gemv_auto = {
        [PRISM_Q8_0] = &prism_gemv_i16_neon_i8mm_bf16,          [PRISM_Q4_0] = &prism_gemv_i16_neon_i8mm_bf16,
        [PRISM_Q4_K] = &prism_gemv_i16_neon_i8mm_bf16,          [PRISM_Q6_K] = &prism_gemv_i16_neon_i8mm_bf16,
    },

    .rms_norm = prism_rms_norm_f32_neon,
    .layer_norm = prism_layer_norm_f32_neon,
    .rope = prism_rope_f32_neon,
    .rope_table = prism_rope_table_f32_neon,
    .gate = {
        [PRISM_GATE_SWIGLU] = prism_swiglu_f32_neon,       [PRISM_GATE_GEGLU] = prism_geglu_f32_neon,
        [PRISM_GATE_GEGLU_ERF] = prism_geglu_erf_f32_neon, [PRISM_GATE_SWIGLU_CLAMPED] = prism_swiglu_clamped_f32_neon,
    },
    .act = {
        [PRISM_ACT_GELU] = prism_gelu_f32_neon,            [PRISM_ACT_GELU_ERF] = prism_gelu_erf_f32_neon,
        [PRISM_ACT_RELU2] = prism_relu2_f32_neon,          [PRISM_ACT_SILU] = prism_silu_f32_neon,
    },
    .add = prism_add_f32_neon,
    .add_scaled = prism_add_scaled_f32_neon,
    .scale = prism_scale_f32_neon,
    .softcap = prism_softcap_f32_neon,
    .f32_to_f16 = prism_f32_to_f16_neon,
    .f32_to_bf16 = prism_f32_to_bf16_neon,
    .f16_to_f32 = prism_f16_to_f32_neon,
    .bf16_to_f32 = prism_bf16_to_f32_neon,
    .f32_to_q8_0 = prism_f32_to_q8_0_neon,

    .attention_f32 = &prism_attention_f32_neon,
    .attention_auto = &prism_attention_f32_neon,
    .attn_row = prism_attn_row_f32_neon,
    .attn_row_auto = prism_attn_row_f32_neon,

    .band_dots = prism_band_dots_neon,
    .softmax_q30 = prism_softmax_q30_neon,
    .sketch_pack = prism_sketch_pack_neon_i8mm_bf16,
    .sketch_scan = prism_sketch_scan_neon_i8mm_bf16,
    .sketch_needed = prism_sketch_needed_neon_i8mm_bf16,

    .peak = { [PRISM_PEAK_F32] = prism_peak_f32_neon, [PRISM_PEAK_I8] = prism_peak_i8_neon_i8mm_bf16,
              [PRISM_PEAK_BF16] = prism_peak_bf16_neon_i8mm_bf16 },
};
