/* mask_trace.h - runs prefills and keeps what a context chose and computed, by absolute position; judges it by a forward pass in double. */
#ifndef PRISM_TESTS_MASK_TRACE_H
#define PRISM_TESTS_MASK_TRACE_H

#include "prism/prism.h"

enum { TRACE_LAYERS = 8, TRACE_HEADS = 8, TRACE_TOKENS = 3000, TRACE_BLOCKS = (TRACE_TOKENS + 31) / 32 };

struct trace {
    uint64_t row[TRACE_LAYERS][TRACE_HEADS][TRACE_BLOCKS][2]; /* bits of a query block; of the last call that chose them */
    size_t calls[TRACE_LAYERS];                               /* that chose */
    uint64_t chosen[TRACE_LAYERS][TRACE_HEADS], causal[TRACE_LAYERS][TRACE_HEADS]; /* blocks, over all calls */
    float *logits;                                            /* [tokens of the last call][n_vocab] */
    size_t n_vocab;
};

/* Root mean square of the error of logits with compute auto, relative to theirs: derived in tests/engine/test_engine.c for two layers, and
 * these models have up to three; keys and values in F16. */
#define TRACE_ERROR (0.026 * 1.5 + 4 * 0x1p-11)

/* Contexts are made by engine_test.h's make_context. All of these fail the test too rather than return an error. */
/* 4 heads of 64 on 2 kv heads. */
prism_model *trace_tiny_model(const char *name, uint32_t n_layer);
/* Prism, blocks of 32, p 0.7, no dense tail, one thread. */
struct prism_context_params trace_params(uint32_t n_ctx);
int32_t *trace_tokens(const prism_model *m, size_t n); /* malloc'ed, those of make_tokens */

struct trace *trace_new(const prism_model *m);
void trace_free(struct trace *t);

/* Appends tokens. With logits all layers attend with every row; without, the last layer attends with one and chooses nothing. Every mask
 * must hold sink and diagonal and no block of the future; all logits must be numbers, and those of a token must differ. */
void trace_feed(prism_context *c, struct trace *t, const int32_t *tokens, size_t n, bool logits);

/* One call, with logits, in a fresh context. */
struct trace *trace_call(const prism_model *m, const struct prism_context_params *p, const int32_t *tokens, size_t n);

/* Fails the test unless the logits of the last call, of tokens [from, to), are those of a forward pass in double over tokens[0 .. to) that
 * attends to the blocks of the trace (rows without any: to everything), within TRACE_ERROR, or 1.4e-5 with compute f32. dense_from: the
 * tokens there and later attend to everything, as the call's dense tail does. */
void trace_judge(const struct trace *t, const prism_model *m, const struct prism_context_params *p, const int32_t *tokens, size_t from,
                 size_t to, size_t dense_from);

/* Masks that both have in at least one layer, equal in all of them. */
bool trace_same_masks(const struct trace *a, const struct trace *b);
bool trace_same_logits(const struct trace *a, const struct trace *b, size_t from, size_t to); /* rows [from, to) */

/* The same call with 2, 3 and 7 threads has the masks and the logits of `one`, which trace_call made with p. */
void trace_same_for_threads(struct trace *one, const prism_model *m, const struct prism_context_params *p, const int32_t *tokens, size_t n);

#endif
