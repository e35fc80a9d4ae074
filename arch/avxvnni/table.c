/* table.c - the avxvnni level: AVX2 and AVX-VNNI (Alder Lake and later processors without AVX-512). Linears and attention on integers
 * are its own, everything else is that of avx2.
 *
 * attention_auto, measured as in arch/avx2/table.c, where f32 has 81 Gop/s: heads of 128 148 of a peak of 191, heads of 64 128. */
#include "arch/avx2/avx2.h"
#include "arch/avxvnni/avxvnni.h"
#include "arch/generic/generic.h"

const struct prism_kernels prism_kernels_avxvnni = {
    .level = PRISM_LEVEL_AVXVNNI,
    .name = "avxvnni",

    .to_f32 = {
        [PRISM_F32] = prism_to_f32_f32_generic,          [PRISM_F16] = prism_to_f32_f16_avx2,
        [PRISM_BF16] = prism_to_f32_bf16_avx2,           [PRISM_Q4_0] = prism_to_f32_q4_0_avx2,
        [PRISM_Q4_1] = prism_to_f32_q4_1_avx2,           [PRISM_Q5_0] = prism_to_f32_q5_0_avx2,
        [PRISM_Q5_1] = prism_to_f32_q5_1_avx2,           [PRISM_Q8_0] = prism_to_f32_q8_0_avx2,
        [PRISM_Q2_K] = prism_to_f32_q2_k_avx2,           [PRISM_Q3_K] = prism_to_f32_q3_k_avx2,
        [PRISM_Q4_K] = prism_to_f32_q4_k_avx2,           [PRISM_Q5_K] = prism_to_f32_q5_k_avx2,
        [PRISM_Q6_K] = prism_to_f32_q6_k_avx2,           [PRISM_IQ4_NL] = prism_to_f32_iq4_nl_avx2,
        [PRISM_IQ4_XS] = prism_to_f32_iq4_xs_avx2,       [PRISM_MXFP4] = prism_to_f32_mxfp4_avx2,
    },
    .to_i8 = {
        [PRISM_Q4_0] = prism_to_i8_q4_0_avx2,            [PRISM_Q4_1] = prism_to_i8_q4_1_avx2,
        [PRISM_Q5_0] = prism_to_i8_q5_0_avx2,            [PRISM_Q5_1] = prism_to_i8_q5_1_avx2,
        [PRISM_Q8_0] = prism_to_i8_q8_0_avx2,            [PRISM_Q2_K] = prism_to_i8_q2_k_avx2,
        [PRISM_Q3_K] = prism_to_i8_q3_k_avx2,            [PRISM_Q4_K] = prism_to_i8_q4_k_avx2,
        [PRISM_Q5_K] = prism_to_i8_q5_k_avx2,            [PRISM_Q6_K] = prism_to_i8_q6_k_avx2,
        [PRISM_IQ4_NL] = prism_to_i8_iq4_nl_avx2,        [PRISM_IQ4_XS] = prism_to_i8_iq4_xs_avx2,
        [PRISM_MXFP4] = prism_to_i8_mxfp4_avx2,
    },

    .linear_f32 = &prism_linear_f32_avx2,
    .linear_auto = {
        [PRISM_F32] = &prism_linear_f32_avx2,        [PRISM_F16] = &prism_linear_f32_avx2,
        [PRISM_BF16] = &prism_linear_f32_avx2,       [PRISM_Q4_0] = &prism_linear_i8_avxvnni,
        [PRISM_Q4_1] = &prism_linear_i8_avxvnni,     [PRISM_Q5_0] = &prism_linear_i8_avxvnni,
        [PRISM_Q5_1] = &prism_linear_i8_avxvnni,     [PRISM_Q8_0] = &prism_linear_i8_avxvnni,
        [PRISM_Q2_K] = &prism_linear_i8_avxvnni,     [PRISM_Q3_K] = &prism_linear_i8_avxvnni,
        [PRISM_Q4_K] = &prism_linear_i8_avxvnni,     [PRISM_Q5_K] = &prism_linear_i8_avxvnni,
        [PRISM_Q6_K] = &prism_linear_i8_avxvnni,     [PRISM_IQ4_NL] = &prism_linear_i8_avxvnni,
        [PRISM_IQ4_XS] = &prism_linear_i8_avxvnni,   [PRISM_MXFP4] = &prism_linear_i8_avxvnni,
    },
    .gemv = prism_gemv_f32_avx2,
    .gemv_auto = {
        [PRISM_Q4_0] = &prism_gemv_i16_avx2,          [PRISM_Q4_1] = &prism_gemv_i16_avx2,
        [PRISM_Q5_0] = &prism_gemv_i16_avx2,          [PRISM_Q5_1] = &prism_gemv_i16_avx2,
        [PRISM_Q8_0] = &prism_gemv_i16_avx2,          [PRISM_Q2_K] = &prism_gemv_i16_avx2,
        [PRISM_Q3_K] = &prism_gemv_i16_avx2,          [PRISM_Q4_K] = &prism_gemv_i16_avx2,
        [PRISM_Q5_K] = &prism_gemv_i16_avx2,          [PRISM_Q6_K] = &prism_gemv_i16_avx2,
        [PRISM_IQ4_NL] = &prism_gemv_i16_avx2,        [PRISM_IQ4_XS] = &prism_gemv_i16_avx2,
        [PRISM_MXFP4] = &prism_gemv_i16_avx2,
    },

    .rms_norm = prism_rms_norm_f32_avx2,
    .layer_norm = prism_layer_norm_f32_avx2,
    .rope = prism_rope_f32_avx2,
    .rope_table = prism_rope_table_f32_avx2,
    .gate = {
        [PRISM_GATE_SWIGLU] = prism_swiglu_f32_avx2,       [PRISM_GATE_GEGLU] = prism_geglu_f32_avx2,
        [PRISM_GATE_GEGLU_ERF] = prism_geglu_erf_f32_avx2, [PRISM_GATE_SWIGLU_CLAMPED] = prism_swiglu_clamped_f32_avx2,
    },
    .act = {
        [PRISM_ACT_GELU] = prism_gelu_f32_avx2,            [PRISM_ACT_GELU_ERF] = prism_gelu_erf_f32_avx2,
        [PRISM_ACT_RELU2] = prism_relu2_f32_avx2,          [PRISM_ACT_SILU] = prism_silu_f32_avx2,
    },
    .add = prism_add_f32_avx2,
    .add_scaled = prism_add_scaled_f32_avx2,
    .scale = prism_scale_f32_avx2,
    .softcap = prism_softcap_f32_avx2,
    .f32_to_f16 = prism_f32_to_f16_avx2,
    .f32_to_bf16 = prism_f32_to_bf16_avx2,
    .f16_to_f32 = prism_f16_to_f32_avx2,
    .bf16_to_f32 = prism_bf16_to_f32_avx2,
    .f32_to_q8_0 = prism_f32_to_q8_0_avx2,

    .attention_f32 = &prism_attention_f32_avx2,
    .attention_auto = &prism_attention_i16_avxvnni,
    .attn_row = prism_attn_row_f32_avx2,
    .attn_row_auto = prism_attn_row_f32_avx2,

    .band_dots = prism_band_dots_avx2,
    .softmax_q30 = prism_softmax_q30_avx2,
    .sketch_pack = prism_sketch_pack_avxvnni,
    .sketch_scan = prism_sketch_scan_avxvnni,
    .sketch_needed = prism_sketch_needed_avxvnni,

    .peak = { [PRISM_PEAK_F32] = prism_peak_f32_avx2, [PRISM_PEAK_I8] = prism_peak_i8_avxvnni,
              [PRISM_PEAK_I16] = prism_peak_i16_avxvnni },
};
