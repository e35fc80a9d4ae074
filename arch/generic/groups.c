/* groups.c - stored weights to signed bytes in groups of 32, the 13 block types. The formulas are in unpack.h; contract:
 * prism_to_i8_fn of src/kernels.h. */
#include "arch/generic/generic.h"
#include "arch/generic/unpack.h"

void prism_to_i8_q4_0_generic(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    prism_expand_i8(q, d, m, x, n, PRISM_LAYOUT_Q4_0);
}

void prism_to_i8_q4_1_generic(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    prism_expand_i8(q, d, m, x, n, PRISM_LAYOUT_Q4_1);
}

void prism_to_i8_q5_0_generic(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    prism_expand_i8(q, d, m, x, n, PRISM_LAYOUT_Q5_0);
}

void prism_to_i8_q5_1_generic(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    prism_expand_i8(q, d, m, x, n, PRISM_LAYOUT_Q5_1);
}

void prism_to_i8_q8_0_generic(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    prism_expand_i8(q, d, m, x, n, PRISM_LAYOUT_Q8_0);
}

void prism_to_i8_q2_k_generic(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    prism_expand_i8(q, d, m, x, n, PRISM_LAYOUT_Q2_K);
}

void prism_to_i8_q3_k_generic(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    prism_expand_i8(q, d, m, x, n, PRISM_LAYOUT_Q3_K);
}

void prism_to_i8_q4_k_generic(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    prism_expand_i8(q, d, m, x, n, PRISM_LAYOUT_Q4_K);
}

void prism_to_i8_q5_k_generic(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    prism_expand_i8(q, d, m, x, n, PRISM_LAYOUT_Q5_K);
}

void prism_to_i8_q6_k_generic(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    prism_expand_i8(q, d, m, x, n, PRISM_LAYOUT_Q6_K);
}

void prism_to_i8_iq4_nl_generic(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    prism_expand_i8(q, d, m, x, n, PRISM_LAYOUT_IQ4_NL);
}

void prism_to_i8_iq4_xs_generic(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    prism_expand_i8(q, d, m, x, n, PRISM_LAYOUT_IQ4_XS);
}

void prism_to_i8_mxfp4_generic(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    prism_expand_i8(q, d, m, x, n, PRISM_LAYOUT_MXFP4);
}
