/* linear_i4.c - linear layers on four-bit weights and signed-byte activations: Q4_0, Q4_1 and Q4_K. The numbers are those of
 * the "i8" linear of arch/generic/linear_i8.c: exact integer dot products per group of 32, then
 *     c += (d_a * d_w) * sum(qa * qw) + (d_a * sum(qa)) * m_w.
 *
 * Weights stay unsigned, 0..15 (Q4_0: q + 8, and 8 * sum(qa) is taken off the integer sum), which makes pmaddubsw applicable:
 * one step adds at most 2 * 15 * 127 = 3810 in size to a 16-bit lane, and the 8 steps of a group 30480, so a group is widened
 * to 32 bits once. Two operations per 32 products against four for fp32.
 *
 * Panels, per group of 32 k:
 *   weights      [4][8 columns][4] bytes: low nibble = k 8p + e, high nibble = k 8p + 4 + e; d[8], m[8] floats
 *   activations  [8][8 rows][4] bytes; d[8], d*sum[8] floats; 8*sum[8] int32
 * The register tile is 8 rows x 8 columns of 16-bit pairs (byte_tile.h). */
#include "arch/avx2/avx2.h"

#include <string.h>

#include "arch/avx2/blocks.h"
#include "arch/avx2/byte_tile.h"
#include "arch/generic/pack.h"

#define MR BYTE_MR
#define NR BYTE_NR
#define W_GROUP (24 * NR) /* bytes of a group in a weight panel */
#define A_GROUP (44 * MR)

static size_t a_bytes(size_t k) { return prism_round_up_64(k / 32 * A_GROUP); }
static size_t w_bytes(size_t k) { return prism_round_up_64(k / 32 * W_GROUP); }

/* 32 bytes below 16 as 16 bytes of nibbles: in each eight, the second four go above the first. */
static __m128i nibbles_of_bytes(__m256i q)
{
    const __m256i x = _mm256_or_si256(q, _mm256_srli_epi64(q, 28));
    return _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(x, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6)));
}

/* Six words per group and row: nibbles, d, m. */
static void pack_w(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    int8_t q[PRISM_PACK_PIECE];
    float d[PRISM_PACK_PIECE / 32], m[PRISM_PACK_PIECE / 32];
    uint32_t words[4][PRISM_PACK_PIECE];
    const __m256i offset = _mm256_set1_epi8(type == PRISM_Q4_0 ? 8 : 0);

    assert(type == PRISM_Q4_0 || type == PRISM_Q4_1 || type == PRISM_Q4_K);
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
                    const __m256i bytes = _mm256_loadu_si256((const __m256i *)(q + 32 * g));
                    _mm_storeu_si128((__m128i *)w, nibbles_of_bytes(_mm256_add_epi8(bytes, offset)));
                    memcpy(w + 4, d + g, 4);
                    memcpy(w + 5, m + g, 4);
                }
            }
            prism_transpose_4((uint32_t *)panel + k0 / 32 * 6 * NR + j0, NR, 4, words, groups * 6);
        }
}

/* Eleven words of one group: bytes, d, d*sum, 8*sum. */
static void pack_group(uint32_t *w, const float *x)
{
    float d;
    const __m256i q = quantize_group(&d, (struct group){_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8), _mm256_loadu_ps(x + 16),
                                                        _mm256_loadu_ps(x + 24)});
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), q);
    const __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256(fours, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    const int32_t sum = _mm_cvtsi128_si32(s) + _mm_extract_epi32(s, 1), sum_8 = 8 * sum;
    const float d_sum = d * (float)sum;
    _mm256_storeu_si256((__m256i *)w, q);
    memcpy(w + 8, &d, 4);
    memcpy(w + 9, &d_sum, 4);
    memcpy(w + 10, &sum_8, 4);
}

static void pack_a(void *panel, const float *x, size_t ldx, size_t rows, size_t k)
{
    uint32_t words[4][PRISM_PACK_PIECE];
    const size_t step = 640; /* 20 groups of 11 words */

    assert(rows >= 1 && rows <= MR && k % 32 == 0 && (uintptr_t)panel % 64 == 0);
    for (size_t i0 = 0; i0 < MR; i0 += 4)
        for (size_t k0 = 0; k0 < k; k0 += step) {
            const size_t groups = (k - k0 < step ? k - k0 : step) / 32;
            for (size_t lane = 0; lane < 4; lane++) {
                if (i0 + lane >= rows)
                    memset(words[lane], 0, groups * 44);
                else
                    for (size_t g = 0; g < groups; g++)
                        pack_group(words[lane] + 11 * g, x + (i0 + lane) * ldx + k0 + 32 * g);
            }
            prism_transpose_4((uint32_t *)panel + k0 / 32 * 11 * MR + i0, MR, 4, words, groups * 11);
        }
}

/* sum += products of four k; first: sum = products. */
PRISM_INLINE void pairs_row(__m256i *sum, const uint32_t *a, __m256i w, bool first)
{
    const __m256i product = _mm256_maddubs_epi16(w, _mm256_set1_epi32((int)*a));
    if (first)
        *sum = product;
    else
        __asm__("vpaddw %1, %0, %0" : "+x"(*sum) : "x"(product)); /* as in tile.h: keeps the sums where they are */
}

