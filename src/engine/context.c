/* context.c - see context.h: memory plan, creation, the running of phases, statistics. */
#include "src/engine/context.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "src/base/size.h"
#include "src/engine/finite.h"
#include "src/engine/linear.h"
#include "src/engine/selection.h"

enum { DEFAULT_LOGITS_ROWS = 16 };

/* Panels of a few kv heads are packed at once, so that all threads find work; not more than this. */
static const uint64_t attention_panel_target = UINT64_C(256) << 20;

double prism_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* ---- the plan ---- */

/* What the linear kinds that the level may choose need at most. */
struct kind_limits {
    size_t a_bytes;     /* activation panels of n rows */
    size_t next_bytes;  /* those that a gated product writes in place of rows */
    size_t piece_bytes; /* weight panels of a thread */
};

/* k: activations of any product; k_shared: of the products that may need panels of PRISM_MAX_KINDS kinds at once; k_next: columns of a gated
 * product. */
static void widen(struct kind_limits *l, const struct prism_linear *kind, size_t n, size_t k, size_t k_shared, size_t k_next)
{
    size_t panels = div_up(n, kind->mr);
    l->a_bytes = max_size(l->a_bytes, panels * max_size(kind->a_bytes(k), PRISM_MAX_KINDS * kind->a_bytes(k_shared)));
    l->next_bytes = max_size(l->next_bytes, panels * kind->a_bytes(k_next));
    l->piece_bytes = max_size(l->piece_bytes, prism_piece_bytes(kind, k));
}

static struct kind_limits kind_limits(const struct prism_context *c, size_t n, size_t k, size_t k_shared, size_t k_next)
{
    struct kind_limits l = { .a_bytes = prism_stored_bytes(c, min_size(n, PRISM_FEW_TOKENS), k) };

    k = round_up(k, 32), k_shared = round_up(k_shared, 32), k_next = round_up(k_next, 32);
    widen(&l, c->kernels->linear_f32, n, k, k_shared, k_next);
    for (int t = 0; t < PRISM_N_TYPES; t++)
        for (const struct prism_linear *kind = c->kernels->linear_auto[t]; kind; kind = kind->finer)
            widen(&l, kind, n, k, k_shared, k_next);
    return l;
}

/* Threads do not share lines, nor neighbouring lines. */
static size_t apart(size_t bytes) { return round_up(bytes, 256); }

void prism_context_layout(struct prism_context *c, struct prism_arena *a)
{
    const struct prism_hparams *hp = &c->model->hp;
    struct prism_plan *p = &c->plan;
    uint64_t n_ctx = p->n_ctx, q_width = (uint64_t)hp->n_head * hp->head_dim, kv_width = (uint64_t)hp->n_head_kv * hp->head_dim;
    size_t slab = (size_t)min_u64(PRISM_SLAB_TOKENS, n_ctx), k_max = max_size(max_size(hp->n_embd, q_width), hp->n_ff);
    struct kind_limits limits = kind_limits(c, slab, k_max, hp->n_embd, hp->n_ff);
    uint64_t mark = a->used;

    p->slab_tokens = (uint32_t)slab;
    c->k_cache = prism_arena_take(a, hp->n_layer * (uint64_t)hp->n_head_kv, n_ctx * hp->head_dim * c->kv_elem);
    c->v_cache = prism_arena_take(a, hp->n_layer * (uint64_t)hp->n_head_kv, n_ctx * hp->head_dim * c->kv_elem);
    p->kv_bytes = a->used - mark;

    mark = a->used;
    c->y_width = max_size(2 * (size_t)kv_width, hp->n_ff);
    c->x = prism_arena_take(a, n_ctx * hp->n_embd, sizeof(float));
    c->q = prism_arena_take(a, n_ctx * q_width, sizeof(float));
    c->tokens = prism_arena_take(a, n_ctx, sizeof *c->tokens);
    c->rope_cos = prism_arena_take(a, n_ctx * (hp->n_rot / 2), sizeof(float));
    c->rope_sin = prism_arena_take(a, n_ctx * (hp->n_rot / 2), sizeof(float));
    c->y = prism_arena_take(a, max_size(slab * c->y_width * sizeof(float), limits.next_bytes), 1);
    c->a_panels = prism_arena_take(a, limits.a_bytes, 1);
    c->layer_stats = prism_arena_take(a, hp->n_layer, sizeof *c->layer_stats);
    c->layer_call = prism_arena_take(a, hp->n_layer, sizeof *c->layer_call);
    p->activation_bytes = a->used - mark;

    mark = a->used;
    c->w_panel_bytes = apart(limits.piece_bytes);
    c->w_panels = prism_arena_take(a, p->n_threads, c->w_panel_bytes);
    p->panel_bytes = a->used - mark;

    mark = a->used;
    uint64_t n_blocks = (n_ctx + p->block - 1) / p->block;
    c->k_head_bytes = n_blocks * c->attention->k_block_bytes(hp->head_dim, p->block);
    c->v_head_bytes = n_blocks * c->attention->v_block_bytes(hp->head_dim, p->block);
    c->attn_heads = (uint32_t)min_u64(hp->n_head_kv, max_u64(1, attention_panel_target / (c->k_head_bytes + c->v_head_bytes)));
    uint64_t rows_bytes = prism_attention_rows_bytes((size_t)min_u64(n_ctx, PRISM_FEW_TOKENS), hp->n_head, hp->head_dim, n_ctx);
    c->attn_panels = prism_arena_take(a, max_u64(c->attn_heads * (c->k_head_bytes + c->v_head_bytes), rows_bytes), 1);
    c->blocks = prism_arena_take(a, n_blocks, sizeof *c->blocks);
    prism_selection_layout(c, a);
    c->thread_bytes = max_size(max_size(prism_attention_scratch(c->attention, hp->head_dim, p->block, n_ctx), prism_selection_scratch(c)),
                               PRISM_PACK_ROWS * k_max * sizeof(float));
    c->thread_bytes = apart(c->thread_bytes);
    c->thread_scratch = prism_arena_take(a, p->n_threads, c->thread_bytes);
    p->attention_bytes = a->used - mark;

    mark = a->used;
    c->logits_n = min_size(slab, c->logits_n);
    c->logits = prism_arena_take(a, hp->n_vocab, sizeof(float));
    c->logits_next = prism_arena_take(a, hp->n_vocab, sizeof(float));
    c->logits_rows = prism_arena_take(a, c->logits_n * hp->n_vocab, sizeof(float));
    p->logits_bytes = a->used - mark;
    p->total_bytes = a->used;
}

