/* numeric_case.h - models with a value that is not finite, and what a prefill of them must say, at every level. */
#ifndef PRISM_TESTS_NUMERIC_CASE_H
#define PRISM_TESTS_NUMERIC_CASE_H

#include <stdatomic.h>

#include "prism/prism.h"
#include "tests/support/tiny_model.h"

enum { NUMERIC_TOKENS = 150 }; /* of the contexts */

/* A float in the data of an F32 tensor of the file to be. */
void numeric_poke(struct gb *g, const char *tensor, size_t index, float value);

/* What a logits callback saw; numeric_keep_rows, with this as its user. */
struct numeric_rows {
    float *logits; /* NULL: only looked at */
    size_t n_vocab;
    atomic_size_t n, n_bad;
};
void numeric_keep_rows(void *user, size_t row, size_t n_rows, const float *logits);

/* Runs fn at every level of the host, in both modes. */
void numeric_each_level(const prism_model *m, struct prism_context_params p, void (*fn)(prism_context *c, const void *arg), const void *arg);

/* Prefills of several lengths fail with this text and leave an empty context. arg: a struct numeric_expected. */
struct numeric_expected {
    const prism_model *model;
    const char *text;
    size_t n; /* tokens of the prefill that must fail; numeric_expect_failure: several */
};
void numeric_expect_failure(prism_context *c, const void *arg);

/* The same at every level, of a file, which is freed. */
void numeric_check_failure(struct gb *g, enum prism_kv_type kv, const char *text);

#endif
