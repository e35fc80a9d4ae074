/* test_matmul.c - small products of rows as they lie, and decays, at every level: tails of rows and columns, strides, sums in several calls, hard
 * values, NaN and infinity at every place. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/kernel_test.h"

/* ---- products ---- */

static const struct shape { size_t rows, cols, k; } shapes[] = {
    { 1, 1, 1 },   { 1, 128, 7 },  { 1, 200, 64 }, { 2, 15, 3 },   { 3, 17, 5 },    { 4, 33, 16 },   { 5, 31, 9 },     { 6, 64, 64 },
    { 7, 65, 33 }, { 8, 79, 1 },   { 13, 47, 12 }, { 64, 128, 128 }, { 32, 64, 128 }, { 64, 61, 100 }, { 128, 128, 64 }, { 11, 256, 32 },
    { 3, 5, 0 },
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes, GAP = 3 };

/* Operands of a product in memory that ends where the last element does. */
struct operands {
    float *a, *b, *c, *old;
    struct prism_matmul m;
};

static size_t span(size_t rows, size_t ld, size_t cols) { return rows && cols ? (rows - 1) * ld + cols : 0; }

static struct operands make(struct shape s, bool turned, bool add, enum kt_values values)
{
    struct operands o = { 0 };
    size_t ldb = s.cols + GAP, ldc = s.cols + 2, lda = (turned ? s.rows : s.k) + 1;
    size_t n_a = turned ? span(s.k, lda, s.rows) : span(s.rows, lda, s.k), n_b = span(s.k, ldb, s.cols), n_c = span(s.rows, ldc, s.cols);

    o.a = kt_floats(n_a), o.b = kt_floats(n_b), o.c = kt_floats(n_c), o.old = kt_floats(n_c);
    kt_fill(o.a, n_a, values);
    kt_fill(o.b, n_b, values);
    kt_fill(o.old, n_c, KT_NORMAL);
    memcpy(o.c, o.old, n_c * sizeof *o.c);
    o.m = (struct prism_matmul){ .c = o.c, .ldc = ldc, .a = o.a, .a_row = turned ? 1 : lda, .a_k = turned ? lda : 1, .b = o.b, .ldb = ldb,
                                 .rows = s.rows, .cols = s.cols, .k = s.k, .add = add };
    return o;
}

static void judge(const struct operands *o)
{
    const struct prism_matmul *m = &o->m;

    for (size_t i = 0; i < m->rows; i++)
        for (size_t j = 0; j < m->cols; j++) {
            double exact = m->add ? (double)o->old[i * m->ldc + j] : 0, magnitude = fabs(exact);
            for (size_t p = 0; p < m->k; p++) {
                double term = (double)m->a[i * m->a_row + p * m->a_k] * (double)m->b[p * m->ldb + j];
                exact += term, magnitude += fabs(term);
            }
            if (magnitude < (double)FLT_MAX) /* a partial sum may be beyond it otherwise */
                kt_near((double)m->c[i * m->ldc + j], exact, (double)(m->k + 1) * FLT_EPSILON * magnitude + (double)(m->k + 1) * (double)FLT_MIN, i, j);
        }
    for (size_t i = 0; i + 1 < m->rows; i++)
        for (size_t j = m->cols; j < m->ldc; j++)
            kt_true(!memcmp(&m->c[i * m->ldc + j], &o->old[i * m->ldc + j], sizeof(float)), "what lies between rows was written");
}

/* The same bits when rows, columns and the sum are cut into calls. */
static void check_cuts(const struct prism_kernels *k, const struct operands *o)
{
    struct prism_matmul whole = o->m, part = whole;
    size_t n = span(whole.rows, whole.ldc, whole.cols), row = whole.rows / 3, col = whole.cols / 2, depth = whole.k / 2;
    float *c = kt_floats(n);

    memcpy(c, o->old, n * sizeof *c);
    for (int r = 0; r < 2; r++)
        for (int j = 0; j < 2; j++)
            for (int d = 0; d < 2; d++) {
                size_t i0 = r ? row : 0, j0 = j ? col : 0, p0 = d ? depth : 0;
                part.rows = r ? whole.rows - row : row, part.cols = j ? whole.cols - col : col, part.k = d ? whole.k - depth : depth;
                part.a = whole.a + i0 * whole.a_row + p0 * whole.a_k, part.b = whole.b + p0 * whole.ldb + j0, part.c = c + i0 * whole.ldc + j0;
                part.add = whole.add || d;
                k->matmul(&part);
            }
    for (size_t i = 0; i < whole.rows; i++)
        kt_same_floats(c + i * whole.ldc, whole.c + i * whole.ldc, whole.cols);
}

static void check_matmul(const struct prism_kernels *k)
{
    for (size_t s = 0; s < N_SHAPES; s++)
        for (int way = 0; way < 8; way++) {
            bool turned = way & 1, add = way & 2;
            struct operands o = make(shapes[s], turned, add, way & 4 ? KT_HARD : KT_NORMAL);

            kt_context("%s matmul %zu x %zu x %zu%s%s%s", k->name, shapes[s].rows, shapes[s].cols, shapes[s].k, turned ? ", turned" : "", add ? ", add" : "",
                       way & 4 ? ", hard" : "");
            kt_freeze(o.a);
            kt_freeze(o.b);
            k->matmul(&o.m);
            judge(&o);
            check_cuts(k, &o);
            kt_release();
        }
}

