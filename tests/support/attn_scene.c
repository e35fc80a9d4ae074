/* attn_scene.c - see attn_scene.h. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/attn_scene.h"
#include "tests/support/kernel_test.h"

const char *const attn_logit_names[N_ATTN_LOGITS] = { "moderate", "equal", "peaked", "huge" };

/* Logits are up to 30, or up to the smaller cap. */
struct attn_extras attn_scene_extras(size_t i, size_t w, size_t block)
{
    static const float no_sink = -INFINITY, small_sink = -3.5f, sink = 2.25f, large_sink = 40;
    static const struct attn_extras extras[] = {
        { .softcap = 0 }, { .softcap = 4 }, { .sink = &sink }, { .softcap = 50, .sink = &small_sink }, { .softcap = 50 },
        { .softcap = 4, .sink = &no_sink }, { .sink = &large_sink }, { .softcap = 4, .sink = &sink }, { .sink = &no_sink },
    };
    const size_t windows[N_ATTN_WINDOWS] = { 0, 1, 2, 24, 128, block - 1, block, block + 1, SIZE_MAX };
    struct attn_extras x = extras[(i + w) % (sizeof extras / sizeof *extras)];

    x.window = windows[w];
    return x;
}

/* Rounds x[0..n) to the format, and returns it as stored. */
static void *store(float *x, size_t n, enum prism_kv_format f)
{
    void *p = kt_alloc(prism_kv_row_bytes(f, n), f == PRISM_KVF_F32 ? 4 : f == PRISM_KVF_Q8_0 ? 1 : 2);
    kt_store_kv(p, x, n, f);
    kt_freeze(p);
    return p;
}

static bool listed(const struct attn_scene *s, size_t key) { return s->is_listed[key / s->t.block]; }

size_t attn_scene_first_key(const struct attn_scene *s, size_t r)
{
    const size_t end = s->t.q_pos + r + 1;
    return s->t.window == 0 || s->t.window > end ? 0 : end - s->t.window;
}

static bool sees(const struct attn_scene *s, size_t r, size_t key)
{
    return key >= attn_scene_first_key(s, r) && key <= s->t.q_pos + r && listed(s, key);
}

/* Blocks of the rows' diagonals always, the others by the shape's list; none that lies before all windows. */
static void make_list(struct attn_scene *s, enum attn_list list)
{
    uint32_t first_diagonal = (uint32_t)(s->t.q_pos / s->t.block), last = (uint32_t)((s->t.q_pos + s->t.rows - 1) / s->t.block);
    s->blocks = kt_alloc((last + 1) * sizeof *s->blocks, 4);
    s->is_listed = kt_alloc(s->t.kv_len / s->t.block + 1, 1);
    memset(s->is_listed, 0, s->t.kv_len / s->t.block + 1);
    for (uint32_t b = (uint32_t)(attn_scene_first_key(s, 0) / s->t.block); b <= last; b++)
        if (list == ALL_BLOCKS || b == 0 || b >= first_diagonal || (list == EVERY_THIRD && b % 3 == 1))
            s->blocks[s->t.n_blocks++] = b;
    for (size_t i = 0; i < s->t.n_blocks; i++)
        s->is_listed[s->blocks[i]] = true;
    s->t.blocks = s->blocks;
}

static double dot(const float *x, const float *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * y[i];
    return sum;
}

/* q such that the logits are as asked for. */
static void make_q(struct attn_scene *s, enum attn_logits logits)
{
    const size_t d = s->t.d, ldq = s->t.ldq;
    double max = 0, want = logits == HUGE_LOGITS ? 1e4 : 30;

    for (size_t r = 0; r < s->t.rows; r++) {
        kt_fill(s->q + r * ldq, d, KT_NORMAL);
        /* The first key of the row's own block is visible and listed; with q along it, it is the peak. */
        const float *peak = s->k + (s->t.q_pos + r) / s->t.block * s->t.block * d;
        for (size_t i = 0; i < d && logits == PEAKED; i++)
            s->q[r * ldq + i] = peak[i];
        for (size_t i = 0; i < d && logits == EQUAL; i++)
            s->q[r * ldq + i] = 0;
        for (size_t j = 0; j <= s->t.q_pos + r; j++)
            max = fmax(max, fabs(dot(s->q + r * ldq, s->k + j * d, d)) * (double)s->t.scale);
    }
    if (logits == PEAKED)
        want = 4000; /* normal keys are nowhere near parallel to the peak for d >= 40: the next is below 3000 */
    for (size_t r = 0; r < s->t.rows && logits != EQUAL; r++)
        for (size_t i = 0; i < d; i++)
            s->q[r * ldq + i] *= (float)(want / max);
}

