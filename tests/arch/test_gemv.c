/* test_gemv.c - one to eight rows times stored weights, by fp32 and by two-byte activations: all types, tails, and the same bits for any
 * number of rows and columns. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/generic/gemv_i16.h"
#include "arch/generic/generic.h"
#include "arch/generic/unpack.h"
#include "tests/support/kernel_test.h"

static const struct shape {
    size_t cols, k, gap; /* k is rounded up to the block; gap: bytes between stored rows */
    enum kt_values values;
    const char *why;
} shapes[] = {
    { 1, 1, 0, KT_NORMAL, "smallest" },          { 5, 32, 0, KT_NORMAL, "one block" },
    { 3, 96, 34, KT_HARD, "hard values, gaps" }, { 17, 288, 0, KT_NORMAL, "tails" },
    { 4, 544, 0, KT_NORMAL, "17 blocks" },       { 2, 4096, 0, KT_NORMAL, "long sums" },
    { 5, 45, 0, KT_NORMAL, "a width that no vector divides" },
};

static void check_shape(const struct prism_kernels *k, enum prism_type type, const struct shape *s)
{
    size_t block = prism_types[type].block, n = (s->k + block - 1) / block * block, ldx = n + 1, ldy = s->cols + 2;
    size_t row_bytes = prism_row_bytes(type, n) + (block == 1 ? 0 : s->gap), w_bytes = (s->cols - 1) * row_bytes + prism_row_bytes(type, n);
    uint8_t *w = kt_alloc(w_bytes, type == PRISM_F32 ? 4 : block == 1 ? 2 : 1);
    float *wf = kt_floats(s->cols * n), *x = kt_floats((PRISM_GEMV_ROWS - 1) * ldx + n);
    float *all = kt_floats((PRISM_GEMV_ROWS - 1) * ldy + s->cols);

    for (size_t j = 0; j < s->cols; j++) {
        kt_fill_blocks(w + j * row_bytes, type, n);
        prism_kernels_generic.to_f32[type](wf + j * n, w + j * row_bytes, n);
    }
    for (size_t i = 0; i < PRISM_GEMV_ROWS; i++)
        kt_fill(x + i * ldx, n, s->values);
    kt_freeze(w);
    kt_freeze(x);
    k->gemv(all, ldy, x, ldx, PRISM_GEMV_ROWS, w, row_bytes, type, s->cols, n);

    for (size_t i = 0; i < PRISM_GEMV_ROWS; i++)
        for (size_t j = 0; j < s->cols; j++) {
            double exact = 0, sum = 0;
            for (size_t t = 0; t < n; t++) {
                double xw = (double)x[i * ldx + t] * wf[j * n + t];
                exact += xw;
                sum += fabs(xw);
            }
            /* Any order of n products and sums is within n * FLT_EPSILON/2 * sum|xw|; blocks that sum q*x before scaling make one
             * product more, and one with an offset has |d*q| <= |w| + |m| in the place of |w|: hence twice, not once. */
            kt_near((double)all[i * ldy + j], exact, (double)(n + 2) * FLT_EPSILON * sum + (double)n * FLT_MIN, i, j);
        }
    for (size_t rows = 1; rows < PRISM_GEMV_ROWS; rows++) {
        float *y = kt_floats((rows - 1) * ldy + s->cols);
        k->gemv(y, ldy, x, ldx, rows, w, row_bytes, type, s->cols, n);
        for (size_t i = 0; i < rows; i++) {
            kt_same_floats(y + i * ldy, all + i * ldy, s->cols);
            kt_true(i + 1 == rows || kt_untouched(y + i * ldy + s->cols, 2 * sizeof *y), "wrote past cols");
        }
    }
}

static void check_gemv(const struct prism_kernels *k)
{
    for (int t = 0; t < PRISM_N_TYPES; t++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            kt_context("%s gemv %s %zux%zu (%s)", k->name, prism_types[t].name, shapes[i].cols, shapes[i].k, shapes[i].why);
            check_shape(k, (enum prism_type)t, &shapes[i]);
            kt_release();
        }
}

/* ---- two-byte activations ---- */

/* What is taken off a type's unsigned fields (struct prism_gemv.x_err): value = d * (u - bias). */
static const int bias[PRISM_N_TYPES] = { [PRISM_Q4_0] = 8, [PRISM_Q5_0] = 16, [PRISM_Q8_0] = 128, [PRISM_Q3_K] = 4, [PRISM_Q6_K] = 32 };