/* Fills c (a zeroed context) up to the point where its memory can be laid out. */
static enum prism_status set_up(struct prism_context *c, const struct prism_model *model, const struct prism_context_params *given,
                                struct prism_error *err)
{
    struct prism_context_params params = given ? *given : (struct prism_context_params){ 0 };
    int level = params.level ? prism_level_at(params.level > 0 ? params.level - 1 : -1) : (int)prism_level_best();

    if (!model)
        return prism_fail(err, PRISM_E_ARG, "context: the model is NULL");
    if (!model->layers)
        return prism_fail(err, PRISM_E_ARG, "%s: only the vocabulary was loaded", model->gguf->path);
    if (level < 0)
        return prism_fail(err, PRISM_E_ARG, "level: expected 0..%d, found %d", prism_level_count(), params.level);
    if (!prism_level_runs_here((enum prism_level)level))
        return prism_fail(err, PRISM_E_UNSUPPORTED, "level %s: this processor does not have it", prism_level_label((enum prism_level)level));
    if (params.n_threads > PRISM_MAX_THREADS)
        return prism_fail(err, PRISM_E_ARG, "threads: expected 1..%d, found %u", PRISM_MAX_THREADS, params.n_threads);
    if (params.n_ctx > PRISM_MAX_CONTEXT)
        return prism_fail(err, PRISM_E_ARG, "n_ctx: expected 0..%d tokens, found %u", PRISM_MAX_CONTEXT, params.n_ctx);
    if (params.logits_rows > PRISM_MAX_CONTEXT)
        return prism_fail(err, PRISM_E_ARG, "logits_rows: expected 0..%d, found %u", PRISM_MAX_CONTEXT, params.logits_rows);
    if (params.compute != PRISM_COMPUTE_AUTO && params.compute != PRISM_COMPUTE_F32)
        return prism_fail(err, PRISM_E_ARG, "compute: expected auto or f32, found %d", (int)params.compute);

    c->model = model;
    c->kernels = prism_kernels_by_level[level];
    c->compute = params.compute;
    c->logits_n = params.logits_rows ? params.logits_rows : DEFAULT_LOGITS_ROWS;
    c->attention = c->compute == PRISM_COMPUTE_F32 ? c->kernels->attention_f32 : c->kernels->attention_auto;
    switch (params.kv_type) {
    case PRISM_KV_DEFAULT: c->plan.kv_type = c->compute == PRISM_COMPUTE_F32 ? PRISM_KV_F32 : PRISM_KV_F16; break;
    case PRISM_KV_F16: case PRISM_KV_BF16: case PRISM_KV_F32: c->plan.kv_type = params.kv_type; break;
    default: return prism_fail(err, PRISM_E_ARG, "cache type: expected f16, bf16 or f32, found %d", (int)params.kv_type);
    }
    c->kv_format = c->plan.kv_type == PRISM_KV_F16 ? PRISM_KVF_F16 : c->plan.kv_type == PRISM_KV_BF16 ? PRISM_KVF_BF16 : PRISM_KVF_F32;
    c->kv_elem = c->kv_format == PRISM_KVF_F32 ? 4 : 2;

