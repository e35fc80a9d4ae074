/* linear_i8k.c - linear layers on signed bytes by vpmaddubsw for the types whose blocks of 256 values have whole numbers for scales: "i8k" for
 * Q3_K and Q6_K, which it takes as they are, and "i8" for Q4_K and Q5_K, with the numbers of arch/generic/linear_i8.c. Activations and the
 * idea are those of linear_i8.c.
 *
 * pmaddwd, which widens the 16-bit sums, multiplies them by the scale as well; so a group takes one multiply-add of fp32,
 *     t += d_a * sum(scale * sum(qa * qw)),   and a block of 256   c += d_w * t.
 * With scales of 16 a group is two halves, of at most 8 * 127 * 32 = 32512 < 2^15 each. The scaled sum is a whole number of at most
 * 4 * 32512 * 128 < 2^24, which a float holds.
 *
 * Zen 5, a product in L2, Gop/s: Q4_K by linear_i8.c 317, here 327, its minima a block at a time 337; Q6_K by linear_i16.c 198, here 318. */
#include "arch/avx2/avx2.h"
#include "arch/avx2/blocks.h"
#include "arch/avx2/lines.h"
#include "arch/avx2/words_i8.h"

#include "arch/avx2/group_tile.h"

/* A W panel: a header, then per group words [WORDS][NR] and LINES lines of NR words, of which d is that of the block. */
enum {
    BLOCK = 256, GROUPS = BLOCK / 32,

    START, D,
    START_2, M = START_2, /* of the second half; or the minimum */
    SCALE, SCALE_2,       /* twice as int16 */
    LINES,
    LINE = NR * 4,
    K_GROUP = W_START + LINES * LINE,
    MIDDLE = 16,          /* of Q5_K: linear_i8.c */
};

static size_t k_w_bytes(size_t k) { return W_HEADER + k / 32 * K_GROUP; }

/* ---- weights ---- */

struct columns {
    _Alignas(32) int32_t words[NR][GROUPS * WORDS];
    _Alignas(32) int32_t line[LINES][NR][GROUPS];
};

PRISM_INLINE int32_t twice(int scale) { return (int32_t)((uint32_t)scale << 16 | (uint16_t)scale); }

PRISM_INLINE void put_float(int32_t *out, float x) { memcpy(out, &x, sizeof x); }

/* Group g of column j with scales of 16. */
PRISM_INLINE void put_halves(struct columns *p, size_t j, size_t g, __m256i q, const int scale[2])
{
    const __m128i none = _mm_setzero_si128();
    _mm256_store_si256((__m256i *)(void *)p->words[j] + g, q);
    p->line[START][j][g] = start_of(_mm256_set_m128i(none, _mm256_castsi256_si128(q)));
    p->line[START_2][j][g] = start_of(_mm256_set_m128i(none, _mm256_extracti128_si256(q, 1)));
    p->line[SCALE][j][g] = twice(scale[0]);
    p->line[SCALE_2][j][g] = twice(scale[1]);
}

static void block_q3_k(struct columns *p, size_t j, const uint8_t *b)
{
    uint8_t scale[16];
    prism_q3_k_scales(scale, b + 96);
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++) {
        put_halves(p, j, (size_t)g, bytes_q3_k(b, g), (const int[2]){ scale[2 * g] - 32, scale[2 * g + 1] - 32 });
        put_float(&p->line[D][j][g], vec_half(b + 108));
    }
}

static void block_q6_k(struct columns *p, size_t j, const uint8_t *b)
{
    const int8_t *scale = (const int8_t *)b + 192;
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++) {
        put_halves(p, j, (size_t)g, bytes_q6_k(b, g), (const int[2]){ scale[2 * g], scale[2 * g + 1] });
        put_float(&p->line[D][j][g], vec_half(b + 208));
    }
}

