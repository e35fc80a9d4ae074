/* attention_body.h - prefill attention of the AVX-512 levels: one query tile of one head against a list of key blocks, exact
 * online softmax (Milakov & Gimelshein 2018; tiling as in Dao et al. 2022, FlashAttention), on 32-bit words of one fp32 or two
 * bf16. Included by attention_f32.c and arch/avx512bf16/attention_bf16.c, which first include their level's words.h.
 *
 * The scores are computed transposed, S[key][row]: keys are the broadcast operand, 32 query rows the vector. So the softmax runs
 * down the keys for 16 rows at a time without any horizontal step, and P = 2^(S - max), in place, is already the broadcast
 * operand of P.V. Layouts, in words:
 *   Q [row panel of 32][d][32]   times scale * log2(e)        K [key panel of 8][d][8]
 *   S, P [key][64 rows]                                       V [column panel of 32, the last one may be 16][key][32]
 *   O [row group of 8][column panel][8][32]
 * Every row's arithmetic is its own: FMA chains over d and over the keys of a block, to which hidden keys add exact zeros. */
#ifndef PRISM_AVX512_ATTENTION_BODY_H
#define PRISM_AVX512_ATTENTION_BODY_H

#include <assert.h>
#include <math.h>
#include <string.h>

#include "arch/avx512/avx512.h"
#include "arch/avx512/tile.h"

enum { TILE_ROWS = 64, PANEL = 32, KEYS = 8, GROUP = 8 };

/* While the scores of a block are computed its values are fetched into L2, then the next block's keys: they come from L3 or
 * memory, and the processor's own prefetching stops at every page. 16 bytes per step make a block in as many steps as a full
 * tile takes. */
enum { FETCH_STEP = 16 };

/* The scratch of one tile. */
struct state {
    float *q;             /* words */
    float *s;             /* [block][64] logits, then probabilities (words) */
    float *o;
    float *max, *sum, *alpha; /* [64] per row: running maximum and sum, factor of the older blocks */
};

/* One tile against one block. */
struct job {
    size_t rows, d, block;
    ptrdiff_t first;      /* keys of the block that row 0 sees; row r sees r more. Negative: the block lies behind row 0 */
};

static size_t pad_16(size_t d)
{
    return (d + 15) / 16 * 16;
}

static size_t tile_scratch(size_t d, size_t block)
{
    return TILE_ROWS * (d / PER_WORD + block + pad_16(d) + 3) * sizeof(float);
}

static struct state state_at(void *scratch, size_t d, size_t block)
{
    struct state st = { .q = scratch };
    st.s = st.q + TILE_ROWS * (d / PER_WORD);
    st.o = st.s + TILE_ROWS * block;
    st.max = st.o + TILE_ROWS * pad_16(d);
    st.sum = st.max + TILE_ROWS;
    st.alpha = st.sum + TILE_ROWS;
    return st;
}

static size_t k_block_bytes(size_t d, size_t block)
{
    return block * d / PER_WORD * sizeof(float);
}

static size_t v_block_bytes(size_t d, size_t block)
{
    return block * pad_16(d) / PER_WORD * sizeof(float);
}

/* ---- packing ---- */

static size_t value_bytes(enum prism_kv_format format)
{
    return format == PRISM_KVF_F32 ? 4 : 2;
}

/* Columns i.. of row src as words: 16 of them, zeros past d. */
static __m512 row_words(const char *src, enum prism_kv_format format, size_t i, size_t d)
{
    _Alignas(64) float x[16 * PER_WORD];
    for (size_t l = 0; l < 16 * PER_WORD; l += 16) {
        const size_t n = i + l >= d ? 0 : d - i - l < 16 ? d - i - l : 16;
        _mm512_store_ps(x + l, vec_load_stored(src + (i + l) * value_bytes(format), format, n));
    }
    return words_from_floats(x);
}

static void pack_k(void *dst, const void *src, enum prism_kv_format format, size_t n, size_t d, size_t block)
{
    const size_t words = d / PER_WORD, row_bytes = d * value_bytes(format);
    assert((uintptr_t)dst % 64 == 0 && n <= block && d % 8 == 0 && d <= PRISM_MAX_HEAD_DIM);
    for (size_t key = 0; key < block; key += 2 * KEYS) {
        float *panel = (float *)dst + key * words;
        for (size_t i = 0; i < words; i += 16) {
            __m512 r[16];
            for (size_t j = 0; j < 16; j++)
                r[j] = key + j < n ? row_words((const char *)src + (key + j) * row_bytes, format, i * PER_WORD, d) : _mm512_setzero_ps();
            vec_transpose_16(r);
            for (size_t l = 0; l < 16 && i + l < words; l++) {
                _mm256_storeu_ps(panel + (i + l) * KEYS, _mm512_castps512_ps256(r[l]));
                _mm256_storeu_ps(panel + (words + i + l) * KEYS, _mm512_extractf32x8_ps(r[l], 1));
            }
        }
    }
}

