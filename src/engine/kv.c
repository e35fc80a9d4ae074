/* kv.c - see kv.h. */
#include "src/engine/kv.h"

#include <string.h>

#include "src/attention/attention.h"
#include "src/base/size.h"
#include "src/engine/context.h"

enum {
    SLACK = 1280,  /* tokens that a ring keeps beyond its window: a question and its answer can be taken back, and a block */
    GRAIN = 1024,  /* of a ring's capacity: pieces of keys, of PRISM_ATTN_ROW_KEYS, do not wrap around */
};
_Static_assert(GRAIN % PRISM_ATTN_ROW_KEYS == 0 && SLACK > (int)PRISM_FEW_TOKENS, "see kv.h");

/* Of the layer whose keys and values a layer reads. */
static const struct prism_attn_spec *owner(const struct prism_context *c, size_t layer)
{
    return &c->model->layers[c->model->layers[layer].attn.kv_layer].attn;
}

static size_t row_bytes(const struct prism_context *c, const struct prism_kv_cache *kv, size_t layer)
{
    return prism_kv_row_bytes(kv->format, owner(c, layer)->head_dim);
}

size_t prism_kv_capacity(const struct prism_context *c, size_t layer)
{
    size_t n_ctx = c->plan.n_ctx, window = owner(c, layer)->window;
    return window ? min_size(n_ctx, round_up(window + SLACK, GRAIN)) : n_ctx;
}

static bool is_ring(const struct prism_context *c, size_t layer) { return prism_kv_capacity(c, layer) < c->plan.n_ctx; }

/* Of the widest ring's rows. */
static size_t ring_bytes(const struct prism_context *c, const struct prism_kv_cache *kv)
{
    size_t most = 0;
    for (size_t l = 0; l < c->model->n_layer; l++)
        if (is_ring(c, l))
            most = max_size(most, prism_own_kv_heads(c->model, l) * row_bytes(c, kv, l));
    return most;
}

static struct prism_kv_view view(const struct prism_context *c, size_t layer, bool wide)
{
    const struct prism_kv_cache *k = &c->k_cache, *v = &c->v_cache;
    size_t capacity = wide ? c->plan.n_ctx : prism_kv_capacity(c, layer), k_row = row_bytes(c, k, layer), v_row = row_bytes(c, v, layer);

    return (struct prism_kv_view){ wide ? k->wide : k->layer[layer], wide ? v->wide : v->layer[layer], k_row, v_row, capacity * k_row,
                                   capacity * v_row, capacity };
}

/* Whether a call works on the shared rows. */
static bool uses_wide(const struct prism_context *c, size_t layer, size_t n_tokens) { return n_tokens > PRISM_FEW_TOKENS && is_ring(c, layer); }

struct prism_kv_view prism_kv_view(const struct prism_context *c, size_t layer, size_t n_tokens)
{
    return view(c, layer, uses_wide(c, layer, n_tokens));
}

/* The first position whose keys and values the token at `pos` needs: whole blocks, for keys of a block may share a scale. */
static size_t first_needed(const struct prism_context *c, size_t layer, size_t pos)
{
    size_t block = c->plan.block;
    return prism_first_key(owner(c, layer)->window, owner(c, layer)->chunked, pos) / block * block;
}

static void copy_rows(const struct prism_context *c, size_t layer, const struct prism_kv_view *to, const struct prism_kv_view *from, size_t pos,
                      size_t end)
{
    for (size_t h = 0; h < prism_own_kv_heads(c->model, layer); h++)
        for (size_t p = pos; p < end; p++) {
            memcpy(prism_view_key(to, h, p), prism_view_key(from, h, p), to->k_row);
            memcpy(prism_view_value(to, h, p), prism_view_value(from, h, p), to->v_row);
        }
}

void prism_kv_enter(struct prism_context *c, size_t layer, size_t pos, size_t n)
{
    if (!uses_wide(c, layer, n))
        return;
    struct prism_kv_view ring = view(c, layer, false), wide = view(c, layer, true);
    copy_rows(c, layer, &wide, &ring, first_needed(c, layer, pos), pos);
}

void prism_kv_leave(struct prism_context *c, size_t layer, size_t pos, size_t n)
{
    if (!uses_wide(c, layer, n))
        return;
    struct prism_kv_view ring = view(c, layer, false), wide = view(c, layer, true);
    copy_rows(c, layer, &ring, &wide, max_size(pos, pos + n - min_size(pos + n, ring.capacity)), pos + n);
}

size_t prism_kv_kept_from(const struct prism_context *c, size_t from, size_t end)
{
    for (size_t l = 0; l < c->model->n_layer; l++)
        from = max_size(from, end - min_size(end, prism_kv_capacity(c, l)));
    return from;
}

bool prism_kv_can_cut(const struct prism_context *c, size_t n)
{
    for (size_t l = 0; l < c->model->n_layer && n > 0; l++)
        if (is_ring(c, l) && first_needed(c, l, n) < c->kept_from)
            return false;
    return true;
}

void prism_kv_layout(struct prism_context *c, struct prism_arena *a)
{
    struct prism_kv_cache *caches[] = { &c->k_cache, &c->v_cache };

    for (size_t i = 0; i < 2; i++) {
        struct prism_kv_cache *kv = caches[i];
        kv->layer = prism_arena_take(a, c->model->n_layer, sizeof *kv->layer);
        for (size_t l = 0; l < c->model->n_layer; l++) {
            uint8_t *rows = prism_arena_take(a, prism_own_kv_heads(c->model, l), prism_kv_capacity(c, l) * row_bytes(c, kv, l));
            if (kv->layer)
                kv->layer[l] = prism_has_kv(c->model, l) ? rows : kv->layer[c->model->layers[l].attn.kv_layer];
        }
        kv->wide = ring_bytes(c, kv) ? prism_arena_take(a, c->plan.n_ctx, ring_bytes(c, kv)) : NULL;
    }
}

void prism_kv_advise(struct prism_context *c, size_t pos, size_t n)
{
    for (size_t l = 0; l < c->model->n_layer; l++) {
        struct prism_kv_view v = prism_kv_view(c, l, n);
        size_t end = min_size(pos + n, v.capacity);
        for (size_t h = 0; pos < end && h < prism_own_kv_heads(c->model, l); h++) {
            if ((end - pos) * v.k_row >= PRISM_HUGE_PAGE)
                prism_advise_huge(prism_view_key(&v, h, pos), (end - pos) * v.k_row);
            if ((end - pos) * v.v_row >= PRISM_HUGE_PAGE)
                prism_advise_huge(prism_view_value(&v, h, pos), (end - pos) * v.v_row);
        }
    }
}
