/* entries.h - the table of the AVX-512 level, see arch/generic/entries.h.
 *
 * linear_auto is fp32 for all types: exact, and on one thread of a Xeon (Emerald Rapids, T = 768, K = 1024, N = 3072) 168 GFLOP/s, where the i16
 * of arch/avx2 does 125. Where 512 bits take two passes it is slower than arch/avx2 (Zen 4, Q8_0: 108 for 153; Q4_0: 102 for 249), but such
 * processors have a level above, with products of bytes. */
#include "arch/avx2/entries.h"

    .to_i8[PRISM_Q4_0] = prism_to_i8_q4_0_avx512,
    .to_i8[PRISM_Q8_0] = prism_to_i8_q8_0_avx512,
    .to_i8[PRISM_Q4_K] = prism_to_i8_q4_k_avx512,
    .to_i8[PRISM_Q6_K] = prism_to_i8_q6_k_avx512,

    .linear_f32 = &prism_linear_f32_avx512,
    .linear_auto = { PRISM_TYPES(PRISM_ENTRY, &prism_linear_f32_avx512) },
    .linear_finer = { NULL },
    .gemv = prism_gemv_f32_avx512,

    .rms_norm = prism_rms_norm_f32_avx512,
    .layer_norm = prism_layer_norm_f32_avx512,
    .rope = prism_rope_f32_avx512,
    .rope_table = prism_rope_table_f32_avx512,
    .gate = {
        [PRISM_GATE_SWIGLU] = prism_swiglu_f32_avx512,       [PRISM_GATE_GEGLU] = prism_geglu_f32_avx512,
        [PRISM_GATE_GEGLU_ERF] = prism_geglu_erf_f32_avx512, [PRISM_GATE_SWIGLU_CLAMPED] = prism_swiglu_clamped_f32_avx512,
        [PRISM_GATE_SIGMOID] = prism_sigmoid_gate_f32_avx512,
    },
    .act = {
        [PRISM_ACT_GELU] = prism_gelu_f32_avx512,            [PRISM_ACT_GELU_ERF] = prism_gelu_erf_f32_avx512,
        [PRISM_ACT_RELU2] = prism_relu2_f32_avx512,          [PRISM_ACT_SILU] = prism_silu_f32_avx512,
    },
    .softcap = prism_softcap_f32_avx512,
    .matmul = prism_matmul_f32_avx512,
    .decay = prism_decay_avx512,
    .add = prism_add_f32_avx512,
    .add_scaled = prism_add_scaled_f32_avx512,
    .scale = prism_scale_f32_avx512,
    .f32_to_f16 = prism_f32_to_f16_avx512,
    .f32_to_bf16 = prism_f32_to_bf16_avx512,
    .f16_to_f32 = prism_f16_to_f32_avx512,
    .bf16_to_f32 = prism_bf16_to_f32_avx512,

    .attention_f32 = &prism_attention_f32_avx512,
    .attention_auto = &prism_attention_f32_avx512,
    .attn_row = prism_attn_row_f32_avx512,
    .attn_row_auto = prism_attn_row_f32_avx512,

    .softmax_q30 = prism_softmax_q30_avx512,

    .peak = { [PRISM_PEAK_F32] = prism_peak_f32_avx512, [PRISM_PEAK_I8] = prism_peak_i8_avx512,
              [PRISM_PEAK_I16] = prism_peak_i16_avx512 },
