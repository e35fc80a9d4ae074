/* attention_i16_body.h - attention_body.h on int16 with int32 sums. vpmaddwd multiplies 16 pairs, twice what an FMA does,
 * for one vpaddd more; vpdpwssd of AVX-VNNI does both at once. What is rounded, and why no sum overflows, is said in
 * arch/generic/attention_i16.c.
 *
 * A word is a pair of neighbours in the sum: dimensions in Q and K, keys in P and V; a row of P as int16 in order of keys is such words.
 * Behind the words of a K block lie the steps of its keys, [block]; behind those of a V block [chunk][columns, padded to 16].
 *
 * Included after the words_i16.h of a level, which defines dot. */
#ifndef PRISM_AVX2_ATTENTION_I16_BODY_H
#define PRISM_AVX2_ATTENTION_I16_BODY_H

#include "arch/avx2/lines.h"

enum { PER_WORD = 2 };

PRISM_INLINE void madd(__m256 *c, __m256 a, __m256 b)
{
    __m256i sum = _mm256_castps_si256(*c);
    dot(&sum, _mm256_castps_si256(a), _mm256_castps_si256(b), false);
    *c = _mm256_castsi256_ps(sum);
}

#include "arch/avx2/attention_body.h"
#include "arch/generic/attention_i16.h"

enum { MAX_WORDS = PRISM_MAX_HEAD_DIM / PER_WORD };

static size_t v_words(size_t d, size_t block) { return block * pad16(d) / PER_WORD; }

static size_t k_block_bytes(size_t d, size_t block)
{
    return (block * d / PER_WORD + block) * sizeof(float); /* 32 * (d / 2 + 1) words at least: a multiple of 64 bytes */
}

static size_t v_block_bytes(size_t d, size_t block)
{
    return (v_words(d, block) + block / chunk_keys(block) * pad16(d)) * sizeof(float);
}

/* ---- packing ---- */


/* d values to integers of norm NORM, and zeros up to a multiple of 16; returns the step. */
static float quantize(int32_t *words, const char *x, enum prism_kv_format format, size_t d)
{
    __m256 sum = _mm256_setzero_ps();
    for (size_t i = 0; i < d; i += 8) {
        const __m256 v = vec_load_stored(x, format, i);
        sum = _mm256_fmadd_ps(v, v, sum);
    }
    float step;
    const __m256 factor = _mm256_set1_ps(norm_factor(vec_sum(sum), &step));
    for (size_t i = 0; i < d; i += 16) {
        const __m256 v0 = vec_load_stored(x, format, i), v1 = i + 8 < d ? vec_load_stored(x, format, i + 8) : _mm256_setzero_ps();
        const __m256i q = vec_pack_16(_mm256_cvtps_epi32(_mm256_mul_ps(v0, factor)), _mm256_cvtps_epi32(_mm256_mul_ps(v1, factor)));
        _mm256_store_si256((__m256i *)(void *)(words + i / PER_WORD), q);
    }
    return step;
}

static void query_words(const struct state *st, const struct prism_attn_tile *t, size_t r, float *words)
{
    const float step = quantize((int32_t *)(void *)words, (const char *)(t->q + r * t->ldq), PRISM_KVF_F32, t->d);
    st->q_step[r / TILE_ROWS * 8 + r % TILE_ROWS] = step * t->scale * LOG2_E;
}

static void pack_k(void *dst, const void *src, enum prism_kv_format format, size_t n, size_t d, size_t block)
{
    _Alignas(32) int32_t words[TILE_COLS][MAX_WORDS];
    float *step = (float *)dst + block * d / PER_WORD;
    assert((uintptr_t)dst % 64 == 0 && n <= block && d % 8 == 0 && d <= PRISM_MAX_HEAD_DIM);

    memset(step, 0, block * sizeof *step);
    for (size_t key = 0; key < block; key += TILE_COLS) {
        char *panel = (char *)((float *)dst + key * d / PER_WORD);
        if (n < key + TILE_COLS)
            memset(words, 0, sizeof words);
        for (size_t j = key; j < n && j < key + TILE_COLS; j++)
            step[j] = quantize(words[j - key], (const char *)src + j * prism_kv_row_bytes(format, d), format, d);
        for (size_t i = 0; i < d / PER_WORD; i += 8)
            put_lines(panel + i * TILE_COLS * sizeof(float), TILE_COLS * sizeof(float), words[0] + i, sizeof words[0],
                      d / PER_WORD - i < 8 ? d / PER_WORD - i : 8);
    }
    spread_nan(step, n, block);
}

