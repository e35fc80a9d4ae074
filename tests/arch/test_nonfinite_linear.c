/* test_nonfinite_linear.c - NaN, infinity and what overflows in the operands of every linear and gemv of every level: never a number that is
 * wrong, at no position of a group, and nothing at all in other rows and columns. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/generic/generic.h"
#include "src/base/size.h"
#include "tests/support/kernel_test.h"

enum { GROUP = 32, ZERO_ROW = 1, ZERO_COL = 2 }; /* a factor of 0 does not hide a NaN */

static bool is_float(enum prism_type type) { return type == PRISM_F32 || type == PRISM_F16 || type == PRISM_BF16; }

/* A product of whatever kind: operands as a caller has them, what is kept packed, and the clean result. */
struct product {
    const struct prism_linear *l;  /* one of these three */
    const struct prism_gemv *g;
    prism_gemv_fn *gemv;
    enum prism_type type;
    size_t rows, cols, k, row_bytes;
    float *x;                      /* [rows][k] */
    uint8_t *w;                    /* [cols] stored rows */
    char *a, *b;                   /* packed x and w */
    float *clean, *c;              /* [rows][cols] */
};

/* How many rows of x lie in one packed unit, and its bytes. */
static size_t unit_rows(const struct product *p) { return p->l ? p->l->mr : 1; }
static size_t unit_bytes(const struct product *p) { return p->l ? p->l->a_bytes(p->k) : p->g ? p->g->x_bytes(p->k) : 64; }

static void pack_rows(struct product *p, size_t row)
{
    const size_t first = row / unit_rows(p) * unit_rows(p), n = min_size(unit_rows(p), p->rows - first);
    char *at = p->a + first / unit_rows(p) * unit_bytes(p);
    if (p->l)
        p->l->pack_a(at, p->x + first * p->k, p->k, n, p->k);
    else if (p->g)
        p->g->pack_x(at, p->x + first * p->k, p->k);
}

static void pack_cols(struct product *p, size_t col)
{
    if (!p->l)
        return;
    const size_t nr = p->l->nr, first = col / nr * nr;
    p->l->pack_w(p->b + first / nr * p->l->w_bytes(p->k), p->w + first * p->row_bytes, p->row_bytes, p->type, min_size(nr, p->cols - first), p->k);
}

static void run(const struct product *p, float *c)
{
    if (p->l)
        p->l->gemm(&(struct prism_gemm_args){ .c = c, .ldc = p->cols, .a = p->a, .w = p->b, .rows = p->rows, .cols = p->cols, .k = p->k });
    else if (p->g)
        p->g->gemv(c, p->cols, p->a, p->rows, p->w, p->row_bytes, p->type, p->cols, p->k);
    else
        p->gemv(c, p->cols, p->x, p->k, p->rows, p->w, p->row_bytes, p->type, p->cols, p->k);
}

static void make(struct product *p)
{
    const size_t block = prism_types[p->type].block;

    if (p->l) {
        p->rows = p->l->mr + 2;
        p->cols = p->l->nr + 3;
    } else {
        p->rows = 7; /* 4, 2 and 1 at a time */
        p->cols = 5;
    }
    const size_t step = max_size(block, p->l ? p->l->k_step : p->g ? GROUP : 1);
    p->k = round_up(p->l ? 96 : 288, step) + (step < 4 ? 4 + step : 0); /* with a tail where there may be one */
    p->row_bytes = prism_row_bytes(p->type, p->k);
    p->x = kt_floats(p->rows * p->k);
    p->w = kt_alloc(p->cols * p->row_bytes, 4);
    p->a = kt_alloc((p->rows + unit_rows(p) - 1) / unit_rows(p) * unit_bytes(p), 64);
    p->b = p->l ? kt_alloc((p->cols + p->l->nr - 1) / p->l->nr * p->l->w_bytes(p->k), 64) : NULL;
    p->clean = kt_floats(p->rows * p->cols);
    p->c = kt_floats(p->rows * p->cols);
    kt_fill(p->x, p->rows * p->k, KT_NORMAL);
    memset(p->x + ZERO_ROW * p->k, 0, p->k * sizeof *p->x);
    kt_fill_blocks(p->w, p->type, p->cols * p->k);
    memset(p->w + ZERO_COL * p->row_bytes, 0, p->row_bytes);
    for (size_t i = 0; i < p->rows; i += unit_rows(p))
        pack_rows(p, i);
    for (size_t j = 0; p->l && j < p->cols; j += p->l->nr)
        pack_cols(p, j);
    run(p, p->clean);
    kt_finite(p->clean, p->rows * p->cols);
}

