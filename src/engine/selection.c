/* selection.c - see selection.h; selection_params.c has the parameters. */
#include "src/engine/selection.h"

#include <string.h>

#include "src/base/size.h"
#include "src/engine/layer.h"

/* ---- memory ---- */

/* A layer with a window is sparse already. */
static bool may_select(const struct prism_context *c, size_t layer)
{
    return prism_heads(c, layer)->n_head > 0 && prism_heads(c, layer)->window == 0;
}

size_t prism_selection_head_dim(const struct prism_context *c)
{
    size_t l = 0;
    while (l + 1 < c->model->n_layer && !may_select(c, l))
        l++;
    return prism_heads(c, l)->head_dim;
}

static struct prism_select_call select_call(const struct prism_context *c, size_t layer, size_t q_pos, size_t n_tokens)
{
    const struct prism_attn_spec *a = prism_heads(c, layer);
    return (struct prism_select_call){
        .kernels = c->kernels, .params = &c->selection.params, .n_head = a->n_head, .n_head_kv = a->n_head_kv, .d = a->head_dim,
        .block = c->plan.block, .q_pos = q_pos, .n_tokens = n_tokens, .kv_len = q_pos + n_tokens, .scale = a->scale,
        .format = c->k_cache.format, .kv_head_bytes = c->plan.n_ctx * prism_kv_row_bytes(c->k_cache.format, a->head_dim),
    };
}

/* Of a layer that may select, at most; the function of a selector. NULL: 0 */
static size_t most_bytes(const struct prism_context *c, size_t (*bytes)(const struct prism_select_call *))
{
    size_t most = 0;
    for (size_t l = 0; bytes && l < c->model->n_layer; l++) {
        struct prism_select_call call = select_call(c, l, 0, c->plan.n_ctx);
        if (may_select(c, l))
            most = max_size(most, bytes(&call));
    }
    return most;
}

size_t prism_selection_scratch(const struct prism_context *c)
{
    return most_bytes(c, c->selection.selector ? c->selection.selector->thread_bytes : NULL);
}

/* What the layer keeps. */
static struct prism_pooled pooled_layout(const struct prism_context *c, struct prism_arena *a, size_t layer)
{
    const struct prism_attn_spec *heads = prism_heads(c, layer);
    const struct prism_selection *s = &c->selection;
    struct prism_pooled p = { 0 };

    if (!may_select(c, layer))
        return p;
    if (prism_has_kv(c->model, layer)) {
        p.k_sum = prism_arena_take(a, heads->n_head_kv, s->max_blocks * heads->head_dim * sizeof(float));
        p.k_sum_open = prism_arena_take(a, heads->n_head_kv, heads->head_dim * sizeof(float));
    } else if (a->base) {
        p.k_sum = s->pooled[heads->kv_layer].k_sum;
    }
    p.q_energy = prism_arena_take(a, heads->n_head, s->max_blocks * 3 * sizeof(float));
    return p;
}

/* Heads of the layers before one. */
static size_t heads_before(const struct prism_context *c, size_t layer)
{
    size_t n = 0;
    for (size_t l = 0; l < layer; l++)
        n += prism_heads(c, l)->n_head;
    return n;
}

static size_t all_heads(const struct prism_context *c) { return heads_before(c, c->model->n_layer); }

