/* linear_i4.c - linear layers on four-bit weights and signed-byte activations: Q4_0, Q4_1, Q4_K, and types whose values are a step times
 * an unsigned number of four bits, less an offset (IQ3_S and others: spread_of). The numbers are those of the "i8" linear of arch/generic/linear_i8.c: exact integer dot products per group of 32, then
 *     c += (d_a * d_w) * sum(qa * qw) + (d_a * sum(qa)) * m_w.
 *
 * Weights stay unsigned, 0..15 (Q4_0: q + 8, and 8 * sum(qa) is taken off the integer sum), which makes pmaddubsw applicable:
 * one step adds at most 2 * 15 * 127 = 3810 in size to a 16-bit lane, and the 8 steps of a group 30480, so a group is widened
 * to 32 bits once. Two operations per 32 products against four for fp32.
 *
 * Panels, per group of 32 k:
 *   weights      [4][8 columns][4] bytes: low nibble = k 8p + e, high nibble = k 8p + 4 + e; d[8], m[8] floats
 *   activations  [8 rows][32] bytes; d[8], d*sum[8] floats; 8*sum[8] int32
 * The register tile is 8 rows x 8 columns: 8 vectors of 16-bit pairs, two of weights, a broadcast and its product. The fp32 sums wait in L1
 * and are touched once per group. */
#include "arch/avx2/avx2.h"

#include <assert.h>
#include <string.h>

#include "arch/avx2/quantize.h"
#include "arch/avx2/walk.h"
#include "arch/generic/pack.h"

enum {
    MR = 8,
    NR = 8,
    W_GROUP = 24 * NR, /* bytes of a group in a weight panel */
    A_GROUP = 44 * MR,
    KC = 48, /* groups of a piece: 9 KiB of weights and 17 of activations */
};

static size_t a_bytes(size_t k) { return prism_round_up_64(k / 32 * A_GROUP); }
static size_t w_bytes(size_t k) { return prism_round_up_64(k / 32 * W_GROUP); }

/* 32 bytes below 16 as 16 bytes of nibbles: in each eight, the second four go above the first. */
static __m128i nibbles_of_bytes(__m256i q)
{
    const __m256i x = _mm256_or_si256(q, _mm256_srli_epi64(q, 28));
    return _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(x, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6)));
}

/* A value of the type is step * u - offset, u 0..15. */
struct spread {
    int step, offset;
};

static struct spread spread_of(enum prism_type type)
{
    switch (type) {
    case PRISM_Q4_0: return (struct spread){ 1, 8 };
    case PRISM_IQ3_S: return (struct spread){ 2, 15 };
    case PRISM_IQ1_S: return (struct spread){ 2, 9 };
    case PRISM_Q1_0: return (struct spread){ 2, 1 };
    case PRISM_TQ1_0:
    case PRISM_TQ2_0:
    case PRISM_Q2_0: return (struct spread){ 1, 1 };
    default: return (struct spread){ 1, 0 }; /* Q4_1, Q4_K */
    }
}