static void add_extras(struct attn_scene *s, const struct attn_extras *x)
{
    if (x) {
        s->t.window = x->window;
        s->t.softcap = x->softcap;
        s->t.sink = x->sink;
    }
}

void attn_scene_make(struct attn_scene *s, const struct prism_attention *a, const struct attn_shape *shape, enum attn_logits logits,
                     const struct attn_extras *extras)
{
    const size_t rows = shape->rows == 0 ? a->tile_rows : shape->rows > a->tile_rows ? a->tile_rows - 1 : shape->rows;
    const size_t d = shape->d, block = shape->block, kv_len = shape->q_pos + rows + shape->more, n_blocks = (kv_len + block - 1) / block;

    *s = (struct attn_scene){ .a = a };
    s->t = (struct prism_attn_tile){ .ldq = d + 3, .ldo = d + 5, .rows = rows, .d = d, .q_pos = shape->q_pos, .kv_len = kv_len,
                                     .block = block, .scale = 1 / sqrtf((float)d) };
    add_extras(s, extras);
    s->k = kt_floats(kv_len * d);
    s->v = kt_floats(kv_len * d);
    kt_fill(s->k, kv_len * d, KT_NORMAL);
    kt_fill(s->v, kv_len * d, KT_NORMAL);
    char *k = store(s->k, kv_len * d, shape->format), *v = store(s->v, kv_len * d, shape->format);
    s->q = kt_floats((rows - 1) * s->t.ldq + d);
    make_q(s, logits);
    make_list(s, shape->list);

    const size_t k_bytes = a->k_block_bytes(d, block), v_bytes = a->v_block_bytes(d, block);
    assert_int_equal(k_bytes % 64 + v_bytes % 64, 0);
    char *packed_k = kt_alloc(n_blocks * k_bytes, 64), *packed_v = kt_alloc(n_blocks * v_bytes, 64);
    for (size_t b = 0; b < n_blocks; b++) {
        size_t n = kv_len - b * block < block ? kv_len - b * block : block, row_bytes = prism_kv_row_bytes(shape->format, d);
        if (!listed(s, b * block))
            continue; /* stays the NaN pattern: reading it shows */
        a->pack_k(packed_k + b * k_bytes, k + b * block * row_bytes, shape->format, n, d, block);
        a->pack_v(packed_v + b * v_bytes, v + b * block * row_bytes, shape->format, n, d, block);
    }
    kt_freeze(packed_k);
    kt_freeze(packed_v);
    kt_freeze(s->q);
    kt_freeze(s->k);
    kt_freeze(s->v);
    s->t.k = packed_k;
    s->t.v = packed_v;
    s->t.q = s->q;
    s->t.scratch = kt_alloc(a->tile_scratch(d, block), 64);
}

void attn_scene_make_rows(struct attn_scene *s, size_t d, size_t kv_len, size_t rows, enum prism_kv_format format, enum attn_logits logits,
                          const struct attn_extras *extras, void **k, void **v)
{
    s->t = (struct prism_attn_tile){ .ldq = d, .rows = rows, .d = d, .q_pos = kv_len - rows, .kv_len = kv_len, .block = kv_len,
                                     .scale = 1 / sqrtf((float)d) };
    add_extras(s, extras);
    make_list(s, ALL_BLOCKS);
    s->k = kt_floats(kv_len * d);
    s->v = kt_floats(kv_len * d);
    kt_fill(s->k, kv_len * d, KT_NORMAL);
    kt_fill(s->v, kv_len * d, KT_NORMAL);
    *k = store(s->k, kv_len * d, format);
    *v = store(s->v, kv_len * d, format);
    s->q = kt_floats(rows * d);
    make_q(s, logits);
    kt_freeze(s->q);
}

