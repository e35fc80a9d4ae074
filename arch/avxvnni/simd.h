/* simd.h - the instructions that AVX-VNNI adds, from the compiler, or, with PRISM_SIMDE, from SIMDe (arch/avx512/simd.h), which
 * has them under the names of AVX-512. */
#ifndef PRISM_AVXVNNI_SIMD_H
#define PRISM_AVXVNNI_SIMD_H

#include "arch/avx2/vec.h"

#if defined(PRISM_SIMDE)
#include "arch/avx512/simd.h"
#define _mm256_dpbusd_avx_epi32(sum, a, b) _mm256_dpbusd_epi32(sum, a, b)
#define _mm256_dpwssd_avx_epi32(sum, a, b) _mm256_dpwssd_epi32(sum, a, b)
#endif

#endif