/* Row `row` (or column `col`) is not finite, everything else as it was. */
static void check_spoilt(struct product *p, size_t row, size_t col)
{
    run(p, p->c);
    for (size_t i = 0; i < p->rows; i++)
        for (size_t j = 0; j < p->cols; j++) {
            const size_t at = i * p->cols + j;
            if (i == row || j == col)
                kt_nonfinite(p->c + at, 1);
            else
                kt_same_floats(p->c + at, p->clean + at, 1);
        }
}

/* Of n positions every one of the first group and of the last. */
static size_t next_position(size_t t, size_t n) { return t + 1 == GROUP && n >= 2 * GROUP ? n - GROUP : t + 1; }

/* At every position, in changing rows. */
static void check_activations(struct product *p, const char *level, const char *kind)
{
    for (size_t t = 0; t < p->k; t = next_position(t, p->k))
        for (int n = 0; n < KT_N_POISONS; n++) {
            const size_t row = (5 * t + (size_t)n) % p->rows;
            float *x = p->x + row * p->k + t, was = *x;
            kt_context("%s %s %s, activation %g at %zu of row %zu of %zu", level, kind, prism_types[p->type].name, (double)kt_poison[n], t, row,
                       p->rows);
            *x = kt_poison[n];
            pack_rows(p, row);
            check_spoilt(p, row, SIZE_MAX);
            *x = was;
            pack_rows(p, row);
        }
}

/* Overwrites a weight; `bits` has the former value afterwards. */
static void swap_weight(uint8_t *at, size_t bytes, uint64_t *bits)
{
    uint64_t was = 0;
    memcpy(&was, at, bytes);
    memcpy(at, bits, bytes);
    *bits = was;
}

static void check_weight(struct product *p, size_t col, uint8_t *at, size_t bytes, uint64_t bits)
{
    swap_weight(at, bytes, &bits);
    pack_cols(p, col);
    check_spoilt(p, SIZE_MAX, col);
    swap_weight(at, bytes, &bits);
    pack_cols(p, col);
}

/* kt_poison in the formats of F32, F16 and BF16, NaN with a payload of one bit. */
static uint32_t stored_poison(enum prism_type type, int n)
{
    static const uint32_t f32[] = { 0x7f800001, 0x7f800000, 0xff800000, 0xffc00000 }, f16[] = { 0x7c01, 0x7c00, 0xfc00, 0xfe00 };
    static const uint32_t bf16[] = { 0x7f81, 0x7f80, 0xff80, 0xffc0 };
    return (type == PRISM_F32 ? f32 : type == PRISM_BF16 ? bf16 : f16)[n];
}

/* Values, or both scales of every block. */
static void check_weights(struct product *p, const char *level, const char *kind)
{
    const size_t bytes = prism_types[p->type].bytes, blocks = p->k / prism_types[p->type].block;

    for (size_t t = 0; t < blocks; t = next_position(t, blocks))
        for (int n = 0; n < KT_N_POISONS; n++)
            for (int half = 0; half < 2; half++) {
                const size_t col = (5 * t + 7 * (size_t)half + (size_t)n) % p->cols;
                const bool nibbles = prism_types[p->type].scale == PRISM_SCALE_NIBBLES && half == 0;
                const int at = is_float(p->type) ? -half : nibbles ? prism_types[p->type].scale_at[0] : kt_half_at(p->type, half);
                if (at < 0)
                    continue;
                uint8_t *scale = p->w + col * p->row_bytes + t * bytes + (size_t)at;
                uint64_t bits = stored_poison(p->type, n);
                if (nibbles) {
                    uint8_t words[8];
                    memcpy(words, scale, sizeof words);
                    kt_put_nibbles(words, (uint16_t)bits);
                    memcpy(&bits, words, sizeof bits);
                }
                kt_context("%s %s %s, poison %d in weight or block %zu of column %zu of %zu", level, kind, prism_types[p->type].name, n, t, col,
                           p->cols);
                check_weight(p, col, scale, nibbles ? 8 : p->type == PRISM_F32 ? 4 : 2, bits);
            }
}

/* ---- very large and very small numbers ---- */

/* The largest magnitude in the group of each of k values. */
static void reaches(double *reach, const float *x, size_t k, size_t group)
{
    for (size_t g = 0; g < k; g += group) {
        float max = 0;
        for (size_t t = g; t < k && t < g + group; t++)
            max = fmaxf(max, fabsf(x[t]));
        for (size_t t = g; t < k && t < g + group; t++)
            reach[t] = (double)max;
    }
}