/* Q4_K and Q5_K; five: a constant. The minimum is added as a float, as it is. */
PRISM_INLINE void block_with_min(struct columns *p, size_t j, const uint8_t *b, bool five)
{
    const enum prism_type type = five ? PRISM_Q5_K : PRISM_Q4_K;
    const float d = vec_half(b);
    struct block_scales s;
    block_scales(&s, b, type);
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++) {
        unsigned scale, min;
        prism_q4_k_scale((unsigned)g, b + 4, &scale, &min);
        const __m256i q = _mm256_sub_epi8(block_bytes(b, &s, g, type), _mm256_set1_epi8(five ? MIDDLE : 0));
        _mm256_store_si256((__m256i *)(void *)p->words[j] + g, q);
        p->line[START][j][g] = start_of(q);
        p->line[SCALE][j][g] = twice((int)scale);
        put_float(&p->line[D][j][g], d);
        put_float(&p->line[M][j][g], five ? s.m[g] + MIDDLE * s.d[g] : s.m[g]);
    }
}

static void pack_w(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    struct columns p;
    assert(cols >= 1 && cols <= NR && k % BLOCK == 0 && (uintptr_t)panel % 64 == 0);

    memset(panel, 0, W_HEADER);
    memset(&p, 0, sizeof p);
    for (size_t k0 = 0; k0 < k; k0 += BLOCK) {
        char *out = (char *)panel + W_HEADER + k0 / 32 * K_GROUP;
        for (size_t j = 0; j < cols; j++) {
            const uint8_t *b = (const uint8_t *)rows + j * row_bytes + prism_row_bytes(type, k0);
            fetch_next(b, prism_types[type].bytes);
            switch (type) {
            case PRISM_Q3_K: block_q3_k(&p, j, b); break;
            case PRISM_Q4_K: block_with_min(&p, j, b, false); break;
            case PRISM_Q5_K: block_with_min(&p, j, b, true); break;
            default: block_q6_k(&p, j, b);
            }
        }
        for (size_t g = 0; g < GROUPS; g++)
            put_lines(out + g * K_GROUP, LINE, p.words[0] + g * WORDS, sizeof p.words[0], 8);
        for (size_t l = 0; l < LINES; l++)
            put_lines(out + W_START + l * LINE, K_GROUP, p.line[l], sizeof p.line[l][0], GROUPS);
    }
}

/* ---- product ---- */

PRISM_INLINE __m256i line_of(const char *w, int line, int half)
{
    return _mm256_load_si256((const __m256i *)(const void *)(w + W_START + line * LINE + 32 * half));
}

PRISM_INLINE __m256 floats_of(const char *w, int line, int half) { return _mm256_castsi256_ps(line_of(w, line, half)); }

/* t += a group's share of 8 columns of a row, u: its scaled sums. */
PRISM_INLINE void add_scaled(__m256 *t, __m256i u, const float *d_a)
{
    *t = _mm256_fmadd_ps(_mm256_cvtepi32_ps(u), _mm256_broadcast_ss(d_a), *t);
}

/* The minima of a block, whose sums stay in registers meanwhile. */
PRISM_INLINE void add_minima(__m256 sum[MR][2], const char *a, const char *w)
{
    for (int g = 0; g < GROUPS; g++, a += A_GROUP, w += K_GROUP) {
        const float *d_sum = (const float *)(const void *)(a + A_D) + MR;
        const __m256 m0 = floats_of(w, M, 0), m1 = floats_of(w, M, 1);
#pragma GCC unroll 6
        for (int r = 0; r < MR; r++) {
            sum[r][0] = _mm256_fmadd_ps(_mm256_broadcast_ss(d_sum + r), m0, sum[r][0]);
            sum[r][1] = _mm256_fmadd_ps(_mm256_broadcast_ss(d_sum + r), m1, sum[r][1]);
        }
    }
}

