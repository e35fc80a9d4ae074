/* state.c - see state.h. */
#include "src/engine/state.h"

#include <stdlib.h>

#include "src/base/size.h"

enum { FEW_PIECES = 8, SKETCH_PIECES = 8 };

struct prism_state_facts prism_state_facts(const struct prism_context *c)
{
    struct prism_state_facts f = { .length = c->length, .whole = c->whole, .logits = c->logits_valid,
                                   .logits_exact = c->logits_valid && c->logits_exact };

    if (c->length && c->cached_freq)
        f.rotations = c->cached_freq == c->model->rope_freq_short ? PRISM_ROTATIONS_SHORT : PRISM_ROTATIONS_LONG;
    for (uint32_t l = 0; c->selection.sketch && l < c->model->hp.n_layer; l++)
        f.sketched |= c->selection.sketch[l].rank[0] != 0;
    return f;
}

static void add(struct prism_state_piece *list, size_t *n, struct prism_state_piece p)
{
    if (p.count && p.bytes)
        list[(*n)++] = p;
}

static void add_sketch(const struct prism_context *c, const struct prism_sketch *s, size_t length, struct prism_state_piece *list, size_t *n)
{
    const struct prism_hparams *hp = &c->model->hp;
    size_t heads = hp->n_head_kv, done = length / c->plan.block, map = prism_sketch_map_bytes(c->kernels, hp->head_dim);
    size_t keys = c->plan.block * prism_sketch_dim(hp->head_dim);

    add(list, n, (struct prism_state_piece){ "sketch: maps of keys", s->k_map, 1, heads * map, 0 });
    add(list, n, (struct prism_state_piece){ "sketch: maps of queries", s->q_map, 1, heads * map, 0 });
    add(list, n, (struct prism_state_piece){ "sketch: ranks", (uint8_t *)s->rank, 1, heads * sizeof *s->rank, 0 });
    add(list, n, (struct prism_state_piece){ "sketch: where it was made", (uint8_t *)s->made_at, 1, sizeof *s->made_at, 0 });
    add(list, n, (struct prism_state_piece){ "sketch: blocks", (uint8_t *)s->n_done, 1, sizeof *s->n_done, 0 });
    add(list, n, (struct prism_state_piece){ "sketch: keys", s->keys, heads, done * keys, s->max_blocks * keys });
    add(list, n, (struct prism_state_piece){ "sketch: scales", (uint8_t *)s->k_scale, heads, done * sizeof(float), s->max_blocks * sizeof(float) });
    add(list, n, (struct prism_state_piece){ "sketch: lengths", (uint8_t *)s->k_rest, heads, done * sizeof(float), s->max_blocks * sizeof(float) });
}

static void add_selection(const struct prism_context *c, const struct prism_state_facts *f, struct prism_state_piece *list, size_t *n)
{
    const struct prism_hparams *hp = &c->model->hp;
    const struct prism_selection *s = &c->selection;
    size_t blocks = div_up(f->length, c->plan.block), sum = hp->head_dim * sizeof(float), energy = 3 * sizeof(float);

    add(list, n, (struct prism_state_piece){ "sums of keys", (uint8_t *)s->k_sum, (size_t)hp->n_layer * hp->n_head_kv, blocks * sum,
                                             s->max_blocks * sum });
    add(list, n, (struct prism_state_piece){ "energies of queries", (uint8_t *)s->q_energy, (size_t)hp->n_layer * hp->n_head, blocks * energy,
                                             s->max_blocks * energy });
    add(list, n, (struct prism_state_piece){ "whole blocks", s->q_full, 1, blocks, 0 });
    for (uint32_t l = 0; f->sketched && l < hp->n_layer; l++)
        add_sketch(c, &s->sketch[l], f->length, list, n);
}

struct prism_state_piece *prism_state_list(const struct prism_context *c, const struct prism_state_facts *f, size_t *n)
{
    const struct prism_hparams *hp = &c->model->hp;
    size_t heads = (size_t)hp->n_layer * hp->n_head_kv, k_row = c->k_cache.row_bytes, v_row = c->v_cache.row_bytes;
    struct prism_state_piece *list = calloc(FEW_PIECES + (size_t)SKETCH_PIECES * hp->n_layer, sizeof *list);

    *n = 0;
    if (!list)
        return NULL;
    add(list, n, (struct prism_state_piece){ "tokens", (uint8_t *)c->tokens, 1, f->length * sizeof *c->tokens, 0 });
    add(list, n, (struct prism_state_piece){ "cuts", c->cuts, 1, f->length / c->plan.block + 1, 0 });
    if (f->logits)
        add(list, n, (struct prism_state_piece){ "logits", (uint8_t *)c->logits, 1, hp->n_vocab * sizeof(float), 0 });
    add(list, n, (struct prism_state_piece){ "keys", c->k_cache.data, heads, f->length * k_row, c->plan.n_ctx * k_row });
    add(list, n, (struct prism_state_piece){ "values", c->v_cache.data, heads, f->length * v_row, c->plan.n_ctx * v_row });
    if (c->selection.selector)
        add_selection(c, f, list, n);
    return list;
}

void prism_state_adopt(struct prism_context *c, const struct prism_state_facts *f)
{
    const struct prism_model *m = c->model;

    c->length = f->length, c->whole = f->whole;
    c->logits_valid = f->logits, c->logits_exact = f->logits_exact;
    c->cached_freq = f->rotations == PRISM_ROTATIONS_SHORT ? m->rope_freq_short : f->rotations == PRISM_ROTATIONS_LONG ? m->rope_freq : NULL;
}
