/* delta.h - layers with a gated delta net in place of attention (struct prism_delta_spec): their state, and one layer of a call. Private to
 * src/engine.
 *
 * A layer keeps no keys and values but a state: a matrix for each value head, and the last n_conv - 1 inputs of the convolution. A call reads the
 * state that the tokens before it left and writes another, so that a call that fails has changed nothing. Of the four that a context holds one
 * is that of the present length, one is written, and the others are checkpoints: where the document ended that questions are asked about, where
 * the last prompt ended. A call leaves two: at its end, and at a mark inside it (delta_state.c). The context can be cut to a state's
 * length and to nothing else.
 *
 * Tokens are computed in chunks that begin at multiples of 64, whatever calls they came in, by the way of Yang et al. 2024 (arXiv 2412.06464, 3.3): a
 * token's bits depend on where calls began only when they began inside a chunk. */
#ifndef PRISM_ENGINE_DELTA_H
#define PRISM_ENGINE_DELTA_H

#include "src/base/arena.h"
#include "src/engine/delta_chunk.h"
#include "src/model/model.h"

enum { PRISM_DELTA_STATES = 4 };

struct prism_context;
struct prism_span;

struct prism_delta {
    const struct prism_delta_spec *shape; /* of one of the layers: they are alike. NULL: the model has none, and the rest is unused */
    size_t n_layers;
    float *state[PRISM_DELTA_STATES]; /* [n_layers] of prism_delta_floats */
    uint64_t end[PRISM_DELTA_STATES]; /* the tokens that the state has seen: the first so many of the context. 0: it is free */
    size_t wanted;                    /* prism_prefill_to: where the next call should leave its mark; 0: nowhere in particular */

    /* the running call */
    int from, to, mark;               /* states that it reads, -1: zeros; and writes; mark -1: none */
    size_t mark_at;                   /* absolute position, a multiple of the chunk */

    /* a slab of one layer */
    float *in;                        /* [n_conv - 1 + slab][channels], what the convolution reads */
    float *gate, *scalars;            /* [slab][n_value * d]; [slab][2 n_value]: beta, alpha */
    float *heads;                     /* [2 n_key + n_value][slab][d]: queries, keys, values, which become outputs */
    float *beta;                      /* [n_value][slab] */
    double *sums;                     /* [n_value][slab] of g, from the beginning of a chunk */
    prism_delta_square *raw;          /* [chunks][n_key][2] */
};

/* ---- delta_state.c ---- */

void prism_delta_layout(struct prism_context *c, struct prism_arena *a);        /* of a slab */
void prism_delta_layout_states(struct prism_context *c, struct prism_arena *a);
size_t prism_delta_floats(const struct prism_delta_spec *s);                    /* of a state: matrices [n_value][d][d], then inputs [n_conv - 1][channels] */
static inline size_t prism_delta_channels(const struct prism_delta_spec *s) { return (2 * (size_t)s->n_key + s->n_value) * s->d; }

/* Chooses the states of a call over `span` whose end has `length` tokens; those that it writes are free until prism_delta_commit. */
void prism_delta_begin(struct prism_context *c, struct prism_span span);
void prism_delta_commit(struct prism_context *c, size_t length);

/* Whether the context may be cut to n tokens: there is a state. */
bool prism_delta_can_cut(const struct prism_context *c, size_t n);
void prism_delta_truncate(struct prism_context *c);

/* The most tokens, up to n, that a state has seen, in multiples of `grid`. n itself where the model has no such layers. */
size_t prism_delta_kept(const struct prism_context *c, size_t n, size_t grid);

/* What the block of cuts grows to where chunks count as well. */
size_t prism_delta_grid(const struct prism_context *c);

/* ---- delta.c ---- */

/* x of rows from `first` on += what the layer makes of all rows. False when cancelled. */
bool prism_layer_delta(struct prism_context *c, size_t index, struct prism_span span, size_t first);

double prism_delta_work(const struct prism_context *c, const struct prism_layer *l, double rows, double out);
size_t prism_delta_scratch(const struct prism_context *c); /* bytes of a thread, 0: the model has no such layer */

#endif
