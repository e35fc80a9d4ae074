/* linear_case.h - products for the tests of linears: operands of any shape, packed and run. */
#ifndef PRISM_TESTS_LINEAR_CASE_H
#define PRISM_TESTS_LINEAR_CASE_H

#include "src/kernels.h"
#include "tests/support/kernel_test.h"

/* Panels and remainders: rows = row_panels * mr + row_rest. A rest of -1 is one short of a panel. k is rounded up to the
 * block of the type and to k_step. */
enum {
    ONE_HOT = KT_N_VALUES, /* row i is 1 at k = 7 i + 3 and 0 elsewhere: each output is one weight, as the linear rounded it */
    HARD_WEIGHTS,          /* groups of weights are hard, the activations normal: F32, F16 and BF16 */
};

struct product_shape {
    int row_panels, row_rest, col_panels, col_rest;
    size_t k;
    int values; /* enum kt_values or one of the above */
    const char *why;
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
    double *x_reach, *w_reach; /* of test_linear.c: [rows][k], [cols][k], how large its surroundings are */
    double *exact, *bound;     /* likewise: [rows][cols], the product, and how far an implementation may be from it */
};

/* Operands of the shape; neither packed nor judged. */
void product_make(struct product *p, const struct product_shape *s, const struct prism_linear *l, enum prism_type type);
void product_pack(struct product *p);

/* c with gaps between its rows; rows [i0, i0 + rows) and columns [j0, j0 + cols) of it, which begin where panels do. */
float *product_new_c(const struct product *p);
void product_run(const struct product *p, float *c, size_t i0, size_t rows, size_t j0, size_t cols, bool add);

/* Stores n floats as a type without blocks, F16 within its range. */
void store_floats(uint8_t *w, enum prism_type type, float *x, size_t n);

bool is_named(const struct prism_linear *l, const char *name);
bool is_float(enum prism_type type);

/* What a linear rounds of weights of a type: blocks with scales of 32 values are taken as they are by bytes and by two-byte integers, which also
 * take Q3_K and Q6_K (arch/avx2/linear_i16.c). */
double weight_error(const struct prism_linear *l, enum prism_type type);

/* check(k, kind, type) for the kinds that compute auto may choose for a type, but fp32. */
void each_kind(const struct prism_kernels *k, void (*check)(const struct prism_kernels *, const struct prism_linear *, enum prism_type));

#endif
