/* quantize.h - rows of floats to rows of a stored type, by the reference rounding of each format.
 *
 * The way back is prism_kernels.to_f32. Nothing here allocates; everything may run in several threads. */
#ifndef PRISM_TOOLS_QUANTIZE_H
#define PRISM_TOOLS_QUANTIZE_H

#include "src/kernels.h"

/* F32, F16, BF16, Q8_0, Q4_0. */
bool quantize_supports(enum prism_type type);

/* Values of this magnitude or more (and NaN) have no representation; INFINITY: all have one. */
float quantize_limit(enum prism_type type);

/* n values at x to n / block blocks at y. n is a multiple of the block, the type is supported, every |x| is below the limit. */
void quantize_row(const struct prism_kernels *k, enum prism_type type, void *y, const float *x, size_t n);

/* The type that a row of n values gets when `type` was asked for: itself when n is a multiple of its block, otherwise what llama.cpp falls
 * back to: from blocks of 256 to those of 32 (Q2_K, Q3_K: Q4_0; Q4_K: Q5_0; Q5_K: Q5_1; Q6_K: Q8_0; the others: IQ4_NL), from smaller ones
 * to F16. */
enum prism_type quantize_type_for(enum prism_type type, size_t n);

#endif