/* A NaN or an infinity in a spoils its row, in b its column, against zeros as well; the rest keeps its bits. */
static void check_spoilt(const struct prism_kernels *k)
{
    const struct shape s = { 7, 37, 5 };

    for (size_t poison = 0; poison < KT_N_POISONS; poison++)
        for (size_t at = 0; at < s.rows * s.k + s.k * s.cols; at++) {
            struct operands o = make(s, false, false, KT_NORMAL);
            bool in_a = at < s.rows * s.k;
            size_t row = at / s.k, col = (at - s.rows * s.k) % s.cols;
            float clean[7][37];

            kt_context("%s matmul, %g at %zu", k->name, (double)kt_poison[poison], at);
            for (size_t p = 0; p < s.k; p++) /* factors of 0 */
                for (size_t j = 0; j < s.cols; j += 4)
                    o.b[p * o.m.ldb + j] = 0;
            k->matmul(&o.m);
            for (size_t i = 0; i < s.rows; i++)
                memcpy(clean[i], o.c + i * o.m.ldc, sizeof clean[i]);
            if (in_a)
                o.a[row * o.m.a_row + at % s.k] = kt_poison[poison];
            else
                o.b[(at - s.rows * s.k) / s.cols * o.m.ldb + col] = kt_poison[poison];
            k->matmul(&o.m);
            for (size_t i = 0; i < s.rows; i++)
                for (size_t j = 0; j < s.cols; j++)
                    if (in_a ? i == row : j == col)
                        kt_nonfinite(o.c + i * o.m.ldc + j, 1);
                    else
                        kt_same_floats(o.c + i * o.m.ldc + j, &clean[i][j], 1);
            kt_release();
        }
}

/* ---- decays ---- */

static void check_decay_of(const struct prism_kernels *k, size_t n, double reach)
{
    float *y = kt_floats(n), *parts = kt_floats(n);
    double *from = kt_alloc(n * sizeof *from, 8), to = -3 - reach;

    kt_context("%s decay n %zu, down to %g", k->name, n, -reach);
    for (size_t i = 0; i < n; i++)
        from[i] = i % 11 == 5 ? to : to + kt_uniform(0, reach);
    kt_freeze(from);
    k->decay(y, to, from, n);
    for (size_t i = 0; i < n; i++) {
        double exact = exp(to - from[i]), rounded = fabs(to - from[i]) < 200 ? fabs(to - from[i]) * FLT_EPSILON / 2 : 0;
        /* 1.5 ULP, and what rounding the difference does */
        kt_near((double)y[i], exact, exact * (1.5 * FLT_EPSILON + rounded) + 0x1p-120, i, 0);
        kt_true(from[i] != to || y[i] == 1, "nothing between two places, and yet a decay");
    }
    k->decay(parts, to, from, n / 2);
    k->decay(parts + n / 2, to, from + n / 2, n - n / 2);
    kt_same_floats(parts, y, n);
    kt_release();
}

static void check_decay(const struct prism_kernels *k)
{
    static const double reaches[] = { 0, 1e-3, 5, 90, 1000, 1e30, 1e300 };

    for (size_t n = 1; n <= 70; n++)
        for (size_t r = 0; r < sizeof reaches / sizeof *reaches; r++)
            check_decay_of(k, n, reaches[r]);
}

static void check_spoilt_decay(const struct prism_kernels *k)
{
    enum { N = 37 };
    double from[N];
    float clean[N], y[N];

    for (size_t i = 0; i < N; i++)
        from[i] = (double)i / 8;
    k->decay(clean, -1, from, N);
    for (size_t poison = 0; poison < KT_N_POISONS; poison++) {
        const double p = (double)kt_poison[poison];
        for (size_t at = 0; at < N; at++) {
            double old = from[at];
            kt_context("%s decay, %g at %zu", k->name, p, at);
            from[at] = p;
            k->decay(y, -1, from, N);
            from[at] = old;
            kt_true(isnan(y[at]), "a number");
            kt_same_floats(y, clean, at);
            kt_same_floats(y + at + 1, clean + at + 1, N - at - 1);
        }
        kt_context("%s decay to %g", k->name, p);
        k->decay(y, p, from, N);
        for (size_t i = 0; i < N; i++)
            kt_true(isnan(y[i]), "a number");
    }
}

static void test_matmul(void **state) { (void)state, kt_levels(check_matmul); }
static void test_spoilt(void **state) { (void)state, kt_levels(check_spoilt); }
static void test_decay(void **state) { (void)state, kt_levels(check_decay); }
static void test_spoilt_decay(void **state) { (void)state, kt_levels(check_spoilt_decay); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matmul), cmocka_unit_test(test_spoilt), cmocka_unit_test(test_decay), cmocka_unit_test(test_spoilt_decay),
    };
    return cmocka_run_group_tests_name("arch/matmul", tests, NULL, NULL);
}
