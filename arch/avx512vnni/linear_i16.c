/* linear_i16.c - linear layers on two-byte integers with vpdpwssd, for weights stored as F16 or BF16: "i16", the product and its panels.
 *
 * Per group of 64 values of k: activations are q * d with |q| <= 4095 and d = max|x| / 4095, weights likewise with 8191, round half to even.
 * Errors are at most 2^-13 and 2^-14 of the group's largest, where activations in F16 would have 2^-11 of the value and in BF16 2^-8. A sum
 * of 64 products is at most 64 * 4095 * 8191 < 2^31, exact.
 *
 * Tile 6 x 32 as in linear_i8.c: 12 integer and 12 fp32 accumulators, two registers of W, one broadcast of A. Per group 384 vpdpwssd and 36
 * other instructions of the same two ports, 24 on Zen 5: 0.91 (0.94) of the vpdpwssd peak, which is half the vpdpbusd peak and twice that of
 * fp32, is what this scheme can reach. */
#include <string.h>

#include "arch/avx512vnni/avx512vnni.h"
#include "arch/avx512vnni/quantize.h"
#include "arch/avx512vnni/walk.h"

/* A panel, per group: [6][2 halves][16] pairs of words, then the line of d[6]. W panel, per group: [2][16][32] pairs of words, d[32]. Pairs are
 * of neighbours in k, each half in the order of words_of_group. */
enum {
    A_MAX = 4095, W_MAX = 8191,
    GROUP = 64, PAIRS = 16,
    A_D = MR * GROUP * 2, A_GROUP = A_D + 64,
    W_HALF = PAIRS * NR * 4, W_D = 2 * W_HALF, W_GROUP = W_D + NR * 4,
    KC = 24 /* groups: 20 KiB of A, in L1, and 408 KiB of W, in L2 */
};
#define LEAST 0x1p-112f /* a group below counts as zero */

static size_t a_bytes(size_t k) { return k / GROUP * A_GROUP; }
static size_t w_bytes(size_t k) { return k / GROUP * W_GROUP; }

/* ---- weights ---- */

PRISM_INLINE struct group load_stored(const char *p, enum prism_type type)
{
    return type == PRISM_F16 ? (struct group){ vec_load_f16(p), vec_load_f16(p + 32) }
                             : (struct group){ vec_load_bf16(p), vec_load_bf16(p + 32) };
}

/* A group of 16 columns to their half of the lines at out. */
PRISM_INLINE void put_columns(char *out, const char *rows, size_t row_bytes, enum prism_type type)
{
    _Alignas(64) float inverse[16];
    __m512 v[16];
    for (size_t j = 0; j < 16; j++)
        v[j] = larger(magnitudes(load_stored(rows + j * row_bytes, type)), magnitudes(load_stored(rows + j * row_bytes + 64, type)));
    _mm512_store_ps((float *)(void *)(out + W_D), scales_of(inverse, v, W_MAX, LEAST));
    KEEP_IN_MEMORY(inverse);
    for (size_t half = 0; half < 2; half++, rows += 64, out += W_HALF) {
        for (size_t j = 0; j < 16; j++)
            v[j] = _mm512_castsi512_ps(words_of_group(load_stored(rows + j * row_bytes, type), inverse[j]));
        vec_transpose_16(v);
        for (size_t i = 0; i < PAIRS; i++)
            _mm512_store_ps((float *)(void *)(out + i * NR * 4), v[i]);
    }
}

/* 16 columns, of which n exist, while the next 16 are fetched. */
PRISM_INLINE void pack_columns(char *out, const char *rows, size_t row_bytes, size_t n, size_t k, enum prism_type type)
{
    for (size_t g = 0; g < k / GROUP; g++, out += W_GROUP, rows += 2 * GROUP) {
        if (n == 16) {
            for (size_t j = 16; j < 32; j++) {
                _mm_prefetch(rows + j * row_bytes, _MM_HINT_T1);
                _mm_prefetch(rows + j * row_bytes + 64, _MM_HINT_T1);
            }
            put_columns(out, rows, row_bytes, type);
            continue;
        }
        _Alignas(64) char part[16][2 * GROUP] = { 0 };
        for (size_t j = 0; j < n; j++)
            memcpy(part[j], rows + j * row_bytes, sizeof part[j]);
        put_columns(out, part[0], sizeof part[0], type);
    }
}

static __attribute__((noinline)) void pack_f16(char *out, const char *rows, size_t row_bytes, size_t n, size_t k)
{
    pack_columns(out, rows, row_bytes, n, k, PRISM_F16);
}

static __attribute__((noinline)) void pack_bf16(char *out, const char *rows, size_t row_bytes, size_t n, size_t k)
{
    pack_columns(out, rows, row_bytes, n, k, PRISM_BF16);
}

