/* groups.c - stored weights to signed bytes in groups of 32. Contract: prism_to_i8_fn of src/kernels.h; bit-equal to the
 * generic functions. */
#include "arch/avx2/avx2.h"

#include "arch/avx2/blocks.h"

/* type: a constant. */
PRISM_INLINE void to_i8(int8_t *q, float *d, float *m, const void *x, size_t n, enum prism_type type)
{
    const struct prism_layout l = block_layout(type);
    const uint8_t *b = x;
    for (size_t i = 0; i < n; i += l.block, b += l.bytes) {
        struct block_scales s;
        block_scales(&s, b, type);
#pragma GCC unroll 8
        for (int j = 0; j < (int)l.block / 32; j++, q += 32, d++) {
            __m256i bytes;
            if (l.group == 32) {
                bytes = block_bytes(b, j, type);
                *d = s.d[j];
            } else {
                bytes = quantize_group(d, block_group(b, &s, j, type));
            }
            _mm256_storeu_si256((__m256i *)q, bytes);
            if (m)
                *m++ = l.group == 32 && l.has_min ? s.m[j] : 0.0f;
        }
    }
}

void prism_to_i8_q4_0_avx2(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    to_i8(q, d, m, x, n, PRISM_Q4_0);
}

void prism_to_i8_q4_1_avx2(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    to_i8(q, d, m, x, n, PRISM_Q4_1);
}

void prism_to_i8_q5_0_avx2(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    to_i8(q, d, m, x, n, PRISM_Q5_0);
}

void prism_to_i8_q5_1_avx2(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    to_i8(q, d, m, x, n, PRISM_Q5_1);
}

void prism_to_i8_q8_0_avx2(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    to_i8(q, d, m, x, n, PRISM_Q8_0);
}

void prism_to_i8_q2_k_avx2(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    to_i8(q, d, m, x, n, PRISM_Q2_K);
}

void prism_to_i8_q3_k_avx2(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    to_i8(q, d, m, x, n, PRISM_Q3_K);
}

void prism_to_i8_q4_k_avx2(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    to_i8(q, d, m, x, n, PRISM_Q4_K);
}

void prism_to_i8_q5_k_avx2(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    to_i8(q, d, m, x, n, PRISM_Q5_K);
}

void prism_to_i8_q6_k_avx2(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    to_i8(q, d, m, x, n, PRISM_Q6_K);
}

void prism_to_i8_iq4_nl_avx2(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    to_i8(q, d, m, x, n, PRISM_IQ4_NL);
}

void prism_to_i8_iq4_xs_avx2(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    to_i8(q, d, m, x, n, PRISM_IQ4_XS);
}

void prism_to_i8_mxfp4_avx2(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    to_i8(q, d, m, x, n, PRISM_MXFP4);
}