/* c[6][16] = (or +=, when add) a.w over n groups, a multiple of 8. has_min, else halves: a constant. */
PRISM_INLINE void tile_k(float *c, size_t ldc, const char *a, const char *w, size_t n, bool has_min, bool add)
{
    __m256 sum[MR][2];
#pragma GCC unroll 6
    for (int r = 0; r < MR; r++)
        sum[r][0] = sum[r][1] = _mm256_setzero_ps();
    for (; n > 0; n -= GROUPS) {
        __m256 t[MR][2];
#pragma GCC unroll 6
        for (int r = 0; r < MR; r++)
            t[r][0] = t[r][1] = _mm256_setzero_ps();
        for (int g = 0; g < GROUPS; g++, a += A_GROUP, w += K_GROUP) {
            const float *d = (const float *)(const void *)(a + A_D);
            __m256i s[MR][2], u[MR][2];
            start_sums(s, w + W_START + START * LINE);
            dot_words(s, a, w, 0, has_min ? WORDS : WORDS / 2);
#pragma GCC unroll 6
            for (int r = 0; r < MR; r++) {
                u[r][0] = _mm256_madd_epi16(s[r][0], line_of(w, SCALE, 0));
                u[r][1] = _mm256_madd_epi16(s[r][1], line_of(w, SCALE, 1));
            }
            if (!has_min) {
                start_sums(s, w + W_START + START_2 * LINE);
                dot_words(s, a, w, WORDS / 2, WORDS);
#pragma GCC unroll 6
                for (int r = 0; r < MR; r++) {
                    u[r][0] = _mm256_add_epi32(u[r][0], _mm256_madd_epi16(s[r][0], line_of(w, SCALE_2, 0)));
                    u[r][1] = _mm256_add_epi32(u[r][1], _mm256_madd_epi16(s[r][1], line_of(w, SCALE_2, 1)));
                }
            }
#pragma GCC unroll 6
            for (int r = 0; r < MR; r++) {
                add_scaled(&t[r][0], u[r][0], d + r);
                add_scaled(&t[r][1], u[r][1], d + r);
            }
        }
        if (has_min)
            add_minima(sum, a - GROUPS * A_GROUP, w - GROUPS * K_GROUP);
#pragma GCC unroll 6
        for (int r = 0; r < MR; r++) {
            sum[r][0] = _mm256_fmadd_ps(t[r][0], floats_of(w - K_GROUP, D, 0), sum[r][0]);
            sum[r][1] = _mm256_fmadd_ps(t[r][1], floats_of(w - K_GROUP, D, 1), sum[r][1]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < MR; r++)
        put_row(c + (size_t)r * ldc, sum[r], add);
}

static __attribute__((noinline)) void tile_halves(float *c, size_t ldc, const char *a, const char *w, size_t n, bool add)
{
    tile_k(c, ldc, a, w, n, false, add);
}

static __attribute__((noinline)) void tile_k_min(float *c, size_t ldc, const char *a, const char *w, size_t n, bool add)
{
    tile_k(c, ldc, a, w, n, true, add);
}

static void gemm_k(const struct prism_gemm_args *g, walk_tile_fn *of)
{
    const struct walk panels = {
        .rows = MR, .cols = NR, .units = g->k / 32, .piece = KC, .piece_step = GROUPS, .a_panel = a_bytes(g->k), .a_unit = A_GROUP,
        .w_panel = k_w_bytes(g->k), .w_header = W_HEADER, .w_unit = K_GROUP,
    };
    assert(g->k % BLOCK == 0);
    walk(&panels, of, g);
}

static void gemm_halves(const struct prism_gemm_args *g) { gemm_k(g, tile_halves); }
static void gemm_min(const struct prism_gemm_args *g) { gemm_k(g, tile_k_min); }

const struct prism_linear prism_linear_i8k_avx2 = {
    .name = "i8k", .mr = MR, .nr = NR, .k_step = 32, .a_part = 32,
    .a_bytes = a_bytes, .w_bytes = k_w_bytes, .pack_w = pack_w, .pack_a = prism_pack_a_i8_avx2, .gemm = gemm_halves,
    .a_err = 0.5f / 127 + 0x1p-22f, .w_err = 0.0f, /* linear_i8.c */
};

const struct prism_linear prism_linear_q4_k_avx2 = {
    .name = "i8", .mr = MR, .nr = NR, .k_step = 32, .a_part = 32,
    .a_bytes = a_bytes, .w_bytes = k_w_bytes, .pack_w = pack_w, .pack_a = prism_pack_a_i8_avx2, .gemm = gemm_min,
    .a_err = 0.5f / 127 + 0x1p-22f, .w_err = 0.0f,
};
