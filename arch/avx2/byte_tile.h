/* byte_tile.h - what the linears on bytes share (linear_i4.c, linear_i8.c): the walk over the panels by tiles of 8 rows x 8
 * columns, whose fp32 sums the tile function keeps in L1, because the 8 vectors of integer sums fill the registers. */
#ifndef PRISM_AVX2_BYTE_TILE_H
#define PRISM_AVX2_BYTE_TILE_H

#include <assert.h>

#include "arch/avx2/vec.h"
#include "src/kernels.h"

#define BYTE_MR 8
#define BYTE_NR 8
#define BYTE_A_BLOCK ((size_t)256 * 1024) /* bytes of activation panels per pass over the weights: stays in L2 */

/* Integer sums of a tile, one vector of 8 columns per row (named: see tile.h). */
struct byte_sums {
    __m256i r0, r1, r2, r3, r4, r5, r6, r7;
};

/* sums[8][8], 32-byte aligned, = one activation panel times one weight panel of groups * 32 values. */
typedef void byte_tile_fn(float *sums, const char *a, const char *w, size_t groups);

PRISM_INLINE void byte_store(float *c, size_t ldc, const float *sums, size_t rows, size_t cols, bool add)
{
    for (size_t i = 0; i < rows; i++, c += ldc, sums += BYTE_NR) {
        __m256 s = _mm256_load_ps(sums);
        if (add)
            s = _mm256_add_ps(s, vec_load_n(c, cols));
        vec_store_n(c, s, cols);
    }
}

/* a_panel, w_panel: bytes of a panel. */
PRISM_INLINE void byte_gemm(const struct prism_gemm_args *g, size_t a_panel, size_t w_panel, byte_tile_fn *tile)
{
    assert((uintptr_t)g->a % 64 == 0 && (uintptr_t)g->w % 64 == 0 && g->ldc >= g->cols && g->k % 32 == 0);
    const size_t panels = a_panel < BYTE_A_BLOCK ? BYTE_A_BLOCK / a_panel : 1, block = panels * BYTE_MR;

    for (size_t r0 = 0; r0 < g->rows; r0 += block) {
        const size_t r_end = g->rows - r0 < block ? g->rows : r0 + block;
        for (size_t j = 0; j < g->cols; j += BYTE_NR) {
            const char *w = (const char *)g->w + j / BYTE_NR * w_panel;
            const size_t cols = g->cols - j < BYTE_NR ? g->cols - j : BYTE_NR;
            for (size_t r = r0; r < r_end; r += BYTE_MR) {
                _Alignas(32) float sums[BYTE_MR * BYTE_NR];
                vec_fetch_ahead(w + w_panel, w_panel, (r - r0) / BYTE_MR, panels);
                tile(sums, (const char *)g->a + r / BYTE_MR * a_panel, w, g->k / 32);
                byte_store(g->c + r * g->ldc + j, g->ldc, sums, g->rows - r < BYTE_MR ? g->rows - r : BYTE_MR, cols, g->add);
            }
        }
    }
}

#endif
