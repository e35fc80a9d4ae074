/* attention_i16.c - prefill attention on int16 with vpdpwssd, which does twice the multiply-adds of an FMA. What is rounded, and why no sum
 * overflows, is said in arch/generic/attention_i16.c; the walk is arch/avx512/attention_body.h.
 *
 * Behind the words of a K block lie the steps of its keys, [block]; behind those of a V block [chunk][columns, padded to 16]. */
#include "arch/avx512vnni/words.h"

#include "arch/avx512/attention_body.h"
#include "arch/avx512vnni/avx512vnni.h"
#include "arch/generic/attention_i16.h"

static size_t v_words(size_t d, size_t block) { return block * pad_16(d) / PER_WORD; }

static size_t k_block_bytes(size_t d, size_t block)
{
    return (block * d / PER_WORD + block) * sizeof(float); /* 32 * (d / 2 + 1) words at least: a multiple of 64 bytes */
}

static size_t v_block_bytes(size_t d, size_t block)
{
    return (v_words(d, block) + block / chunk_keys(block) * pad_16(d)) * sizeof(float);
}

/* ---- packing ---- */

static float query_factor(const struct state *st, const struct prism_attn_tile *t, size_t r)
{
    const float factor = norm_factor(sum_of_squares((const char *)(t->q + r * t->ldq), PRISM_KVF_F32, t->d), st->q_step + r);
    st->q_step[r] *= t->scale * LOG2_E;
    return factor;
}

static float key_factor(float *numbers, size_t key, const char *x, enum prism_kv_format format, size_t d)
{
    return norm_factor(sum_of_squares(x, format, d), numbers + key);
}

static void pack_keys(void *dst, const void *src, enum prism_kv_format format, size_t n, size_t d, size_t block)
{
    float *step = (float *)dst + block * d / PER_WORD;
    memset(step, 0, block * sizeof *step);
    pack_k(dst, src, format, n, d, block);
    spread_nan(step, n, block);
}

/* `chunk` keys from the row at p on, of the 16 columns from c on, of which `in` exist, to words `width` apart. n: keys of the block that exist. */
static void pack_columns(float *out, float *step, size_t width, const char *p, size_t row_bytes, enum prism_kv_format format, size_t c, size_t in,
                         size_t n, size_t chunk)
{
    __m512 max = _mm512_setzero_ps();
    __mmask16 nan = 0;
    for (size_t key = 0; key < chunk && key < n; key++) {
        const __m512 v = vec_load_stored(p + key * row_bytes, format, c, in);
        max = _mm512_max_ps(max, _mm512_abs_ps(v));
        nan |= _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    }
    const __mmask16 normal = _mm512_cmp_ps_mask(max, _mm512_set1_ps(LEAST_V), _CMP_GE_OQ);
    const __m512 inverse = _mm512_maskz_div_ps(normal, _mm512_set1_ps(V_MAX), max);
    const __m512 step_or_0 = _mm512_maskz_div_ps(normal, max, _mm512_set1_ps(V_MAX));
    _mm512_store_ps(step, _mm512_mask_mov_ps(step_or_0, nan, _mm512_set1_ps(NAN)));
    for (size_t key = 0; key < chunk; key += 2, out += width) {
        const __m512 v0 = vec_load_stored(p + key * row_bytes, format, c, key < n ? in : 0);
        const __m512 v1 = vec_load_stored(p + (key + 1) * row_bytes, format, c, key + 1 < n ? in : 0);
        const __m512i q0 = _mm512_cvtps_epi32(_mm512_mul_ps(v0, inverse)), q1 = _mm512_cvtps_epi32(_mm512_mul_ps(v1, inverse));
        _mm512_store_si512(out, join(_mm512_and_si512(q0, _mm512_set1_epi32(0xffff)), q1));
    }
}

static void pack_v(void *dst, const void *src, enum prism_kv_format format, size_t n, size_t d, size_t block)
{
    const size_t row_bytes = prism_kv_row_bytes(format, d), padded = pad_16(d), chunk = chunk_keys(block);
    float *steps = (float *)dst + v_words(d, block);
    assert((uintptr_t)dst % 64 == 0 && n <= block && d % 8 == 0 && d <= PRISM_MAX_HEAD_DIM);
    for (size_t key = 0; key < block; key += chunk)
        for (size_t c = 0; c < padded; c += 16) {
            const size_t width = padded - c / PANEL * PANEL < PANEL ? 16 : PANEL;
            float *out = (float *)dst + (c / PANEL * PANEL * block + key * width) / PER_WORD + c % PANEL;
            const char *p = (const char *)src + (key < n ? key * row_bytes : 0);
            pack_columns(out, steps + key / chunk * padded + c, width, p, row_bytes, format, c, d - c < 16 ? d - c : 16,
                         key < n ? n - key : 0, chunk);
        }
}

/* ---- scores ---- */

PRISM_INLINE __m512 floats(__m512 sums) { return _mm512_cvtepi32_ps(_mm512_castps_si512(sums)); }

/* In units of the queries' steps. */
PRISM_INLINE __m512 logits(__m512 sums, const float *step) { return _mm512_mul_ps(_mm512_set1_ps(*step), floats(sums)); }

