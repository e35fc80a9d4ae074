/* linear_i8.c - linear layers on signed bytes with vpdpbusd: the product. Its panels are made in pack_i8.c.
 *
 * Tile 6 x 32: 12 integer and 12 fp32 accumulators, two registers of W, one broadcast of A. Per group of 32 values of k the
 * integers start at -128 * (sum of the weights), which takes back the +128 of the unsigned activations at no cost, and end
 * as c += float(acc) * (d_a * d_w); types with a minimum add m_w * (d_a * sum a). 96 vpdpbusd and 36 (48) other
 * instructions of the same two ports per group: 0.73 (0.67) of the vpdpbusd peak is what this scheme can reach.
 * Overflow: |128 * sum w| + 32 * 255 * 128 < 2^21.
 * Blocking: NC columns of W stay in L2 while an A panel, in L1, passes by them. Each element adds its groups in order. */
#include <assert.h>

#include "arch/avx512vnni/tile_i8.h"

enum { MR = PRISM_I8_MR, NR = PRISM_I8_NR, KC = 96, NC = 4 * NR }; /* KC in groups */

/* c[6][32] = (or +=, when add) a.w over n_groups groups; w: the first of them. */
PRISM_INLINE void tile(float *c, size_t ldc, const struct prism_i8_a_group *a, const char *w, size_t n_groups, bool has_min, bool add)
{
    struct pair c0 = pair_zero(), c1 = c0, c2 = c0, c3 = c0, c4 = c0, c5 = c0;
    for (size_t i = 0; i < MR; i++)
        pair_prefetch(c + i * ldc);
    for (; n_groups > 0; n_groups--, a++, w += PRISM_I8_W_GROUP(has_min)) {
        const struct sums start = { _mm512_load_si512(w + PRISM_I8_W_START), _mm512_load_si512(w + PRISM_I8_W_START + 64) };
        struct sums s0 = start, s1 = start, s2 = start, s3 = start, s4 = start, s5 = start;
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            struct sums b = { _mm512_load_si512(w + 128 * i), _mm512_load_si512(w + 128 * i + 64) };
            KEEP_IN_REGISTER(b.x);
            KEEP_IN_REGISTER(b.y);
            dot_quad(&s0, a->q[0] + 4 * i, b);
            dot_quad(&s1, a->q[1] + 4 * i, b);
            dot_quad(&s2, a->q[2] + 4 * i, b);
            dot_quad(&s3, a->q[3] + 4 * i, b);
            dot_quad(&s4, a->q[4] + 4 * i, b);
            dot_quad(&s5, a->q[5] + 4 * i, b);
        }
        const float *d = (const float *)(const void *)(w + PRISM_I8_W_D), *m = (const float *)(const void *)(w + PRISM_I8_W_M);
        const struct pair scale = pair_load(d, d + 16);
        add_scaled(&c0, s0, a->d[0], scale);
        add_scaled(&c1, s1, a->d[1], scale);
        add_scaled(&c2, s2, a->d[2], scale);
        add_scaled(&c3, s3, a->d[3], scale);
        add_scaled(&c4, s4, a->d[4], scale);
        add_scaled(&c5, s5, a->d[5], scale);
        if (has_min) {
            const struct pair min = pair_load(m, m + 16);
            pair_fma(&c0, _mm512_set1_ps(a->d_sum[0]), min);
            pair_fma(&c1, _mm512_set1_ps(a->d_sum[1]), min);
            pair_fma(&c2, _mm512_set1_ps(a->d_sum[2]), min);
            pair_fma(&c3, _mm512_set1_ps(a->d_sum[3]), min);
            pair_fma(&c4, _mm512_set1_ps(a->d_sum[4]), min);
            pair_fma(&c5, _mm512_set1_ps(a->d_sum[5]), min);
        }
    }
    pair_put(c, c0, add);
    pair_put(c + ldc, c1, add);
    pair_put(c + 2 * ldc, c2, add);
    pair_put(c + 3 * ldc, c3, add);
    pair_put(c + 4 * ldc, c4, add);
    pair_put(c + 5 * ldc, c5, add);
}

