/* test_vectors.c - norms, rotation, rotation table and sums at every level, for every length of tail. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/kernel_test.h"

/* Every remainder of up to four vectors of 16, then real sizes. */
static const size_t long_lengths[] = { 127, 576, 1024, 16384, 16387 };
enum { SHORT = 70, N_LENGTHS = SHORT + sizeof long_lengths / sizeof *long_lengths };

static size_t length(size_t i) { return i < SHORT ? i + 1 : long_lengths[i - SHORT]; }

/* Without weights it is as with ones. */
static void check_no_weight(const struct prism_kernels *k, const float *x, size_t n, float eps)
{
    float *ones = kt_floats(n), *want = kt_floats(n), *got = kt_floats(n);

    for (size_t i = 0; i < n; i++)
        ones[i] = 1;
    k->rms_norm(want, x, ones, n, eps);
    kt_true(k->rms_norm(got, x, NULL, n, eps) == k->rms_norm(want, x, ones, n, eps), "another sum of squares");
    kt_same_floats(got, want, n);
}

static void check_rms_norm(const struct prism_kernels *k)
{
    static const double magnitude[] = { 1, 1e-10, 1e15, 1e-21, 1e25 }; /* the last two have squares beyond fp32 */

    for (size_t l = 0; l < 5 * N_LENGTHS; l++) {
        size_t n = length(l / 5);
        float *x = kt_floats(n), *w = kt_floats(n), *y = kt_floats(n), *in_place = kt_floats(n);
        double sum = 0, eps = 1e-6;

        kt_context("%s rms_norm n %zu, values near %g", k->name, n, magnitude[l % 5]);
        kt_fill(x, n, KT_NORMAL);
        kt_fill(w, n, KT_NORMAL);
        for (size_t i = 0; i < n; i++) {
            x[i] = i % 7 == 3 ? 0 : (float)(x[i] * magnitude[l % 5]);
            sum += (double)x[i] * x[i];
        }
        memcpy(in_place, x, n * sizeof *x);
        kt_freeze(x);
        kt_freeze(w);
        kt_near(k->rms_norm(y, x, w, n, (float)eps), sum, 1e-6 * sum, 0, 0);
        k->rms_norm(in_place, in_place, w, n, (float)eps);
        for (size_t i = 0; i < n; i++) {
            double exact = w[i] * (x[i] / sqrt(sum / (double)n + (double)(float)eps));
            /* Half of the sum's 1e-6, and half an ULP each of: mean, eps, root, reciprocal, two products. */
            kt_near((double)y[i], exact, fabs(exact) * (0.5e-6 + 3 * FLT_EPSILON) + FLT_MIN, i, 0);
        }
        kt_same_floats(in_place, y, n);
        check_no_weight(k, x, n, (float)eps);
        kt_release();
    }
}

