/* quantize.h - activations to integers in groups of 32 with one scale each, 8 groups of a row at a time: the maxima and the sums of 8
 * groups are found side by side, and divided once. With a limit of 127 the operations are those of prism_quantize_32
 * (arch/generic/unpack.h), so that the bytes agree at every level. */
#ifndef PRISM_AVX2_QUANTIZE_H
#define PRISM_AVX2_QUANTIZE_H

#include "arch/avx2/blocks.h"

/* Of each group: d = largest magnitude / limit, the sum of its integers, and d times that. */
struct group_scales {
    _Alignas(32) float d[8], d_sum[8];
    _Alignas(32) int32_t sum[8];
};

/* Rounds 32 values times inverse half to even, stores them at out, and returns their sum in 8 parts. */
typedef __m256i put_group_fn(char *out, struct group g, __m256 inverse);

/* n <= 8 groups of one row, `step` bytes apart at out. A group whose largest is below tiny counts as zero: its d would not be a normal
 * float, or limit / largest not finite. The d of a group that has a NaN or infinity is not finite either, whatever its integers. put: a
 * constant. */
PRISM_INLINE void quantize_groups(struct group_scales *s, char *out, size_t step, const float *x, size_t n, float limit, float tiny,
                                  put_group_fn *put)
{
    _Alignas(32) float inverse[8];
    __m256 r[8];
#pragma GCC unroll 8
    for (size_t g = 0; g < 8; g++)
        r[g] = g < n ? group_maxima(load_group(x + 32 * g)) : _mm256_setzero_ps();
    vec_transpose_8(r);
    const __m256 m0123 = vec_larger(vec_larger(r[0], r[1]), vec_larger(r[2], r[3]));
    const __m256 max = vec_larger(m0123, vec_larger(vec_larger(r[4], r[5]), vec_larger(r[6], r[7])));
    const __m256 normal = _mm256_cmp_ps(max, _mm256_set1_ps(tiny), _CMP_NLT_UQ), top = _mm256_set1_ps(limit);
    const __m256 d = _mm256_and_ps(normal, _mm256_div_ps(max, top));
    _mm256_store_ps(s->d, d);
    _mm256_store_ps(inverse, _mm256_and_ps(normal, _mm256_div_ps(top, max)));
    KEEP_IN_MEMORY(inverse);

    for (size_t g = 0; g < 8; g++)
        r[g] = g < n ? _mm256_castsi256_ps(put(out + g * step, load_group(x + 32 * g), _mm256_broadcast_ss(inverse + g)))
                     : _mm256_setzero_ps();
    vec_transpose_8(r);
    __m256i sum = _mm256_castps_si256(r[0]);
#pragma GCC unroll 8
    for (int i = 1; i < 8; i++)
        sum = _mm256_add_epi32(sum, _mm256_castps_si256(r[i]));
    _mm256_store_si256((__m256i *)(void *)s->sum, sum);
    _mm256_store_ps(s->d_sum, _mm256_mul_ps(d, _mm256_cvtepi32_ps(sum)));
}

#endif
