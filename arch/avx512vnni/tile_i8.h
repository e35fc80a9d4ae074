/* tile_i8.h - the steps that the tiles of linear_i8.c and linear_i8x2.c are made of. */
#ifndef PRISM_AVX512VNNI_TILE_I8_H
#define PRISM_AVX512VNNI_TILE_I8_H

#include "arch/avx512/tile.h"
#include "arch/avx512vnni/panel_i8.h"

struct sums {
    __m512i x, y;
};

/* s += (four bytes of a, broadcast) . (four bytes of each column) */
PRISM_INLINE void dot_quad(struct sums *s, const uint8_t *a, struct sums w)
{
    const __m512i quad = _mm512_set1_epi32(*(const int32_t *)(const void *)a);
    s->x = _mm512_dpbusd_epi32(s->x, quad, w.x);
    s->y = _mm512_dpbusd_epi32(s->y, quad, w.y);
}

/* c += s * (a * d) */
PRISM_INLINE void add_scaled(struct pair *c, struct sums s, float a, struct pair d)
{
    const __m512 scale = _mm512_set1_ps(a);
    c->x = _mm512_fmadd_ps(_mm512_cvtepi32_ps(s.x), _mm512_mul_ps(scale, d.x), c->x);
    c->y = _mm512_fmadd_ps(_mm512_cvtepi32_ps(s.y), _mm512_mul_ps(scale, d.y), c->y);
}

#endif
