/* neon_i8mm_bf16.h - what this level has of its own: ARMv8.2-A with the dot product, i8mm and bf16 extensions (Neoverse V1, N2;
 * Apple M2). Everything else is taken over from arch/neon. Contracts: src/kernels.h. */
#ifndef PRISM_ARCH_NEON_I8MM_BF16_H
#define PRISM_ARCH_NEON_I8MM_BF16_H

#include "arch/neon/neon.h"

extern const struct prism_kernels prism_kernels_neon_i8mm_bf16;
extern const struct prism_linear prism_linear_i8_neon_i8mm_bf16, prism_linear_i8w_neon_i8mm_bf16, prism_linear_i8x2_neon_i8mm_bf16;
extern const struct prism_linear prism_linear_bf16_neon_i8mm_bf16;
extern const struct prism_attention prism_attention_i16_neon_i8mm_bf16;
extern const struct prism_gemv prism_gemv_i16_neon_i8mm_bf16; /* Q8_0, Q4_0, Q4_K, Q6_K */
prism_sketch_pack_fn prism_sketch_pack_neon_i8mm_bf16; /* sketch.c */
prism_sketch_scan_fn prism_sketch_scan_neon_i8mm_bf16;
prism_sketch_needed_fn prism_sketch_needed_neon_i8mm_bf16;
prism_peak_fn prism_peak_i8_neon_i8mm_bf16, prism_peak_bf16_neon_i8mm_bf16;

#endif