/* A product is not finite, or right: within a few times what the kind may round, which is far below what an overflow does. */
static void check_extremes(struct product *p, const char *level, const char *kind)
{
    static const float sizes[] = { 0x1p-149f, 0x1p-127f, 0x1.fp-121f, 0x1p-120f, 0x1.fp-113f, 0x1p-112f, 0x1p-100f, 1e30f, 0x1p126f, FLT_MAX };
    double *x_reach = kt_alloc(p->k * sizeof *x_reach, 8), *w_reach = kt_alloc(p->k * sizeof *w_reach, 8);
    float *w = kt_floats(p->k);
    const bool wide = p->l && !strcmp(p->l->name, "i8w");

    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        kt_context("%s %s %s, activations up to %g", level, kind, prism_types[p->type].name, (double)sizes[s]);
        for (size_t i = 0; i < p->rows * p->k; i++) /* the last row is the largest alone, in its first group */
            p->x[i] = i / p->k + 1 == p->rows ? (i % p->k < GROUP ? sizes[s] : 0) : (float)(kt_uniform(-1, 1) * (double)sizes[s]);
        for (size_t i = 0; i < p->rows; i += unit_rows(p))
            pack_rows(p, i);
        run(p, p->c);
        for (size_t j = 0; j < p->cols; j++) {
            prism_kernels_generic.to_f32[p->type](w, p->w + j * p->row_bytes, p->k);
            reaches(w_reach, w, p->k, wide ? 256 : GROUP);
            for (size_t i = 0; i < p->rows; i++) {
                double exact = 0, bound = 0;
                reaches(x_reach, p->x + i * p->k, p->k, wide ? 64 : GROUP);
                for (size_t t = 0; t < p->k; t++) {
                    exact += (double)p->x[i * p->k + t] * w[t];
                    bound += 0.02 * x_reach[t] * (w_reach[t] + 0.5) + 0x1p-110 * (w_reach[t] + 0.5); /* 0.5: of offsets that cancel */
                }
                const float got = p->c[i * p->cols + j];
                kt_true(sizes[s] > 1 || isfinite(got), "small numbers made a NaN");
                if (isfinite(got))
                    kt_near((double)got, exact, bound, i, j);
            }
        }
    }
}

/* ---- which products there are ---- */

static void check_product(struct product p, const char *level, const char *kind)
{
    kt_context("%s %s %s", level, kind, prism_types[p.type].name);
    make(&p);
    check_activations(&p, level, kind);
    check_weights(&p, level, kind);
    check_extremes(&p, level, kind);
    kt_release();
}

static void check_linear(const struct prism_kernels *k)
{
    for (int t = 0; t < PRISM_N_TYPES; t++) {
        const enum prism_type type = (enum prism_type)t;
        check_product((struct product){ .l = k->linear_f32, .type = type }, k->name, "linear f32");
        for (int i = 0; i < PRISM_TYPE_KINDS; i++) {
            const struct prism_linear *kind = prism_type_kind(k, type, i);
            if (kind && kind != k->linear_f32)
                check_product((struct product){ .l = kind, .type = type }, k->name, kind->name);
        }
        if (k != &prism_kernels_generic)
            continue;
        check_product((struct product){ .l = &prism_linear_bf16_generic, .type = type }, k->name, "linear bf16"); /* definitions */
        if (k->to_i8[t]) {
            check_product((struct product){ .l = &prism_linear_i8_generic, .type = type }, k->name, "linear i8");
            check_product((struct product){ .l = &prism_linear_i8w_generic, .type = type }, k->name, "linear i8w");
        }
    }
}

static void check_gemv(const struct prism_kernels *k)
{
    for (int t = 0; t < PRISM_N_TYPES; t++) {
        const enum prism_type type = (enum prism_type)t;
        check_product((struct product){ .gemv = k->gemv, .type = type }, k->name, "gemv");
        if (k->gemv_auto[t])
            check_product((struct product){ .g = k->gemv_auto[t], .type = type }, k->name, "gemv i16");
        if (k == &prism_kernels_generic && k->to_i8[t])
            check_product((struct product){ .g = &prism_gemv_i16_generic, .type = type }, k->name, "gemv i16");
    }
}

static void test_linear(void **state) { (void)state, kt_levels(check_linear); }
static void test_gemv(void **state) { (void)state, kt_levels(check_gemv); }

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_linear), cmocka_unit_test(test_gemv) };
    return cmocka_run_group_tests_name("arch/nonfinite_linear", tests, NULL, NULL);
}
