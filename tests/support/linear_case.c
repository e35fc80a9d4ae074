/* linear_case.c - see linear_case.h. */
#include "tests/support/linear_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "arch/generic/generic.h"
#include "src/base/size.h"
#include "tests/support/kernel_test.h"

bool is_named(const struct prism_linear *l, const char *name) { return !strcmp(l->name, name); }

bool is_float(enum prism_type type) { return type == PRISM_F32 || type == PRISM_F16 || type == PRISM_BF16; }

double weight_error(const struct prism_linear *l, enum prism_type type)
{
    const bool by_32 = prism_types[type].group == 32;
    bool exact = !is_float(type) && !is_named(l, "i8w") &&
                 ((!strcmp(l->name, "i16") && (by_32 || type == PRISM_Q3_K || type == PRISM_Q6_K)) || (!strncmp(l->name, "i8", 2) && by_32));
    return exact ? 0 : (double)l->w_err;
}

void each_kind(const struct prism_kernels *k, void (*check)(const struct prism_kernels *, const struct prism_linear *, enum prism_type))
{
    for (int t = 0; t < PRISM_N_TYPES; t++) {
        for (int i = 0; i < PRISM_TYPE_KINDS; i++) {
            const struct prism_linear *kind = prism_type_kind(k, (enum prism_type)t, i);
            if (kind && kind != k->linear_f32)
                check(k, kind, (enum prism_type)t);
        }
    }
}

static size_t count(int panels, int rest, unsigned width)
{
    long n = (long)panels * width + rest;
    return n < 1 ? 1 : (size_t)n;
}

void store_floats(uint8_t *w, enum prism_type type, float *x, size_t n)
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
            store_floats(p->w + j * p->row_bytes + prism_row_bytes(p->type, 32 * g), p->type, x, 32);
        }
}

void product_make(struct product *p, const struct product_shape *s, const struct prism_linear *l, enum prism_type type)
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
}

void product_pack(struct product *p)
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

void product_run(const struct product *p, float *c, size_t i0, size_t rows, size_t j0, size_t cols, bool add)
{
    const struct prism_linear *l = p->l;
    l->gemm(&(struct prism_gemm_args){ .c = c + i0 * p->ldc + j0, .ldc = p->ldc, .a = p->a + i0 / l->mr * l->a_bytes(p->k),
                                       .w = p->b + j0 / l->nr * l->w_bytes(p->k), .rows = rows, .cols = cols, .k = p->k, .add = add });
}

float *product_new_c(const struct product *p) { return kt_floats((p->rows - 1) * p->ldc + p->cols); }
