/* attention_body.h - prefill attention of the AVX-512 levels: one query tile of one head against a list of key blocks, exact
 * online softmax (Milakov & Gimelshein 2018; tiling as in Dao et al. 2022, FlashAttention), on 32-bit words of one fp32 or two
 * int16. Here is what the families share: layouts, packing of keys and queries, the product of keys and queries, the walk over the blocks.
 * A family first includes its level's words.h, then defines what is declared under "the family's part" (attention_float.h does for
 * floats, arch/avx512vnni/attention_i16.c for integers).
 *
 * The scores are computed transposed, S[key][row]: keys are the broadcast operand, 32 query rows the vector. So the softmax runs
 * down the keys for 16 rows at a time without any horizontal step, and P, in place, is already the broadcast operand of P.V.
 * Layouts, in words:
 *   Q [row panel of 32][d][32]                                K [key panel of 8][d][8], then the family's numbers
 *   S, P [key][64 rows]                                       V [column panel of 32, the last one may be 16][key][32], likewise
 *   O [row group of 8][column panel][8][32]
 * Every row's arithmetic is its own: chains over d and over the keys of a block, to which hidden keys add exact zeros. */
#ifndef PRISM_AVX512_ATTENTION_BODY_H
#define PRISM_AVX512_ATTENTION_BODY_H

#include <assert.h>
#include <math.h>
#include <string.h>

#include "arch/avx512/attention_tile.h"
#include "arch/avx512/avx512.h"
#include "arch/generic/attn_keys.h"

enum { TILE_ROWS = 64, PANEL = 32, KEYS = 8, GROUP = 8 };

/* The scratch of one tile: three arrays, and numbers of each of its 64 rows. */
struct state {
    float *q;             /* words */
    float *s;             /* [block][64] logits, then probabilities (words) */
    float *o;
    float *max, *sum;     /* running maximum and sum */
    float *top;           /* the largest of all logits of the block, with those that a row does not see, before the cap */
    float *alpha, *beta;  /* factors of the older blocks and of this block (integers only) in O */
    float *q_step;        /* what one unit of a logit is worth: 1 of floats */
    float *to_cap;        /* what a logit is multiplied by to be in units of the softcap */
};

/* One tile against one block. */
struct job {
    size_t rows, d, block;
    float cap;            /* the softcap in powers of two, or 0 */
    struct keys keys;
    size_t from[TILE_ROWS / GROUP], to[TILE_ROWS / GROUP]; /* keys of the block that rows of a group see: some see from .. to - 1. None: equal */
};

/* Keys of a block by what 16 rows see of it: begin .. all - 1 some, all .. most - 1 every row (a multiple of four), most .. end - 1 some. begin and
 * end are multiples of eight. */
struct span {
    size_t begin, all, most, end;
};

/* ---- the family's part ---- */

static size_t k_block_bytes(size_t d, size_t block);
static size_t v_block_bytes(size_t d, size_t block);

/* What the values of query row r of the tile at x (d floats), or of a key, are multiplied by before they become words. */
static float query_factor(const struct state *st, const struct prism_attn_tile *t, size_t r);
static float key_factor(float *numbers, size_t key, const char *x, enum prism_kv_format format, size_t d);

/* Logits from sums of products; number: that behind the words of K, of their key. */
static inline __m512 logits(__m512 sums, const float *number);

/* 16 rows (r ..) of S to probabilities, and their state moved on. */
static void softmax_16(const struct state *st, const struct job *j, size_t r, const struct span *keys);

/* O[rows r .. r + 8)[columns c .. c + 32, or 16 when that is what is left) on by P.V over words i .. n - 1 of keys. Fetches (n - i) * FETCH_STEP
 * bytes. */
static void values_group(const struct state *st, const struct job *j, const float *v, size_t r, size_t c, size_t i, size_t n, const char *ahead);

/* ---- the scratch ---- */

static size_t pad_16(size_t d)
{
    return (d + 15) / 16 * 16;
}

static size_t tile_scratch(size_t d, size_t block)
{
    return TILE_ROWS * (d / PER_WORD + block + pad_16(d) + 7) * sizeof(float);
}

static struct state state_at(void *scratch, size_t d, size_t block)
{
    struct state st = { .q = scratch };
    st.s = st.q + TILE_ROWS * (d / PER_WORD);
    st.o = st.s + TILE_ROWS * block;
    st.max = st.o + TILE_ROWS * pad_16(d);
    st.sum = st.max + TILE_ROWS;
    st.top = st.sum + TILE_ROWS;
    st.alpha = st.top + TILE_ROWS;
    st.beta = st.alpha + TILE_ROWS;
    st.q_step = st.beta + TILE_ROWS;
    st.to_cap = st.q_step + TILE_ROWS;
    return st;
}

