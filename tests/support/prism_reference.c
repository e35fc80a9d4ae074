/* prism_reference.c - see prism_reference.h. */
#include "tests/support/prism_reference.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/size.h"
#include "tests/support/kernel_test.h"

/* Place of a dim in the order of frequencies: pair 0 first, unrotated dims last. */
static size_t place(const struct select_case *c, size_t dim)
{
    size_t half = c->n_rot / 2;
    if (dim >= c->n_rot || c->interleaved)
        return dim;
    return dim < half ? 2 * dim : 2 * (dim - half) + 1;
}

static bool in_band(const struct select_case *c, size_t dim, int band)
{
    size_t at = place(c, dim);
    return band == 0 ? at < c->params.bands.high_end : at >= c->params.bands.low_begin;
}

/* ---- pooled blocks ---- */

struct pooled {
    double mean[PRISM_MAX_HEAD_DIM], abs[PRISM_MAX_HEAD_DIM]; /* mean of magnitudes: what rounding errors are in proportion to */
    bool full, present;
};

static struct pooled pool(const struct select_case *c, const float *x, size_t ld, size_t from, size_t to)
{
    struct pooled p = { .full = to - from == c->block, .present = true };
    for (size_t i = 0; i < c->d; i++)
        for (size_t t = from; t < to; t++) {
            p.mean[i] += (double)x[t * ld + i] / (double)(to - from);
            p.abs[i] += fabs((double)x[t * ld + i]) / (double)(to - from);
        }
    return p;
}

static struct pooled *pool_keys(const struct select_case *c, size_t head, size_t end)
{
    size_t n = (end + c->block - 1) / c->block;
    struct pooled *k = calloc(n, sizeof *k);
    for (size_t v = 0; v < n; v++)
        k[v] = pool(c, c->k + head * c->n_tokens * c->d, c->d, v * c->block, min_size((v + 1) * c->block, end));
    return k;
}

/* A query block holds the rows of the last call that touched it. Blocks of earlier calls are there for causal energies only. */
static struct pooled *pool_queries(const struct select_case *c, size_t head, const size_t *ends, size_t n_calls)
{
    size_t n = (ends[n_calls - 1] + c->block - 1) / c->block;
    struct pooled *q = calloc(n, sizeof *q);
    for (size_t i = 0; i < n_calls; i++) {
        size_t from = i ? ends[i - 1] : 0;
        if (i + 1 < n_calls && c->params.energy == PRISM_ENERGY_GLOBAL)
            continue;
        for (size_t u = from / c->block; u * c->block < ends[i]; u++)
            q[u] = pool(c, c->q + head * c->d, c->n_head * c->d, max_size(from, u * c->block), min_size((u + 1) * c->block, ends[i]));
    }
    return q;
}

/* Share of a band in the energy of blocks 0..last: of the full ones, of all when none is full. */
static double share(const struct select_case *c, const struct pooled *b, size_t last, int band)
{
    bool any_full = false;
    double in = 0, all = 0;

    for (size_t v = 0; v <= last; v++)
        any_full = any_full || b[v].full;
    for (size_t v = 0; v <= last; v++)
        for (size_t i = 0; i < c->d && b[v].present && (b[v].full || !any_full); i++) {
            double e = b[v].mean[i] * b[v].mean[i];
            all += e;
            in += in_band(c, i, band) ? e : 0;
        }
    return in / all;
}

/* ---- one row ---- */

/* Whether entry v of the row is kept: the sum of those that come before it is below the threshold. */
static bool kept(const double *p, size_t n, size_t v, double threshold)
{
    uint64_t before = 0, mine = (uint64_t)floor(p[v] * 0x1p30 + 0.5);
    for (size_t w = 0; w < n; w++) {
        uint64_t other = (uint64_t)floor(p[w] * 0x1p30 + 0.5);
        if (other > mine || (other == mine && w < v))
            before += other;
    }
    return threshold >= 1 || before < (uint64_t)floor(threshold * 0x1p30 + 0.5);
}

