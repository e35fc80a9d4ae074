/* finite.h - values that are not finite are found while they are hot, and end the call (PRISM_E_NUMERIC). Private to src/engine.
 *
 * Looked at: every row of the residual stream when it is normalised (what a layer's products and attention made of it shows there, since
 * kernels hand on NaN and infinity), queries, keys and values before attention or a selector reads them, logits before they are
 * delivered. So nothing that is not finite stays in a cache that later rows read. */
#ifndef PRISM_ENGINE_FINITE_H
#define PRISM_ENGINE_FINITE_H

#include "src/engine/context.h"

/* In the order in which a layer makes them. */
enum prism_fault {
    PRISM_FAULT_INPUT,     /* rows of the residual stream that enter the layer, or the logits */
    PRISM_FAULT_QUERIES, PRISM_FAULT_KEYS, PRISM_FAULT_VALUES,
    PRISM_FAULT_KEY_RANGE, PRISM_FAULT_VALUE_RANGE, /* finite, but not in the cache's type */
    PRISM_FAULT_ATTENTION, /* the residual stream between attention and FFN */
    PRISM_FAULT_ROUTER,    /* the numbers that experts are chosen by, and that of the shared one's gate */
    PRISM_FAULT_FFN,       /* what the FFN adds, where a norm looks at it */
    PRISM_FAULT_EMBD,      /* the layer's own embedding, and what it adds */
    PRISM_FAULT_LOGITS,
};

/* Whether a row's sum of squares is a number that norms and dot products in fp32 can work with: no NaN, no infinity, below 2^116, so that a
 * sum over 64 such products still has room. (A norm makes zeros of a sum of squares that fp32 cannot hold.) */
static inline bool prism_is_tame(double squares) { return squares < 0x1p116; /* false for NaN */ }

/* Sum of squares of a head, in fp32. */
double prism_head_squares(const struct prism_context *c, const float *x, size_t d);

/* Whether x[0..n) holds no NaN and no infinity. */
bool prism_is_finite(const float *x, size_t n);

/* Stores a head as a row of a cache; false: what is stored is not finite, or not tame. */
bool prism_store_kv(const struct prism_context *c, enum prism_kv_format format, void *at, const float *x, size_t d);

/* From any thread, once per fault: the call fails after the running phase. Of several the first position counts, then the first kind, then
 * the first head, for any number of threads. */
void prism_note_fault(struct prism_context *c, enum prism_fault fault, size_t pos, size_t head);

static inline bool prism_has_fault(const struct prism_context *c)
{
    return atomic_load_explicit(&c->fault, memory_order_relaxed) != UINT64_MAX;
}

/* PRISM_E_NUMERIC with the layer, the position and the head in words. */
enum prism_status prism_fail_fault(const struct prism_context *c, struct prism_error *err);

#endif
