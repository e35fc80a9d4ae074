/* xattention.c - XAttention (Xu et al. 2025, arXiv 2503.16428).
 *
 * Queries and keys are taken S at a time, from position 0. A pair of groups is scored by the sum along its antidiagonal, which every
 * vertical and every slash line crosses: the product of the group's keys, side by side, with the group's queries in reverse order. Softmax
 * of each query group over the key groups up to its own; the mass of a block pair is the sum over its groups. Per row of blocks:
 * sink and diagonal, then the heaviest others until a share `threshold` of the row's mass is covered, of which sink and diagonal are part.
 *
 * Tokens of a group that are missing (behind the last key, or in a continued prefill queries of an earlier call) count as zeros.
 * Deviations: masses are integers in units of 2^-30; equal masses: the lower block first. Scores of some 64 query groups at a time are
 * kept, 4 MB per thread at 131072 tokens and S = 8. */
#include <math.h>
#include <string.h>

#include "src/attention/cut.h"
#include "src/attention/scores.h"
#include "src/attention/selectors.h"
#include "src/base/size.h"

enum { ROWS = 64 }; /* query groups that a job takes at least, when there are as many: each of them reads all keys */

static size_t groups_per_block(const struct prism_select_call *c) { return c->block / c->params->stride; }
static size_t n_groups(const struct prism_select_call *c) { return (c->kv_len + c->params->stride - 1) / c->params->stride; }
static size_t blocks_per_job(const struct prism_select_call *c) { return max_size(ROWS / groups_per_block(c), 1); }
static size_t max_rows(const struct prism_select_call *c) { return blocks_per_job(c) * groups_per_block(c); }
static size_t n_rows(const struct prism_select_call *c) { return prism_select_blocks(c) - c->q_pos / c->block; }

static size_t shared_bytes(const struct prism_select_call *c) { return prism_carved(c->n_head * n_rows(c), sizeof(double)); }

static size_t thread_bytes(const struct prism_select_call *c)
{
    return prism_carved(prism_scores_panel(c) * c->params->stride * c->d, sizeof(float)) +
           prism_carved(max_rows(c) * n_groups(c), sizeof(float)) + prism_carved(n_groups(c), sizeof(uint32_t)) +
           prism_carved(prism_select_blocks(c), sizeof(uint64_t)) + prism_scores_bytes(c, max_rows(c), c->params->stride);
}

struct work {
    const struct prism_select_call *c;
    size_t jobs_per_head;
    double *mass; /* [n_head][n_rows] */
};

/* Queries of group a in reverse order. */
static void gather(const struct prism_select_call *c, float *row, size_t head, size_t a)
{
    size_t stride = c->params->stride;

    for (size_t t = 0; t < stride; t++, row += c->d) {
        size_t pos = a * stride + stride - 1 - t;
        if (pos >= c->q_pos && pos < c->kv_len)
            memcpy(row, c->q + ((pos - c->q_pos) * c->n_head + head) * c->d, c->d * sizeof *row);
        else
            memset(row, 0, c->d * sizeof *row);
    }
}

/* Chooses in row u, mass[0..u] being the mass of its blocks (replaced). Returns the share that is covered. */
static double choose(const struct prism_select_call *c, uint64_t *bits, uint64_t *mass, size_t u)
{
    uint64_t sum = 0, kept = u ? mass[0] + mass[u] : mass[0];

    for (size_t v = 0; v <= u; v++)
        sum += mass[v];
    uint64_t need = (uint64_t)(c->params->threshold * (double)sum);
    prism_set_bit(bits, 0);
    prism_set_bit(bits, u);
    mass[0] = mass[u] = 0;
    if (kept < need) {
        /* A block is taken when those before it do not cover the need: all that fit below it, and one more. */
        struct prism_cut cut = prism_cut_sum(mass, u + 1, need - kept - 1);
        cut.equal++;
        for (size_t v = 0; v <= u; v++)
            if (prism_cut_takes(&cut, mass[v])) {
                prism_set_bit(bits, v);
                kept += mass[v];
            }
    }
    return (double)kept / (double)sum;
}

static void chunk_job(void *arg, size_t job, uint32_t thread)
{
    const struct work *w = arg;
    const struct prism_select_call *c = w->c;
    const struct prism_mask *m = c->mask;
    size_t head = job / w->jobs_per_head, row = job % w->jobs_per_head * blocks_per_job(c), end = min_size(row + blocks_per_job(c), m->n_rows);
    size_t stride = c->params->stride, per_block = groups_per_block(c), all = n_groups(c);
    size_t from = max_size((m->first + row) * per_block, c->q_pos / stride), to = min_size((m->first + end) * per_block, all);
    size_t panel = prism_scores_panel(c);
    uint8_t *at = c->scratch + (size_t)thread * c->scratch_bytes;
    float *queries = prism_carve(&at, panel * stride * c->d, sizeof *queries), *x = prism_carve(&at, max_rows(c) * all, sizeof *x);
    uint32_t *p = prism_carve(&at, all, sizeof *p);
    uint64_t *mass = prism_carve(&at, prism_select_blocks(c), sizeof *mass);
    struct prism_scores s = prism_scores_open(c, max_rows(c), stride, &at);

    for (size_t a = from; a < to; a += panel) {
        size_t n = min_size(panel, to - a);
        for (size_t i = 0; i < n; i++)
            gather(c, queries + i * stride * c->d, head, a + i);
        prism_scores_pack(&s, (a - from) / panel, queries, stride * c->d, n);
    }
    prism_scores_run(&s, head / (c->n_head / c->n_head_kv), x, to, to - from, to);

    float scale = c->scale / (float)stride;
    for (size_t a = from; row < end; row++) {
        size_t u = m->first + row;
        memset(mass, 0, (u + 1) * sizeof *mass);
        for (; a < min_size((u + 1) * per_block, to); a++) {
            float *logit = x + (a - from) * to;
            for (size_t b = 0; b <= a; b++)
                logit[b] *= scale;
            c->kernels->softmax_q30(p, logit, a + 1);
            for (size_t b = 0; b <= a; b++)
                mass[b / per_block] += p[b];
        }
        w->mass[head * m->n_rows + row] = choose(c, prism_mask_row(m, head, row), mass, u);
    }
}

static bool select_xattention(const struct prism_select_call *c)
{
    size_t rows = c->mask->n_rows, per_head = (rows + blocks_per_job(c) - 1) / blocks_per_job(c);
    struct work w = { c, per_head, (double *)(void *)c->shared };
    double row_work = (double)(max_rows(c) * c->d) * (double)c->kv_len;

    if (!c->runner.run(c->runner.self, c->n_head * per_head, row_work, chunk_job, &w))
        return false;
    for (size_t h = 0; h < c->n_head; h++) {
        c->mass[h] = 0;
        for (size_t r = 0; r < rows; r++)
            c->mass[h] += w.mass[h * rows + r] / (double)rows;
    }
    return true;
}

const struct prism_selector prism_selector_xattention = { "xattention", false, false, shared_bytes, thread_bytes, select_xattention };
