/* contract_model.h - the model that all tests of a program of tests/contract share, made and freed by the program's group fixtures. */
#ifndef PRISM_TESTS_CONTRACT_MODEL_H
#define PRISM_TESTS_CONTRACT_MODEL_H

#include "tests/support/mask_trace.h"

/* Between set-up and tear-down: the model of trace_tiny_model, the size of its vocabulary, and the tokens of trace_tokens. */
extern prism_model *model;
extern size_t n_vocab;
extern int32_t *tokens;

/* name: of the file; n_tokens: how many tokens. Returns 0 as a fixture does; what goes wrong fails the set-up. */
int contract_set_up(const char *name, uint32_t n_layer, size_t n_tokens);
int contract_tear_down(void **state);

#endif
