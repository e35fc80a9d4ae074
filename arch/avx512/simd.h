/* simd.h - where the AVX-512 intrinsics come from: the compiler, or, with PRISM_SIMDE, the SIMDe library (make
 * check-avx512), which expresses them in AVX2 so that the kernels can be tested on a host that lacks them. SIMDe 0.7.4 lacks
 * some of the intrinsics that the kernels use; simde_missing.h supplies those. Slow, and the same results. */
#ifndef PRISM_AVX512_SIMD_H
#define PRISM_AVX512_SIMD_H

#if defined(PRISM_SIMDE)
#include "arch/avx512/simde_missing.h"
#else
#include <immintrin.h>
#endif

#endif
