/* table.c - the NEON level with int8 and bf16 matrix products: quantised weights go through SMMLA, F16 and BF16 through
 * BFMMLA. Speed is not measured: chosen by what the instructions do per cycle on Neoverse V1 and N2, four times the multiply-adds of
 * an FMA. Their error is (arch/avx512bf16/table.c has figures of the same roundings): a third of int8's at most. Attention stays fp32:
 * BFDOT does twice the multiply-adds, but keys with outliers lose their other values in bf16 (tests/engine/test_key_outliers.c). */
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
    },
    .gemv_auto = {
        [PRISM_Q8_0] = &prism_gemv_i16_neon_i8mm_bf16, [PRISM_Q4_0] = &prism_gemv_i16_neon_i8mm_bf16,
        [PRISM_Q4_K] = &prism_gemv_i16_neon_i8mm_bf16, [PRISM_Q6_K] = &prism_gemv_i16_neon_i8mm_bf16,
    },

    .sketch_pack = prism_sketch_pack_neon_i8mm_bf16,
    .sketch_scan = prism_sketch_scan_neon_i8mm_bf16,
    .sketch_needed = prism_sketch_needed_neon_i8mm_bf16,

    .peak[PRISM_PEAK_I8] = prism_peak_i8_neon_i8mm_bf16,
    .peak[PRISM_PEAK_BF16] = prism_peak_bf16_neon_i8mm_bf16,
};