/* 8 columns, from c on, of `chunk` keys of which n exist, to words 16 apart. */
static void pack_columns(float *out, float *step, const char *p, enum prism_kv_format format, size_t c, size_t n, size_t d, size_t chunk)
{
    const __m256 abs = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff)), inf = _mm256_set1_ps(INFINITY), zero = _mm256_setzero_ps();
    const size_t row_bytes = prism_kv_row_bytes(format, d);
    __m256 max = zero, bad = zero;
    for (size_t key = 0; key < n; key++) {
        const __m256 v = _mm256_and_ps(abs, vec_load_stored(p + key * row_bytes, format, c));
        max = _mm256_max_ps(max, v);
        bad = _mm256_or_ps(bad, _mm256_cmp_ps(v, inf, _CMP_NLT_UQ));
    }
    const __m256 normal = _mm256_cmp_ps(max, _mm256_set1_ps(LEAST_V), _CMP_GE_OQ), top = _mm256_set1_ps(V_MAX);
    const __m256 inverse = _mm256_and_ps(normal, _mm256_div_ps(top, max));
    _mm256_store_ps(step, _mm256_or_ps(bad, _mm256_and_ps(normal, _mm256_div_ps(max, top)))); /* all bits set are a NaN */
    for (size_t key = 0; key < chunk; key += 2, out += TILE_COLS) {
        const __m256 v0 = key < n ? vec_load_stored(p + key * row_bytes, format, c) : zero;
        const __m256 v1 = key + 1 < n ? vec_load_stored(p + (key + 1) * row_bytes, format, c) : zero;
        const __m256i q0 = _mm256_cvtps_epi32(_mm256_mul_ps(v0, inverse)), q1 = _mm256_cvtps_epi32(_mm256_mul_ps(v1, inverse));
        _mm256_store_si256((__m256i *)(void *)out, _mm256_blend_epi16(q0, _mm256_slli_epi32(q1, 16), 0xaa));
    }
}

static void pack_v(void *dst, const void *src, enum prism_kv_format format, size_t n, size_t d, size_t block)
{
    const size_t padded = pad16(d), chunk = chunk_keys(block);
    float *steps = (float *)dst + v_words(d, block);
    assert((uintptr_t)dst % 64 == 0 && n <= block && d % 8 == 0 && d <= PRISM_MAX_HEAD_DIM);
    for (size_t key = 0; key < block; key += chunk)
        for (size_t c = 0; c < padded; c += 8) {
            float *out = (float *)dst + (c / TILE_COLS * block + key) / PER_WORD * TILE_COLS + c % TILE_COLS;
            const size_t there = c >= d || key >= n ? 0 : n - key < chunk ? n - key : chunk;
            const char *p = (const char *)src + (there ? key * prism_kv_row_bytes(format, d) : 0);
            pack_columns(out, steps + key / chunk * padded + c, p, format, c, there, d, chunk);
        }
}

/* ---- scores ---- */

PRISM_INLINE __m256 floats(__m256 sums) { return _mm256_cvtepi32_ps(_mm256_castps_si256(sums)); }

/* In units of the query's step. */
PRISM_INLINE void put_row(float *s, __m256 c0, __m256 c1, __m256 step0, __m256 step1)
{
    _mm256_store_ps(s, _mm256_mul_ps(step0, floats(c0)));
    _mm256_store_ps(s + 8, _mm256_mul_ps(step1, floats(c1)));
}

PRISM_INLINE void put_scores(float *s, const struct tile *t, int rows, const float *numbers)
{
    const __m256 step0 = _mm256_load_ps(numbers), step1 = _mm256_load_ps(numbers + 8);
    put_row(s, t->c00, t->c01, step0, step1);
    put_row(s + S_LD, t->c10, t->c11, step0, step1);
    put_row(s + 2 * S_LD, t->c20, t->c21, step0, step1);
    put_row(s + 3 * S_LD, t->c30, t->c31, step0, step1);
    if (rows == 6) {
        put_row(s + 4 * S_LD, t->c40, t->c41, step0, step1);
        put_row(s + 5 * S_LD, t->c50, t->c51, step0, step1);
    }
}