struct row {
    struct prism_reference *r;
    const struct select_case *c;
    const struct pooled *q, *k;
    size_t head, u;
    bool meanpool;
};

static double threshold(const struct select_case *c, int band) { return band == 0 ? c->params.p_high : c->params.p_low; }

/* Probabilities of one band. Returns false when the band is skipped. */
static bool score(const struct row *s, int band, double *p, double *error)
{
    const struct select_case *c = s->c;
    size_t last = c->params.energy == PRISM_ENERGY_CAUSAL ? s->u : s->r->n - 1, n = s->u + 1;
    double rho = s->meanpool ? 1 : share(c, s->q, last, band) * share(c, s->k, last, band), scale = (double)c->scale / sqrt(rho);
    double sum = 0, most = -INFINITY, magnitude = 0;

    if (!(rho >= 1e-12))
        return false;
    for (size_t v = 0; v < n; v++) {
        double dot = 0, abs = 0;
        for (size_t i = 0; i < c->d; i++)
            if (s->meanpool || in_band(c, i, band)) {
                dot += s->q[s->u].mean[i] * s->k[v].mean[i];
                abs += s->q[s->u].abs[i] * s->k[v].abs[i];
            }
        p[v] = scale * dot;
        most = fmax(most, p[v]);
        magnitude = fmax(magnitude, scale * abs);
    }
    for (size_t v = 0; v < n; v++)
        sum += p[v] = exp(p[v] - most);
    for (size_t v = 0; v < n; v++)
        p[v] /= sum;
    /* A mean of B values is off by B units of 2^-24 of the mean magnitude, a sum of d products by d; the temperature, made of the same
     * means, by no more than that again; P by twice the error of its logit and by what the softmax kernel is allowed. */
    *error = fmax(*error, 4 * (double)(2 * c->block + c->d) * 0x1p-24 * magnitude + 2e-6);
    return true;
}

static void run_row(const struct row *s)
{
    struct prism_reference *r = s->r;
    size_t index = s->head * r->n_rows + s->u - r->first, at = index * r->n;
    double mass = 0;
    int bands = 0;

    for (int band = 0; band < (s->meanpool ? 1 : 2); band++) {
        double *p = r->p[band] + at;
        if (!score(s, band, p, &r->error[index]))
            continue;
        bands++;
        for (size_t v = 0; v <= s->u; v++)
            if (kept(p, s->u + 1, v, threshold(s->c, band))) {
                r->bits[at + v] = 1;
                mass += p[v];
            }
    }
    r->mass[s->head] += bands ? mass / bands / (double)r->n_rows : NAN;
    r->bits[at] = r->bits[at + s->u] = 1;
}

struct prism_reference prism_reference_run(const struct select_case *c, const size_t *ends, size_t n_calls, bool meanpool)
{
    size_t end = ends[n_calls - 1], n = (end + c->block - 1) / c->block, first = (n_calls > 1 ? ends[n_calls - 2] : 0) / c->block;
    size_t rows = c->n_head * (n - first);
    struct prism_reference r = {
        c->n_head, first, n - first, n, { calloc(rows * n, sizeof(double)), calloc(rows * n, sizeof(double)) },
        calloc(rows, sizeof(double)), calloc(rows * n, 1), calloc(c->n_head, sizeof(double)),
    };
    for (size_t h = 0; h < c->n_head; h++) {
        struct pooled *q = pool_queries(c, h, ends, n_calls), *k = pool_keys(c, h / (c->n_head / c->n_head_kv), end);
        for (size_t u = first; u < n; u++)
            run_row(&(struct row){ &r, c, q, k, h, u, meanpool });
        free(q);
        free(k);
    }
    return r;
}

void prism_reference_free(struct prism_reference *r)
{
    free(r->p[0]), free(r->p[1]), free(r->error), free(r->bits), free(r->mass);
    *r = (struct prism_reference){ 0 };
}

