/* test_half.c - fp32 to and from half and bf16: every value, every tie and its neighbours, every length of tail. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/generic/generic.h"
#include "tests/support/kernel_test.h"

enum { ALL = 1 << 16 };

/* What the bits of a 16-bit float mean, from the definition: sign, exponent of e bits, fraction of f bits. */
static double meaning(unsigned h, int e, int f)
{
    int exponent = (int)(h >> f) & ((1 << e) - 1), bias = (1 << (e - 1)) - 1;
    double fraction = (double)(h & ((1u << f) - 1)) / (1u << f), sign = h >> 15 ? -1 : 1;

    if (exponent == (1 << e) - 1)
        return fraction > 0 ? (double)NAN : sign * (double)INFINITY;
    return sign * (exponent ? ldexp(1 + fraction, exponent - bias) : ldexp(fraction, 1 - bias));
}

static void check_widening(const struct prism_kernels *k)
{
    uint16_t *h = kt_alloc(ALL * sizeof *h, 2);
    float *y = kt_floats(ALL), *want = kt_floats(ALL);

    for (unsigned i = 0; i < ALL; i++)
        h[i] = (uint16_t)i;
    kt_freeze(h);
    kt_context("%s f16_to_f32", k->name);
    for (unsigned i = 0; i < ALL; i++)
        want[i] = (float)meaning(i, 5, 10);
    k->f16_to_f32(y, h, ALL);
    kt_same_floats(y, want, ALL);
    kt_context("%s bf16_to_f32", k->name);
    for (unsigned i = 0; i < ALL; i++)
        want[i] = (float)meaning(i, 8, 7);
    k->bf16_to_f32(y, h, ALL);
    kt_same_floats(y, want, ALL);
}

/* For each finite 16-bit value h of one sign and the next larger magnitude: the value, the tie between them, and the floats beside
 * the tie. The largest's upper neighbour counts as one more step of the same size: reaching its tie gives infinity. */
static void check_narrowing(const struct prism_kernels *k, prism_to_16_fn *narrow, int e, int f, const char *name)
{
    unsigned infinity = ((1u << e) - 1) << f;
    float *x = kt_floats(4 * 2 * infinity);
    uint16_t *y = kt_alloc(4 * 2 * infinity * sizeof *y, 2), *want = kt_alloc(4 * 2 * infinity * sizeof *want, 2);
    size_t n = 0;

    for (unsigned sign = 0; sign < 2; sign++)
        for (unsigned h = 0; h < infinity; h++) {
            unsigned s = sign << 15;
            double low = meaning(h, e, f), high = h + 1 < infinity ? meaning(h + 1, e, f) : 2 * low - meaning(h - 1, e, f);
            float tie = (float)((low + high) / 2); /* exact: fp32 has 13 or 16 bits more */
            float values[4] = { (float)low, nextafterf(tie, 0), tie, nextafterf(tie, INFINITY) };
            unsigned results[4] = { h, h, h + (h & 1), h + 1 };
            for (int i = 0; i < 4; i++, n++) {
                x[n] = sign ? -values[i] : values[i];
                want[n] = (uint16_t)(s | results[i]);
            }
        }
    kt_freeze(x);
    narrow(y, x, n);
    for (size_t i = 0; i < n; i++)
        if (y[i] != want[i])
            fail_msg("%s %s: %a gives %04x, expected %04x", k->name, name, (double)x[i], y[i], want[i]);
    kt_release();
}

static void check_f16(const struct prism_kernels *k) { check_narrowing(k, k->f32_to_f16, 5, 10, "f32_to_f16"); }
static void check_bf16(const struct prism_kernels *k) { check_narrowing(k, k->f32_to_bf16, 8, 7, "f32_to_bf16"); }

/* Any bits and every tail: the bits of generic, NaN as some NaN. */
static void check_same(const struct prism_kernels *k)
{
    for (size_t n = 1; n < 300; n++) {
        float *x = kt_floats(n), *back = kt_floats(n), *want_back = kt_floats(n);
        kt_fill(x, n, KT_ANY);
        kt_freeze(x);
        for (int bf16 = 0; bf16 < 2; bf16++) {
            uint16_t *y = kt_alloc(n * sizeof *y, 2), *want = kt_alloc(n * sizeof *want, 2);
            kt_context("%s %s n %zu", k->name, bf16 ? "bf16" : "f16", n);
            (bf16 ? k->f32_to_bf16 : k->f32_to_f16)(y, x, n);
            (bf16 ? prism_f32_to_bf16_generic : prism_f32_to_f16_generic)(want, x, n);
            (bf16 ? k->bf16_to_f32 : k->f16_to_f32)(back, y, n);
            (bf16 ? prism_bf16_to_f32_generic : prism_f16_to_f32_generic)(want_back, want, n);
            kt_same_floats(back, want_back, n);
            for (size_t i = 0; i < n; i++)
                kt_true(isnan(x[i]) == isnan(back[i]), "NaN and not NaN are mixed up");
        }
        kt_release();
    }
}

static void test_widening(void **state) { (void)state, kt_levels(check_widening); }
static void test_f16(void **state) { (void)state, kt_levels(check_f16); }
static void test_bf16(void **state) { (void)state, kt_levels(check_bf16); }
static void test_same(void **state) { (void)state, kt_levels(check_same); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_widening),
        cmocka_unit_test(test_f16),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_same),
    };
    return cmocka_run_group_tests_name("arch/half", tests, NULL, NULL);
}
