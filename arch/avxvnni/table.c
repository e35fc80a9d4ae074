/* table.c - the avxvnni level: AVX2 and AVX-VNNI (Alder Lake and later processors without AVX-512). Linears and attention on integers
 * are its own, everything else is that of avx2.
 *
 * linear_auto, on one thread of a Zen 5, operands in L2, Gop/s: i8 417 (Q4_K 378), i16 227; of arch/avx2 i8 350 (Q4_K 337), i8k 318, i16 202,
 * f32 128.
 *
 * attention_auto, measured as in arch/avx2/entries.h, where f32 has 81 Gop/s: heads of 128 148 of a peak of 191, heads of 64 128. */
#include "arch/avx2/avx2.h"
#include "arch/avxvnni/avxvnni.h"
#include "arch/generic/generic.h"

#pragma GCC diagnostic ignored "-Woverride-init" /* entries.h */

const struct prism_kernels prism_kernels_avxvnni = {
#include "arch/avx2/entries.h"
    .level = PRISM_LEVEL_AVXVNNI,
    .name = "avxvnni",

    .linear_auto = {
        PRISM_PLAIN_TYPES(PRISM_ENTRY, &prism_linear_f32_avx2)
        PRISM_BLOCK_TYPES(PRISM_ENTRY, &prism_linear_i8_avxvnni)
        [PRISM_F16] = &prism_linear_i16_avxvnni, [PRISM_BF16] = &prism_linear_i16_avxvnni,
    },
    .linear_finer = { PRISM_BLOCK_TYPES(PRISM_ENTRY, &prism_linear_i16_avxvnni) },

    .attention_auto = &prism_attention_i16_avxvnni,

    .sketch_pack = prism_sketch_pack_avxvnni,
    .sketch_scan = prism_sketch_scan_avxvnni,
    .sketch_needed = prism_sketch_needed_avxvnni,

    .peak[PRISM_PEAK_I8] = prism_peak_i8_avxvnni,
    .peak[PRISM_PEAK_I16] = prism_peak_i16_avxvnni,
};
