/* table.c - the avx2 level: AVX2 + FMA + F16C (Haswell and later, all Zen). */
#include "arch/avx2/avx2.h"
#include "arch/generic/generic.h"

#pragma GCC diagnostic ignored "-Woverride-init" /* entries.h */

const struct prism_kernels prism_kernels_avx2 = {
#include "arch/avx2/entries.h"
    .level = PRISM_LEVEL_AVX2,
    .name = "avx2",
};