/* ---- packing ---- */

/* Of d values at x: what the factors of queries and keys are made of. */
static float sum_of_squares(const char *x, enum prism_kv_format format, size_t d)
{
    __m512 sum = _mm512_setzero_ps();
    for (size_t i = 0; i < d; i += 16) {
        const __m512 v = vec_load_stored(x, format, i, d - i < 16 ? d - i : 16);
        sum = _mm512_fmadd_ps(v, v, sum);
    }
    return _mm512_reduce_add_ps(sum);
}

/* r[l], lane j: word i + l of row j of src, whose d values are multiplied by factor[j]; zeros past d and past the last row. */
PRISM_INLINE void transposed_words(__m512 r[16], const char *src, size_t row_bytes, enum prism_kv_format format, size_t rows, size_t d, size_t i,
                                   const float *factor)
{
    for (size_t j = 0; j < 16; j++) {
        _Alignas(64) float x[16 * PER_WORD];
        for (size_t l = 0, at = i * PER_WORD; l < 16 * PER_WORD; l += 16, at += 16) {
            const size_t n = j >= rows || at >= d ? 0 : d - at < 16 ? d - at : 16;
            const char *row = n ? src + j * row_bytes : src;
            _mm512_store_ps(x + l, _mm512_mul_ps(vec_load_stored(row, format, n ? at : 0, n), _mm512_set1_ps(factor[j])));
        }
        r[j] = words_from_floats(x);
    }
    vec_transpose_16(r);
}

static void pack_k(void *dst, const void *src, enum prism_kv_format format, size_t n, size_t d, size_t block)
{
    const size_t words = d / PER_WORD, row_bytes = prism_kv_row_bytes(format, d);
    assert((uintptr_t)dst % 64 == 0 && n <= block && d % 8 == 0 && d <= PRISM_MAX_HEAD_DIM);
    for (size_t key = 0; key < block; key += 2 * KEYS) {
        const char *rows = (const char *)src + (key < n ? key : 0) * row_bytes;
        float *panel = (float *)dst + key * words, factor[2 * KEYS] = { 0 };
        for (size_t j = 0; j < 2 * KEYS && key + j < n; j++)
            factor[j] = key_factor((float *)dst + block * words, key + j, rows + j * row_bytes, format, d);
        for (size_t i = 0; i < words; i += 16) {
            __m512 r[16];
            transposed_words(r, rows, row_bytes, format, key < n ? n - key : 0, d, i, factor);
            for (size_t l = 0; l < 16 && i + l < words; l++) {
                _mm256_storeu_ps(panel + (i + l) * KEYS, _mm512_castps512_ps256(r[l]));
                _mm256_storeu_ps(panel + (words + i + l) * KEYS, _mm512_extractf32x8_ps(r[l], 1));
            }
        }
    }
}

/* Query panels, zeros for the rows that the tile lacks; sums that are empty or those of the sink. */
static void start(const struct state *st, const struct job *job, const struct prism_attn_tile *t)
{
    const size_t words = t->d / PER_WORD;
    float max, sum;
    memset(st->q_step, 0, TILE_ROWS * sizeof *st->q_step);
    for (size_t row = 0; row < t->rows; row += 16) {
        float factor[16] = { 0 };
        for (size_t j = 0; j < 16 && row + j < t->rows; j++)
            factor[j] = query_factor(st, t, row + j);
        for (size_t i = 0; i < words; i += 16) {
            __m512 r[16];
            transposed_words(r, (const char *)(t->q + row * t->ldq), t->ldq * sizeof *t->q, PRISM_KVF_F32, t->rows - row, t->d, i, factor);
            for (size_t l = 0; l < 16 && i + l < words; l++) {
                float *out = st->q + row / PANEL * PANEL * words + (i + l) * PANEL + row % PANEL;
                _mm512_store_ps(out, r[l]);
                if (row % PANEL == 0)
                    _mm512_store_ps(out + 16, _mm512_setzero_ps());
            }
        }
    }
    memset(st->o, 0, TILE_ROWS * pad_16(t->d) * sizeof *st->o);
    start_row(t, LOG2_E, &max, &sum);
    for (size_t r = 0; r < TILE_ROWS; r++) {
        st->max[r] = max;
        st->sum[r] = sum;
        start_cap(job->cap, &st->q_step[r], &st->to_cap[r]);
    }
}

