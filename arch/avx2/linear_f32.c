/* linear_f32.c - linear layers in fp32: panels of weights and activations, and the blocked product.
 *
 * Weights: panels of 16 columns, [k][16]. Activations: panels of 6 rows, [k][6]. One 6x16 register tile (tile.h), k cut in
 * equal pieces of at most KC so that a piece of a weight panel stays in L1 and 32 pieces of activation panels stay in L2 (Goto
 * & van de Geijn 2008, "Anatomy of high-performance matrix multiplication"). Each element is a chain of FMAs within a piece,
 * pieces are added in order: the bits depend on k only. */
#include "arch/avx2/avx2.h"

#include <assert.h>
#include <string.h>

#include "arch/avx2/tile.h"
#include "arch/generic/pack.h"

#define KC 512
#define A_PANELS 32 /* activation panels per pass over the weights: 32 * 6 rows * KC floats = 384 KiB */

static size_t a_bytes(size_t k) { return prism_panel_f32_bytes(k, TILE_ROWS); }
static size_t w_bytes(size_t k) { return prism_panel_f32_bytes(k, TILE_COLS); }

static void pack_w(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    prism_pack_w_float(panel, TILE_COLS, false, prism_kernels_avx2.to_f32, rows, row_bytes, type, cols, k);
}

static void pack_a(void *panel, const float *x, size_t ldx, size_t rows, size_t k)
{
    prism_pack_a_float(panel, TILE_ROWS, false, x, ldx, rows, k);
}

/* c[6][16] (+)= a[n][6] . w[n][16]. */
static __attribute__((noinline)) void tile_6x16(float *c, size_t ldc, const float *a, const float *w, size_t n, bool add)
{
    struct tile t;
    for (size_t i = 0; i < TILE_ROWS; i++) { /* C, read or written in the end: both lines that a row may touch */
        _mm_prefetch((const char *)(c + i * ldc), _MM_HINT_T0);
        _mm_prefetch((const char *)(c + i * ldc + TILE_COLS - 1), _MM_HINT_T0);
    }
    tile_zero(&t);
    tile_run(&t, 6, a, 1, TILE_ROWS, w, n);
    if (add)
        tile_add(&t, c, ldc);
    else
        tile_store(&t, 6, c, ldc);
}

/* A tile at the right or lower edge of C: by way of a full one. */
static void tile_edge(float *c, size_t ldc, size_t rows, size_t cols, const float *a, const float *w, size_t n, bool add)
{
    float full[TILE_ROWS * TILE_COLS] = {0};
    for (size_t i = 0; add && i < rows; i++)
        memcpy(full + i * TILE_COLS, c + i * ldc, cols * sizeof *c);
    tile_6x16(full, TILE_COLS, a, w, n, add);
    for (size_t i = 0; i < rows; i++)
        memcpy(c + i * ldc, full + i * TILE_COLS, cols * sizeof *c);
}

static void gemm(const struct prism_gemm_args *g)
{
    assert((uintptr_t)g->a % 64 == 0 && (uintptr_t)g->w % 64 == 0 && g->ldc >= g->cols);
    const size_t a_panel = a_bytes(g->k) / sizeof(float), w_panel = w_bytes(g->k) / sizeof(float);
    const size_t block = A_PANELS * TILE_ROWS;
    const size_t pieces = (g->k + KC - 1) / KC, piece = pieces ? ((g->k + pieces - 1) / pieces + 7) & ~(size_t)7 : 0;

    for (size_t k = 0; k < g->k; k += piece) {
        const size_t n = g->k - k < piece ? g->k - k : piece;
        const bool add = g->add || k > 0;
        for (size_t r0 = 0; r0 < g->rows; r0 += block) {
            const size_t r_end = g->rows - r0 < block ? g->rows : r0 + block;
            for (size_t j = 0; j < g->cols; j += TILE_COLS) {
                const float *w = (const float *)g->w + j / TILE_COLS * w_panel + k * TILE_COLS;
                const size_t cols = g->cols - j < TILE_COLS ? g->cols - j : TILE_COLS;
                for (size_t r = r0; r < r_end; r += TILE_ROWS) {
                    vec_fetch_ahead(w + w_panel, n * TILE_COLS * sizeof(float), (r - r0) / TILE_ROWS, A_PANELS);
                    const float *a = (const float *)g->a + r / TILE_ROWS * a_panel + k * TILE_ROWS;
                    const size_t rows = g->rows - r < TILE_ROWS ? g->rows - r : TILE_ROWS;
                    float *c = g->c + r * g->ldc + j;
                    if (rows == TILE_ROWS && cols == TILE_COLS)
                        tile_6x16(c, g->ldc, a, w, n, add);
                    else
                        tile_edge(c, g->ldc, rows, cols, a, w, n, add);
                }
            }
        }
    }
}

const struct prism_linear prism_linear_f32_avx2 = {
    .name = "f32", .mr = TILE_ROWS, .nr = TILE_COLS, .k_step = 1,
    .a_bytes = a_bytes, .w_bytes = w_bytes, .pack_w = pack_w, .pack_a = pack_a, .gemm = gemm,
    .a_err = 0.0f, .w_err = 0.0f,
};