static void pack_v(void *dst, const void *src, enum prism_kv_format format, size_t n, size_t d, size_t block)
{
    const size_t row_bytes = d * value_bytes(format), padded = pad_16(d);
    assert((uintptr_t)dst % 64 == 0 && n <= block && d % 8 == 0 && d <= PRISM_MAX_HEAD_DIM);
    for (size_t key = 0; key < block; key += 2)
        for (size_t c = 0; c < padded; c += 16) {
            const size_t width = padded - c / PANEL * PANEL < PANEL ? 16 : PANEL, in = d - c < 16 ? d - c : 16;
            const char *p = (const char *)src + key * row_bytes + c * value_bytes(format);
            float *out = (float *)dst + (c / PANEL * PANEL * block + key * width) / PER_WORD + c % PANEL;
            join(out, width, vec_load_stored(p, format, key < n ? in : 0), vec_load_stored(p + row_bytes, format, key + 1 < n ? in : 0));
        }
}

/* Query panels times scale * log2(e), zeros for the rows that the tile lacks; empty sums. */
static void start(const struct state *st, const struct prism_attn_tile *t)
{
    const size_t words = t->d / PER_WORD;
    const __m512 scale = _mm512_set1_ps(t->scale * 0x1.715476p0f);
    for (size_t row = 0; row < t->rows; row += 16)
        for (size_t i = 0; i < words; i += 16) {
            __m512 r[16];
            for (size_t j = 0; j < 16; j++) {
                _Alignas(64) float x[16 * PER_WORD] = { 0 };
                for (size_t l = 0; l < 16 * PER_WORD && row + j < t->rows && i * PER_WORD + l < t->d; l += 16) {
                    const size_t at = i * PER_WORD + l;
                    const __m512 q = _mm512_maskz_loadu_ps(vec_mask(t->d - at), t->q + (row + j) * t->ldq + at);
                    _mm512_store_ps(x + l, _mm512_mul_ps(scale, q));
                }
                r[j] = words_from_floats(x);
            }
            vec_transpose_16(r);
            for (size_t l = 0; l < 16 && i + l < words; l++) {
                float *out = st->q + row / PANEL * PANEL * words + (i + l) * PANEL + row % PANEL;
                _mm512_store_ps(out, r[l]);
                if (row % PANEL == 0)
                    _mm512_store_ps(out + 16, _mm512_setzero_ps());
            }
        }
    memset(st->o, 0, TILE_ROWS * pad_16(t->d) * sizeof *st->o);
    memset(st->sum, 0, TILE_ROWS * sizeof *st->sum);
    for (size_t r = 0; r < TILE_ROWS; r++)
        st->max[r] = -INFINITY;
}

/* ---- the two products: tiles of 8 x 32 ---- */

struct tile {
    struct pair c0, c1, c2, c3, c4, c5, c6, c7;
};

/* c += a.b over n words: a advances by a_step, b by 32. Meanwhile n * FETCH_STEP bytes from `ahead` come into L2. */
PRISM_INLINE void tile_run(struct tile *t, const float *a, size_t a_step, const float *b, size_t n, const char *ahead)
{
    for (; n > 0; n--, a += a_step, b += 32, ahead += FETCH_STEP) {
        _mm_prefetch(ahead, _MM_HINT_T1);
        const struct pair w = pair_load(b, b + 16);
        madd(&t->c0, _mm512_set1_ps(a[0]), w);
        madd(&t->c1, _mm512_set1_ps(a[1]), w);
        madd(&t->c2, _mm512_set1_ps(a[2]), w);
        madd(&t->c3, _mm512_set1_ps(a[3]), w);
        madd(&t->c4, _mm512_set1_ps(a[4]), w);
        madd(&t->c5, _mm512_set1_ps(a[5]), w);
        madd(&t->c6, _mm512_set1_ps(a[6]), w);
        madd(&t->c7, _mm512_set1_ps(a[7]), w);
    }
}

PRISM_INLINE void tile_store(const struct tile *t, float *c, size_t ldc)
{
    pair_put(c, t->c0, false);
    pair_put(c + ldc, t->c1, false);
    pair_put(c + 2 * ldc, t->c2, false);
    pair_put(c + 3 * ldc, t->c3, false);
    pair_put(c + 4 * ldc, t->c4, false);
    pair_put(c + 5 * ldc, t->c5, false);
    pair_put(c + 6 * ldc, t->c6, false);
    pair_put(c + 7 * ldc, t->c7, false);
}

