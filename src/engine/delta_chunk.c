/* delta_chunk.c - the delta rule of a slab, chunk by chunk, as products of small matrices (delta.h).
 *
 * With G_t the sum of the logarithms of decay from the beginning of the chunk to token t, K, Q, V its keys, queries (over sqrt(d)) and values as rows,
 * and S the state in front of it, the rows D of what tokens add to the state solve
 *
 *     (I + L) D = beta (V - exp(G) K S),    L_ts = beta_t exp(G_t - G_s) k_t.k_s for s < t,
 *
 * and then  O = exp(G) Q S + M D,           M_ts = exp(G_t - G_s) q_t.k_s for s <= t,
 *           S <- exp(G_last) S + K^T (exp(G_last - G) D).
 *
 * Differences of G are never positive, so nothing overflows however much is forgotten. Source: Yang, Kautz & Hatamizadeh 2024 (arXiv 2412.06464), 3.3;
 * here the triangle is solved for D rather than inverted. */
#include "src/engine/delta.h"

#include <string.h>

#include "src/base/size.h"
#include "src/engine/context.h"

enum {
    CHUNK = PRISM_DELTA_CHUNK,
    BAND = 32, /* rows of a triangle that are multiplied together, up to their last column */
    STEP = 8,  /* rows of the triangle that are solved together */
};

/* Rows of a slab that lie in one chunk. */
struct chunk {
    size_t row, n;
};

size_t prism_delta_chunks(const struct prism_delta_slab *j) { return (j->pos + j->n - 1) / CHUNK - j->pos / CHUNK + 1; }

static struct chunk chunk_of(const struct prism_delta_slab *j, size_t number)
{
    size_t begin = (j->pos / CHUNK + number) * CHUNK, from = max_size(begin, j->pos);
    return (struct chunk){ from - j->pos, min_size(begin + CHUNK, j->pos + j->n) - from };
}

/* Rows of a head from row `row` of the slab on. */
static float *head_rows(const struct prism_delta_slab *j, size_t head, size_t row)
{
    return j->c->delta.heads + (head * j->slab + row) * j->s->d;
}

typedef float square[CHUNK][CHUNK];

static square *raw_of(const struct prism_delta_slab *j, size_t chunk, size_t key_head)
{
    return (square *)(void *)(j->c->delta.raw + (chunk * j->s->n_key + key_head) * 2 * CHUNK * CHUNK);
}

/* c[rows][CHUNK] = a[rows][d] . b[d][CHUNK] on and below the diagonal; above it what the bands hold. */
static void triangle(const struct prism_kernels *k, square *c, const float *a, const float *b, size_t rows, size_t d)
{
    for (size_t r = 0; r < rows; r += BAND) {
        size_t n = min_size(BAND, rows - r);
        k->matmul(&(struct prism_matmul){ .c = (*c)[r], .ldc = CHUNK, .a = a + r * d, .a_row = d, .a_k = 1, .b = b, .ldb = CHUNK,
                                          .rows = n, .cols = r + n, .k = d });
    }
}

void prism_delta_raw_job(void *arg, size_t job, uint32_t thread)
{
    const struct prism_delta_slab *j = arg;
    size_t number = job / j->s->n_key, head = job % j->s->n_key, d = j->s->d;
    struct chunk chunk = chunk_of(j, number);
    const float *q = head_rows(j, head, chunk.row), *k = head_rows(j, j->s->n_key + head, chunk.row);
    square *raw = raw_of(j, number, head);
    float *turned = prism_thread_scratch(j->c, thread); /* [d][CHUNK] */

    for (size_t i = 0; i < d; i += 8) /* a line of each row at a time */
        for (size_t t = 0; t < chunk.n; t++)
            for (size_t l = 0; l < 8; l++)
                turned[(i + l) * CHUNK + t] = k[t * d + i + l];
    triangle(j->c->kernels, &raw[0], k, turned, chunk.n, d);
    triangle(j->c->kernels, &raw[1], q, turned, chunk.n, d);
}

/* ---- one value head ---- */

/* What a head needs of its thread's scratch. */
struct parts {
    float *delta;          /* [CHUNK][d]: right sides, then D */
    square *keys, *queries; /* -L, M */
    float *decay, *weight; /* [CHUNK] exp(G), exp(G_last - G); each row's in turn */
};

static size_t carve(uint8_t *scratch, size_t d, struct parts *p)
{
    size_t used = 0;

    p->delta = (float *)(void *)(scratch + used), used += CHUNK * d * sizeof(float);
    p->keys = (square *)(void *)(scratch + used), used += sizeof(square);
    p->queries = (square *)(void *)(scratch + used), used += sizeof(square);
    p->decay = (float *)(void *)(scratch + used), used += CHUNK * sizeof(float);
    p->weight = (float *)(void *)(scratch + used), used += CHUNK * sizeof(float);
    return used;
}

size_t prism_delta_scratch(const struct prism_context *c)
{
    static uint8_t nowhere[1];
    struct parts p;

    return c->delta.shape ? carve(nowhere, c->delta.shape->d, &p) : 0;
}