void prism_selection_layout(struct prism_context *c, struct prism_arena *a)
{
    struct prism_widths w = prism_widths(c->model);
    struct prism_selection *s = &c->selection;
    uint64_t n = s->max_blocks = (c->plan.n_ctx + c->plan.block - 1) / c->plan.block, layers = c->model->n_layer, all = all_heads(c);
    size_t tile = prism_attention_tile_rows(c->attention, c->plan.block);

    if (!s->selector)
        return;
    if (s->selector->sketched) {
        s->sketch = prism_arena_take(a, layers, sizeof *s->sketch);
        for (uint64_t l = 0; l < layers; l++) {
            struct prism_select_call call = select_call(c, l, 0, c->plan.n_ctx);
            struct prism_sketch one = may_select(c, l) ? prism_sketch_layout(&call, n, a) : (struct prism_sketch){ 0 };
            if (a->base)
                s->sketch[l] = one;
        }
    }
    s->dim_order = prism_arena_take(a, prism_selection_head_dim(c), sizeof *s->dim_order);
    s->pooled = prism_arena_take(a, layers, sizeof *s->pooled);
    for (uint64_t l = 0; l < layers; l++) {
        struct prism_pooled one = pooled_layout(c, a, l);
        if (a->base)
            s->pooled[l] = one;
    }
    s->q_full = prism_arena_take(a, n, 1);
    s->q_mean = prism_arena_take(a, w.q, n * sizeof(float));
    s->k_mean = prism_arena_take(a, w.kv, n * sizeof(float));
    s->bits = prism_arena_take(a, w.n_head * n, (n + 63) / 64 * sizeof *s->bits);
    s->order = prism_arena_take(a, 2 * (uint64_t)w.n_head * (c->plan.n_ctx / tile + 2), sizeof *s->order);
    s->shared = prism_arena_take(a, most_bytes(c, s->selector->shared_bytes), 1);
    s->mass = prism_arena_take(a, w.n_head, sizeof *s->mass);
    s->stats = prism_arena_take(a, all, sizeof *s->stats);
    s->mass_calls = prism_arena_take(a, all, sizeof *s->mass_calls);
    s->call_stats = prism_arena_take(a, all, sizeof *s->call_stats);
}

/* Pair 0 first, its two dims side by side; unrotated dims last. As in layers that see all tokens. */
void prism_selection_start(struct prism_context *c)
{
    const struct prism_rope *r = &c->model->ropes[0];
    uint32_t half = r->n_rot / 2;

    for (uint32_t i = 0; c->selection.selector && i < prism_selection_head_dim(c); i++)
        c->selection.dim_order[i] = i >= r->n_rot || r->interleaved ? i : i / 2 + i % 2 * half;
}

void prism_selection_reset_stats(struct prism_context *c)
{
    if (!c->selection.selector)
        return;
    memset(c->selection.stats, 0, all_heads(c) * sizeof *c->selection.stats);
    memset(c->selection.mass_calls, 0, all_heads(c) * sizeof *c->selection.mass_calls);
}

void prism_selection_count(struct prism_context *c)
{
    struct prism_selection *s = &c->selection;

    for (size_t i = 0; s->counted && i < all_heads(c); i++) {
        const struct prism_head_stats *call = &s->call_stats[i];
        s->stats[i].chosen_blocks += call->chosen_blocks;
        s->stats[i].causal_blocks += call->causal_blocks;
        s->stats[i].mass += call->mass;
        s->mass_calls[i] += call->causal_blocks > 0;
    }
}

bool prism_get_head_stats(const prism_context *c, uint32_t layer, uint32_t head, struct prism_head_stats *stats)
{
    if (layer >= c->model->n_layer || head >= prism_heads(c, layer)->n_head)
        return false;
    *stats = (struct prism_head_stats){ 0 };
    if (c->selection.selector) {
        size_t at = heads_before(c, layer) + head;
        *stats = c->selection.stats[at];
        stats->mass /= c->selection.mass_calls[at];
    }
    return true;
}

/* ---- pooled sums ---- */

static float *key_sum(const struct prism_context *c, size_t layer, size_t head, size_t block)
{
    return c->selection.pooled[layer].k_sum + (head * c->selection.max_blocks + block) * prism_heads(c, layer)->head_dim;
}

static void copy_open(struct prism_context *c, size_t block, bool keep)
{
    for (size_t l = 0; l < c->model->n_layer; l++) {
        const struct prism_attn_spec *a = prism_heads(c, l);
        for (size_t h = 0; c->selection.pooled[l].k_sum_open && h < a->n_head_kv; h++) {
            float *sum = key_sum(c, l, h, block), *open = c->selection.pooled[l].k_sum_open + h * a->head_dim;
            memcpy(keep ? open : sum, keep ? sum : open, a->head_dim * sizeof *sum);
        }
    }
}