    enum prism_status s = prism_selection_set_up(c, &params.attention, err);
    if (s)
        return s;

    c->plan.n_ctx = params.n_ctx ? params.n_ctx : model->hp.n_ctx_train;
    uint32_t most = UINT32_MAX / model->hp.n_head - 2; /* attention numbers the tiles of all heads, of 32 tokens at least, in 32 bits */
    if (c->plan.n_ctx / 32 > most)
        return prism_fail(err, PRISM_E_ARG, "n_ctx: expected 1..%u tokens with %u heads, found %u", 32 * most, model->hp.n_head, c->plan.n_ctx);
    if (model->hp.sliding_window && c->plan.n_ctx > model->hp.sliding_window)
        return prism_fail(err, PRISM_E_UNSUPPORTED, "context of %u tokens: expected at most %u, the model's sliding window: windows are unsupported",
                          c->plan.n_ctx, model->hp.sliding_window);
    c->plan.n_threads = params.n_threads;
    c->plan.level = c->kernels->name;
    c->plan.compute = c->compute == PRISM_COMPUTE_F32 ? "f32" : "auto";
    c->plan.attention_type = c->attention->name;
    if (!c->plan.n_threads) {
        struct prism_placement placement;
        if ((s = prism_placement_read(NULL, 0, &placement, err)))
            return s;
        c->plan.n_threads = placement.n_default;
    }
    return PRISM_OK;
}

enum prism_status prism_plan(const prism_model *model, const struct prism_context_params *params, struct prism_plan *plan,
                             struct prism_error *err)
{
    struct prism_context c = { 0 };
    enum prism_status s;

    prism_error_clear(err);
    if (!plan)
        return prism_fail(err, PRISM_E_ARG, "plan: there is nowhere to put it (NULL)");
    *plan = (struct prism_plan){ 0 };
    s = set_up(&c, model, params, err);
    if (s == PRISM_OK) {
        prism_context_layout(&c, &(struct prism_arena){ 0 });
        *plan = c.plan;
    }
    return s;
}

enum prism_status prism_context_create(const prism_model *model, const struct prism_context_params *params, prism_context **out,
                                       struct prism_error *err)
{
    struct prism_arena arena = { 0 };
    struct prism_context *c;
    enum prism_status s;

    prism_error_clear(err);
    if (!out)
        return prism_fail(err, PRISM_E_ARG, "context: there is nowhere to put it (NULL)");
    *out = NULL;
    c = calloc(1, sizeof *c);
    if (!c)
        return prism_fail(err, PRISM_E_NOMEM, "context: out of memory");
    s = set_up(c, model, params, err);
    if (s == PRISM_OK) {
        prism_context_layout(c, &arena);
        c->bytes = arena.used;
        c->base = prism_reserve(c->bytes);
        if (!c->base)
            s = prism_fail(err, PRISM_E_NOMEM, "context of %u tokens: %llu MiB could not be reserved", c->plan.n_ctx,
                           (unsigned long long)(c->bytes >> 20));
    }
    if (s == PRISM_OK)
        s = prism_team_create(c->plan.n_threads, params && params->bind_threads, &c->team, err);
    if (s) {
        prism_context_free(c);
        return s;
    }
    c->plan.n_threads = prism_team_size(c->team); /* fewer than asked for when the system refused some */
    prism_context_layout(c, &(struct prism_arena){ .base = c->base, .capacity = c->bytes });
    for (uint32_t b = 0; b < (c->plan.n_ctx + c->plan.block - 1) / c->plan.block; b++)
        c->blocks[b] = b;
    prism_selection_start(c);
    *out = c;
    return PRISM_OK;
}

void prism_context_free(prism_context *c)
{
    if (!c)
        return;
    prism_team_free(c->team);
    prism_release(c->base, c->bytes);
    free(c);
}

/* ---- running ---- */

struct guarded_job {
    struct prism_context *c;
    prism_job_fn *fn;
    void *arg;
    uint64_t work;
};

static bool is_cancelled(const struct prism_context *c) { return atomic_load_explicit(&c->cancelled, memory_order_relaxed); }

