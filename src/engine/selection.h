/* selection.h - the engine's side of block selection: parameters, pooled sums beside the cache, one call per layer. Private to src/engine.
 *
 * Every function does nothing in a context whose attention is dense. */
#ifndef PRISM_ENGINE_SELECTION_H
#define PRISM_ENGINE_SELECTION_H

#include "src/engine/context.h"

struct prism_span;

/* Checks the public parameters and fills c->selection and c->plan.{selector, block}. */
enum prism_status prism_selection_set_up(struct prism_context *c, const struct prism_attention_params *given, struct prism_error *err);

/* Of the layers that may select. */
size_t prism_selection_head_dim(const struct prism_context *c);

void prism_selection_layout(struct prism_context *c, struct prism_arena *a);
size_t prism_selection_scratch(const struct prism_context *c); /* bytes per thread */
void prism_selection_start(struct prism_context *c);           /* once the memory is there */
void prism_selection_reset_stats(struct prism_context *c);
void prism_selection_count(struct prism_context *c);           /* the running call's choices to the statistics */

/* The open block's sums: kept when a call begins, put back when it is cancelled, made again from the cache after a truncation. */
void prism_selection_begin(struct prism_context *c, size_t n_tokens);
void prism_selection_cancel(struct prism_context *c);
void prism_selection_truncate(struct prism_context *c);

/* Adds a rotated head (query head or kv head) of the token at absolute position pos. first: its block has no earlier token (queries: of
 * this call). Jobs own whole blocks, so that sums are added in order of position. */
void prism_selection_add_query(struct prism_context *c, size_t layer, size_t head, size_t pos, const float *x, bool first);
void prism_selection_add_key(struct prism_context *c, size_t layer, size_t head, size_t pos, const float *x);

/* Whether a layer selects for a call that attends with n_rows rows. */
bool prism_selection_active(const struct prism_context *c, size_t layer, struct prism_span span, size_t n_rows);

/* For a layer that attends to everything in this call: what later calls with causal energies need of it. Returns false when cancelled. */
bool prism_selection_skip(struct prism_context *c, size_t layer, struct prism_span span);

/* Chooses the blocks of a layer. Returns false when cancelled. */
bool prism_selection_run(struct prism_context *c, size_t layer, struct prism_span span, struct prism_mask *mask);

#endif