PRISM_INLINE void pairs_step(struct byte_sums *s, const uint32_t *a, __m256i w, bool first)
{
    pairs_row(&s->r0, a, w, first);
    pairs_row(&s->r1, a + 1, w, first);
    pairs_row(&s->r2, a + 2, w, first);
    pairs_row(&s->r3, a + 3, w, first);
    pairs_row(&s->r4, a + 4, w, first);
    pairs_row(&s->r5, a + 5, w, first);
    pairs_row(&s->r6, a + 6, w, first);
    pairs_row(&s->r7, a + 7, w, first);
}

/* sums[8] += the group's share of row i. a: the group of the activation panel after its bytes; w: that of the weight panel. */
PRISM_INLINE void add_row(float *sums, __m256i pairs, size_t i, const float *a, const float *w, bool has_min)
{
    __m256i dot = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    if (!has_min) {
        int32_t sum_8;
        memcpy(&sum_8, a + 2 * MR + i, sizeof sum_8);
        dot = _mm256_sub_epi32(dot, _mm256_set1_epi32(sum_8));
    }
    const __m256 d = _mm256_mul_ps(_mm256_broadcast_ss(a + i), _mm256_load_ps(w));
    __m256 s = _mm256_fmadd_ps(d, _mm256_cvtepi32_ps(dot), _mm256_load_ps(sums + i * NR));
    if (has_min)
        s = _mm256_fmadd_ps(_mm256_broadcast_ss(a + MR + i), _mm256_load_ps(w + NR), s);
    _mm256_store_ps(sums + i * NR, s);
}

/* sums[8][8] = one activation panel times one weight panel. has_min: a constant. */
PRISM_INLINE void tile(float *sums, const char *a, const char *w, size_t groups, bool has_min)
{
    const __m256i low = _mm256_set1_epi8(15);
    memset(sums, 0, MR * NR * sizeof *sums);
    for (; groups > 0; groups--, a += A_GROUP, w += W_GROUP) {
        struct byte_sums s;
#pragma GCC unroll 4
        for (int p = 0; p < 4; p++) {
            const uint32_t *quad = (const uint32_t *)(const void *)a + 2 * p * MR;
            const __m256i x = _mm256_load_si256((const __m256i *)(const void *)w + p);
            pairs_step(&s, quad, _mm256_and_si256(x, low), p == 0);
            pairs_step(&s, quad + MR, _mm256_and_si256(_mm256_srli_epi16(x, 4), low), false);
        }
        const float *a_scales = (const float *)(const void *)(a + 32 * MR);
        const float *w_scales = (const float *)(const void *)(w + 16 * NR);
        add_row(sums, s.r0, 0, a_scales, w_scales, has_min);
        add_row(sums, s.r1, 1, a_scales, w_scales, has_min);
        add_row(sums, s.r2, 2, a_scales, w_scales, has_min);
        add_row(sums, s.r3, 3, a_scales, w_scales, has_min);
        add_row(sums, s.r4, 4, a_scales, w_scales, has_min);
        add_row(sums, s.r5, 5, a_scales, w_scales, has_min);
        add_row(sums, s.r6, 6, a_scales, w_scales, has_min);
        add_row(sums, s.r7, 7, a_scales, w_scales, has_min);
    }
}

static __attribute__((noinline)) void tile_offset(float *sums, const char *a, const char *w, size_t groups)
{
    tile(sums, a, w, groups, false);
}

static __attribute__((noinline)) void tile_min(float *sums, const char *a, const char *w, size_t groups)
{
    tile(sums, a, w, groups, true);
}

static void gemm_offset(const struct prism_gemm_args *g) { byte_gemm(g, a_bytes(g->k), w_bytes(g->k), tile_offset); }
static void gemm_min(const struct prism_gemm_args *g) { byte_gemm(g, a_bytes(g->k), w_bytes(g->k), tile_min); }

/* Activations as in the generic "i8" linear: half a step of max / 127 and three roundings. The weights are exact. */
const struct prism_linear prism_linear_q4_0_avx2 = {
    .name = "i8", .mr = MR, .nr = NR, .k_step = 32,
    .a_bytes = a_bytes, .w_bytes = w_bytes, .pack_w = pack_w, .pack_a = pack_a, .gemm = gemm_offset,
    .finer = &prism_linear_f32_avx2,
    .a_err = 0.5f / 127 + 0x1p-22f, .w_err = 0.0f,
};

const struct prism_linear prism_linear_q4_1_avx2 = {
    .name = "i8", .mr = MR, .nr = NR, .k_step = 32,
    .a_bytes = a_bytes, .w_bytes = w_bytes, .pack_w = pack_w, .pack_a = pack_a, .gemm = gemm_min,
    .finer = &prism_linear_f32_avx2,
    .a_err = 0.5f / 127 + 0x1p-22f, .w_err = 0.0f,
};
