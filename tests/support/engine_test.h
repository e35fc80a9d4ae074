/* engine_test.h - what every test of the engine begins with: models, contexts, tokens, and the logits of all rows. Nothing here returns an error:
 * what goes wrong fails the running test, in the words of the library (in a thread that the test has made: ends the program). */
#ifndef PRISM_TESTS_ENGINE_TEST_H
#define PRISM_TESTS_ENGINE_TEST_H

#include "prism/prism.h"
#include "tests/support/tiny_model.h"

/* Fails the test unless s is PRISM_OK; err: of the same call. */
void must(enum prism_status s, const struct prism_error *err);

/* Models; free them with prism_model_free. */
prism_model *load_model(const char *path);                               /* of a file */
prism_model *load_tiny(const struct tiny_model *t, const char *name);    /* built and written to test_tmp_dir()/name */
prism_model *load_built(struct gb *g, const char *name);                 /* likewise; g, which the test has changed, is freed */
int free_group_model(void **state);                                      /* a group's teardown: frees *state, where its setup put a model */

/* Free it with prism_context_free. */
prism_context *make_context(const prism_model *m, const struct prism_context_params *p);

/* The first n of a fixed pseudorandom sequence over the vocabulary. */
void make_tokens(int32_t *tokens, size_t n, uint32_t n_vocab);

/* One prefill that appends n tokens; the logits of all of them, [n][n_vocab], malloc'ed. */
float *all_logits(prism_context *c, const int32_t *tokens, size_t n, size_t n_vocab);

#endif
