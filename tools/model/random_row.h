/* random_row.h - rows of random weights of every stored type. Nothing here allocates; everything may run in several threads. */
#ifndef PRISM_TOOLS_RANDOM_ROW_H
#define PRISM_TOOLS_RANDOM_ROW_H

#include "src/kernels.h"

/* n weights of mean 0 and standard deviation sd at y. Types that quantize.h supports round nearly normal values (within 3.47 sd), the
 * same for all of them; the others get uniform random codes under scales that vary by a quarter. n is a multiple of the block. x:
 * scratch of n floats. The row depends on type, n, sd and seed only. */
void random_row(const struct prism_kernels *k, enum prism_type type, void *y, float *x, size_t n, float sd, uint64_t seed);

/* A seed for item i of those that belong to `seed`: a well-mixed function of both. */
uint64_t random_seed(uint64_t seed, uint64_t i);

#endif
