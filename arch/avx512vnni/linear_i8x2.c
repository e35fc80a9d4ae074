/* linear_i8x2.c - the int8 linear layer with activations of two bytes (prism_linear.finer).
 *
 * Weight panels are those of linear_i8.c. An activation is q = 256 * high + low with d = max|x| / 32639 in its group of 32, high in
 * -127..127 and low in -128..127, both stored + 128. Per group the high bytes are summed first, the sums are shifted left by 8, the low
 * bytes follow in the same accumulators: sum(q * w) exactly, |.| <= 32 * 32639 * 128 < 2^27. 192 vpdpbusd and 60 (72) other instructions
 * per group: just over half the speed of linear_i8.c, and 1/257 of its activation error. */
#include <assert.h>
#include <string.h>

#include "arch/avx512/vec.h"
#include "arch/avx512vnni/tile_i8.h"

enum { MR = PRISM_I8_MR, NR = PRISM_I8_NR, KC = 48, NC = 4 * NR, Q_MAX = 32639 };

/* One group of 32 values of k of one activation panel. */
struct a_group {
    uint8_t high[MR][32], low[MR][32];
    float d[MR], d_sum[MR]; /* as in struct prism_i8_a_group */
    char pad[16];
};
_Static_assert(sizeof(struct a_group) == 448, "seven cache lines");

static size_t a_bytes(size_t k) { return k / 32 * sizeof(struct a_group); }

/* Round half to even; a group below 2^-112 counts as zero (its step would not be a normal float). */
static void quantize_group(struct a_group *out, size_t row, const float *x)
{
    const __m512 x0 = _mm512_loadu_ps(x), x1 = _mm512_loadu_ps(x + 16);
    const float max = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(x0), _mm512_abs_ps(x1)));
    const float d = max < 0x1p-112f ? 0.0f : max / Q_MAX;
    const __m512 inverse = _mm512_set1_ps(max < 0x1p-112f ? 0.0f : Q_MAX / max);
    const __m512i bias = _mm512_set1_epi32(128 * 256 + 128); /* + 128 for each byte; its carry rounds high to the nearest */
    const __m512i q0 = _mm512_cvtps_epi32(_mm512_mul_ps(x0, inverse)), q1 = _mm512_cvtps_epi32(_mm512_mul_ps(x1, inverse));
    const __m512i u0 = _mm512_add_epi32(q0, bias), u1 = _mm512_add_epi32(q1, bias);

    _mm_storeu_si128((__m128i *)(void *)out->low[row], _mm512_cvtepi32_epi8(u0));
    _mm_storeu_si128((__m128i *)(void *)(out->low[row] + 16), _mm512_cvtepi32_epi8(u1));
    _mm_storeu_si128((__m128i *)(void *)out->high[row], _mm512_cvtepi32_epi8(_mm512_srli_epi32(u0, 8)));
    _mm_storeu_si128((__m128i *)(void *)(out->high[row] + 16), _mm512_cvtepi32_epi8(_mm512_srli_epi32(u1, 8)));
    out->d[row] = d;
    out->d_sum[row] = d * (float)_mm512_reduce_add_epi32(_mm512_add_epi32(q0, q1));
}

static void pack_a(void *panel, const float *x, size_t ldx, size_t rows, size_t k)
{
    struct a_group *out = panel;
    assert(rows >= 1 && rows <= MR && k % 32 == 0);

    if (rows < MR)
        memset(panel, 0, a_bytes(k)); /* d = 0: whatever the bytes say, the product is 0 */
    for (size_t i = 0; i < rows; i++)
        for (size_t g = 0; g < k / 32; g++)
            quantize_group(out + g, i, x + i * ldx + 32 * g);
}

/* s[row] += eight quads of a[row] . w */
PRISM_INLINE void dot_group(struct sums s[MR], const uint8_t (*a)[32], const char *w)
{
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        struct sums b = { _mm512_load_si512(w + 128 * i), _mm512_load_si512(w + 128 * i + 64) };
        KEEP_IN_REGISTER(b.x);
        KEEP_IN_REGISTER(b.y);
#pragma GCC unroll 6
        for (int r = 0; r < MR; r++)
            dot_quad(&s[r], a[r] + 4 * i, b);
    }
}