/* S[8 keys][32 rows] */
static __attribute__((noinline)) void scores_8x32(float *s, const float *k, const float *q, size_t n, const char *ahead)
{
    const struct pair z = pair_zero();
    struct tile t = { z, z, z, z, z, z, z, z };
    tile_run(&t, k, KEYS, q, n, ahead);
    tile_store(&t, s, TILE_ROWS);
}

/* O[8 rows][32 columns] = alpha * O + P.V over n words of keys */
static __attribute__((noinline)) void values_8x32(float *o, const float *alpha, const float *p, const float *v, size_t n, const char *ahead)
{
    struct tile t = {
        pair_scaled(o, alpha[0]),       pair_scaled(o + 32, alpha[1]),  pair_scaled(o + 64, alpha[2]),  pair_scaled(o + 96, alpha[3]),
        pair_scaled(o + 128, alpha[4]), pair_scaled(o + 160, alpha[5]), pair_scaled(o + 192, alpha[6]), pair_scaled(o + 224, alpha[7]),
    };
    tile_run(&t, p, TILE_ROWS, v, n, ahead);
    tile_store(&t, o, 32);
}

/* The last 16 columns of a head size that is no multiple of 32: two rows of O in one pair, as 8 x 16. */
static __attribute__((noinline)) void values_8x16(float *o, const float *alpha, const float *p, const float *v, size_t n, const char *ahead)
{
    struct pair c01 = pair_scaled_2(o, alpha), c23 = pair_scaled_2(o + 32, alpha + 2), c45 = pair_scaled_2(o + 64, alpha + 4),
                c67 = pair_scaled_2(o + 96, alpha + 6);
    for (; n > 0; n--, p += TILE_ROWS, v += 16, ahead += FETCH_STEP) {
        _mm_prefetch(ahead, _MM_HINT_T1);
        const __m512 w = _mm512_load_ps(v);
        madd_rows(&c01, p, w);
        madd_rows(&c23, p + 2, w);
        madd_rows(&c45, p + 4, w);
        madd_rows(&c67, p + 6, w);
    }
    pair_put(o, c01, false);
    pair_put(o + 32, c23, false);
    pair_put(o + 64, c45, false);
    pair_put(o + 96, c67, false);
}

/* ---- one block ---- */

/* Keys of the block that row r sees. Rows that the tile lacks follow the last one. */
static size_t keys_seen(const struct job *j, size_t r)
{
    const ptrdiff_t seen = j->first + (ptrdiff_t)(r < j->rows ? r : j->rows - 1);
    return seen < 0 ? 0 : (size_t)seen > j->block ? j->block : (size_t)seen;
}

static void scores(const struct state *st, const struct job *j, const float *k, const char *ahead)
{
    const size_t words = j->d / PER_WORD, keys = keys_seen(j, j->rows - 1);
    for (size_t i = 0; i < keys; i += KEYS)
        for (size_t row = 0; row < j->rows; row += PANEL)
            if (keys_seen(j, row + PANEL - 1) > i) {
                scores_8x32(st->s + i * TILE_ROWS + row, k + i * words, st->q + row * words, words, ahead);
                ahead += words * FETCH_STEP;
            }
}

