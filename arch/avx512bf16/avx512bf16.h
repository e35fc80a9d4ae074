/* avx512bf16.h - what the files of this level share. Contracts: src/kernels.h. */
#ifndef PRISM_AVX512BF16_H
#define PRISM_AVX512BF16_H

#include "src/kernels.h"

extern const struct prism_linear prism_linear_bf16_avx512bf16;
prism_peak_fn prism_peak_bf16_avx512bf16;

#endif
