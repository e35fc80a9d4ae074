/* reference.h - a transformer forward pass in double, written for reading: the judge of the engine's logits.
 *
 * It shares with the engine the loaded model (tensor binding and RoPE frequencies have tests of their own) and the scalar dequantisation,
 * nothing else. Source of the order of operations: Touvron et al. 2023 (Llama), Yang et al. 2025 (Qwen3). */
#ifndef PRISM_TESTS_REFERENCE_H
#define PRISM_TESTS_REFERENCE_H

#include "src/model/model.h"

/* [n][n_vocab] logits of n tokens from position 0, malloc'ed. */
double *test_reference_logits(const struct prism_model *m, const int32_t *tokens, size_t n);

/* Whether the query at position pos attends to the key at position key <= pos, which may be itself. */
typedef bool test_sees_fn(const void *user, size_t layer, size_t head, size_t pos, size_t key);

/* The same with attention limited to what sees() grants. */
double *test_reference_sparse(const struct prism_model *m, const int32_t *tokens, size_t n, test_sees_fn *sees, const void *user);

#endif
