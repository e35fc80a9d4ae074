/* matmul.c - small products of rows as they lie, and what is left between two places of a sum of logarithms. Contracts: src/kernels.h. */
#include <sleef.h>

#include "arch/generic/generic.h"

void prism_matmul_f32_generic(const struct prism_matmul *m)
{
    for (size_t i = 0; i < m->rows; i++) {
        float *c = m->c + i * m->ldc;
        for (size_t j = 0; j < m->cols && !m->add; j++)
            c[j] = 0;
        for (size_t p = 0; p < m->k; p++) {
            const float a = m->a[i * m->a_row + p * m->a_k], *b = m->b + p * m->ldb;
            for (size_t j = 0; j < m->cols; j++)
                c[j] += a * b[j];
        }
    }
}

/* Far below where exp is 0 a difference stays in the range of a float; 0 times what is not finite is NaN. */
void prism_decay_generic(float *y, double to, const double *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const double d = to - from[i];
        y[i] = Sleef_expf_u10((float)(d < -1000 ? -1000 : d)) + (float)(0 * d);
    }
}
