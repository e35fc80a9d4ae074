/* walk.h - the walk of a linear's product over its panels, tile by tile.
 *
 * k is cut in equal pieces, so that a piece of a weight panel stays in L1 while a block of pieces of activation panels, in L2, passes
 * by it (Goto & van de Geijn 2008, "Anatomy of high-performance matrix multiplication"). The pieces of an element are added in order:
 * its bits depend on k only. */
#ifndef PRISM_AVX2_WALK_H
#define PRISM_AVX2_WALK_H

#include <assert.h>

#include "arch/avx2/vec.h"
#include "src/kernels.h"

/* Panels as the walk sees them. A unit is what the tile counts in: a value of k, or a group of them. */
struct walk {
    size_t rows, cols;                 /* of a tile: at most 8 rows, 8 or 16 columns */
    size_t units;                      /* in k */
    size_t piece, piece_step;          /* units of a piece at most; a multiple of this */
    size_t a_panel, a_unit;            /* bytes */
    size_t w_panel, w_header, w_unit;  /* bytes; the units follow the header */
};

/* c[rows][cols] = (or +=, when add) a.w over n units. */
typedef void walk_tile_fn(float *c, size_t ldc, const char *a, const char *w, size_t n, bool add);

enum { WALK_BLOCK = 256 * 1024 }; /* bytes of activation panels that pass by a piece of weights */

/* The part of a tile that exists: c = part, or c += part. */
static void walk_put_part(float *c, size_t ldc, const float *part, size_t ld_part, size_t rows, size_t cols, bool add)
{
    for (size_t i = 0; i < rows; i++, c += ldc, part += ld_part)
        for (size_t j = 0; j < cols; j += 8) {
            const size_t n = cols - j < 8 ? cols - j : 8;
            const __m256 s = _mm256_load_ps(part + j);
            vec_store_n(c + j, add ? _mm256_add_ps(s, vec_load_n(c + j, n)) : s, n);
        }
}

/* One weight panel's piece times a block of rows. */
struct walk_step {
    const char *a, *w;                 /* the piece in the block's first activation panel, and in the weight panel */
    const char *next_w;                /* the piece of weights that follows */
    size_t next_a;                     /* bytes of the piece of activations that follows in each panel, 0 after the last */
    float *c;
    size_t n, rows, cols;              /* units, rows of the block, columns of the panel */
    size_t panel, n_panels;            /* which weight panel of how many */
    bool add;
};

/* Each tile fetches its share of the next piece of weights, and of its rows' activations in the next piece of k. */
static void walk_panel(const struct walk *p, walk_tile_fn *tile, struct walk_step s, size_t ldc)
{
    const size_t n_tiles = (s.rows + p->rows - 1) / p->rows;
    for (size_t t = 0; t < n_tiles; t++, s.a += p->a_panel, s.c += p->rows * ldc) {
        const size_t rows = s.rows - t * p->rows < p->rows ? s.rows - t * p->rows : p->rows;
        for (size_t i = 0; i < rows; i++) { /* read or written in the end: both lines that a row may touch */
            _mm_prefetch((const char *)(s.c + i * ldc), _MM_HINT_T0);
            _mm_prefetch((const char *)(s.c + i * ldc + s.cols - 1), _MM_HINT_T0);
        }
        vec_fetch_ahead(s.next_w, s.n * p->w_unit, t, n_tiles);
        vec_fetch_ahead(s.a + s.n * p->a_unit, s.next_a, s.panel, s.n_panels);
        if (rows == p->rows && s.cols == p->cols) {
            tile(s.c, ldc, s.a, s.w, s.n, s.add);
        } else {
            _Alignas(32) float part[8 * 16];
            tile(part, p->cols, s.a, s.w, s.n, false);
            walk_put_part(s.c, ldc, part, p->cols, rows, s.cols, s.add);
        }
    }
}

static void walk(const struct walk *p, walk_tile_fn *tile, const struct prism_gemm_args *g)
{
    assert((uintptr_t)g->a % 64 == 0 && (uintptr_t)g->w % 64 == 0 && g->ldc >= g->cols && p->units > 0);
    const size_t pieces = (p->units + p->piece - 1) / p->piece;
    const size_t piece = ((p->units + pieces - 1) / pieces + p->piece_step - 1) / p->piece_step * p->piece_step;
    const size_t block = (WALK_BLOCK / (piece * p->a_unit) + 1) * p->rows;

    for (size_t r = 0; r < g->rows; r += block)
        for (size_t k = 0; k < p->units; k += piece) {
            struct walk_step s = {
                .a = (const char *)g->a + r / p->rows * p->a_panel + k * p->a_unit,
                .n = p->units - k < piece ? p->units - k : piece, .rows = g->rows - r < block ? g->rows - r : block,
                .next_a = k + piece < p->units ? piece * p->a_unit : 0, .n_panels = (g->cols + p->cols - 1) / p->cols,
                .add = g->add || k > 0,
            };
            const char *first = (const char *)g->w + p->w_header + k * p->w_unit;
            for (s.panel = 0; s.panel < s.n_panels; s.panel++) {
                const size_t col = s.panel * p->cols;
                s.c = g->c + r * g->ldc + col;
                s.cols = g->cols - col < p->cols ? g->cols - col : p->cols;
                s.w = first + s.panel * p->w_panel;
                s.next_w = s.panel + 1 < s.n_panels ? s.w + p->w_panel : first + s.n * p->w_unit;
                walk_panel(p, tile, s, g->ldc);
            }
        }
}

#endif
