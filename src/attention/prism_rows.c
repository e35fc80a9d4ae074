/* prism_rows.c - the selector "prism-rows": a block is computed when any row of the query block needs it.
 *
 * Pooled scores lose what one row of 64 looks for. Here every row is scored with every key, in the coordinates of a sketch and in bytes
 * (sketch.h). Per row, the logit of a block is that of its best key, and p is the softmax of the logits over the row's causal blocks. A block
 * is chosen when
 *   some row gives it p >= t(e), or
 *   its rows give it p >= t(e) / PRISM_ROWS_MEAN on average: what many rows need a little, which is what prose is made of.
 * e is the position behind the query block, t(e) = t * (PRISM_ROWS_FROM / e)^PRISM_ROWS_FALL, e held between PRISM_ROWS_FROM and
 * PRISM_ROWS_UNTIL: a row that looks for one thing needs the same few blocks at every length, one that reads broadly needs more of them, each
 * with less of its mass.
 *
 * Most blocks are far below t, which the mean of their keys shows: a product in place of one for each key. Rows meet the diagonal block, block 0,
 * then blocks backwards from the diagonal. A block is dropped for four rows when the logit of its mean, raised by some deviations, reaches for none
 * of them log t below the log-sum of the blocks so far (renewed every eight blocks); that of the mean, raised by PRISM_ROWS_TYPICAL deviations,
 * then stands for it in the softmax (struct prism_sketch_scan). A deviation is that of q'.k' about q'.mean where coordinates vary independently
 * within blocks, sqrt(sum of within_c q'_c^2), times how far the block's outermost key lies, sqrt(mean of (k'_c - mean_c)^2 / within_c). How
 * many, query blocks of the first call tell, for which all keys of all blocks are met (reach.h). */
#include <math.h>
#include <string.h>

#include "src/attention/reach.h"
#include "src/attention/selectors.h"
#include "src/attention/sketch.h"
#include "src/base/size.h"

/* What was tried, with figures: README.md in this folder. */
#define PRISM_ROWS_FALL 2.2
#define PRISM_ROWS_MEAN 9
#define PRISM_ROWS_TYPICAL 1.5f
#define PRISM_ROWS_FROM 8192.0
#define PRISM_ROWS_UNTIL 16384.0
enum { LANES = PRISM_SKETCH_ROWS };

struct work {
    const struct prism_select_call *c;
    size_t from;          /* first block of keys that is not sketched yet */
    double *mass;         /* [n_head][n_rows] */
    double t;             /* 0 < t <= 1 */
    uint8_t *failed;      /* [n_head_kv] */
    uint32_t *counts;     /* [n_head][n_samples][PRISM_REACH_STEPS] */
};

static size_t n_rows(const struct prism_select_call *c) { return prism_select_blocks(c) - c->q_pos / c->block; }

/* Query blocks of the call that tell how far the best keys are from the means. */
static size_t n_samples(const struct prism_select_call *c) { return min_size(n_rows(c), 4 + n_rows(c) / 64); }

static size_t shared_bytes(const struct prism_select_call *c)
{
    return prism_carved(c->n_head * n_rows(c), sizeof(double)) + prism_carved(c->n_head_kv, 1) +
           prism_carved(c->n_head * n_samples(c) * PRISM_REACH_STEPS, sizeof(uint32_t));
}

static size_t max_tiles(const struct prism_select_call *c) { return c->block / LANES; }