static void pack_w(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    assert((type == PRISM_F16 || type == PRISM_BF16) && cols >= 1 && cols <= NR && k % GROUP == 0 && (uintptr_t)panel % 64 == 0);
    for (size_t j = 0; j < NR; j += 16) {
        const size_t n = cols <= j ? 0 : cols - j < 16 ? cols - j : 16;
        (type == PRISM_F16 ? pack_f16 : pack_bf16)((char *)panel + 4 * j, (const char *)rows + (n > 0 ? j : 0) * row_bytes, row_bytes, n, k);
    }
}

/* ---- activations ---- */

/* quantize_fn */
static __attribute__((noinline)) void quantize_i16(char *out, const float *x, size_t ldx, size_t n)
{
    for (; n > 0; n--, x += GROUP, out += A_GROUP) {
        _Alignas(64) float inverse[16];
        _mm512_store_ps((float *)(void *)(out + A_D), scales_of_rows_64(inverse, x, ldx, A_MAX, LEAST));
        KEEP_IN_MEMORY(inverse);
        for (size_t i = 0; i < MR; i++) {
            _mm512_store_si512(out + 128 * i, words_of_group(load_group(x + i * ldx), inverse[i]));
            _mm512_store_si512(out + 128 * i + 64, words_of_group(load_group(x + i * ldx + 32), inverse[i]));
        }
    }
}

static void pack_a(void *panel, const float *x, size_t ldx, size_t rows, size_t k)
{
    quantize_panel(quantize_i16, A_GROUP / 2, panel, x, ldx, rows, k);
}

/* ---- product ---- */

/* s += (a pair of a, broadcast) . (a pair of each column) */
PRISM_INLINE void dot_pair(struct sums *s, const uint8_t *a, struct sums w)
{
    const __m512i pair = _mm512_set1_epi32(*(const int32_t *)(const void *)a);
    s->x = _mm512_dpwssd_epi32(s->x, pair, w.x);
    s->y = _mm512_dpwssd_epi32(s->y, pair, w.y);
}

/* A walk_tile_fn. */
static __attribute__((noinline)) void tile(float *c, size_t ldc, const uint8_t *a, const char *w, size_t n, bool add)
{
    struct pair c0 = pair_zero(), c1 = c0, c2 = c0, c3 = c0, c4 = c0, c5 = c0;
    for (size_t i = 0; i < MR; i++)
        pair_prefetch(c + i * ldc);
    for (; n > 0; n--, a += A_GROUP, w += W_GROUP) {
        const struct sums zero = { _mm512_setzero_si512(), _mm512_setzero_si512() };
        struct sums s0 = zero, s1 = zero, s2 = zero, s3 = zero, s4 = zero, s5 = zero;
#pragma GCC unroll 32
        for (int i = 0; i < 2 * PAIRS; i++) {
            const struct sums b = load_weights(w + 128 * i);
            dot_pair(&s0, a + 4 * i, b);
            dot_pair(&s1, a + 128 + 4 * i, b);
            dot_pair(&s2, a + 256 + 4 * i, b);
            dot_pair(&s3, a + 384 + 4 * i, b);
            dot_pair(&s4, a + 512 + 4 * i, b);
            dot_pair(&s5, a + 640 + 4 * i, b);
        }
        const float *d_w = (const float *)(const void *)(w + W_D), *d_a = (const float *)(const void *)(a + A_D);
        const struct pair scale = pair_load(d_w, d_w + 16);
        add_scaled(&c0, s0, d_a[0], scale);
        add_scaled(&c1, s1, d_a[1], scale);
        add_scaled(&c2, s2, d_a[2], scale);
        add_scaled(&c3, s3, d_a[3], scale);
        add_scaled(&c4, s4, d_a[4], scale);
        add_scaled(&c5, s5, d_a[5], scale);
    }
    pair_put_6(c, ldc, c0, c1, c2, c3, c4, c5, add);
}

static void gemm(const struct prism_gemm_args *g)
{
    const struct walk panels = {
        .group = GROUP, .kc = KC, .a_panel = a_bytes(g->k), .a_group = A_GROUP, .w_panel = w_bytes(g->k), .w_group = W_GROUP,
    };
    walk(&panels, tile, g);
}

const struct prism_linear prism_linear_i16_avx512vnni = {
    .name = "i16", .mr = MR, .nr = NR, .k_step = GROUP, .a_part = GROUP, .few_rows = 10,
    .a_bytes = a_bytes, .w_bytes = w_bytes, .pack_w = pack_w, .pack_a = pack_a, .gemm = gemm,
    /* Half a step, and three roundings of the largest. */
    .a_err = 0.5f / A_MAX + 3 * 0x1p-24f, .w_err = 0.5f / W_MAX + 3 * 0x1p-24f,
};