/* 16 rows (r ..) of S to probabilities, and their state moved on. n: keys that the last of them sees, rounded up to two. */
static __attribute__((noinline)) void softmax_16(const struct state *st, const struct job *j, size_t r, size_t n)
{
    const __m512 minus_inf = _mm512_set1_ps(-INFINITY);
    const size_t seen_by_all = keys_seen(j, r) / 4 * 4;
    float *s = st->s + r;
    __m512 m0 = minus_inf, m1 = minus_inf, m2 = minus_inf, m3 = minus_inf;
    size_t i = 0;
    for (; i < seen_by_all; i += 4) {
        m0 = _mm512_max_ps(m0, _mm512_load_ps(s + i * TILE_ROWS));
        m1 = _mm512_max_ps(m1, _mm512_load_ps(s + (i + 1) * TILE_ROWS));
        m2 = _mm512_max_ps(m2, _mm512_load_ps(s + (i + 2) * TILE_ROWS));
        m3 = _mm512_max_ps(m3, _mm512_load_ps(s + (i + 3) * TILE_ROWS));
    }
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i seen = _mm512_add_epi32(lane, _mm512_set1_epi32((int)(j->first + (ptrdiff_t)r)));
    for (; i < n; i++) {
        const __mmask16 visible = _mm512_cmpgt_epi32_mask(seen, _mm512_set1_epi32((int)i));
        const __m512 x = _mm512_mask_mov_ps(minus_inf, visible, _mm512_load_ps(s + i * TILE_ROWS));
        _mm512_store_ps(s + i * TILE_ROWS, x);
        m0 = _mm512_max_ps(m0, x);
    }
    const __m512 before = _mm512_load_ps(st->max + r);
    const __m512 now = _mm512_max_ps(before, _mm512_max_ps(_mm512_max_ps(m0, m1), _mm512_max_ps(m2, m3)));
    /* A row that has seen nothing yet: -inf - 0 is -inf, whose power is 0; -inf - -inf would be NaN. */
    const __m512 max = _mm512_mask_mov_ps(now, _mm512_cmp_ps_mask(now, minus_inf, _CMP_EQ_OQ), _mm512_setzero_ps());
    __m512 sum = _mm512_setzero_ps();
    for (i = 0; i < n; i += 2) {
        const __m512 p0 = vec_exp2_neg(_mm512_sub_ps(_mm512_load_ps(s + i * TILE_ROWS), max));
        const __m512 p1 = vec_exp2_neg(_mm512_sub_ps(_mm512_load_ps(s + (i + 1) * TILE_ROWS), max));
        join(s + i / PER_WORD * TILE_ROWS, TILE_ROWS, p0, p1);
        sum = _mm512_add_ps(sum, _mm512_add_ps(p0, p1));
    }
    const __m512 alpha = vec_exp2_neg(_mm512_sub_ps(before, max));
    _mm512_store_ps(st->max + r, now);
    _mm512_store_ps(st->alpha + r, alpha);
    _mm512_store_ps(st->sum + r, _mm512_fmadd_ps(alpha, _mm512_load_ps(st->sum + r), sum));
}

static void softmax(const struct state *st, const struct job *j)
{
    for (size_t r = 0; r < j->rows; r += 16) {
        const size_t n = (keys_seen(j, r + 15) + 1) / 2 * 2;
        if (n > 0)
            softmax_16(st, j, r, n);
    }
}

static void values(const struct state *st, const struct job *j, const float *v, const char *ahead)
{
    const size_t padded = pad_16(j->d);
    for (size_t c = 0; c < padded; c += PANEL)
        for (size_t r = 0; r < j->rows; r += GROUP) {
            const size_t n = (keys_seen(j, r + GROUP - 1) + PER_WORD - 1) / PER_WORD;
            float *o = st->o + r * padded + c * GROUP;
            if (n > 0)
                (padded - c < PANEL ? values_8x16 : values_8x32)(o, st->alpha + r, st->s + r, v + c * j->block / PER_WORD, n, ahead);
            ahead += n * FETCH_STEP;
        }
}

/* O over the sums, to the caller's rows. */
static void finish(const struct state *st, const struct prism_attn_tile *t)
{
    const size_t padded = pad_16(t->d);
    for (size_t r = 0; r < t->rows; r++) {
        const __m512 inverse = _mm512_set1_ps(1.0f / st->sum[r]);
        for (size_t c = 0; c < t->d; c += 16) {
            const size_t width = padded - c / PANEL * PANEL < PANEL ? 16 : PANEL;
            const float *o = st->o + r / GROUP * GROUP * padded + c / PANEL * PANEL * GROUP + r % GROUP * width + c % PANEL;
            _mm512_mask_storeu_ps(t->o + r * t->ldo + c, vec_mask(t->d - c), _mm512_mul_ps(inverse, _mm512_load_ps(o)));
        }
    }
}

static void attend(const struct prism_attn_tile *t)
{
    assert(t->rows >= 1 && t->rows <= TILE_ROWS && t->d % 8 == 0 && t->d <= PRISM_MAX_HEAD_DIM && t->kv_len >= t->q_pos + t->rows);
    assert((uintptr_t)t->scratch % 64 == 0 && (uintptr_t)t->k % 64 == 0 && (uintptr_t)t->v % 64 == 0 && t->block % 32 == 0);
    const struct state st = state_at(t->scratch, t->d, t->block);
    struct job j = { .rows = t->rows, .d = t->d, .block = t->block };

    start(&st, t);
    const size_t k_bytes = k_block_bytes(t->d, t->block), v_bytes = v_block_bytes(t->d, t->block);
    for (size_t i = 0; i < t->n_blocks; i++) {
        const size_t b = t->blocks[i], next = t->blocks[i + 1 < t->n_blocks ? i + 1 : i];
        const char *k = (const char *)t->k + b * k_bytes, *v = (const char *)t->v + b * v_bytes;
        j.first = (ptrdiff_t)(t->q_pos + 1) - (ptrdiff_t)(b * t->block);
        scores(&st, &j, (const float *)(const void *)k, v);
        softmax(&st, &j);
        values(&st, &j, (const float *)(const void *)v, (const char *)t->k + next * k_bytes);
    }
    finish(&st, t);
}

#endif
