/* dequant.c - stored weights to floats: the plain C of arch/generic/unpack.h compiled for this level, which gcc vectorises, and
 * F16C for the halves. Contract: prism_to_f32_fn of src/kernels.h; bit-equal to the generic functions. */
#include "arch/avx512/avx512.h"

#include "arch/generic/unpack.h"

void prism_to_f32_f16_avx512(float *y, const void *x, size_t n) { prism_f16_to_f32_avx512(y, x, n); }
void prism_to_f32_bf16_avx512(float *y, const void *x, size_t n) { prism_bf16_to_f32_avx512(y, x, n); }
void prism_to_f32_q4_0_avx512(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, PRISM_LAYOUT_Q4_0); }
void prism_to_f32_q4_1_avx512(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, PRISM_LAYOUT_Q4_1); }
void prism_to_f32_q5_0_avx512(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, PRISM_LAYOUT_Q5_0); }
void prism_to_f32_q5_1_avx512(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, PRISM_LAYOUT_Q5_1); }
void prism_to_f32_q8_0_avx512(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, PRISM_LAYOUT_Q8_0); }
void prism_to_f32_q2_k_avx512(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, PRISM_LAYOUT_Q2_K); }
void prism_to_f32_q3_k_avx512(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, PRISM_LAYOUT_Q3_K); }
void prism_to_f32_q4_k_avx512(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, PRISM_LAYOUT_Q4_K); }
void prism_to_f32_q5_k_avx512(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, PRISM_LAYOUT_Q5_K); }
void prism_to_f32_q6_k_avx512(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, PRISM_LAYOUT_Q6_K); }
void prism_to_f32_iq4_nl_avx512(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, PRISM_LAYOUT_IQ4_NL); }
void prism_to_f32_iq4_xs_avx512(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, PRISM_LAYOUT_IQ4_XS); }
void prism_to_f32_mxfp4_avx512(float *y, const void *x, size_t n) { prism_expand_f32(y, x, n, PRISM_LAYOUT_MXFP4); }