static double largest(const float *x, size_t n)
{
    float max = 0; /* in float: gcc 12 for AArch64 fails on this loop in double ("internal compiler error", vectoriser) */
    for (size_t i = 0; i < n; i++)
        max = fmaxf(max, fabsf(x[i]));
    return (double)max;
}

/* What a family rounds, at most. i16: half a step of everything, which is a part of the norm of a query or key, of the largest probability
 * that the row has in the block, of the largest value that a column has. (0.51 and 0.55: the factors are rounded too, and the exponential is
 * 0.04 of a unit off.) */
struct rounding {
    double norm, p, v;
    double q_block, weight; /* of a row kernel: a part of the largest of 32 values of a query; of probability times scale in a chunk of keys */
};

static struct rounding rounding_of(const struct attn_scene *s)
{
    const struct prism_attention *a = s->a;
    if (s->piece) /* and a rounding of fp32 */
        return (struct rounding){ .q_block = 1.01 * PRISM_ATTN_ROW_Q_STEP, .weight = 1.01 * PRISM_ATTN_ROW_P_STEP };
    if (a && !strcmp(a->name, "i16"))
        return (struct rounding){ .norm = 0.51 / 32767, .p = 0.55 / 8192, .v = 0.51 / 4095 };
    return (struct rounding){ 0 };
}

/* How far element i of row r with probabilities p[n] (exact, to be divided by sum) may be off because P and V are rounded in steps: each p of a
 * block by a part of the block's largest, which also moves the sum; each value by a part of the column's largest, be it seen or not. */
static double step_error(const struct attn_scene *s, const struct rounding *e, size_t r, const double *p, size_t n, double sum, size_t i)
{
    double seen_v = 0, any_v = 0, off = 0;

    if (!(e->p > 0))
        return 0;
    for (size_t j = 0; j < s->t.kv_len; j++) {
        const double v = listed(s, j) ? fabs((double)s->v[j * s->t.d + i]) : 0;
        any_v = fmax(any_v, v);
        seen_v = sees(s, r, j) ? fmax(seen_v, v) : seen_v;
    }
    for (size_t first = 0; first < n; first += s->t.block) {
        double max_p = 0, keys = 0;
        for (size_t j = first; j < n && j < first + s->t.block; j++, keys++)
            max_p = fmax(max_p, p[j]);
        off += keys * e->p * max_p / sum;
    }
    return 2 * off * seen_v + e->v * any_v;
}

/* The same where the products of p and a value's scale (its block's largest magnitude / 127) are rounded, a chunk of the keys of a piece at a time. */
static double weight_error(const struct attn_scene *s, const struct rounding *e, const double *p, size_t n, double sum, size_t i)
{
    double off = 0;

    for (size_t first = 0, keys; s->piece && first < n; first += keys) {
        size_t left = s->piece - first % s->piece; /* of the piece, then of the row */
        double most = 0;
        keys = left < PRISM_ATTN_ROW_CHUNK ? left : PRISM_ATTN_ROW_CHUNK;
        keys = keys < n - first ? keys : n - first;
        for (size_t j = first; j < first + keys; j++)
            most = fmax(most, p[j] / sum * largest(s->v + j * s->t.d + i / 32 * 32, 32));
        off += (double)keys * e->weight * most;
    }
    return off;
}

static double capped(double logit, double softcap)
{
    return softcap > 0 ? softcap * tanh(logit / softcap) : logit;
}

/* The logit of row r and key j, and at *delta how far it may be off: k and q rounded as above and d products summed in fp32, d * FLT_EPSILON of
 * scale * sum|q k|, twice the fp32 worst case. A softcap, which never widens a difference, adds an error of its own. */
static double logit(const struct attn_scene *s, const struct rounding *e, size_t r, size_t j, double *delta)
{
    const size_t d = s->t.d;
    const float *q = s->q + r * s->t.ldq, *k = s->k + j * d;
    const double q_step = e->norm > 0 ? e->norm * sqrt(dot(q, q, d)) : 0, k_step = e->norm > 0 ? e->norm * sqrt(dot(k, k, d)) : 0;
    double sum_abs = 0, steps = 0;

    for (size_t i = 0; i < d; i++) {
        sum_abs += fabs((double)q[i] * k[i]);
        steps += q_step * fabs((double)k[i]) + k_step * fabs((double)q[i]) + q_step * k_step;
        if (e->q_block > 0)
            steps += e->q_block * largest(q + i / 32 * 32, 32) * fabs((double)k[i]);
    }
    const double x = (double)s->t.scale * dot(q, k, d), off = ((double)d * FLT_EPSILON * sum_abs + steps) * (double)s->t.scale;
    const double cap = (double)s->t.softcap, y = capped(x, cap);
    *delta = fmax(capped(x + off, cap) - y, y - capped(x - off, cap)) + cap * (double)PRISM_ATTN_CAP_ERR;
    return y;
}

