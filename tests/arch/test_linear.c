/* test_linear.c - every distinct linear of every level: all types it serves, all kinds of tails, sums and splits. Products without rounding, and
 * panels packed in parts: test_linear_exact.c. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "arch/generic/generic.h"
#include "arch/generic/unpack.h"
#include "tests/support/kernel_test.h"
#include "tests/support/linear_case.h"

static const struct product_shape shapes[] = {
    { 0, 1, 0, 1, 32, KT_NORMAL, "smallest" },
    { 1, 0, 1, 0, 32, KT_NORMAL, "one panel each" },
    { 1, -1, 1, -1, 96, KT_NORMAL, "one short of a panel" },
    { 2, 1, 2, 1, 160, KT_NORMAL, "tails everywhere" },
    { 2, 2, 1, 5, 320, KT_HARD, "zeros, subnormals, huge values" },
    { 0, 2, 1, 1, 4096, KT_NORMAL, "long sums" },
    { 1, 1, 1, 1, 3136, KT_NORMAL, "long sums of whole panels and of parts" },
    { 2, 0, 1, 2, 160, ONE_HOT, "single weights" },
    { 5, 0, 4, -3, 64, KT_NORMAL, "several panels" },
    { 1, 1, 2, -3, 320, HARD_WEIGHTS, "groups of zeros, of subnormals, with huge values" },
};

/* The largest magnitude in the group of each of n rows' k values. */
static double *reaches(const float *x, size_t n, size_t ld, size_t k, size_t group)
{
    double *reach = kt_alloc(n * k * sizeof *reach, 8);

    for (size_t i = 0; i < n; i++)
        for (size_t g = 0; g < k; g += group) {
            double max = 0;
            for (size_t t = g; t < k && t < g + group; t++)
                max = max < fabs((double)x[i * ld + t]) ? fabs((double)x[i * ld + t]) : max;
            for (size_t t = g; t < k && t < g + group; t++)
                reach[i * k + t] = max;
        }
    return reach;
}

/* The largest magnitude that d * q + m, q of all numbers that the type has (Q4_0 -8..7, Q4_K 0..15, Q6_K -32..31), can have in n values at w. */
static double reach_of_scales(enum prism_type type, const uint8_t *w, size_t n)
{
    const double first = type == PRISM_Q4_0 ? -8 : type == PRISM_Q6_K ? -32 : 0, last = type == PRISM_Q6_K ? 31 : first + 15;
    int8_t q[256];
    float d[16], m[16] = { 0 };
    double max = 0;

    if (type == PRISM_Q6_K)
        prism_unpack_q6_k(q, d, m, w);
    else
        prism_kernels_generic.to_i8[type](q, d, m, w, n);
    for (size_t g = 0; g < n / (type == PRISM_Q6_K ? 16 : 32); g++) {
        const double ends = fmax(fabs(first * (double)d[g] + (double)m[g]), fabs(last * (double)d[g] + (double)m[g]));
        max = ends > max ? ends : max;
    }
    return max;
}

/* The same as reaches, of what scales can express in groups of 256. */
static double *reaches_of_scales(const struct product *p)
{
    double *reach = kt_alloc(p->cols * p->k * sizeof *reach, 8);

    for (size_t j = 0; j < p->cols; j++)
        for (size_t i = 0; i < p->k; i += 256) {
            const size_t n = p->k - i < 256 ? p->k - i : 256;
            const double max = reach_of_scales(p->type, p->w + j * p->row_bytes + prism_row_bytes(p->type, i), n);
            for (size_t t = i; t < i + n; t++)
                reach[j * p->k + t] = max;
        }
    return reach;
}

/* Values that share a scale: of activations, and of weights. */
static size_t group_of(const struct prism_linear *l, bool weights)
{
    return is_named(l, "bf16") ? 1 : is_named(l, "i8w") && weights ? 256 : l->k_step > 32 ? l->k_step : 32;
}

/* Whether its numbers become bytes by way of what their scales can express. */
static bool is_by_scales(const struct prism_linear *l, enum prism_type type)
{
    return is_named(l, "i8w") && (type == PRISM_Q4_0 || type == PRISM_Q4_K || type == PRISM_Q6_K);
}

/* The terms of the bound are those of struct prism_linear. Below 2^-120 activations may count as zero (prism_quantize_32;
 * VDPBF16PS flushes subnormals), which adds at most 2^-120 * |w| per k; no column has weights that small alone. */
