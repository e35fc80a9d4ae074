/* tile.h - the register tiles of the AVX-512 kernels: rows of 32 columns, each row a pair of vectors.
 *
 * Accumulators are named struct members that the compiler dissolves into registers: an array that a loop walks lives on the
 * stack with gcc 12. To check, disassemble (objdump -d linear_f32.o): between the multiply-adds of a kernel's loop
 * there must be no store of a zmm to (%rsp) or (%rbp). */
#ifndef PRISM_AVX512_TILE_H
#define PRISM_AVX512_TILE_H

#include <stdbool.h>

#include "arch/avx512/vec.h"

struct pair {
    __m512 x, y;
};

PRISM_INLINE struct pair pair_zero(void)
{
    return (struct pair){ _mm512_setzero_ps(), _mm512_setzero_ps() };
}

/* 64-byte aligned; kept in registers, see KEEP_IN_REGISTER. */
PRISM_INLINE struct pair pair_load(const float *p, const float *q)
{
    struct pair b = { _mm512_load_ps(p), _mm512_load_ps(q) };
    KEEP_IN_REGISTER(b.x);
    KEEP_IN_REGISTER(b.y);
    return b;
}

/* c += a * b */
PRISM_INLINE void pair_fma(struct pair *c, __m512 a, struct pair b)
{
    c->x = _mm512_fmadd_ps(a, b.x, c->x);
    c->y = _mm512_fmadd_ps(a, b.y, c->y);
}

/* f * p[0..32) */
PRISM_INLINE struct pair pair_scaled(const float *p, float f)
{
    const __m512 factor = _mm512_set1_ps(f);
    return (struct pair){ _mm512_mul_ps(factor, _mm512_load_ps(p)), _mm512_mul_ps(factor, _mm512_load_ps(p + 16)) };
}

/* f[0] * p[0..16), f[1] * p[16..32) */
PRISM_INLINE struct pair pair_scaled_2(const float *p, const float *f)
{
    return (struct pair){ _mm512_mul_ps(_mm512_set1_ps(f[0]), _mm512_load_ps(p)),
                          _mm512_mul_ps(_mm512_set1_ps(f[1]), _mm512_load_ps(p + 16)) };
}

PRISM_INLINE void pair_prefetch(const float *c)
{
    _mm_prefetch((const char *)c, _MM_HINT_T0);
    _mm_prefetch((const char *)(c + 16), _MM_HINT_T0);
}

/* c[0..32) = v, or += v; any alignment. */
PRISM_INLINE void pair_put(float *c, struct pair v, bool add)
{
    if (add) {
        v.x = _mm512_add_ps(v.x, _mm512_loadu_ps(c));
        v.y = _mm512_add_ps(v.y, _mm512_loadu_ps(c + 16));
    }
    _mm512_storeu_ps(c, v.x);
    _mm512_storeu_ps(c + 16, v.y);
}

/* Six rows of c, 32 columns each, likewise. */
PRISM_INLINE void pair_put_6(float *c, size_t ldc, struct pair c0, struct pair c1, struct pair c2, struct pair c3, struct pair c4, struct pair c5,
                           bool add)
{
    pair_put(c, c0, add);
    pair_put(c + ldc, c1, add);
    pair_put(c + 2 * ldc, c2, add);
    pair_put(c + 3 * ldc, c3, add);
    pair_put(c + 4 * ldc, c4, add);
    pair_put(c + 5 * ldc, c5, add);
}

/* The part of a tile (stride 32) that exists goes to c. */
PRISM_INLINE void tile_put_part(float *c, size_t ldc, const float *tile, size_t rows, size_t cols, bool add)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            c[i * ldc + j] = add ? c[i * ldc + j] + tile[i * 32 + j] : tile[i * 32 + j];
}

#endif
