/* group_gemm.h - the product of group_tile.h, of types with a minimum and without. */
#ifndef PRISM_AVX2_GROUP_GEMM_H
#define PRISM_AVX2_GROUP_GEMM_H

#include "arch/avx2/group_tile.h"

static size_t w_bytes(size_t k) { return W_HEADER + k / 32 * W_GROUP_MIN; } /* room for a type with a minimum */

static __attribute__((noinline)) void tile_symmetric(float *c, size_t ldc, const char *a, const char *w, size_t n, bool add)
{
    tile(c, ldc, a, w, n, false, add);
}

static __attribute__((noinline)) void tile_min(float *c, size_t ldc, const char *a, const char *w, size_t n, bool add)
{
    tile(c, ldc, a, w, n, true, add);
}

static void gemm(const struct prism_gemm_args *g)
{
    const bool has_min = *(const uint32_t *)g->w; /* all panels of a matrix have the type's */
    const struct walk panels = {
        .rows = MR, .cols = NR, .units = g->k / 32, .piece = KC, .piece_step = 1, .a_panel = a_bytes(g->k), .a_unit = A_GROUP,
        .w_panel = w_bytes(g->k), .w_header = W_HEADER, .w_unit = has_min ? W_GROUP_MIN : W_GROUP,
    };
    assert(g->k % 32 == 0);
    walk(&panels, has_min ? tile_min : tile_symmetric, g);
}

#endif
