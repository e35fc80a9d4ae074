/* generic.h - what arch/generic offers to the other levels: every kernel of its table, and the int8 and bf16 linears and the
 * bf16 and int16 attention that its own table does not choose but that define what the SIMD ones compute. Contracts: src/kernels.h. */
#ifndef PRISM_ARCH_GENERIC_GENERIC_H
#define PRISM_ARCH_GENERIC_GENERIC_H

#include "src/kernels.h"

extern const struct prism_kernels prism_kernels_generic;

/* dequant.c, groups.c; bit-exact at every level. */
PRISM_TYPES(PRISM_DECLARE_TO_F32, generic)
PRISM_BLOCK_TYPES(PRISM_DECLARE_TO_I8, generic)

/* linear_f32.c, linear_i8.c, linear_i8w.c, linear_bf16.c. The name of a linear says what its operands are rounded to: "f32" nothing, "i8"
 * groups of 32 (prism_to_i8_fn; activations prism_quantize_32 of unpack.h), "i8w" wider ones, "bf16" both operands. tests/arch compares each
 * linear of a level with the one of the same name here, on the same rounded operands: the difference is fp32 summation only. */
extern const struct prism_linear prism_linear_f32_generic, prism_linear_i8_generic, prism_linear_i8w_generic, prism_linear_bf16_generic;

prism_gemv_fn prism_gemv_f32_generic;
extern const struct prism_gemv prism_gemv_i16_generic; /* gemv_i16.c: its table stays with f32 */

prism_rms_norm_fn prism_rms_norm_f32_generic;
prism_layer_norm_fn prism_layer_norm_f32_generic;
prism_rope_fn prism_rope_f32_generic;
prism_rope_table_fn prism_rope_table_f32_generic;
prism_gate_fn prism_swiglu_f32_generic, prism_geglu_f32_generic, prism_geglu_erf_f32_generic, prism_swiglu_clamped_f32_generic,
    prism_sigmoid_gate_f32_generic; /* gates.c */
prism_act_fn prism_gelu_f32_generic, prism_gelu_erf_f32_generic, prism_relu2_f32_generic, prism_silu_f32_generic;
prism_matmul_fn prism_matmul_f32_generic; /* matmul.c */
prism_decay_fn prism_decay_generic;
prism_add_fn prism_add_f32_generic;
prism_add_scaled_fn prism_add_scaled_f32_generic;
prism_scale_fn prism_scale_f32_generic;
prism_softcap_fn prism_softcap_f32_generic;
prism_to_16_fn prism_f32_to_f16_generic, prism_f32_to_bf16_generic;
prism_from_16_fn prism_f16_to_f32_generic, prism_bf16_to_f32_generic;
prism_to_q8_0_fn prism_f32_to_q8_0_generic;

/* attention.c; attention_i16.c: q, k, v and the unnormalised probabilities as integers with steps, sums in int32. */
extern const struct prism_attention prism_attention_f32_generic, prism_attention_i16_generic;
prism_attn_row_fn prism_attn_row_f32_generic;

prism_band_dots_fn prism_band_dots_generic; /* select.c */
prism_softmax_q30_fn prism_softmax_q30_generic;
prism_sketch_pack_fn prism_sketch_pack_generic; /* sketch.c */
prism_sketch_scan_fn prism_sketch_scan_generic;
prism_sketch_needed_fn prism_sketch_needed_generic;
prism_peak_fn prism_peak_f32_generic;

#endif
