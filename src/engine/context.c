/* context.c - see context.h: memory plan, creation, state and statistics. */
#include "src/engine/context.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/size.h"
#include "src/engine/layer.h"
#include "src/engine/selection.h"

enum { DEFAULT_LOGITS_ROWS = 16 };

/* Panels of a few kv heads are packed at once, so that all threads find work; not more than this. */
static const uint64_t attention_panel_target = UINT64_C(256) << 20;

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* ---- the plan ---- */

/* What the linear kinds that the level may choose need at most. */
struct kind_limits {
    size_t a_bytes;     /* activation panels of n rows */
    size_t next_bytes;  /* those that a gated product writes in place of rows */
    size_t piece_bytes; /* weight panels of a thread */
};

/* n: rows; few: how many of them at most are multiplied as stored; k: activations of any product; k_shared: of the products that may need panels
 * of PRISM_MAX_KINDS kinds at once; k_next: columns of a gated product. */
static void widen(struct kind_limits *l, const struct prism_linear *kind, size_t n, size_t k, size_t k_shared, size_t k_next)
{
    size_t panels = div_up(n, kind->mr);
    l->a_bytes = max_size(l->a_bytes, panels * max_size(kind->a_bytes(k), PRISM_MAX_KINDS * kind->a_bytes(k_shared)));
    l->next_bytes = max_size(l->next_bytes, panels * kind->a_bytes(k_next));
    l->piece_bytes = max_size(l->piece_bytes, prism_piece_bytes(kind, k));
}

static struct kind_limits kind_limits(const struct prism_context *c, size_t n, size_t few, size_t k, size_t k_shared, size_t k_next)
{
    struct kind_limits l = { .a_bytes = prism_stored_bytes(c, min_size(n, few), k) };

    k = round_up(k, 32), k_shared = round_up(k_shared, 32), k_next = round_up(k_next, 32);
    widen(&l, c->kernels->linear_f32, n, k, k_shared, k_next);
    for (int t = 0; t < PRISM_N_TYPES; t++)
        for (const struct prism_linear *kind = c->kernels->linear_auto[t]; kind; kind = kind->finer)
            widen(&l, kind, n, k, k_shared, k_next);
    return l;
}

/* Adds to *bytes of the plan what was taken since `mark`. */
static void account(const struct prism_arena *a, uint64_t mark, uint64_t *bytes) { *bytes += a->used - mark; }

/* The widest of each kind that a layer has. */
struct widths {
    size_t ff, expert;
    bool post_norm, experts;
};

static struct widths widths(const struct prism_model *m)
{
    struct widths w = { 0 };
    for (uint32_t i = 0; i < m->n_layer; i++) {
        const struct prism_layer *l = &m->layers[i];
        w.ff = max_size(w.ff, l->ffn.dense.width);
        w.expert = max_size(w.expert, l->ffn.experts.each.width);
        w.post_norm |= l->attn_post_norm.kind || l->ffn_post_norm.kind;
        w.experts |= l->ffn.experts.n > 0;
    }
    return w;
}

