/* attn_row.h - the words of the AVX-512 levels for arch/avx2/attn_row_body.h. */
#ifndef PRISM_AVX512_ATTN_ROW_H
#define PRISM_AVX512_ATTN_ROW_H

#include "arch/avx512/avx512.h"
#include "arch/avx512/vec.h"

enum { LANES = 16, MAX_ROWS = 4, VALUE_SUMS = 16 };
typedef __m512 vf;

PRISM_INLINE vf kv_load(const char *p, enum prism_kv_format format, size_t i, size_t n) { return vec_load_stored(p, format, i, n); }
PRISM_INLINE vf i8_load(const char *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}

PRISM_INLINE vf f16_load(const uint16_t *p) { return vec_load_f16(p); }
PRISM_INLINE vf f_load(const float *p, size_t n) { return _mm512_maskz_loadu_ps(vec_mask(n), p); }
PRISM_INLINE void f_store(float *p, vf x, size_t n) { _mm512_mask_storeu_ps(p, vec_mask(n), x); }
PRISM_INLINE vf f_first(vf x, size_t n) { return _mm512_maskz_mov_ps(vec_mask(n), x); }
PRISM_INLINE vf f_zero(void) { return _mm512_setzero_ps(); }
PRISM_INLINE vf f_set1(float x) { return _mm512_set1_ps(x); }
PRISM_INLINE vf f_add(vf x, vf y) { return _mm512_add_ps(x, y); }
PRISM_INLINE vf f_sub(vf x, vf y) { return _mm512_sub_ps(x, y); }
PRISM_INLINE vf f_mul(vf x, vf y) { return _mm512_mul_ps(x, y); }
PRISM_INLINE vf f_fma(vf x, vf y, vf sum) { return _mm512_fmadd_ps(x, y, sum); }
PRISM_INLINE vf f_exp2(vf x) { return vec_exp2_neg(x); }
PRISM_INLINE vf f_tanh(vf x) { return vec_tanh(x); }
PRISM_INLINE float f_lane_0(vf x) { return _mm_cvtss_f32(_mm512_castps512_ps128(x)); }
PRISM_INLINE float f_sum(vf x) { return _mm512_reduce_add_ps(x); }
PRISM_INLINE float f_largest(const float *p, size_t n) { return vec_max_of(p, n); }

PRISM_INLINE __m256 halves_added(vf x) { return _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1)); }

PRISM_INLINE __m128 f_sum_4(vf a, vf b, vf c, vf d)
{
    const __m256 ab = _mm256_hadd_ps(halves_added(a), halves_added(b)), cd = _mm256_hadd_ps(halves_added(c), halves_added(d));
    const __m256 s = _mm256_hadd_ps(ab, cd);
    return _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
}

#include "arch/avx2/attn_row_body.h"

#endif
