/* linear_f32.c - linear layers in fp32: weights and activations as they are, one product and one sum per k in order. */
#include "arch/generic/generic.h"
#include "arch/generic/pack.h"

enum { MR = 4, NR = 8 };

static size_t a_bytes(size_t k) { return prism_panel_f32_bytes(k, MR); }
static size_t w_bytes(size_t k) { return prism_panel_f32_bytes(k, NR); }

static void pack_w(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    prism_pack_w_float(panel, NR, false, prism_kernels_generic.to_f32, rows, row_bytes, type, cols, k);
}

static void pack_a(void *panel, const float *x, size_t ldx, size_t rows, size_t k)
{
    prism_pack_a_float(panel, MR, false, x, ldx, rows, k);
}

/* sums[i][j] = sum over k of a[k][i] * w[k][j]; sums stay in registers: vectors of 16 bytes, the baseline of both families. */
static void tile(float (*sums)[NR], const float *a, const float *w, size_t k)
{
    typedef float f32x4 __attribute__((vector_size(16), may_alias));
    f32x4 s[MR][2] = { 0 };

    for (size_t kk = 0; kk < k; kk++) {
        f32x4 w0 = *(const f32x4 *)(w + kk * NR), w1 = *(const f32x4 *)(w + kk * NR + 4);
#pragma GCC unroll 4
        for (int i = 0; i < MR; i++) {
            s[i][0] += a[kk * MR + i] * w0;
            s[i][1] += a[kk * MR + i] * w1;
        }
    }
    memcpy(sums, s, sizeof s);
}

static void gemm(const struct prism_gemm_args *g)
{
    const char *a = g->a, *w = g->w;

    for (size_t j0 = 0; j0 < g->cols; j0 += NR) {
        size_t n_j = g->cols - j0 < NR ? g->cols - j0 : NR;
        for (size_t i0 = 0; i0 < g->rows; i0 += MR) {
            size_t n_i = g->rows - i0 < MR ? g->rows - i0 : MR;
            float sums[MR][NR];
            tile(sums, (const float *)(const void *)(a + i0 / MR * a_bytes(g->k)),
                 (const float *)(const void *)(w + j0 / NR * w_bytes(g->k)), g->k);
            for (size_t i = 0; i < n_i; i++)
                for (size_t j = 0; j < n_j; j++) {
                    float *c = g->c + (i0 + i) * g->ldc + j0 + j;
                    *c = g->add ? *c + sums[i][j] : sums[i][j];
                }
        }
    }
}

const struct prism_linear prism_linear_f32_generic = {
    .name = "f32", .mr = MR, .nr = NR, .k_step = 1, .a_part = 32,
    .a_bytes = a_bytes, .w_bytes = w_bytes, .pack_w = pack_w, .pack_a = pack_a, .gemm = gemm,
    .a_err = 0, .w_err = 0,
};
