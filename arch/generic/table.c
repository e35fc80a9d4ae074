/* table.c - the generic level: everything exact or fp32. */
#include "arch/generic/generic.h"

const struct prism_kernels prism_kernels_generic = {
    .level = PRISM_LEVEL_GENERIC,
    .name = "generic",

    .to_f32 = {
        [PRISM_F32] = prism_to_f32_f32_generic,       [PRISM_F16] = prism_to_f32_f16_generic,
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

    .linear_f32 = &prism_linear_f32_generic,
    .linear_auto = {
        [PRISM_F32] = &prism_linear_f32_generic,      [PRISM_F16] = &prism_linear_f32_generic,
        [PRISM_BF16] = &prism_linear_f32_generic,     [PRISM_Q4_0] = &prism_linear_f32_generic,
        [PRISM_Q4_1] = &prism_linear_f32_generic,     [PRISM_Q5_0] = &prism_linear_f32_generic,
        [PRISM_Q5_1] = &prism_linear_f32_generic,     [PRISM_Q8_0] = &prism_linear_f32_generic,
        [PRISM_Q2_K] = &prism_linear_f32_generic,     [PRISM_Q3_K] = &prism_linear_f32_generic,
        [PRISM_Q4_K] = &prism_linear_f32_generic,     [PRISM_Q5_K] = &prism_linear_f32_generic,
        [PRISM_Q6_K] = &prism_linear_f32_generic,     [PRISM_IQ4_NL] = &prism_linear_f32_generic,
        [PRISM_IQ4_XS] = &prism_linear_f32_generic,   [PRISM_MXFP4] = &prism_linear_f32_generic,
    },
    .gemv = prism_gemv_f32_generic,

    .rms_norm = prism_rms_norm_f32_generic,
    .layer_norm = prism_layer_norm_f32_generic,
    .rope = prism_rope_f32_generic,
    .rope_table = prism_rope_table_f32_generic,
    .gate = {
        [PRISM_GATE_SWIGLU] = prism_swiglu_f32_generic,       [PRISM_GATE_GEGLU] = prism_geglu_f32_generic,
        [PRISM_GATE_GEGLU_ERF] = prism_geglu_erf_f32_generic, [PRISM_GATE_SWIGLU_CLAMPED] = prism_swiglu_clamped_f32_generic,
    },
    .act = {
        [PRISM_ACT_GELU] = prism_gelu_f32_generic,            [PRISM_ACT_GELU_ERF] = prism_gelu_erf_f32_generic,
        [PRISM_ACT_RELU2] = prism_relu2_f32_generic,          [PRISM_ACT_SILU] = prism_silu_f32_generic,
    },
    .add = prism_add_f32_generic,
    .add_scaled = prism_add_scaled_f32_generic,
    .scale = prism_scale_f32_generic,
    .softcap = prism_softcap_f32_generic,
    .f32_to_f16 = prism_f32_to_f16_generic,
    .f32_to_bf16 = prism_f32_to_bf16_generic,
    .f16_to_f32 = prism_f16_to_f32_generic,
    .bf16_to_f32 = prism_bf16_to_f32_generic,
    .f32_to_q8_0 = prism_f32_to_q8_0_generic,

    .attention_f32 = &prism_attention_f32_generic,
    .attention_auto = &prism_attention_f32_generic,
    .attn_row = prism_attn_row_f32_generic,
    .attn_row_auto = prism_attn_row_f32_generic,

    .band_dots = prism_band_dots_generic,
    .softmax_q30 = prism_softmax_q30_generic,
    .sketch_pack = prism_sketch_pack_generic,
    .sketch_scan = prism_sketch_scan_generic,
    .sketch_needed = prism_sketch_needed_generic,

    .peak = { [PRISM_PEAK_F32] = prism_peak_f32_generic },
};
