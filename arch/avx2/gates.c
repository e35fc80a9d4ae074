/* gates.c - activations, alone and times a gated row. Any alignment; tails by masked loads that read nothing past n.
 * Contracts: src/kernels.h; sources and formulas: arch/generic/gates.c. */
#include <sleef.h>

#include "arch/avx2/avx2.h"
#include "arch/avx2/vec.h"

PRISM_INLINE __m256 times_logistic(__m256 x, __m256 z)
{
    return _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0f), Sleef_expf8_u10avx2(z)));
}

PRISM_INLINE __m256 silu(__m256 x) { return times_logistic(x, _mm256_xor_ps(x, _mm256_set1_ps(-0.0f))); }

PRISM_INLINE __m256 gelu(__m256 x)
{
    const __m256 cubic = _mm256_mul_ps(_mm256_set1_ps(0.0713548163f), _mm256_mul_ps(x, x));
    return times_logistic(x, _mm256_mul_ps(x, _mm256_sub_ps(_mm256_set1_ps(-1.59576912f), cubic)));
}

/* arch/generic/gates.c has the formula. */
PRISM_INLINE __m256 gelu_erf(__m256 x)
{
    const __m256 t = vec_magnitude(x), four = _mm256_set1_ps(4), s = _mm256_div_ps(four, _mm256_add_ps(four, t));
    const __m256 e = Sleef_expf8_u10avx2(_mm256_mul_ps(_mm256_mul_ps(_mm256_set1_ps(-0.5f), t), t));
    __m256 sum = _mm256_fmadd_ps(_mm256_set1_ps(0.0167092029f), s, _mm256_set1_ps(-0.0635156482f));
    sum = _mm256_fmadd_ps(sum, s, _mm256_set1_ps(0.0534068085f));
    sum = _mm256_fmadd_ps(sum, s, _mm256_set1_ps(0.0260151587f));
    sum = _mm256_fmadd_ps(sum, s, _mm256_set1_ps(0.0148023088f));
    sum = _mm256_fmadd_ps(sum, s, _mm256_set1_ps(0.0854871571f));
    sum = _mm256_fmadd_ps(sum, s, _mm256_set1_ps(0.0724227875f));
    sum = _mm256_fmadd_ps(sum, s, _mm256_set1_ps(0.0954202935f));
    sum = _mm256_fmadd_ps(sum, s, _mm256_set1_ps(0.0995046943f));
    sum = _mm256_fmadd_ps(sum, s, _mm256_set1_ps(0.0997472405f));
    return _mm256_sub_ps(_mm256_max_ps(_mm256_setzero_ps(), x), _mm256_mul_ps(_mm256_mul_ps(t, e), _mm256_mul_ps(s, sum)));
}

/* Of a minimum and a maximum the second operand wins when one is NaN. */
PRISM_INLINE __m256 relu2(__m256 x)
{
    const __m256 y = _mm256_max_ps(_mm256_setzero_ps(), vec_finite_or_nan(x));
    return _mm256_mul_ps(y, y);
}

PRISM_INLINE __m256 silu_times(__m256 g, __m256 u) { return _mm256_mul_ps(silu(g), u); }
PRISM_INLINE __m256 gelu_times(__m256 g, __m256 u) { return _mm256_mul_ps(gelu(g), u); }
PRISM_INLINE __m256 gelu_erf_times(__m256 g, __m256 u) { return _mm256_mul_ps(gelu_erf(g), u); }

PRISM_INLINE __m256 swiglu_clamped(__m256 g, __m256 u)
{
    const __m256 most = _mm256_set1_ps(7), least = _mm256_set1_ps(-7);
    g = _mm256_min_ps(most, vec_finite_or_nan(g));
    u = _mm256_max_ps(least, _mm256_min_ps(most, vec_finite_or_nan(u)));
    return _mm256_mul_ps(times_logistic(g, _mm256_mul_ps(_mm256_set1_ps(-1.702f), g)), _mm256_add_ps(u, _mm256_set1_ps(1.0f)));
}

PRISM_INLINE __m256 sigmoid_gate(__m256 g, __m256 u) { return times_logistic(u, _mm256_xor_ps(vec_finite_or_nan(g), _mm256_set1_ps(-0.0f))); }

/* ---- rows ---- */

PRISM_INLINE void gate_row(float *gate, const float *up, size_t n, __m256 (*f)(__m256, __m256))
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(gate + i, f(_mm256_loadu_ps(gate + i), _mm256_loadu_ps(up + i)));
    if (i < n)
        vec_store_n(gate + i, f(vec_load_n(gate + i, n - i), vec_load_n(up + i, n - i)), n - i);
}

PRISM_INLINE void act_row(float *x, size_t n, __m256 (*f)(__m256))
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(x + i, f(_mm256_loadu_ps(x + i)));
    if (i < n)
        vec_store_n(x + i, f(vec_load_n(x + i, n - i)), n - i);
}

void prism_swiglu_f32_avx2(float *gate, const float *up, size_t n) { gate_row(gate, up, n, silu_times); }
void prism_geglu_f32_avx2(float *gate, const float *up, size_t n) { gate_row(gate, up, n, gelu_times); }
void prism_geglu_erf_f32_avx2(float *gate, const float *up, size_t n) { gate_row(gate, up, n, gelu_erf_times); }
void prism_swiglu_clamped_f32_avx2(float *gate, const float *up, size_t n) { gate_row(gate, up, n, swiglu_clamped); }
void prism_sigmoid_gate_f32_avx2(float *gate, const float *up, size_t n) { gate_row(gate, up, n, sigmoid_gate); }

void prism_gelu_f32_avx2(float *x, size_t n) { act_row(x, n, gelu); }
void prism_gelu_erf_f32_avx2(float *x, size_t n) { act_row(x, n, gelu_erf); }
void prism_relu2_f32_avx2(float *x, size_t n) { act_row(x, n, relu2); }
void prism_silu_f32_avx2(float *x, size_t n) { act_row(x, n, silu); }

PRISM_INLINE __m256 softcap(__m256 x, float cap)
{
    return _mm256_mul_ps(_mm256_set1_ps(cap), vec_tanh(_mm256_div_ps(vec_finite_or_nan(x), _mm256_set1_ps(cap))));
}

void prism_softcap_f32_avx2(float *x, float cap, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(x + i, softcap(_mm256_loadu_ps(x + i), cap));
    if (i < n)
        vec_store_n(x + i, softcap(vec_load_n(x + i, n - i), cap), n - i);
}
