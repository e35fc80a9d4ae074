/* attention_body.h - prefill attention of AVX2 and AVX-VNNI: one query tile of one head against a list of key blocks, exact online softmax
 * (Milakov & Gimelshein 2018; tiling as in Dao et al. 2022, "FlashAttention"), on 32-bit words of one fp32 or two int16. Here is what the
 * families share: layouts, packing of queries, the product of queries and keys, the walk over the blocks. A family first includes its words
 * (PER_WORD and what tile.h wants), then defines what is declared under "the family's part": attention_f32.c, attention_i16_body.h.
 *
 * Layouts, in words. K: panels of 16 keys, [d][16]. V: panels of 16 dimensions, [block keys][16], the last one zero-filled when d % 16 is
 * 8. Behind both, the family's numbers. Q: strips of 6 query rows, [d][6], a last strip of 1..4 rows [d][4]; logits are powers of two.
 * Per block: S = Q.K^T by key panels (a key panel stays in L1 while the strips pass), softmax of the rows of S in place, then O
 * = alpha * O + P.V by value panels. S, O and the row states live in the scratch.
 *
 * Every row's arithmetic is its own: logits and outputs are chains over d and over the keys of a block, what a neighbour row adds to the
 * range are exact zeros. Keys right of a strip's diagonal and left of its window are skipped in steps of 16. */
#ifndef PRISM_AVX2_ATTENTION_BODY_H
#define PRISM_AVX2_ATTENTION_BODY_H

#include <assert.h>
#include <math.h>
#include <string.h>

#include "arch/avx2/avx2.h"
#include "arch/avx2/tile.h"
#include "arch/generic/attn_keys.h"
#include "arch/generic/pack.h"

enum {
    Q_ROWS = 64,
    N_STRIPS = 11,   /* 10 of six rows, one of four */
    MAX_BLOCK = 256,
    S_LD = 272,      /* floats between rows of S: a constant (six rows addressed by offsets) and no power of two (L1 sets) */
};

/* Powers of two: a block in which all logits of a row lie this far below its running maximum is taken as zero for the row. What
 * is dropped is below keys * 2^-50 of the sum: under 2^-30 for a million keys, beyond fp32. */
#define NEGLIGIBLE 50.0f

/* The scratch of one tile. */
struct state {
    float *q;      /* strips, strip i at 6 * i * (padded words of d) */
    float *s;      /* [66][S_LD]: logits, then probabilities (words) */
    float *o;      /* [strip][padded d / 16][6][16], not normalised */
    float *sum;    /* [66][8] sums of probabilities, per lane */
    /* Numbers of rows, [strip][8], the last two of a strip not used. */
    float *max;
    float *alpha;  /* factor of the older blocks in O */
    float *beta;   /* and of this block (integers only) */
    float *q_step; /* what one unit of a logit is worth: 1 of floats */
    float *to_cap; /* what a logit is multiplied by to be in units of the softcap */
};

/* One tile against one block. */
struct job {
    size_t rows, strips, d, block;
    float cap;        /* the softcap in powers of two, or 0 */
    struct keys keys;
    /* Columns of S that the rows of each strip need, from what its first row's window holds to what its last row sees, in steps of 16. None when
     * begin is not below end. */
    size_t begin[N_STRIPS], end[N_STRIPS];
};

/* ---- the family's part ---- */

static size_t k_block_bytes(size_t d, size_t block);
static size_t v_block_bytes(size_t d, size_t block);

/* Query row r of the tile as words. */
static void query_words(const struct state *st, const struct prism_attn_tile *t, size_t r, float *words);

/* S[rows][16 keys] of a tile of 6 or 4 rows; numbers: those behind the words of K, of its first key. */
static inline void put_scores(float *s, const struct tile *t, int rows, const float *numbers);

/* The rows of a strip of S, columns begin .. n - 1 (multiples of 16), to probabilities in place, and their state moved on. A row in which nothing
 * counts becomes zeros, and its factors leave O as it is. Returns false when all are such. */
static bool softmax_strip(const struct state *st, const struct job *j, size_t strip, size_t begin, size_t n);

/* O of a strip and a value panel on by P.V over keys begin .. n - 1 (multiples of 16) of the block at v. */
static void values_strip(const struct state *st, const struct job *j, size_t strip, size_t panel, const float *v, size_t begin, size_t n);

/* False when a value of the block at v is not. */
static bool values_finite(const struct job *j, const float *v);

/* ---- the scratch ---- */

static size_t pad16(size_t d)
{
    return (d + 15) & ~(size_t)15;
}

enum { ROW_NUMBERS = N_STRIPS * 8 };

