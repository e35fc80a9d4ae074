/* matmul.c - small products of rows as they lie, and decays. Contracts: src/kernels.h. */
#include <sleef.h>

#include "arch/avx2/avx2.h"
#include "arch/avx2/vec.h"
#include "arch/generic/generic.h"

#define vf __m256
#define VF_LANES 8
#define VF_ROWS 6
#define VF_VECTORS 2

PRISM_INLINE vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
PRISM_INLINE vf vf_load_n(const float *p, size_t n) { return vec_load_n(p, n); }
PRISM_INLINE void vf_store(float *p, vf x) { _mm256_storeu_ps(p, x); }
PRISM_INLINE void vf_store_n(float *p, vf x, size_t n) { vec_store_n(p, x, n); }
PRISM_INLINE vf vf_all(float x) { return _mm256_set1_ps(x); }
PRISM_INLINE vf vf_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }

#include "arch/generic/matmul_body.h"

void prism_matmul_f32_avx2(const struct prism_matmul *m) { matmul_body(m); }

/* Four differences, and 0 or NaN for what is not finite. */
PRISM_INLINE __m128 difference(__m256d to, const double *from, __m128 *taint)
{
    const __m256d d = _mm256_sub_pd(to, _mm256_loadu_pd(from));
    *taint = _mm256_cvtpd_ps(_mm256_mul_pd(_mm256_setzero_pd(), d));
    return _mm256_cvtpd_ps(_mm256_max_pd(_mm256_set1_pd(-1000), d));
}

PRISM_INLINE __m256 decay_8(__m256d to, const double *from)
{
    __m128 low_taint, high_taint;
    const __m128 low = difference(to, from, &low_taint), high = difference(to, from + 4, &high_taint);
    return _mm256_add_ps(Sleef_expf8_u10avx2(_mm256_set_m128(high, low)), _mm256_set_m128(high_taint, low_taint));
}

void prism_decay_avx2(float *y, double to, const double *from, size_t n)
{
    const __m256d end = _mm256_set1_pd(to);
    size_t i = 0;

    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, decay_8(end, from + i));
    if (i < n) {
        double rest[8] = { to, to, to, to, to, to, to, to };
        __builtin_memcpy(rest, from + i, (n - i) * sizeof *rest);
        vec_store_n(y + i, decay_8(end, rest), n - i);
    }
}