void prism_selection_begin(struct prism_context *c, size_t n_tokens)
{
    struct prism_selection *s = &c->selection;
    size_t block = c->plan.block, end = c->length + n_tokens;

    if (!s->selector)
        return;
    if (s->counted)
        memset(s->call_stats, 0, all_heads(c) * sizeof *s->call_stats);
    s->counted = false;
    s->first = c->length / block;
    s->n_rows = (end - 1) / block + 1 - s->first;
    copy_open(c, s->first, true);
    for (size_t u = s->first; u < s->first + s->n_rows; u++)
        s->q_full[u] = u * block >= c->length && (u + 1) * block <= end;
}

/* Sketches end with the cache: of tokens that are gone, neither keys nor a basis remain. */
static void cut_sketches(struct prism_context *c)
{
    for (uint32_t l = 0; c->selection.sketch && l < c->model->n_layer; l++)
        if (c->selection.sketch[l].rank)
            prism_sketch_truncate(&c->selection.sketch[l], prism_heads(c, l)->n_head_kv, c->length, c->plan.block);
}

void prism_selection_cancel(struct prism_context *c)
{
    if (!c->selection.selector)
        return;
    copy_open(c, c->selection.first, false);
    cut_sketches(c);
}

void prism_selection_truncate(struct prism_context *c)
{
    size_t block = c->length / c->plan.block, d = prism_selection_head_dim(c);
    float x[PRISM_MAX_HEAD_DIM];

    cut_sketches(c);
    if (!c->selection.selector || block * c->plan.block == c->length)
        return;
    for (size_t l = 0; l < c->model->n_layer; l++)
        for (size_t h = 0; c->selection.pooled[l].k_sum_open && h < prism_heads(c, l)->n_head_kv; h++) {
            float *sum = key_sum(c, l, h, block);
            struct prism_kv_view kv = prism_kv_view(c, l, 1);
            memset(sum, 0, d * sizeof *sum);
            for (size_t pos = block * c->plan.block; pos < c->length; pos++) {
                c->kernels->to_f32[prism_kv_stored(c->k_cache.format)](x, prism_view_key(&kv, h, pos), d);
                c->kernels->add(sum, x, d);
            }
        }
    c->selection.q_full[block] = 0;
}

static void add_to(const struct prism_context *c, float *sum, const float *x, size_t d, bool first)
{
    if (first)
        memcpy(sum, x, d * sizeof *x);
    else
        c->kernels->add(sum, x, d);
}

void prism_selection_add_query(struct prism_context *c, size_t layer, size_t head, size_t pos, const float *x, bool first)
{
    struct prism_selection *s = &c->selection;
    size_t d = prism_heads(c, layer)->head_dim;
    if (s->selector && may_select(c, layer))
        add_to(c, s->q_mean + (head * s->n_rows + pos / c->plan.block - s->first) * d, x, d, first);
}

void prism_selection_add_key(struct prism_context *c, size_t layer, size_t head, size_t pos, const float *x)
{
    if (c->selection.selector && may_select(c, layer))
        add_to(c, key_sum(c, layer, head, pos / c->plan.block), x, prism_heads(c, layer)->head_dim, pos % c->plan.block == 0);
}

/* ---- one layer ---- */

static bool is_dense(const struct prism_context *c, size_t layer)
{
    return !may_select(c, layer) || (c->selection.dense_layers[layer / 64] >> layer % 64 & 1);
}

bool prism_selection_active(const struct prism_context *c, size_t layer, struct prism_span span, size_t n_rows)
{
    const struct prism_selection *s = &c->selection;
    return s->selector && n_rows > PRISM_FEW_TOKENS && span.pos + span.n >= s->min_tokens && !is_dense(c, layer);
}

/* out[i] = sum[order[i]] / count, d values; sum == out allowed. */
static void finish_mean(const struct prism_context *c, float *out, const float *sum, size_t d, size_t count)
{
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
    size_t d = prism_heads(c, j->layer)->head_dim, block = c->plan.block, end = j->span.pos + j->span.n;

    for (size_t v = 0; v < j->n_blocks; v++)
        finish_mean(c, c->selection.k_mean + (head * j->n_blocks + v) * d, key_sum(c, j->layer, head, v), d, min_size(block, end - v * block));
}