/* c[6][32] = (or +=, when add) a.w over n_groups groups; w: the first of them. The small arrays live in registers: every loop over
 * them is unrolled. */
static __attribute__((noinline)) void tile(float *c, size_t ldc, const struct a_group *a, const char *w, size_t n_groups, bool has_min,
                                           bool add)
{
    struct pair sum[MR];
#pragma GCC unroll 6
    for (int r = 0; r < MR; r++)
        sum[r] = pair_zero();
    for (; n_groups > 0; n_groups--, a++, w += PRISM_I8_W_GROUP(has_min)) {
        const struct sums start = { _mm512_load_si512(w + PRISM_I8_W_START), _mm512_load_si512(w + PRISM_I8_W_START + 64) };
        struct sums s[MR];
#pragma GCC unroll 6
        for (int r = 0; r < MR; r++)
            s[r] = start;
        dot_group(s, a->high, w);
#pragma GCC unroll 6
        for (int r = 0; r < MR; r++) {
            s[r].x = _mm512_add_epi32(_mm512_slli_epi32(s[r].x, 8), start.x);
            s[r].y = _mm512_add_epi32(_mm512_slli_epi32(s[r].y, 8), start.y);
        }
        dot_group(s, a->low, w);
        const float *d = (const float *)(const void *)(w + PRISM_I8_W_D), *m = (const float *)(const void *)(w + PRISM_I8_W_M);
        const struct pair scale = pair_load(d, d + 16);
#pragma GCC unroll 6
        for (int r = 0; r < MR; r++)
            add_scaled(&sum[r], s[r], a->d[r], scale);
        if (has_min) {
            const struct pair min = pair_load(m, m + 16);
#pragma GCC unroll 6
            for (int r = 0; r < MR; r++)
                pair_fma(&sum[r], _mm512_set1_ps(a->d_sum[r]), min);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < MR; r++)
        pair_put(c + (size_t)r * ldc, sum[r], add);
}

static void gemm(const struct prism_gemm_args *g)
{
    const size_t groups = g->k / 32, w_panel = prism_i8_w_bytes(g->k);
    assert((uintptr_t)g->a % 64 == 0 && (uintptr_t)g->w % 64 == 0 && g->k > 0 && g->k % 32 == 0);

    for (size_t n = 0; n < g->cols; n += NC)
        for (size_t l = 0; l < groups; l += KC) {
            const size_t n_end = n + NC < g->cols ? n + NC : g->cols, kc = l + KC < groups ? KC : groups - l;
            for (size_t i = 0; i < g->rows; i += MR)
                for (size_t j = n; j < n_end; j += NR) {
                    const struct a_group *a = (const struct a_group *)g->a + i / MR * groups + l;
                    const char *w = (const char *)g->w + j / NR * w_panel;
                    const bool has_min = *(const uint32_t *)w, add = g->add || l > 0;
                    const size_t rows = g->rows - i < MR ? g->rows - i : MR, cols = n_end - j < NR ? n_end - j : NR;
                    float *c = g->c + i * g->ldc + j;
                    _Alignas(64) float part[MR * NR];

                    w += PRISM_I8_W_HEADER + l * PRISM_I8_W_GROUP(has_min);
                    if (rows == MR && cols == NR) {
                        tile(c, g->ldc, a, w, kc, has_min, add);
                    } else {
                        tile(part, NR, a, w, kc, has_min, false);
                        tile_put_part(c, g->ldc, part, rows, cols, add);
                    }
                }
        }
}

/* Activations: half a step of max/32639, and three roundings of at most 2^15 half units. Weights: as linear_i8.c. */
const struct prism_linear prism_linear_i8x2_avx512vnni = {
    .name = "i8x2", .mr = MR, .nr = NR, .k_step = 32,
    .a_bytes = a_bytes, .w_bytes = prism_i8_w_bytes, .pack_w = prism_pack_w_i8_avx512vnni, .pack_a = pack_a, .gemm = gemm,
    .a_err = 0.5f / Q_MAX + 3 * 0x1p-24f, .w_err = 0.5f / 127,
};
