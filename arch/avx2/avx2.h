/* avx2.h - what the files of this level share with one another; contracts are in src/kernels.h. */
#ifndef PRISM_AVX2_H
#define PRISM_AVX2_H

#include "src/kernels.h"

extern const struct prism_kernels prism_kernels_avx2;

extern const struct prism_linear prism_linear_f32_avx2, prism_linear_i16_avx2;
extern const struct prism_linear prism_linear_i8_avx2;  /* types with bytes of at most 16 in size only: entries.h */
extern const struct prism_linear prism_linear_i8k_avx2;  /* Q3_K, Q6_K only */
extern const struct prism_linear prism_linear_q4_k_avx2; /* Q4_K, Q5_K only */
extern const struct prism_attention prism_attention_f32_avx2, prism_attention_i16_avx2;

/* The packers of prism_linear_i16_avx2, whose panels arch/avxvnni multiplies too, and the largest integers that they make. */
enum { PRISM_I16_A_MAX = 16383, PRISM_I16_W_MAX = 4095 };
void prism_pack_w_i16_avx2(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k);
void prism_pack_a_i16_avx2(void *panel, const float *x, size_t ldx, size_t rows, size_t k);
void prism_pack_a_i8_avx2(void *panel, const float *x, size_t ldx, size_t rows, size_t k); /* of the two i8 kinds and of avxvnni's */

prism_gemv_fn prism_gemv_f32_avx2;
extern const struct prism_gemv prism_gemv_i16_avx2; /* all quantised types */
prism_attn_row_fn prism_attn_row_f32_avx2;
prism_band_dots_fn prism_band_dots_avx2;
prism_softmax_q30_fn prism_softmax_q30_avx2;
prism_sketch_pack_fn prism_sketch_pack_avx2; /* sketch.c */
prism_sketch_scan_fn prism_sketch_scan_avx2;
prism_sketch_needed_fn prism_sketch_needed_avx2;
prism_peak_fn prism_peak_f32_avx2, prism_peak_i8_avx2, prism_peak_i16_avx2;

prism_rms_norm_fn prism_rms_norm_f32_avx2;
prism_layer_norm_fn prism_layer_norm_f32_avx2;
prism_rope_fn prism_rope_f32_avx2;
prism_rope_table_fn prism_rope_table_f32_avx2;
prism_gate_fn prism_swiglu_f32_avx2, prism_geglu_f32_avx2, prism_geglu_erf_f32_avx2, prism_swiglu_clamped_f32_avx2,
    prism_sigmoid_gate_f32_avx2; /* gates.c */
prism_act_fn prism_gelu_f32_avx2, prism_gelu_erf_f32_avx2, prism_relu2_f32_avx2, prism_silu_f32_avx2;
prism_matmul_fn prism_matmul_f32_avx2; /* matmul.c */
prism_decay_fn prism_decay_avx2;
prism_add_fn prism_add_f32_avx2;
prism_add_scaled_fn prism_add_scaled_f32_avx2;
prism_scale_fn prism_scale_f32_avx2;
prism_softcap_fn prism_softcap_f32_avx2;
prism_to_16_fn prism_f32_to_f16_avx2, prism_f32_to_bf16_avx2;
prism_from_16_fn prism_f16_to_f32_avx2, prism_bf16_to_f32_avx2;
prism_to_q8_0_fn prism_f32_to_q8_0_avx2;

prism_to_f32_fn prism_to_f32_f16_avx2, prism_to_f32_bf16_avx2;
PRISM_BLOCK_TYPES(PRISM_DECLARE_TO_F32, avx2)
PRISM_BLOCK_TYPES(PRISM_DECLARE_TO_I8, avx2)

#endif
