/* half.c - rows of fp32 to and from halves (F16C) and bf16 (integer rounding as in arch/generic/bits.h, 16 at a time). Any
 * alignment and any n; the last n % 8 values by the plain C of bits.h. Contracts: src/kernels.h. */
#include "arch/avx2/avx2.h"

#include "arch/avx2/vec.h"
#include "arch/generic/bits.h"

void prism_f32_to_f16_avx2(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(y + i), _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < n; i++)
        y[i] = _cvtss_sh(x[i], _MM_FROUND_TO_NEAREST_INT);
}

void prism_f16_to_f32_avx2(float *y, const uint16_t *x, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, vec_load_f16(x + i));
    for (; i < n; i++)
        y[i] = _cvtsh_ss(x[i]);
}

/* bf16 in the upper halves of the lanes' words; the lower halves are not cleared. */
static __m256i round_bf16(__m256 x)
{
    const __m256i u = _mm256_castps_si256(x), one = _mm256_set1_epi32(1);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), one);
    __m256i rounded = _mm256_add_epi32(u, _mm256_add_epi32(_mm256_set1_epi32(0x7fff), odd));
    __m256i quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
    __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(rounded, quiet, is_nan);
}

void prism_f32_to_bf16_avx2(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256i low = _mm256_srli_epi32(round_bf16(_mm256_loadu_ps(x + i)), 16);
        __m256i high = _mm256_srli_epi32(round_bf16(_mm256_loadu_ps(x + i + 8)), 16);
        __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xd8); /* undo the packing by 128-bit lanes */
        _mm256_storeu_si256((__m256i *)(y + i), packed);
    }
    for (; i < n; i++)
        y[i] = prism_f32_to_bf16(x[i]);
}

void prism_bf16_to_f32_avx2(float *y, const uint16_t *x, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, vec_load_bf16(x + i));
    for (; i < n; i++)
        y[i] = prism_bf16_to_f32(x[i]);
}