/* ---- products ---- */

PRISM_INLINE void put_row(float *s, struct pair *top, struct pair sums, const float *number)
{
    const struct pair x = { logits(sums.x, number), logits(sums.y, number) };
    pair_put(s, x, false);
    *top = (struct pair){ _mm512_max_ps(top->x, x.x), _mm512_max_ps(top->y, x.y) };
}

/* n: a multiple of LAST */
static __attribute__((noinline)) void scores_8x32(float *s, float *top, const float *k, const float *numbers, const float *q, size_t n,
                                                  const char *ahead)
{
    struct tile t = tile_zero();
    struct pair m = pair_load(top, top + 16);
    n -= LAST;
    tile_run(&t, k, KEYS, q, n, ahead);
    _mm_prefetch(ahead + n * FETCH_STEP, _MM_HINT_T1);
    const struct last l = last_words(k + n * KEYS, KEYS, q + n * PANEL);
    put_row(s, &m, last_of_row(&l, 0, t.c0), numbers);
    put_row(s + TILE_ROWS, &m, last_of_row(&l, 1, t.c1), numbers + 1);
    put_row(s + 2 * TILE_ROWS, &m, last_of_row(&l, 2, t.c2), numbers + 2);
    put_row(s + 3 * TILE_ROWS, &m, last_of_row(&l, 3, t.c3), numbers + 3);
    put_row(s + 4 * TILE_ROWS, &m, last_of_row(&l, 4, t.c4), numbers + 4);
    put_row(s + 5 * TILE_ROWS, &m, last_of_row(&l, 5, t.c5), numbers + 5);
    put_row(s + 6 * TILE_ROWS, &m, last_of_row(&l, 6, t.c6), numbers + 6);
    put_row(s + 7 * TILE_ROWS, &m, last_of_row(&l, 7, t.c7), numbers + 7);
    pair_put(top, m, false);
}

/* Of two keys, 16 rows. */
PRISM_INLINE void put_two_rows(float *s, float *top, struct pair sums, const float *numbers)
{
    const struct pair x = { logits(sums.x, numbers), logits(sums.y, numbers + 1) };
    _mm512_store_ps(s, x.x);
    _mm512_store_ps(s + TILE_ROWS, x.y);
    _mm512_store_ps(top, _mm512_max_ps(_mm512_max_ps(_mm512_load_ps(top), x.x), x.y));
}

static __attribute__((noinline)) void scores_8x16(float *s, float *top, const float *k, const float *numbers, const float *q, size_t n,
                                                  const char *ahead)
{
    struct half_tile t = half_tile_zero();
    half_tile_run(&t, k, KEYS, q, PANEL, n, ahead);
    put_two_rows(s, top, t.c01, numbers);
    put_two_rows(s + 2 * TILE_ROWS, top, t.c23, numbers + 2);
    put_two_rows(s + 4 * TILE_ROWS, top, t.c45, numbers + 4);
    put_two_rows(s + 6 * TILE_ROWS, top, t.c67, numbers + 6);
}

/* ---- one block ---- */

/* The job's next block: number b. */
static void next_block(struct job *j, const struct prism_attn_tile *t, size_t b)
{
    j->keys = keys_of_block(t, b);
    for (size_t r = 0; r < TILE_ROWS; r += GROUP) {
        j->from[r / GROUP] = keys_gone(&j->keys, r);
        j->to[r / GROUP] = keys_seen(&j->keys, r + GROUP - 1);
    }
}

static void scores(const struct state *st, const struct job *j, const float *k, const char *ahead)
{
    const size_t words = j->d / PER_WORD, end = j->to[TILE_ROWS / GROUP - 1];
    for (size_t r = 0; r < TILE_ROWS; r++)
        st->top[r] = -INFINITY;
    for (size_t i = j->from[0] / KEYS * KEYS; i < end; i += KEYS)
        for (size_t row = 0; row < j->rows; row += PANEL)
            if (j->from[row / GROUP] < i + KEYS && i < j->to[(row + PANEL) / GROUP - 1]) {
                (j->rows - row <= 16 ? scores_8x16 : scores_8x32)(st->s + i * TILE_ROWS + row, st->top + row, k + i * words,
                                                                  k + j->block * words + i, st->q + row * words, words, ahead);
                ahead += words * FETCH_STEP;
            }
}

