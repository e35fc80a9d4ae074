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
 * Most blocks are far below t, which shows early. 16 rows at a time meet the diagonal block, block 0, then blocks backwards from the
 * diagonal. After PRISM_SKETCH_FIRST coordinates a block is dropped when no row's logit, raised by what its other coordinates would
 * add with PRISM_SKETCH_SIGMAS deviations, reaches log t below the log-sum of the blocks so far (renewed every eight blocks); its logit of
 * the first coordinates then stands for it in the softmax (struct prism_sketch_scan). The reach is |q'| |k'| / sqrt(n) of the n other coordinates, for the block's longest k': where keys have
 * covariance 1 that is the deviation of q'.k'. */
#include <math.h>
#include <string.h>

#include "src/attention/selectors.h"
#include "src/attention/sketch.h"
#include "src/base/size.h"

/* What was tried, with figures: README.md in this folder. */
#define PRISM_ROWS_FALL 2.2
#define PRISM_ROWS_MEAN 9
#define PRISM_ROWS_FROM 8192.0
#define PRISM_ROWS_UNTIL 16384.0
enum { LANES = PRISM_SKETCH_ROWS };

struct work {
    const struct prism_select_call *c;
    size_t from;          /* first block of keys that is not sketched yet */
    double *mass;         /* [n_head][n_rows] */
    double t;             /* 0 < t <= 1 */
    uint8_t *failed;      /* [n_head_kv] */
};

static size_t n_rows(const struct prism_select_call *c) { return prism_select_blocks(c) - c->q_pos / c->block; }

static size_t shared_bytes(const struct prism_select_call *c)
{
    return prism_carved(c->n_head * n_rows(c), sizeof(double)) + prism_carved(c->n_head_kv, 1);
}

static size_t max_tiles(const struct prism_select_call *c) { return c->block / LANES; }

static size_t thread_bytes(const struct prism_select_call *c)
{
    size_t n = prism_select_blocks(c), b = c->block;
    return prism_carved(b * n, sizeof(float)) + prism_carved(max_tiles(c), sizeof(struct prism_sketch_tile)) + prism_carved(b * prism_sketch_dim(c->d), 1) +
           prism_sketch_scratch(c);
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

/* One head of one query block: logits of its rows' best keys by block, likely blocks first, then the choice. */
static void choose(const struct work *w, size_t head, size_t row, uint8_t *scratch)
{
    const struct prism_select_call *c = w->c;
    const struct prism_sketch *s = c->sketch;
    size_t u = c->mask->first + row, b = c->block, kv = head / (c->n_head / c->n_head_kv), dim = prism_sketch_dim(c->d), at = kv * s->max_blocks;
    size_t from = max_size(u * b, c->q_pos), rows = min_size((u + 1) * b, c->kv_len) - from;
    float *x = prism_carve(&scratch, b * prism_select_blocks(c), sizeof *x), log_t = log_threshold(w->t, (u + 1) * b);
    struct prism_sketch_tile *tiles = prism_carve(&scratch, max_tiles(c), sizeof *tiles);
    int8_t *q = prism_carve(&scratch, b * dim, 1);
    struct prism_sketch_scan scan = { .tiles = tiles, .n_tiles = div_up(rows, LANES), .x = x, .keys = s->keys + at * b * dim, .k_scale = s->k_scale + at,
                                      .k_rest = s->k_rest + at, .block = b, .block_bytes = b * dim, .rank = s->rank[kv],
                                      .first = PRISM_SKETCH_FIRST, .log_t = log_t, .log_mean = log_t - log2f(PRISM_ROWS_MEAN) };
    double mass = 0;

    prism_sketch_queries(c, head, from - c->q_pos, rows, tiles, q, scratch);
    c->kernels->sketch_scan(&scan, u, 1, from - u * b, true);
    if (u > 0)
        c->kernels->sketch_scan(&scan, 0, 1, b, true);
    if (u > 1)
        c->kernels->sketch_scan(&scan, u - 1, u - 1, b, false);
    c->kernels->sketch_needed(&scan, u + 1, prism_mask_row(c->mask, head, row));
    for (size_t i = 0; i < rows; i++)
        mass += (double)tiles[i / LANES].mass[i % LANES];
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
    struct work w = { .c = c, .t = c->params->row_mass };

    w.mass = prism_carve(&at, c->n_head * c->mask->n_rows, sizeof *w.mass);
    w.failed = prism_carve(&at, c->n_head_kv, 1);
    memset(w.failed, 0, c->n_head_kv);
    if (!s->rank[0] || c->q_pos <= *s->made_at) {
        memset(s->rank, 0, c->n_head_kv * sizeof *s->rank);
        *s->n_done = 0, *s->made_at = c->q_pos;
    }
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
