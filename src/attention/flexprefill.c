/* flexprefill.c - FlexPrefill (Lai et al. 2025, arXiv 2502.20766).
 *
 * The last B queries attend to all keys. Per head: as many block columns and block diagonals as the keys and distances need that hold a
 * share gamma of this attention. A head is query-aware when pooled scores predict the attention of these queries to each block well, by
 * the square root of their Jensen-Shannon divergence < tau; it then takes the fewest lines and, of the pooled attention of all rows
 * together, the largest entries whose sum is at most gamma of the whole.
 *
 * A continued prefill estimates from the last queries of its own call, and its budget gamma is one over the rows of the call.
 * Deviations: sums are integers in units of 2^-30; a share gamma is taken of the actual sum of the probabilities; 0 log 0 is 0, where the
 * published code gets a NaN and falls back to lines; equal values: the lower index first (entries of the rows: row by row); sink
 * and diagonal of every row are added by prism_select. As in that code, the number of keys is divided by 128 to get blocks of any size. */
#include <math.h>
#include <string.h>

#include "src/attention/cut.h"
#include "src/attention/lines.h"
#include "src/attention/selectors.h"
#include "src/base/size.h"

enum { TOKENS_PER_BLOCK = 128 };

/* Causal pairs of blocks in the rows before row r of the call. */
static size_t pairs_before(const struct prism_select_call *c, size_t r)
{
    size_t first = c->q_pos / c->block;
    return r * (first + 1) + r * (r - 1) / 2;
}

static size_t n_rows(const struct prism_select_call *c) { return prism_select_blocks(c) - c->q_pos / c->block; }
static size_t bit_words(const struct prism_select_call *c) { return prism_select_blocks(c) / 64 + 1; }

struct work {
    const struct prism_select_call *c;
    bool *query_aware;  /* [n_head] */
    uint64_t *pooled;   /* pooled attention of one head, row after row */
    size_t head, n_blocks, min_blocks;
    size_t longest;     /* up to this many tokens everything is chosen */
};

static size_t shared_bytes(const struct prism_select_call *c)
{
    return prism_carved(c->n_head, sizeof(bool)) + prism_carved(pairs_before(c, n_rows(c)), sizeof(uint64_t));
}

static size_t thread_bytes(const struct prism_select_call *c)
{
    size_t n = prism_select_blocks(c);
    size_t lines = 2 * prism_carved(c->kv_len, sizeof(uint64_t)) + 2 * prism_carved(n, sizeof(uint64_t)) + prism_carved(n, sizeof(double)) +
                   2 * prism_carved(bit_words(c), sizeof(uint64_t)) + prism_lines_bytes(c);
    return max_size(lines, 3 * prism_carved(n, sizeof(float)) + prism_carved(n, sizeof(uint32_t)));
}

static uint64_t sum_of(const uint64_t *x, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    return sum;
}

static uint64_t share_of(const struct prism_select_call *c, uint64_t sum) { return (uint64_t)(c->params->gamma * (double)sum); }

/* ---- one head: lines, and whether it is query-aware ---- */

/* Blocks that lines need: entries of x that make up a share gamma, as blocks. */
static size_t budget(const struct work *w, const uint64_t *x, uint64_t sum)
{
    size_t keys = min_size(prism_cut_sum(x, w->c->kv_len, share_of(w->c, sum)).count + 1, w->c->kv_len);
    return max_size(keys / TOKENS_PER_BLOCK + 1, w->min_blocks);
}

static void sum_blocks(const struct work *w, uint64_t *block, const uint64_t *x)
{
    for (size_t v = 0; v < w->n_blocks; v++)
        block[v] = sum_of(x + v * w->c->block, min_size(w->c->block, w->c->kv_len - v * w->c->block));
}

/* x log(x / mean), 0 for x = 0. */
static double term(double x, double mean) { return x > 0 ? x * log(x / mean) : 0; }

/* Square root of the Jensen-Shannon divergence of softmax(logit) and mass / sum. */
static double distance(const double *logit, const uint64_t *mass, uint64_t sum, size_t n)
{
    double most = logit[0], total = 0, twice = 0;

    for (size_t v = 1; v < n; v++)
        most = fmax(most, logit[v]);
    for (size_t v = 0; v < n; v++)
        total += exp(logit[v] - most);
    for (size_t v = 0; v < n; v++) {
        double a = exp(logit[v] - most) / total, b = (double)mass[v] / (double)sum, mean = (a + b) / 2;
        twice += term(a, mean) + term(b, mean);
    }
    return sqrt(fmax(twice, 0) / 2);
}

/* Bits of the n largest of x[0..n_blocks), the first of which comes before all others. */
static void choose(const struct work *w, uint64_t *bits, uint64_t *x, size_t n)
{
    x[0] = UINT64_MAX;
    struct prism_cut cut = prism_cut_count(x, w->n_blocks, n);
    memset(bits, 0, bit_words(w->c) * sizeof *bits);
    for (size_t v = 0; v < w->n_blocks; v++)
        if (prism_cut_takes(&cut, x[v]))
            prism_set_bit(bits, v);
}

