/* near.c - see near.h. */
#include "tests/support/near.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
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

static bool varies(const float *x, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (x[i] != x[0])
            return true;
    return false;
}

/* The first element that is not finite; n: there is none. */
static size_t first_not_finite(const float *x, size_t n)
{
    size_t i = 0;
    while (i < n && isfinite(x[i]))
        i++;
    return i;
}

bool is_sound(const float *x, size_t rows, size_t columns)
{
    bool sound = rows > 0 && columns > 1 && first_not_finite(x, rows * columns) == rows * columns;
    for (size_t r = 0; r < rows; r++)
        sound = sound && varies(x + r * columns, columns);
    return sound;
}

void assert_sound(const float *x, size_t rows, size_t columns)
{
    size_t n = rows * columns, i = first_not_finite(x, n);
    if (i < n)
        fail_msg("row %zu: [%zu] is %g", i / columns, i % columns, (double)x[i]);
    if (!is_sound(x, rows, columns))
        fail_msg("a row has %g throughout, or there is none", n ? (double)x[0] : 0);
}
