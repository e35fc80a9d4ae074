/* to_q8_0.c - rows of fp32 to blocks of Q8_0. Contract: prism_to_q8_0_fn of src/kernels.h; bit-equal to arch/generic/to_q8_0.c. */
#include <assert.h>

#include "arch/avx2/avx2.h"
#include "arch/avx2/vec.h"
#include "arch/generic/to_q8_0.h"

static void to_block(uint8_t *out, const float *x)
{
    const __m256 x0 = _mm256_loadu_ps(x), x1 = _mm256_loadu_ps(x + 8), x2 = _mm256_loadu_ps(x + 16), x3 = _mm256_loadu_ps(x + 24);
    const __m256 low = vec_larger(vec_magnitude(x0), vec_magnitude(x1)), high = vec_larger(vec_magnitude(x2), vec_magnitude(x3));
    float inverse;
    const uint16_t scale = prism_q8_0_scale(vec_largest(vec_larger(low, high)), &inverse);
    const __m256 v = _mm256_set1_ps(inverse), some = _mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_GT_OQ);
    const __m256i q01 = _mm256_packs_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(x0, v)), _mm256_cvtps_epi32(_mm256_mul_ps(x1, v)));
    const __m256i q23 = _mm256_packs_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(x2, v)), _mm256_cvtps_epi32(_mm256_mul_ps(x3, v)));
    const __m256i by_lanes = _mm256_and_si256(_mm256_packs_epi16(q01, q23), _mm256_castps_si256(some));
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7); /* packed by 128-bit lanes */

    __builtin_memcpy(out, &scale, sizeof scale);
    _mm256_storeu_si256((__m256i *)(void *)(out + 2), _mm256_permutevar8x32_epi32(by_lanes, order));
}

void prism_f32_to_q8_0_avx2(void *y, const float *x, size_t n)
{
    assert(n % 32 == 0);
    for (size_t i = 0; i < n; i += 32)
        to_block((uint8_t *)y + i / 32 * 34, x + i);
}