static void exact_product(struct product *p)
{
    const double a_err = (double)p->l->a_err, w_err = weight_error(p->l, p->type);

    p->exact = kt_alloc(p->rows * p->cols * sizeof(double), 8);
    p->bound = kt_alloc(p->rows * p->cols * sizeof(double), 8);
    for (size_t i = 0; i < p->rows; i++)
        for (size_t j = 0; j < p->cols; j++) {
            const float *x = p->x + i * p->ldx, *w = p->wf + j * p->k;
            const double *x_reach = p->x_reach + i * p->k, *w_reach = p->w_reach + j * p->k;
            double sum = 0, sum_abs = 0, sum_a = 0, sum_w = 0, sum_aw = 0, tiny = 0;
            for (size_t t = 0; t < p->k; t++) {
                double xw = (double)x[t] * w[t];
                sum += xw;
                sum_abs += fabs(xw);
                sum_a += x_reach[t] * fabs((double)w[t]);
                sum_w += fabs((double)x[t]) * w_reach[t];
                sum_aw += x_reach[t] * w_reach[t];
                tiny += w_reach[t] * 0x1p-120;
            }
            p->exact[i * p->cols + j] = sum;
            p->bound[i * p->cols + j] = a_err * sum_a + w_err * sum_w + a_err * w_err * sum_aw + (double)p->k * FLT_EPSILON * sum_abs + tiny;
        }
}

/* With what the judges need. */
static void make(struct product *p, const struct product_shape *s, const struct prism_linear *l, enum prism_type type)
{
    product_make(p, s, l, type);
    p->x_reach = reaches(p->x, p->rows, p->ldx, p->k, group_of(l, false));
    p->w_reach = is_by_scales(l, type) ? reaches_of_scales(p) : reaches(p->wf, p->cols, p->k, p->k, group_of(l, true));
    exact_product(p);
    product_pack(p);
}

/* Judge: double. before: what c held, when the product was added to it: one more sum, half an ULP. */
static void check_against_double(const struct product *p, const float *c, const float *before)
{
    for (size_t i = 0; i < p->rows; i++)
        for (size_t j = 0; j < p->cols; j++) {
            double exact = p->exact[i * p->cols + j], bound = p->bound[i * p->cols + j];
            double old = before ? (double)before[i * p->ldc + j] : 0;
            kt_near((double)c[i * p->ldc + j], exact + old, bound + FLT_EPSILON * (fabs(exact + old) + bound), i, j);
        }
}

/* Judge: generic. The linear of the same name rounds its operands to the same values, so that only fp32 sums differ: each is
 * within k * FLT_EPSILON / 2 of the exact sum of |x||w|, where an offset m counts on its own (|d*q| <= |w| + |m|) and a
 * rounded operand is at most its reach larger. */
static void check_against_generic(struct product *p, const float *c)
{
    static const struct prism_linear *const definitions[] = { &prism_linear_f32_generic, &prism_linear_i8_generic,
                                                              &prism_linear_i8w_generic, &prism_linear_bf16_generic };
    const struct prism_linear *l = p->l, *g = NULL;
    for (size_t i = 0; i < sizeof definitions / sizeof *definitions; i++)
        if (!strcmp(definitions[i]->name, l->name))
            g = definitions[i];
    if (!g || g == l)
        return;

    struct product ref = *p;
    ref.l = g;
    product_pack(&ref);
    float *want = product_new_c(p);
    product_run(&ref, want, 0, p->rows, 0, p->cols, false);
    int8_t *q = kt_alloc(p->k, 1);
    float *d = kt_floats(p->k / 32 + 1), *m = kt_floats(p->k / 32 + 1);
    const bool offset = !strncmp(l->name, "i8", 2) && !is_named(l, "i8w") && prism_types[p->type].has_min;
    for (size_t j = 0; j < p->cols; j++) {
        if (offset)
            prism_kernels_generic.to_i8[p->type](q, d, m, p->w + j * p->row_bytes, p->k);
        for (size_t i = 0; i < p->rows; i++) {
            double sum = 0, tiny = 0;
            for (size_t t = 0; t < p->k; t++) {
                double xr = fabs((double)p->x[i * p->ldx + t]) + (double)l->a_err * p->x_reach[i * p->k + t];
                double wr = fabs((double)p->wf[j * p->k + t]) + weight_error(l, p->type) * p->w_reach[j * p->k + t];
                sum += xr * (offset ? wr + 2 * fabs((double)m[t / 32]) : wr);
                tiny += p->w_reach[j * p->k + t] * 0x1p-120;
            }
            kt_near((double)c[i * p->ldc + j], (double)want[i * p->ldc + j], (double)p->k * FLT_EPSILON * sum + tiny, i, j);
        }
    }
}

