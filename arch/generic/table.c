/* table.c - the generic level: everything exact or fp32. */
#include "arch/generic/generic.h"

const struct prism_kernels prism_kernels_generic = {
    .level = PRISM_LEVEL_GENERIC,
    .name = "generic",
#include "arch/generic/entries.h"
};