/* Rows with a mean of 0, of 1, and of a thousand times what they vary. */
static void check_layer_norm(const struct prism_kernels *k)
{
    static const double mean_of[] = { 0, 1, 1000, -1e-7 }, spread[] = { 1, 1e10, 1, 1e-10 };
    enum { WHOLE, NO_WEIGHT, NO_BIAS, NEITHER, N_WAYS };

    for (size_t l = 0; l < 4 * N_LENGTHS; l++) {
        const size_t n = length(l / 4), way = (l / 4 + l) % N_WAYS;
        const double shift = mean_of[l % 4], size = spread[l % 4], eps = (double)1e-6f;
        float *x = kt_floats(n), *w = kt_floats(n), *b = kt_floats(n), *y = kt_floats(n), *in_place = kt_floats(n);
        double total = 0, magnitude = 0, sum = 0, around = 0;

        kt_context("%s layer_norm n %zu, mean %g spread %g, way %zu", k->name, n, shift, size, way);
        kt_fill(x, n, KT_NORMAL);
        kt_fill(w, n, KT_NORMAL);
        kt_fill(b, n, KT_NORMAL);
        for (size_t i = 0; i < n; i++) {
            x[i] = (float)(shift + x[i] * size);
            total += (double)x[i];
            magnitude += fabs((double)x[i]);
            sum += (double)x[i] * x[i];
        }
        const double mean = total / (double)n;
        for (size_t i = 0; i < n; i++)
            around += ((double)x[i] - mean) * ((double)x[i] - mean);
        const double scale = 1 / sqrt(around / (double)n + eps);
        memcpy(in_place, x, n * sizeof *x);
        kt_freeze(x);
        kt_freeze(w);
        kt_freeze(b);
        const float *weight = way == NO_WEIGHT || way == NEITHER ? NULL : w, *bias = way == NO_BIAS || way == NEITHER ? NULL : b;
        kt_near(k->layer_norm(y, x, weight, bias, n, (float)eps), sum, 1e-6 * sum, 0, 0);
        k->layer_norm(in_place, in_place, weight, bias, n, (float)eps);
        /* What the mean itself may be off by: as a sum in double, here and there, and as two floats. */
        const double off = magnitude * DBL_EPSILON + fabs(mean) * 0x1p-47;
        for (size_t i = 0; i < n; i++) {
            const double factor = scale * (weight ? (double)w[i] : 1), normed = ((double)x[i] - mean) * factor, exact = normed + (bias ? (double)b[i] : 0);
            /* Half an ULP each of: two differences, the scale, two products; the sum. */
            kt_near((double)y[i], exact, FLT_EPSILON * (2.5 * fabs(normed) + 0.5 * fabs(exact)) + off * fabs(factor) + FLT_MIN, i, 0);
        }
        kt_same_floats(in_place, y, n);
        kt_release();
    }
}

static void check_rope(const struct prism_kernels *k)
{
    for (size_t n = 2; n <= 2 * PRISM_MAX_HEAD_DIM; n += n < 140 ? 2 : 62) {
        for (int interleaved = 0; interleaved < 2; interleaved++) {
            size_t half = n / 2;
            float *x = kt_floats(n), *c = kt_floats(half), *s = kt_floats(half), old[2 * PRISM_MAX_HEAD_DIM];

            kt_context("%s rope n_rot %zu %s", k->name, n, interleaved ? "interleaved" : "half-split");
            kt_fill(x, n, KT_NORMAL);
            kt_fill(c, half, KT_NORMAL);
            kt_fill(s, half, KT_NORMAL);
            memcpy(old, x, n * sizeof *x);
            kt_freeze(c);
            kt_freeze(s);
            k->rope(x, c, s, n, interleaved);
            for (size_t i = 0; i < half; i++) {
                size_t a = interleaved ? 2 * i : i, b = interleaved ? 2 * i + 1 : i + half;
                double ac = (double)old[a] * c[i], bs = (double)old[b] * s[i], as = (double)old[a] * s[i], bc = (double)old[b] * c[i];
                /* Two products and a sum, half an ULP each. */
                kt_near((double)x[a], ac - bs, FLT_EPSILON * (fabs(ac) + fabs(bs)), a, 0);
                kt_near((double)x[b], as + bc, FLT_EPSILON * (fabs(as) + fabs(bc)), b, 0);
            }
            kt_release();
        }
    }
}

