/* dequant.c - stored weights to floats, all types. The formulas are in unpack.h; contract: prism_to_f32_fn of src/kernels.h. */
#include "arch/generic/generic.h"
#include "arch/generic/unpack.h"

void prism_to_f32_f32_generic(float *y, const void *x, size_t n) { memcpy(y, x, n * sizeof *y); }

void prism_to_f32_f16_generic(float *y, const void *x, size_t n)
{
    const uint8_t *b = x;
    for (size_t i = 0; i < n; i++)
        y[i] = prism_half_to_f32(prism_load_u16(b + 2 * i));
}

void prism_to_f32_bf16_generic(float *y, const void *x, size_t n)
{
    const uint8_t *b = x;
    for (size_t i = 0; i < n; i++)
        y[i] = prism_bf16_to_f32(prism_load_u16(b + 2 * i));
}

#define TO_F32(A, NAME, name, ...) \
    void prism_to_f32_##name##_generic(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, prism_layout_of(PRISM_##NAME)); }
PRISM_BLOCK_TYPES(TO_F32, )
