/* linear_f32.c - fp32 linear layers: tiles of 8 rows by 12 columns.
 *
 * Panels: activations [k][8] floats, weights [k][12] floats (arch/generic/pack.h). 24 accumulators, 2 vectors of activations and
 * 3 of weights: 29 of the 32 registers, 24 FMA per 5 loads. k in blocks of KC, so that one weight panel's block (24 KiB) and
 * one activation panel's (16 KiB) stay in L1; each block is one chain of FMA per element in the order of k, added to c.
 * Bound: k * FLT_EPSILON * sum|x * w|, twice the usual k*u of one chain. */
#include "arch/generic/pack.h"
#include "arch/neon/neon.h"

enum { MR = 8, NR = 12, KC = 512 };

static size_t a_bytes(size_t k) { return prism_panel_f32_bytes(k, MR); }
static size_t w_bytes(size_t k) { return prism_panel_f32_bytes(k, NR); }

static void pack_w(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    prism_pack_w_float(panel, NR, false, prism_kernels_neon.to_f32, rows, row_bytes, type, cols, k);
}

static void pack_a(void *panel, const float *x, size_t ldx, size_t rows, size_t k)
{
    prism_pack_a_float(panel, MR, false, x, ldx, rows, k);
}

/* Row i of the tile: one broadcast lane of the activations times 12 columns. */
#define FMA_ROW(i, a, lane)                               \
    c##i##0 = vfmaq_laneq_f32(c##i##0, b0, a, lane);      \
    c##i##1 = vfmaq_laneq_f32(c##i##1, b1, a, lane);      \
    c##i##2 = vfmaq_laneq_f32(c##i##2, b2, a, lane);
#define ZERO_ROW(i) float32x4_t c##i##0 = vdupq_n_f32(0), c##i##1 = c##i##0, c##i##2 = c##i##0;
#define STORE_ROW(i)                     \
    vst1q_f32(t + NR * (i), c##i##0);     \
    vst1q_f32(t + NR * (i) + 4, c##i##1); \
    vst1q_f32(t + NR * (i) + 8, c##i##2);

/* t[8][12] = a.w over k steps. */
static __attribute__((noinline)) void tile_8x12(float *t, const float *a, const float *w, size_t k)
{
    ZERO_ROW(0) ZERO_ROW(1) ZERO_ROW(2) ZERO_ROW(3) ZERO_ROW(4) ZERO_ROW(5) ZERO_ROW(6) ZERO_ROW(7)
    for (size_t i = 0; i < k; i++, a += MR, w += NR) {
        float32x4_t a0 = vld1q_f32(a), a1 = vld1q_f32(a + 4);
        float32x4_t b0 = vld1q_f32(w), b1 = vld1q_f32(w + 4), b2 = vld1q_f32(w + 8);
        FMA_ROW(0, a0, 0) FMA_ROW(1, a0, 1) FMA_ROW(2, a0, 2) FMA_ROW(3, a0, 3)
        FMA_ROW(4, a1, 0) FMA_ROW(5, a1, 1) FMA_ROW(6, a1, 2) FMA_ROW(7, a1, 3)
    }
    STORE_ROW(0) STORE_ROW(1) STORE_ROW(2) STORE_ROW(3) STORE_ROW(4) STORE_ROW(5) STORE_ROW(6) STORE_ROW(7)
}

static void gemm(const struct prism_gemm_args *g)
{
    float tile[MR * NR];

    assert((uintptr_t)g->a % 64 == 0 && (uintptr_t)g->w % 64 == 0 && g->ldc >= g->cols);
    for (size_t k0 = 0; k0 < g->k; k0 += KC) {
        size_t n = g->k - k0 < KC ? g->k - k0 : KC;
        for (size_t j = 0; j < g->cols; j += NR) {
            const float *w = (const float *)((const char *)g->w + j / NR * w_bytes(g->k)) + k0 * NR;
            for (size_t i = 0; i < g->rows; i += MR) {
                tile_8x12(tile, (const float *)((const char *)g->a + i / MR * a_bytes(g->k)) + k0 * MR, w, n);
                prism_tile_to_c_neon(g, i, j, tile, MR, NR, g->add || k0 > 0);
            }
        }
    }
}

const struct prism_linear prism_linear_f32_neon = {
    .name = "f32", .mr = MR, .nr = NR, .k_step = 1, .a_part = 4, .a_bytes = a_bytes, .w_bytes = w_bytes,
    .pack_w = pack_w, .pack_a = pack_a, .gemm = gemm,
};
