/* linear_i8.c - linear layers on signed bytes in groups of 32: the definition of the "i8" linears. Per group the 32 products are
 * summed exactly as integers, then
 *     c += (d_a * d_w) * sum(qa * qw) + (d_a * sum(qa)) * m_w
 * in fp32; the last term is the offset of types with has_min. Block types only (prism_to_i8_fn). */
#include "arch/generic/generic.h"
#include "arch/generic/pack.h"

enum { MR = 4, NR = 8 };

static size_t a_bytes(size_t k) { return prism_panel_i8_bytes(k, MR); }
static size_t w_bytes(size_t k) { return prism_panel_i8_bytes(k, NR); }

static void pack_w(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    prism_pack_w_i8(panel, NR, prism_kernels_generic.to_i8, rows, row_bytes, type, cols, k);
}

static void pack_a(void *panel, const float *x, size_t ldx, size_t rows, size_t k) { prism_pack_a_i8(panel, MR, x, ldx, rows, k); }

/* One row of a panel against one panel of weights: sums[j]. row: which of the MR. */
static void row_times_panel(float *sums, const int8_t *a, size_t row, const int8_t *w, size_t k)
{
    for (int j = 0; j < NR; j++)
        sums[j] = 0;
    for (size_t g = 0; g < k / 32; g++, a += 40 * MR, w += 40 * NR) {
        float a_scale[2 * MR], w_scale[2 * NR]; /* d, then d*sum or m */
        int32_t dot[NR] = { 0 };

        memcpy(a_scale, a + 32 * MR, sizeof a_scale);
        memcpy(w_scale, w + 32 * NR, sizeof w_scale);
        for (int quad = 0; quad < 8; quad++)
            for (int j = 0; j < NR; j++)
                for (int i = 0; i < 4; i++)
                    dot[j] += a[(quad * MR + (int)row) * 4 + i] * w[(quad * NR + j) * 4 + i];
        for (int j = 0; j < NR; j++)
            sums[j] += a_scale[row] * w_scale[j] * (float)dot[j] + a_scale[MR + row] * w_scale[NR + j];
    }
}

static void gemm(const struct prism_gemm_args *g)
{
    const char *a = g->a, *w = g->w;

    for (size_t j0 = 0; j0 < g->cols; j0 += NR) {
        size_t n_j = g->cols - j0 < NR ? g->cols - j0 : NR;
        const void *w_panel = w + j0 / NR * w_bytes(g->k);
        for (size_t i = 0; i < g->rows; i++) {
            float sums[NR], *c = g->c + i * g->ldc + j0;
            row_times_panel(sums, (const int8_t *)(a + i / MR * a_bytes(g->k)), i % MR, w_panel, g->k);
            for (size_t j = 0; j < n_j; j++)
                c[j] = g->add ? c[j] + sums[j] : sums[j];
        }
    }
}

const struct prism_linear prism_linear_i8_generic = {
    .name = "i8", .mr = MR, .nr = NR, .k_step = 32, .a_part = 64,
    .a_bytes = a_bytes, .w_bytes = w_bytes, .pack_w = pack_w, .pack_a = pack_a, .gemm = gemm,
    /* Half a step of max/127, plus three roundings of at most 127 half units. The weights only of types with scales of 16. */
    .a_err = 0.5f / 127 + 0x1p-22f, .w_err = 0.5f / 127 + 0x1p-22f,
};
