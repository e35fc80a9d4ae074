/* test_attention.c - the attention families and the row kernel of every level: head sizes, blocks, positions, lists, logits. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/generic/generic.h"
#include "tests/support/kernel_test.h"

enum logits {
    MODERATE,    /* scaled so that the largest magnitude is 30, where struct prism_attention.err holds */
    EQUAL,       /* q = 0: the output is the mean of the visible values */
    PEAKED,      /* one visible key is 1000 above the rest: the output is its value */
    HUGE_LOGITS, /* from -1e4 to 1e4 */
    N_LOGITS
};

enum list { ALL_BLOCKS, SINK_AND_DIAGONAL, EVERY_THIRD };

struct shape {
    size_t d, block;
    size_t rows;         /* 0: tile_rows; more than tile_rows: one less */
    size_t q_pos, more;  /* kv_len = q_pos + rows + more */
    enum list list;
    enum prism_kv_format format;
    const char *why;
};

static const struct shape shapes[] = {
    { 64, 64, 0, 256, 0, ALL_BLOCKS, PRISM_KVF_F16, "full tile on the grid" },
    { 64, 32, 1, 0, 0, ALL_BLOCKS, PRISM_KVF_F16, "one row, one key" },
    { 8, 32, 5, 27, 3, ALL_BLOCKS, PRISM_KVF_F32, "smallest head, two diagonal blocks" },
    { 40, 64, 7, 100, 0, ALL_BLOCKS, PRISM_KVF_BF16, "odd head" },
    { 80, 128, 0, 130, 50, EVERY_THIRD, PRISM_KVF_F16, "head 80, off the grid, future keys" },
    { 96, 64, 99, 129, 0, SINK_AND_DIAGONAL, PRISM_KVF_F16, "head 96, one short of a tile" },
    { 128, 128, 0, 384, 0, ALL_BLOCKS, PRISM_KVF_F16, "head 128" },
    { 128, 128, 0, 384, 0, SINK_AND_DIAGONAL, PRISM_KVF_F16, "head 128, sparse" },
    { 128, 32, 99, 417, 17, EVERY_THIRD, PRISM_KVF_BF16, "head 128, small blocks, off the grid" },
    { 128, 256, 0, 200, 0, ALL_BLOCKS, PRISM_KVF_F32, "block larger than the prompt" },
    { 256, 256, 3, 500, 9, ALL_BLOCKS, PRISM_KVF_F16, "largest head" },
    { 256, 64, 0, 64, 0, ALL_BLOCKS, PRISM_KVF_BF16, "largest head, full tile" },
    { 96, 64, 9, 200, 21, EVERY_THIRD, PRISM_KVF_Q8_0, "head 96 of Q8_0, off the grid" },
    { 128, 128, 0, 384, 0, ALL_BLOCKS, PRISM_KVF_Q8_0, "head 128 of Q8_0" },
    { 32, 32, 5, 27, 3, ALL_BLOCKS, PRISM_KVF_Q8_0, "a head of one block" },
};

/* One tile: the operands as a caller has them and as doubles. */
struct scene {
    const struct prism_attention *a; /* NULL: a row kernel */
    struct prism_attn_tile t;
    size_t piece;            /* of keys, of a row kernel that rounds queries (values) in Q8_0; else 0 */
    float *q;                /* [rows][d] stride ldq */
    float *k, *v;            /* [kv_len][d] as the cache's rounding left them */
    uint32_t *blocks;
};

/* Rounds x[0..n) to the format, and returns it as stored. */
static void *store(float *x, size_t n, enum prism_kv_format f)
{
    void *p = kt_alloc(prism_kv_row_bytes(f, n), f == PRISM_KVF_F32 ? 4 : f == PRISM_KVF_Q8_0 ? 1 : 2);
    kt_store_kv(p, x, n, f);
    kt_freeze(p);
    return p;
}

static bool listed(const struct scene *s, size_t key)
{
    for (size_t i = 0; i < s->t.n_blocks; i++)
        if (s->blocks[i] == key / s->t.block)
            return true;
    return false;
}

