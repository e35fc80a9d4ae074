/* test_select.c - dot products by bands and fixed-point softmax at every level: every tail, any split, hard values, guarded memory. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/kernel_test.h"

/* ---- dot products ---- */

struct dots {
    const float *q, *k;
    size_t n, d, b1, b2;
};

/* |got - exact|: m products and their sum in any order, half an ULP each: m * FLT_EPSILON / 2 of the sum of magnitudes to first order,
 * doubled for the higher orders; and half a subnormal step per product. */
static void check_part(const struct dots *c, const float *got, size_t from, size_t to)
{
    for (size_t j = 0; j < c->n; j++) {
        double exact = 0, magnitude = 0, m = (double)(to - from);
        for (size_t i = from; i < to; i++) {
            double product = (double)c->q[i] * c->k[j * c->d + i];
            exact += product;
            magnitude += fabs(product);
        }
        kt_near((double)got[j], exact, m * (FLT_EPSILON * magnitude + 0x1p-150), j, from);
    }
}

static void dots_case(const struct prism_kernels *kernels, size_t n, size_t d, size_t b1, size_t b2, enum kt_values values)
{
    float *q = kt_floats(d), *k = kt_floats(n * d), *out[3] = { kt_floats(n), kt_floats(n), kt_floats(n) };
    struct dots c = { q, k, n, d, b1, b2 };

    kt_context("%s band_dots n %zu d %zu split %zu %zu%s", kernels->name, n, d, b1, b2, values == KT_HARD ? ", hard values" : "");
    kt_fill(q, d, values);
    kt_fill(k, n * d, KT_NORMAL);
    kt_freeze(q);
    kt_freeze(k);
    kernels->band_dots(out[0], out[1], out[2], q, k, n, d, b1, b2);
    check_part(&c, out[0], 0, b1);
    check_part(&c, out[1], b1, b2);
    check_part(&c, out[2], b2, d);

    /* The same bits from a call for one key, wherever it was among the n. */
    for (size_t j = 0; j < n; j++) {
        float one[3];
        kernels->band_dots(one, one + 1, one + 2, q, k + j * d, 1, d, b1, b2);
        for (int part = 0; part < 3; part++)
            kt_same_floats(one + part, out[part] + j, 1);
    }
    kt_release();
}

static void check_tails(const struct prism_kernels *k)
{
    for (size_t n = 1; n <= 70; n++)
        dots_case(k, n, 64, 22, 42, n % 2 ? KT_NORMAL : KT_HARD);
    for (size_t d = 8; d <= PRISM_MAX_HEAD_DIM; d += 8)
        dots_case(k, 7, d, d / 4 / 2 * 2, d / 2 + d / 8 * 2, d % 16 ? KT_NORMAL : KT_HARD);
}

/* Every pair of even splits, with empty parts among them. */
static void check_splits(const struct prism_kernels *k)
{
    static const size_t sizes[] = { 8, 24, 40 };

    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (size_t b1 = 0; b1 <= sizes[s]; b1 += 2)
            for (size_t b2 = b1; b2 <= sizes[s]; b2 += 2)
                dots_case(k, 5, sizes[s], b1, b2, KT_NORMAL);
    for (size_t b1 = 0; b1 <= 128; b1 += 32)
        for (size_t b2 = b1; b2 <= 128; b2 += 32)
            dots_case(k, 6, 128, b1, b2, KT_NORMAL);
    dots_case(k, 0, 64, 16, 32, KT_NORMAL);
}

/* A value that is not finite spoils its own key and part only. */
static void check_apart(const struct prism_kernels *kernels)
{
    enum { N = 6, D = 48, B1 = 10, B2 = 26, BAD = 3 };
    static const size_t places[] = { 0, B1 - 1, B1, B2 - 1, B2, D - 1 };
    float want[3][N];

    for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
        float *q = kt_floats(D), *k = kt_floats(N * D), *out[3] = { kt_floats(N), kt_floats(N), kt_floats(N) };
        int spoilt = places[p] < B1 ? 0 : places[p] < B2 ? 1 : 2;

        kt_context("%s band_dots, NaN at %zu", kernels->name, places[p]);
        kt_fill(q, D, KT_NORMAL);
        kt_fill(k, N * D, KT_NORMAL);
        kernels->band_dots(want[0], want[1], want[2], q, k, N, D, B1, B2);
        k[BAD * D + places[p]] = NAN;
        kernels->band_dots(out[0], out[1], out[2], q, k, N, D, B1, B2);
        want[spoilt][BAD] = NAN;
        for (int part = 0; part < 3; part++)
            kt_same_floats(out[part], want[part], N);
        kt_release();
    }
}

