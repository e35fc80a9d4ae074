/* half.c - rows of fp32 to and from the two formats of 16 bits. The conversions are in bits.h; contracts: src/kernels.h. */
#include "arch/generic/bits.h"
#include "arch/generic/generic.h"

void prism_f32_to_f16_generic(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = prism_f32_to_half(x[i]);
}

void prism_f32_to_bf16_generic(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = prism_f32_to_bf16(x[i]);
}

void prism_f16_to_f32_generic(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = prism_half_to_f32(x[i]);
}

void prism_bf16_to_f32_generic(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = prism_bf16_to_f32(x[i]);
}
