/* test_gemv.c - one to eight rows times stored weights: all types, tails, and the same bits for any number of rows. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/generic/generic.h"
#include "tests/support/kernel_test.h"

static const struct shape {
    size_t cols, k, gap; /* k is rounded up to the block; gap: bytes between stored rows */
    enum kt_values values;
    const char *why;
} shapes[] = {
    { 1, 1, 0, KT_NORMAL, "smallest" },          { 5, 32, 0, KT_NORMAL, "one block" },
    { 3, 96, 34, KT_HARD, "hard values, gaps" }, { 17, 288, 0, KT_NORMAL, "tails" },
    { 4, 544, 0, KT_NORMAL, "17 blocks" },       { 2, 4096, 0, KT_NORMAL, "long sums" },
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

static void test_gemv(void **state) { (void)state, kt_levels(check_gemv); }

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_gemv) };
    return cmocka_run_group_tests_name("arch/gemv", tests, NULL, NULL);
}
