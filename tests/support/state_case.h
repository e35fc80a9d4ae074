/* state_case.h - contexts of every kind with a history, for what must carry over all that they hold: clones and session files. */
#ifndef PRISM_TESTS_STATE_CASE_H
#define PRISM_TESTS_STATE_CASE_H

#include "prism/prism.h"

enum { STATE_LAYERS = 3, STATE_TOKENS = 420, STATE_CTX = 700 };

struct state_case {
    const char *name;
    struct prism_context_params params;
};
extern const struct state_case state_cases[];
extern const size_t n_state_cases;

/* Free it with prism_model_free. */
prism_model *state_model(const char *name);

/* A context of the case after calls of many kinds, the last of which ends inside a block: STATE_TOKENS tokens, with logits. */
prism_context *state_context(const prism_model *m, const struct prism_context_params *p);

/* The same history, in a context that has already more tokens. */
void state_history(const prism_model *m, prism_context *c);

/* Fails the test unless both hold the same tokens and logits. */
void assert_same_state(const prism_context *a, const prism_context *b, size_t n_vocab);

/* Makes the same calls in both, which choose and attend over all that they hold, and compares after each of them. */
void assert_same_future(prism_context *a, prism_context *b, size_t n_vocab);

#endif
