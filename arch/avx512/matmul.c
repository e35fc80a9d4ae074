/* matmul.c - small products of rows as they lie, and decays. Contracts: src/kernels.h. */
#include "arch/avx512/avx512.h"
#include "arch/avx512/sleef.h"
#include "arch/avx512/vec.h"

#define vf __m512
#define VF_LANES 16
#define VF_ROWS 6
#define VF_VECTORS 4

PRISM_INLINE vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
PRISM_INLINE vf vf_load_n(const float *p, size_t n) { return _mm512_maskz_loadu_ps(vec_mask(n), p); }
PRISM_INLINE void vf_store(float *p, vf x) { _mm512_storeu_ps(p, x); }
PRISM_INLINE void vf_store_n(float *p, vf x, size_t n) { _mm512_mask_storeu_ps(p, vec_mask(n), x); }
PRISM_INLINE vf vf_all(float x) { return _mm512_set1_ps(x); }
PRISM_INLINE vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }

#include "arch/generic/matmul_body.h"

void prism_matmul_f32_avx512(const struct prism_matmul *m) { matmul_body(m); }

/* Eight differences, and 0 or NaN for what is not finite. */
PRISM_INLINE __m256 difference(__m512d to, const double *from, __mmask8 in, __m256 *taint)
{
    const __m512d d = _mm512_sub_pd(to, _mm512_maskz_loadu_pd(in, from));
    *taint = _mm512_cvtpd_ps(_mm512_mul_pd(_mm512_setzero_pd(), d));
    return _mm512_cvtpd_ps(_mm512_max_pd(_mm512_set1_pd(-1000), d));
}

void prism_decay_avx512(float *y, double to, const double *from, size_t n)
{
    const __m512d end = _mm512_set1_pd(to);

    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 in = vec_mask(n - i);
        __m256 low_taint, high_taint;
        const __m256 low = difference(end, from + i, (__mmask8)in, &low_taint), high = difference(end, from + i + 8, (__mmask8)(in >> 8), &high_taint);
        const __m512 x = _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
        const __m512 taint = _mm512_insertf32x8(_mm512_castps256_ps512(low_taint), high_taint, 1);
        _mm512_mask_storeu_ps(y + i, in, _mm512_add_ps(vec_exp(x), taint));
    }
}
