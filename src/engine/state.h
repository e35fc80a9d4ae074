/* state.h - what a context holds of its tokens, as a list of memory: what clones and session files copy. Private to src/engine.
 *
 * Everything that a later call reads and an earlier one wrote is here; the rest of a context is settings or scratch. */
#ifndef PRISM_ENGINE_STATE_H
#define PRISM_ENGINE_STATE_H

#include "src/engine/context.h"

enum prism_rotations { PRISM_ROTATIONS_NONE, PRISM_ROTATIONS_LONG, PRISM_ROTATIONS_SHORT }; /* of the cached keys; NONE: unknown */

/* Numbers beside the memory. */
struct prism_state_facts {
    uint64_t length, whole, kept_from;              /* tokens; kept_from: as in struct prism_context */
    uint32_t logits, logits_exact, rotations, sketched; /* 0 or 1, but for rotations. sketched: some layer has a basis */
    uint64_t states[PRISM_DELTA_STATES];            /* tokens that each state of delta nets has seen; 0: it is free */
};
struct prism_state_facts prism_state_facts(const struct prism_context *c);

/* Rows of memory, `count` of `bytes` bytes, `stride` bytes apart. */
struct prism_state_piece {
    const char *name;
    uint8_t *at;
    size_t count, bytes, stride;
};

/* The pieces of a context of these facts, in an order that depends on its settings and the facts alone; malloc'ed. NULL: no memory. */
struct prism_state_piece *prism_state_list(const struct prism_context *c, const struct prism_state_facts *f, size_t *n);

/* The context has what the pieces of these facts were filled with. */
void prism_state_adopt(struct prism_context *c, const struct prism_state_facts *f);

#endif
