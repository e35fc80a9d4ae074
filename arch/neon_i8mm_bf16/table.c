/* table.c - the NEON level with int8 and bf16 matrix products: quantised weights go through SMMLA, F16 and BF16 through BFMMLA, attention
 * through SMMLA on int16. Speed is not measured but modelled (tools/port-model.sh): on Neoverse N2 and V1 SMMLA does eight times, BFMMLA four
 * times the multiply-adds of an FMA, an int16 product of four SMMLA twice. Of the peaks the loops reach 67 and 61 % (int8), 80 % (int8 in wide
 * groups, weights of few bits), 100 % (bf16) and 76 % (attention, softmax included: 1.7 times as fast as fp32). bf16 in place of i8x2 would take
 * two thirds of the cycles and round weights and activations to eight bits.
 * Packing those weights takes, in instructions each, 1.8 (Q4_0), 2.2 (Q4_K), 5 to 8.6 (others), where a product with 512 rows takes 34. */
#include "arch/generic/generic.h"
#include "arch/neon_i8mm_bf16/neon_i8mm_bf16.h"

#pragma GCC diagnostic ignored "-Woverride-init" /* entries.h */

const struct prism_kernels prism_kernels_neon_i8mm_bf16 = {
#include "arch/neon/entries.h"
    .level = PRISM_LEVEL_NEON_I8MM_BF16,
    .name = "neon_i8mm_bf16",

    .linear_auto = {
        PRISM_BLOCK_TYPES(PRISM_ENTRY, &prism_linear_i8_neon_i8mm_bf16)
        [PRISM_F32] = &prism_linear_f32_neon, [PRISM_F16] = &prism_linear_bf16_neon_i8mm_bf16,
        [PRISM_BF16] = &prism_linear_bf16_neon_i8mm_bf16,
        PRISM_I8W_TYPES(PRISM_ENTRY, &prism_linear_i8w_neon_i8mm_bf16)
    },
    .linear_finer = { PRISM_BLOCK_TYPES(PRISM_ENTRY, &prism_linear_i8x2_neon_i8mm_bf16) },
    .linear_beside_few = { [PRISM_Q6_K] = &prism_linear_i8w_neon_i8mm_bf16 },
    .gemv_auto = {
        [PRISM_Q8_0] = &prism_gemv_i16_neon_i8mm_bf16, [PRISM_Q4_0] = &prism_gemv_i16_neon_i8mm_bf16,
        [PRISM_Q4_K] = &prism_gemv_i16_neon_i8mm_bf16, [PRISM_Q6_K] = &prism_gemv_i16_neon_i8mm_bf16,
    },

    .attention_auto = &prism_attention_i16_neon_i8mm_bf16,

    .sketch_pack = prism_sketch_pack_neon_i8mm_bf16,
    .sketch_scan = prism_sketch_scan_neon_i8mm_bf16,
    .sketch_needed = prism_sketch_needed_neon_i8mm_bf16,

    .peak[PRISM_PEAK_I8] = prism_peak_i8_neon_i8mm_bf16,
    .peak[PRISM_PEAK_BF16] = prism_peak_bf16_neon_i8mm_bf16,
};
