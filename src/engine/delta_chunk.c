/* delta_chunk.c - see delta_chunk.h.
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
#include "src/engine/delta_chunk.h"

#include <assert.h>

#include "src/base/size.h"

enum {
    CHUNK = PRISM_DELTA_CHUNK,
    BAND = 32, /* rows of a triangle that are multiplied together, up to their last column */
    STEP = 8,  /* rows of the triangle that are solved together */
};

typedef prism_delta_square square;

/* Parts of the scratch. */
struct parts {
    float *delta;           /* [CHUNK][d]: right sides, then D. prism_delta_raw: keys, turned */
    square *keys, *queries; /* -L, M */
    float *decay, *weight;  /* [CHUNK] exp(G), exp(G_last - G); before that each row's in turn */
};

size_t prism_delta_chunk_bytes(size_t d) { return CHUNK * (d + 2 * CHUNK + 2) * sizeof(float); }

static struct parts carve(const struct prism_delta_chunk *c)
{
    float *at = c->scratch;
    struct parts p = { .delta = at };

    p.keys = (square *)(at += CHUNK * c->d);
    p.queries = (square *)(at += CHUNK * CHUNK);
    p.decay = at += CHUNK * CHUNK;
    p.weight = at + CHUNK;
    return p;
}

/* ---- raw products ---- */

/* out = rows . turned on and below the diagonal; above it what the bands hold. */
static void triangle(const struct prism_delta_chunk *c, square *out, const float *rows, const float *turned)
{
    for (size_t r = 0; r < c->n; r += BAND) {
        size_t n = min_size(BAND, c->n - r);
        c->kernels->matmul(&(struct prism_matmul){ .c = (*out)[r], .ldc = CHUNK, .a = rows + r * c->d, .a_row = c->d, .a_k = 1, .b = turned,
                                                   .ldb = CHUNK, .rows = n, .cols = r + n, .k = c->d });
    }
}

void prism_delta_raw(const struct prism_delta_chunk *c)
{
    float *turned = carve(c).delta; /* [d][CHUNK] */
    size_t d = c->d;

    assert(c->n >= 1 && c->n <= CHUNK && d % 8 == 0 && d <= PRISM_MAX_HEAD_DIM);
    for (size_t i = 0; i < d; i += 8) /* some columns of all rows: their lines stay near */
        for (size_t t = 0; t < c->n; t++)
            for (size_t l = 0; l < 8; l++)
                turned[(i + l) * CHUNK + t] = c->keys[t * d + i + l];
    triangle(c, &c->raw[0], c->keys, turned);
    triangle(c, &c->raw[1], c->queries, turned);
}

/* ---- one value head ---- */

/* -L and M from the raw products. Above the diagonal M is 0. */
static void decay_squares(const struct prism_delta_chunk *c, const struct parts *p)
{
    for (size_t t = 0; t < c->n; t++) {
        float *keys = (*p->keys)[t], *queries = (*p->queries)[t];
        const float *kk = c->raw[0][t], *qk = c->raw[1][t];
        c->kernels->decay(p->weight, c->sums[t], c->sums, t + 1);
        for (size_t s = 0; s < t; s++)
            keys[s] = -c->beta[t] * p->weight[s] * kk[s];
        for (size_t s = 0; s <= t; s++)
            queries[s] = p->weight[s] * qk[s];
        for (size_t s = t + 1; s < c->n; s++)
            queries[s] = 0;
    }
}

/* delta = (I + L)^-1 delta, by rows from the first on. */
static void solve(const struct prism_delta_chunk *c, const struct parts *p)
{
    size_t d = c->d;

    for (size_t r = 0; r < c->n; r += STEP) {
        size_t rows = min_size(STEP, c->n - r);
        struct prism_matmul m = { .c = p->delta + r * d, .ldc = d, .a = (*p->keys)[r], .a_row = CHUNK, .a_k = 1, .b = p->delta, .ldb = d,
                                  .rows = rows, .cols = d, .k = r, .add = true };
        if (r > 0)
            c->kernels->matmul(&m);
        m.b = p->delta + r * d, m.rows = 1;
        for (m.k = 1; m.k < rows; m.k++) {
            m.c = p->delta + (r + m.k) * d, m.a = (*p->keys)[r + m.k] + r;
            c->kernels->matmul(&m);
        }
    }
}

/* values = exp(G) Q S, and delta = the right sides, which need the values first. */
static void read_state(const struct prism_delta_chunk *c, const struct parts *p)
{
    size_t d = c->d;
    double negative[CHUNK] = { 0 };
    struct prism_matmul m = { .c = p->delta, .ldc = d, .a = c->keys, .a_row = d, .a_k = 1, .b = c->from, .ldb = d, .rows = c->n, .cols = d,
                              .k = c->from ? d : 0 };

    for (size_t t = 0; t < c->n; t++)
        negative[t] = -c->sums[t];
    c->kernels->decay(p->decay, 0, negative, c->n);
    c->kernels->matmul(&m);
    for (size_t t = 0; t < c->n; t++)
        for (size_t i = 0; i < d; i++)
            p->delta[t * d + i] = c->beta[t] * (c->values[t * d + i] - p->decay[t] * p->delta[t * d + i]);
    m.c = c->values, m.a = c->queries;
    c->kernels->matmul(&m);
    for (size_t t = 0; t < c->n; t++)
        c->kernels->scale(c->values + t * d, p->decay[t], d);
}

/* values += M D */
static void add_chunk(const struct prism_delta_chunk *c, const struct parts *p)
{
    size_t d = c->d;

    for (size_t r = 0; r < c->n; r += BAND) {
        size_t rows = min_size(BAND, c->n - r);
        c->kernels->matmul(&(struct prism_matmul){ .c = c->values + r * d, .ldc = d, .a = (*p->queries)[r], .a_row = CHUNK, .a_k = 1, .b = p->delta,
                                                   .ldb = d, .rows = rows, .cols = d, .k = r + rows, .add = true });
    }
}

static void write_state(const struct prism_delta_chunk *c, const struct parts *p)
{
    size_t d = c->d;
    const float last = p->decay[c->n - 1];

    c->kernels->decay(p->weight, c->sums[c->n - 1], c->sums, c->n);
    for (size_t t = 0; t < c->n; t++)
        c->kernels->scale(p->delta + t * d, p->weight[t], d);
    for (size_t i = 0; i < d * d; i++)
        c->to[i] = c->from ? last * c->from[i] : 0;
    c->kernels->matmul(&(struct prism_matmul){ .c = c->to, .ldc = d, .a = c->keys, .a_row = 1, .a_k = d, .b = p->delta, .ldb = d, .rows = d, .cols = d,
                                               .k = c->n, .add = true });
}

void prism_delta_run(const struct prism_delta_chunk *c)
{
    struct parts p = carve(c);

    assert(c->n >= 1 && c->n <= CHUNK && c->d % 8 == 0 && c->d <= PRISM_MAX_HEAD_DIM);
    read_state(c, &p);
    decay_squares(c, &p);
    solve(c, &p);
    add_chunk(c, &p);
    write_state(c, &p);
}

/* ---- work ---- */

double prism_delta_raw_work(size_t n, size_t d) { return 2.0 * (double)(n * (n + 1)) * (double)d; }

double prism_delta_run_work(size_t n, size_t d) { return 6.0 * (double)(n * d * d) + 2.0 * (double)(n * n) * (double)d; }