/* Six words per group and row: nibbles, d, m. The offset becomes a part of m, which is exact; but for Q4_0, where the product takes it off. */
static void pack_w(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    int8_t q[PRISM_PACK_PIECE];
    float d[PRISM_PACK_PIECE / 32], m[PRISM_PACK_PIECE / 32];
    uint32_t words[4][PRISM_PACK_PIECE];
    const struct spread spread = spread_of(type);
    const __m256i offset = _mm256_set1_epi8((char)spread.offset);
    const float step = (float)spread.step, min = type == PRISM_Q4_0 ? 0 : (float)spread.offset;

    assert(cols >= 1 && cols <= NR && k % 32 == 0 && (uintptr_t)panel % 64 == 0);
    for (size_t j0 = 0; j0 < NR; j0 += 4)
        for (size_t k0 = 0; k0 < k; k0 += PRISM_PACK_PIECE) {
            const size_t n = k - k0 < PRISM_PACK_PIECE ? k - k0 : PRISM_PACK_PIECE, groups = n / 32;
            for (size_t lane = 0; lane < 4; lane++) {
                const char *row = (const char *)rows + (j0 + lane) * row_bytes + prism_row_bytes(type, k0);
                uint32_t *w = words[lane];
                if (j0 + lane >= cols) {
                    memset(w, 0, groups * 24);
                    continue;
                }
                prism_kernels_avx2.to_i8[type](q, d, m, row, n);
                for (size_t g = 0; g < groups; g++, w += 6) {
                    const __m256i u = _mm256_add_epi8(_mm256_loadu_si256((const __m256i *)(q + 32 * g)), offset);
                    const float group_d = d[g] * step, group_m = prism_types[type].has_min ? m[g] : m[g] - d[g] * min;
                    _mm_storeu_si128((__m128i *)w, nibbles_of_bytes(spread.step == 2 ? _mm256_srli_epi16(u, 1) : u)); /* even bytes */
                    memcpy(w + 4, &group_d, 4);
                    memcpy(w + 5, &group_m, 4);
                }
            }
            prism_transpose_4((uint32_t *)panel + k0 / 32 * 6 * NR + j0, NR, 4, words, groups * 6);
        }
}

/* A put_group_fn. */
PRISM_INLINE __m256i put_bytes(char *out, struct group g, __m256 inverse)
{
    const __m256i q = bytes_of_group(g, inverse);
    _mm256_store_si256((__m256i *)(void *)out, q);
    return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), q), _mm256_set1_epi16(1));
}

static void pack_a(void *panel, const float *x, size_t ldx, size_t rows, size_t k)
{
    const size_t groups = k / 32;
    assert(rows >= 1 && rows <= MR && k % 32 == 0 && (uintptr_t)panel % 64 == 0);

    if (rows < MR)
        memset(panel, 0, a_bytes(k));
    for (size_t g = 0; g < groups; g += 8) {
        const size_t n = groups - g < 8 ? groups - g : 8;
        char *out = (char *)panel + g * A_GROUP;
        for (size_t i = 0; i < rows; i++) {
            struct group_scales s;
            quantize_groups(&s, out + 32 * i, A_GROUP, x + i * ldx + 32 * g, n, 127.0f, 0x1p-120f, put_bytes);
            for (size_t j = 0; j < n; j++) {
                float *d = (float *)(void *)(out + j * A_GROUP + 32 * MR) + i;
                const int32_t sum_8 = 8 * s.sum[j];
                d[0] = s.d[j];
                d[MR] = s.d_sum[j];
                memcpy(d + 2 * MR, &sum_8, sizeof sum_8);
            }
        }
    }
}

/* sum += products of four k; first: sum = products. */
PRISM_INLINE void add_pairs(__m256i *sum, const int32_t *a, __m256i w, bool first)
{
    const __m256i product = _mm256_maddubs_epi16(w, _mm256_set1_epi32(*a));
    if (first)
        *sum = product;
    else
        __asm__("vpaddw %1, %0, %0" : "+x"(*sum) : "x"(product)); /* as in words_f32.h: keeps the sums where they are */
}

/* sum += a row's share of a group. a: its scales in the activation panel, MR apart; w: those of the weight panel. */
PRISM_INLINE void add_group(__m256 *sum, __m256i pairs, const float *a, const float *w, bool has_min)
{
    __m256i dot = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    if (!has_min) {
        int32_t sum_8;
        memcpy(&sum_8, a + 2 * MR, sizeof sum_8);
        dot = _mm256_sub_epi32(dot, _mm256_set1_epi32(sum_8));
    }
    *sum = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_broadcast_ss(a), _mm256_load_ps(w)), _mm256_cvtepi32_ps(dot), *sum);
    if (has_min)
        *sum = _mm256_fmadd_ps(_mm256_broadcast_ss(a + MR), _mm256_load_ps(w + NR), *sum);
}

