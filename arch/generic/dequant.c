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

void prism_to_f32_q4_0_generic(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, PRISM_LAYOUT_Q4_0); }
void prism_to_f32_q4_1_generic(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, PRISM_LAYOUT_Q4_1); }
void prism_to_f32_q5_0_generic(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, PRISM_LAYOUT_Q5_0); }
void prism_to_f32_q5_1_generic(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, PRISM_LAYOUT_Q5_1); }
void prism_to_f32_q8_0_generic(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, PRISM_LAYOUT_Q8_0); }
void prism_to_f32_q2_k_generic(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, PRISM_LAYOUT_Q2_K); }
void prism_to_f32_q3_k_generic(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, PRISM_LAYOUT_Q3_K); }
void prism_to_f32_q4_k_generic(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, PRISM_LAYOUT_Q4_K); }
void prism_to_f32_q5_k_generic(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, PRISM_LAYOUT_Q5_K); }
void prism_to_f32_q6_k_generic(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, PRISM_LAYOUT_Q6_K); }
void prism_to_f32_iq4_nl_generic(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, PRISM_LAYOUT_IQ4_NL); }
void prism_to_f32_iq4_xs_generic(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, PRISM_LAYOUT_IQ4_XS); }
void prism_to_f32_mxfp4_generic(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, PRISM_LAYOUT_MXFP4); }
