/* reuse.h - makes a context hold exactly some tokens, computing only what is new: the beginning that it already has in common is kept.
 *
 * The tokens in the context are remembered here; one place, so that the library can take it over. */
#ifndef PRISM_TOOLS_REUSE_H
#define PRISM_TOOLS_REUSE_H

#include "prism/prism.h"

/* Zero for an empty context; free `tokens` in the end. */
struct reuse {
    int32_t *tokens; /* what the context holds */
    size_t n, cap;
};

/* Afterwards the context holds tokens[0..n), n >= 1, and has logits. *reused: of these, how many were there; at least one is computed anew.
 * After a failure the context holds a beginning of them, and that is remembered. Errors: those of prism_prefill, PRISM_E_NOMEM. */
enum prism_status reuse_prefill(struct reuse *r, prism_context *ctx, const int32_t *tokens, size_t n, const struct prism_prefill_params *params,
                                size_t *reused, struct prism_error *err);

/* Notes tokens that were decoded: the context holds as many as its length says. False: out of memory, and then nothing is remembered. */
bool reuse_decoded(struct reuse *r, prism_context *ctx, const int32_t *tokens, size_t n);

#endif