/* By the thread that called prism_prefill. Only at the end of a call all its work is done, whatever the estimate said. */
static void report(struct prism_context *c, bool end)
{
    uint64_t done = end ? c->work_total : min_u64(atomic_load_explicit(&c->work_done, memory_order_relaxed), c->work_total - 1);

    if (!c->params || !c->params->progress || is_cancelled(c))
        return;
    struct prism_progress p = {
        .done = done, .total = c->work_total, .tokens_total = c->call_tokens, .elapsed_ms = prism_now_ms() - c->started_ms,
        .tokens_done = end ? c->call_tokens : (size_t)((double)done / (double)c->work_total * (double)c->call_tokens),
    };
    if (c->params->progress(c->params->progress_user, &p))
        atomic_store_explicit(&c->cancelled, true, memory_order_relaxed);
}

void prism_context_begin(struct prism_context *c, const struct prism_prefill_params *params, size_t n_tokens, double work)
{
    c->params = params;
    c->call_tokens = n_tokens;
    c->work_total = max_u64(1, (uint64_t)work);
    c->started_ms = prism_now_ms();
    atomic_store(&c->work_done, 0);
    atomic_store(&c->cancelled, false);
    atomic_store(&c->fault, UINT64_MAX);
    memset(c->call_ms, 0, sizeof c->call_ms);
    memset(c->layer_call, 0, c->model->hp.n_layer * sizeof *c->layer_call);
}

bool prism_context_end(struct prism_context *c, bool done)
{
    if (done)
        report(c, true);
    c->params = NULL;
    return done && !is_cancelled(c);
}

void prism_context_count(struct prism_context *c, size_t n_tokens)
{
    struct prism_stats *s = &c->stats;
    double all = prism_now_ms() - c->started_ms, linear = c->call_ms[PRISM_PHASE_LINEAR], attention = c->call_ms[PRISM_PHASE_ATTENTION];
    double select = c->call_ms[PRISM_PHASE_SELECT], other = all - linear - attention - select;

    if (n_tokens == 1) {
        s->decode_tokens++, s->decode_ms += all;
        s->decode_linear_ms += linear, s->decode_attention_ms += attention, s->decode_select_ms += select, s->decode_other_ms += other;
    } else {
        s->prefill_tokens += n_tokens, s->prefill_ms += all;
        s->linear_ms += linear, s->attention_ms += attention, s->select_ms += select, s->other_ms += other;
    }
    for (uint32_t i = 0; i < c->model->hp.n_layer; i++) {
        c->layer_stats[i].attention_ms += c->layer_call[i].attention_ms;
        c->layer_stats[i].select_ms += c->layer_call[i].select_ms;
    }
    prism_selection_count(c);
}

static void guarded_job(void *arg, size_t job, uint32_t thread)
{
    struct guarded_job *g = arg;

    if (is_cancelled(g->c))
        return;
    g->fn(g->arg, job, thread);
    if (g->work)
        atomic_fetch_add_explicit(&g->c->work_done, g->work, memory_order_relaxed);
    if (thread == 0)
        report(g->c, false);
}

bool prism_context_run(struct prism_context *c, enum prism_phase phase, size_t n_jobs, double work, prism_job_fn *fn, void *arg)
{
    struct guarded_job g = { c, fn, arg, (uint64_t)work };
    double start = prism_now_ms();

    prism_team_run(c->team, n_jobs, guarded_job, &g);
    c->call_ms[phase] += prism_now_ms() - start;
    report(c, false); /* the other threads may have taken all the jobs */
    return !is_cancelled(c) && !prism_has_fault(c);
}

/* ---- small accessors ---- */

const float *prism_logits(const prism_context *c) { return c && c->logits_valid ? c->logits : NULL; }

size_t prism_length(const prism_context *c) { return c ? c->length : 0; }

enum prism_status prism_truncate(prism_context *c, size_t n, struct prism_error *err)
{
    prism_error_clear(err);
    if (!c)
        return prism_fail(err, PRISM_E_ARG, "truncate: the context is NULL");
    if (n > c->length)
        return prism_fail(err, PRISM_E_ARG, "truncate: expected 0..%zu, found %zu", c->length, n);
    if (n == c->length)
        return PRISM_OK; /* nothing to forget: the logits stay */
    c->length = n;
    c->logits_valid = false;
    prism_selection_truncate(c);
    return PRISM_OK;
}

void prism_get_stats(const prism_context *c, struct prism_stats *stats) { *stats = c->stats; }

bool prism_get_layer_stats(const prism_context *c, uint32_t layer, struct prism_layer_stats *stats)
{
    if (layer >= c->model->hp.n_layer)
        return false;
    *stats = c->layer_stats[layer];
    return true;
}

void prism_stats_reset(prism_context *c)
{
    c->stats = (struct prism_stats){ 0 };
    memset(c->layer_stats, 0, c->model->hp.n_layer * sizeof *c->layer_stats);
    prism_selection_reset_stats(c);
}

uint32_t prism_threads(prism_context *c, int *core_of, size_t cap)
{
    prism_team_binding(c->team, core_of, cap);
    return prism_team_size(c->team);
}
