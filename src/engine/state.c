/* state.c - see state.h. */
#include "src/engine/state.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/size.h"

enum { FEW_PIECES = 4 + PRISM_DELTA_STATES, LAYER_PIECES = 4, SKETCH_PIECES = 11 };

struct prism_state_facts prism_state_facts(const struct prism_context *c)
{
    struct prism_state_facts f = { .length = c->length, .whole = c->whole, .kept_from = c->kept_from, .logits = c->logits_valid,
                                   .logits_exact = c->logits_valid && c->logits_exact };

    if (c->length && c->cached_freq)
        f.rotations = c->cached_freq == c->model->ropes[0].freq_short ? PRISM_ROTATIONS_SHORT : PRISM_ROTATIONS_LONG;
    for (uint32_t l = 0; c->selection.sketch && l < c->model->n_layer; l++)
        f.sketched |= c->selection.sketch[l].rank && c->selection.sketch[l].rank[0] != 0;
    memcpy(f.states, c->delta.end, sizeof f.states);
    return f;
}

static void add(struct prism_state_piece *list, size_t *n, struct prism_state_piece p)
{
    if (p.count && p.bytes)
        list[(*n)++] = p;
}

static void add_sketch(const struct prism_context *c, size_t layer, size_t length, struct prism_state_piece *list, size_t *n)
{
    const struct prism_sketch *s = &c->selection.sketch[layer];
    const struct prism_attn_spec *a = prism_heads(c, layer);
    size_t heads = a->n_head_kv, done = length / c->plan.block, map = prism_sketch_map_bytes(c->kernels, a->head_dim);
    size_t keys = c->plan.block * prism_sketch_dim(a->head_dim);

    add(list, n, (struct prism_state_piece){ "sketch: maps of keys", s->k_map, 1, heads * map, 0 });
    add(list, n, (struct prism_state_piece){ "sketch: maps of queries", s->q_map, 1, heads * map, 0 });
    add(list, n, (struct prism_state_piece){ "sketch: ranks", (uint8_t *)s->rank, 1, heads * sizeof *s->rank, 0 });
    add(list, n, (struct prism_state_piece){ "sketch: variances", (uint8_t *)s->within, 1, heads * prism_sketch_dim(a->head_dim) * sizeof(float), 0 });
    add(list, n, (struct prism_state_piece){ "sketch: deviations", (uint8_t *)s->sigmas, 1, a->n_head * sizeof *s->sigmas, 0 });
    add(list, n, (struct prism_state_piece){ "sketch: where it was made", (uint8_t *)s->made_at, 1, sizeof *s->made_at, 0 });
    add(list, n, (struct prism_state_piece){ "sketch: blocks", (uint8_t *)s->n_done, 1, sizeof *s->n_done, 0 });
    add(list, n, (struct prism_state_piece){ "sketch: keys", s->keys, heads, done * keys, s->max_blocks * keys });
    add(list, n, (struct prism_state_piece){ "sketch: means", s->means, heads, done * prism_sketch_dim(a->head_dim),
                                             s->max_blocks * prism_sketch_dim(a->head_dim) });
    add(list, n, (struct prism_state_piece){ "sketch: scales", (uint8_t *)s->k_scale, heads, done * sizeof(float), s->max_blocks * sizeof(float) });
    add(list, n, (struct prism_state_piece){ "sketch: lengths", (uint8_t *)s->k_rest, heads, done * sizeof(float), s->max_blocks * sizeof(float) });
}

static void add_cache(const struct prism_context *c, size_t layer, size_t length, struct prism_state_piece *list, size_t *n)
{
    const struct prism_kv_view kv = prism_kv_view(c, layer, 1);
    size_t heads = prism_own_kv_heads(c->model, layer), rows = min_size(length, kv.capacity);

    add(list, n, (struct prism_state_piece){ "keys", kv.k, heads, rows * kv.k_row, kv.k_head_bytes });
    add(list, n, (struct prism_state_piece){ "values", kv.v, heads, rows * kv.v_row, kv.v_head_bytes });
}

static void add_states(const struct prism_context *c, const struct prism_state_facts *f, size_t which, struct prism_state_piece *list, size_t *n)
{
    size_t bytes = c->delta.shape && f->states[which] ? prism_delta_floats(c->delta.shape) * sizeof(float) : 0;

    add(list, n, (struct prism_state_piece){ "states", (uint8_t *)c->delta.state[which], c->delta.n_layers, bytes, bytes });
}

static void add_selection(const struct prism_context *c, const struct prism_state_facts *f, struct prism_state_piece *list, size_t *n)
{
    const struct prism_selection *s = &c->selection;
    size_t blocks = div_up(f->length, c->plan.block), energy = 3 * sizeof(float);

    for (uint32_t l = 0; l < c->model->n_layer; l++) {
        const struct prism_attn_spec *a = prism_heads(c, l);
        const struct prism_pooled *p = &s->pooled[l];
        size_t sum = a->head_dim * sizeof(float);
        if (p->k_sum_open)
            add(list, n, (struct prism_state_piece){ "sums of keys", (uint8_t *)p->k_sum, a->n_head_kv, blocks * sum, s->max_blocks * sum });
        if (p->q_energy)
            add(list, n, (struct prism_state_piece){ "energies of queries", (uint8_t *)p->q_energy, a->n_head, blocks * energy,
                                                     s->max_blocks * energy });
    }
    add(list, n, (struct prism_state_piece){ "whole blocks", s->q_full, 1, blocks, 0 });
    for (uint32_t l = 0; f->sketched && l < c->model->n_layer; l++)
        if (s->sketch[l].rank)
            add_sketch(c, l, f->length, list, n);
}

struct prism_state_piece *prism_state_list(const struct prism_context *c, const struct prism_state_facts *f, size_t *n)
{
    const size_t n_layer = c->model->n_layer;
    struct prism_state_piece *list = calloc(FEW_PIECES + (LAYER_PIECES + SKETCH_PIECES) * n_layer, sizeof *list);

    *n = 0;
    if (!list)
        return NULL;
    add(list, n, (struct prism_state_piece){ "tokens", (uint8_t *)c->tokens, 1, f->length * sizeof *c->tokens, 0 });
    add(list, n, (struct prism_state_piece){ "cuts", c->cuts, 1, f->length / c->plan.block + 1, 0 });
    if (f->logits)
        add(list, n, (struct prism_state_piece){ "logits", (uint8_t *)c->logits, 1, c->model->n_vocab * sizeof(float), 0 });
    for (size_t l = 0; l < n_layer; l++)
        add_cache(c, l, f->length, list, n);
    for (size_t i = 0; i < PRISM_DELTA_STATES; i++)
        add_states(c, f, i, list, n);
    if (c->selection.selector)
        add_selection(c, f, list, n);
    return list;
}

void prism_state_adopt(struct prism_context *c, const struct prism_state_facts *f)
{
    const struct prism_model *m = c->model;

    c->length = f->length, c->whole = f->whole, c->kept_from = f->kept_from;
    c->logits_valid = f->logits, c->logits_exact = f->logits_exact;
    memcpy(c->delta.end, f->states, sizeof f->states);
    c->cached_freq = f->rotations == PRISM_ROTATIONS_SHORT ? m->ropes[0].freq_short : f->rotations == PRISM_ROTATIONS_LONG ? m->ropes[0].freq : NULL;
}