/* What has one size for calls of all lengths, and is used whole. */
static void layout_fixed(struct prism_context *c, struct prism_arena *a)
{
    const struct prism_model *m = c->model;
    const struct prism_attn_spec *h = prism_heads(c);
    struct prism_plan *p = &c->plan;
    struct widths w = widths(m);
    size_t q_width = (size_t)h->n_head * h->head_dim, kv_width = (size_t)h->n_head_kv * h->head_dim, pairs = prism_experts_rows(c, p->n_ctx);
    size_t slab = p->slab_tokens, k_max = max_size(max_size(m->n_embd, q_width), w.ff);
    struct kind_limits limits = kind_limits(c, slab, PRISM_FEW_TOKENS, k_max, m->n_embd, w.ff);
    struct kind_limits expert = kind_limits(c, pairs, prism_experts_rows(c, PRISM_FEW_TOKENS), max_size(m->n_embd, w.expert), m->n_embd, w.expert);
    uint64_t mark = a->used;

    c->w_panels = prism_arena_take_each(a, p->n_threads, max_size(limits.piece_bytes, expert.piece_bytes), &c->w_panel_bytes);
    account(a, mark, &p->panel_bytes);

    mark = a->used;
    c->y_width = max_size(2 * kv_width, w.ff);
    c->a_panels = prism_arena_take(a, max_size(limits.a_bytes, expert.a_bytes), 1);
    c->y = prism_arena_take(a, max_size(max_size(slab * c->y_width, pairs * w.expert) * sizeof(float),
                                        max_size(limits.next_bytes, expert.next_bytes)), 1);
    c->half = w.post_norm ? prism_arena_take(a, slab * m->n_embd, sizeof(float)) : NULL;
    c->layer_stats = prism_arena_take(a, m->n_layer, sizeof *c->layer_stats);
    c->layer_call = prism_arena_take(a, m->n_layer, sizeof *c->layer_call);
    account(a, mark, &p->activation_bytes);

    mark = a->used;
    c->logits_n = min_size(slab, c->logits_n);
    c->logits = prism_arena_take(a, m->n_vocab, sizeof(float));
    c->logits_next = prism_arena_take(a, m->n_vocab, sizeof(float));
    c->logits_rows = prism_arena_take(a, c->logits_n * m->n_vocab, sizeof(float));
    account(a, mark, &p->logits_bytes);

    mark = a->used;
    c->thread_used = max_size(max_size(prism_attention_scratch(c->attention, h->head_dim, p->block, p->n_ctx), prism_selection_scratch(c)),
                              max_size(PRISM_PACK_ROWS * max_size(k_max, w.expert) * sizeof(float), prism_gated_bytes()));
    c->thread_used = max_size(c->thread_used, prism_experts_scratch(c));
    c->thread_scratch = prism_arena_take_each(a, p->n_threads, c->thread_used, &c->thread_bytes);
    account(a, mark, &p->attention_bytes);
}

/* What grows with the tokens in the cache, or with those of a call: from its beginning, or from that of each head. */
static void layout_growing(struct prism_context *c, struct prism_arena *a)
{
    const struct prism_model *m = c->model;
    const struct prism_attn_spec *h = prism_heads(c);
    struct prism_plan *p = &c->plan;
    uint64_t n_ctx = p->n_ctx, q_width = (uint64_t)h->n_head * h->head_dim, mark = a->used;

    prism_kv_layout(c, a);
    account(a, mark, &p->kv_bytes);

    mark = a->used;
    c->x = prism_arena_take(a, n_ctx * m->n_embd, sizeof(float));
    c->q = prism_arena_take(a, n_ctx * (widths(m).experts ? max_u64(q_width, m->n_embd) : q_width), sizeof(float));
    c->tokens = prism_arena_take(a, n_ctx, sizeof *c->tokens);
    for (uint32_t i = 0; i < m->n_ropes; i++) {
        c->rope[i].cos = prism_arena_take(a, n_ctx * (m->ropes[i].n_rot / 2), sizeof(float));
        c->rope[i].sin = prism_arena_take(a, n_ctx * (m->ropes[i].n_rot / 2), sizeof(float));
    }
    prism_experts_layout(c, a);
    account(a, mark, &p->activation_bytes);

    mark = a->used;
    uint64_t n_blocks = (n_ctx + p->block - 1) / p->block;
    uint64_t head_bytes = prism_attention_head_bytes(c->attention, h->head_dim, p->block, n_ctx);
    c->attn_heads = (uint32_t)min_u64(h->n_head_kv, max_u64(1, attention_panel_target / head_bytes));
    uint64_t rows_bytes = prism_attention_rows_bytes((size_t)min_u64(n_ctx, PRISM_FEW_TOKENS), h->n_head, h->head_dim, n_ctx);
    c->attn_panels = prism_arena_take(a, max_u64(c->attn_heads * head_bytes, rows_bytes), 1);
    c->blocks = prism_arena_take(a, n_blocks, sizeof *c->blocks);
    c->cuts = prism_arena_take(a, n_blocks + 1, sizeof *c->cuts);
    prism_selection_layout(c, a);
    account(a, mark, &p->attention_bytes);
}

