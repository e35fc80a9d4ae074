/* gates.c - activations, alone and times a gated row. Any alignment; tails by masks, which read nothing past n.
 * Contracts: src/kernels.h; sources and formulas: arch/generic/gates.c. */
#include "arch/avx512/avx512.h"
#include "arch/avx512/sleef.h"
#include "arch/avx512/vec.h"

PRISM_INLINE __m512 times_logistic(__m512 x, __m512 z)
{
    return _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1.0f), vec_exp(z)));
}

PRISM_INLINE __m512 silu(__m512 x) { return times_logistic(x, _mm512_sub_ps(_mm512_setzero_ps(), x)); }

PRISM_INLINE __m512 gelu(__m512 x)
{
    const __m512 cubic = _mm512_mul_ps(_mm512_set1_ps(0.0713548163f), _mm512_mul_ps(x, x));
    return times_logistic(x, _mm512_mul_ps(x, _mm512_sub_ps(_mm512_set1_ps(-1.59576912f), cubic)));
}

/* arch/generic/gates.c has the formula. */
PRISM_INLINE __m512 gelu_erf(__m512 x)
{
    const __m512 t = _mm512_abs_ps(x), four = _mm512_set1_ps(4), s = _mm512_div_ps(four, _mm512_add_ps(four, t));
    const __m512 e = vec_exp(_mm512_mul_ps(_mm512_mul_ps(_mm512_set1_ps(-0.5f), t), t));
    __m512 sum = _mm512_fmadd_ps(_mm512_set1_ps(0.0167092029f), s, _mm512_set1_ps(-0.0635156482f));
    sum = _mm512_fmadd_ps(sum, s, _mm512_set1_ps(0.0534068085f));
    sum = _mm512_fmadd_ps(sum, s, _mm512_set1_ps(0.0260151587f));
    sum = _mm512_fmadd_ps(sum, s, _mm512_set1_ps(0.0148023088f));
    sum = _mm512_fmadd_ps(sum, s, _mm512_set1_ps(0.0854871571f));
    sum = _mm512_fmadd_ps(sum, s, _mm512_set1_ps(0.0724227875f));
    sum = _mm512_fmadd_ps(sum, s, _mm512_set1_ps(0.0954202935f));
    sum = _mm512_fmadd_ps(sum, s, _mm512_set1_ps(0.0995046943f));
    sum = _mm512_fmadd_ps(sum, s, _mm512_set1_ps(0.0997472405f));
    return _mm512_sub_ps(_mm512_max_ps(_mm512_setzero_ps(), x), _mm512_mul_ps(_mm512_mul_ps(t, e), _mm512_mul_ps(s, sum)));
}

/* x, and NaN in the place of an infinity. */
PRISM_INLINE __m512 finite_or_nan(__m512 x) { return _mm512_fmadd_ps(x, _mm512_setzero_ps(), x); }

/* Of a minimum and a maximum the second operand wins when one is NaN. */
PRISM_INLINE __m512 relu2(__m512 x)
{
    const __m512 y = _mm512_max_ps(_mm512_setzero_ps(), finite_or_nan(x));
    return _mm512_mul_ps(y, y);
}

PRISM_INLINE __m512 silu_times(__m512 g, __m512 u) { return _mm512_mul_ps(silu(g), u); }
PRISM_INLINE __m512 gelu_times(__m512 g, __m512 u) { return _mm512_mul_ps(gelu(g), u); }
PRISM_INLINE __m512 gelu_erf_times(__m512 g, __m512 u) { return _mm512_mul_ps(gelu_erf(g), u); }

PRISM_INLINE __m512 swiglu_clamped(__m512 g, __m512 u)
{
    const __m512 most = _mm512_set1_ps(7), least = _mm512_set1_ps(-7);
    g = _mm512_min_ps(most, finite_or_nan(g));
    u = _mm512_max_ps(least, _mm512_min_ps(most, finite_or_nan(u)));
    return _mm512_mul_ps(times_logistic(g, _mm512_mul_ps(_mm512_set1_ps(-1.702f), g)), _mm512_add_ps(u, _mm512_set1_ps(1.0f)));
}

PRISM_INLINE __m512 sigmoid_gate(__m512 g, __m512 u) { return times_logistic(u, _mm512_sub_ps(_mm512_setzero_ps(), finite_or_nan(g))); }

/* ---- rows ---- */

PRISM_INLINE void gate_row(float *gate, const float *up, size_t n, __m512 (*f)(__m512, __m512))
{
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 in = vec_mask(n - i);
        _mm512_mask_storeu_ps(gate + i, in, f(_mm512_maskz_loadu_ps(in, gate + i), _mm512_maskz_loadu_ps(in, up + i)));
    }
}

PRISM_INLINE void act_row(float *x, size_t n, __m512 (*f)(__m512))
{
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 in = vec_mask(n - i);
        _mm512_mask_storeu_ps(x + i, in, f(_mm512_maskz_loadu_ps(in, x + i)));
    }
}

void prism_swiglu_f32_avx512(float *gate, const float *up, size_t n) { gate_row(gate, up, n, silu_times); }
void prism_geglu_f32_avx512(float *gate, const float *up, size_t n) { gate_row(gate, up, n, gelu_times); }
void prism_geglu_erf_f32_avx512(float *gate, const float *up, size_t n) { gate_row(gate, up, n, gelu_erf_times); }
void prism_swiglu_clamped_f32_avx512(float *gate, const float *up, size_t n) { gate_row(gate, up, n, swiglu_clamped); }
void prism_sigmoid_gate_f32_avx512(float *gate, const float *up, size_t n) { gate_row(gate, up, n, sigmoid_gate); }

void prism_gelu_f32_avx512(float *x, size_t n) { act_row(x, n, gelu); }
void prism_gelu_erf_f32_avx512(float *x, size_t n) { act_row(x, n, gelu_erf); }
void prism_relu2_f32_avx512(float *x, size_t n) { act_row(x, n, relu2); }
void prism_silu_f32_avx512(float *x, size_t n) { act_row(x, n, silu); }

void prism_softcap_f32_avx512(float *x, float cap, size_t n)
{
    const __m512 limit = _mm512_set1_ps(cap);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 in = vec_mask(n - i);
        const __m512 v = _mm512_maskz_loadu_ps(in, x + i), number = _mm512_fmadd_ps(v, _mm512_setzero_ps(), v); /* infinity to NaN */
        _mm512_mask_storeu_ps(x + i, in, _mm512_mul_ps(limit, vec_tanh(_mm512_div_ps(number, limit))));
    }
}
