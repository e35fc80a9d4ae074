/* lines.h - transposing 16 rows of 32-bit words into the lines of a weight panel of 16 columns. */
#ifndef PRISM_AVX2_LINES_H
#define PRISM_AVX2_LINES_H

#include "arch/avx2/vec.h"

/* r[i] = word i of each of 8 rows, row_bytes apart, 32-byte aligned. */
PRISM_INLINE void load_transposed(__m256 r[8], const char *rows, size_t row_bytes)
{
#pragma GCC unroll 8
    for (size_t j = 0; j < 8; j++)
        r[j] = _mm256_load_ps((const float *)(const void *)(rows + j * row_bytes));
    vec_transpose_8(r);
}

/* Word i of each of 16 rows to the line at out + i * step, i < n <= 8. */
PRISM_INLINE void put_lines(char *out, size_t step, const void *rows, size_t row_bytes, size_t n)
{
    __m256 x[8], y[8];
    load_transposed(x, rows, row_bytes);
    load_transposed(y, (const char *)rows + 8 * row_bytes, row_bytes);
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++)
        if (i < n) {
            _mm256_store_ps((float *)(void *)(out + i * step), x[i]);
            _mm256_store_ps((float *)(void *)(out + i * step) + 8, y[i]);
        }
}

/* Fetches what follows n stored bytes of a row, which is packed next: rows lie too far apart for the processor to see it. */
PRISM_INLINE void fetch_next(const void *stored, size_t n)
{
    for (size_t i = 0; i < n; i += 64)
        _mm_prefetch((const char *)stored + n + i, _MM_HINT_T0);
}

#endif
