/* table.c - the AVX-512 level: AVX-512 F, BW, DQ, VL (Skylake-X and later). */
#include "arch/avx2/avx2.h"
#include "arch/avx512/avx512.h"
#include "arch/generic/generic.h"

#pragma GCC diagnostic ignored "-Woverride-init" /* entries.h */

const struct prism_kernels prism_kernels_avx512 = {
#include "arch/avx512/entries.h"
    .level = PRISM_LEVEL_AVX512,
    .name = "avx512",
};
