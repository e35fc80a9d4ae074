/* near.c - see near.h. */
#include "tests/support/near.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include <cmocka.h>

double larger(double a, double b) { return isnan(a) || isnan(b) ? (double)INFINITY : a > b ? a : b; }

/* Equal infinities are no distance apart. */
static double difference(double got, double expected) { return got == expected ? 0 : fabs(got - expected); }

double largest_difference(const float *got, const double *expected, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++)
        worst = larger(worst, difference((double)got[i], expected[i]));
    return worst;
}

double largest_difference_f32(const float *got, const float *expected, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++)
        worst = larger(worst, difference((double)got[i], (double)expected[i]));
    return worst;
}

double relative_distance(const float *got, const double *expected, size_t n)
{
    double sum = 0, square = 0;
    for (size_t i = 0; i < n; i++) {
        double d = difference((double)got[i], expected[i]);
        sum += d * d;
        square += expected[i] * expected[i];
    }
    return larger(0, sqrt(sum / square));
}

void assert_within(double distance, double bound, const char *what)
{
    if (!(distance <= bound))
        fail_msg("%s: off by %.3g, bound %.3g", what, distance, bound);
}

void assert_sound(const float *x, size_t rows, size_t columns)
{
    assert_true(rows > 0 && columns > 1);
    for (size_t r = 0; r < rows; r++, x += columns) {
        bool varies = false;
        for (size_t i = 0; i < columns; i++) {
            if (!isfinite(x[i]))
                fail_msg("row %zu: [%zu] is %g", r, i, (double)x[i]);
            varies |= x[i] != x[0];
        }
        if (!varies)
            fail_msg("row %zu: all values are %g", r, (double)x[0]);
    }
}
