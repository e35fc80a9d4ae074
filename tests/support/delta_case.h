/* delta_case.h - a model with delta nets and dense contexts of it. What goes wrong fails the test. */
#ifndef PRISM_TESTS_DELTA_CASE_H
#define PRISM_TESTS_DELTA_CASE_H

#include "prism/prism.h"

enum { DELTA_TOKENS = 1300, DELTA_CTX = 2048, DELTA_BLOCK = 64 };

/* Between set-up and tear-down, the program's group fixtures: four layers, of which the first and the third have a state. */
struct delta_case {
    prism_model *model;
    uint32_t n_vocab;
    int32_t tokens[DELTA_TOKENS];
    size_t layer_floats; /* of a state */
};
extern struct delta_case delta;
int delta_set_up(void **state);
int delta_tear_down(void **state);

/* Two threads, DELTA_CTX tokens in blocks of DELTA_BLOCK. */
prism_context *delta_dense(void);
prism_context *delta_dense_of(const prism_model *m); /* of another model */

/* One call with tokens [from, to). */
void delta_prefill(prism_context *c, size_t from, size_t to);

/* malloc'ed: the present logits; those after n tokens in one call. */
float *delta_logits(const prism_context *c);
float *delta_fresh(size_t n);

void delta_assert_logits(const prism_context *c, const float *want);

/* prism_truncate, which must succeed. */
void delta_cut(prism_context *c, size_t n);

#endif
