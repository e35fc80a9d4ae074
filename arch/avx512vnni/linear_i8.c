/* linear_i8.c - linear layers on signed bytes with vpdpbusd: the products. Their panels are made in pack_a_i8.c and pack_w_i8.c.
 *
 * Tile 6 x 32: 12 integer and 12 fp32 accumulators, two registers of W, one broadcast of A. Per group of 32 values of k the
 * integers start at -128 * (sum of the weights), which takes back the +128 of the unsigned activations at no cost, and end
 * as c += float(acc) * (d_a * d_w); types with a minimum add m_w * (d_a * sum a). With two bytes the high ones come first, and the shift by 8
 * makes of the start the 32768 of the pair. 96 vpdpbusd and 36 (48) other instructions of the same two ports per group: 0.73 (0.67) of the
 * vpdpbusd peak is what this scheme can reach; 192 and 48 (60), 0.80, with two bytes. Fewer scales: linear_i8w.c.
 * Overflow: one byte |128 * sum w| + 32 * 255 * 128 < 2^21, two bytes |sum| <= 32 * 32768 * 128 = 2^27, and twice that on the way. */
#include "arch/avx512vnni/panel_i8.h"
#include "arch/avx512vnni/walk.h"

/* The 32 values of k of one group: s0..s5 += a . w */
PRISM_INLINE void dot_group(struct sums *s0, struct sums *s1, struct sums *s2, struct sums *s3, struct sums *s4, struct sums *s5,
                            const uint8_t *a, const char *w)
{
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        const struct sums b = load_weights(w + 128 * i);
        dot_quad(s0, a + 4 * i, b);
        dot_quad(s1, a + 32 + 4 * i, b);
        dot_quad(s2, a + 64 + 4 * i, b);
        dot_quad(s3, a + 96 + 4 * i, b);
        dot_quad(s4, a + 128 + 4 * i, b);
        dot_quad(s5, a + 160 + 4 * i, b);
    }
}

PRISM_INLINE void shift_8(struct sums *s)
{
    s->x = _mm512_slli_epi32(s->x, 8);
    s->y = _mm512_slli_epi32(s->y, 8);
}

/* c[6][32] = (or +=, when add) a.w over n groups. */
PRISM_INLINE void tile(float *c, size_t ldc, const uint8_t *a, const char *w, size_t n, bool add, size_t parts, bool has_min)
{
    struct pair c0 = pair_zero(), c1 = c0, c2 = c0, c3 = c0, c4 = c0, c5 = c0;
    for (size_t i = 0; i < MR; i++)
        pair_prefetch(c + i * ldc);
    for (; n > 0; n--, a += PRISM_I8_A_GROUP(parts), w += PRISM_I8_W_GROUP(has_min)) {
        const struct prism_i8_numbers *numbers = (const void *)(a + PRISM_I8_A_BYTES(parts));
        const struct sums start = { _mm512_load_si512(w + PRISM_I8_W_START), _mm512_load_si512(w + PRISM_I8_W_START + 64) };
        struct sums s0 = start, s1 = start, s2 = start, s3 = start, s4 = start, s5 = start;
        dot_group(&s0, &s1, &s2, &s3, &s4, &s5, a, w);
        if (parts == 2) {
            shift_8(&s0), shift_8(&s1), shift_8(&s2), shift_8(&s3), shift_8(&s4), shift_8(&s5);
            dot_group(&s0, &s1, &s2, &s3, &s4, &s5, a + MR * 32, w);
        }
        const float *d = (const float *)(const void *)(w + PRISM_I8_W_D), *m = (const float *)(const void *)(w + PRISM_I8_W_M);
        const struct pair scale = pair_load(d, d + 16);
        add_scaled(&c0, s0, numbers->d[0], scale);
        add_scaled(&c1, s1, numbers->d[1], scale);
        add_scaled(&c2, s2, numbers->d[2], scale);
        add_scaled(&c3, s3, numbers->d[3], scale);
        add_scaled(&c4, s4, numbers->d[4], scale);
        add_scaled(&c5, s5, numbers->d[5], scale);
        if (has_min) {
            const struct pair min = pair_load(m, m + 16);
            pair_fma(&c0, _mm512_set1_ps(numbers->d_sum[0]), min);
            pair_fma(&c1, _mm512_set1_ps(numbers->d_sum[1]), min);
            pair_fma(&c2, _mm512_set1_ps(numbers->d_sum[2]), min);
            pair_fma(&c3, _mm512_set1_ps(numbers->d_sum[3]), min);
            pair_fma(&c4, _mm512_set1_ps(numbers->d_sum[4]), min);
            pair_fma(&c5, _mm512_set1_ps(numbers->d_sum[5]), min);
        }
    }
    pair_put_6(c, ldc, c0, c1, c2, c3, c4, c5, add);
}

