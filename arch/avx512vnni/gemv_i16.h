/* gemv_i16.h - what the two ways of gemv_i16 share: packed activations. One row of activations takes weight rows one by one (gemv_i16.c), more,
 * and Q4_K, take them by columns (gemv_rows.c). Both make the same integer of each group of 32, exactly, and the same floats of it: its number in 256
 * values says which of eight sums it joins, and these are added in one order at the end. */
#ifndef PRISM_AVX512VNNI_GEMV_I16_H
#define PRISM_AVX512VNNI_GEMV_I16_H

#include "src/kernels.h"

/* 256 activations q = 256 * high + low, high in -127..127 and low in -128..127. bias: the sums of groups times what the unsigned fields of a type
 * have too much, with the sign turned; of Q6_K, whose groups have 16 values, first those of the even groups, then of the odd ones. */
struct x_256 {
    int32_t q[4][2][16]; /* of 64 values: high bytes, low ones */
    float d[8], d_sum[8]; /* of groups of 32: scale, scale times sum */
    int32_t bias_q8_0[8], bias_q4_0[8], bias_q6_k[16];
};
_Static_assert(sizeof(struct x_256) == 704, "eleven cache lines");

enum { BIAS_Q8_0 = 128, BIAS_Q4_0 = 8, BIAS_Q6_K = 32 };

static inline size_t x_bytes(size_t k) { return (k + 255) / 256 * sizeof(struct x_256); }

struct gemv {
    float *y;
    size_t ldy, n_rows;
    const struct x_256 *x;
    const uint8_t *w;
    size_t row_bytes, cols, k;
};

void prism_gemv_rows_avx512vnni(const struct gemv *g, enum prism_type type);

#endif