static struct state state_at(void *scratch, size_t d)
{
    const size_t rows = N_STRIPS * TILE_ROWS;
    struct state st;
    st.q = scratch;
    st.s = st.q + rows * pad16(d);
    st.o = st.s + rows * S_LD;
    st.sum = st.o + rows * pad16(d);
    st.max = st.sum + rows * 8;
    st.alpha = st.max + ROW_NUMBERS;
    st.beta = st.alpha + ROW_NUMBERS;
    st.q_step = st.beta + ROW_NUMBERS;
    st.to_cap = st.q_step + ROW_NUMBERS;
    return st;
}

static size_t tile_scratch(size_t d, size_t block)
{
    (void)block;
    const size_t rows = N_STRIPS * TILE_ROWS;
    return (rows * (2 * pad16(d) + S_LD + 8) + 5 * ROW_NUMBERS) * sizeof(float);
}

/* Words of d values, in strips of Q. */
static size_t q_words(size_t d)
{
    return pad16(d) / PER_WORD;
}

/* ---- one block ---- */

/* S[rows][16] = one strip of Q against one key panel, n words. */
static __attribute__((noinline)) void scores_6(float *s, const float *q, const float *k, const float *numbers, size_t n)
{
    struct tile t;
    tile_zero(&t);
    tile_run(&t, 6, q, 1, 6, k, n);
    put_scores(s, &t, 6, numbers);
}

static __attribute__((noinline)) void scores_4(float *s, const float *q, const float *k, const float *numbers, size_t n)
{
    struct tile t;
    tile_zero(&t);
    tile_run(&t, 4, q, 1, 4, k, n);
    put_scores(s, &t, 4, numbers);
}

static size_t strip_height(const struct job *j, size_t strip)
{
    return j->rows - strip * TILE_ROWS <= 4 ? 4 : TILE_ROWS;
}

/* The job's next block: number b. */
static void next_block(struct job *j, const struct prism_attn_tile *t, size_t b)
{
    j->keys = keys_of_block(t, b);
    for (size_t strip = 0; strip < j->strips; strip++) {
        j->begin[strip] = keys_gone(&j->keys, strip * TILE_ROWS) & ~(size_t)15;
        j->end[strip] = (keys_seen(&j->keys, strip * TILE_ROWS + TILE_ROWS - 1) + 15) & ~(size_t)15;
    }
}

/* S from the keys at k; v is needed next. */
static void scores(const struct state *st, const struct job *j, const float *k, const float *v)
{
    const size_t words = j->d / PER_WORD, end = keys_seen(&j->keys, j->rows - 1);
    for (size_t i = j->begin[0]; i < end; i += 16)
        for (size_t strip = 0; strip < j->strips; strip++) {
            vec_fetch_ahead(i + 16 < end ? k + (i + 16) * words : v, 16 * words * sizeof(float), strip, j->strips);
            if (i < j->begin[strip] || i >= j->end[strip])
                continue;
            const float *q = st->q + strip * TILE_ROWS * q_words(j->d), *numbers = k + j->block * words + i;
            float *s = st->s + strip * TILE_ROWS * S_LD + i;
            if (strip_height(j, strip) == TILE_ROWS)
                scores_6(s, q, k + i * words, numbers, words);
            else
                scores_4(s, q, k + i * words, numbers, words);
        }
}

/* Columns begin .. n - 1 of a strip of S become logits with the cap: powers of two. */
static __attribute__((noinline)) void cap_strip(const struct state *st, const struct job *j, size_t strip, size_t begin, size_t n)
{
    const __m256 cap = _mm256_set1_ps(j->cap);
    for (size_t i = 0; i < strip_height(j, strip); i++) {
        const __m256 to_cap = _mm256_broadcast_ss(st->to_cap + 8 * strip + i);
        float *s = st->s + (strip * TILE_ROWS + i) * S_LD;
        for (size_t c = begin; c < n; c += 8)
            _mm256_store_ps(s + c, _mm256_mul_ps(cap, vec_tanh(_mm256_mul_ps(to_cap, _mm256_load_ps(s + c)))));
    }
}

/* Returns the strips in which something counts, one bit each. */
static unsigned softmax(const struct state *st, const struct job *j)
{
    unsigned live = 0;
    for (size_t strip = 0; strip < j->strips; strip++) {
        const size_t begin = j->begin[strip], n = j->end[strip];
        if (j->cap > 0)
            cap_strip(st, j, strip, begin, n);
        if (begin < n && softmax_strip(st, j, strip, begin, n))
            live |= 1u << strip;
    }
    return live;
}

