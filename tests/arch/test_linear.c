/* test_linear.c - every distinct linear of every level: all types it serves, all kinds of tails, sums and splits. */
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

/* Panels and remainders: rows = row_panels * mr + row_rest. A rest of -1 is one short of a panel. k is rounded up to the
 * block of the type and to k_step. */
enum {
    ONE_HOT = KT_N_VALUES, /* row i is 1 at k = 7 i + 3 and 0 elsewhere: each output is one weight, as the linear rounded it */
    HARD_WEIGHTS,          /* groups of weights are hard, the activations normal: F32, F16 and BF16 */
};

struct shape {
    int row_panels, row_rest, col_panels, col_rest;
    size_t k;
    int values; /* enum kt_values or one of the above */
    const char *why;
};

static const struct shape shapes[] = {
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

/* One product: the operands as a caller has them, and packed. */
struct product {
    const struct prism_linear *l;
    enum prism_type type;
    size_t rows, cols, k, ldx, ldc, row_bytes;
    float *x;            /* [rows][k] stride ldx */
    uint8_t *w;          /* [cols] stored rows */
    float *wf;           /* [cols][k] the same as floats */
    char *a, *b;         /* panels of x and w */
    double *x_reach, *w_reach; /* [rows][k], [cols][k]: how large its surroundings are, see reaches */
    double *exact, *bound;     /* [rows][cols]: the product, and how far an implementation may be from it */
};

static size_t count(int panels, int rest, unsigned width)
{
    long n = (long)panels * width + rest;
    return n < 1 ? 1 : (size_t)n;
}

static void pack(struct product *p)
{
    const struct prism_linear *l = p->l;
    size_t n_a = round_up(p->rows, l->mr) / l->mr, n_w = round_up(p->cols, l->nr) / l->nr;

    assert_int_equal(l->a_bytes(p->k) % 64, 0);
    assert_int_equal(l->w_bytes(p->k) % 64, 0);
    p->a = kt_alloc(n_a * l->a_bytes(p->k), 64);
    p->b = kt_alloc(n_w * l->w_bytes(p->k), 64);
    for (size_t i = 0; i < p->rows; i += l->mr)
        l->pack_a(p->a + i / l->mr * l->a_bytes(p->k), p->x + i * p->ldx, p->ldx, p->rows - i < l->mr ? p->rows - i : l->mr, p->k);
    for (size_t j = 0; j < p->cols; j += l->nr)
        l->pack_w(p->b + j / l->nr * l->w_bytes(p->k), p->w + j * p->row_bytes, p->row_bytes, p->type,
                  p->cols - j < l->nr ? p->cols - j : l->nr, p->k);
    kt_freeze(p->a);
    kt_freeze(p->b);
}

static bool is_named(const struct prism_linear *l, const char *name) { return !strcmp(l->name, name); }

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

/* The same of numbers of four bits that become bytes: the largest magnitude that d * q + m, q = 0..15 (Q4_0: -8..7), can have. */
static double *reaches_of_scales(const struct product *p, size_t group)
{
    const double first = p->type == PRISM_Q4_0 ? -8 : 0;
    double *reach = kt_alloc(p->cols * p->k * sizeof *reach, 8);
    int8_t *q = kt_alloc(p->k, 1);
    float *d = kt_floats(p->k / 32), *m = kt_floats(p->k / 32);

    for (size_t j = 0; j < p->cols; j++) {
        prism_kernels_generic.to_i8[p->type](q, d, m, p->w + j * p->row_bytes, p->k);
        for (size_t i = 0; i < p->k; i += group) {
            double max = 0;
            for (size_t t = i; t < p->k && t < i + group; t++)
                max = fmax(max, fmax(fabs(first * (double)d[t / 32] + (double)m[t / 32]), fabs((first + 15) * (double)d[t / 32] + (double)m[t / 32])));
            for (size_t t = i; t < p->k && t < i + group; t++)
                reach[j * p->k + t] = max;
        }
    }
    return reach;
}

/* Values that share a scale: of activations, and of weights. */
static size_t group_of(const struct prism_linear *l, bool weights)
{
    return is_named(l, "bf16") ? 1 : is_named(l, "i8w") && weights ? 256 : l->k_step > 32 ? l->k_step : 32;
}

static bool is_of_nibbles(const struct prism_linear *l, enum prism_type type)
{
    return is_named(l, "i8sym") || (is_named(l, "i8w") && (type == PRISM_Q4_0 || type == PRISM_Q4_K));
}

static bool is_float(enum prism_type type) { return type == PRISM_F32 || type == PRISM_F16 || type == PRISM_BF16; }

static bool requantises(const struct prism_linear *l) { return is_named(l, "i8sym") || is_named(l, "i8w"); }

/* What a linear rounds of weights of a type: blocks with scales of 32 values are taken as they are by bytes and by two-byte integers, which also
 * take Q3_K and Q6_K (arch/avx2/linear_i16.c). */
static double weight_error(const struct prism_linear *l, enum prism_type type)
{
    const bool by_32 = prism_types[type].group == 32;
    bool exact = !is_float(type) && !requantises(l) &&
                 ((!strcmp(l->name, "i16") && (by_32 || type == PRISM_Q3_K || type == PRISM_Q6_K)) || (!strncmp(l->name, "i8", 2) && by_32));
    return exact ? 0 : (double)l->w_err;
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

/* Stores n floats as a type without blocks, F16 within its range. */
static void store(uint8_t *w, enum prism_type type, float *x, size_t n)
{
    for (size_t i = 0; i < n && type == PRISM_F16; i++)
        x[i] = fmaxf(-60000, fminf(60000, x[i]));
    if (type == PRISM_F32)
        memcpy(w, x, n * sizeof *x);
    else
        (type == PRISM_F16 ? prism_f32_to_f16_generic : prism_f32_to_bf16_generic)((uint16_t *)(void *)w, x, n);
}

/* Groups of 32 of each kind follow one another along a row. */
static void fill_hard_weights(const struct product *p)
{
    for (size_t j = 0; j < p->cols; j++)
        for (size_t g = 0; g < p->k / 32; g++) {
            const int kind = (int)((j + g) % 4);
            float x[32];
            kt_fill(x, 32, kind == 2 ? KT_HARD : KT_NORMAL);
            for (size_t i = 0; i < 32 && kind < 2; i++)
                x[i] *= kind == 0 ? 0 : p->type == PRISM_F16 ? 0x1p-22f : 0x1p-130f;
            store(p->w + j * p->row_bytes + prism_row_bytes(p->type, 32 * g), p->type, x, 32);
        }
}

static void make(struct product *p, const struct shape *s, const struct prism_linear *l, enum prism_type type)
{
    p->l = l;
    p->type = type;
    p->rows = count(s->row_panels, s->row_rest, l->mr);
    p->cols = count(s->col_panels, s->col_rest, l->nr);
    p->k = round_up(s->k, prism_types[type].block > l->k_step ? prism_types[type].block : l->k_step);
    p->ldx = p->k + 3;
    p->ldc = p->cols + 5;
    p->row_bytes = prism_row_bytes(type, p->k);
    p->x = kt_floats((p->rows - 1) * p->ldx + p->k);
    p->w = kt_alloc(p->cols * p->row_bytes, type == PRISM_F32 ? 4 : type == PRISM_F16 || type == PRISM_BF16 ? 2 : 1);
    p->wf = kt_floats(p->cols * p->k);
    for (size_t i = 0; i < p->rows; i++) {
        if (s->values != ONE_HOT) {
            kt_fill(p->x + i * p->ldx, p->k, s->values == HARD_WEIGHTS ? KT_NORMAL : (enum kt_values)s->values);
            continue;
        }
        memset(p->x + i * p->ldx, 0, p->k * sizeof *p->x);
        p->x[i * p->ldx + (7 * i + 3) % p->k] = 1;
    }
    kt_fill_blocks(p->w, type, p->cols * p->k);
    if (s->values == HARD_WEIGHTS)
        fill_hard_weights(p);
    for (size_t j = 0; j < p->cols; j++)
        prism_kernels_generic.to_f32[type](p->wf + j * p->k, p->w + j * p->row_bytes, p->k);
    kt_freeze(p->x);
    kt_freeze(p->w);
    kt_freeze(p->wf);
    p->x_reach = reaches(p->x, p->rows, p->ldx, p->k, group_of(l, false));
    p->w_reach = is_of_nibbles(l, type) ? reaches_of_scales(p, group_of(l, true)) : reaches(p->wf, p->cols, p->k, p->k, group_of(l, true));
    exact_product(p);
    pack(p);
}

static void run(const struct product *p, float *c, size_t i0, size_t rows, size_t j0, size_t cols, bool add)
{
    const struct prism_linear *l = p->l;
    l->gemm(&(struct prism_gemm_args){ .c = c + i0 * p->ldc + j0, .ldc = p->ldc, .a = p->a + i0 / l->mr * l->a_bytes(p->k),
                                       .w = p->b + j0 / l->nr * l->w_bytes(p->k), .rows = rows, .cols = cols, .k = p->k, .add = add });
}

static float *new_c(const struct product *p) { return kt_floats((p->rows - 1) * p->ldc + p->cols); }

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
                                                              &prism_linear_i8sym_generic, &prism_linear_i8w_generic,
                                                              &prism_linear_bf16_generic };
    const struct prism_linear *l = p->l, *g = NULL;
    for (size_t i = 0; i < sizeof definitions / sizeof *definitions; i++)
        if (!strcmp(definitions[i]->name, l->name))
            g = definitions[i];
    if (!g || g == l)
        return;

    struct product ref = *p;
    ref.l = g;
    pack(&ref);
    float *want = new_c(p);
    run(&ref, want, 0, p->rows, 0, p->cols, false);
    int8_t *q = kt_alloc(p->k, 1);
    float *d = kt_floats(p->k / 32 + 1), *m = kt_floats(p->k / 32 + 1);
    const bool offset = !strncmp(l->name, "i8", 2) && !requantises(l) && prism_types[p->type].has_min;
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
    float *by_panel = new_c(p), *by_row = new_c(p);

    for (size_t i = 0; before && i < (p->rows - 1) * p->ldc + p->cols; i++)
        by_panel[i] = by_row[i] = before[i];
    for (size_t i = 0; i < p->rows; i += l->mr)
        for (size_t j = 0; j < p->cols; j += l->nr)
            run(p, by_panel, i, p->rows - i < l->mr ? p->rows - i : l->mr, j, p->cols - j < l->nr ? p->cols - j : l->nr, before);
    for (size_t i = 0; i < p->rows; i += l->mr)
        for (size_t j = 0; j < p->cols; j += l->nr)
            run(p, by_row, i, 1, j, 1, before);
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

        float *c = new_c(&p), *sum = new_c(&p), *before = new_c(&p);
        run(&p, c, 0, p.rows, 0, p.cols, false);
        check_gaps(&p, c);
        check_against_double(&p, c, NULL);
        check_against_generic(&p, c);
        check_splits(&p, c, NULL);

        kt_fill(before, (p.rows - 1) * p.ldc + p.cols, KT_NORMAL);
        memcpy(sum, before, ((p.rows - 1) * p.ldc + p.cols) * sizeof *sum);
        run(&p, sum, 0, p.rows, 0, p.cols, true);
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

/* check(k, kind, type) for the kinds that compute auto may choose for a type, but fp32. */
static void each_kind(const struct prism_kernels *k, void (*check)(const struct prism_kernels *, const struct prism_linear *, enum prism_type))
{
    for (int t = 0; t < PRISM_N_TYPES; t++) {
        const struct prism_linear *kinds[] = { k->linear_auto[t], k->linear_finer[t] };
        for (int i = 0; i < 2; i++)
            if (kinds[i] && kinds[i] != k->linear_f32)
                check(k, kinds[i], (enum prism_type)t);
    }
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
    check_linear(k, &prism_linear_i8sym_generic, PRISM_Q4_K);
}

/* Weights 0 and +-2^n that become 0 and the largest integer, with n by column; all + in column 0, all - in column 1. */
static void fill_signs(struct product *p)
{
    p->w = kt_alloc(p->cols * p->row_bytes, 2);
    p->wf = kt_floats(p->cols * p->k);
    for (size_t j = 0; j < p->cols; j++) {
        float *w = p->wf + j * p->k;
        for (size_t i = 0; i < p->k; i++)
            w[i] = ldexpf(j < 2 ? 1 - 2 * (float)j : (float)((int)(kt_random() >> 8) % 3 - 1), (int)(j % 5) - 4);
        store(p->w + j * p->row_bytes, p->type, w, p->k);
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
    make(&p, &(struct shape){ 1, 1, 1, 1, 512, KT_NORMAL, "" }, l, type);
    kt_context("%s linear %s %s, whole activations", k->name, l->name, prism_types[type].name);
    float *x = kt_floats((p.rows - 1) * p.ldx + p.k), *c = new_c(&p);
    for (size_t i = 0; i < p.rows; i++)
        for (size_t j = 0; j < p.k; j++)
            x[i * p.ldx + j] = (float)(i == 1 ? whole : i == 0 || j % 32 == 5 ? -whole : ((int)(kt_random() >> 8) % (whole + 1)) * (j & 1 ? 1 : -1));
    p.x = x;
    if (is_float(type))
        fill_signs(&p);
    else if (largest)
        fill_largest(&p);
    pack(&p);
    run(&p, c, 0, p.rows, 0, p.cols, false);
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

static void test_parts(void **state) { (void)state, kt_levels(check_parts); }
static void test_f32(void **state) { (void)state, kt_levels(check_f32); }
static void test_auto(void **state) { (void)state, kt_levels(check_auto); }
static void test_definitions(void **state) { (void)state, kt_levels(check_definitions); }
static void test_exact_activations(void **state) { (void)state, kt_levels(check_exact_activations); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f32),
        cmocka_unit_test(test_auto),
        cmocka_unit_test(test_definitions),
        cmocka_unit_test(test_exact_activations),
        cmocka_unit_test(test_parts),
    };
    return cmocka_run_group_tests_name("arch/linear", tests, NULL, NULL);
}