/* ---- softmax ---- */

enum logits { RANDOM, EQUAL, ONE_LARGE, WIDE, FALLING, HUGE_ONES, N_LOGITS };
static const char *const logits_name[N_LOGITS] = { "random", "all equal", "one dominates", "range 1e4", "falling by 1/8",
                                                   "largest floats" };

static void fill_logits(float *x, size_t n, enum logits kind)
{
    kt_fill(x, n, KT_NORMAL);
    for (size_t i = 0; i < n; i++)
        switch (kind) {
        case EQUAL: x[i] = -7.3f; break;
        case ONE_LARGE: x[i] += i == n / 2 ? 60 : 0; break;
        case WIDE: x[i] = (float)kt_uniform(-5000, 5000); break;
        case FALLING: x[i] = 11.1f - 0.125f * (float)i; break; /* every magnitude of p, as the difference crosses zero */
        case HUGE_ONES: x[i] = i % 3 ? -FLT_MAX : FLT_MAX; break; /* their difference is infinite */
        default: x[i] *= 3; break;
        }
}

/* Contract: 2e-6 of P and half a unit; 2^-20 units are for the rounding of the reference, a double near 2^30. */
static void softmax_case(const struct prism_kernels *k, size_t n, enum logits kind)
{
    float *x = kt_floats(n), most;
    uint32_t *p = kt_alloc(n * sizeof *p, 4), *again = kt_alloc(n * sizeof *p, 4);
    double sum = 0, total = 0;

    kt_context("%s softmax_q30 n %zu, %s", k->name, n, logits_name[kind]);
    fill_logits(x, n, kind);
    kt_freeze(x);
    k->softmax_q30(p, x, n);
    k->softmax_q30(again, x, n);
    kt_true(!memcmp(p, again, n * sizeof *p), "two calls differ");
    most = x[0];
    for (size_t i = 1; i < n; i++)
        most = x[i] > most ? x[i] : most;
    for (size_t i = 0; i < n; i++)
        sum += exp((double)x[i] - (double)most);
    for (size_t i = 0; i < n; i++) {
        double exact = exp((double)x[i] - (double)most) / sum * 0x1p30;
        kt_near((double)p[i], exact, 2e-6 * exact + 0.5 + 0x1p-20, i, 0);
        total += p[i];
    }
    /* Each p is rounded by half a unit; the exponentials add up to their own sum, whatever their errors. */
    kt_near(total, 0x1p30, (double)n, n, 0);
    kt_release();
}

static void check_softmax(const struct prism_kernels *k)
{
    static const size_t long_lengths[] = { 127, 1000, 4099 };

    for (int kind = 0; kind < N_LOGITS; kind++) {
        for (size_t n = 1; n <= 70; n++)
            softmax_case(k, n, (enum logits)kind);
        for (size_t l = 0; l < sizeof long_lengths / sizeof *long_lengths; l++)
            softmax_case(k, long_lengths[l], (enum logits)kind);
    }
}

/* Equal logits get equal integers wherever they lie, tail or not: the choice breaks ties by index. */
static void check_ties(const struct prism_kernels *k)
{
    for (size_t n = 2; n <= 70; n++) {
        float *x = kt_floats(n);
        uint32_t *p = kt_alloc(n * sizeof *p, 4);

        kt_context("%s softmax_q30 n %zu, two values", k->name, n);
        for (size_t i = 0; i < n; i++)
            x[i] = i % 2 ? 0.7f : -0.4f;
        k->softmax_q30(p, x, n);
        for (size_t i = 2; i < n; i++)
            kt_true(p[i] == p[i % 2], "equal logits, different probabilities");
        kt_release();
    }
}

static void test_band_dots_tails(void **state) { (void)state, kt_levels(check_tails); }
static void test_band_dots_splits(void **state) { (void)state, kt_levels(check_splits); }
static void test_band_dots_parts_are_apart(void **state) { (void)state, kt_levels(check_apart); }
static void test_softmax(void **state) { (void)state, kt_levels(check_softmax); }
static void test_softmax_ties(void **state) { (void)state, kt_levels(check_ties); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_band_dots_tails), cmocka_unit_test(test_band_dots_splits), cmocka_unit_test(test_band_dots_parts_are_apart),
        cmocka_unit_test(test_softmax),         cmocka_unit_test(test_softmax_ties),
    };
    return cmocka_run_group_tests_name("arch/select", tests, NULL, NULL);
}
