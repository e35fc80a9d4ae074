/* attention.c - prefill attention in fp32: one query tile of one head against a list of key blocks, exact online softmax
 * (Milakov & Gimelshein 2018; tiling as in Dao et al. 2022, "FlashAttention").
 *
 * Layouts. K: panels of 16 keys, [d][16]. V: panels of 16 dimensions, [block keys][16], the last one zero-filled when d % 16 is
 * 8. Q: strips of 6 query rows, [d][6], times scale * log2(e): logits are powers of two; a last strip of 1..4 rows is [d][4].
 * Per block: S = Q.K^T by key panels (a key panel stays in L1 while the strips pass), softmax of the rows of S in place, then O
 * = alpha * O + P.V by value panels. S, O and the row states live in the scratch.
 *
 * Every row's arithmetic is its own: logits and outputs are FMA chains over d and over the keys of a block, what a neighbour
 * row adds to the range are exact zeros. Keys right of a strip's diagonal are skipped in steps of 16. */
#include "arch/avx2/avx2.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "arch/avx2/tile.h"
#include "arch/generic/pack.h"

#define Q_ROWS 64
#define N_STRIPS 11   /* 10 of six rows, one of four */
#define MAX_BLOCK 256
#define S_LD 272      /* floats between rows of S: a constant (six rows addressed by offsets) and no power of two (L1 sets) */

/* Powers of two: a block in which all logits of a row lie this far below its running maximum is taken as zero for the row. What
 * is dropped is below keys * 2^-50 of the sum: under 2^-30 for a million keys, beyond fp32. */
#define NEGLIGIBLE 50.0f

/* The scratch of one tile. */
struct state {
    float *q;     /* strips, strip i at 6 * i * d */
    float *s;     /* [66][S_LD]: logits, then probabilities */
    float *o;     /* [strip][padded d / 16][6][16], not normalised */
    float *sum;   /* [66][8] sums of probabilities, per lane */
    float *max;   /* [66] */
    float *alpha; /* [66] factor of the older blocks */
};

static size_t pad16(size_t d)
{
    return (d + 15) & ~(size_t)15;
}

static struct state state_at(void *scratch, size_t d)
{
    const size_t rows = N_STRIPS * TILE_ROWS;
    struct state st;
    st.q = scratch;
    st.s = st.q + rows * pad16(d);
    st.o = st.s + rows * S_LD;
    st.sum = st.o + rows * pad16(d);
    st.max = st.sum + rows * 8;
    st.alpha = st.max + 80; /* 66, up to a multiple of 16 */
    return st;
}

static size_t tile_scratch(size_t d, size_t block)
{
    (void)block;
    const size_t rows = N_STRIPS * TILE_ROWS;
    return (rows * (2 * pad16(d) + S_LD + 8) + 2 * 80) * sizeof(float);
}

static size_t k_block_bytes(size_t d, size_t block)
{
    return d * block * sizeof(float);
}

static size_t v_block_bytes(size_t d, size_t block)
{
    return pad16(d) * block * sizeof(float);
}

static enum prism_type stored_type(enum prism_kv_format format)
{
    return format == PRISM_KVF_F16 ? PRISM_F16 : format == PRISM_KVF_BF16 ? PRISM_BF16 : PRISM_F32;
}

