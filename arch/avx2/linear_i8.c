/* linear_i8.c - linear layers on signed bytes, for block types that linear_i4.c does not take. The numbers and the panels are
 * those of the "i8" linear of arch/generic/linear_i8.c and pack.h, 8 columns and 8 rows wide.
 *
 * pmaddubsw wants one unsigned operand: |w| and a with the sign of w. Nothing saturates: activations are within +-127, |w| <=
 * 128, so a pair is at most 2 * 128 * 127 = 32512. Four operations per 32 products as for fp32, on three ports instead of
 * two. */
#include "arch/avx2/avx2.h"

#include <string.h>

#include "arch/avx2/byte_tile.h"
#include "arch/generic/pack.h"

#define MR BYTE_MR
#define NR BYTE_NR
#define GROUP 320 /* bytes of a group in either panel */

static size_t panel_bytes(size_t k) { return prism_panel_i8_bytes(k, MR); }

static void pack_w(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    prism_pack_w_i8(panel, NR, prism_kernels_avx2.to_i8, rows, row_bytes, type, cols, k);
}

static void pack_a(void *panel, const float *x, size_t ldx, size_t rows, size_t k)
{
    prism_pack_a_i8(panel, MR, x, ldx, rows, k);
}

/* sum += products of four k; first: sum = products. */
PRISM_INLINE void dots_row(__m256i *sum, const uint32_t *a, __m256i w, __m256i w_abs, bool first)
{
    const __m256i pairs = _mm256_maddubs_epi16(w_abs, _mm256_sign_epi8(_mm256_set1_epi32((int)*a), w));
    const __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    if (first)
        *sum = fours;
    else
        __asm__("vpaddd %1, %0, %0" : "+x"(*sum) : "x"(fours)); /* as in tile.h: keeps the sums where they are */
}

PRISM_INLINE void dots_step(struct byte_sums *s, const uint32_t *a, __m256i w, bool first)
{
    const __m256i w_abs = _mm256_abs_epi8(w);
    dots_row(&s->r0, a, w, w_abs, first);
    dots_row(&s->r1, a + 1, w, w_abs, first);
    dots_row(&s->r2, a + 2, w, w_abs, first);
    dots_row(&s->r3, a + 3, w, w_abs, first);
    dots_row(&s->r4, a + 4, w, w_abs, first);
    dots_row(&s->r5, a + 5, w, w_abs, first);
    dots_row(&s->r6, a + 6, w, w_abs, first);
    dots_row(&s->r7, a + 7, w, w_abs, first);
}

/* sums[8] += the group's share of row i. a, w: the scales of the group. */
PRISM_INLINE void add_row(float *sums, __m256i dot, size_t i, const float *a, const float *w)
{
    const __m256 d = _mm256_mul_ps(_mm256_broadcast_ss(a + i), _mm256_load_ps(w));
    __m256 s = _mm256_fmadd_ps(d, _mm256_cvtepi32_ps(dot), _mm256_load_ps(sums + i * NR));
    s = _mm256_fmadd_ps(_mm256_broadcast_ss(a + MR + i), _mm256_load_ps(w + NR), s);
    _mm256_store_ps(sums + i * NR, s);
}

/* sums[8][8] = one activation panel times one weight panel. */
static __attribute__((noinline)) void tile(float *sums, const char *a, const char *w, size_t groups)
{
    memset(sums, 0, MR * NR * sizeof *sums);
    for (; groups > 0; groups--, a += GROUP, w += GROUP) {
        struct byte_sums s;
#pragma GCC unroll 8
        for (int quad = 0; quad < 8; quad++)
            dots_step(&s, (const uint32_t *)(const void *)a + quad * MR,
                      _mm256_load_si256((const __m256i *)(const void *)w + quad), quad == 0);
        const float *a_scales = (const float *)(const void *)(a + 32 * MR);
        const float *w_scales = (const float *)(const void *)(w + 32 * NR);
        add_row(sums, s.r0, 0, a_scales, w_scales);
        add_row(sums, s.r1, 1, a_scales, w_scales);
        add_row(sums, s.r2, 2, a_scales, w_scales);
        add_row(sums, s.r3, 3, a_scales, w_scales);
        add_row(sums, s.r4, 4, a_scales, w_scales);
        add_row(sums, s.r5, 5, a_scales, w_scales);
        add_row(sums, s.r6, 6, a_scales, w_scales);
        add_row(sums, s.r7, 7, a_scales, w_scales);
    }
}

static void gemm(const struct prism_gemm_args *g) { byte_gemm(g, panel_bytes(g->k), panel_bytes(g->k), tile); }

const struct prism_linear prism_linear_i8_avx2 = {
    .name = "i8", .mr = MR, .nr = NR, .k_step = 32,
    .a_bytes = panel_bytes, .w_bytes = panel_bytes, .pack_w = pack_w, .pack_a = pack_a, .gemm = gemm,
    .finer = &prism_linear_f32_avx2,
    /* As for the generic "i8" linear: half a step of max / 127, and three roundings. */
    .a_err = 0.5f / 127 + 0x1p-22f, .w_err = 0.5f / 127 + 0x1p-22f,
};
