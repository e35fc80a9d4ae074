/* table.c - the NEON level. */
#include "arch/generic/generic.h"
#include "arch/neon/neon.h"

#pragma GCC diagnostic ignored "-Woverride-init" /* entries.h */

const struct prism_kernels prism_kernels_neon = {
#include "arch/neon/entries.h"
    .level = PRISM_LEVEL_NEON,
    .name = "neon",
};