static void pack_k(void *dst, const void *src, enum prism_kv_format format, size_t n, size_t d, size_t block)
{
    assert((uintptr_t)dst % 64 == 0 && n <= block && d % 8 == 0);
    const enum prism_type type = stored_type(format);
    const size_t row_bytes = prism_row_bytes(type, d);
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
    const enum prism_type type = stored_type(format);
    const size_t row_bytes = prism_row_bytes(type, d);
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

/* S[rows][16] = one strip of Q against one key panel. */
static __attribute__((noinline)) void scores_6(float *s, const float *q, const float *k, size_t d)
{
    struct tile t;
    tile_zero(&t);
    tile_run(&t, 6, q, 1, 6, k, d);
    tile_store(&t, 6, s, S_LD);
}

static __attribute__((noinline)) void scores_4(float *s, const float *q, const float *k, size_t d)
{
    struct tile t;
    tile_zero(&t);
    tile_run(&t, 4, q, 1, 4, k, d);
    tile_store(&t, 4, s, S_LD);
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

/* One row of S, n columns (a multiple of 16) of which the first `seen` count: probabilities in place, the row's state moved
 * on. Returns false, with the row zeroed, when nothing in it counts. */
static __attribute__((noinline)) bool softmax_row(float *s, size_t n, size_t seen, float *row_max, float *row_sum, float *alpha)
{
    const __m256 minus_inf = _mm256_set1_ps(-INFINITY);
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
    if (here <= before - NEGLIGIBLE) { /* also: all hidden */
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

/* One tile against one block. */
struct job {
    size_t rows, strips, d, block;
    ptrdiff_t first;  /* keys of the block that row 0 sees; row r sees r more. Negative: the block lies behind row 0 */
    size_t keys;      /* keys of the block that the last row sees */
};

/* Keys of the block that row r sees. Rows that the tile lacks follow the last one. */
static size_t keys_seen(const struct job *j, size_t r)
{
    const ptrdiff_t seen = j->first + (ptrdiff_t)(r < j->rows ? r : j->rows - 1);
    return seen < 0 ? 0 : (size_t)seen > j->block ? j->block : (size_t)seen;
}

static size_t strip_height(const struct job *j, size_t strip)
{
    return j->rows - strip * TILE_ROWS <= 4 ? 4 : TILE_ROWS;
}

/* Columns of S that the rows of a strip need: what its last row sees, in steps of 16. */
static size_t strip_columns(const struct job *j, size_t strip)
{
    return (keys_seen(j, strip * TILE_ROWS + TILE_ROWS - 1) + 15) & ~(size_t)15;
}

/* S from the keys at k; v is needed next. */
static void scores(const struct state *st, const struct job *j, const float *k, const float *v)
{
    for (size_t i = 0; i < j->keys; i += 16)
        for (size_t strip = 0; strip < j->strips; strip++) {
            vec_fetch_ahead(i + 16 < j->keys ? k + (i + 16) * j->d : v, 16 * j->d * sizeof(float), strip, j->strips);
            if (strip_columns(j, strip) <= i)
                continue;
            const float *q = st->q + strip * TILE_ROWS * j->d;
            float *s = st->s + strip * TILE_ROWS * S_LD + i;
            if (strip_height(j, strip) == TILE_ROWS)
                scores_6(s, q, k + i * j->d, j->d);
            else
                scores_4(s, q, k + i * j->d, j->d);
        }
}

/* Returns the strips in which something counts, one bit each. */
static unsigned softmax(const struct state *st, const struct job *j)
{
    unsigned live = 0;
    for (size_t strip = 0; strip < j->strips; strip++) {
        const size_t n = strip_columns(j, strip), height = strip_height(j, strip);
        for (size_t r = strip * TILE_ROWS; n && r < strip * TILE_ROWS + height; r++)
            if (softmax_row(st->s + r * S_LD, n, keys_seen(j, r), st->max + r, st->sum + 8 * r, st->alpha + r))
                live |= 1u << strip;
    }
    return live;
}

/* O from P and the values at v; k is needed next. live: strips that have to be added. */
static void values(const struct state *st, const struct job *j, const float *v, const float *k, unsigned live)
{
    const size_t panels = pad16(j->d) / TILE_COLS, v_panel = j->block * TILE_COLS;
    for (size_t panel = 0; panel < panels; panel++, v += v_panel)
        for (size_t strip = 0; strip < j->strips; strip++) {
            vec_fetch_ahead(panel + 1 < panels ? v + v_panel : k, v_panel * sizeof(float), strip, j->strips);
            if (!(live >> strip & 1))
                continue;
            const size_t r = strip * TILE_ROWS;
            float *o = st->o + (strip * panels + panel) * TILE_ROWS * TILE_COLS;
            if (strip_height(j, strip) == TILE_ROWS)
                values_6(o, st->alpha + r, st->s + r * S_LD, v, strip_columns(j, strip));
            else
                values_4(o, st->alpha + r, st->s + r * S_LD, v, strip_columns(j, strip));
        }
}

/* Query strips times scale * log2(e); empty sums. */
static void start(const struct state *st, const struct job *j, const struct prism_attn_tile *t)
{
    const __m256 scale = _mm256_set1_ps(t->scale * 0x1.715476p0f);
    for (size_t strip = 0; strip < j->strips; strip++) {
        const size_t r = strip * TILE_ROWS, rows = t->rows - r < TILE_ROWS ? t->rows - r : TILE_ROWS;
        float *q = st->q + r * t->d;
        if (strip_height(j, strip) == TILE_ROWS)
            prism_pack_a_float((uint32_t *)q, TILE_ROWS, false, t->q + r * t->ldq, t->ldq, rows, t->d);
        else
            prism_pack_a_float((uint32_t *)q, 4, false, t->q + r * t->ldq, t->ldq, rows, t->d);
        for (size_t i = 0; i < strip_height(j, strip) * t->d; i += 8)
            _mm256_store_ps(q + i, _mm256_mul_ps(scale, _mm256_load_ps(q + i)));
    }
    const size_t rows = j->strips * TILE_ROWS;
    memset(st->o, 0, rows * pad16(t->d) * sizeof *st->o);
    memset(st->sum, 0, rows * 8 * sizeof *st->sum);
    for (size_t r = 0; r < rows; r++)
        st->max[r] = -INFINITY;
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
    struct job j = {.rows = t->rows, .strips = (t->rows + TILE_ROWS - 1) / TILE_ROWS, .d = t->d, .block = t->block};

    start(&st, &j, t);
    const size_t k_size = k_block_bytes(t->d, t->block) / sizeof(float), v_size = v_block_bytes(t->d, t->block) / sizeof(float);
    for (size_t i = 0; i < t->n_blocks; i++) {
        const size_t b = t->blocks[i], next = t->blocks[i + 1 < t->n_blocks ? i + 1 : i];
        const float *k = (const float *)t->k + b * k_size, *v = (const float *)t->v + b * v_size;
        j.first = (ptrdiff_t)(t->q_pos + 1) - (ptrdiff_t)(b * t->block);
        j.keys = keys_seen(&j, t->rows - 1);
        scores(&st, &j, k, v);
        const unsigned live = softmax(&st, &j);
        values(&st, &j, v, (const float *)t->k + next * k_size, live);
    }
    finish(&st, t);
}

/* err: the rounding errors of d <= 256 products add up like a random walk, sqrt(256) * 2^-24 * 30 = 3e-5 in a logit of 30, and
 * twice that in the ratio of two probabilities; exp2 (2e-7) and the sums of P.V are far below. */
const struct prism_attention prism_attention_f32_avx2 = {
    .name = "f32", .tile_rows = Q_ROWS,
    .k_block_bytes = k_block_bytes, .v_block_bytes = v_block_bytes, .tile_scratch = tile_scratch,
    .pack_k = pack_k, .pack_v = pack_v, .tile = attention_tile, .err = 1e-4f,
};