/* c[8][8] = (or +=, when add) a.w over n groups. has_min: a constant. Every loop over the small arrays is unrolled. */
PRISM_INLINE void tile(float *c, size_t ldc, const char *a, const char *w, size_t n, bool has_min, bool add)
{
    const __m256i low = _mm256_set1_epi8(15);
    __m256 sum[MR];
#pragma GCC unroll 8
    for (int r = 0; r < MR; r++)
        sum[r] = _mm256_setzero_ps();
    for (; n > 0; n--, a += A_GROUP, w += W_GROUP) {
        __m256i s[MR];
#pragma GCC unroll 4
        for (int p = 0; p < 4; p++) {
            const int32_t *quad = (const int32_t *)(const void *)a + 2 * p;
            const __m256i x = _mm256_load_si256((const __m256i *)(const void *)w + p);
            const __m256i w0 = _mm256_and_si256(x, low), w1 = _mm256_and_si256(_mm256_srli_epi16(x, 4), low);
#pragma GCC unroll 8
            for (int r = 0; r < MR; r++)
                add_pairs(&s[r], quad + 8 * r, w0, p == 0);
#pragma GCC unroll 8
            for (int r = 0; r < MR; r++)
                add_pairs(&s[r], quad + 8 * r + 1, w1, false);
        }
        const float *a_scales = (const float *)(const void *)(a + 32 * MR), *w_scales = (const float *)(const void *)(w + 16 * NR);
#pragma GCC unroll 8
        for (int r = 0; r < MR; r++)
            add_group(&sum[r], s[r], a_scales + r, w_scales, has_min);
    }
#pragma GCC unroll 8
    for (int r = 0; r < MR; r++, c += ldc)
        _mm256_storeu_ps(c, add ? _mm256_add_ps(sum[r], _mm256_loadu_ps(c)) : sum[r]);
}

static __attribute__((noinline)) void tile_offset(float *c, size_t ldc, const char *a, const char *w, size_t n, bool add)
{
    tile(c, ldc, a, w, n, false, add);
}

static __attribute__((noinline)) void tile_min(float *c, size_t ldc, const char *a, const char *w, size_t n, bool add)
{
    tile(c, ldc, a, w, n, true, add);
}

static void gemm(const struct prism_gemm_args *g, walk_tile_fn *tile_of)
{
    const struct walk panels = {
        .rows = MR, .cols = NR, .units = g->k / 32, .piece = KC, .piece_step = 1, .a_panel = a_bytes(g->k), .a_unit = A_GROUP,
        .w_panel = w_bytes(g->k), .w_unit = W_GROUP,
    };
    assert(g->k % 32 == 0);
    walk(&panels, tile_of, g);
}

static void gemm_offset(const struct prism_gemm_args *g) { gemm(g, tile_offset); }
static void gemm_min(const struct prism_gemm_args *g) { gemm(g, tile_min); }

/* Activations as in the generic "i8" linear: half a step of max / 127 and three roundings. The weights are exact. */
const struct prism_linear prism_linear_q4_0_avx2 = {
    .name = "i8", .mr = MR, .nr = NR, .k_step = 32, .a_part = 64,
    .a_bytes = a_bytes, .w_bytes = w_bytes, .pack_w = pack_w, .pack_a = pack_a, .gemm = gemm_offset,
    .a_err = 0.5f / 127 + 0x1p-22f, .w_err = 0.0f,
};

const struct prism_linear prism_linear_q4_1_avx2 = {
    .name = "i8", .mr = MR, .nr = NR, .k_step = 32, .a_part = 64,
    .a_bytes = a_bytes, .w_bytes = w_bytes, .pack_w = pack_w, .pack_a = pack_a, .gemm = gemm_min,
    .a_err = 0.5f / 127 + 0x1p-22f, .w_err = 0.0f,
};