/* ---- probabilities ---- */

/* 2^x rounded to an integer, x <= 13: x = n + f as in vec_exp2_neg, 2^f by a polynomial of degree 4 (relative error 4.5e-6, 0.04 of a unit at
 * most; none at 0). Any x below -2 gives 0. */
PRISM_INLINE __m512i exp2_int(__m512 x)
{
    const __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), f = _mm512_sub_ps(x, n);
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(0.00981465727f), f, _mm512_set1_ps(0.0559772737f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.240200251f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.693114638f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
    return _mm512_cvtps_epi32(_mm512_scalef_ps(p, n));
}

/* Words of P of keys i, i + 1 replace their logits; masks: rows that see them. */
PRISM_INLINE __m512i probabilities(float *s, size_t i, __m512 step, __m512 unit, __mmask16 see0, __mmask16 see1)
{
    const __m512i p0 = exp2_int(_mm512_fmsub_ps(_mm512_load_ps(s + i * TILE_ROWS), step, unit));
    const __m512i p1 = exp2_int(_mm512_fmsub_ps(_mm512_load_ps(s + (i + 1) * TILE_ROWS), step, unit));
    const __m512i words = join(_mm512_maskz_mov_epi32(see0, p0), _mm512_maskz_mov_epi32(see1, p1));
    _mm512_store_si512(s + i / 2 * TILE_ROWS, words);
    return words;
}

/* For keys i .. end - 1, which not all of 16 rows (r ..) see: the larger of top and their logits; the sum with their P, which replace them. */
static __attribute__((noinline)) __m512 largest_of_some(__m512 top, const struct state *st, const struct job *j, size_t r, size_t i, size_t end)
{
    for (; i < end; i++)
        top = _mm512_mask_max_ps(top, rows_that_see(&j->keys, r, i), top, _mm512_load_ps(st->s + r + i * TILE_ROWS));
    return top;
}

static __attribute__((noinline)) __m512i sum_of_some(__m512i sum, const struct state *st, const struct job *j, size_t r, size_t i, size_t end,
                                                     __m512 step, __m512 unit)
{
    for (; i < end; i += 2) {
        const __mmask16 see0 = rows_that_see(&j->keys, r, i), see1 = rows_that_see(&j->keys, r, i + 1);
        sum = _mm512_dpwssd_epi32(sum, probabilities(st->s + r, i, step, unit, see0, see1), _mm512_set1_epi16(1));
    }
    return sum;
}

/* The maximum that is kept is that of log2 of a block's unit of P. */
static __attribute__((noinline)) void softmax_16(const struct state *st, const struct job *j, size_t r, const struct span *keys)
{
    const __m512 step = _mm512_load_ps(st->q_step + r), before = _mm512_load_ps(st->max + r);
    float *s = st->s + r;

    __m512 top = largest(st, j, r, keys); /* a NaN stays: vmaxps returns its second operand then */
    if (keys->begin < keys->all)
        top = largest_of_some(top, st, j, r, keys->begin, keys->all);
    if (keys->most < keys->end)
        top = largest_of_some(top, st, j, r, keys->most, keys->end);
    const __mmask16 sees = _mm512_cmp_ps_mask(top, _mm512_set1_ps(-INFINITY), _CMP_NEQ_UQ);
    __m512 unit = _mm512_maskz_mov_ps(sees, _mm512_fmsub_ps(top, step, _mm512_set1_ps(P_BITS)));
    unit = _mm512_fmadd_ps(_mm512_abs_ps(unit), _mm512_set1_ps(0x1p-23f), unit); /* one step up: no S - unit passes P_BITS by rounding */
    const __m512 now = _mm512_mask_max_ps(before, sees, before, unit);

    const __m512i ones = _mm512_set1_epi16(1);
    __m512i sum = _mm512_setzero_si512();
    if (keys->begin < keys->all)
        sum = sum_of_some(sum, st, j, r, keys->begin, keys->all, step, unit);
    for (size_t i = keys->all, end = keys->most; i < end; i += 2)
        sum = _mm512_dpwssd_epi32(sum, probabilities(s, i, step, unit, 0xffff, 0xffff), ones);
    if (keys->most < keys->end)
        sum = sum_of_some(sum, st, j, r, keys->most, keys->end, step, unit);

    /* A row that sees nothing keeps what it has: alpha 1, beta 0. At the first block before is -inf, and alpha 0. */
    const __m512 alpha = vec_exp2_neg(_mm512_maskz_sub_ps(sees, before, now));
    const __m512 beta = _mm512_maskz_mov_ps(sees, vec_exp2_neg(_mm512_sub_ps(unit, now)));
    _mm512_store_ps(st->max + r, now);
    _mm512_store_ps(st->alpha + r, alpha);
    _mm512_store_ps(st->beta + r, beta);
    _mm512_store_ps(st->sum + r, _mm512_fmadd_ps(alpha, _mm512_load_ps(st->sum + r), _mm512_mul_ps(beta, _mm512_cvtepi32_ps(sum))));
}

/* ---- values ---- */