static void head_job(void *arg, size_t head, uint32_t thread)
{
    const struct work *w = arg;
    const struct prism_select_call *c = w->c;
    uint8_t *at = c->scratch + (size_t)thread * c->scratch_bytes;
    uint64_t *vertical = prism_carve(&at, c->kv_len, sizeof *vertical), *slash = prism_carve(&at, c->kv_len, sizeof *slash);
    uint64_t *vertical_block = prism_carve(&at, w->n_blocks, sizeof *vertical_block);
    uint64_t *slash_block = prism_carve(&at, w->n_blocks, sizeof *slash_block);
    double *logit = prism_carve(&at, w->n_blocks, sizeof *logit);
    uint64_t *columns = prism_carve(&at, bit_words(c), sizeof *columns), *diagonals = prism_carve(&at, bit_words(c), sizeof *diagonals);

    c->mass[head] = NAN;
    w->query_aware[head] = false;
    if (c->kv_len <= w->longest) {
        memset(columns, 0xff, bit_words(c) * sizeof *columns);
        memset(diagonals, 0, bit_words(c) * sizeof *diagonals);
        prism_lines_draw(c, head, columns, diagonals);
        return;
    }
    prism_lines_measure(c, head, min_size(c->block, c->n_tokens), vertical, slash, logit, at);
    sum_blocks(w, vertical_block, vertical);
    sum_blocks(w, slash_block, slash);

    uint64_t sum = sum_of(vertical_block, w->n_blocks);
    bool aware = w->query_aware[head] = distance(logit, vertical_block, sum, w->n_blocks) < c->params->tau;
    choose(w, columns, vertical_block, aware ? w->min_blocks : budget(w, vertical, sum));
    choose(w, diagonals, slash_block, aware ? w->min_blocks : budget(w, slash, sum));
    prism_lines_draw(c, head, columns, diagonals);
}

/* ---- query-aware heads: pooled attention of all rows ---- */

static void row_job(void *arg, size_t row, uint32_t thread)
{
    const struct work *w = arg;
    const struct prism_select_call *c = w->c;
    const struct prism_mask *m = c->mask;
    size_t n = m->first + row + 1, kv = w->head / (c->n_head / c->n_head_kv);
    uint8_t *at = c->scratch + (size_t)thread * c->scratch_bytes;
    float *x = prism_carve(&at, w->n_blocks, sizeof *x), *inside = prism_carve(&at, w->n_blocks, sizeof *inside);
    float *after = prism_carve(&at, w->n_blocks, sizeof *after);
    uint32_t *p = prism_carve(&at, w->n_blocks, sizeof *p);
    uint64_t *pooled = w->pooled + pairs_before(c, row);

    c->kernels->band_dots(x, inside, after, c->q_mean + (w->head * m->n_rows + row) * c->d, c->k_mean + kv * w->n_blocks * c->d, n, c->d,
                          c->d, c->d);
    for (size_t v = 0; v < n; v++)
        x[v] *= c->scale;
    c->kernels->softmax_q30(p, x, n);
    for (size_t v = 0; v < n; v++)
        pooled[v] = p[v];
}

static bool add_pooled(struct work *w, size_t head)
{
    const struct prism_select_call *c = w->c;
    const struct prism_mask *m = c->mask;
    size_t n = pairs_before(c, m->n_rows);

    w->head = head;
    if (!c->runner.run(c->runner.self, m->n_rows, (double)c->d * (double)w->n_blocks, row_job, w))
        return false;
    struct prism_cut cut = prism_cut_sum(w->pooled, n, share_of(c, sum_of(w->pooled, n)));
    const uint64_t *p = w->pooled;
    for (size_t r = 0; r < m->n_rows; r++)
        for (size_t v = 0; v <= m->first + r; v++)
            if (prism_cut_takes(&cut, *p++))
                prism_set_bit(prism_mask_row(m, head, r), v);
    return true;
}

static bool select_flexprefill(const struct prism_select_call *c)
{
    uint8_t *at = c->shared;
    struct work w = { .c = c, .n_blocks = prism_select_blocks(c) };

    w.query_aware = prism_carve(&at, c->n_head, sizeof *w.query_aware);
    w.pooled = prism_carve(&at, pairs_before(c, n_rows(c)), sizeof *w.pooled);
    w.min_blocks = max_size((c->params->min_budget + c->block - 1) / c->block, 1);
    w.longest = max_size(2 * c->block, c->params->min_budget);
    if (!c->runner.run(c->runner.self, c->n_head, (double)c->block * (double)c->d * (double)c->kv_len, head_job, &w))
        return false;
    for (size_t h = 0; h < c->n_head; h++)
        if (w.query_aware[h] && !add_pooled(&w, h))
            return false;
    return true;
}

const struct prism_selector prism_selector_flexprefill = { "flexprefill", true, false, shared_bytes, thread_bytes, select_flexprefill };