/* terms[0 .. n) = |d * u| + |m| of the stored values at w. */
static void field_terms(double *terms, const uint8_t *w, enum prism_type type, size_t n)
{
    const struct prism_layout l = prism_layout_of(type);
    for (size_t i = 0; i < n; i += l.block, w += l.bytes) {
        int8_t q[256];
        float d[16], m[16] = { 0 };
        l.unpack(q, d, m, w);
        for (size_t t = 0; t < l.block; t++) {
            double scale = fabs((double)d[t / l.group]), offset = l.has_min ? fabs((double)m[t / l.group]) : 0;
            terms[i + t] = scale * (abs(q[t] + bias[type]) + bias[type]) + offset;
        }
    }
}

/* One product: the operands as a caller has them, and packed. */
struct product {
    const struct prism_gemv *g;
    enum prism_type type;
    size_t cols, k, row_bytes;
    uint8_t *w;          /* [cols] stored rows */
    float *wf;           /* [cols][k] the same as floats */
    double *terms;       /* [cols][k] of field_terms */
    float *x;            /* [PRISM_GEMV_ROWS][k] */
    char *packed;
};

static void pack_rows(struct product *p)
{
    const size_t bytes = p->g->x_bytes(p->k);
    assert_int_equal(bytes % 64, 0);
    p->packed = kt_alloc(PRISM_GEMV_ROWS * bytes, 64);
    for (size_t i = 0; i < PRISM_GEMV_ROWS; i++)
        p->g->pack_x(p->packed + i * bytes, p->x + i * p->k, p->k);
    kt_freeze(p->packed);
}

static void make_product(struct product *p, const struct prism_gemv *g, enum prism_type type, const struct shape *s)
{
    const size_t block = prism_types[type].block, k = (s->k + block - 1) / block * block, bytes = prism_row_bytes(type, k);

    *p = (struct product){ .g = g, .type = type, .cols = s->cols, .k = k, .row_bytes = bytes + s->gap };
    p->w = kt_alloc((s->cols - 1) * p->row_bytes + bytes, 1);
    p->wf = kt_floats(s->cols * k);
    p->terms = kt_alloc(s->cols * k * sizeof *p->terms, 8);
    for (size_t j = 0; j < s->cols; j++) {
        kt_fill_blocks(p->w + j * p->row_bytes, type, k);
        prism_kernels_generic.to_f32[type](p->wf + j * k, p->w + j * p->row_bytes, k);
        field_terms(p->terms + j * k, p->w + j * p->row_bytes, type, k);
    }
    p->x = kt_floats(PRISM_GEMV_ROWS * k);
    kt_fill(p->x, PRISM_GEMV_ROWS * k, s->values);
    kt_freeze(p->w);
}

static void run_product(const struct product *p, float *y, size_t ldy, size_t row, size_t rows, size_t col, size_t cols)
{
    p->g->gemv(y, ldy, p->packed + row * p->g->x_bytes(p->k), rows, p->w + col * p->row_bytes, p->row_bytes, p->type, cols, p->k);
}

/* What x_err allows, and k sums; a group below PRISM_GEMV_X_TINY counts as zero, and products of scales may be subnormal. */
static void check_product(const struct product *p, const float *y, size_t ldy)
{
    struct product ref = *p;
    float *want = kt_floats(PRISM_GEMV_ROWS * ldy);

    ref.g = &prism_gemv_i16_generic;
    pack_rows(&ref);
    run_product(&ref, want, ldy, 0, PRISM_GEMV_ROWS, 0, p->cols);
    for (size_t i = 0; i < PRISM_GEMV_ROWS; i++)
        for (size_t j = 0; j < p->cols; j++) {
            const float *x = p->x + i * p->k, *w = p->wf + j * p->k;
            double exact = 0, rounding = 0, sum = 0, tiny = 0;
            float reach = 0; /* in float: gcc 12 for AArch64 fails on the loop in double ("internal compiler error", vectoriser) */
            for (size_t t = 0; t < p->k; t++) {
                if (t % 32 == 0) {
                    reach = 0;
                    for (size_t s = t; s < t + 32; s++)
                        reach = fmaxf(reach, fabsf(x[s]));
                }
                exact += (double)x[t] * w[t];
                rounding += (double)p->g->x_err * (double)reach * fabs((double)w[t]);
                sum += (fabs((double)x[t]) + (double)p->g->x_err * (double)reach) * p->terms[j * p->k + t];
                tiny += PRISM_GEMV_X_TINY * fabs((double)w[t]) + FLT_MIN;
            }
            kt_near((double)y[i * ldy + j], exact, rounding + (double)p->k * FLT_EPSILON * sum + tiny, i, j);
            /* The same integers, so that only fp32 sums differ: at most four roundings per group of 16, two sides. */
            kt_near((double)y[i * ldy + j], (double)want[i * ldy + j], (double)p->k / 16 * 8 * (FLT_EPSILON / 2) * sum + tiny, i, j);
        }
}

