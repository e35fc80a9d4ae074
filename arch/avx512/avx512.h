/* avx512.h - what the AVX-512 levels share: the kernels of AVX-512 F, BW, DQ, VL. Contracts: src/kernels.h. */
#ifndef PRISM_AVX512_H
#define PRISM_AVX512_H

#include "src/kernels.h"

extern const struct prism_kernels prism_kernels_avx512;

extern const struct prism_linear prism_linear_f32_avx512;
extern const struct prism_attention prism_attention_f32_avx512;

prism_gemv_fn prism_gemv_f32_avx512;
prism_attn_row_fn prism_attn_row_f32_avx512;
prism_softmax_q30_fn prism_softmax_q30_avx512;
prism_peak_fn prism_peak_f32_avx512, prism_peak_i8_avx512, prism_peak_i16_avx512;

prism_rms_norm_fn prism_rms_norm_f32_avx512;
prism_layer_norm_fn prism_layer_norm_f32_avx512;
prism_rope_fn prism_rope_f32_avx512;
prism_rope_table_fn prism_rope_table_f32_avx512;
prism_gate_fn prism_swiglu_f32_avx512, prism_geglu_f32_avx512, prism_geglu_erf_f32_avx512, prism_swiglu_clamped_f32_avx512,
    prism_sigmoid_gate_f32_avx512; /* gates.c */
prism_act_fn prism_gelu_f32_avx512, prism_gelu_erf_f32_avx512, prism_relu2_f32_avx512, prism_silu_f32_avx512;
prism_matmul_fn prism_matmul_f32_avx512; /* matmul.c */
prism_decay_fn prism_decay_avx512;
prism_add_fn prism_add_f32_avx512;
prism_add_scaled_fn prism_add_scaled_f32_avx512;
prism_scale_fn prism_scale_f32_avx512;
prism_softcap_fn prism_softcap_f32_avx512;
prism_to_16_fn prism_f32_to_f16_avx512, prism_f32_to_bf16_avx512;
prism_from_16_fn prism_f16_to_f32_avx512, prism_bf16_to_f32_avx512;

prism_to_i8_fn prism_to_i8_q8_0_avx512, prism_to_i8_q4_0_avx512, prism_to_i8_q4_k_avx512, prism_to_i8_q6_k_avx512;

#endif