/* Blocks of the rows' diagonals always, the others by the shape's list. */
static void make_list(struct scene *s, enum list list)
{
    uint32_t first_diagonal = (uint32_t)(s->t.q_pos / s->t.block), last = (uint32_t)((s->t.q_pos + s->t.rows - 1) / s->t.block);
    s->blocks = kt_alloc((last + 1) * sizeof *s->blocks, 4);
    for (uint32_t b = 0; b <= last; b++)
        if (list == ALL_BLOCKS || b == 0 || b >= first_diagonal || (list == EVERY_THIRD && b % 3 == 1))
            s->blocks[s->t.n_blocks++] = b;
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
static void make_q(struct scene *s, enum logits logits)
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

static void make(struct scene *s, const struct prism_attention *a, const struct shape *shape, enum logits logits)
{
    const size_t rows = shape->rows == 0 ? a->tile_rows : shape->rows > a->tile_rows ? a->tile_rows - 1 : shape->rows;
    const size_t d = shape->d, block = shape->block, kv_len = shape->q_pos + rows + shape->more, n_blocks = (kv_len + block - 1) / block;

    *s = (struct scene){ .a = a };
    s->t = (struct prism_attn_tile){ .ldq = d + 3, .ldo = d + 5, .rows = rows, .d = d, .q_pos = shape->q_pos, .kv_len = kv_len,
                                     .block = block, .scale = 1 / sqrtf((float)d) };
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

static struct rounding rounding_of(const struct scene *s)
{
    const struct prism_attention *a = s->a;
    if (s->piece) /* and a rounding of fp32 */
        return (struct rounding){ .q_block = 1.01 * PRISM_ATTN_ROW_Q_STEP, .weight = 1.01 * PRISM_ATTN_ROW_P_STEP };
    if (a && !strcmp(a->name, "i16"))
        return (struct rounding){ .norm = 0.51 / 32767, .p = 0.55 / 8192, .v = 0.51 / 4095 };
    return (struct rounding){ 0 };
}

/* How far element i of the row with probabilities p[n] (exact, to be divided by sum) may be off because P and V are rounded in steps: each p of a
 * block by a part of the block's largest, which also moves the sum; each value by a part of the column's largest. */
static double step_error(const struct scene *s, const struct rounding *e, const double *p, size_t n, double sum, size_t i)
{
    double max_v = 0, off = 0;

    for (size_t j = 0; j < n; j++)
        max_v = listed(s, j) ? fmax(max_v, fabs((double)s->v[j * s->t.d + i])) : max_v;
    for (size_t first = 0; first < n; first += s->t.block) {
        double max_p = 0, keys = 0;
        for (size_t j = first; j < n && j < first + s->t.block; j++, keys++)
            max_p = fmax(max_p, p[j]);
        off += keys * e->p * max_p / sum;
    }
    return (2 * off + e->v) * max_v;
}

/* The same where the products of p and a value's scale (its block's largest magnitude / 127) are rounded, a chunk of the keys of a piece at a time. */
static double weight_error(const struct scene *s, const struct rounding *e, const double *p, size_t n, double sum, size_t i)
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

/* Row r in double, and how far each element may be off. delta is the error of a logit, k and q rounded as above and
 * d products summed in fp32: d * FLT_EPSILON of scale * sum|q k|, twice the fp32 worst case. Every probability is then off
 * by a factor of exp(delta) at most, the normalisation by as much, the exponential, maxima and n sums by a few FLT_EPSILON each.
 * All of it relative to sum(p |v|) / sum(p); and a family may drop what lies 2^-50 below a row's maximum. */
static void exact_row(const struct scene *s, size_t r, double *o, double *bound, double *low, double *high)
{
    const size_t d = s->t.d, n = s->t.q_pos + r + 1;
    const float *q = s->q + r * s->t.ldq;
    const struct rounding e = rounding_of(s);
    const double q_step = e.norm * sqrt(dot(q, q, d));
    double *p = kt_alloc(n * sizeof *p, 8), max = -(double)INFINITY, sum = 0, delta = 0, n_listed = 0;

    for (size_t j = 0; j < n; j++) {
        p[j] = -(double)INFINITY;
        if (!listed(s, j))
            continue;
        const float *k = s->k + j * d;
        double sum_abs = 0, steps = 0, k_step = e.norm * sqrt(dot(k, k, d));
        for (size_t i = 0; i < d; i++) {
            sum_abs += fabs((double)q[i] * k[i]);
            steps += q_step * fabs((double)k[i]) + k_step * fabs((double)q[i]) + q_step * k_step;
            if (e.q_block > 0)
                steps += e.q_block * largest(q + i / 32 * 32, 32) * fabs((double)k[i]);
        }
        p[j] = (double)s->t.scale * dot(q, k, d);
        max = fmax(max, p[j]);
        delta = fmax(delta, ((double)d * FLT_EPSILON * sum_abs + steps) * (double)s->t.scale);
        n_listed++;
    }
    for (size_t j = 0; j < n; j++)
        sum += p[j] = exp(p[j] - max);
    double relative = 2 * expm1(delta) + (n_listed + 16) * FLT_EPSILON;
    for (size_t i = 0; i < d; i++) {
        double weighted = 0;
        o[i] = bound[i] = 0;
        low[i] = (double)INFINITY;
        high[i] = -(double)INFINITY;
        for (size_t j = 0; j < n; j++) {
            double v = (double)s->v[j * d + i];
            if (!listed(s, j))
                continue;
            o[i] += p[j] / sum * v;
            weighted += p[j] / sum * fabs(v);
            low[i] = fmin(low[i], v);
            high[i] = fmax(high[i], v);
        }
        bound[i] = relative * weighted + n_listed * 0x1p-50 * fmax(-low[i], high[i]) + FLT_MIN;
        bound[i] += exp(2 * delta) * (step_error(s, &e, p, n, sum, i) + weight_error(s, &e, p, n, sum, i));
    }
}

/* Judge: double, rows one by one. */
static void check_rows(const struct scene *s, const float *o, size_t ldo, enum logits logits)
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

/* The same bits for a row computed alone. */
static void check_alone(const struct scene *s, const float *o)
{
    float alone[PRISM_MAX_HEAD_DIM];
    for (size_t r = 0; r < s->t.rows; r += 7) {
        struct prism_attn_tile t = s->t;
        t.q += r * t.ldq;
        t.q_pos += r;
        t.rows = 1;
        t.o = alone;
        t.ldo = t.d;
        while (t.blocks[t.n_blocks - 1] > t.q_pos / t.block)
            t.n_blocks--;
        s->a->tile(&t);
        kt_same_floats(alone, o + r * s->t.ldo, t.d);
    }
}

/* A NaN among the keys makes NaN of every row that sees it, a NaN among the values of its column: it never becomes a number. */
static void check_nan(const struct prism_attention *a, size_t q_pos)
{
    const struct shape shape = { 64, 64, 5, q_pos, 0, ALL_BLOCKS, PRISM_KVF_F32, "NaN" };
    const size_t column = 19;
    struct scene s;

    for (int of_values = 0; of_values < 2; of_values++)
        for (size_t key = 0; key <= q_pos; key += q_pos / 2) { /* the first of all, in the middle, the last that the first row sees */
            make(&s, a, &shape, MODERATE);
            const size_t d = s.t.d, b = key / s.t.block, n = s.t.kv_len - b * s.t.block < s.t.block ? s.t.kv_len - b * s.t.block : s.t.block;
            const size_t bytes = of_values ? a->v_block_bytes(d, s.t.block) : a->k_block_bytes(d, s.t.block);
            float *x = kt_floats(n * d), *o = kt_floats(s.t.rows * d);
            char *packed = kt_alloc(bytes, 64), *all = kt_alloc((s.t.kv_len + 63) / 64 * bytes, 64);
            memcpy(x, (of_values ? s.v : s.k) + b * s.t.block * d, n * d * sizeof *x);
            x[(key - b * s.t.block) * d + column] = NAN;
            (of_values ? a->pack_v : a->pack_k)(packed, x, PRISM_KVF_F32, n, d, s.t.block);
            memcpy(all, of_values ? s.t.v : s.t.k, (s.t.kv_len + 63) / 64 * bytes);
            memcpy(all + b * bytes, packed, bytes);
            *(of_values ? &s.t.v : &s.t.k) = all;
            s.t.o = o;
            s.t.ldo = d;
            a->tile(&s.t);
            for (size_t r = 0; r < s.t.rows; r++)
                for (size_t i = 0; i < d; i++)
                    kt_true(isnan(o[r * d + i]) == (!of_values || i == column), "a NaN became a number, or the other way round");
            kt_release();
        }
}

static void check_scene(const struct prism_attention *a, const struct shape *shape, enum logits logits)
{
    struct scene s;
    make(&s, a, shape, logits);
    const size_t rows = s.t.rows, d = s.t.d;
    float *o = kt_floats((rows - 1) * s.t.ldo + d), *in_place = kt_floats((rows - 1) * s.t.ldq + d);

    s.t.o = o;
    a->tile(&s.t);
    for (size_t r = 0; r + 1 < rows; r++)
        kt_true(kt_untouched(o + r * s.t.ldo + d, (s.t.ldo - d) * sizeof *o), "wrote past d");
    check_rows(&s, o, s.t.ldo, logits);
    check_alone(&s, o);

    memcpy(in_place, s.q, ((rows - 1) * s.t.ldq + d) * sizeof *in_place);
    struct prism_attn_tile t = s.t;
    t.q = t.o = in_place;
    t.ldo = t.ldq;
    a->tile(&t);
    for (size_t r = 0; r < rows; r++)
        kt_same_floats(in_place + r * t.ldo, o + r * s.t.ldo, d);
}

static void check_family(const struct prism_kernels *k, const struct prism_attention *a)
{
    static const char *const names[N_LOGITS] = { "moderate", "equal", "peaked", "huge" };

    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int l = 0; l < N_LOGITS; l++) {
            kt_context("%s attention %s d %zu block %zu, %s logits (%s)", k->name, a->name, shapes[i].d, shapes[i].block, names[l],
                       shapes[i].why);
            check_scene(a, &shapes[i], (enum logits)l);
            kt_release();
        }
    kt_context("%s attention %s, NaN", k->name, a->name);
    check_nan(a, 150);
    check_nan(a, 130); /* rows that see three keys of the last block, and more */
    /* The largest errors that the families may claim: fp32 sums of 256 products behind logits of 30, by 6 sigma; with i16, 256 roundings of P
     * by 5 sigma. */
    assert_true(a->err <= (!strcmp(a->name, "i16") ? 3e-3f : 1e-4f));
}

static void check_f32(const struct prism_kernels *k) { check_family(k, k->attention_f32); }

static void check_auto(const struct prism_kernels *k)
{
    if (k->attention_auto != k->attention_f32)
        check_family(k, k->attention_auto);
    if (k == &prism_kernels_generic) { /* the definitions that its table does not choose */
        check_family(k, &prism_attention_i16_generic);
    }
}

/* ---- the row kernel ---- */

/* The last `rows` positions of kv_len keys, which come in pieces of `piece`: late pieces are not seen by all rows. */
static const struct row_shape {
    size_t d, kv_len, rows, piece;
} row_shapes[] = {
    { 64, 1, 1, 512 },   { 8, 7, 3, 512 },    { 40, 33, 8, 16 },  { 80, 300, 5, 512 },  { 96, 31, 2, 512 },
    { 128, 600, 1, 512 }, { 128, 1000, 8, 512 }, { 32, 50, 3, 20 }, { 160, 200, 4, 130 }, { 256, 65, 4, 40 }, { 64, 520, 7, 128 }, { 136, 70, 6, 33 },
};

/* o[rows][d]: rows [first, first + n) of the scene, piece after piece. */
static void attend_rows(prism_attn_row_fn *fn, const struct scene *s, const void *stored_k, const void *stored_v,
                        enum prism_kv_format format, size_t piece, size_t first, size_t n, float *o)
{
    const size_t d = s->t.d;
    float *max = kt_floats(n), *sum = kt_floats(n), *scores = kt_alloc(n * PRISM_ATTN_ROW_KEYS * sizeof *scores, 64);
    size_t *seen = kt_alloc(n * sizeof *seen, 8);

    for (size_t r = 0; r < n; r++) {
        max[r] = -INFINITY;
        sum[r] = 0;
    }
    memset(o, 0, n * d * sizeof *o);
    for (size_t key = 0; key < s->t.q_pos + first + n; key += piece) {
        size_t left = s->t.q_pos + first + n - key, n_keys = left < piece ? left : piece, at = key * prism_kv_row_bytes(format, d);
        for (size_t r = 0; r < n; r++) {
            size_t limit = s->t.q_pos + first + r + 1;
            seen[r] = limit < key ? 0 : limit - key < n_keys ? limit - key : n_keys;
        }
        fn(&(struct prism_attn_row){ .q = s->q + first * d, .n_q = n, .d = d, .k = (const char *)stored_k + at,
                                              .v = (const char *)stored_v + at, .k_format = format, .v_format = format,
                                              .n_keys = n_keys, .seen = seen,
                                              .scale = s->t.scale, .o = o, .max = max, .sum = sum, .scores = scores });
    }
    for (size_t r = 0; r < n; r++)
        for (size_t i = 0; i < d; i++)
            o[r * d + i] /= sum[r];
}

static void check_row_shape(prism_attn_row_fn *fn, bool rounds, const struct row_shape *shape, enum prism_kv_format format, enum logits logits)
{
    struct scene s = { .piece = rounds && format == PRISM_KVF_Q8_0 ? shape->piece : 0 };
    const size_t d = shape->d, n = shape->kv_len, rows = shape->rows;
    uint32_t all = 0;

    /* As rows of a tile with a single block that holds everything. */
    s.t = (struct prism_attn_tile){ .ldq = d, .rows = rows, .d = d, .q_pos = n - rows, .kv_len = n, .block = n, .n_blocks = 1,
                                    .scale = 1 / sqrtf((float)d) };
    s.blocks = &all;
    s.k = kt_floats(n * d);
    s.v = kt_floats(n * d);
    kt_fill(s.k, n * d, KT_NORMAL);
    kt_fill(s.v, n * d, KT_NORMAL);
    void *stored_k = store(s.k, n * d, format), *stored_v = store(s.v, n * d, format);
    s.q = kt_floats(rows * d);
    make_q(&s, logits);
    kt_freeze(s.q);
    float *o = kt_floats(rows * d), *alone = kt_floats(d);
    attend_rows(fn, &s, stored_k, stored_v, format, shape->piece, 0, rows, o);
    check_rows(&s, o, d, logits);
    for (size_t r = 0; r < rows; r++) { /* the same bits for a row computed alone */
        attend_rows(fn, &s, stored_k, stored_v, format, shape->piece, r, 1, alone);
        kt_same_floats(alone, o + r * d, d);
    }
}

static void check_row_kernel(const struct prism_kernels *k, prism_attn_row_fn *fn, bool rounds)
{
    for (size_t i = 0; i < sizeof row_shapes / sizeof *row_shapes; i++)
        for (int f = 0; f < PRISM_N_KV_FORMATS; f++)
            for (int l = 0; l < N_LOGITS; l++) {
                const struct row_shape *s = &row_shapes[i];
                if (f == PRISM_KVF_Q8_0 && s->d % 32)
                    continue;
                kt_context("%s attn_row%s d %zu kv_len %zu rows %zu piece %zu format %d logits %d", k->name, rounds ? "_auto" : "", s->d,
                           s->kv_len, s->rows, s->piece, f, l);
                check_row_shape(fn, rounds, s, (enum prism_kv_format)f, (enum logits)l);
                kt_release();
            }
}

static void check_row(const struct prism_kernels *k)
{
    check_row_kernel(k, k->attn_row, false);
    if (k->attn_row_auto != k->attn_row)
        check_row_kernel(k, k->attn_row_auto, true);
}

static void test_f32(void **state) { (void)state, kt_levels(check_f32); }
static void test_auto(void **state) { (void)state, kt_levels(check_auto); }
static void test_row(void **state) { (void)state, kt_levels(check_row); }

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_f32), cmocka_unit_test(test_auto), cmocka_unit_test(test_row) };
    return cmocka_run_group_tests_name("arch/attention", tests, NULL, NULL);
}
