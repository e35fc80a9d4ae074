/* gemv_i16_body.h - the rest of a gemv_i16 that serves Q8_0, Q4_0, Q4_K and Q6_K. Included by a level's gemv_i16.c behind its struct x_256
 * (256 packed activations) and its dot_rows (gemv_dot_fn): each level compiles its own copy with its own flags. */
#ifndef PRISM_ARCH_GENERIC_GEMV_I16_BODY_H
#define PRISM_ARCH_GENERIC_GEMV_I16_BODY_H

#include <assert.h>

#include "arch/generic/gemv_cols.h"

static void gemv_q8_0(const struct gemv_args *g) { gemv_all_rows(g, PRISM_Q8_0, dot_rows); }
static void gemv_q4_0(const struct gemv_args *g) { gemv_all_rows(g, PRISM_Q4_0, dot_rows); }
static void gemv_q4_k(const struct gemv_args *g) { gemv_all_rows(g, PRISM_Q4_K, dot_rows); }
static void gemv_q6_k(const struct gemv_args *g) { gemv_all_rows(g, PRISM_Q6_K, dot_rows); }

static size_t x_bytes(size_t k) { return (k + 255) / 256 * sizeof(struct x_256); }

static void gemv(float *y, size_t ldy, const void *x, size_t n_rows, const void *w, size_t row_bytes, enum prism_type type, size_t cols,
                 size_t k)
{
    static void (*const by_type[PRISM_N_TYPES])(const struct gemv_args *) = {
        [PRISM_Q8_0] = gemv_q8_0, [PRISM_Q4_0] = gemv_q4_0, [PRISM_Q4_K] = gemv_q4_k, [PRISM_Q6_K] = gemv_q6_k,
    };
    assert(n_rows >= 1 && n_rows <= PRISM_GEMV_ROWS && by_type[type] && k % prism_types[type].block == 0 && (uintptr_t)x % 64 == 0);
    by_type[type](&(struct gemv_args){ y, ldy, x, x_bytes(k), n_rows, w, row_bytes, cols, k });
}

#endif
