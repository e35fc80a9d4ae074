/* selection.c - see selection.h. */
#include "src/engine/selection.h"

#include <math.h>
#include <string.h>

#include "src/base/size.h"
#include "src/engine/layer.h"

/* ---- parameters ---- */

/* "auto" selects from here on. Below, dense attention is half of a prefill or less and the choice costs most in perplexity: 38M model, blocks
 * of 64, p 0.95: +1.7 % at 4096 tokens, +1.4 % at 8192, +1.0 % at 32768. */
static const size_t auto_min_tokens = 8192;

/* sparse-prefill 2.7: bands from the attenuation lambda_j = |sin(B theta/2) / (B sin(theta/2))| of each pair under pooling; low starts after
 * the last pair below 0.30 (rounded down), high ends after the last pair below 0.99 (rounded up). */
static struct prism_bands bands_by_rule(const struct prism_model *m, size_t block)
{
    size_t pairs = m->hp.n_rot / 2, align = m->hp.n_rot <= 96 ? 4 : 8, low = 0, high = 0;

    for (size_t j = 0; j < pairs; j++) {
        double half = m->rope_freq[j] / 2, lambda = fabs(sin((double)block * half) / ((double)block * sin(half)));
        low = lambda < 0.30 ? j + 1 : low;
        high = lambda < 0.99 ? j + 1 : high;
    }
    return (struct prism_bands){ 2 * min_size((high + align - 1) / align * align, pairs), 2 * (low / align * align) };
}

static enum prism_status check_bands(struct prism_context *c, const struct prism_attention_params *g, struct prism_error *err)
{
    const struct prism_hparams *hp = &c->model->hp;
    struct prism_bands *b = &c->selection.params.bands;

    *b = g->bands_by_rule ? bands_by_rule(c->model, c->plan.block)
                          : (struct prism_bands){ 2 * (size_t)(hp->n_rot / 4), 2 * (size_t)(hp->n_rot / 8) };
    if (g->high_dim % 2 || g->high_dim > hp->n_rot)
        return prism_fail(err, PRISM_E_ARG, "high band: expected an even number of dims, 2..%u, found %u", hp->n_rot, g->high_dim);
    if (g->low_dim % 2 || g->low_dim > hp->head_dim)
        return prism_fail(err, PRISM_E_ARG, "low band: expected an even number of dims, 2..%u, found %u", hp->head_dim, g->low_dim);
    if (g->high_dim)
        b->high_end = g->high_dim;
    if (g->low_dim)
        b->low_begin = hp->head_dim - g->low_dim;
    return PRISM_OK;
}

static bool in_unit(float p) { return p > 0 && p <= 1; }

enum prism_status prism_selection_set_up(struct prism_context *c, const struct prism_attention_params *g, struct prism_error *err)
{
    struct prism_selection *s = &c->selection;
    const char *name = g->selector ? g->selector : "auto";
    bool automatic = !strcmp(name, "auto");
    float p_high = g->p_high != 0 ? g->p_high : 0.95f, p_low = g->p_low != 0 ? g->p_low : 0.95f;
    float gamma = g->gamma != 0 ? g->gamma : 0.95f, threshold = g->threshold != 0 ? g->threshold : 0.9f;

