/* entries.h - the table of the AVX-512 VNNI level, see arch/generic/entries.h: quantised weights as bytes, those of few bits in wide groups
 * (linear_i8w.c), those of 16 bits as integers of two bytes, the rest from the levels below.
 *
 * linear_auto, measured as in arch/avx512/entries.h: 500 Gop/s for types without a minimum, 470 with one, against 168 in fp32; so the
 * types with scales of 16 values are requantised too. F16 and BF16: 295; a whole layer of 512 rows 268 (N = 3072, K = 1024) and 256 (N = 1024,
 * K = 3072), against 159 and 153. That was before they had groups of 64, with which they do 484 in place of 458 Gop/s on Zen 5 (K = 1024,
 * operands in L2, of a peak of 550). */
#include "arch/avx512/entries.h"

    .linear_auto = {
        PRISM_BLOCK_TYPES(PRISM_ENTRY, &prism_linear_i8_avx512vnni)
        [PRISM_F32] = &prism_linear_f32_avx512, [PRISM_F16] = &prism_linear_i16_avx512vnni, [PRISM_BF16] = &prism_linear_i16_avx512vnni,
        PRISM_I8W_TYPES(PRISM_ENTRY, &prism_linear_i8w_avx512vnni)
    },
    .linear_finer = { PRISM_BLOCK_TYPES(PRISM_ENTRY, &prism_linear_i8x2_avx512vnni) },
    .linear_beside_few = { [PRISM_Q6_K] = &prism_linear_i8w_avx512vnni },
    .gemv_auto[PRISM_Q4_0] = &prism_gemv_i16_avx512vnni,
    .gemv_auto[PRISM_Q8_0] = &prism_gemv_i16_avx512vnni,
    .gemv_auto[PRISM_Q4_K] = &prism_gemv_i16_avx512vnni,
    .gemv_auto[PRISM_Q6_K] = &prism_gemv_i16_avx512vnni,

    .attention_auto = &prism_attention_i16_avx512vnni,
    .attn_row_auto = prism_attn_row_i16_avx512vnni,

    .sketch_pack = prism_sketch_pack_avx512vnni,
    .sketch_scan = prism_sketch_scan_avx512vnni,
    .sketch_needed = prism_sketch_needed_avx512vnni,

    .peak[PRISM_PEAK_I8] = prism_peak_i8_avx512vnni,
    .peak[PRISM_PEAK_I16] = prism_peak_i16_avx512vnni,
