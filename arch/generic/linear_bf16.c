/* linear_bf16.c - linear layers with both operands rounded to bf16: the definition of the "bf16" linears. Products of two bf16
 * are exact in fp32; they are added in fp32, pairs of k first as VDPBF16PS does (which adds the odd product first). */
#include "arch/generic/generic.h"
#include "arch/generic/pack.h"

enum { MR = 4, NR = 8 };

static size_t a_bytes(size_t k) { return prism_panel_bf16_bytes(k, MR); }
static size_t w_bytes(size_t k) { return prism_panel_bf16_bytes(k, NR); }

static void pack_w(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    prism_pack_w_float(panel, NR, true, prism_kernels_generic.to_f32, rows, row_bytes, type, cols, k);
}

static void pack_a(void *panel, const float *x, size_t ldx, size_t rows, size_t k)
{
    assert(k % 2 == 0);
    prism_pack_a_float(panel, MR, true, x, ldx, rows, k);
}

/* One row of a against one panel: sums[j]; a strides by MR pairs. A pair is read as one word, the upper half the odd k. */
static void row_times_panel(float *sums, const uint8_t *a, const uint8_t *w, size_t k)
{
    for (int j = 0; j < NR; j++)
        sums[j] = 0;
    for (size_t p = 0; p < k / 2; p++, a += 4 * MR, w += 4 * NR) {
        uint32_t pair_a = prism_load_u32(a);
        float a0 = prism_bits_f32(pair_a << 16), a1 = prism_bits_f32(pair_a & 0xffff0000);
        for (int j = 0; j < NR; j++) {
            uint32_t pair_w = prism_load_u32(w + 4 * j);
            sums[j] += a1 * prism_bits_f32(pair_w & 0xffff0000);
            sums[j] += a0 * prism_bits_f32(pair_w << 16);
        }
    }
}

static void gemm(const struct prism_gemm_args *g)
{
    const char *a = g->a, *w = g->w;

    for (size_t j0 = 0; j0 < g->cols; j0 += NR) {
        size_t n_j = g->cols - j0 < NR ? g->cols - j0 : NR;
        const void *w_panel = w + j0 / NR * w_bytes(g->k);
        for (size_t i = 0; i < g->rows; i++) {
            const void *a_panel = a + i / MR * a_bytes(g->k);
            float sums[NR], *c = g->c + i * g->ldc + j0;
            row_times_panel(sums, (const uint8_t *)a_panel + 4 * (i % MR), w_panel, g->k);
            for (size_t j = 0; j < n_j; j++)
                c[j] = g->add ? c[j] + sums[j] : sums[j];
        }
    }
}

const struct prism_linear prism_linear_bf16_generic = {
    .name = "bf16", .mr = MR, .nr = NR, .k_step = 2, .a_part = 32,
    .a_bytes = a_bytes, .w_bytes = w_bytes, .pack_w = pack_w, .pack_a = pack_a, .gemm = gemm,
    .a_err = 0x1p-8f, .w_err = 0x1p-8f, /* eight significant bits, half a step */
};
