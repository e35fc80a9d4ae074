/* test_delta_chunk.c - the delta rule of a chunk at every level against its definition, token by token in double: every length of chunk, states that are
 * there or not, decays from none to all. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/engine/delta_chunk.h"
#include "tests/support/kernel_test.h"

enum { MAX_D = PRISM_MAX_HEAD_DIM, N = PRISM_DELTA_CHUNK };

static struct scene {
    float *queries, *keys, *values, *from, *to, *beta;
    double *sums;
    prism_delta_square *raw;
    void *scratch;
    struct prism_delta_chunk c;
} s;

static void unit_rows(float *x, size_t n, size_t d, double length)
{
    kt_fill(x, n * d, KT_NORMAL);
    for (size_t t = 0; t < n; t++) {
        double sum = 0;
        for (size_t i = 0; i < d; i++)
            sum += (double)x[t * d + i] * (double)x[t * d + i];
        for (size_t i = 0; i < d; i++)
            x[t * d + i] = (float)((double)x[t * d + i] * length / sqrt(sum));
    }
}

/* decay: of the logarithm of each token, about. */
static void make(const struct prism_kernels *k, size_t n, size_t d, bool has_state, double decay)
{
    double sum = 0;

    s = (struct scene){ kt_floats(n * d), kt_floats(n * d), kt_floats(n * d), kt_floats(d * d), kt_floats(d * d), kt_floats(n),
                        kt_alloc(n * sizeof(double), 8), kt_alloc(2 * sizeof(prism_delta_square), 64), kt_alloc(prism_delta_chunk_bytes(d), 64), { 0 } };
    unit_rows(s.queries, n, d, 1 / sqrt((double)d));
    unit_rows(s.keys, n, d, 1);
    kt_fill(s.values, n * d, KT_NORMAL);
    kt_fill(s.from, d * d, KT_NORMAL);
    for (size_t t = 0; t < n; t++) {
        s.beta[t] = (float)kt_uniform(0, 1);
        s.sums[t] = sum -= decay * kt_uniform(0, 2);
    }
    s.c = (struct prism_delta_chunk){ .kernels = k, .n = n, .d = d, .queries = s.queries, .keys = s.keys, .raw = s.raw, .sums = s.sums, .beta = s.beta,
                                      .values = s.values, .from = has_state ? s.from : NULL, .to = s.to, .scratch = s.scratch };
}

static void run(void)
{
    prism_delta_raw(&s.c);
    prism_delta_run(&s.c);
}

/* values become outputs, state what it is afterwards. */
static void define(double *values, double *state)
{
    size_t d = s.c.d;
    double before = 0;

    for (size_t t = 0; t < s.c.n; t++, values += d) {
        const float *k = s.keys + t * d, *q = s.queries + t * d;
        double kept = exp(s.sums[t] - before), add[MAX_D];
        before = s.sums[t];
        for (size_t i = 0; i < d * d; i++)
            state[i] *= kept;
        for (size_t j = 0; j < d; j++) {
            double read = 0;
            for (size_t i = 0; i < d; i++)
                read += state[i * d + j] * (double)k[i];
            add[j] = (double)s.beta[t] * (values[j] - read);
        }
        for (size_t j = 0; j < d; j++) {
            values[j] = 0;
            for (size_t i = 0; i < d; i++) {
                state[i * d + j] += (double)k[i] * add[j];
                values[j] += state[i * d + j] * (double)q[i];
            }
        }
    }
}

/* Values and states are of the size of 1, keys of length 1: what rounding leaves of sums over d and over the chunk. */
static const double bound = 2e-5;

static void check_one(const struct prism_kernels *k, size_t n, size_t d, bool has_state, double decay)
{
    static double values[N * MAX_D], state[MAX_D * MAX_D];

    kt_context("%s n %zu d %zu%s, decay %g", k->name, n, d, has_state ? ", state" : "", decay);
    make(k, n, d, has_state, decay);
    for (size_t i = 0; i < n * d; i++)
        values[i] = (double)s.values[i];
    for (size_t i = 0; i < d * d; i++)
        state[i] = has_state ? (double)s.from[i] : 0;
    define(values, state);
    kt_freeze(s.keys), kt_freeze(s.queries), kt_freeze(s.from), kt_freeze(s.beta), kt_freeze(s.sums);
    run();
    for (size_t i = 0; i < n * d; i++)
        kt_near((double)s.values[i], values[i], bound, i / d, i % d);
    for (size_t i = 0; i < d * d; i++)
        kt_near((double)s.to[i], state[i], bound, i / d, i % d);
    kt_release();
}

static void check_shapes(const struct prism_kernels *k)
{
    static const size_t lengths[] = { 1, 2, 7, 8, 9, 16, 31, 32, 33, 40, 63, 64 }, sizes[] = { 8, 16, 40, 128, 256 };
    static const double decays[] = { 0, 1e-4, 0.1, 3, 400 };

    for (size_t n = 0; n < sizeof lengths / sizeof *lengths; n++)
        for (size_t d = 0; d < sizeof sizes / sizeof *sizes; d++)
            for (int way = 0; way < 2; way++)
                check_one(k, lengths[n], sizes[d], way, decays[(n + d + (size_t)way) % 5]);
    for (size_t decay = 0; decay < 5; decay++)
        check_one(k, 64, 128, true, decays[decay]);
}

/* to == from gives the same bits. */
static void check_in_place(const struct prism_kernels *k)
{
    enum { D = 24 };
    float values[40 * D], old[40 * D];

    kt_context("%s in place", k->name);
    make(k, 40, D, true, 0.2);
    memcpy(old, s.values, sizeof old);
    run();
    memcpy(values, s.values, sizeof values);
    memcpy(s.values, old, sizeof old);
    s.c.to = s.from;
    run();
    kt_same_floats(s.values, values, 40 * D);
    kt_same_floats(s.from, s.to, D * D);
    kt_release();
}

/* NaN and infinity in each operand at some token show in its output, and but for a query's in all that follow and in the state. */
static void check_spoilt(const struct prism_kernels *k)
{
    enum { D = 16, LENGTH = 50, PLACES = 5 };

    for (int operand = 0; operand < PLACES; operand++)
        for (size_t poison = 0; poison < KT_N_POISONS; poison++)
            for (size_t at = 0; at < LENGTH; at += 7) {
                kt_context("%s operand %d, %g at %zu", k->name, operand, (double)kt_poison[poison], at);
                make(k, LENGTH, D, true, 0.01);
                float *places[PLACES] = { s.queries + at * D + 3, s.keys + at * D + 5, s.values + at * D + 7, s.beta + at, NULL };
                if (places[operand])
                    *places[operand] = kt_poison[poison];
                else
                    s.sums[at] = (double)kt_poison[poison];
                run();
                kt_nonfinite(s.values + at * D + 7, 1);
                if (operand > 0)
                    kt_true(!isfinite(s.values[(LENGTH - 1) * D + 7]), "the last token is a number");
                if (operand > 0 && operand < 4)
                    kt_true(!isfinite(s.to[5 * D + 7]), "the state is a number");
                kt_release();
            }
}

static void test_shapes(void **state) { (void)state, kt_levels(check_shapes); }
static void test_in_place(void **state) { (void)state, kt_levels(check_in_place); }
static void test_spoilt(void **state) { (void)state, kt_levels(check_spoilt); }

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_shapes), cmocka_unit_test(test_in_place), cmocka_unit_test(test_spoilt) };
    return cmocka_run_group_tests_name("engine/delta_chunk", tests, NULL, NULL);
}
