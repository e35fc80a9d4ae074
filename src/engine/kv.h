/* kv.h - where the keys and values of a layer are cached. Private to src/engine.
 *
 * Heads are as many and as wide as the layer's (struct prism_attn_spec). A layer without kv heads has no rows; one that reads another layer's
 * (prism_attn_spec.kv_layer) has that one's.
 *
 * A layer that sees all tokens keeps all: [n_head_kv][n_ctx] rows. One with a window keeps a ring: position p in row p % capacity, where capacity
 * is the window and some more, so that tokens can be taken back (prism_truncate) and the keys of one call of a few tokens never fall on those that
 * its first rows still see. A longer call works in `wide`, rows of all positions that all such layers share in turn: the ring's tokens are
 * put there before, and the last ones brought back afterwards. They stay there for the layers that read this one's keys and values. */
#ifndef PRISM_ENGINE_KV_H
#define PRISM_ENGINE_KV_H

#include <stdbool.h>

#include "src/base/arena.h"
#include "src/kernels.h"

struct prism_context;

/* Keys, or values, of all layers. */
struct prism_kv_cache {
    enum prism_kv_format format;
    uint8_t **layer;                /* [n_layer]: [n_head_kv][capacity] rows of head_dim values; those of prism_attn_spec.kv_layer */
    uint8_t *wide;                  /* [n_head_kv][n_ctx] rows; NULL: no layer has a ring */
};

/* The keys and values of a layer, as one call sees them. */
struct prism_kv_view {
    uint8_t *k, *v;
    size_t k_row, v_row, k_head_bytes, v_head_bytes; /* from one row, and from one kv head, to the next */
    size_t capacity;                /* position p in row p % capacity */
};

static inline uint8_t *prism_view_key(const struct prism_kv_view *v, size_t kv_head, size_t pos)
{
    return v->k + kv_head * v->k_head_bytes + pos % v->capacity * v->k_row;
}

static inline uint8_t *prism_view_value(const struct prism_kv_view *v, size_t kv_head, size_t pos)
{
    return v->v + kv_head * v->v_head_bytes + pos % v->capacity * v->v_row;
}

/* Rows of a kv head that a layer's cache has: n_ctx, or fewer in a ring. */
size_t prism_kv_capacity(const struct prism_context *c, size_t layer);

/* The view of a call of n_tokens tokens; 1: of what is kept between calls. */
struct prism_kv_view prism_kv_view(const struct prism_context *c, size_t layer, size_t n_tokens);

/* Before and after a layer's keys and values are used by a call of n tokens from position pos on. */
void prism_kv_enter(struct prism_context *c, size_t layer, size_t pos, size_t n);
void prism_kv_leave(struct prism_context *c, size_t layer, size_t pos, size_t n);

/* The first position whose keys and values are there in all layers once the cache has held `end` tokens from `from` on. */
size_t prism_kv_kept_from(const struct prism_context *c, size_t from, size_t end);

/* Whether the cache may be cut to n tokens: all that the next one sees is there. */
bool prism_kv_can_cut(const struct prism_context *c, size_t n);

void prism_kv_layout(struct prism_context *c, struct prism_arena *a);

/* Huge pages for positions [pos, pos + n), where they fill whole ones. */
void prism_kv_advise(struct prism_context *c, size_t pos, size_t n);

#endif
