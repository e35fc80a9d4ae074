/* entries.h - the table of the generic level: everything exact or fp32. Included in the initialisers of its table and of those above it, which
 * go on with what is their own: of two initialisers of a member the later one counts (C11 6.7.9, 19). */
    .to_f32 = { PRISM_TYPES(PRISM_ENTRY_TO_F32, generic) },
    .to_i8 = { PRISM_BLOCK_TYPES(PRISM_ENTRY_TO_I8, generic) },

    .linear_f32 = &prism_linear_f32_generic,
    .linear_auto = { PRISM_TYPES(PRISM_ENTRY, &prism_linear_f32_generic) },
    .gemv = prism_gemv_f32_generic,

    .rms_norm = prism_rms_norm_f32_generic,
    .layer_norm = prism_layer_norm_f32_generic,
    .rope = prism_rope_f32_generic,
    .rope_table = prism_rope_table_f32_generic,
    .gate = {
        [PRISM_GATE_SWIGLU] = prism_swiglu_f32_generic,       [PRISM_GATE_GEGLU] = prism_geglu_f32_generic,
        [PRISM_GATE_GEGLU_ERF] = prism_geglu_erf_f32_generic, [PRISM_GATE_SWIGLU_CLAMPED] = prism_swiglu_clamped_f32_generic,
        [PRISM_GATE_SIGMOID] = prism_sigmoid_gate_f32_generic,
    },
    .act = {
        [PRISM_ACT_GELU] = prism_gelu_f32_generic,            [PRISM_ACT_GELU_ERF] = prism_gelu_erf_f32_generic,
        [PRISM_ACT_RELU2] = prism_relu2_f32_generic,          [PRISM_ACT_SILU] = prism_silu_f32_generic,
    },
    .softcap = prism_softcap_f32_generic,
    .matmul = prism_matmul_f32_generic,
    .decay = prism_decay_generic,
    .add = prism_add_f32_generic,
    .add_scaled = prism_add_scaled_f32_generic,
    .scale = prism_scale_f32_generic,
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
