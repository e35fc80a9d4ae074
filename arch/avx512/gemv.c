/* gemv.c - 1 to 8 rows of activations times weights stored as F32, F16 or BF16. Contract: prism_gemv_fn of src/kernels.h. Quantised
 * types, which only --compute f32 multiplies in fp32, go to the kernel of arch/avx2.
 *
 * Weight rows are walked in steps of 32 values, which become two vectors in registers and enter two sums for each row of activations. Up to
 * four rows of each are taken together: of long rows of activations, which lie in the second-level cache, each value is read once for several weights.
 * The arithmetic of a result does not depend on what it is taken with. */
#include <assert.h>

#include "arch/avx2/avx2.h"
#include "arch/avx2/stream.h"
#include "arch/avx512/avx512.h"
#include "arch/avx512/vec.h"
#include "arch/generic/gemv_cols.h"

/* even + odd is the row's sum. */
struct sums {
    __m512 even, odd;
};

/* Of a tile. */
enum { MAX_COLS = 4, MAX_RESULTS = 8 };

/* n <= 32 values of `cols` weight rows with `rows` rows of activations; rows, cols and n are constants, n not in tails. */
PRISM_INLINE void add_32(struct sums *s, int rows, int cols, const float *x, size_t ldx, const uint8_t *w, size_t row_bytes,
                         enum prism_kv_format format, size_t n)
{
    const size_t first = n < 16 ? n : 16;
    const __mmask16 in0 = vec_mask(first), in1 = vec_mask(n - first);
    __m512 w0[MAX_COLS], w1[MAX_COLS];
#pragma GCC unroll 4
    for (int c = 0; c < cols; c++) {
        w0[c] = vec_load_stored(w + (size_t)c * row_bytes, format, 0, first);
        w1[c] = vec_load_stored(w + (size_t)c * row_bytes, format, 16, n - first);
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
        const __m512 x0 = _mm512_maskz_loadu_ps(in0, x + (size_t)r * ldx), x1 = _mm512_maskz_loadu_ps(in1, x + (size_t)r * ldx + 16);
#pragma GCC unroll 4
        for (int c = 0; c < cols; c++) {
            struct sums *to = &s[r * cols + c];
            to->even = _mm512_fmadd_ps(x0, w0[c], to->even);
            to->odd = _mm512_fmadd_ps(x1, w1[c], to->odd);
        }
    }
}

/* Fetches ahead what follows in memory: of several weight rows the next ones. */
PRISM_INLINE void dot_tile(const struct gemv_args *g, size_t row, int rows, size_t col, int cols, enum prism_kv_format format)
{
    const size_t step = 32 * (format == PRISM_KVF_F32 ? 4 : 2), ldx = g->x_bytes / sizeof(float);
    const float *x = (const float *)(const void *)(g->x + row * g->x_bytes);
    const size_t rows_bytes = (size_t)cols * g->row_bytes; /* as far ahead as streams need it, in whole rows: they are taken side by side */
    const uint8_t *w = g->w + col * g->row_bytes;
    const uint8_t *ahead = w + (cols == 1 ? (size_t)STREAM_AHEAD : (STREAM_AHEAD + rows_bytes - 1) / rows_bytes * rows_bytes);
    struct sums s[MAX_RESULTS];
    size_t k = g->k;
#pragma GCC unroll 8
    for (int i = 0; i < rows * cols; i++)
        s[i].even = s[i].odd = _mm512_setzero_ps();
    for (; k >= 32; k -= 32, x += 32, w += step, ahead += (size_t)cols * step) {
#pragma GCC unroll 8
        for (size_t i = 0; i < (size_t)cols * step; i += 64)
            stream_fetch(ahead + i);
        add_32(s, rows, cols, x, ldx, w, g->row_bytes, format, 32);
    }
    if (k > 0)
        add_32(s, rows, cols, x, ldx, w, g->row_bytes, format, k);
#pragma GCC unroll 8
    for (int i = 0; i < rows * cols; i++)
        g->y[(row + (size_t)(i / cols)) * g->ldy + col + (size_t)(i % cols)] = _mm512_reduce_add_ps(_mm512_add_ps(s[i].even, s[i].odd));
}

PRISM_INLINE void some_rows(const struct gemv_args *g, size_t row, int rows, enum prism_kv_format format)
{
    const struct gemv_args a = *g; /* which the stores to y might change */
    const size_t most = rows == 1 ? 1 : rows == 2 ? 4 : 2; /* measured: one row of activations stays in the first-level cache */
    size_t col = 0;

    for (; col + most <= a.cols; col += most)
        dot_tile(&a, row, rows, col, (int)most, format);
    for (; col < a.cols; col++)
        dot_tile(&a, row, rows, col, 1, format);
}

/* Rows beyond the fourth find the weights in the second-level cache. */
PRISM_INLINE void all_rows(const struct gemv_args *g, enum prism_kv_format format)
{
    size_t row = 0;

    for (; row + 4 <= g->n_rows; row += 4)
        some_rows(g, row, 4, format);
    switch (g->n_rows - row) {
    case 3: some_rows(g, row, 3, format); break;
    case 2: some_rows(g, row, 2, format); break;
    case 1: some_rows(g, row, 1, format); break;
    }
}

static void gemv_f32(const struct gemv_args *g) { all_rows(g, PRISM_KVF_F32); }
static void gemv_f16(const struct gemv_args *g) { all_rows(g, PRISM_KVF_F16); }
static void gemv_bf16(const struct gemv_args *g) { all_rows(g, PRISM_KVF_BF16); }

void prism_gemv_f32_avx512(float *y, size_t ldy, const float *x, size_t ldx, size_t n_rows, const void *w, size_t row_bytes,
                           enum prism_type type, size_t cols, size_t k)
{
    assert(n_rows >= 1 && n_rows <= PRISM_GEMV_ROWS);
    const struct gemv_args g = { y, ldy, (const char *)x, ldx * sizeof *x, n_rows, w, row_bytes, cols, k };
    switch (type) {
    case PRISM_F32: gemv_f32(&g); break;
    case PRISM_F16: gemv_f16(&g); break;
    case PRISM_BF16: gemv_bf16(&g); break;
    default: prism_gemv_f32_avx2(y, ldy, x, ldx, n_rows, w, row_bytes, type, cols, k);
    }
}