static size_t thread_bytes(const struct prism_select_call *c)
{
    size_t n = prism_select_blocks(c), b = c->block;
    return 2 * (prism_carved(b * n, sizeof(float)) + prism_carved(max_tiles(c), sizeof(struct prism_sketch_tile))) +
           prism_carved(b * prism_sketch_dim(c->d), 1) + prism_sketch_scratch(c);
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

/* log2 of t for rows that end at a position: a power of it from PRISM_ROWS_FROM to PRISM_ROWS_UNTIL. */
static float log_threshold(double t, size_t end)
{
    double times = fmin((double)end, PRISM_ROWS_UNTIL) / PRISM_ROWS_FROM;
    return (float)(log2(t) - (times > 1 ? PRISM_ROWS_FALL * log2(times) : 0));
}

/* One head of one query block, before it has met a block of keys. */
struct query_block {
    struct prism_sketch_scan scan;
    size_t u, rows, seen; /* its first row sees keys j <= seen of block u */
};

static struct query_block begin(const struct work *w, size_t head, size_t row, uint8_t **scratch)
{
    const struct prism_select_call *c = w->c;
    const struct prism_sketch *s = c->sketch;
    size_t u = c->mask->first + row, b = c->block, kv = head / (c->n_head / c->n_head_kv), dim = prism_sketch_dim(c->d), at = kv * s->max_blocks;
    size_t from = max_size(u * b, c->q_pos), rows = min_size((u + 1) * b, c->kv_len) - from;
    float *x = prism_carve(scratch, b * prism_select_blocks(c), sizeof *x), log_t = log_threshold(w->t, (u + 1) * b);
    struct prism_sketch_tile *tiles = prism_carve(scratch, max_tiles(c), sizeof *tiles);
    int8_t *q = prism_carve(scratch, b * dim, 1);

    prism_sketch_queries(c, head, from - c->q_pos, rows, tiles, q, *scratch);
    return (struct query_block){ { .tiles = tiles, .n_tiles = div_up(rows, LANES), .x = x, .keys = s->keys + at * b * dim, .k_scale = s->k_scale + at,
                                   .k_rest = s->k_rest + at, .means = s->means + at * dim, .mean_bytes = dim, .block = b,
                                   .block_bytes = b * dim, .rank = s->rank[kv],
                                   .lift = PRISM_ROWS_TYPICAL / s->sigmas[head], .log_t = log_t,
                                   .log_mean = log_t - log2f(PRISM_ROWS_MEAN) }, u, rows, from - u * b };
}

/* Logits of its rows' best keys by block, likely blocks first. */
static void scan_all(const struct prism_select_call *c, const struct query_block *q, bool whole)
{
    c->kernels->sketch_scan(&q->scan, q->u, 1, q->seen, true);
    if (q->u > 0)
        c->kernels->sketch_scan(&q->scan, 0, 1, c->block, true);
    if (q->u > 1)
        c->kernels->sketch_scan(&q->scan, q->u - 1, q->u - 1, c->block, whole);
}

static void choose(const struct work *w, size_t head, size_t row, uint8_t *scratch)
{
    const struct prism_select_call *c = w->c;
    struct query_block q = begin(w, head, row, &scratch);
    double mass = 0;

    scan_all(c, &q, false);
    c->kernels->sketch_needed(&q.scan, q.u + 1, prism_mask_row(c->mask, head, row));
    for (size_t i = 0; i < q.rows; i++)
        mass += (double)q.scan.tiles[i / LANES].mass[i % LANES];
    w->mass[head * c->mask->n_rows + row] = mass / (double)q.rows;
}

/* A kv head of one of the query blocks that are looked at: all blocks with all keys, and with the means alone. */
static void reach_job(void *arg, size_t job, uint32_t thread)
{
    const struct work *w = arg;
    const struct prism_select_call *c = w->c;
    size_t n = n_samples(c), kv = job / n, row = (2 * (job % n) + 1) * n_rows(c) / (2 * n), group = c->n_head / c->n_head_kv;

    for (size_t h = 0; h < group; h++) {
        uint8_t *scratch = thread_scratch(w, thread);
        uint32_t *counts = w->counts + ((kv * group + h) * n + job % n) * PRISM_REACH_STEPS;
        struct query_block q = begin(w, kv * group + h, row, &scratch), mean = q;
        mean.scan.x = prism_carve(&scratch, c->block * prism_select_blocks(c), sizeof *mean.scan.x);
        mean.scan.tiles = prism_carve(&scratch, max_tiles(c), sizeof *mean.scan.tiles);
        for (size_t t = 0; t < q.scan.n_tiles; t++) {
            mean.scan.tiles[t] = q.scan.tiles[t];
            for (size_t i = 0; i < LANES; i++)
                mean.scan.tiles[t].reach[i] = -0x1p100f; /* no block is met key by key */
        }
        mean.scan.lift = 0;
        scan_all(c, &q, true);
        scan_all(c, &mean, false);
        memset(counts, 0, PRISM_REACH_STEPS * sizeof *counts);
        prism_reach_count(counts, &q.scan, mean.scan.x, q.u);
    }
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
    struct work w = { .c = c, .t = c->params->row_mass };

    w.mass = prism_carve(&at, c->n_head * c->mask->n_rows, sizeof *w.mass);
    w.failed = prism_carve(&at, c->n_head_kv, 1);
    w.counts = prism_carve(&at, c->n_head * n_samples(c) * PRISM_REACH_STEPS, sizeof *w.counts);
    memset(w.failed, 0, c->n_head_kv);
    if (!s->rank[0] || c->q_pos <= *s->made_at) {
        memset(s->rank, 0, c->n_head_kv * sizeof *s->rank);
        *s->n_done = 0, *s->made_at = c->q_pos;
    }
    const bool begins = !s->rank[0];
    if (begins && !c->runner.run(c->runner.self, c->n_head_kv, 0, basis_job, &w))
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
    if (begins) {
        for (size_t h = 0; h < c->n_head; h++)
            s->sigmas[h] = 1;
        if (!c->runner.run(c->runner.self, c->n_head_kv * n_samples(c), 0, reach_job, &w))
            return false;
        for (size_t h = 0; h < c->n_head; h++)
            s->sigmas[h] = prism_reach(w.counts + h * n_samples(c) * PRISM_REACH_STEPS, n_samples(c));
    }
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