static void query_means(const struct mean_job *j, size_t head)
{
    struct prism_context *c = j->c;
    struct prism_selection *s = &c->selection;
    size_t d = prism_heads(c, j->layer)->head_dim, block = c->plan.block, end = j->span.pos + j->span.n;

    for (size_t r = 0; r < s->n_rows; r++) {
        size_t from = (s->first + r) * block, to = min_size(from + block, end);
        float *mean = s->q_mean + (head * s->n_rows + r) * d;
        finish_mean(c, mean, mean, d, to - (from > j->span.pos ? from : j->span.pos));
    }
}

static void mean_job(void *arg, size_t job, uint32_t thread)
{
    const struct mean_job *j = arg;
    size_t kv = prism_heads(j->c, j->layer)->n_head_kv;

    (void)thread;
    if (job < kv)
        key_means(j, job);
    else
        query_means(j, job - kv);
}

static float *query_energy(const struct prism_context *c, size_t layer, size_t head)
{
    return c->selection.pooled[layer].q_energy + head * c->selection.max_blocks * 3;
}

static void skip_job(void *arg, size_t head, uint32_t thread)
{
    const struct mean_job *j = arg;
    const struct prism_context *c = j->c;
    const struct prism_selection *s = &c->selection;
    size_t d = prism_heads(c, j->layer)->head_dim;

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

    if (!s->selector || !s->selector->pooled || s->params.energy != PRISM_ENERGY_CAUSAL || is_dense(c, layer))
        return true;
    return prism_context_run(c, PRISM_PHASE_SELECT, prism_heads(c, layer)->n_head, 0, skip_job, &j);
}

static bool run_phase(void *self, size_t n_jobs, double work, prism_job_fn *fn, void *arg)
{
    (void)work; /* less than a percent of attention: not worth a part of the progress bar */
    return prism_context_run(self, PRISM_PHASE_SELECT, n_jobs, 0, fn, arg);
}

static void count_layer(struct prism_context *c, size_t layer, const struct prism_mask *m)
{
    struct prism_selection *s = &c->selection;

    s->counted = true;
    for (size_t h = 0; h < m->n_heads; h++) {
        struct prism_head_stats *stats = &s->call_stats[heads_before(c, layer) + h];
        for (size_t r = 0; r < m->n_rows; r++) {
            const uint64_t *row = prism_mask_row(m, h, r);
            for (size_t w = 0; w < m->words; w++)
                stats->chosen_blocks += (uint64_t)__builtin_popcountll(row[w]);
            stats->causal_blocks += m->first + r + 1;
        }
        stats->mass = s->mass[h];
    }
}

bool prism_selection_run(struct prism_context *c, size_t layer, struct prism_span span, struct prism_mask *mask)
{
    const struct prism_attn_spec *heads = prism_heads(c, layer);
    struct prism_selection *s = &c->selection;
    struct prism_select_call call = select_call(c, layer, span.pos, span.n);
    struct mean_job j = { c, layer, span, s->first + s->n_rows };

    *mask = (struct prism_mask){ s->bits, heads->n_head, s->first, s->n_rows, (j.n_blocks + 63) / 64 };
    memset(s->bits, 0, mask->n_heads * mask->n_rows * mask->words * sizeof *s->bits);
    call.runner = (struct prism_runner){ run_phase, c };
    call.q_mean = s->q_mean, call.k_mean = s->k_mean, call.q_full = s->q_full;
    call.q_energy = query_energy(c, layer, 0), call.energy_blocks = s->max_blocks;
    call.q = c->q, call.k = prism_kv_view(c, layer, span.n).k;
    call.shared = s->shared, call.scratch = c->thread_scratch, call.scratch_bytes = c->thread_bytes;
    call.mask = mask, call.mass = s->mass;
    call.sketch = s->sketch ? &s->sketch[layer] : NULL;
    if ((s->selector->pooled && !prism_context_run(c, PRISM_PHASE_SELECT, heads->n_head + heads->n_head_kv, 0, mean_job, &j)) ||
        !prism_select(s->selector, &call))
        return false;
    count_layer(c, layer, mask);
    if (c->params && c->params->mask) {
        struct prism_attention_mask m = { (uint32_t)layer, heads->n_head, c->plan.block, (uint32_t)mask->first, (uint32_t)mask->n_rows,
                                          (uint32_t)mask->words, mask->bits };
        c->params->mask(c->params->mask_user, &m);
    }
    return true;
}
