/* walk.h - the walk of a linear's product over its panels, tile by tile, and what its tiles share. Included by linear_i8.c, linear_i8w.c, linear_i16.c.
 *
 * kc groups of k and NC columns at a time: that part of W stays in L2 while each A panel, in L1, passes by it once. An element adds its
 * groups in order, and the blocks of groups one after the other: its bits depend on k only. */
#ifndef PRISM_AVX512VNNI_WALK_H
#define PRISM_AVX512VNNI_WALK_H

#include <assert.h>

#include "arch/avx512/tile.h"
#include "arch/avx512vnni/panel.h"

enum { NC = 4 * NR };

/* Panels as the walk sees them: groups of `group` values of k, kc of them at a time, after a header. */
struct walk {
    size_t group, kc;
    size_t a_panel, a_group;           /* bytes */
    size_t w_panel, w_header, w_group; /* bytes */
};

/* c[6][32] = (or +=, when add) a.w over n groups. */
typedef void walk_tile_fn(float *c, size_t ldc, const uint8_t *a, const char *w, size_t n, bool add);

/* ---- in a tile ---- */

/* 32 integer sums of a row. */
struct sums {
    __m512i x, y;
};

/* Two vectors of weights, kept in registers. */
PRISM_INLINE struct sums load_weights(const char *w)
{
    struct sums b = { _mm512_load_si512(w), _mm512_load_si512(w + 64) };
    KEEP_IN_REGISTER(b.x);
    KEEP_IN_REGISTER(b.y);
    return b;
}

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

/* ---- over the tiles ---- */

/* One tile of c, of which rows x cols exist. */
static void walk_tile(walk_tile_fn *run, float *c, size_t ldc, size_t rows, size_t cols, const uint8_t *a, const char *w, size_t n, bool add)
{
    if (rows == MR && cols == NR) {
        run(c, ldc, a, w, n, add);
        return;
    }
    _Alignas(64) float part[MR * NR];
    run(part, NR, a, w, n, false);
    tile_put_part(c, ldc, part, rows, cols, add);
}

/* Part number `part` of n equal parts of the bytes at p, into L2: each tile fetches its share of what the next pass reads from memory, the
 * following groups of its panel or the panel NC columns on. Measured with i8 at K = 1024: 0.635 -> 0.653 of the vpdpbusd peak. Fetching A
 * likewise, or W of the fp32 layer, made both slower. */
static inline void fetch_part(const char *p, size_t bytes, size_t part, size_t n)
{
    const size_t lines = (bytes / 64 + n - 1) / n;
    for (size_t i = part * lines; i < (part + 1) * lines; i++)
        _mm_prefetch(p + 64 * i, _MM_HINT_T1);
}

static void walk(const struct walk *p, walk_tile_fn *run, const struct prism_gemm_args *g)
{
    const size_t groups = g->k / p->group, row_panels = (g->rows + MR - 1) / MR;
    assert((uintptr_t)g->a % 64 == 0 && (uintptr_t)g->w % 64 == 0 && g->k > 0 && g->k % p->group == 0);

    for (size_t n = 0; n < g->cols; n += NC)
        for (size_t l = 0; l < groups; l += p->kc) {
            const size_t n_end = n + NC < g->cols ? n + NC : g->cols, kc = l + p->kc < groups ? p->kc : groups - l;
            for (size_t i = 0; i < g->rows; i += MR)
                for (size_t j = n; j < n_end; j += NR) {
                    const uint8_t *a = (const uint8_t *)g->a + i / MR * p->a_panel + l * p->a_group;
                    const char *panel = (const char *)g->w + j / NR * p->w_panel, *w = panel + p->w_header + l * p->w_group;
                    if (l + kc < groups)
                        fetch_part(w + kc * p->w_group, kc * p->w_group, i / MR, row_panels);
                    else if (j + NC < g->cols)
                        fetch_part(panel + NC / NR * p->w_panel, kc * p->w_group, i / MR, row_panels);
                    walk_tile(run, g->c + i * g->ldc + j, g->ldc, g->rows - i < MR ? g->rows - i : MR, n_end - j < NR ? n_end - j : NR,
                              a, w, kc, g->add || l > 0);
                }
        }
}

#endif
