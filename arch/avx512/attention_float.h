/* attention_float.h - attention_body.h for words of one fp32: P = 2^(S - max), the running maximum's. Queries are multiplied by
 * scale * log2(e). */
#ifndef PRISM_AVX512_ATTENTION_FLOAT_H
#define PRISM_AVX512_ATTENTION_FLOAT_H

#include "arch/avx512/attention_body.h"

static size_t k_block_bytes(size_t d, size_t block)
{
    return block * d / PER_WORD * sizeof(float);
}

static size_t v_block_bytes(size_t d, size_t block)
{
    return block * pad_16(d) / PER_WORD * sizeof(float);
}

/* No logit may be -infinity, which has no weight: whatever passes this norm, infinity and NaN too, becomes NaN as a whole. The products of what
 * does not pass 2^126 in any sum of them (Cauchy and Schwarz). */
#define LARGEST_SQUARE 0x1p126f

static float query_factor(const struct state *st, const struct prism_attn_tile *t, size_t r)
{
    const float factor = t->scale * LOG2_E, square = sum_of_squares((const char *)(t->q + r * t->ldq), PRISM_KVF_F32, t->d);
    st->q_step[r] = 1;
    return square * factor * factor < LARGEST_SQUARE ? factor : NAN;
}

static float key_factor(float *numbers, size_t key, const char *x, enum prism_kv_format format, size_t d)
{
    (void)numbers, (void)key;
    return sum_of_squares(x, format, d) < LARGEST_SQUARE ? 1 : NAN;
}

static void pack_v(void *dst, const void *src, enum prism_kv_format format, size_t n, size_t d, size_t block)
{
    const size_t row_bytes = prism_kv_row_bytes(format, d), padded = pad_16(d);
    assert((uintptr_t)dst % 64 == 0 && n <= block && d % 8 == 0 && d <= PRISM_MAX_HEAD_DIM);
    for (size_t key = 0; key < block; key += 2)
        for (size_t c = 0; c < padded; c += 16) {
            const size_t width = padded - c / PANEL * PANEL < PANEL ? 16 : PANEL, in = d - c < 16 ? d - c : 16;
            const char *p = (const char *)src + key * row_bytes;
            float *out = (float *)dst + (c / PANEL * PANEL * block + key * width) / PER_WORD + c % PANEL;
            join(out, width, vec_load_stored(p, format, c, key < n ? in : 0), vec_load_stored(p + row_bytes, format, c, key + 1 < n ? in : 0));
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

PRISM_INLINE __m512 logits(__m512 sums, const float *number)
{
    (void)number;
    return sums;
}

PRISM_INLINE void half_tile_store(const struct half_tile *t, float *c, size_t ldc)
{
    _mm512_store_ps(c, t->c01.x);
    _mm512_store_ps(c + ldc, t->c01.y);
    _mm512_store_ps(c + 2 * ldc, t->c23.x);
    _mm512_store_ps(c + 3 * ldc, t->c23.y);
    _mm512_store_ps(c + 4 * ldc, t->c45.x);
    _mm512_store_ps(c + 5 * ldc, t->c45.y);
    _mm512_store_ps(c + 6 * ldc, t->c67.x);
    _mm512_store_ps(c + 7 * ldc, t->c67.y);
}

/* Key i of 16 rows (r ..) of S: -inf for those that do not see it. */
PRISM_INLINE __m512 seen_or_none(float *s, const struct job *j, size_t r, size_t i)
{
    const __m512 x = _mm512_mask_mov_ps(_mm512_set1_ps(-INFINITY), rows_that_see(&j->keys, r, i), _mm512_load_ps(s + i * TILE_ROWS));
    _mm512_store_ps(s + i * TILE_ROWS, x);
    return x;
}

static __attribute__((noinline)) void softmax_16(const struct state *st, const struct job *j, size_t r, const struct span *keys)
{
    const __m512 minus_inf = _mm512_set1_ps(-INFINITY);
    float *s = st->s + r;
    __m512 top = largest(st, j, r, keys);
    for (size_t i = keys->begin; i < keys->all; i++)
        top = _mm512_max_ps(top, seen_or_none(s, j, r, i));
    for (size_t i = keys->most; i < keys->end; i++)
        top = _mm512_max_ps(top, seen_or_none(s, j, r, i));
    const __m512 before = _mm512_load_ps(st->max + r), now = _mm512_max_ps(before, top);
    /* A row that has seen nothing yet: -inf - 0 is -inf, whose power is 0; -inf - -inf would be NaN. */
    const __m512 max = _mm512_mask_mov_ps(now, _mm512_cmp_ps_mask(now, minus_inf, _CMP_EQ_OQ), _mm512_setzero_ps());
    __m512 sum = _mm512_setzero_ps();
    for (size_t i = keys->begin, end = keys->end; i < end; i += 2) {
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

static __attribute__((noinline)) void values_8x16(float *o, const float *alpha, const float *p, const float *v, size_t n, const char *ahead)
{
    struct half_tile t = { pair_scaled_2(o, alpha), pair_scaled_2(o + 32, alpha + 2), pair_scaled_2(o + 64, alpha + 4),
                           pair_scaled_2(o + 96, alpha + 6) };
    half_tile_run(&t, p, TILE_ROWS, v, 16, n, ahead);
    half_tile_store(&t, o, 16);
}

static void values_group(const struct state *st, const struct job *j, const float *v, size_t r, size_t c, size_t i, size_t n, const char *ahead)
{
    const size_t padded = pad_16(j->d), width = padded - c < PANEL ? 16 : PANEL;
    (width == 16 ? values_8x16 : values_8x32)(st->o + r * padded + c * GROUP, st->alpha + r, st->s + r + i * TILE_ROWS,
                                              v + c * j->block / PER_WORD + i * width, n - i, ahead);
}

#endif