/* -L and M from the raw products. Above the diagonal M is 0. */
static void decay_squares(const struct prism_kernels *k, const struct parts *p, square *raw, const double *sums, const float *beta, size_t n)
{
    for (size_t t = 0; t < n; t++) {
        float *keys = (*p->keys)[t], *queries = (*p->queries)[t];
        const float *kk = raw[0][t], *qk = raw[1][t];
        k->decay(p->weight, sums[t], sums, t + 1);
        for (size_t s = 0; s < t; s++)
            keys[s] = -beta[t] * p->weight[s] * kk[s];
        for (size_t s = 0; s <= t; s++)
            queries[s] = p->weight[s] * qk[s];
        for (size_t s = t + 1; s < n; s++)
            queries[s] = 0;
    }
}

/* delta = (I + L)^-1 delta, by rows from the first on. */
static void solve(const struct prism_kernels *k, const struct parts *p, size_t n, size_t d)
{
    for (size_t r = 0; r < n; r += STEP) {
        size_t rows = min_size(STEP, n - r);
        struct prism_matmul m = { .c = p->delta + r * d, .ldc = d, .a = (*p->keys)[r], .a_row = CHUNK, .a_k = 1, .b = p->delta, .ldb = d,
                                  .rows = rows, .cols = d, .k = r, .add = true };
        if (r > 0)
            k->matmul(&m);
        m.b = p->delta + r * d, m.rows = 1;
        for (m.k = 1; m.k < rows; m.k++) {
            m.c = p->delta + (r + m.k) * d, m.a = (*p->keys)[r + m.k] + r;
            k->matmul(&m);
        }
    }
}

/* to = factor * from, or 0; n values. */
static void scale_state(float *to, const float *from, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = from ? factor * from[i] : 0;
}

/* One chunk: values become outputs, `to` the state behind it. from NULL: zeros. */
static void run_chunk(const struct prism_delta_slab *j, const struct parts *p, size_t head, size_t number, const float *from, float *to)
{
    const struct prism_kernels *k = j->c->kernels;
    const struct prism_delta_spec *s = j->s;
    struct chunk chunk = chunk_of(j, number);
    size_t key_head = head % s->n_key, d = s->d, n = chunk.n;
    const float *queries = head_rows(j, key_head, chunk.row), *keys = head_rows(j, s->n_key + key_head, chunk.row);
    float *o = head_rows(j, 2 * s->n_key + head, chunk.row), last;
    const double *sums = j->c->delta.sums + head * j->slab + chunk.row;
    const float *beta = j->c->delta.beta + head * j->slab + chunk.row;
    double negative[CHUNK] = { 0 };
    struct prism_matmul m = { .c = p->delta, .ldc = d, .a = keys, .a_row = d, .a_k = 1, .b = from, .ldb = d, .rows = n, .cols = d, .k = from ? d : 0 };

    for (size_t t = 0; t < n; t++)
        negative[t] = -sums[t];
    k->decay(p->decay, 0, negative, n);
    last = p->decay[n - 1];
    k->matmul(&m);
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < d; i++)
            p->delta[t * d + i] = beta[t] * (o[t * d + i] - p->decay[t] * p->delta[t * d + i]);
    m.c = o, m.a = queries;
    k->matmul(&m);
    for (size_t t = 0; t < n; t++)
        k->scale(o + t * d, p->decay[t], d);

    decay_squares(k, p, raw_of(j, number, key_head), sums, beta, n);
    solve(k, p, n, d);
    for (size_t r = 0; r < n; r += BAND) {
        size_t rows = min_size(BAND, n - r);
        k->matmul(&(struct prism_matmul){ .c = o + r * d, .ldc = d, .a = (*p->queries)[r], .a_row = CHUNK, .a_k = 1, .b = p->delta, .ldb = d,
                                          .rows = rows, .cols = d, .k = r + rows, .add = true });
    }
    k->decay(p->weight, sums[n - 1], sums, n);
    for (size_t t = 0; t < n; t++)
        k->scale(p->delta + t * d, p->weight[t], d);
    scale_state(to, from, last, d * d);
    k->matmul(&(struct prism_matmul){ .c = to, .ldc = d, .a = keys, .a_row = 1, .a_k = d, .b = p->delta, .ldb = d, .rows = d, .cols = d, .k = n,
                                      .add = true });
}

void prism_delta_head_job(void *arg, size_t job, uint32_t thread)
{
    const struct prism_delta_slab *j = arg;
    size_t size = (size_t)j->s->d * j->s->d;
    const float *from = j->from ? j->from + job * size : NULL;
    float *to = j->to + job * size;
    struct parts p;

    carve(prism_thread_scratch(j->c, thread), j->s->d, &p);
    for (size_t i = 0, n = prism_delta_chunks(j); i < n; i++, from = to) {
        struct chunk chunk = chunk_of(j, i);
        run_chunk(j, &p, job, i, from, to);
        if (j->mark && j->pos + chunk.row + chunk.n == j->c->delta.mark_at)
            memcpy(j->mark + job * size, to, size * sizeof *to);
    }
}
