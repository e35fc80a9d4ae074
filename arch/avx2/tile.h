/* tile.h - the register tile: 6 (or 4) rows x 16 columns of sums, one rank-1 update per step of k. Included after a words header (words_f32.h)
 * or whatever else defines
 *     madd(c, a, b)   c += a * b, vectors of 8 words; integer sums and words travel as the bits of a __m256
 *
 * Named accumulators in a struct that the compiler dissolves into registers: 12 sums + 2 of B + 1 broadcast of A (+ 1 product, where madd has
 * one) are the 16 ymm. An array of accumulators that a loop walks lives on the stack with gcc 12. To check: objdump -d of linear_f32.o and
 * attention_*.o must show no ymm stored to the stack (%rsp, %rbp) within the loop of tile_6x16, scores_* and values_*. */
#ifndef PRISM_AVX2_TILE_H
#define PRISM_AVX2_TILE_H

#include "arch/avx2/vec.h"

#define TILE_ROWS 6
#define TILE_COLS 16

struct tile {
    __m256 c00, c01, c10, c11, c20, c21, c30, c31, c40, c41, c50, c51;
};

PRISM_INLINE void tile_row(__m256 *c0, __m256 *c1, const float *a, __m256 b0, __m256 b1)
{
    __m256 x = _mm256_broadcast_ss(a);
    madd(c0, x, b0);
    madd(c1, x, b1);
}

/* One step: rows of A are a_row floats apart; b: 16 floats, 32-byte aligned. rows: 6 or 4, a constant. */
PRISM_INLINE void tile_step(struct tile *t, int rows, const float *a, size_t a_row, const float *b)
{
    __m256 b0 = _mm256_load_ps(b), b1 = _mm256_load_ps(b + 8);
    tile_row(&t->c00, &t->c01, a, b0, b1);
    tile_row(&t->c10, &t->c11, a + a_row, b0, b1);
    tile_row(&t->c20, &t->c21, a + 2 * a_row, b0, b1);
    tile_row(&t->c30, &t->c31, a + 3 * a_row, b0, b1);
    if (rows == 6) {
        tile_row(&t->c40, &t->c41, a + 4 * a_row, b0, b1);
        tile_row(&t->c50, &t->c51, a + 5 * a_row, b0, b1);
    }
}

/* n steps: A advances by a_step floats per step, B by 16. The unrolling by 8 makes the trip count small enough for the
 * branch predictor to see the end of short loops (head size 64: 8 trips). */
PRISM_INLINE void tile_run(struct tile *t, int rows, const float *a, size_t a_row, size_t a_step, const float *b, size_t n)
{
    for (; n >= 8; n -= 8, a += 8 * a_step, b += 8 * TILE_COLS)
#pragma GCC unroll 8
        for (size_t i = 0; i < 8; i++)
            tile_step(t, rows, a + i * a_step, a_row, b + i * TILE_COLS);
    for (; n > 0; n--, a += a_step, b += TILE_COLS)
        tile_step(t, rows, a, a_row, b);
}

PRISM_INLINE void tile_zero(struct tile *t)
{
    __m256 z = _mm256_setzero_ps();
    *t = (struct tile){z, z, z, z, z, z, z, z, z, z, z, z};
}

PRISM_INLINE void tile_store_row(float *c, __m256 c0, __m256 c1)
{
    _mm256_storeu_ps(c, c0);
    _mm256_storeu_ps(c + 8, c1);
}

PRISM_INLINE void tile_store(const struct tile *t, int rows, float *c, size_t ldc)
{
    tile_store_row(c, t->c00, t->c01);
    tile_store_row(c + ldc, t->c10, t->c11);
    tile_store_row(c + 2 * ldc, t->c20, t->c21);
    tile_store_row(c + 3 * ldc, t->c30, t->c31);
    if (rows == 6) {
        tile_store_row(c + 4 * ldc, t->c40, t->c41);
        tile_store_row(c + 5 * ldc, t->c50, t->c51);
    }
}

PRISM_INLINE void tile_add_row(float *c, __m256 c0, __m256 c1)
{
    tile_store_row(c, _mm256_add_ps(_mm256_loadu_ps(c), c0), _mm256_add_ps(_mm256_loadu_ps(c + 8), c1));
}

/* c += t, 6 rows. */
PRISM_INLINE void tile_add(const struct tile *t, float *c, size_t ldc)
{
    tile_add_row(c, t->c00, t->c01);
    tile_add_row(c + ldc, t->c10, t->c11);
    tile_add_row(c + 2 * ldc, t->c20, t->c21);
    tile_add_row(c + 3 * ldc, t->c30, t->c31);
    tile_add_row(c + 4 * ldc, t->c40, t->c41);
    tile_add_row(c + 5 * ldc, t->c50, t->c51);
}

PRISM_INLINE void tile_scaled_row(__m256 *c0, __m256 *c1, const float *o, float factor)
{
    __m256 f = _mm256_set1_ps(factor);
    *c0 = _mm256_mul_ps(f, _mm256_load_ps(o));
    *c1 = _mm256_mul_ps(f, _mm256_load_ps(o + 8));
}

/* t = rows of o (16 floats each, contiguous, 32-byte aligned), row i times factor[i]. */
PRISM_INLINE void tile_load_scaled(struct tile *t, int rows, const float *o, const float *factor)
{
    tile_scaled_row(&t->c00, &t->c01, o, factor[0]);
    tile_scaled_row(&t->c10, &t->c11, o + 16, factor[1]);
    tile_scaled_row(&t->c20, &t->c21, o + 32, factor[2]);
    tile_scaled_row(&t->c30, &t->c31, o + 48, factor[3]);
    if (rows == 6) {
        tile_scaled_row(&t->c40, &t->c41, o + 64, factor[4]);
        tile_scaled_row(&t->c50, &t->c51, o + 80, factor[5]);
    }
}

#endif
