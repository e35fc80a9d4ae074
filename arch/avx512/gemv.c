/* gemv.c - 1 to 8 rows of activations times weights stored as F32, F16 or BF16. Contract: prism_gemv_fn of src/kernels.h. Quantised
 * types, which only --compute f32 multiplies in fp32, go to the kernel of arch/avx2.
 *
 * A weight row is walked in steps of 32 values, which become two vectors in registers and enter two sums per row of activations.
 * The arithmetic of a row does not depend on the number of rows. */
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

/* n <= 32 values of one weight row; rows and n are constants, n not in tails. */
PRISM_INLINE void add_32(struct sums *s, int rows, const float *x, size_t ldx, const uint8_t *w, enum prism_kv_format format, size_t n)
{
    const size_t first = n < 16 ? n : 16;
    const __mmask16 in0 = vec_mask(first), in1 = vec_mask(n - first);
    const __m512 w0 = vec_load_stored(w, format, 0, first), w1 = vec_load_stored(w, format, 16, n - first);
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
        const float *xr = x + (size_t)r * ldx;
        s[r].even = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(in0, xr), w0, s[r].even);
        s[r].odd = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(in1, xr + 16), w1, s[r].odd);
    }
}

/* gemv_dot_fn */
PRISM_INLINE void dot_rows(float *y, size_t ldy, int rows, const char *rows_of_x, size_t x_bytes, const uint8_t *w, enum prism_type type,
                           size_t k)
{
    const enum prism_kv_format format = type == PRISM_F32 ? PRISM_KVF_F32 : type == PRISM_F16 ? PRISM_KVF_F16 : PRISM_KVF_BF16;
    const float *x = (const float *)(const void *)rows_of_x;
    const size_t ldx = x_bytes / sizeof *x, step = 32 * (format == PRISM_KVF_F32 ? 4 : 2);
    struct sums s[4];
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
        s[r].even = s[r].odd = _mm512_setzero_ps();
    for (; k >= 32; k -= 32, x += 32, w += step) {
        stream_ahead(w, step);
        add_32(s, rows, x, ldx, w, format, 32);
    }
    if (k > 0)
        add_32(s, rows, x, ldx, w, format, k);
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
        y[(size_t)r * ldy] = _mm512_reduce_add_ps(_mm512_add_ps(s[r].even, s[r].odd));
}

static void gemv_f32(const struct gemv_args *g) { gemv_all_rows(g, PRISM_F32, dot_rows); }
static void gemv_f16(const struct gemv_args *g) { gemv_all_rows(g, PRISM_F16, dot_rows); }
static void gemv_bf16(const struct gemv_args *g) { gemv_all_rows(g, PRISM_BF16, dot_rows); }

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
