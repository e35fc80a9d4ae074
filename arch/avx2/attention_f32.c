/* attention_f32.c - prefill attention in fp32: the algorithm is attention_body.h. Queries are multiplied by scale * log2(e). */
#include "arch/avx2/words_f32.h"

#include "arch/avx2/attention_body.h"

static size_t k_block_bytes(size_t d, size_t block)
{
    return d * block * sizeof(float);
}

static size_t v_block_bytes(size_t d, size_t block)
{
    return pad16(d) * block * sizeof(float);
}

static void pack_k(void *dst, const void *src, enum prism_kv_format format, size_t n, size_t d, size_t block)
{
    assert((uintptr_t)dst % 64 == 0 && n <= block && d % 8 == 0);
    const enum prism_type type = prism_kv_stored(format);
    const size_t row_bytes = prism_kv_row_bytes(format, d);
    for (size_t i = 0; i < block; i += 16) {
        uint32_t *panel = (uint32_t *)dst + i * d;
        if (i < n)
            prism_pack_w_float(panel, 16, false, prism_kernels_avx2.to_f32, (const char *)src + i * row_bytes, row_bytes, type,
                               n - i < 16 ? n - i : 16, d);
        else
            memset(panel, 0, 16 * d * sizeof(float));
    }
}

static void pack_v(void *dst, const void *src, enum prism_kv_format format, size_t n, size_t d, size_t block)
{
    assert((uintptr_t)dst % 64 == 0 && n <= block && d % 8 == 0 && d <= PRISM_MAX_HEAD_DIM);
    const enum prism_type type = prism_kv_stored(format);
    const size_t row_bytes = prism_kv_row_bytes(format, d);
    float row[PRISM_MAX_HEAD_DIM];
    memset(row, 0, sizeof row);
    for (size_t i = 0; i < block; i++) {
        if (i < n)
            prism_kernels_avx2.to_f32[type](row, (const char *)src + i * row_bytes, d);
        else if (i == n)
            memset(row, 0, sizeof row);
        for (size_t j = 0; j < d; j += 16)
            memcpy((float *)dst + j * block + i * 16, row + j, 16 * sizeof *row);
    }
}

static void query_words(const struct state *st, const struct prism_attn_tile *t, size_t r, float *words)
{
    const __m256 scale = _mm256_set1_ps(t->scale * LOG2_E);
    st->q_step[r / TILE_ROWS * 8 + r % TILE_ROWS] = 1;
    for (size_t i = 0; i < t->d; i += 8)
        _mm256_store_ps(words + i, _mm256_mul_ps(scale, _mm256_loadu_ps(t->q + r * t->ldq + i)));
}

PRISM_INLINE void put_row(float *s, __m256 c0, __m256 c1) { tile_store_row(s, vec_finite_or_nan(c0), vec_finite_or_nan(c1)); }

PRISM_INLINE void put_scores(float *s, const struct tile *t, int rows, const float *numbers)
{
    (void)numbers;
    put_row(s, t->c00, t->c01);
    put_row(s + S_LD, t->c10, t->c11);
    put_row(s + 2 * S_LD, t->c20, t->c21);
    put_row(s + 3 * S_LD, t->c30, t->c31);
    if (rows == 6) {
        put_row(s + 4 * S_LD, t->c40, t->c41);
        put_row(s + 5 * S_LD, t->c50, t->c51);
    }
}

/* A NaN may be lost in a maximum, but not among probabilities; a row that has none must be looked through. */
static bool has_nan(const float *s, size_t n)
{
    __m256 nan = _mm256_setzero_ps();
    for (size_t i = 0; i < n; i += 8)
        nan = _mm256_or_ps(nan, _mm256_cmp_ps(_mm256_load_ps(s + i), _mm256_load_ps(s + i), _CMP_UNORD_Q));
    return _mm256_movemask_ps(nan) != 0;
}