static __attribute__((noinline)) void tile_i8(float *c, size_t ldc, const uint8_t *a, const char *w, size_t n, bool add)
{
    tile(c, ldc, a, w, n, add, 1, false);
}

static __attribute__((noinline)) void tile_i8_min(float *c, size_t ldc, const uint8_t *a, const char *w, size_t n, bool add)
{
    tile(c, ldc, a, w, n, add, 1, true);
}

static __attribute__((noinline)) void tile_i8x2(float *c, size_t ldc, const uint8_t *a, const char *w, size_t n, bool add)
{
    tile(c, ldc, a, w, n, add, 2, false);
}

static __attribute__((noinline)) void tile_i8x2_min(float *c, size_t ldc, const uint8_t *a, const char *w, size_t n, bool add)
{
    tile(c, ldc, a, w, n, add, 2, true);
}

static void gemm(const struct prism_gemm_args *g, size_t parts, size_t a_panel, walk_tile_fn *symmetric, walk_tile_fn *min)
{
    const bool has_min = *(const uint32_t *)g->w; /* all panels of a matrix have the type's */
    const struct walk panels = {
        .group = 32, .kc = 96, .a_panel = a_panel, .a_group = PRISM_I8_A_GROUP(parts),
        .w_panel = prism_i8_w_bytes(g->k), .w_header = PRISM_I8_W_HEADER, .w_group = PRISM_I8_W_GROUP(has_min),
    };
    walk(&panels, has_min ? min : symmetric, g);
}

static void gemm_i8(const struct prism_gemm_args *g) { gemm(g, 1, prism_i8_a_bytes(g->k), tile_i8, tile_i8_min); }
static void gemm_i8x2(const struct prism_gemm_args *g) { gemm(g, 2, prism_i8x2_a_bytes(g->k), tile_i8x2, tile_i8x2_min); }

/* Activations: half a step of max/127. Weights: the types with scales of 16 are requantised, likewise. */
const struct prism_linear prism_linear_i8_avx512vnni = {
    .name = "i8", .mr = MR, .nr = NR, .k_step = 32, .a_part = 64, .few_rows = 4,
    .a_bytes = prism_i8_a_bytes, .w_bytes = prism_i8_w_bytes,
    .pack_w = prism_pack_w_i8_avx512vnni, .pack_a = prism_pack_a_i8_avx512vnni, .gemm = gemm_i8,
    .a_err = 0.5f / 127, .w_err = 0.5f / 127,
};

/* Half a step of max/32767, and three roundings of at most 2^15 half units. */
const struct prism_linear prism_linear_i8x2_avx512vnni = {
    .name = "i8x2", .mr = MR, .nr = NR, .k_step = 32, .a_part = 64, .few_rows = 8,
    .a_bytes = prism_i8x2_a_bytes, .w_bytes = prism_i8_w_bytes,
    .pack_w = prism_pack_w_i8_avx512vnni, .pack_a = prism_pack_a_i8x2_avx512vnni, .gemm = gemm_i8x2,
    .a_err = 0.5f / 32767 + 3 * 0x1p-24f, .w_err = 0.5f / 127,
};
