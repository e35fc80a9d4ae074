/* reuse.c - see reuse.h. */
#include "tools/common/reuse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool reserve(struct reuse *r, size_t n)
{
    if (n <= r->cap)
        return true;
    size_t cap = 2 * n;
    int32_t *wider = realloc(r->tokens, cap * sizeof *wider);
    if (!wider)
        return false;
    r->tokens = wider;
    r->cap = cap;
    return true;
}

static enum prism_status out_of_memory(struct prism_error *err)
{
    err->status = PRISM_E_NOMEM;
    snprintf(err->text, sizeof err->text, "out of memory for the tokens");
    return PRISM_E_NOMEM;
}

enum prism_status reuse_prefill(struct reuse *r, prism_context *ctx, const int32_t *tokens, size_t n, const struct prism_prefill_params *params,
                                size_t *reused, struct prism_error *err)
{
    size_t common = 0;

    *reused = 0;
    if (!reserve(r, n))
        return out_of_memory(err);
    while (common < n - 1 && common < r->n && r->tokens[common] == tokens[common])
        common++;
    enum prism_status status = prism_truncate(ctx, common, err);
    if (status != PRISM_OK)
        return status;
    r->n = common;
    status = prism_prefill(ctx, tokens + common, n - common, params, err);
    if (status != PRISM_OK)
        return status;
    memcpy(r->tokens + common, tokens + common, (n - common) * sizeof *tokens);
    r->n = n;
    *reused = common;
    return PRISM_OK;
}

bool reuse_decoded(struct reuse *r, prism_context *ctx, const int32_t *tokens, size_t n)
{
    size_t added = prism_length(ctx) - r->n;

    if (added > n || !reserve(r, r->n + added)) {
        r->n = 0; /* then the next call begins anew */
        return false;
    }
    if (added)
        memcpy(r->tokens + r->n, tokens, added * sizeof *tokens);
    r->n += added;
    return true;
}