    for (size_t i = 0; i < prism_n_selectors; i++)
        if (!strcmp(prism_selectors[i]->name, automatic ? "prism" : name))
            s->selector = prism_selectors[i];
    if (!s->selector && strcmp(name, "dense"))
        return prism_fail(err, PRISM_E_ARG, "attention: unknown selector \"%s\"", name);
    c->plan.selector = s->selector ? s->selector->name : "dense";
    c->plan.block = g->block ? g->block : s->selector ? 64 : PRISM_DENSE_BLOCK;
    if (c->plan.block != 32 && c->plan.block != 64 && c->plan.block != 128 && c->plan.block != 256)
        return prism_fail(err, PRISM_E_ARG, "attention block: expected 32, 64, 128 or 256, found %u", g->block);
    if (!in_unit(p_high) || !in_unit(p_low) || !in_unit(gamma) || !in_unit(threshold) || !in_unit(g->row_mass != 0 ? g->row_mass : 0.1f))
        return prism_fail(err, PRISM_E_ARG, "attention: p, gamma and threshold must lie in (0, 1]");
    s->params = (struct prism_select_params){
        .p_high = (double)p_high, .p_low = (double)p_low, .energy = g->causal_energy ? PRISM_ENERGY_CAUSAL : PRISM_ENERGY_GLOBAL,
        .sink = g->sink ? g->sink : 128, .window = g->window ? g->window : 2048,
        .vertical = g->vertical ? g->vertical : 1000, .slash = g->slash ? g->slash : 6096,
        .gamma = (double)gamma, .tau = g->tau != 0 ? (double)g->tau : 0.1, .min_budget = g->min_budget,
        .stride = g->stride ? g->stride : 8, .threshold = (double)threshold, .row_mass = g->row_mass != 0 ? (double)g->row_mass : 0.1,
    };
    if (c->plan.block % s->params.stride)
        return prism_fail(err, PRISM_E_ARG, "xattention stride: expected a divisor of the block %u, found %u", c->plan.block, g->stride);
    memcpy(s->dense_layers, g->dense_layers, sizeof s->dense_layers);
    s->dense_tail = g->dense_tail == PRISM_NO_TAIL ? 0 : g->dense_tail ? g->dense_tail : c->plan.block;
    s->min_tokens = g->min_tokens ? g->min_tokens : automatic ? auto_min_tokens : 0;
    return check_bands(c, g, err);
}

/* ---- memory ---- */

static struct prism_select_call select_call(const struct prism_context *c, size_t q_pos, size_t n_tokens)
{
    const struct prism_hparams *hp = &c->model->hp;
    return (struct prism_select_call){
        .kernels = c->kernels, .params = &c->selection.params, .n_head = hp->n_head, .n_head_kv = hp->n_head_kv, .d = hp->head_dim,
        .block = c->plan.block, .q_pos = q_pos, .n_tokens = n_tokens, .kv_len = q_pos + n_tokens, .scale = hp->attn_scale,
        .format = c->kv_format, .kv_head_bytes = (size_t)c->plan.n_ctx * hp->head_dim * c->kv_elem,
    };
}

size_t prism_selection_scratch(const struct prism_context *c)
{
    struct prism_select_call call = select_call(c, 0, c->plan.n_ctx);
    return c->selection.selector ? c->selection.selector->thread_bytes(&call) : 0;
}

void prism_selection_layout(struct prism_context *c, struct prism_arena *a)
{
    const struct prism_hparams *hp = &c->model->hp;
    struct prism_selection *s = &c->selection;
    struct prism_select_call call = select_call(c, 0, c->plan.n_ctx);
    uint64_t n = s->max_blocks = (c->plan.n_ctx + c->plan.block - 1) / c->plan.block, d = hp->head_dim, layers = hp->n_layer;
    size_t tile = prism_attention_tile_rows(c->attention, c->plan.block);

    if (!s->selector)
        return;
    if (s->selector->sketched) {
        s->sketch = prism_arena_take(a, layers, sizeof *s->sketch);
        struct prism_sketch one = { .max_blocks = n };
        for (uint64_t l = 0; l < layers; l++) {
            one.k_map = prism_arena_take(a, hp->n_head_kv, d * d * sizeof(float));
            one.q_map = prism_arena_take(a, hp->n_head_kv, d * d * sizeof(float));
            one.rank = prism_arena_take(a, hp->n_head_kv, sizeof *one.rank);
            one.n_done = prism_arena_take(a, 1, sizeof *one.n_done);
            one.keys = prism_arena_take(a, hp->n_head_kv, n * c->plan.block * prism_sketch_dim(d));
            one.k_scale = prism_arena_take(a, hp->n_head_kv, n * sizeof(float));
            if (a->base)
                s->sketch[l] = one;
        }
    }
    s->dim_order = prism_arena_take(a, d, sizeof *s->dim_order);
    s->k_sum = prism_arena_take(a, layers * hp->n_head_kv, n * d * sizeof(float));
    s->k_sum_open = prism_arena_take(a, layers * hp->n_head_kv, d * sizeof(float));
    s->q_energy = prism_arena_take(a, layers * hp->n_head, n * 3 * sizeof(float));
    s->q_full = prism_arena_take(a, n, 1);
    s->q_mean = prism_arena_take(a, hp->n_head, n * d * sizeof(float));
    s->k_mean = prism_arena_take(a, hp->n_head_kv, n * d * sizeof(float));
    s->bits = prism_arena_take(a, hp->n_head * n, (n + 63) / 64 * sizeof *s->bits);
    s->order = prism_arena_take(a, 2 * (uint64_t)hp->n_head * (c->plan.n_ctx / tile + 2), sizeof *s->order);
    s->shared = prism_arena_take(a, s->selector->shared_bytes(&call), 1);
    s->mass = prism_arena_take(a, hp->n_head, sizeof *s->mass);
    s->stats = prism_arena_take(a, layers * hp->n_head, sizeof *s->stats);
    s->mass_calls = prism_arena_take(a, layers * hp->n_head, sizeof *s->mass_calls);
}

