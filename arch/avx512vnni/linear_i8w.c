/* linear_i8w.c - linear layers on weights of few bits with vpdpbusd: "i8w", activations and the product. Weights are packed in pack_w_i8w.c.
 *
 * As in linear_i8.c, but with few scales: c += d_w * (d_a[0] * acc[0] + ... + d_a[3] * acc[3]) for 256 values of k, an acc for 64 of them. Tile
 * 6 x 32: 12 integer sums and 12 of fp32 times d_a; those times d_w are added in memory. For those 768 vpdpbusd and 60
 * multiplications on the same ports (108 where these convert as well): 0.93 (0.88) of the vpdpbusd peak is what this scheme can reach, where scales
 * for every 32 values allow 0.80 (0.73).
 * What wider groups cost: divergence from fp32 on the same weights, 1e-4 nats a token, models in Q4_0, 6 x 1024 tokens of persuasion.txt. Their
 * perplexity is 4 to 5 % above that of Q8_0, in all these columns within 0.15 %.
 *     activations / weights  32 / stored  64 / stored  256 / stored  32 / 256  64 / 128  64 / 256  256 / 256
 *     38m                    2.7          3.9          8.1           5.6       6.6       6.7       11
 *     tasks-52m              7.2          10.4         21            16        18        19
 *     llama-16m              4.7          6.6                                            11
 * 256 / stored is the arithmetic of llama.cpp's products of K types. 64 / 256 is kept for the types of few bits that models are rounded to, not for
 * those that they are trained in (MXFP4, NVFP4, TQ1_0, ...) and not for Q6_K and Q8_0.
 * Overflow: |128 * sum w| + 64 * 255 * 127 < 2^22. */
#include "arch/avx512vnni/avx512vnni.h"
#include "arch/avx512vnni/panel_i8w.h"
#include "arch/avx512vnni/quantize.h"
#include "arch/avx512vnni/walk.h"

enum { KC = 48 /* groups: 21 KiB of A, in L1, and 432 KiB of W, in L2 */ };

static size_t a_bytes(size_t k) { return k / I8W_GROUP * I8W_A_GROUP; }
static size_t w_bytes(size_t k) { return k / I8W_GROUP * I8W_W_GROUP; }

/* ---- activations ---- */

/* The 64 bytes of a row, in order. */
PRISM_INLINE __m512i bytes_of_row(const float *x, float inverse)
{
    const __m512i q = _mm512_packs_epi16(words_of_group(load_group(x), inverse), words_of_group(load_group(x + 32), inverse));
    return _mm512_xor_si512(in_order(q), _mm512_set1_epi8((char)128));
}

/* quantize_fn */
static __attribute__((noinline)) void quantize_i8w(char *out, const float *x, size_t ldx, size_t n)
{
    for (; n > 0; n--, x += I8W_GROUP, out += I8W_A_GROUP) {
        _Alignas(64) float inverse[16];
        _mm512_store_ps((float *)(void *)(out + I8W_A_D), scales_of_rows_64(inverse, x, ldx, 127, 0x1p-120f));
        KEEP_IN_MEMORY(inverse);
        for (size_t i = 0; i < MR; i++)
            _mm512_store_si512(out + I8W_GROUP * i, bytes_of_row(x + i * ldx, inverse[i]));
    }
}

static void pack_a(void *panel, const float *x, size_t ldx, size_t rows, size_t k)
{
    assert(k % I8W_GROUP == 0);
    quantize_panel(quantize_i8w, I8W_A_GROUP / 2, panel, x, ldx, rows, k);
}

/* ---- product ---- */

/* t += s * d */
PRISM_INLINE void add_floats(struct pair *t, struct sums s, const float *d)
{
    const struct pair v = { _mm512_cvtepi32_ps(s.x), _mm512_cvtepi32_ps(s.y) };
    pair_fma(t, _mm512_set1_ps(*d), v);
}

PRISM_INLINE struct pair sum_at(const float *sum) { return (struct pair){ _mm512_load_ps(sum), _mm512_load_ps(sum + 16) }; }