/* ---- probabilities ---- */

/* 2^x rounded to an integer, x <= 13: x = n + f as in vec_exp2_neg, 2^f by a polynomial of degree 4 (relative error 4.5e-6, 0.04 of a unit at
 * most; none at 0). Any x below -2 gives 0. */
PRISM_INLINE __m256i exp2_int(__m256 x)
{
    const __m256 magic = _mm256_set1_ps(0x1.8p23f);
    x = _mm256_max_ps(_mm256_set1_ps(-20.0f), x);
    const __m256 t = _mm256_add_ps(x, magic), f = _mm256_sub_ps(x, _mm256_sub_ps(t, magic));
    __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(0.00981465727f), f, _mm256_set1_ps(0.0559772737f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(0.240200251f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(0.693114638f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1.0f));
    const __m256i scaled = _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(t), 23));
    return _mm256_cvtps_epi32(_mm256_castsi256_ps(scaled));
}

/* The largest of logits gone .. seen - 1 of a row, in parts; -inf for none. */
PRISM_INLINE __m256 largest(const float *s, size_t gone, size_t seen)
{
    const __m256 minus_inf = _mm256_set1_ps(-INFINITY);
    __m256 m0 = minus_inf, m1 = minus_inf;
    size_t i = gone & ~(size_t)7;
    if (i < gone) { /* up to the next multiple of 8 */
        const __m256 in = _mm256_castsi256_ps(_mm256_andnot_si256(vec_mask(gone - i), vec_mask(seen - i < 8 ? seen - i : 8)));
        m1 = _mm256_blendv_ps(minus_inf, _mm256_load_ps(s + i), in);
        i += 8;
    }
    for (; i + 16 <= seen; i += 16) {
        m0 = _mm256_max_ps(m0, _mm256_load_ps(s + i));
        m1 = _mm256_max_ps(m1, _mm256_load_ps(s + i + 8));
    }
    for (; i < seen; i += 8) {
        const __m256 is_seen = _mm256_castsi256_ps(vec_mask(seen - i < 8 ? seen - i : 8));
        m0 = _mm256_max_ps(m0, _mm256_blendv_ps(minus_inf, _mm256_load_ps(s + i), is_seen));
    }
    return _mm256_max_ps(m0, m1);
}

/* Logits begin .. n - 1 of a row, of which gone .. seen - 1 count, to P in place. Returns the sum, in parts. window: a constant, false when none is
 * gone. */
PRISM_INLINE __m256 probabilities(float *s, size_t begin, size_t n, size_t gone, size_t seen, bool window, __m256 step, __m256 unit)
{
    const __m256i ones = _mm256_set1_epi16(1), keys = _mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m256i sum = _mm256_setzero_si256();
    for (size_t i = begin; i < n; i += 16) {
        const __m256i p0 = exp2_int(_mm256_fmsub_ps(_mm256_load_ps(s + i), step, unit));
        const __m256i p1 = exp2_int(_mm256_fmsub_ps(_mm256_load_ps(s + i + 8), step, unit));
        __m256i p = vec_pack_16(p0, p1);
        if (i + 16 > seen)
            p = _mm256_and_si256(p, _mm256_cmpgt_epi16(_mm256_set1_epi16((short)((int)seen - (int)i)), keys));
        if (window && i < gone)
            p = _mm256_andnot_si256(_mm256_cmpgt_epi16(_mm256_set1_epi16((short)(gone - i)), keys), p);
        _mm256_store_si256((__m256i *)(void *)(s + i / PER_WORD), p);
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(p, ones));
    }
    return _mm256_cvtepi32_ps(sum);
}

/* Before the probabilities of a strip, whose logits begin at column `begin`: keys that its rows see, unit (log2 of a unit of P in this block; the
 * maximum that is kept is that of these), alpha and beta of its rows. Lanes of vectors are rows. Returns a bit for each row in which something
 * counts. */
