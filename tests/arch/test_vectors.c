/* test_vectors.c - norm, rotation, rotation table, gated activation and sum at every level, for every length of tail. */
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

static void check_rms_norm(const struct prism_kernels *k)
{
    static const double magnitude[] = { 1, 1e-10, 1e15 }; /* squares stay inside fp32 */

    for (size_t l = 0; l < 3 * N_LENGTHS; l++) {
        size_t n = length(l / 3);
        float *x = kt_floats(n), *w = kt_floats(n), *y = kt_floats(n), *in_place = kt_floats(n);
        double sum = 0, eps = 1e-6;

        kt_context("%s rms_norm n %zu, values near %g", k->name, n, magnitude[l % 3]);
        kt_fill(x, n, KT_NORMAL);
        kt_fill(w, n, KT_NORMAL);
        for (size_t i = 0; i < n; i++) {
            x[i] = i % 7 == 3 ? 0 : (float)(x[i] * magnitude[l % 3]);
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

static void check_swiglu(const struct prism_kernels *k)
{
    for (size_t l = 0; l < N_LENGTHS; l++)
        for (int hard = 0; hard < 2; hard++) {
            size_t n = length(l);
            float *gate = kt_floats(n), *up = kt_floats(n), *old = kt_floats(n);

            kt_context("%s swiglu n %zu%s", k->name, n, hard ? ", hard values" : "");
            kt_fill(gate, n, hard ? KT_HARD : KT_NORMAL);
            kt_fill(up, n, KT_NORMAL);
            for (size_t i = 0; hard && i < n; i += 3)
                gate[i] = (float)kt_uniform(-110, 110); /* where exp overflows */
            memcpy(old, gate, n * sizeof *gate);
            kt_freeze(up);
            k->swiglu(gate, up, n);
            for (size_t i = 0; i < n; i++) {
                double z = (double)old[i], exact = z / (1 + exp(-z)) * up[i];
                /* exp 1 ULP, then half an ULP each of sum, quotient and product: 2.5. Where exp(-z) is past the largest float the
                 * result is 0 and was below 89 * 2^-128 < 2^-121 times up. */
                kt_near((double)gate[i], exact, 2.5 * FLT_EPSILON * fabs(exact) + 0x1p-121 * (fabs((double)up[i]) + 1), i, 0);
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

static void test_rms_norm(void **state) { (void)state, kt_levels(check_rms_norm); }
static void test_rope(void **state) { (void)state, kt_levels(check_rope); }
static void test_rope_table(void **state) { (void)state, kt_levels(check_rope_table); }
static void test_swiglu(void **state) { (void)state, kt_levels(check_swiglu); }
static void test_add(void **state) { (void)state, kt_levels(check_add); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rms_norm), cmocka_unit_test(test_rope), cmocka_unit_test(test_rope_table),
        cmocka_unit_test(test_swiglu),   cmocka_unit_test(test_add),
    };
    return cmocka_run_group_tests_name("arch/vectors", tests, NULL, NULL);
}
