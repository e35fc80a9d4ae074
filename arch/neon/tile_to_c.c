/* tile_to_c.c - a finished tile to its place in the result: the one place that knows ragged edges and `add`. */
#include "arch/neon/neon.h"

void prism_tile_to_c_neon(const struct prism_gemm_args *g, size_t row, size_t col, const float *tile, size_t mr, size_t nr,
                          bool add)
{
    size_t rows = g->rows - row < mr ? g->rows - row : mr, cols = g->cols - col < nr ? g->cols - col : nr;

    for (size_t i = 0; i < rows; i++, tile += nr) {
        float *c = g->c + (row + i) * g->ldc + col;
        size_t j = 0;
        for (; j + 4 <= cols; j += 4) {
            float32x4_t v = vld1q_f32(tile + j);
            vst1q_f32(c + j, add ? vaddq_f32(vld1q_f32(c + j), v) : v);
        }
        for (; j < cols; j++)
            c[j] = add ? c[j] + tile[j] : tile[j];
    }
}
