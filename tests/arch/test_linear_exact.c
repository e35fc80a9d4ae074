/* test_linear_exact.c - what every linear of every level must do exactly: products of integers that stay what they are, and panels packed in parts. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "arch/generic/generic.h"
#include "tests/support/kernel_test.h"
#include "tests/support/linear_case.h"

/* Weights 0 and +-2^n that become 0 and the largest integer, with n by column; all + in column 0, all - in column 1. */
static void fill_signs(struct product *p)
{
    p->w = kt_alloc(p->cols * p->row_bytes, 2);
    p->wf = kt_floats(p->cols * p->k);
    for (size_t j = 0; j < p->cols; j++) {
        float *w = p->wf + j * p->k;
        for (size_t i = 0; i < p->k; i++)
            w[i] = ldexpf(j < 2 ? 1 - 2 * (float)j : (float)((int)(kt_random() >> 8) % 3 - 1), (int)(j % 5) - 4);
        store_floats(p->w + j * p->row_bytes, p->type, w, p->k);
    }
}

/* Blocks of all zeros and all ones by column, which are the smallest and the largest integers, with a scale of 1. */
static void fill_largest(struct product *p)
{
    const struct prism_type_info *t = &prism_types[p->type];
    const uint16_t one = 0x3c00, little = 0x2000;

    p->w = kt_alloc(p->cols * p->row_bytes, 1);
    p->wf = kt_floats(p->cols * p->k);
    for (size_t j = 0; j < p->cols; j++)
        for (size_t b = 0; b < p->row_bytes; b += t->bytes) {
            uint8_t *block = p->w + j * p->row_bytes + b;
            memset(block, j % 2 ? 0xff : 0, t->bytes);
            if (p->type == PRISM_Q6_K)
                memset(block + 192, j % 4 < 2 ? 0x80 : 0x7f, 16);
            memcpy(block + kt_half_at(p->type, 0), &one, sizeof one);
            if (kt_half_at(p->type, 1) >= 0)
                memcpy(block + kt_half_at(p->type, 1), &little, sizeof little);
        }
    for (size_t j = 0; j < p->cols; j++)
        prism_kernels_generic.to_f32[p->type](p->wf + j * p->k, p->w + j * p->row_bytes, p->k);
}

/* Activations that quantise to themselves, with a largest of `whole`, all - that in row 0, all + in row 1: the product must be exact up to fp32
 * sums, which no loose bound can hide. */
static void check_whole_activations(const struct prism_kernels *k, const struct prism_linear *l, enum prism_type type, int whole, bool largest)
{
    struct product p;
    product_make(&p, &(struct product_shape){ 1, 1, 1, 1, 512, KT_NORMAL, "" }, l, type);
    kt_context("%s linear %s %s, whole activations", k->name, l->name, prism_types[type].name);
    float *x = kt_floats((p.rows - 1) * p.ldx + p.k), *c = product_new_c(&p);
    for (size_t i = 0; i < p.rows; i++)
        for (size_t j = 0; j < p.k; j++)
            x[i * p.ldx + j] = (float)(i == 1 ? whole : i == 0 || j % 32 == 5 ? -whole : ((int)(kt_random() >> 8) % (whole + 1)) * (j & 1 ? 1 : -1));
    p.x = x;
    if (is_float(type))
        fill_signs(&p);
    else if (largest)
        fill_largest(&p);
    product_pack(&p);
    product_run(&p, c, 0, p.rows, 0, p.cols, false);
    for (size_t i = 0; i < p.rows; i++)
        for (size_t j = 0; j < p.cols; j++) {
            double exact = 0, sum = 0;
            for (size_t s = 0; s < p.k; s++) {
                exact += (double)p.x[i * p.ldx + s] * p.wf[j * p.k + s];
                sum += whole * (fabs((double)p.wf[j * p.k + s]) + (is_float(type) ? 0 : 1)); /* |m| < 1 in this data: offsets cancel */
            }
            kt_near((double)c[i * p.ldc + j], exact, 16 * FLT_EPSILON * sum, i, j);
        }
    kt_release();
}

/* The largest integer of an activation, which the bound says: half a step, and three roundings of the largest. */
static int largest_of(const struct prism_linear *l) { return (int)lround(0.5 / ((double)l->a_err - 3 * 0x1p-24)); }

static void check_exact(const struct prism_kernels *k, const struct prism_linear *l, enum prism_type type)
{
    const bool bytes = !strcmp(l->name, "i8") || !strcmp(l->name, "i8k"), words = !strcmp(l->name, "i16");
    for (int largest = 0; largest < 1 + (kt_half_at(type, 0) >= 0); largest++)
        if ((bytes || words) && (weight_error(l, type) <= 0 || (words && is_float(type))))
            check_whole_activations(k, l, type, bytes ? 127 : largest_of(l), largest);
}

static void check_exact_activations(const struct prism_kernels *k) { each_kind(k, check_exact); }

/* Packed part by part, rows are the same panel: whole parts, and a last one that is shorter. */
static void check_parts_of(const struct prism_kernels *k, const struct prism_linear *l, enum prism_type type)
{
    (void)type; /* activations only */
    const size_t n = 5 * l->a_part + (l->a_part > l->k_step ? l->k_step : 0), ldx = n + 3;

    for (size_t rows = 1; l->a_part && rows <= l->mr; rows++)
        for (size_t part = l->a_part; part <= 2 * l->a_part; part += l->a_part) {
            kt_context("%s linear %s, %zu rows in parts of %zu", k->name, l->name, rows, part);
            float *x = kt_floats((rows - 1) * ldx + n);
            char *whole = kt_alloc(l->a_bytes(n), 64), *parts = kt_alloc(l->a_bytes(n), 64);
            kt_fill(x, (rows - 1) * ldx + n, KT_HARD);
            memset(whole, 0x5a, l->a_bytes(n)); /* where packers leave gaps, too */
            memset(parts, 0x5a, l->a_bytes(n));
            l->pack_a(whole, x, ldx, rows, n);
            for (size_t at = 0; at < n; at += part)
                l->pack_a(parts + l->a_bytes(at), x + at, ldx, rows, n - at < part ? n - at : part);
            kt_true(!memcmp(whole, parts, l->a_bytes(n)), "another panel");
            kt_release();
        }
}

static void check_parts(const struct prism_kernels *k)
{
    check_parts_of(k, k->linear_f32, PRISM_F32);
    each_kind(k, check_parts_of);
}

static void test_exact_activations(void **state) { (void)state, kt_levels(check_exact_activations); }
static void test_parts(void **state) { (void)state, kt_levels(check_parts); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_activations),
        cmocka_unit_test(test_parts),
    };
    return cmocka_run_group_tests_name("arch/linear_exact", tests, NULL, NULL);
}
