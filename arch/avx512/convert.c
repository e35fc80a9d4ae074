/* convert.c - rows of fp32 to and from the two formats of 16 bits. Contract: prism_to_16_fn, prism_from_16_fn of
 * src/kernels.h; bit-equal to the generic functions (NaN: quiet, but a half keeps its payload's upper bits). Any n, any
 * alignment, reads nothing past n. */
#include "arch/avx512/avx512.h"
#include "arch/avx512/vec.h"
#include "arch/generic/bits.h"

void prism_f32_to_f16_avx512(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm256_storeu_si256((__m256i *)(void *)(y + i), vec_to_f16(_mm512_loadu_ps(x + i)));
    for (; i < n; i++)
        y[i] = prism_f32_to_half(x[i]);
}

void prism_f32_to_bf16_avx512(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm256_storeu_si256((__m256i *)(void *)(y + i), _mm512_cvtepi32_epi16(vec_to_bf16(_mm512_loadu_ps(x + i))));
    for (; i < n; i++)
        y[i] = prism_f32_to_bf16(x[i]);
}

void prism_f16_to_f32_avx512(float *y, const uint16_t *x, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(y + i, vec_load_f16(x + i));
    for (; i < n; i++)
        y[i] = prism_half_to_f32(x[i]);
}

void prism_bf16_to_f32_avx512(float *y, const uint16_t *x, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(y + i, vec_load_bf16(x + i));
    for (; i < n; i++)
        y[i] = prism_bf16_to_f32(x[i]);
}
