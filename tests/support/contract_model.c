/* contract_model.c - see contract_model.h. */
#include "tests/support/contract_model.h"

#include <stdlib.h>

prism_model *model;
size_t n_vocab;
int32_t *tokens;

int contract_set_up(const char *name, uint32_t n_layer, size_t n_tokens)
{
    struct prism_model_info info;

    model = trace_tiny_model(name, n_layer);
    prism_model_info(model, &info);
    n_vocab = info.n_vocab;
    tokens = trace_tokens(model, n_tokens);
    return 0;
}

int contract_tear_down(void **state)
{
    (void)state;
    free(tokens);
    prism_model_free(model);
    return 0;
}
