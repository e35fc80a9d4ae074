/* gemv.c - a few rows times stored weights, fp32 sums: decode. Contract: prism_gemv_fn of src/kernels.h.
 * Each dot product runs in 8 interleaved partial sums, added pairwise at the end: an order that depends on k only. */
#include <assert.h>

#include "arch/generic/generic.h"

enum { LANES = 8, PIECE = 256 };

static void dot_piece(float *sums, const float *x, const float *w, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            sums[lane] += x[i + lane] * w[i + lane];
    for (size_t lane = 0; i < n; i++, lane++)
        sums[lane] += x[i] * w[i];
}

void prism_gemv_f32_generic(float *y, size_t ldy, const float *x, size_t ldx, size_t n_rows, const void *w, size_t row_bytes,
                            enum prism_type type, size_t cols, size_t k)
{
    assert(n_rows >= 1 && n_rows <= PRISM_GEMV_ROWS && k % prism_types[type].block == 0);

    for (size_t j = 0; j < cols; j++) {
        const uint8_t *row = (const uint8_t *)w + j * row_bytes;
        float s[PRISM_GEMV_ROWS][LANES] = { { 0 } }, piece[PIECE];
        for (size_t k0 = 0; k0 < k; k0 += PIECE) {
            size_t n = k - k0 < PIECE ? k - k0 : PIECE;
            prism_kernels_generic.to_f32[type](piece, row + prism_row_bytes(type, k0), n);
            for (size_t i = 0; i < n_rows; i++)
                dot_piece(s[i], x + i * ldx + k0, piece, n);
        }
        for (size_t i = 0; i < n_rows; i++)
            y[i * ldy + j] = ((s[i][0] + s[i][4]) + (s[i][2] + s[i][6])) + ((s[i][1] + s[i][5]) + (s[i][3] + s[i][7]));
    }
}
