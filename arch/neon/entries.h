/* entries.h - the table of the NEON level, see arch/generic/entries.h. Stored weights are expanded by the generic functions: gcc turns them into the vector code one would
 * write (NEON is the baseline of the architecture), F16 apart, for which there is an instruction. */
#include "arch/generic/entries.h"

    .to_f32[PRISM_F16] = prism_to_f32_f16_neon,

    .linear_f32 = &prism_linear_f32_neon,
    .linear_auto = { PRISM_TYPES(PRISM_ENTRY, &prism_linear_f32_neon) },
    .gemv = prism_gemv_f32_neon,

    .rms_norm = prism_rms_norm_f32_neon,
    .layer_norm = prism_layer_norm_f32_neon,
    .rope = prism_rope_f32_neon,
    .rope_table = prism_rope_table_f32_neon,
    .gate = {
        [PRISM_GATE_SWIGLU] = prism_swiglu_f32_neon,       [PRISM_GATE_GEGLU] = prism_geglu_f32_neon,
        [PRISM_GATE_GEGLU_ERF] = prism_geglu_erf_f32_neon, [PRISM_GATE_SWIGLU_CLAMPED] = prism_swiglu_clamped_f32_neon,
        [PRISM_GATE_SIGMOID] = prism_sigmoid_gate_f32_neon,
    },
    .act = {
        [PRISM_ACT_GELU] = prism_gelu_f32_neon,            [PRISM_ACT_GELU_ERF] = prism_gelu_erf_f32_neon,
        [PRISM_ACT_RELU2] = prism_relu2_f32_neon,          [PRISM_ACT_SILU] = prism_silu_f32_neon,
    },
    .softcap = prism_softcap_f32_neon,
    .matmul = prism_matmul_f32_neon,
    .decay = prism_decay_neon,
    .add = prism_add_f32_neon,
    .add_scaled = prism_add_scaled_f32_neon,
    .scale = prism_scale_f32_neon,
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
    .sketch_pack = prism_sketch_pack_neon,
    .sketch_scan = prism_sketch_scan_neon,
    .sketch_needed = prism_sketch_needed_neon,

    .peak = { [PRISM_PEAK_F32] = prism_peak_f32_neon },
