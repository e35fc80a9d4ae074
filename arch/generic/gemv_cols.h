/* gemv_cols.h - the loops over weight rows (columns of the result) and rows of activations that the gemv kernels share: 4, 2 or 1 rows
 * of activations at a time, whose arithmetic must not depend on how many they are. static inline only: files with different ISA flags
 * include it. */
#ifndef PRISM_ARCH_GENERIC_GEMV_COLS_H
#define PRISM_ARCH_GENERIC_GEMV_COLS_H

#include "src/kernels.h"

struct gemv_args {
    float *y;
    size_t ldy;
    const char *x;       /* n_rows rows of activations, floats or packed, x_bytes apart */
    size_t x_bytes, n_rows;
    const uint8_t *w;
    size_t row_bytes, cols, k;
};

/* y[i * ldy] = row i of x times the weight row w, i < rows: 1, 2 or 4. rows and type are constants at every call. */
typedef void gemv_dot_fn(float *y, size_t ldy, int rows, const char *x, size_t x_bytes, const uint8_t *w, enum prism_type type, size_t k);

/* Rows first .. first + rows of x. A loop of its own for each number of rows: their constants stay in registers. */
static inline __attribute__((always_inline)) void gemv_some_rows(const struct gemv_args *g, size_t first, int rows, enum prism_type type,
                                                                 gemv_dot_fn *dot_rows)
{
    const struct gemv_args a = *g; /* which the stores to y might change */
    for (size_t j = 0; j < a.cols; j++)
        dot_rows(a.y + first * a.ldy + j, a.ldy, rows, a.x + first * a.x_bytes, a.x_bytes, a.w + j * a.row_bytes, type, a.k);
}

/* The second four rows find the weights in the second-level cache. */
static inline __attribute__((always_inline)) void gemv_all_rows(const struct gemv_args *g, enum prism_type type, gemv_dot_fn *dot_rows)
{
    size_t i = 0;
    for (; i + 4 <= g->n_rows; i += 4)
        gemv_some_rows(g, i, 4, type, dot_rows);
    if (i + 2 <= g->n_rows) {
        gemv_some_rows(g, i, 2, type, dot_rows);
        i += 2;
    }
    if (i < g->n_rows)
        gemv_some_rows(g, i, 1, type, dot_rows);
}

#endif
