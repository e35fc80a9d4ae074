/* table.c - the AVX-512 VNNI level (Cascade Lake, Ice Lake). */
#include "arch/avx2/avx2.h"
#include "arch/avx512/avx512.h"
#include "arch/avx512vnni/avx512vnni.h"
#include "arch/generic/generic.h"

#pragma GCC diagnostic ignored "-Woverride-init" /* entries.h */

const struct prism_kernels prism_kernels_avx512vnni = {
#include "arch/avx512vnni/entries.h"
    .level = PRISM_LEVEL_AVX512VNNI,
    .name = "avx512vnni",
};