static unsigned next_units(const struct state *st, const struct job *j, size_t strip, size_t begin, int32_t gone[8], int32_t seen[8], float *unit)
{
    const size_t r = strip * TILE_ROWS, at = 8 * strip, height = strip_height(j, strip);
    const float *s = st->s + r * S_LD;
    __m256 m[8];
    for (size_t i = 0; i < 8; i++) {
        gone[i] = i < height ? (int32_t)keys_gone(&j->keys, r + i) : 0;
        seen[i] = i < height ? (int32_t)keys_seen(&j->keys, r + i) : 0;
        m[i] = largest(s + (i < height ? i : 0) * S_LD, (size_t)gone[i], (size_t)seen[i]);
    }
    const __m256i begins = _mm256_load_si256((const __m256i *)(void *)gone), ends = _mm256_load_si256((const __m256i *)(void *)seen);
    const __m256 sees = _mm256_castsi256_ps(_mm256_cmpgt_epi32(ends, begins));
    const __m256 s0 = _mm256_broadcast_ss(s + begin), bad = _mm256_cmp_ps(s0, s0, _CMP_UNORD_Q); /* then every step of the block's keys is a NaN */
    const __m256 top = _mm256_blendv_ps(vec_max_8(m), _mm256_set1_ps(NAN), bad); /* no payload: vec_exp2_neg would make a number of it */
    const __m256 exact = _mm256_fmsub_ps(top, _mm256_load_ps(st->q_step + at), _mm256_set1_ps(P_BITS));
    const __m256 size = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), exact);
    const __m256 up = _mm256_fmadd_ps(size, _mm256_set1_ps(0x1p-23f), exact); /* one step: no S - unit passes P_BITS by rounding */

    /* A row in which nothing counts keeps what it has: alpha 1, beta 0. At the first block before is -inf, and alpha 0. A maximum returns its
     * second operand when one is a NaN. */
    const __m256 before = _mm256_load_ps(st->max + at), now = _mm256_max_ps(before, up);
    const __m256 counts = _mm256_cmp_ps(exact, _mm256_sub_ps(before, _mm256_set1_ps(NEGLIGIBLE)), _CMP_NLE_UQ);
    const __m256 live = _mm256_and_ps(sees, counts), alpha = vec_exp2_neg(_mm256_sub_ps(before, now));
    _mm256_store_ps(st->max + at, _mm256_blendv_ps(before, now, live));
    _mm256_store_ps(st->alpha + at, _mm256_blendv_ps(_mm256_set1_ps(1), alpha, live));
    _mm256_store_ps(st->beta + at, _mm256_and_ps(live, vec_exp2_neg(_mm256_sub_ps(up, now))));
    _mm256_store_ps(unit, up);
    return (unsigned)_mm256_movemask_ps(live);
}

static __attribute__((noinline)) bool softmax_strip(const struct state *st, const struct job *j, size_t strip, size_t begin, size_t n)
{
    _Alignas(32) float unit[8];
    _Alignas(32) int32_t gone[8], seen[8];
    const unsigned live = next_units(st, j, strip, begin, gone, seen, unit);
    for (size_t i = 0; i < strip_height(j, strip); i++) {
        const size_t r = strip * TILE_ROWS + i, at = 8 * strip + i;
        float *s = st->s + r * S_LD, *sum = st->sum + 8 * r;
        if (live >> i & 1) {
            const size_t first = (size_t)gone[i], end = (size_t)seen[i];
            const __m256 step = _mm256_broadcast_ss(st->q_step + at), u = _mm256_broadcast_ss(unit + i);
            const __m256 here = first ? probabilities(s, begin, n, first, end, true, step, u) : probabilities(s, 0, n, 0, end, false, step, u);
            const __m256 before = _mm256_mul_ps(_mm256_broadcast_ss(st->alpha + at), _mm256_load_ps(sum));
            _mm256_store_ps(sum, _mm256_fmadd_ps(_mm256_broadcast_ss(st->beta + at), here, before));
        } else {
            memset(s + begin / PER_WORD, 0, (n - begin) / PER_WORD * sizeof *s);
        }
    }
    return live != 0;
}

/* ---- values ---- */