/* Pair 0 first, its two dims side by side; unrotated dims last. */
void prism_selection_start(struct prism_context *c)
{
    const struct prism_hparams *hp = &c->model->hp;
    uint32_t half = hp->n_rot / 2;

    for (uint32_t i = 0; c->selection.selector && i < hp->head_dim; i++)
        c->selection.dim_order[i] = i >= hp->n_rot || hp->rope_interleaved ? i : i / 2 + i % 2 * half;
}

void prism_selection_reset_stats(struct prism_context *c)
{
    size_t n = (size_t)c->model->hp.n_layer * c->model->hp.n_head;
    if (c->selection.selector) {
        memset(c->selection.stats, 0, n * sizeof *c->selection.stats);
        memset(c->selection.mass_calls, 0, n * sizeof *c->selection.mass_calls);
    }
}

bool prism_get_head_stats(const prism_context *c, uint32_t layer, uint32_t head, struct prism_head_stats *stats)
{
    const struct prism_hparams *hp = &c->model->hp;
    size_t at = (size_t)layer * hp->n_head + head;

    if (layer >= hp->n_layer || head >= hp->n_head)
        return false;
    *stats = (struct prism_head_stats){ 0 };
    if (c->selection.selector) {
        *stats = c->selection.stats[at];
        stats->mass /= c->selection.mass_calls[at];
    }
    return true;
}

/* ---- pooled sums ---- */

static float *key_sum(const struct prism_context *c, size_t layer, size_t head, size_t block)
{
    return c->selection.k_sum + ((layer * c->model->hp.n_head_kv + head) * c->selection.max_blocks + block) * c->model->hp.head_dim;
}

static void copy_open(struct prism_context *c, size_t block, bool keep)
{
    size_t d = c->model->hp.head_dim, heads = (size_t)c->model->hp.n_layer * c->model->hp.n_head_kv;
    for (size_t h = 0; h < heads; h++) {
        float *sum = key_sum(c, 0, h, block), *open = c->selection.k_sum_open + h * d;
        memcpy(keep ? open : sum, keep ? sum : open, d * sizeof *sum);
    }
}

void prism_selection_begin(struct prism_context *c, size_t n_tokens)
{
    struct prism_selection *s = &c->selection;
    size_t block = c->plan.block, end = c->length + n_tokens;

    if (!s->selector)
        return;
    s->first = c->length / block;
    s->n_rows = (end - 1) / block + 1 - s->first;
    copy_open(c, s->first, true);
    for (size_t u = s->first; u < s->first + s->n_rows; u++)
        s->q_full[u] = u * block >= c->length && (u + 1) * block <= end;
}

void prism_selection_cancel(struct prism_context *c)
{
    if (c->selection.selector)
        copy_open(c, c->selection.first, false);
}

static void load_cached(const struct prism_context *c, float *x, const uint8_t *at, size_t n)
{
    switch (c->kv_format) {
    case PRISM_KVF_F16: c->kernels->f16_to_f32(x, (const uint16_t *)(const void *)at, n); break;
    case PRISM_KVF_BF16: c->kernels->bf16_to_f32(x, (const uint16_t *)(const void *)at, n); break;
    case PRISM_KVF_F32: memcpy(x, at, n * sizeof *x); break;
    }
}