void prism_context_layout(struct prism_context *c, struct prism_arena *a)
{
    struct prism_plan *p = &c->plan;

    p->slab_tokens = (uint32_t)min_u64(PRISM_SLAB_TOKENS, p->n_ctx);
    p->kv_bytes = p->activation_bytes = p->panel_bytes = p->attention_bytes = p->logits_bytes = 0;
    layout_fixed(c, a);
    c->fixed_bytes = a->used;
    layout_growing(c, a);
    p->total_bytes = a->used;
}

static enum prism_status set_up_kv(const struct prism_context *c, struct prism_kv_cache *cache, const char *what, enum prism_kv_type type,
                                   struct prism_error *err)
{
    static const enum prism_kv_format formats[] = { [PRISM_KV_F16] = PRISM_KVF_F16, [PRISM_KV_BF16] = PRISM_KVF_BF16, [PRISM_KV_F32] = PRISM_KVF_F32,
                                                    [PRISM_KV_Q8_0] = PRISM_KVF_Q8_0 };
    const size_t d = prism_heads(c)->head_dim;

    if (type < PRISM_KV_F16 || type > PRISM_KV_Q8_0)
        return prism_fail(err, PRISM_E_ARG, "cache type of %s: expected f16, bf16, f32 or q8_0, found %d", what, (int)type);
    if (type == PRISM_KV_Q8_0 && d % 32)
        return prism_fail(err, PRISM_E_UNSUPPORTED, "cache type of %s: q8_0 has blocks of 32 values, of which heads of %zu are no multiple: use f16",
                          what, d);
    cache->format = formats[type];
    cache->row_bytes = prism_kv_row_bytes(cache->format, d);
    return PRISM_OK;
}

/* Values are cached as keys are where nothing else is said. */
static enum prism_status set_up_cache(struct prism_context *c, enum prism_kv_type k, enum prism_kv_type v, struct prism_error *err)
{
    const enum prism_kv_type usual = c->compute == PRISM_COMPUTE_F32 ? PRISM_KV_F32 : PRISM_KV_F16;

    c->plan.kv_type = k == PRISM_KV_DEFAULT ? usual : k;
    c->plan.v_type = v != PRISM_KV_DEFAULT ? v : c->plan.kv_type;
    enum prism_status s = set_up_kv(c, &c->k_cache, "keys", c->plan.kv_type, err);
    return s ? s : set_up_kv(c, &c->v_cache, "values", c->plan.v_type, err);
}

void prism_context_advise(struct prism_context *c, size_t pos, size_t n)
{
    const struct prism_attn_spec *h = prism_heads(c);

    prism_advise_huge(c->x, n * c->model->n_embd * sizeof(float));
    prism_advise_huge(c->q, n * h->n_head * h->head_dim * sizeof(float));
    prism_advise_huge(c->attn_panels, c->attn_heads * prism_attention_head_bytes(c->attention, h->head_dim, c->plan.block, pos + n));
    prism_kv_advise(c, pos, n);
}

/* Fills c (a zeroed context) up to the point where its memory can be laid out. */
static enum prism_status set_up(struct prism_context *c, const struct prism_model *model, const struct prism_context_params *given,
                                struct prism_error *err)
{
    struct prism_context_params params = given ? *given : (struct prism_context_params){ 0 };

    if (!model)
        return prism_fail(err, PRISM_E_ARG, "context: the model is NULL");
    if (!model->layers)
        return prism_fail(err, PRISM_E_ARG, "%s: only the vocabulary was loaded", model->gguf->path);
    int level = params.level ? prism_level_at(params.level > 0 ? params.level - 1 : -1) : (int)prism_level_best();
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
    c->bind_threads = params.bind_threads;
    c->logits_n = params.logits_rows ? params.logits_rows : DEFAULT_LOGITS_ROWS;
    c->attention = c->compute == PRISM_COMPUTE_F32 ? c->kernels->attention_f32 : c->kernels->attention_auto;

    enum prism_status s = set_up_cache(c, params.kv_type, params.v_type, err);
    if (!s)
        s = prism_selection_set_up(c, &params.attention, err);
    if (s)
        return s;

