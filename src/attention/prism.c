/* prism.c - Prism (arXiv 2602.08426, algorithm 1, as defined in section 4 of the design document) and its one-band form, mean pooling.
 *
 * Pooled queries and keys are scored in a high and a low band of rotary frequencies. Each band has its own softmax, with a temperature that
 * restores the energy which pooling took from it: logits = s * (q_b . k_b) / sqrt(rho_q rho_k), rho = share of the band in the sum of
 * squares over all full blocks. Top-p in each band, then the union. Rows are scored one at a time: nothing of size N^2 but the mask. */
#include <math.h>
#include <string.h>

#include "src/attention/choice.h"
#include "src/attention/selectors.h"
#include "src/base/size.h"

/* Sums of squares of the parts [0, b1), [b1, b2), [b2, d) of pooled vectors. */
struct energy {
    double part[3];
};

/* Shared scratch: running sums over blocks 0..u, full blocks apart from all blocks. */
struct energies {
    struct energy *q_full, *q_all; /* [n_head][n_blocks] */
    struct energy *k_full, *k_all; /* [n_head_kv][n_blocks] */
};

struct work {
    const struct prism_select_call *c;
    struct energies e;
    size_t n_blocks, b1, b2;
    bool overlap;            /* part 1 belongs to both bands; else to neither */
    bool one_band;           /* meanpool */
    uint64_t threshold[2];   /* high, low */
    double *mass;            /* [n_head][n_rows] */
};

static size_t shared_bytes(const struct prism_select_call *c)
{
    size_t n = prism_select_blocks(c);
    return 2 * prism_carved(c->n_head * n, sizeof(struct energy)) + 2 * prism_carved(c->n_head_kv * n, sizeof(struct energy)) +
           prism_carved(c->n_head * n, sizeof(double));
}

static size_t thread_bytes(const struct prism_select_call *c)
{
    size_t n = prism_select_blocks(c);
    return 3 * prism_carved(n, sizeof(float)) + prism_carved(n, sizeof(uint32_t)) + prism_carved(prism_choice_scratch(n), 1);
}

static void add_energy(struct energy *e, const float part[3], double sign)
{
    for (int i = 0; i < 3; i++)
        e->part[i] += sign * part[i];
}

void prism_band_energy(float part[3], const float *x, size_t d, const struct prism_bands *b, const struct prism_kernels *kernels)
{
    kernels->band_dots(part, part + 1, part + 2, x, x, 1, d, min_size(b->low_begin, b->high_end), max_size(b->low_begin, b->high_end));
}

static void parts_of(const struct prism_select_call *c, const float *x, float part[3])
{
    prism_band_energy(part, x, c->d, &c->params->bands, c->kernels);
}

/* ---- energies: one job per head ---- */

static void key_energies(const struct work *w, size_t head)
{
    const struct prism_select_call *c = w->c;
    struct energy full = { { 0 } }, all = { { 0 } };

    for (size_t v = 0; v < w->n_blocks; v++) {
        float part[3];
        parts_of(c, c->k_mean + (head * w->n_blocks + v) * c->d, part);
        add_energy(&all, part, 1);
        if ((v + 1) * c->block <= c->kv_len)
            add_energy(&full, part, 1);
        w->e.k_all[head * w->n_blocks + v] = all;
        w->e.k_full[head * w->n_blocks + v] = full;
    }
}

static void query_energies(const struct work *w, size_t head)
{
    const struct prism_select_call *c = w->c;
    const struct prism_mask *m = c->mask;
    struct energy full = { { 0 } }, all = { { 0 } };
    size_t from = c->params->energy == PRISM_ENERGY_CAUSAL ? 0 : m->first; /* earlier calls count for causal energies only */

    for (size_t u = from; u < w->n_blocks; u++) {
        float *part = c->q_energy + (head * c->energy_blocks + u) * 3;
        if (u >= m->first)
            parts_of(c, c->q_mean + (head * m->n_rows + u - m->first) * c->d, part);
        add_energy(&all, part, 1);
        if (c->q_full[u])
            add_energy(&full, part, 1);
        w->e.q_all[head * w->n_blocks + u] = all;
        w->e.q_full[head * w->n_blocks + u] = full;
    }
}

static void energy_job(void *arg, size_t job, uint32_t thread)
{
    const struct work *w = arg;
    (void)thread;
    if (job < w->c->n_head_kv)
        key_energies(w, job);
    else
        query_energies(w, job - w->c->n_head_kv);
}

/* ---- one row of one head per step ---- */

/* Share of a band (0 high, 1 low) in the energy up to block u; full blocks, or all when none is full. */
static double share(const struct work *w, const struct energy *full, const struct energy *all, int band)
{
    const double *p = full->part[0] + full->part[1] + full->part[2] > 0 ? full->part : all->part;
    double in_band = p[band ? 2 : 0] + (w->overlap ? p[1] : 0);
    return in_band / (p[0] + p[1] + p[2]);
}

