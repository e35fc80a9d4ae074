/* prism_rows.c - the selector "prism-rows": a block is computed when any row of the query block needs it.
 *
 * Pooled scores lose what one row of 64 looks for. Here every row is scored with every key, in the few coordinates of a sketch and in bytes
 * (sketch.h): per row the largest logit of each block, a softmax of these maxima over the row's causal blocks, and a block is chosen when
 * some row gives it at least t. */
#include <math.h>
#include <string.h>

#include "src/attention/selectors.h"
#include "src/attention/sketch.h"
#include "src/base/size.h"

struct work {
    const struct prism_select_call *c;
    size_t from;          /* first block of keys that is not sketched yet */
    double *mass;         /* [n_head][n_rows] */
    uint32_t threshold;   /* t in units of 2^-30 */
    uint8_t *failed;      /* [n_head_kv] */
};

static size_t n_rows(const struct prism_select_call *c) { return prism_select_blocks(c) - c->q_pos / c->block; }

static size_t shared_bytes(const struct prism_select_call *c)
{
    return prism_carved(c->n_head * n_rows(c), sizeof(double)) + prism_carved(c->n_head_kv, 1);
}

static size_t thread_bytes(const struct prism_select_call *c)
{
    size_t n = prism_select_blocks(c), b = c->block;
    return prism_carved(b * n, sizeof(float)) + prism_carved(n, sizeof(uint32_t)) + prism_carved(b * prism_sketch_dim(c->d), 1) +
           2 * prism_carved(b, sizeof(float)) + prism_carved(b, sizeof(int32_t)) + prism_sketch_scratch(c);
}

static uint8_t *thread_scratch(const struct work *w, uint32_t thread) { return w->c->scratch + (size_t)thread * w->c->scratch_bytes; }

static void basis_job(void *arg, size_t job, uint32_t thread)
{
    const struct work *w = arg;
    w->failed[job] = !prism_sketch_basis(w->c, job, thread_scratch(w, thread));
}

static void keys_job(void *arg, size_t job, uint32_t thread)
{
    const struct work *w = arg;
    size_t n = prism_select_blocks(w->c) - w->from;
    prism_sketch_keys(w->c, job / n, w->from + job % n, thread_scratch(w, thread));
}

/* One head of one query block: logits of its rows' best keys by block, then the choice. */
static void choose(const struct work *w, size_t head, size_t row, uint8_t *scratch)
{
    const struct prism_select_call *c = w->c;
    const struct prism_sketch *s = c->sketch;
    size_t u = c->mask->first + row, n = u + 1, b = c->block, kv = head / (c->n_head / c->n_head_kv), r = s->rank[kv];
    size_t from = max_size(u * b, c->q_pos), rows = min_size((u + 1) * b, c->kv_len) - from;
    float *x = prism_carve(&scratch, b * prism_select_blocks(c), sizeof *x);
    uint32_t *p = prism_carve(&scratch, prism_select_blocks(c), sizeof *p);
    int8_t *q = prism_carve(&scratch, b * prism_sketch_dim(c->d), 1);
    float *scale = prism_carve(&scratch, b, sizeof *scale);
    int32_t *bias = prism_carve(&scratch, b, sizeof *bias), *best = prism_carve(&scratch, b, sizeof *best);
    uint64_t *bits = prism_mask_row(c->mask, head, row);
    double mass = 0;

    prism_sketch_queries(c, head, from - c->q_pos, rows, q, scale, bias, scratch);
    for (size_t v = 0; v < n; v++) {
        size_t at = kv * s->max_blocks + v;
        c->kernels->sketch_rows(&(struct prism_sketch_rows){ .best = best, .q = q, .bias = bias, .rows = rows, .rank = r, .block = b,
                                .keys = s->keys + at * b * prism_sketch_dim(c->d), .causal = v == u, .seen = from - u * b });
        for (size_t i = 0; i < rows; i++)
            x[i * n + v] = (float)best[i] * (scale[i] * s->k_scale[at]);
    }
    for (size_t i = 0; i < rows; i++) {
        uint64_t kept = 0;
        c->kernels->softmax_q30(p, x + i * n, n);
        for (size_t v = 0; v < n; v++)
            if (p[v] >= w->threshold) {
                prism_set_bit(bits, v);
                kept += p[v];
            }
        mass += (double)kept * 0x1p-30;
    }
    w->mass[head * c->mask->n_rows + row] = mass / (double)rows;
}

/* The heads of a group one after the other, so that they find the keys in the cache. Late rows first: they take longest. */
static void row_job(void *arg, size_t job, uint32_t thread)
{
    const struct work *w = arg;
    const struct prism_select_call *c = w->c;
    size_t group = c->n_head / c->n_head_kv, kv = job % c->n_head_kv, row = c->mask->n_rows - 1 - job / c->n_head_kv;

    for (size_t h = 0; h < group; h++)
        choose(w, kv * group + h, row, thread_scratch(w, thread));
}

static void choose_all(const struct prism_select_call *c)
{
    for (size_t h = 0; h < c->n_head; h++)
        for (size_t row = 0; row < c->mask->n_rows; row++)
            for (size_t v = 0; v <= c->mask->first + row; v++)
                prism_set_bit(prism_mask_row(c->mask, h, row), v);
}

static bool select_rows(const struct prism_select_call *c)
{
    uint8_t *at = c->shared;
    struct prism_sketch *s = c->sketch;
    struct work w = { .c = c, .threshold = (uint32_t)(c->params->row_mass * 0x1p30) };

    w.mass = prism_carve(&at, c->n_head * c->mask->n_rows, sizeof *w.mass);
    w.failed = prism_carve(&at, c->n_head_kv, 1);
    memset(w.failed, 0, c->n_head_kv);
    if (c->q_pos == 0)
        memset(s->rank, 0, c->n_head_kv * sizeof *s->rank), *s->n_done = 0;
    if (!s->rank[0] && !c->runner.run(c->runner.self, c->n_head_kv, 0, basis_job, &w))
        return false;
    for (size_t h = 0; h < c->n_head_kv; h++)
        if (w.failed[h]) { /* numbers that are not finite: attention will show them */
            memset(s->rank, 0, c->n_head_kv * sizeof *s->rank);
            choose_all(c);
            return true;
        }
    w.from = min_size(*s->n_done, c->q_pos / c->block);
    size_t n = prism_select_blocks(c);
    if (!c->runner.run(c->runner.self, c->n_head_kv * (n - w.from), 0, keys_job, &w))
        return false;
    *s->n_done = c->kv_len / c->block;
    double row_work = (double)(c->block * c->d * (c->n_head / c->n_head_kv)) * (double)c->kv_len / 8;
    if (!c->runner.run(c->runner.self, c->n_head_kv * c->mask->n_rows, row_work, row_job, &w))
        return false;
    for (size_t h = 0; h < c->n_head; h++) {
        c->mass[h] = 0;
        for (size_t r = 0; r < c->mask->n_rows; r++)
            c->mass[h] += w.mass[h * c->mask->n_rows + r] / (double)c->mask->n_rows;
    }
    return true;
}

const struct prism_selector prism_selector_rows = { "prism-rows", false, true, shared_bytes, thread_bytes, select_rows };
