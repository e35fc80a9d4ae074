/* linear_f32.c - linear layers in fp32: panels of weights and activations, and the product.
 *
 * Weights: panels of 16 columns, [k][16]. Activations: panels of 6 rows, [k][6]. One 6x16 register tile (tile.h), moved by walk.h.
 * Each element is a chain of FMAs within a piece of k, pieces are added in order: the bits depend on k only. */
#include "arch/avx2/avx2.h"

#include <assert.h>
#include <string.h>

#include "arch/avx2/lines.h"
#include "arch/avx2/words_f32.h"

#include "arch/avx2/tile.h"
#include "arch/avx2/walk.h"
#include "arch/generic/pack.h"

enum { KC = 352 }; /* values of k per piece: 22 KiB of weights and 8 of activations */

static size_t a_bytes(size_t k) { return prism_panel_f32_bytes(k, TILE_ROWS); }
static size_t w_bytes(size_t k) { return prism_panel_f32_bytes(k, TILE_COLS); }

/* 16 rows become numbers in a buffer, CHUNK values each, and are transposed into the panel. */
static void pack_w(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    enum { CHUNK = 256 }; /* the largest block of a type */
    _Alignas(32) float buf[TILE_COLS][CHUNK];
    char *out = panel;
    assert(cols >= 1 && cols <= TILE_COLS && k % prism_types[type].block == 0 && (uintptr_t)panel % 64 == 0);

    memset(buf, 0, sizeof buf);
    for (size_t k0 = 0; k0 < k; k0 += CHUNK) {
        const size_t n = k - k0 < CHUNK ? k - k0 : CHUNK;
        for (size_t j = 0; j < cols; j++)
            prism_kernels_avx2.to_f32[type](buf[j], (const char *)rows + j * row_bytes + prism_row_bytes(type, k0), n);
        for (size_t i = 0; i < n; i += 8, out += 8 * sizeof buf[0][0] * TILE_COLS)
            put_lines(out, TILE_COLS * sizeof buf[0][0], buf[0] + i, sizeof buf[0], n - i < 8 ? n - i : 8);
    }
}

static void pack_a(void *panel, const float *x, size_t ldx, size_t rows, size_t k)
{
    prism_pack_a_float(panel, TILE_ROWS, false, x, ldx, rows, k);
}

static __attribute__((noinline)) void tile_6x16(float *c, size_t ldc, const char *a, const char *w, size_t n, bool add)
{
    struct tile t;
    tile_zero(&t);
    tile_run(&t, 6, (const float *)(const void *)a, 1, TILE_ROWS, (const float *)(const void *)w, n);
    if (add)
        tile_add(&t, c, ldc);
    else
        tile_store(&t, 6, c, ldc);
}

/* piece_step: what tile_run unrolls. */
static void gemm(const struct prism_gemm_args *g)
{
    const struct walk panels = {
        .rows = TILE_ROWS, .cols = TILE_COLS, .units = g->k, .piece = KC, .piece_step = 8, .a_panel = a_bytes(g->k),
        .a_unit = TILE_ROWS * sizeof(float), .w_panel = w_bytes(g->k), .w_unit = TILE_COLS * sizeof(float),
    };
    walk(&panels, tile_6x16, g);
}

const struct prism_linear prism_linear_f32_avx2 = {
    .name = "f32", .mr = TILE_ROWS, .nr = TILE_COLS, .k_step = 1, .a_part = 32,
    .a_bytes = a_bytes, .w_bytes = w_bytes, .pack_w = pack_w, .pack_a = pack_a, .gemm = gemm,
    .a_err = 0.0f, .w_err = 0.0f,
};