/* Row r in double, and how far each element may be off. delta is the error of a logit. Every probability is then off
 * by a factor of exp(delta) at most, the normalisation by as much, the exponential, maxima and n sums by a few FLT_EPSILON each.
 * All of it relative to sum(p |v|) / sum(p); and a family may drop what lies 2^-50 below a row's maximum. */
static void exact_row(const struct attn_scene *s, size_t r, double *o, double *bound, double *low, double *high)
{
    const size_t d = s->t.d, n = s->t.q_pos + r + 1;
    const struct rounding e = rounding_of(s);
    const double sink = s->t.sink ? (double)*s->t.sink : -(double)INFINITY;
    double *p = kt_alloc(n * sizeof *p, 8), max = sink, sum = 0, delta = isfinite(sink) ? FLT_EPSILON * fabs(sink) : 0;
    size_t *key = kt_alloc(n * sizeof *key, 8), n_seen = 0;

    for (size_t j = 0; j < n; j++) {
        double off;
        p[j] = -(double)INFINITY;
        if (!sees(s, r, j))
            continue;
        p[j] = logit(s, &e, r, j, &off);
        max = fmax(max, p[j]);
        delta = fmax(delta, off);
        key[n_seen++] = j;
    }
    for (size_t j = 0; j < n; j++)
        sum += p[j] = exp(p[j] - max);
    sum += exp(sink - max);
    double relative = 2 * expm1(delta) + ((double)n_seen + 16) * FLT_EPSILON;
    for (size_t i = 0; i < d; i++) {
        double weighted = 0;
        o[i] = bound[i] = 0;
        low[i] = isfinite(sink) ? 0 : (double)INFINITY;
        high[i] = isfinite(sink) ? 0 : -(double)INFINITY;
        for (size_t j = 0; j < n_seen; j++) {
            const double v = (double)s->v[key[j] * d + i], share = p[key[j]] / sum;
            o[i] += share * v;
            weighted += share * fabs(v);
            low[i] = fmin(low[i], v);
            high[i] = fmax(high[i], v);
        }
        bound[i] = relative * weighted + (double)n_seen * 0x1p-50 * fmax(-low[i], high[i]) + FLT_MIN;
        bound[i] += exp(2 * delta) * (step_error(s, &e, r, p, n, sum, i) + weight_error(s, &e, p, n, sum, i));
    }
}

void attn_scene_check_rows(const struct attn_scene *s, const float *o, size_t ldo, enum attn_logits logits)
{
    const struct rounding e = rounding_of(s);
    const double max_v = largest(s->v, s->t.kv_len * s->t.d), outside = (e.v + PRISM_ATTN_ROW_CHUNK * e.weight + 512 * FLT_EPSILON) * max_v;
    double exact[PRISM_MAX_HEAD_DIM], bound[PRISM_MAX_HEAD_DIM], low[PRISM_MAX_HEAD_DIM], high[PRISM_MAX_HEAD_DIM];

    /* Few rows suffice inside a tile: both ends, a stride that meets every lane of a micro-tile, and the diagonal block's first. */
    for (size_t r = 0; r < s->t.rows; r += r + 6 < s->t.rows ? 5 : 1) {
        exact_row(s, r, exact, bound, low, high);
        for (size_t i = 0; i < s->t.d; i++) {
            double got = (double)o[r * ldo + i];
            /* A mean lies among the values, whatever the logits. */
            kt_true(got >= low[i] - outside && got <= high[i] + outside, "an output is outside the range of the values");
            kt_near(got, exact[i], fmin(bound[i], 2 * max_v), r, i);
            if (logits == MODERATE || logits == EQUAL)
                kt_near(got, exact[i], (s->a ? (double)s->a->err : s->piece ? 3e-3 : 1e-4) * max_v, r, i);
        }
    }
}