/* One row of S, n columns of which those from `gone` to `seen` - 1 count. Returns false when nothing in it does. */
static __attribute__((noinline)) bool softmax_row(float *s, size_t n, size_t gone, size_t seen, float *row_max, float *row_sum, float *alpha)
{
    const __m256 minus_inf = _mm256_set1_ps(-INFINITY);
    for (size_t i = 0; i < gone; i += 8) {
        const __m256 is_gone = _mm256_castsi256_ps(vec_mask(gone - i < 8 ? gone - i : 8));
        _mm256_store_ps(s + i, _mm256_blendv_ps(_mm256_load_ps(s + i), minus_inf, is_gone));
    }
    for (size_t i = seen & ~(size_t)7; i < n; i += 8) {
        const __m256 is_seen = _mm256_castsi256_ps(vec_mask(i < seen ? seen - i : 0));
        _mm256_store_ps(s + i, _mm256_blendv_ps(minus_inf, _mm256_load_ps(s + i), is_seen));
    }
    __m256 m0 = minus_inf, m1 = minus_inf;
    for (size_t i = 0; i < n; i += 16) {
        m0 = _mm256_max_ps(m0, _mm256_load_ps(s + i));
        m1 = _mm256_max_ps(m1, _mm256_load_ps(s + i + 8));
    }
    const float here = vec_max(_mm256_max_ps(m0, m1)), before = *row_max;
    if (here <= before - NEGLIGIBLE && !has_nan(s, n)) { /* also: all hidden */
        memset(s, 0, n * sizeof *s);
        *alpha = 1.0f;
        return false;
    }
    const __m256 m = _mm256_set1_ps(here > before ? here : before);
    __m256 sum = _mm256_setzero_ps();
    for (size_t i = 0; i < n; i += 8) {
        __m256 p = vec_exp2_neg(_mm256_sub_ps(_mm256_load_ps(s + i), m));
        _mm256_store_ps(s + i, p);
        sum = _mm256_add_ps(sum, p);
    }
    const __m256 a = vec_exp2_neg(_mm256_sub_ps(_mm256_set1_ps(before), m));
    _mm256_store_ps(row_sum, _mm256_fmadd_ps(a, _mm256_load_ps(row_sum), sum));
    *row_max = _mm256_cvtss_f32(m);
    *alpha = _mm256_cvtss_f32(a);
    return true;
}

static bool softmax_strip(const struct state *st, const struct job *j, size_t strip, size_t begin, size_t n)
{
    bool live = false;
    for (size_t i = 0; i < strip_height(j, strip); i++) {
        const size_t r = strip * TILE_ROWS + i, at = 8 * strip + i;
        live |= softmax_row(st->s + r * S_LD + begin, n - begin, keys_gone(&j->keys, r) - begin, keys_seen(&j->keys, r) - begin, st->max + at,
                            st->sum + 8 * r, st->alpha + at);
    }
    return live;
}

/* O[rows][16] = alpha * O + P[rows][n] . V[n][16]. */
static __attribute__((noinline)) void values_6(float *o, const float *alpha, const float *p, const float *v, size_t n)
{
    struct tile t;
    tile_load_scaled(&t, 6, o, alpha);
    tile_run(&t, 6, p, S_LD, 1, v, n);
    tile_store(&t, 6, o, TILE_COLS);
}

static __attribute__((noinline)) void values_4(float *o, const float *alpha, const float *p, const float *v, size_t n)
{
    struct tile t;
    tile_load_scaled(&t, 4, o, alpha);
    tile_run(&t, 4, p, S_LD, 1, v, n);
    tile_store(&t, 4, o, TILE_COLS);
}

static bool values_finite(const struct job *j, const float *v)
{
    return vec_all_finite(v, v_block_bytes(j->d, j->block) / sizeof *v);
}

static void values_strip(const struct state *st, const struct job *j, size_t strip, size_t panel, const float *v, size_t begin, size_t n)
{
    const float *p = st->s + strip * TILE_ROWS * S_LD + begin;
    float *o = st->o + strip * TILE_ROWS * pad16(j->d) + panel * TILE_ROWS * TILE_COLS;
    v += panel * TILE_COLS * j->block + begin * TILE_COLS;
    if (strip_height(j, strip) == TILE_ROWS)
        values_6(o, st->alpha + 8 * strip, p, v, n - begin);
    else
        values_4(o, st->alpha + 8 * strip, p, v, n - begin);
}

/* err: the rounding errors of d <= 512 products add up like a random walk, sqrt(512) * 2^-24 * 30 = 4e-5 in a logit of 30, and
 * twice that in the ratio of two probabilities; exp2 (2e-7) and the sums of P.V are far below. */
const struct prism_attention prism_attention_f32_avx2 = {
    .name = "f32", .tile_rows = Q_ROWS,
    .k_block_bytes = k_block_bytes, .v_block_bytes = v_block_bytes, .tile_scratch = tile_scratch,
    .pack_k = pack_k, .pack_v = pack_v, .tile = attention_tile, .err = 1e-4f,
};
