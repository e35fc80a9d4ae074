/* divergence.c - see divergence.h. */
#include "tools/common/divergence.h"

#include <math.h>

static size_t largest(const float *x, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        best = x[i] > x[best] ? i : best;
    return best;
}

static double log_sum(const float *x, size_t n, float max)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += exp((double)x[i] - (double)max);
    return (double)max + log(sum);
}

double divergence_of(const float *base, const float *other, size_t n, bool *same_first)
{
    const size_t first = largest(base, n), other_first = largest(other, n);
    const double log_base = log_sum(base, n, base[first]), log_other = log_sum(other, n, other[other_first]);
    double kl = 0;

    *same_first = first == other_first;
    for (size_t i = 0; i < n; i++) {
        const double p = (double)base[i] - log_base, q = (double)other[i] - log_other;
        kl += exp(p) * (p - q);
    }
    return kl < 0 ? 0 : kl; /* by rounding; a NaN stays */
}