    c->plan.n_ctx = params.n_ctx ? params.n_ctx : model->hp.n_ctx_train;
    uint32_t most = UINT32_MAX / prism_heads(c)->n_head - 2; /* attention numbers the tiles of all heads, of 32 tokens at least, in 32 bits */
    if (c->plan.n_ctx / 32 > most)
        return prism_fail(err, PRISM_E_ARG, "n_ctx: expected 1..%u tokens with %u heads, found %u", 32 * most, prism_heads(c)->n_head, c->plan.n_ctx);
    if (model->n_ctx_limit && c->plan.n_ctx > model->n_ctx_limit)
        return prism_fail(err, PRISM_E_UNSUPPORTED, "context of %u tokens: expected at most %u, the model's sliding window: windows are unsupported",
                          c->plan.n_ctx, model->n_ctx_limit);
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

enum prism_status prism_context_open(struct prism_context *c, struct prism_error *err)
{
    struct prism_arena arena = { 0 };
    enum prism_status s;

    prism_context_layout(c, &arena);
    c->bytes = arena.used;
    c->base = prism_reserve(c->bytes, c->fixed_bytes);
    if (!c->base)
        return prism_fail(err, PRISM_E_NOMEM, "context of %u tokens: %llu MiB could not be reserved", c->plan.n_ctx,
                          (unsigned long long)(c->bytes >> 20));
    s = prism_team_create(c->plan.n_threads, c->bind_threads, &c->team, err);
    if (s)
        return s;
    c->plan.n_threads = prism_team_size(c->team); /* fewer than asked for when the system refused some */
    prism_context_layout(c, &(struct prism_arena){ .base = c->base, .capacity = c->bytes });
    for (uint32_t b = 0; b < (c->plan.n_ctx + c->plan.block - 1) / c->plan.block; b++)
        c->blocks[b] = b;
    prism_selection_start(c);
    return PRISM_OK;
}

enum prism_status prism_context_create(const prism_model *model, const struct prism_context_params *params, prism_context **out,
                                       struct prism_error *err)
{
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
    if (s == PRISM_OK)
        s = prism_context_open(c, err);
    if (s)
        prism_context_free(c);
    else
        *out = c;
    return s;
}

void prism_context_free(prism_context *c)
{
    if (!c)
        return;
    prism_team_free(c->team);
    prism_release(c->base, c->bytes);
    free(c);
}

/* ---- small accessors ---- */

const float *prism_logits(const prism_context *c) { return c && c->logits_valid ? c->logits : NULL; }

size_t prism_length(const prism_context *c) { return c ? c->length : 0; }

const int32_t *prism_tokens(const prism_context *c) { return c && c->length ? c->tokens : NULL; }

enum prism_status prism_truncate(prism_context *c, size_t n, struct prism_error *err)
{
    prism_error_clear(err);
    if (!c)
        return prism_fail(err, PRISM_E_ARG, "truncate: the context is NULL");
    if (n > c->length)
        return prism_fail(err, PRISM_E_ARG, "truncate: expected 0..%zu, found %zu", c->length, n);
    if (n == c->length)
        return PRISM_OK; /* nothing to forget: the logits stay */
    if (!prism_kv_can_cut(c, n))
        return prism_fail(err, PRISM_E_UNSUPPORTED, "truncate: to %zu of %zu tokens: layers with a window keep those from %zu on", n, c->length,
                          c->kept_from);
    if (n == 0)
        c->kept_from = 0;
    c->length = n;
    c->logits_valid = false;
    c->whole = min_size(c->whole, n);
    prism_selection_truncate(c);
    return PRISM_OK;
}

void prism_get_stats(const prism_context *c, struct prism_stats *stats) { *stats = c->stats; }

bool prism_get_layer_stats(const prism_context *c, uint32_t layer, struct prism_layer_stats *stats)
{
    if (layer >= c->model->n_layer)
        return false;
    *stats = c->layer_stats[layer];
    return true;
}

void prism_stats_reset(prism_context *c)
{
    c->stats = (struct prism_stats){ 0 };
    memset(c->layer_stats, 0, c->model->n_layer * sizeof *c->layer_stats);
    prism_selection_reset_stats(c);
}

uint32_t prism_threads(prism_context *c, int *core_of, size_t cap)
{
    prism_team_binding(c->team, core_of, cap);
    return prism_team_size(c->team);
}