static __attribute__((noinline)) void tile_symmetric(float *c, size_t ldc, const struct prism_i8_a_group *a, const char *w,
                                                     size_t n_groups, bool add)
{
    tile(c, ldc, a, w, n_groups, false, add);
}

static __attribute__((noinline)) void tile_min(float *c, size_t ldc, const struct prism_i8_a_group *a, const char *w,
                                               size_t n_groups, bool add)
{
    tile(c, ldc, a, w, n_groups, true, add);
}

/* One tile of c, of which rows x cols exist. */
static void tile_any(float *c, size_t ldc, size_t rows, size_t cols, const struct prism_i8_a_group *a, const char *w,
                     size_t n_groups, bool has_min, bool add)
{
    void (*run)(float *, size_t, const struct prism_i8_a_group *, const char *, size_t, bool) = has_min ? tile_min : tile_symmetric;
    if (rows == MR && cols == NR) {
        run(c, ldc, a, w, n_groups, add);
        return;
    }
    _Alignas(64) float part[MR * NR];
    run(part, NR, a, w, n_groups, false);
    tile_put_part(c, ldc, part, rows, cols, add);
}

/* Part number `part` of n equal parts of the bytes at p, into L2: each tile fetches its share of what the next pass reads from
 * memory. Measured at K = 1024: 0.635 -> 0.653 of the vpdpbusd peak. Fetching A likewise, or W of the fp32 layer, made both slower. */
static inline void fetch_part(const char *p, size_t bytes, size_t part, size_t n)
{
    const size_t lines = (bytes / 64 + n - 1) / n;
    for (size_t i = part * lines; i < (part + 1) * lines; i++)
        _mm_prefetch(p + 64 * i, _MM_HINT_T1);
}

static void gemm(const struct prism_gemm_args *g)
{
    const size_t groups = g->k / 32, w_panel = prism_i8_w_bytes(g->k), row_panels = (g->rows + MR - 1) / MR;
    assert((uintptr_t)g->a % 64 == 0 && (uintptr_t)g->w % 64 == 0 && g->k > 0 && g->k % 32 == 0);

    for (size_t n = 0; n < g->cols; n += NC)
        for (size_t l = 0; l < groups; l += KC) {
            const size_t n_end = n + NC < g->cols ? n + NC : g->cols, kc = l + KC < groups ? KC : groups - l;
            for (size_t i = 0; i < g->rows; i += MR)
                for (size_t j = n; j < n_end; j += NR) {
                    const struct prism_i8_a_group *a = (const struct prism_i8_a_group *)g->a + i / MR * groups + l;
                    const char *panel = (const char *)g->w + j / NR * w_panel;
                    const bool has_min = *(const uint32_t *)panel;
                    const char *w = panel + PRISM_I8_W_HEADER + l * PRISM_I8_W_GROUP(has_min);
                    /* next: the following groups of this panel, or the panel NC columns on */
                    fetch_part(l + KC < groups ? w + KC * PRISM_I8_W_GROUP(has_min) : panel + NC / NR * w_panel,
                               kc * PRISM_I8_W_GROUP(has_min), i / MR, row_panels);
                    tile_any(g->c + i * g->ldc + j, g->ldc, g->rows - i < MR ? g->rows - i : MR, n_end - j < NR ? n_end - j : NR, a, w,
                             kc, has_min, g->add || l > 0);
                }
        }
}

/* Activations: half a step of max/127. Weights: the types with scales of 16 are requantised, likewise. */
const struct prism_linear prism_linear_i8_avx512vnni = {
    .name = "i8", .mr = MR, .nr = NR, .k_step = 32,
    .a_bytes = prism_i8_a_bytes, .w_bytes = prism_i8_w_bytes,
    .pack_w = prism_pack_w_i8_avx512vnni, .pack_a = prism_pack_a_i8_avx512vnni, .gemm = gemm,
    .finer = &prism_linear_i8x2_avx512vnni,
    .a_err = 0.5f / 127, .w_err = 0.5f / 127,
};