static void check_rope_table(const struct prism_kernels *k)
{
    static const size_t positions[] = { 0, 1, 4095, 131071, 1048570 };

    for (size_t p = 0; p < sizeof positions / sizeof *positions; p++)
        for (size_t n_freq = 1; n_freq <= 40; n_freq += n_freq < 20 ? 1 : 20) {
            const size_t n_pos = 5;
            float *c = kt_floats(n_pos * n_freq), *s = kt_floats(n_pos * n_freq);
            double *freq = kt_alloc(n_freq * sizeof *freq, 8);
            const float mag = 1.25f;

            kt_context("%s rope_table pos %zu n_freq %zu", k->name, positions[p], n_freq);
            for (size_t i = 0; i < n_freq; i++)
                freq[i] = pow(1e6, -(double)i / (double)n_freq);
            kt_freeze(freq);
            k->rope_table(c, s, freq, n_freq, positions[p], n_pos, mag);
            for (size_t t = 0; t < n_pos; t++)
                for (size_t i = 0; i < n_freq; i++) {
                    double angle = (double)(positions[p] + t) * freq[i], cs = (double)mag * cos(angle), sn = (double)mag * sin(angle);
                    /* Rounding to float, and 2^-53 of the angle from its own product. */
                    double tiny = 2 * (angle + 1) * DBL_EPSILON;
                    kt_near((double)c[t * n_freq + i], cs, fabs(cs) * FLT_EPSILON + tiny, t, i);
                    kt_near((double)s[t * n_freq + i], sn, fabs(sn) * FLT_EPSILON + tiny, t, i);
                }
            kt_release();
        }
}

static void check_add(const struct prism_kernels *k)
{
    for (size_t l = 0; l < N_LENGTHS; l++) {
        size_t n = length(l);
        float *x = kt_floats(n), *y = kt_floats(n), *want = kt_floats(n);

        kt_context("%s add n %zu", k->name, n);
        kt_fill(x, n, KT_ANY);
        kt_fill(y, n, KT_ANY);
        for (size_t i = 0; i < n; i++)
            want[i] = x[i] + y[i];
        kt_freeze(x);
        k->add(y, x, n);
        kt_same_floats(y, want, n);
        kt_release();
    }
}

/* The product is rounded, then the sum. */
static void check_add_scaled(const struct prism_kernels *k)
{
    for (size_t l = 0; l < N_LENGTHS; l++)
        for (int values = 0; values < KT_N_VALUES; values++) {
            const size_t n = length(l);
            float *x = kt_floats(n), *y = kt_floats(n), *want = kt_floats(n), a;

            kt_context("%s add_scaled n %zu, values %d", k->name, n, values);
            kt_fill(x, n, (enum kt_values)values);
            kt_fill(y, n, (enum kt_values)values);
            kt_fill(&a, 1, (enum kt_values)values);
            for (size_t i = 0; i < n; i++) {
                volatile float product = a * x[i];
                want[i] = y[i] + product;
            }
            kt_freeze(x);
            k->add_scaled(y, a, x, n);
            kt_same_floats(y, want, n);
            kt_release();
        }
}

static void check_scale(const struct prism_kernels *k)
{
    for (size_t l = 0; l < N_LENGTHS; l++)
        for (int values = 0; values < KT_N_VALUES; values++) {
            const size_t n = length(l);
            float *y = kt_floats(n), *want = kt_floats(n), a;

            kt_context("%s scale n %zu, values %d", k->name, n, values);
            kt_fill(y, n, (enum kt_values)values);
            kt_fill(&a, 1, (enum kt_values)values);
            for (size_t i = 0; i < n; i++)
                want[i] = y[i] * a;
            k->scale(y, a, n);
            kt_same_floats(y, want, n);
            kt_release();
        }
}

static void test_rms_norm(void **state) { (void)state, kt_levels(check_rms_norm); }
static void test_layer_norm(void **state) { (void)state, kt_levels(check_layer_norm); }
static void test_rope(void **state) { (void)state, kt_levels(check_rope); }
static void test_rope_table(void **state) { (void)state, kt_levels(check_rope_table); }
static void test_add(void **state) { (void)state, kt_levels(check_add); }
static void test_add_scaled(void **state) { (void)state, kt_levels(check_add_scaled); }
static void test_scale(void **state) { (void)state, kt_levels(check_scale); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rms_norm), cmocka_unit_test(test_layer_norm), cmocka_unit_test(test_rope),  cmocka_unit_test(test_rope_table),
        cmocka_unit_test(test_add),      cmocka_unit_test(test_add_scaled), cmocka_unit_test(test_scale),
    };
    return cmocka_run_group_tests_name("arch/vectors", tests, NULL, NULL);
}