/* ---- judgement ---- */

/* Rounding may move the sum before v over the threshold, or exchange v with an entry of about the same probability. */
static bool on_the_edge(const double *p, size_t n, size_t v, double limit, double error)
{
    double before = 0, unit = 0x1p-30;
    for (size_t w = 0; w < n; w++) {
        before += p[w] > p[v] || (p[w] == p[v] && w < v) ? p[w] : 0;
        if (w != v && fabs(p[w] - p[v]) <= error * (p[w] + p[v]) + 2 * unit)
            return true;
    }
    return p[0] + p[n - 1] > 0 && fabs(before - limit) <= error + (double)n * unit;
}

size_t prism_reference_differences(const struct prism_reference *r, const struct select_case *c)
{
    size_t different = 0;

    assert_int_equal(c->mask.first, r->first);
    assert_int_equal(c->mask.n_rows, r->n_rows);
    for (size_t h = 0; h < r->n_head; h++) {
        size_t until_here = different;
        double error = 0;
        for (size_t row = 0; row < r->n_rows; row++) {
            size_t index = h * r->n_rows + row, at = index * r->n, u = r->first + row;
            error = fmax(error, r->error[index]);
            for (size_t v = 0; v < 64 * c->mask.words; v++) {
                bool got = select_case_bit(c, h, u, v), want = v < r->n && r->bits[at + v];
                if (got == want)
                    continue;
                different++;
                if (v > u || !(on_the_edge(r->p[0] + at, u + 1, v, c->params.p_high, r->error[index]) ||
                               on_the_edge(r->p[1] + at, u + 1, v, c->params.p_low, r->error[index])))
                    fail_msg("head %zu, query block %zu, key block %zu: %s", h, u, v, got ? "chosen" : "not chosen");
            }
        }
        if (different == until_here && !(fabs(c->mass[h] - r->mass[h]) <= error + (double)r->n * 0x1p-30) && !isnan(r->mass[h]))
            fail_msg("head %zu: mass %.9f, expected %.9f", h, c->mass[h], r->mass[h]);
        assert_true(!isnan(r->mass[h]) || isnan(c->mass[h]));
    }
    return different;
}

/* ---- a prompt ---- */

static void fill_head(const struct select_case *c, float *x, size_t ld, double size)
{
    const double stay = 0.98, fresh = sqrt(1 - stay * stay); /* blocks differ from each other and are alike inside */
    double walk[PRISM_MAX_HEAD_DIM] = { 0 };

    for (size_t t = 0; t < c->n_tokens; t++) {
        double grown = size * (0.5 + (double)t / (double)c->n_tokens);
        float noise[PRISM_MAX_HEAD_DIM];
        kt_fill(noise, c->d, KT_NORMAL);
        for (size_t i = 0; i < c->d; i++)
            walk[i] = (t ? stay : 0) * walk[i] + (t ? fresh : 1) * (double)noise[i];
        for (size_t dim = 0; dim < c->d; dim++) {
            size_t at = place(c, dim);
            double angle = (double)t * pow(10000, -(double)(at / 2 * 2) / (double)c->n_rot);
            double rotated = at % 2 ? walk[at - 1] * sin(angle) + walk[at] * cos(angle) : walk[at] * cos(angle) - walk[at + 1] * sin(angle);
            x[t * ld + dim] = (float)(grown * (at >= c->n_rot ? walk[at] : rotated));
        }
    }
}

void prism_reference_prompt(struct select_case *c, uint32_t seed, double size)
{
    kt_seed(seed);
    for (size_t h = 0; h < c->n_head; h++)
        fill_head(c, c->q + h * c->d, c->n_head * c->d, size);
    for (size_t h = 0; h < c->n_head_kv; h++)
        fill_head(c, c->k + h * c->n_tokens * c->d, c->d, size);
}
