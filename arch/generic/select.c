/* select.c - scores and probabilities of pooled blocks: the definition. */
#include <assert.h>
#include <math.h>

#include "arch/generic/generic.h"

static float dot(const float *a, const float *b, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

void prism_band_dots_generic(float *before, float *inside, float *after, const float *q, const float *k, size_t n, size_t d, size_t b1,
                             size_t b2)
{
    assert(b1 <= b2 && b2 <= d);
    for (size_t j = 0; j < n; j++, k += d) {
        before[j] = dot(q, k, b1);
        inside[j] = dot(q + b1, k + b1, b2 - b1);
        after[j] = dot(q + b2, k + b2, d - b2);
    }
}

void prism_softmax_q30_generic(uint32_t *p, const float *x, size_t n)
{
    float most = x[0];
    double sum = 0;

    for (size_t i = 1; i < n; i++)
        most = x[i] > most ? x[i] : most;
    for (size_t i = 0; i < n; i++)
        sum += exp((double)(x[i] - most));
    for (size_t i = 0; i < n; i++)
        p[i] = isnan(sum) ? 0 : (uint32_t)floor(exp((double)(x[i] - most)) / sum * 0x1p30 + 0.5);
}
