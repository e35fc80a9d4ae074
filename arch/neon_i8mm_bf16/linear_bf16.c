/* linear_bf16.c - linear layers with both operands in bf16 and BFMMLA: tiles of 8 rows by 12 columns.
 *
 * BFMMLA multiplies 2x4 by 4x2 into 2x2 fp32, so panels interleave two rows of 4 k: [k / 4][pairs of rows][2][4]. 24
 * accumulators, one vector of weights at a time and 4 of activations; 24 BFMMLA per 10 loads. k in blocks of KC as in
 * arch/neon/linear_f32.c. The instruction rounds its sums to odd and flushes subnormals: at most twice the error of rounding
 * to nearest, which k * FLT_EPSILON covers. */
#include "arch/generic/pack.h"
#include "arch/neon_i8mm_bf16/neon_i8mm_bf16.h"

enum { MR = 8, NR = 12, KC = 1024, QUAD = 4 };

static size_t a_bytes(size_t k) { return k * MR * 2; }
static size_t w_bytes(size_t k) { return k * NR * 2; }

/* n values of row i to a panel of width rows: n / 4 quads, each 8 bytes. */
static void place_row(uint16_t *panel, size_t width, size_t i, const float *x, size_t n)
{
    uint16_t quads[PRISM_PACK_PIECE];
    prism_pairs_bf16(quads, x, n);
    for (size_t k = 0; k < n; k += QUAD)
        memcpy(panel + k * width + i * QUAD, quads + k, QUAD * sizeof *quads);
}

static void pack_w(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    float piece[PRISM_PACK_PIECE];

    assert(cols >= 1 && cols <= NR && k % 32 == 0 && (uintptr_t)panel % 64 == 0);
    if (cols < NR)
        memset(panel, 0, w_bytes(k));
    for (size_t j = 0; j < cols; j++)
        for (size_t k0 = 0; k0 < k; k0 += PRISM_PACK_PIECE) {
            size_t n = k - k0 < PRISM_PACK_PIECE ? k - k0 : PRISM_PACK_PIECE;
            prism_kernels_neon.to_f32[type](piece, (const char *)rows + j * row_bytes + prism_row_bytes(type, k0), n);
            place_row((uint16_t *)panel + k0 * NR, NR, j, piece, n);
        }
}

static void pack_a(void *panel, const float *x, size_t ldx, size_t rows, size_t k)
{
    assert(rows >= 1 && rows <= MR && k % 32 == 0 && (uintptr_t)panel % 64 == 0);
    if (rows < MR)
        memset(panel, 0, a_bytes(k));
    for (size_t i = 0; i < rows; i++)
        for (size_t k0 = 0; k0 < k; k0 += PRISM_PACK_PIECE)
            place_row((uint16_t *)panel + k0 * MR, MR, i, x + i * ldx + k0, k - k0 < PRISM_PACK_PIECE ? k - k0 : PRISM_PACK_PIECE);
}

/* Pair of columns j against the four pairs of rows. The empty asm keeps gcc from loading the weights of all six pairs first,
 * which costs it three accumulators on the stack. */
#define ZERO(j) float32x4_t c0##j = vdupq_n_f32(0), c1##j = c0##j, c2##j = c0##j, c3##j = c0##j;
#define BFMMLA(j)                          \
    __asm__ volatile("" ::: "memory");     \
    b = vld1q_bf16(w + 8 * (j));           \
    c0##j = vbfmmlaq_f32(c0##j, a0, b);    \
    c1##j = vbfmmlaq_f32(c1##j, a1, b);    \
    c2##j = vbfmmlaq_f32(c2##j, a2, b);    \
    c3##j = vbfmmlaq_f32(c3##j, a3, b);
/* 2x2 elements of pair of rows i: to the same two columns of two rows. */
#define STORE(i, j)                                                    \
    vst1_f32(t + NR * 2 * (i) + 2 * (j), vget_low_f32(c##i##j));        \
    vst1_f32(t + NR * (2 * (i) + 1) + 2 * (j), vget_high_f32(c##i##j));
#define STORE_PAIR(j) STORE(0, j) STORE(1, j) STORE(2, j) STORE(3, j)

/* t[8][12] = a.w over k steps. */
static __attribute__((noinline)) void tile_8x12(float *t, const bfloat16_t *a, const bfloat16_t *w, size_t k)
{
    ZERO(0) ZERO(1) ZERO(2) ZERO(3) ZERO(4) ZERO(5)
    for (size_t i = 0; i < k; i += QUAD, a += MR * QUAD, w += NR * QUAD) {
        bfloat16x8_t a0 = vld1q_bf16(a), a1 = vld1q_bf16(a + 8), a2 = vld1q_bf16(a + 16), a3 = vld1q_bf16(a + 24), b;
        BFMMLA(0) BFMMLA(1) BFMMLA(2) BFMMLA(3) BFMMLA(4) BFMMLA(5)
    }
    STORE_PAIR(0) STORE_PAIR(1) STORE_PAIR(2) STORE_PAIR(3) STORE_PAIR(4) STORE_PAIR(5)
}

static void gemm(const struct prism_gemm_args *g)
{
    float tile[MR * NR];

    assert((uintptr_t)g->a % 64 == 0 && (uintptr_t)g->w % 64 == 0 && g->ldc >= g->cols && g->k % 32 == 0);
    for (size_t k0 = 0; k0 < g->k; k0 += KC) {
        size_t n = g->k - k0 < KC ? g->k - k0 : KC;
        for (size_t j = 0; j < g->cols; j += NR) {
            const char *w = (const char *)g->w + j / NR * w_bytes(g->k) + w_bytes(k0);
            for (size_t i = 0; i < g->rows; i += MR) {
                const char *a = (const char *)g->a + i / MR * a_bytes(g->k) + a_bytes(k0);
                tile_8x12(tile, (const bfloat16_t *)(const void *)a, (const bfloat16_t *)(const void *)w, n);
                prism_tile_to_c_neon(g, i, j, tile, MR, NR, g->add || k0 > 0);
            }
        }
    }
}

const struct prism_linear prism_linear_bf16_neon_i8mm_bf16 = {
    .name = "bf16", .mr = MR, .nr = NR, .k_step = 32, .a_part = 32, .a_bytes = a_bytes, .w_bytes = w_bytes,
    .pack_w = pack_w, .pack_a = pack_a, .gemm = gemm,
    .a_err = 0x1p-8f, .w_err = 0x1p-8f, /* eight significant bits, half a step */
};
