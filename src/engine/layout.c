/* layout.c - the memory of a context, laid out once for calls of all lengths (context.h). */
#include "src/attention/attention.h"
#include "src/base/size.h"
#include "src/engine/layer.h"
#include "src/engine/selection.h"
#include "src/engine/split.h"
#include "src/threads/memory.h"

/* Panels of a few kv heads are packed at once, so that all threads find work; not more than this. */
static const uint64_t attention_panel_target = UINT64_C(256) << 20;

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

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
    for (int i = 0; i < PRISM_N_TYPES * PRISM_TYPE_KINDS; i++) {
        const struct prism_linear *kind = prism_type_kind(c->kernels, (enum prism_type)(i / PRISM_TYPE_KINDS), i % PRISM_TYPE_KINDS);
        if (kind)
            widen(&l, kind, n, k, k_shared, k_next);
    }
    return l;
}

/* Adds to *bytes of the plan what was taken since `mark`. */
static void account(const struct prism_arena *a, uint64_t mark, uint64_t *bytes) { *bytes += a->used - mark; }

struct prism_widths prism_widths(const struct prism_model *m)
{
    struct prism_widths w = { 0 };
    for (uint32_t i = 0; i < m->n_layer; i++) {
        const struct prism_layer *l = &m->layers[i];
        w.n_head = max_size(w.n_head, l->attn.n_head);
        w.q = max_size(w.q, (size_t)l->attn.n_head * l->attn.head_dim);
        w.kv = max_size(w.kv, (size_t)l->attn.n_head_kv * l->attn.head_dim);
        w.ff = max_size(w.ff, l->ffn.dense.width);
        w.expert = max_size(w.expert, l->ffn.experts.each.width);
        w.embd = max_size(w.embd, l->embd.width);
        w.gates = max_size(w.gates, l->attn.gated ? (size_t)l->attn.n_head * l->attn.head_dim : 0);
        w.inner = max_size(w.inner, (size_t)l->delta.n_value * l->delta.d);
        w.post_norm |= l->attn_post_norm.kind || l->ffn_post_norm.kind || l->embd.width || prism_experts_wait(l);
        w.experts |= l->ffn.experts.n > 0;
        w.sums |= prism_experts_wait(l);
    }
    return w;
}

/* Bytes of packed keys and values of a kv head with n tokens. */
static uint64_t head_bytes(const struct prism_context *c, size_t layer, size_t n)
{
    return prism_attention_head_bytes(c->attention, prism_heads(c, layer)->head_dim, c->plan.block, n);
}

uint32_t prism_heads_at_once(const struct prism_context *c, size_t layer)
{
    const uint32_t all = prism_heads(c, layer)->n_head_kv;
    return all == 0 ? 0 : (uint32_t)min_u64(all, max_u64(1, attention_panel_target / head_bytes(c, layer, c->plan.n_ctx)));
}

/* Of what attention packs or makes of a layer for n tokens in the cache, at most. */
static uint64_t panel_bytes(const struct prism_context *c, size_t n)
{
    uint64_t most = 0;
    for (size_t l = 0; l < c->model->n_layer; l++)
        if (prism_heads_at_once(c, l) > 0)
            most = max_u64(most, prism_heads_at_once(c, l) * head_bytes(c, l, n));
    return most;
}

static uint64_t rows_bytes(const struct prism_context *c)
{
    size_t n_ctx = c->plan.n_ctx;
    uint64_t most = 0;
    for (size_t l = 0; l < c->model->n_layer; l++)
        most = max_u64(most, prism_attention_rows_bytes(min_size(n_ctx, PRISM_FEW_TOKENS), prism_heads(c, l)->n_head,
                                                        prism_heads(c, l)->head_dim, n_ctx));
    return most;
}

static size_t tile_bytes(const struct prism_context *c)
{
    size_t most = 0;
    for (size_t l = 0; l < c->model->n_layer; l++)
        if (prism_heads(c, l)->n_head > 0)
            most = max_size(most, prism_attention_scratch(c->attention, prism_heads(c, l)->head_dim, c->plan.block, c->plan.n_ctx));
    return most;
}

