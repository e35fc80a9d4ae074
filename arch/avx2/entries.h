/* entries.h - the table of the avx2 level, see arch/generic/entries.h.
 *
 * linear_auto, measured on one thread in one run, operands in L2, Gop/s. Of a Xeon (Emerald Rapids): f32 94, i16 125. Of a Zen 5, in brackets
 * the most that its two multiplying ports allow at 4.1 GHz: f32 128 (131), i16 202 (233), bytes 350 (382) for Q4_0, 337 for Q4_K, 318 for Q6_K.
 * Bytes of full size gain nothing over i16 (linear_i16.c): with activations of seven bits, whose products pmaddubsw does not saturate, the
 * multiplications are as many, and a product of absolute weights costs one operation more. i16 is the finer kind of i8k and needs none itself.
 *
 * attention_auto, on the Xeon: heads of 128 f32 81 Gop/s, i16 117 of a peak of 136; heads of 64 f32 73, i16 104. */
#include "arch/generic/entries.h"

    .to_f32 = {
        [PRISM_F32] = prism_to_f32_f32_generic, [PRISM_F16] = prism_to_f32_f16_avx2, [PRISM_BF16] = prism_to_f32_bf16_avx2,
        PRISM_BLOCK_TYPES(PRISM_ENTRY_TO_F32, avx2)
    },
    .to_i8 = { PRISM_BLOCK_TYPES(PRISM_ENTRY_TO_I8, avx2) },

    .linear_f32 = &prism_linear_f32_avx2,
    .linear_auto = {
        PRISM_PLAIN_TYPES(PRISM_ENTRY, &prism_linear_f32_avx2)
        PRISM_BLOCK_TYPES(PRISM_ENTRY, &prism_linear_i16_avx2)
        [PRISM_F16] = &prism_linear_i16_avx2,     [PRISM_BF16] = &prism_linear_i16_avx2,
        [PRISM_Q4_0] = &prism_linear_i8_avx2,     [PRISM_Q4_1] = &prism_linear_i8_avx2,     [PRISM_Q4_K] = &prism_linear_q4_k_avx2,
        [PRISM_Q5_0] = &prism_linear_i8_avx2,     [PRISM_Q5_1] = &prism_linear_i8_avx2,     [PRISM_Q5_K] = &prism_linear_q4_k_avx2,
        [PRISM_MXFP4] = &prism_linear_i8_avx2,    [PRISM_IQ3_S] = &prism_linear_i8_avx2,    [PRISM_IQ1_S] = &prism_linear_i8_avx2,
        [PRISM_TQ1_0] = &prism_linear_i8_avx2,    [PRISM_TQ2_0] = &prism_linear_i8_avx2,    [PRISM_Q1_0] = &prism_linear_i8_avx2,
        [PRISM_Q2_0] = &prism_linear_i8_avx2,     [PRISM_Q3_K] = &prism_linear_i8k_avx2,    [PRISM_Q6_K] = &prism_linear_i8k_avx2,
    },
    .linear_finer = { [PRISM_Q3_K] = &prism_linear_i16_avx2, [PRISM_Q6_K] = &prism_linear_i16_avx2 },
    .gemv = prism_gemv_f32_avx2,
    .gemv_auto = { PRISM_BLOCK_TYPES(PRISM_ENTRY, &prism_gemv_i16_avx2) },

    .rms_norm = prism_rms_norm_f32_avx2,
    .layer_norm = prism_layer_norm_f32_avx2,
    .rope = prism_rope_f32_avx2,
    .rope_table = prism_rope_table_f32_avx2,
    .gate = {
        [PRISM_GATE_SWIGLU] = prism_swiglu_f32_avx2,       [PRISM_GATE_GEGLU] = prism_geglu_f32_avx2,
        [PRISM_GATE_GEGLU_ERF] = prism_geglu_erf_f32_avx2, [PRISM_GATE_SWIGLU_CLAMPED] = prism_swiglu_clamped_f32_avx2,
        [PRISM_GATE_SIGMOID] = prism_sigmoid_gate_f32_avx2,
    },
    .act = {
        [PRISM_ACT_GELU] = prism_gelu_f32_avx2,            [PRISM_ACT_GELU_ERF] = prism_gelu_erf_f32_avx2,
        [PRISM_ACT_RELU2] = prism_relu2_f32_avx2,          [PRISM_ACT_SILU] = prism_silu_f32_avx2,
    },
    .softcap = prism_softcap_f32_avx2,
    .matmul = prism_matmul_f32_avx2,
    .decay = prism_decay_avx2,
    .add = prism_add_f32_avx2,
    .add_scaled = prism_add_scaled_f32_avx2,
    .scale = prism_scale_f32_avx2,
    .f32_to_f16 = prism_f32_to_f16_avx2,
    .f32_to_bf16 = prism_f32_to_bf16_avx2,
    .f16_to_f32 = prism_f16_to_f32_avx2,
    .bf16_to_f32 = prism_bf16_to_f32_avx2,
    .f32_to_q8_0 = prism_f32_to_q8_0_avx2,

    .attention_f32 = &prism_attention_f32_avx2,
    .attention_auto = &prism_attention_i16_avx2,
    .attn_row = prism_attn_row_f32_avx2,
    .attn_row_auto = prism_attn_row_f32_avx2,

    .band_dots = prism_band_dots_avx2,
    .softmax_q30 = prism_softmax_q30_avx2,
    .sketch_pack = prism_sketch_pack_avx2,
    .sketch_scan = prism_sketch_scan_avx2,
    .sketch_needed = prism_sketch_needed_avx2,

    .peak = { [PRISM_PEAK_F32] = prism_peak_f32_avx2, [PRISM_PEAK_I8] = prism_peak_i8_avx2,
              [PRISM_PEAK_I16] = prism_peak_i16_avx2 },
