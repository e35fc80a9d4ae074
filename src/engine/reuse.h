/* reuse.h - which of the tokens in the cache a fresh context would have made bit for bit the same: what prism_prefill_to keeps. Private to
 * src/engine.
 *
 * Where nothing is chosen, keys and values of a token have the same bits in every call that has more than PRISM_FEW_TOKENS rows, begins at a
 * multiple of the block, and holds the token's block whole (attention multiplies blocks of keys that share a scale): so any multiple of the
 * block inside such a call is a cut. Where a selector chose, a token depends on the whole call that it came in (temperatures, the dense
 * tail, min_tokens): only the call's end is a cut, and only when it ends a block, since the sums of an open block go on. */
#ifndef PRISM_ENGINE_REUSE_H
#define PRISM_ENGINE_REUSE_H

#include "src/engine/layer.h"

/* A call over `span` has succeeded and c->length is its end. whole: it ran all layers. all_rows: it delivered rows of logits, the last of
 * which other kernels may have made. */
void prism_reuse_note(struct prism_context *c, struct prism_span span, bool whole, bool all_rows);

#endif