/* Where a tile's sums go: O = alpha * O + beta * (step * sums), by rows. */
struct target {
    float *o;
    const float *alpha, *beta, *step;
    size_t next_step; /* from the steps of a chunk to those of the next */
};

PRISM_INLINE void add_row(const struct target *t, size_t row, __m256 c0, __m256 c1, __m256 step0, __m256 step1)
{
    const __m256 alpha = _mm256_broadcast_ss(t->alpha + row), beta = _mm256_broadcast_ss(t->beta + row);
    float *o = t->o + TILE_COLS * row;
    const __m256 x0 = _mm256_mul_ps(floats(c0), step0), x1 = _mm256_mul_ps(floats(c1), step1);
    _mm256_store_ps(o, _mm256_fmadd_ps(x0, beta, _mm256_mul_ps(alpha, _mm256_load_ps(o))));
    _mm256_store_ps(o + 8, _mm256_fmadd_ps(x1, beta, _mm256_mul_ps(alpha, _mm256_load_ps(o + 8))));
}

PRISM_INLINE void add_tile(const struct target *to, const struct tile *t, int rows)
{
    const __m256 step0 = _mm256_load_ps(to->step), step1 = _mm256_load_ps(to->step + 8);
    add_row(to, 0, t->c00, t->c01, step0, step1);
    add_row(to, 1, t->c10, t->c11, step0, step1);
    add_row(to, 2, t->c20, t->c21, step0, step1);
    add_row(to, 3, t->c30, t->c31, step0, step1);
    if (rows == 6) {
        add_row(to, 4, t->c40, t->c41, step0, step1);
        add_row(to, 5, t->c50, t->c51, step0, step1);
    }
}

/* Words i .. n - 1 of keys at p and v, in chunks. */
PRISM_INLINE void values_chunks(struct target to, int rows, const float *p, const float *v, size_t i, size_t n)
{
    static const float once[TILE_ROWS] = { 1, 1, 1, 1, 1, 1 }; /* alpha of the chunks after the first */
    enum { WORDS_OF_CHUNK = CHUNK / PER_WORD };
    to.step += i / WORDS_OF_CHUNK * to.next_step;
    for (size_t end; i < n; i = end, to.alpha = once, to.step += to.next_step) {
        struct tile t;
        end = i / WORDS_OF_CHUNK * WORDS_OF_CHUNK + WORDS_OF_CHUNK;
        end = n < end ? n : end;
        tile_zero(&t);
        tile_run(&t, rows, p + i, S_LD, 1, v + i * TILE_COLS, end - i);
        add_tile(&to, &t, rows);
    }
}

static __attribute__((noinline)) void values_6(const struct target *to, const float *p, const float *v, size_t i, size_t n)
{
    values_chunks(*to, 6, p, v, i, n);
}

static __attribute__((noinline)) void values_4(const struct target *to, const float *p, const float *v, size_t i, size_t n)
{
    values_chunks(*to, 4, p, v, i, n);
}

static bool values_finite(const struct job *j, const float *v)
{
    return vec_all_finite(v + v_words(j->d, j->block), j->block / chunk_keys(j->block) * pad16(j->d));
}

static void values_strip(const struct state *st, const struct job *j, size_t strip, size_t panel, const float *v, size_t begin, size_t n)
{
    const size_t r = strip * TILE_ROWS, at = 8 * strip, padded = pad16(j->d), c = panel * TILE_COLS;
    const struct target to = { st->o + r * padded + c * TILE_ROWS, st->alpha + at, st->beta + at, v + v_words(j->d, j->block) + c, padded };
    v += c * j->block / PER_WORD;
    if (strip_height(j, strip) == TILE_ROWS)
        values_6(&to, st->s + r * S_LD, v, begin / PER_WORD, n / PER_WORD);
    else
        values_4(&to, st->s + r * S_LD, v, begin / PER_WORD, n / PER_WORD);
}

/* Of the family's err: the roundings of up to 256 values of P (half a unit of 8192 of the block's largest) and of V (half of 1/4095) are
 * independent of each other: 0.29 / 8192 * sqrt(256) * 5 sigma = 3e-3, and that of the logits is less. */
#define ATTENTION_I16_ERR 3e-3f

#endif