/* Where a tile's sums go: O += beta * (step * sums), by rows. */
struct target {
    float *o;
    const float *beta, *step;
};

PRISM_INLINE void add_vector(float *o, __m512 sums, __m512 step, __m512 beta)
{
    _mm512_store_ps(o, _mm512_fmadd_ps(_mm512_mul_ps(floats(sums), step), beta, _mm512_load_ps(o)));
}

PRISM_INLINE void add_row(const struct target *t, size_t row, struct pair sums, struct pair step)
{
    const __m512 beta = _mm512_set1_ps(t->beta[row]);
    add_vector(t->o + 32 * row, sums.x, step.x, beta);
    add_vector(t->o + 32 * row + 16, sums.y, step.y, beta);
}

/* Rows row, row + 1 of 16 columns. */
PRISM_INLINE void add_two_rows(const struct target *t, size_t row, struct pair sums, __m512 step)
{
    add_vector(t->o + 16 * row, sums.x, step, _mm512_set1_ps(t->beta[row]));
    add_vector(t->o + 16 * row + 16, sums.y, step, _mm512_set1_ps(t->beta[row + 1]));
}

static __attribute__((noinline)) void values_8x32(const struct target *to, const float *p, const float *v, size_t n, const char *ahead)
{
    const struct target t = *to;
    struct tile s = tile_zero();
    n -= LAST;
    tile_run(&s, p, TILE_ROWS, v, n, ahead);
    _mm_prefetch(ahead + n * FETCH_STEP, _MM_HINT_T1);
    const struct last l = last_words(p + n * TILE_ROWS, TILE_ROWS, v + n * PANEL);
    const struct pair step = pair_load(t.step, t.step + 16);
    add_row(&t, 0, last_of_row(&l, 0, s.c0), step);
    add_row(&t, 1, last_of_row(&l, 1, s.c1), step);
    add_row(&t, 2, last_of_row(&l, 2, s.c2), step);
    add_row(&t, 3, last_of_row(&l, 3, s.c3), step);
    add_row(&t, 4, last_of_row(&l, 4, s.c4), step);
    add_row(&t, 5, last_of_row(&l, 5, s.c5), step);
    add_row(&t, 6, last_of_row(&l, 6, s.c6), step);
    add_row(&t, 7, last_of_row(&l, 7, s.c7), step);
}

static __attribute__((noinline)) void values_8x16(const struct target *to, const float *p, const float *v, size_t n, const char *ahead)
{
    const __m512 step = _mm512_load_ps(to->step);
    struct half_tile t = half_tile_zero();
    half_tile_run(&t, p, TILE_ROWS, v, 16, n, ahead);
    add_two_rows(to, 0, t.c01, step);
    add_two_rows(to, 2, t.c23, step);
    add_two_rows(to, 4, t.c45, step);
    add_two_rows(to, 6, t.c67, step);
}

/* O of 8 rows, `width` columns each, times alpha. */
static __attribute__((noinline)) void rescale(float *o, const float *alpha, size_t width)
{
    for (size_t i = 0; i < GROUP * width; i += 16)
        _mm512_store_ps(o + i, _mm512_mul_ps(_mm512_set1_ps(alpha[i / width]), _mm512_load_ps(o + i)));
}

static void values_group(const struct state *st, const struct job *j, const float *v, size_t r, size_t c, size_t i, size_t n, const char *ahead)
{
    const size_t padded = pad_16(j->d), width = padded - c < PANEL ? 16 : PANEL, chunk = chunk_keys(j->block) / PER_WORD;
    struct target to = { st->o + r * padded + c * GROUP, st->beta + r, v + v_words(j->d, j->block) + c };

    if (_mm256_cmp_ps_mask(_mm256_load_ps(st->alpha + r), _mm256_set1_ps(1), _CMP_NEQ_UQ))
        rescale(to.o, st->alpha + r, width);
    v += c * j->block / PER_WORD;
    i = i / LAST * LAST; /* P of the keys that no row of the group sees are zeros */
    n = (n + LAST - 1) / LAST * LAST;
    const size_t first = i == 0 ? 0 : i / chunk; /* the chunk that holds word i */
    size_t end = (first + 1) * chunk;
    to.step += first * padded;
    for (; i < n; ahead += (end - i) * FETCH_STEP, i = end, end += chunk, to.step += padded)
        (width == 16 ? values_8x16 : values_8x32)(&to, st->s + r + i * TILE_ROWS, v + i * width, (n < end ? n : end) - i, ahead);
}

/* err: the roundings of up to 256 values of P (half a unit of 8192 of the block's largest) and of V (half of 1/4095) are independent of each
 * other: 0.29 / 8192 * sqrt(256) * 5 sigma = 3e-3, and that of the logits is less. */
const struct prism_attention prism_attention_i16_avx512vnni = {
    .name = "i16", .tile_rows = TILE_ROWS,
    .k_block_bytes = k_block_bytes, .v_block_bytes = v_block_bytes, .tile_scratch = tile_scratch,
    .pack_k = pack_keys, .pack_v = pack_v, .tile = attend, .err = 3e-3f,
};