/* sum[0..32) += t * d */
PRISM_INLINE void add_slab(float *sum, struct pair t, struct pair d)
{
    const struct pair v = sum_at(sum);
    _mm512_store_ps(sum, _mm512_fmadd_ps(t.x, d.x, v.x));
    _mm512_store_ps(sum + 16, _mm512_fmadd_ps(t.y, d.y, v.y));
}

/* A walk_tile_fn; only the last slab of n groups may be short. */
static __attribute__((noinline)) void tile_i8w(float *c, size_t ldc, const uint8_t *a, const char *w, size_t n, bool add)
{
    _Alignas(64) float sum[MR * NR] = { 0 };
    for (size_t i = 0; i < MR; i++)
        pair_prefetch(c + i * ldc);
    for (size_t done = 0; done < n; done += I8W_SLAB) {
        struct pair t0 = pair_zero(), t1 = t0, t2 = t0, t3 = t0, t4 = t0, t5 = t0;
        for (size_t left = n - done < I8W_SLAB ? n - done : I8W_SLAB; left > 0; left--, a += I8W_A_GROUP, w += I8W_W_GROUP) {
            const struct sums start = { _mm512_load_si512(w + I8W_START), _mm512_load_si512(w + I8W_START + 64) };
            struct sums s0 = start, s1 = start, s2 = start, s3 = start, s4 = start, s5 = start;
#pragma GCC unroll 16
            for (int i = 0; i < I8W_GROUP / 4; i++) {
                const struct sums b = load_weights(w + 128 * i);
                dot_quad(&s0, a + 4 * i, b);
                dot_quad(&s1, a + 64 + 4 * i, b);
                dot_quad(&s2, a + 128 + 4 * i, b);
                dot_quad(&s3, a + 192 + 4 * i, b);
                dot_quad(&s4, a + 256 + 4 * i, b);
                dot_quad(&s5, a + 320 + 4 * i, b);
            }
            const float *d_a = (const float *)(const void *)(a + I8W_A_D);
            add_floats(&t0, s0, d_a);
            add_floats(&t1, s1, d_a + 1);
            add_floats(&t2, s2, d_a + 2);
            add_floats(&t3, s3, d_a + 3);
            add_floats(&t4, s4, d_a + 4);
            add_floats(&t5, s5, d_a + 5);
        }
        const float *d_w = (const float *)(const void *)(w - I8W_W_GROUP + I8W_D);
        const struct pair scale = pair_load(d_w, d_w + 16);
        add_slab(sum, t0, scale);
        add_slab(sum + NR, t1, scale);
        add_slab(sum + 2 * NR, t2, scale);
        add_slab(sum + 3 * NR, t3, scale);
        add_slab(sum + 4 * NR, t4, scale);
        add_slab(sum + 5 * NR, t5, scale);
    }
    pair_put_6(c, ldc, sum_at(sum), sum_at(sum + NR), sum_at(sum + 2 * NR), sum_at(sum + 3 * NR), sum_at(sum + 4 * NR), sum_at(sum + 5 * NR), add);
}

static void gemm(const struct prism_gemm_args *g)
{
    const struct walk panels = {
        .group = I8W_GROUP, .kc = KC, .a_panel = a_bytes(g->k), .a_group = I8W_A_GROUP, .w_panel = w_bytes(g->k), .w_group = I8W_W_GROUP,
    };
    walk(&panels, tile_i8w, g);
}

/* Half a step of max/127; that of weights has the 0.03 that its factors may be off. */
const struct prism_linear prism_linear_i8w_avx512vnni = {
    .name = "i8w", .mr = MR, .nr = NR, .k_step = I8W_GROUP, .a_part = I8W_GROUP, .few_rows = 8,
    .a_bytes = a_bytes, .w_bytes = w_bytes, .pack_w = prism_pack_w_i8w_avx512vnni, .pack_a = pack_a, .gemm = gemm,
    .a_err = 0.5f / 127, .w_err = 0.54f / 127,
};