/* What has one size for calls of all lengths, and is used whole. */
static void layout_fixed(struct prism_context *c, struct prism_arena *a)
{
    const struct prism_model *m = c->model;
    struct prism_plan *p = &c->plan;
    struct prism_widths w = prism_widths(m);
    size_t pairs = prism_experts_rows(c, p->n_ctx), slab = p->slab_tokens;
    size_t k_max = max_size(max_size(max_size(m->n_embd, w.q), max_size(w.ff, w.embd)), w.inner);
    struct kind_limits limits = kind_limits(c, slab, PRISM_FEW_TOKENS, k_max, m->n_embd, w.ff);
    struct kind_limits expert = kind_limits(c, pairs, prism_experts_rows(c, PRISM_FEW_TOKENS), max_size(m->n_embd, w.expert), m->n_embd, w.expert);
    uint64_t mark = a->used;

    c->w_panels = prism_arena_take_each(a, p->n_threads, max_size(limits.piece_bytes, expert.piece_bytes), &c->w_panel_bytes);
    account(a, mark, &p->panel_bytes);

    mark = a->used;
    c->y_width = max_size(max_size(2 * max_size(w.kv, w.embd), w.ff), w.gates);
    prism_delta_layout(c, a);
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
    c->thread_used = max_size(max_size(tile_bytes(c), prism_selection_scratch(c)),
                              max_size(PRISM_PACK_ROWS * max_size(k_max, w.expert) * sizeof(float), prism_gated_bytes()));
    c->thread_used = max_size(max_size(c->thread_used, prism_experts_scratch(c)), prism_delta_scratch(c));
    c->thread_scratch = prism_arena_take_each(a, p->n_threads, c->thread_used, &c->thread_bytes);
    account(a, mark, &p->attention_bytes);
}

/* What grows with the tokens in the cache, or with those of a call: from its beginning, or from that of each head. */
static void layout_growing(struct prism_context *c, struct prism_arena *a)
{
    const struct prism_model *m = c->model;
    struct prism_widths w = prism_widths(m);
    struct prism_plan *p = &c->plan;
    uint64_t n_ctx = p->n_ctx, mark = a->used;

    prism_kv_layout(c, a);
    prism_delta_layout_states(c, a);
    account(a, mark, &p->kv_bytes);

    mark = a->used;
    c->x = prism_arena_take(a, n_ctx * m->n_embd, sizeof(float));
    c->q = prism_arena_take(a, n_ctx * (w.experts ? max_u64(w.q, m->n_embd) : w.q), sizeof(float));
    c->tokens = prism_arena_take(a, n_ctx, sizeof *c->tokens);
    for (uint32_t i = 0; i < m->n_ropes; i++) {
        c->rope[i].cos = prism_arena_take(a, n_ctx * (m->ropes[i].n_rot / 2), sizeof(float));
        c->rope[i].sin = prism_arena_take(a, n_ctx * (m->ropes[i].n_rot / 2), sizeof(float));
    }
    prism_experts_layout(c, a);
    account(a, mark, &p->activation_bytes);

    mark = a->used;
    uint64_t n_blocks = (n_ctx + p->block - 1) / p->block;
    c->attn_panels = prism_arena_take(a, max_u64(panel_bytes(c, n_ctx), rows_bytes(c)), 1);
    c->blocks = prism_arena_take(a, n_blocks, sizeof *c->blocks);
    c->cuts = prism_arena_take(a, n_blocks + 1, sizeof *c->cuts);
    prism_selection_layout(c, a);
    account(a, mark, &p->attention_bytes);
}

void prism_context_layout(struct prism_context *c, struct prism_arena *a)
{
    struct prism_plan *p = &c->plan;

    p->slab_tokens = (uint32_t)prism_split_slab(p->n_ctx, p->n_threads);
    p->kv_bytes = p->activation_bytes = p->panel_bytes = p->attention_bytes = p->logits_bytes = 0;
    layout_fixed(c, a);
    c->fixed_bytes = a->used;
    layout_growing(c, a);
    p->total_bytes = a->used;
}

size_t prism_context_areas(const struct prism_context *c, struct prism_memory_area *areas)
{
    size_t n = 0;

    for (uint32_t i = 0; i < c->model->gguf->n_files; i++, n++)
        if (areas) {
            struct prism_span_of_file part = prism_gguf_part(c->model->gguf, i);
            areas[n] = (struct prism_memory_area){ PRISM_MEMORY_FILE, part.at, part.bytes, 0 };
        }
    if (areas)
        areas[n] = (struct prism_memory_area){ PRISM_MEMORY_SHARED, c->base, c->bytes, 0 };
    n++;
    for (uint32_t t = 0; t < c->plan.n_threads; t++, n += 2)
        if (areas) {
            areas[n] = (struct prism_memory_area){ PRISM_MEMORY_OWN, prism_thread_panels(c, t), c->w_panel_bytes, t };
            areas[n + 1] = (struct prism_memory_area){ PRISM_MEMORY_OWN, prism_thread_scratch(c, t), c->thread_bytes, t };
        }
    return n;
}

void prism_context_advise(struct prism_context *c, size_t pos, size_t n)
{
    prism_advise_huge(c->x, n * c->model->n_embd * sizeof(float));
    prism_advise_huge(c->q, n * prism_widths(c->model).q * sizeof(float));
    prism_advise_huge(c->attn_panels, panel_bytes(c, pos + n));
    prism_kv_advise(c, pos, n);
}