void prism_selection_truncate(struct prism_context *c)
{
    const struct prism_hparams *hp = &c->model->hp;
    size_t block = c->length / c->plan.block, d = hp->head_dim;
    float x[PRISM_MAX_HEAD_DIM];

    if (!c->selection.selector || block * c->plan.block == c->length)
        return;
    for (size_t l = 0; l < hp->n_layer; l++)
        for (size_t h = 0; h < hp->n_head_kv; h++) {
            float *sum = key_sum(c, l, h, block);
            memset(sum, 0, d * sizeof *sum);
            for (size_t pos = block * c->plan.block; pos < c->length; pos++) {
                load_cached(c, x, prism_kv_at(c, c->k_cache, l, h, pos), d);
                c->kernels->add(sum, x, d);
            }
        }
    c->selection.q_full[block] = 0;
}

static void add_to(const struct prism_context *c, float *sum, const float *x, bool first)
{
    size_t d = c->model->hp.head_dim;
    if (first)
        memcpy(sum, x, d * sizeof *x);
    else
        c->kernels->add(sum, x, d);
}

void prism_selection_add_query(struct prism_context *c, size_t head, size_t pos, const float *x, bool first)
{
    struct prism_selection *s = &c->selection;
    if (s->selector)
        add_to(c, s->q_mean + (head * s->n_rows + pos / c->plan.block - s->first) * c->model->hp.head_dim, x, first);
}

void prism_selection_add_key(struct prism_context *c, size_t layer, size_t head, size_t pos, const float *x)
{
    if (c->selection.selector)
        add_to(c, key_sum(c, layer, head, pos / c->plan.block), x, pos % c->plan.block == 0);
}

/* ---- one layer ---- */

static bool is_dense(const struct prism_selection *s, size_t layer) { return s->dense_layers[layer / 64] >> layer % 64 & 1; }

bool prism_selection_active(const struct prism_context *c, size_t layer, struct prism_span span, size_t n_rows)
{
    const struct prism_selection *s = &c->selection;
    return s->selector && n_rows > PRISM_FEW_TOKENS && span.pos + span.n >= s->min_tokens && !is_dense(s, layer);
}

/* out[i] = sum[order[i]] / count; sum == out allowed. */
static void finish_mean(const struct prism_context *c, float *out, const float *sum, size_t count)
{
    size_t d = c->model->hp.head_dim;
    float tmp[PRISM_MAX_HEAD_DIM];

    for (size_t i = 0; i < d; i++)
        tmp[i] = sum[c->selection.dim_order[i]] / (float)count;
    memcpy(out, tmp, d * sizeof *out);
}

struct mean_job {
    struct prism_context *c;
    size_t layer;
    struct prism_span span;
    size_t n_blocks;
};

static void key_means(const struct mean_job *j, size_t head)
{
    struct prism_context *c = j->c;
    size_t d = c->model->hp.head_dim, block = c->plan.block, end = j->span.pos + j->span.n;

    for (size_t v = 0; v < j->n_blocks; v++)
        finish_mean(c, c->selection.k_mean + (head * j->n_blocks + v) * d, key_sum(c, j->layer, head, v), min_size(block, end - v * block));
}

static void query_means(const struct mean_job *j, size_t head)
{
    struct prism_context *c = j->c;
    struct prism_selection *s = &c->selection;
    size_t d = c->model->hp.head_dim, block = c->plan.block, end = j->span.pos + j->span.n;

    for (size_t r = 0; r < s->n_rows; r++) {
        size_t from = (s->first + r) * block, to = min_size(from + block, end);
        float *mean = s->q_mean + (head * s->n_rows + r) * d;
        finish_mean(c, mean, mean, to - (from > j->span.pos ? from : j->span.pos));
    }
}

static void mean_job(void *arg, size_t job, uint32_t thread)
{
    const struct mean_job *j = arg;
    size_t kv = j->c->model->hp.n_head_kv;

    (void)thread;
    if (job < kv)
        key_means(j, job);
    else
        query_means(j, job - kv);
}