static double band_scale(const struct work *w, size_t head, size_t u, int band)
{
    const struct prism_select_call *c = w->c;
    size_t at = c->params->energy == PRISM_ENERGY_CAUSAL ? u : w->n_blocks - 1, kv = head / (c->n_head / c->n_head_kv);
    double rho = share(w, &w->e.q_full[head * w->n_blocks + at], &w->e.q_all[head * w->n_blocks + at], band) *
                 share(w, &w->e.k_full[kv * w->n_blocks + at], &w->e.k_all[kv * w->n_blocks + at], band);
    return rho >= 1e-12 && isfinite(rho) ? c->scale / sqrt(rho) : 0; /* 0: the band is skipped */
}

/* One band of row u: logits into x, choice into bits. Returns the share of the probability that was chosen. */
static double choose_band(const struct work *w, uint64_t *bits, float *x, size_t n, double scale, uint64_t threshold, uint32_t *p,
                          void *choice)
{
    for (size_t v = 0; v < n; v++)
        x[v] = (float)(scale * x[v]);
    w->c->kernels->softmax_q30(p, x, n);
    return (double)prism_choose_top_p(bits, p, n, threshold, choice) * 0x1p-30;
}

static void row_job(void *arg, size_t job, uint32_t thread)
{
    const struct work *w = arg;
    const struct prism_select_call *c = w->c;
    const struct prism_mask *m = c->mask;
    size_t head = job / m->n_rows, row = job % m->n_rows, u = m->first + row, n = u + 1;
    size_t kv = head / (c->n_head / c->n_head_kv);
    uint8_t *at = c->scratch + (size_t)thread * c->scratch_bytes;
    float *before = prism_carve(&at, w->n_blocks, sizeof *before), *inside = prism_carve(&at, w->n_blocks, sizeof *inside);
    float *after = prism_carve(&at, w->n_blocks, sizeof *after);
    uint32_t *p = prism_carve(&at, w->n_blocks, sizeof *p);
    void *choice = prism_carve(&at, prism_choice_scratch(w->n_blocks), 1);
    uint64_t *bits = prism_mask_row(m, head, row);
    double mass = 0;
    int bands = 0;

    c->kernels->band_dots(before, inside, after, c->q_mean + (head * m->n_rows + row) * c->d, c->k_mean + kv * w->n_blocks * c->d, n, c->d,
                          w->b1, w->b2);
    for (size_t v = 0; v < n; v++)
        if (w->one_band)
            before[v] += inside[v] + after[v];
        else if (w->overlap)
            before[v] += inside[v], after[v] += inside[v];
    for (int band = 0; band < (w->one_band ? 1 : 2); band++) {
        double scale = w->one_band ? c->scale : band_scale(w, head, u, band);
        if (scale > 0)
            mass += choose_band(w, bits, band ? after : before, n, scale, w->threshold[band], p, choice), bands++;
    }
    w->mass[head * m->n_rows + row] = bands ? mass / bands : NAN;
}

static bool run(const struct prism_select_call *c, bool one_band)
{
    const struct prism_bands *b = &c->params->bands;
    size_t n = prism_select_blocks(c);
    uint8_t *at = c->shared;
    struct work w = {
        .c = c, .n_blocks = n, .b1 = min_size(b->low_begin, b->high_end), .b2 = max_size(b->low_begin, b->high_end),
        .overlap = b->low_begin < b->high_end, .one_band = one_band,
        .threshold = { (uint64_t)floor(c->params->p_high * 0x1p30 + 0.5), (uint64_t)floor(c->params->p_low * 0x1p30 + 0.5) },
    };
    w.e.q_full = prism_carve(&at, c->n_head * n, sizeof *w.e.q_full), w.e.q_all = prism_carve(&at, c->n_head * n, sizeof *w.e.q_all);
    w.e.k_full = prism_carve(&at, c->n_head_kv * n, sizeof *w.e.k_full), w.e.k_all = prism_carve(&at, c->n_head_kv * n, sizeof *w.e.k_all);
    w.mass = prism_carve(&at, c->n_head * n, sizeof *w.mass);
    /* p >= 1 keeps every causal block, whatever the rounding of the probabilities. */
    for (int i = 0; i < 2; i++)
        if ((i ? c->params->p_low : c->params->p_high) >= 1)
            w.threshold[i] = UINT64_MAX;

    double row_work = (double)c->d * (double)n;
    if ((!one_band && !c->runner.run(c->runner.self, c->n_head_kv + c->n_head, 0, energy_job, &w)) ||
        !c->runner.run(c->runner.self, c->n_head * c->mask->n_rows, row_work, row_job, &w))
        return false;
    for (size_t h = 0; h < c->n_head; h++) {
        c->mass[h] = 0;
        for (size_t r = 0; r < c->mask->n_rows; r++)
            c->mass[h] += w.mass[h * c->mask->n_rows + r] / (double)c->mask->n_rows;
    }
    return true;
}

static bool select_prism(const struct prism_select_call *c) { return run(c, false); }
static bool select_meanpool(const struct prism_select_call *c) { return run(c, true); }

const struct prism_selector prism_selector_prism = { "prism", true, false, shared_bytes, thread_bytes, select_prism };
const struct prism_selector prism_selector_meanpool = { "meanpool", true, false, shared_bytes, thread_bytes, select_meanpool };