/* Judge: guards inside c, between cols and ldc. */
static void check_gaps(const struct product *p, const float *c)
{
    for (size_t i = 0; i + 1 < p->rows; i++)
        kt_true(kt_untouched(c + i * p->ldc + p->cols, (p->ldc - p->cols) * sizeof *c), "wrote past cols");
}

/* The same bits whichever way rows and columns are split into calls. before: what c was added to, or NULL. */
static void check_splits(const struct product *p, const float *c, const float *before)
{
    const struct prism_linear *l = p->l;
    float *by_panel = product_new_c(p), *by_row = product_new_c(p);

    for (size_t i = 0; before && i < (p->rows - 1) * p->ldc + p->cols; i++)
        by_panel[i] = by_row[i] = before[i];
    for (size_t i = 0; i < p->rows; i += l->mr)
        for (size_t j = 0; j < p->cols; j += l->nr)
            product_run(p, by_panel, i, p->rows - i < l->mr ? p->rows - i : l->mr, j, p->cols - j < l->nr ? p->cols - j : l->nr, before);
    for (size_t i = 0; i < p->rows; i += l->mr)
        for (size_t j = 0; j < p->cols; j += l->nr)
            product_run(p, by_row, i, 1, j, 1, before);
    for (size_t i = 0; i < p->rows; i++)
        kt_same_floats(by_panel + i * p->ldc, c + i * p->ldc, p->cols);
    for (size_t i = 0; i < p->rows; i += l->mr)
        for (size_t j = 0; j < p->cols; j += l->nr)
            kt_same_floats(by_row + i * p->ldc + j, c + i * p->ldc + j, 1);
}

static void check_linear(const struct prism_kernels *k, const struct prism_linear *l, enum prism_type type)
{
    for (size_t n = 0; n < sizeof shapes / sizeof *shapes; n++) {
        struct product p;
        if (shapes[n].values == HARD_WEIGHTS && !is_float(type))
            continue;
        make(&p, &shapes[n], l, type);
        kt_context("%s linear %s %s %zux%zux%zu (%s)", k->name, l->name, prism_types[type].name, p.rows, p.cols, p.k, shapes[n].why);

        float *c = product_new_c(&p), *sum = product_new_c(&p), *before = product_new_c(&p);
        product_run(&p, c, 0, p.rows, 0, p.cols, false);
        check_gaps(&p, c);
        check_against_double(&p, c, NULL);
        check_against_generic(&p, c);
        check_splits(&p, c, NULL);

        kt_fill(before, (p.rows - 1) * p.ldc + p.cols, KT_NORMAL);
        memcpy(sum, before, ((p.rows - 1) * p.ldc + p.cols) * sizeof *sum);
        product_run(&p, sum, 0, p.rows, 0, p.cols, true);
        check_against_double(&p, sum, before);
        check_splits(&p, sum, before);
        kt_release();
    }
}

static void check_f32(const struct prism_kernels *k)
{
    assert_string_equal(k->linear_f32->name, "f32");
    assert_true(k->linear_f32->a_err <= 0 && k->linear_f32->w_err <= 0);
    for (int t = 0; t < PRISM_N_TYPES; t++)
        check_linear(k, k->linear_f32, (enum prism_type)t);
}

static void check_auto(const struct prism_kernels *k) { each_kind(k, check_linear); }

/* The definitions that the generic table does not choose. */
static void check_definitions(const struct prism_kernels *k)
{
    if (k != &prism_kernels_generic)
        return;
    for (int t = 0; t < PRISM_N_TYPES; t++) {
        check_linear(k, &prism_linear_bf16_generic, (enum prism_type)t);
        if (k->to_i8[t]) {
            check_linear(k, &prism_linear_i8_generic, (enum prism_type)t);
            check_linear(k, &prism_linear_i8w_generic, (enum prism_type)t);
        }
    }
}

static void test_f32(void **state) { (void)state, kt_levels(check_f32); }
static void test_auto(void **state) { (void)state, kt_levels(check_auto); }
static void test_definitions(void **state) { (void)state, kt_levels(check_definitions); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f32),
        cmocka_unit_test(test_auto),
        cmocka_unit_test(test_definitions),
    };
    return cmocka_run_group_tests_name("arch/linear", tests, NULL, NULL);
}