/* What rows r .. r + 15 see of the block; no key at all when begin is not below end. */
static struct span span_16(const struct job *j, size_t r)
{
    const size_t gone = (keys_gone(&j->keys, r + 15) + 3) / 4 * 4, seen = keys_seen(&j->keys, r) / 4 * 4;
    struct span s = { j->from[r / GROUP] / KEYS * KEYS, gone, seen, (j->to[r / GROUP + 1] + KEYS - 1) / KEYS * KEYS };
    if (gone >= seen)
        s.all = s.most = s.begin;
    return s;
}

/* Which of 16 rows (r ..) see key i. */
PRISM_INLINE __mmask16 rows_that_see(const struct keys *k, size_t r, size_t i)
{
    return (__mmask16)(vec_mask(keys_end_row(k, r, i, 16)) & ~vec_mask(keys_first_row(k, r, i, 16)));
}

/* The largest of the logits of keys that all of 16 rows (r ..) see, of each row; -inf for none. If all are NaN, so is the result. */
PRISM_INLINE __m512 largest(const struct state *st, const struct job *j, size_t r, const struct span *keys)
{
    if (j->cap == 0 && keys->all == 0 && keys->most == j->block)
        return _mm512_load_ps(st->top + r);
    __m512 m0 = _mm512_set1_ps(-INFINITY), m1 = m0, m2 = m0, m3 = m0;
    const float *s = st->s + r;
    for (size_t i = keys->all, end = keys->most; i < end; i += 4) {
        m0 = _mm512_max_ps(m0, _mm512_load_ps(s + i * TILE_ROWS));
        m1 = _mm512_max_ps(m1, _mm512_load_ps(s + (i + 1) * TILE_ROWS));
        m2 = _mm512_max_ps(m2, _mm512_load_ps(s + (i + 2) * TILE_ROWS));
        m3 = _mm512_max_ps(m3, _mm512_load_ps(s + (i + 3) * TILE_ROWS));
    }
    return _mm512_max_ps(_mm512_max_ps(m0, m1), _mm512_max_ps(m2, m3));
}

/* Keys begin .. end - 1 of 16 rows (r ..) of S become logits with the cap: powers of two. */
static __attribute__((noinline)) void cap_16(const struct state *st, const struct job *j, size_t r, size_t begin, size_t end)
{
    const __m512 cap = _mm512_set1_ps(j->cap), to_cap = _mm512_load_ps(st->to_cap + r);
    for (float *s = st->s + begin * TILE_ROWS + r; begin < end; begin++, s += TILE_ROWS)
        _mm512_store_ps(s, _mm512_mul_ps(cap, vec_tanh(_mm512_mul_ps(to_cap, _mm512_load_ps(s)))));
}

static void softmax(const struct state *st, const struct job *j)
{
    for (size_t r = 0; r < j->rows; r += 16) {
        const struct span keys = span_16(j, r);
        if (j->cap > 0)
            cap_16(st, j, r, keys.begin, keys.end);
        if (keys.begin < keys.end)
            softmax_16(st, j, r, &keys);
    }
}

static void values(const struct state *st, const struct job *j, const float *v, const char *ahead)
{
    for (size_t c = 0; c < pad_16(j->d); c += PANEL)
        for (size_t r = 0; r < j->rows; r += GROUP) {
            const size_t i = j->from[r / GROUP] / PER_WORD, n = (j->to[r / GROUP] + PER_WORD - 1) / PER_WORD;
            if (i < n)
                values_group(st, j, v, r, c, i, n, ahead);
            ahead += (n - i) * FETCH_STEP;
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
    struct job j = { .rows = t->rows, .d = t->d, .block = t->block, .cap = t->softcap * LOG2_E };

    start(&st, &j, t);
    const size_t k_bytes = k_block_bytes(t->d, t->block), v_bytes = v_block_bytes(t->d, t->block);
    for (size_t i = 0; i < t->n_blocks; i++) {
        const size_t b = t->blocks[i], next = t->blocks[i + 1 < t->n_blocks ? i + 1 : i];
        const char *k = (const char *)t->k + b * k_bytes, *v = (const char *)t->v + b * v_bytes;
        next_block(&j, t, b);
        scores(&st, &j, (const float *)(const void *)k, v);
        softmax(&st, &j);
        values(&st, &j, (const float *)(const void *)v, (const char *)t->k + next * k_bytes);
    }
    finish(&st, t);
}

#endif
