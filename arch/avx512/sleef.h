/* sleef.h - SLEEF's functions on 16 floats and 8 doubles. Through SIMDe they are made of SLEEF's AVX2 functions. */
#ifndef PRISM_AVX512_SLEEF_H
#define PRISM_AVX512_SLEEF_H

#include "arch/avx512/vec.h"

#include <sleef.h>

/* e^x, 1.0 ULP. */
PRISM_INLINE __m512 vec_exp(__m512 x)
{
#if defined(PRISM_SIMDE)
    const __m256 low = Sleef_expf8_u10avx2(_mm512_castps512_ps256(x)), high = Sleef_expf8_u10avx2(_mm512_extractf32x8_ps(x, 1));
    return simde_join_ps(low, high);
#else
    return Sleef_expf16_u10avx512f(x);
#endif
}

/* sin x and cos x, 1.0 ULP. */
PRISM_INLINE void vec_sincos(__m512d x, __m512d *sine, __m512d *cosine)
{
#if defined(PRISM_SIMDE)
    const Sleef___m256d_2 low = Sleef_sincosd4_u10avx2(_mm512_castpd512_pd256(x));
    const Sleef___m256d_2 high = Sleef_sincosd4_u10avx2(_mm512_extractf64x4_pd(x, 1));
    *sine = simde_join_pd(low.x, high.x);
    *cosine = simde_join_pd(low.y, high.y);
#else
    const Sleef___m512d_2 r = Sleef_sincosd8_u10avx512f(x);
    *sine = r.x;
    *cosine = r.y;
#endif
}

#endif