static void check_i16_shape(const struct prism_gemv *g, enum prism_type type, const struct shape *s)
{
    const size_t ldy = s->cols + 2;
    struct product p;
    float *all = kt_floats((PRISM_GEMV_ROWS - 1) * ldy + s->cols), one;

    make_product(&p, g, type, s);
    pack_rows(&p);
    run_product(&p, all, ldy, 0, PRISM_GEMV_ROWS, 0, s->cols);
    check_product(&p, all, ldy);
    for (size_t rows = 1; rows < PRISM_GEMV_ROWS; rows++) {
        float *y = kt_floats((rows - 1) * ldy + s->cols);
        run_product(&p, y, ldy, PRISM_GEMV_ROWS - rows, rows, 0, s->cols);
        for (size_t i = 0; i < rows; i++) {
            kt_same_floats(y + i * ldy, all + (PRISM_GEMV_ROWS - rows + i) * ldy, s->cols);
            kt_true(i + 1 == rows || kt_untouched(y + i * ldy + s->cols, 2 * sizeof *y), "wrote past cols");
        }
    }
    for (size_t j = 0; j < s->cols; j++) {
        run_product(&p, &one, 1, 0, 1, j, 1);
        kt_same_floats(&one, all + j, 1);
    }
}

/* Activations that quantise to themselves: the product must be exact up to fp32 sums, which no loose bound can hide. */
static void check_whole_activations(const struct prism_gemv *g, enum prism_type type)
{
    struct product p;
    make_product(&p, g, type, &(struct shape){ 3, 512, 0, KT_NORMAL, "" });
    for (size_t t = 0; t < PRISM_GEMV_ROWS * p.k; t++)
        p.x[t] = (float)(t % 32 == 5 ? -PRISM_GEMV_X_MAX : (int)(kt_random() >> 8) % (PRISM_GEMV_X_MAX + 1) * (t & 1 ? 1 : -1));
    pack_rows(&p);
    float *y = kt_floats(PRISM_GEMV_ROWS * 3);
    run_product(&p, y, 3, 0, PRISM_GEMV_ROWS, 0, 3);
    for (size_t i = 0; i < PRISM_GEMV_ROWS; i++)
        for (size_t j = 0; j < 3; j++) {
            double exact = 0, sum = 0;
            for (size_t t = 0; t < p.k; t++) {
                exact += (double)p.x[i * p.k + t] * p.wf[j * p.k + t];
                sum += fabs((double)p.x[i * p.k + t]) * p.terms[j * p.k + t];
            }
            kt_near((double)y[3 * i + j], exact, 16 * FLT_EPSILON * sum, i, j);
        }
}

static void check_i16_type(const struct prism_kernels *k, const struct prism_gemv *g, enum prism_type type)
{
    assert_string_equal(g->name, "i16");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        kt_context("%s gemv i16 %s %zux%zu (%s)", k->name, prism_types[type].name, shapes[i].cols, shapes[i].k, shapes[i].why);
        check_i16_shape(g, type, &shapes[i]);
        kt_release();
    }
    kt_context("%s gemv i16 %s, whole activations", k->name, prism_types[type].name);
    check_whole_activations(g, type);
    kt_release();
}

static void check_i16(const struct prism_kernels *k)
{
    for (int t = 0; t < PRISM_N_TYPES; t++) {
        if (k->gemv_auto[t])
            check_i16_type(k, k->gemv_auto[t], (enum prism_type)t);
        if (k == &prism_kernels_generic && prism_types[t].block > 1) /* the definition, which its table does not choose */
            check_i16_type(k, &prism_gemv_i16_generic, (enum prism_type)t);
    }
}

static void test_gemv(void **state) { (void)state, kt_levels(check_gemv); }
static void test_i16(void **state) { (void)state, kt_levels(check_i16); }

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_gemv), cmocka_unit_test(test_i16) };
    return cmocka_run_group_tests_name("arch/gemv", tests, NULL, NULL);
}
