/* attn_row.c - the words of this level for attn_row_body.h. */
#include "arch/avx2/avx2.h"
#include "arch/avx2/vec.h"

enum { LANES = 8, MAX_ROWS = 2, VALUE_SUMS = 8 };
typedef __m256 vf;

/* Head sizes are multiples of 8: vectors are whole but in f_first. */
PRISM_INLINE vf kv_load(const char *p, enum prism_kv_format format, size_t i, size_t n) { return (void)n, vec_load_stored(p, format, i); }
PRISM_INLINE vf i8_load(const char *p) { return vec_i8_to_f32(_mm_loadl_epi64((const __m128i *)(const void *)p)); }
PRISM_INLINE vf f16_load(const uint16_t *p) { return vec_load_f16(p); }
PRISM_INLINE vf f_load(const float *p, size_t n) { return (void)n, _mm256_loadu_ps(p); }
PRISM_INLINE void f_store(float *p, vf x, size_t n) { (void)n, _mm256_storeu_ps(p, x); }
PRISM_INLINE vf f_first(vf x, size_t n) { return n < 8 ? _mm256_and_ps(x, _mm256_castsi256_ps(vec_mask(n))) : x; }
PRISM_INLINE vf f_zero(void) { return _mm256_setzero_ps(); }
PRISM_INLINE vf f_set1(float x) { return _mm256_set1_ps(x); }
PRISM_INLINE vf f_add(vf x, vf y) { return _mm256_add_ps(x, y); }
PRISM_INLINE vf f_sub(vf x, vf y) { return _mm256_sub_ps(x, y); }
PRISM_INLINE vf f_mul(vf x, vf y) { return _mm256_mul_ps(x, y); }
PRISM_INLINE vf f_fma(vf x, vf y, vf sum) { return _mm256_fmadd_ps(x, y, sum); }
PRISM_INLINE vf f_exp2(vf x) { return vec_exp2_neg(x); }
PRISM_INLINE vf f_tanh(vf x) { return vec_tanh(x); }
PRISM_INLINE float f_lane_0(vf x) { return _mm256_cvtss_f32(x); }
PRISM_INLINE float f_sum(vf x) { return vec_sum(x); }
PRISM_INLINE float f_largest(const float *p, size_t n) { return vec_max_of(p, n); }
PRISM_INLINE __m128 f_sum_4(vf a, vf b, vf c, vf d) { return vec_sum_4(a, b, c, d); }

#include "arch/avx2/attn_row_body.h"

void prism_attn_row_f32_avx2(const struct prism_attn_row *a) { attend(a); }
