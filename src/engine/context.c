/* context.c - see context.h: plan, creation, small accessors. */
#include "src/engine/context.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/size.h"
#include "src/engine/selection.h"
#include "src/threads/memory.h"

enum { DEFAULT_LOGITS_ROWS = 16 };

/* ---- the plan ---- */

static enum prism_status set_up_kv(const struct prism_context *c, struct prism_kv_cache *cache, const char *what, enum prism_kv_type type,
                                   struct prism_error *err)
{
    static const enum prism_kv_format formats[] = { [PRISM_KV_F16] = PRISM_KVF_F16, [PRISM_KV_BF16] = PRISM_KVF_BF16, [PRISM_KV_F32] = PRISM_KVF_F32,
                                                    [PRISM_KV_Q8_0] = PRISM_KVF_Q8_0 };

    if (type < PRISM_KV_F16 || type > PRISM_KV_Q8_0)
        return prism_fail(err, PRISM_E_ARG, "cache type of %s: expected f16, bf16, f32 or q8_0, found %d", what, (int)type);
    for (size_t l = 0; type == PRISM_KV_Q8_0 && l < c->model->n_layer; l++)
        if (prism_heads(c, l)->head_dim % 32)
            return prism_fail(err, PRISM_E_UNSUPPORTED, "cache type of %s: q8_0 has blocks of 32 values, of which heads of %u are no multiple: "
                              "use f16", what, prism_heads(c, l)->head_dim);
    cache->format = formats[type];
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
    uint32_t n_head = (uint32_t)prism_widths(model).n_head;
    uint32_t most = UINT32_MAX / n_head - 2; /* attention numbers the tiles of all heads, of 32 tokens at least, in 32 bits */
    if (c->plan.n_ctx / 32 > most)
        return prism_fail(err, PRISM_E_ARG, "n_ctx: expected 1..%u tokens with %u heads, found %u", 32 * most, n_head, c->plan.n_ctx);
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

/* No memory for the list is no failure: then things lie where they come to lie. */
static void place_memory(const struct prism_context *c)
{
    if (prism_memory_nodes(c->team) < 2)
        return;
    struct prism_memory_area *areas = malloc(prism_context_areas(c, NULL) * sizeof *areas);
    if (areas)
        prism_memory_place(prism_team_nodes(c->team), prism_team_size(c->team), areas, prism_context_areas(c, areas), NULL);
    free(areas);
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
    place_memory(c);
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
    if (!prism_delta_can_cut(c, n))
        return prism_fail(err, PRISM_E_UNSUPPORTED, "truncate: to %zu of %zu tokens: layers with a state in place of keys have kept that of 0 and of %zu", n,
                          c->length, prism_delta_kept(c, c->length - 1, 1));
    if (n == 0)
        c->kept_from = 0;
    c->length = n;
    c->logits_valid = false;
    c->whole = min_size(c->whole, n);
    prism_delta_truncate(c);
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
