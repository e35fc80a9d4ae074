/* reuse.c - see reuse.h, and prism_prefill_to in prism/prism.h. */
#include "src/engine/reuse.h"

#include <string.h>

#include "src/base/size.h"

void prism_reuse_note(struct prism_context *c, struct prism_span span, bool whole, bool all_rows)
{
    size_t block = c->plan.block, end = span.pos + span.n, first = span.pos / block;
    bool all_there = c->whole >= span.pos, on_grid = span.pos % block == 0 && (span.pos == 0 || c->cuts[first]);
    bool exact = whole && all_there && on_grid;

    memset(c->cuts + first + 1, 0, end / block - first);
    c->whole = whole && all_there ? end : min_size(c->whole, span.pos);
    c->logits_exact = exact && !all_rows && (span.pos == 0 || span.n > PRISM_FEW_TOKENS);
    if (!exact || span.n <= PRISM_FEW_TOKENS)
        return;
    if (!c->selection.counted)
        memset(c->cuts + first + 1, 1, end / block - first);
    else if (end % block == 0)
        c->cuts[end / block] = 1;
}

static size_t common_prefix(const struct prism_context *c, const int32_t *tokens, size_t n)
{
    size_t i = 0;
    while (i < min_size(n, c->length) && tokens[i] == c->tokens[i])
        i++;
    return i;
}

/* Whether a fresh context would have other rotations for its first `keep` tokens than the cache has, or would make them anew on the way to n. */
static bool other_rotations(const struct prism_context *c, size_t keep, size_t n, enum prism_reuse reuse)
{
    const struct prism_model *m = c->model;
    bool narrow = m->rope_freq_short && n <= m->rope_orig_ctx;

    if (c->cached_freq != (narrow ? m->rope_freq_short : m->rope_freq))
        return true;
    return reuse == PRISM_REUSE_EXACT && c->selection.selector && m->rope_freq_short && !narrow && keep <= m->rope_orig_ctx;
}

/* How many of the first tokens in the cache stay; n: all, and the logits too. */
static size_t choose(const struct prism_context *c, const int32_t *tokens, size_t n, enum prism_reuse reuse)
{
    size_t common = min_size(common_prefix(c, tokens, n), c->whole), block = c->plan.block, keep = min_size(common, n - 1);

    if (common == n && c->length == n && c->logits_valid && (reuse == PRISM_REUSE_ALL || c->logits_exact))
        return n;
    if (reuse == PRISM_REUSE_EXACT) {
        keep = min_size(common, n > PRISM_FEW_TOKENS ? n - PRISM_FEW_TOKENS - 1 : 0) / block;
        while (keep > 0 && !c->cuts[keep])
            keep--;
        keep *= block;
    }
    return other_rotations(c, keep, n, reuse) ? 0 : keep;
}

/* Where the first of two calls ends; 0: one call will do, as nothing will be chosen in either of them, or the second would make the first's
 * tokens anew. */
static size_t place_cut(const struct prism_context *c, size_t n, size_t cut)
{
    size_t most = n > PRISM_FEW_TOKENS ? n - PRISM_FEW_TOKENS - 1 : 0, at = min_size(cut, most) / c->plan.block * c->plan.block;
    bool rotated_again = c->model->rope_freq_short && at <= c->model->rope_orig_ctx && n > c->model->rope_orig_ctx;

    return c->selection.selector && n >= c->selection.min_tokens && !rotated_again ? at : 0;
}

static enum prism_status check(const struct prism_context *c, const int32_t *tokens, size_t n, const struct prism_prefill_params *params,
                               struct prism_error *err)
{
    if (!c || (!tokens && n))
        return prism_fail(err, PRISM_E_ARG, "prefill: the %s NULL", c ? "tokens are" : "context is");
    if (params->reuse != PRISM_REUSE_EXACT && params->reuse != PRISM_REUSE_ALL)
        return prism_fail(err, PRISM_E_ARG, "reuse: expected 0 or 1, found %d", (int)params->reuse);
    if (params->cut > n)
        return prism_fail(err, PRISM_E_ARG, "cut: expected 0..%zu, found %zu", n, params->cut);
    if (params->logits || params->n_layers)
        return prism_fail(err, PRISM_E_ARG, "prefill to: rows of logits and n_layers are for prism_prefill");
    if (n == 0)
        return prism_fail(err, PRISM_E_ARG, "prefill: expected at least 1 token, found 0");
    if (n > c->plan.n_ctx)
        return prism_fail(err, PRISM_E_LENGTH, "%zu tokens: the context holds %u", n, c->plan.n_ctx);
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= c->model->hp.n_vocab)
            return prism_fail(err, PRISM_E_ARG, "token %zu: expected an id of 0..%u, found %d", i, c->model->hp.n_vocab - 1, tokens[i]);
    return PRISM_OK;
}

enum prism_status prism_prefill_to(prism_context *c, const int32_t *tokens, size_t n, const struct prism_prefill_params *params, size_t *reused,
                                   struct prism_error *err)
{
    static const struct prism_prefill_params none;

    prism_error_clear(err);
    if (reused)
        *reused = 0;
    params = params ? params : &none;
    enum prism_status s = check(c, tokens, n, params, err);
    if (s)
        return s;
    size_t keep = choose(c, tokens, n, params->reuse), cut = place_cut(c, n, params->cut), at = keep;
    if (keep < n)
        s = prism_truncate(c, keep, err);
    if (!s && keep < cut && !(s = prism_prefill(c, tokens + keep, cut - keep, params, err)))
        at = cut;
    if (!s && at < n)
        s = prism_prefill(c, tokens + at, n - at, params, err);
    if (reused && !s)
        *reused = keep;
    return s;
}