static float *query_energy(const struct prism_context *c, size_t layer, size_t head)
{
    return c->selection.q_energy + (layer * c->model->hp.n_head + head) * c->selection.max_blocks * 3;
}

static void skip_job(void *arg, size_t head, uint32_t thread)
{
    const struct mean_job *j = arg;
    const struct prism_context *c = j->c;
    const struct prism_selection *s = &c->selection;
    size_t d = c->model->hp.head_dim;

    (void)thread;
    query_means(j, head);
    for (size_t r = 0; r < s->n_rows; r++)
        prism_band_energy(query_energy(c, j->layer, head) + (s->first + r) * 3, s->q_mean + (head * s->n_rows + r) * d, d, &s->params.bands,
                          c->kernels);
}

bool prism_selection_skip(struct prism_context *c, size_t layer, struct prism_span span)
{
    const struct prism_selection *s = &c->selection;
    struct mean_job j = { .c = c, .layer = layer, .span = span };

    if (!s->selector || !s->selector->pooled || s->params.energy != PRISM_ENERGY_CAUSAL || is_dense(s, layer))
        return true;
    return prism_context_run(c, PRISM_PHASE_SELECT, c->model->hp.n_head, 0, skip_job, &j);
}

static bool run_phase(void *self, size_t n_jobs, double work, prism_job_fn *fn, void *arg)
{
    (void)work; /* less than a percent of attention: not worth a part of the progress bar */
    return prism_context_run(self, PRISM_PHASE_SELECT, n_jobs, 0, fn, arg);
}

static void count(struct prism_context *c, size_t layer, const struct prism_mask *m)
{
    struct prism_selection *s = &c->selection;
    for (size_t h = 0; h < m->n_heads; h++) {
        struct prism_head_stats *stats = &s->stats[layer * m->n_heads + h];
        for (size_t r = 0; r < m->n_rows; r++) {
            const uint64_t *row = prism_mask_row(m, h, r);
            for (size_t w = 0; w < m->words; w++)
                stats->chosen_blocks += (uint64_t)__builtin_popcountll(row[w]);
            stats->causal_blocks += m->first + r + 1;
        }
        stats->mass += s->mass[h];
        s->mass_calls[layer * m->n_heads + h]++;
    }
}

bool prism_selection_run(struct prism_context *c, size_t layer, struct prism_span span, struct prism_mask *mask)
{
    const struct prism_hparams *hp = &c->model->hp;
    struct prism_selection *s = &c->selection;
    struct prism_select_call call = select_call(c, span.pos, span.n);
    struct mean_job j = { c, layer, span, s->first + s->n_rows };

    *mask = (struct prism_mask){ s->bits, hp->n_head, s->first, s->n_rows, (j.n_blocks + 63) / 64 };
    memset(s->bits, 0, mask->n_heads * mask->n_rows * mask->words * sizeof *s->bits);
    call.runner = (struct prism_runner){ run_phase, c };
    call.q_mean = s->q_mean, call.k_mean = s->k_mean, call.q_full = s->q_full;
    call.q_energy = query_energy(c, layer, 0), call.energy_blocks = s->max_blocks;
    call.q = c->q, call.k = prism_kv_at(c, c->k_cache, layer, 0, 0);
    call.shared = s->shared, call.scratch = c->thread_scratch, call.scratch_bytes = c->thread_bytes;
    call.mask = mask, call.mass = s->mass;
    call.sketch = s->sketch ? &s->sketch[layer] : NULL;
    if ((s->selector->pooled && !prism_context_run(c, PRISM_PHASE_SELECT, hp->n_head + hp->n_head_kv, 0, mean_job, &j)) ||
        !prism_select(s->selector, &call))
        return false;
    count(c, layer, mask);
    if (c->params && c->params->mask) {
        struct prism_attention_mask m = { (uint32_t)layer, hp->n_head, c->plan.block, (uint32_t)mask->first, (uint32_t)mask->n_rows,
                                          (uint32_t)mask->words, mask->bits };
        c->params->mask(c->params->mask_user, &m);
    }
    return true;
}