/* O from P and the values at v; k is needed next. live: strips that have to be added; among values that are not finite all have, for 0 * NaN. */
static void values(const struct state *st, const struct job *j, const float *v, const float *k, unsigned live)
{
    const size_t panels = pad16(j->d) / TILE_COLS, v_panel = j->block / PER_WORD * TILE_COLS;
    const bool add_all = live + 1 != 1u << j->strips && !values_finite(j, v);
    for (size_t panel = 0; panel < panels; panel++)
        for (size_t strip = 0; strip < j->strips; strip++) {
            vec_fetch_ahead(panel + 1 < panels ? v + (panel + 1) * v_panel : k, v_panel * sizeof(float), strip, j->strips);
            const size_t begin = j->begin[strip], n = j->end[strip];
            if (live >> strip & 1 || (add_all && begin < n))
                values_strip(st, j, strip, panel, v, begin, n);
        }
}

/* ---- one tile ---- */

/* Query strips; sums that are empty or those of the sink. */
static void start(const struct state *st, const struct job *j, const struct prism_attn_tile *t)
{
    const size_t all = j->strips * TILE_ROWS;
    float max, sum;
    memset(st->q_step, 0, ROW_NUMBERS * sizeof *st->q_step);
    for (size_t strip = 0; strip < j->strips; strip++) {
        const size_t r = strip * TILE_ROWS, rows = t->rows - r < TILE_ROWS ? t->rows - r : TILE_ROWS;
        _Alignas(32) float words[TILE_ROWS][PRISM_MAX_HEAD_DIM / PER_WORD];
        uint32_t *q = (uint32_t *)(st->q + r * q_words(t->d));
        for (size_t i = 0; i < rows; i++)
            query_words(st, t, r + i, words[i]);
        if (strip_height(j, strip) == TILE_ROWS)
            prism_pack_a_float(q, TILE_ROWS, false, words[0], PRISM_MAX_HEAD_DIM / PER_WORD, rows, t->d / PER_WORD);
        else
            prism_pack_a_float(q, 4, false, words[0], PRISM_MAX_HEAD_DIM / PER_WORD, rows, t->d / PER_WORD);
    }
    memset(st->o, 0, all * pad16(t->d) * sizeof *st->o);
    memset(st->sum, 0, all * 8 * sizeof *st->sum);
    start_row(t, LOG2_E, &max, &sum);
    for (size_t r = 0; r < all; r++)
        st->sum[8 * r] = sum;
    for (size_t i = 0; i < ROW_NUMBERS; i++) {
        st->max[i] = max;
        start_cap(j->cap, &st->q_step[i], &st->to_cap[i]);
    }
}

/* O over the sums, to the caller's rows. */
static void finish(const struct state *st, const struct prism_attn_tile *t)
{
    const size_t panels = pad16(t->d) / TILE_COLS;
    for (size_t r = 0; r < t->rows; r++) {
        const __m256 inverse = _mm256_set1_ps(1.0f / vec_sum(_mm256_load_ps(st->sum + 8 * r)));
        const float *o = st->o + (r / TILE_ROWS * panels * TILE_ROWS + r % TILE_ROWS) * TILE_COLS;
        for (size_t i = 0; i < t->d; i += 8)
            _mm256_storeu_ps(t->o + r * t->ldo + i,
                             _mm256_mul_ps(inverse, _mm256_load_ps(o + i / 16 * TILE_ROWS * TILE_COLS + i % 16)));
    }
}

static void attention_tile(const struct prism_attn_tile *t)
{
    assert(t->rows >= 1 && t->rows <= Q_ROWS && t->d % 8 == 0 && t->d <= PRISM_MAX_HEAD_DIM && t->kv_len >= t->q_pos + t->rows);
    assert((uintptr_t)t->scratch % 64 == 0 && (uintptr_t)t->k % 64 == 0 && (uintptr_t)t->v % 64 == 0);
    assert(t->block % 32 == 0 && t->block <= MAX_BLOCK);
    const struct state st = state_at(t->scratch, t->d);
    struct job j = {.rows = t->rows, .strips = (t->rows + TILE_ROWS - 1) / TILE_ROWS, .d = t->d, .block = t->block, .cap = t->softcap * LOG2_E};

    start(&st, &j, t);
    const size_t k_size = k_block_bytes(t->d, t->block) / sizeof(float), v_size = v_block_bytes(t->d, t->block) / sizeof(float);
    for (size_t i = 0; i < t->n_blocks; i++) {
        const size_t b = t->blocks[i], next = t->blocks[i + 1 < t->n_blocks ? i + 1 : i];
        const float *k = (const float *)t->k + b * k_size, *v = (const float *)t->v + b * v_size;
        next_block(&j, t, b);
        scores(&st, &j, k, v);
        const unsigned live = softmax(&st, &j);
        values(&st, &j, v, (const float *)t->k + next * k_size, live);
    }
    finish(&st, t);
}

#endif
