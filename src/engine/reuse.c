/* reuse.c - see reuse.h, and prism_prefill_to in prism/prism.h. */
#include "src/engine/reuse.h"

#include <string.h>

#include "src/base/size.h"

_Static_assert(PRISM_FEW_TOKENS < 32, "the smallest block");

void prism_reuse_note(struct prism_context *c, struct prism_span span, bool whole, bool all_rows)
{
    size_t block = c->plan.block, end = span.pos + span.n, first = span.pos / block;
    bool all_there = c->whole >= span.pos, on_grid = span.pos % prism_delta_grid(c) == 0 && (span.pos == 0 || c->cuts[first]);
    bool exact = whole && all_there && on_grid;

    memset(c->cuts + first + 1, 0, end / block - first);
    c->whole = whole && all_there ? end : min_size(c->whole, span.pos);
    c->logits_exact = exact && !all_rows && (span.pos == 0 || span.n > PRISM_FEW_TOKENS);
    if (!exact)
        return;
    if (!c->selection.counted) /* calls of few rows hold no block's end */
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
    bool wide = m->ropes[0].freq_short && n > m->rope_orig_ctx;

    if (c->cached_freq != prism_frequencies(m, n))
        return true;
    return reuse == PRISM_REUSE_EXACT && c->selection.selector && wide && keep <= m->rope_orig_ctx;
}

/* How many of the first tokens in the cache stay; n: all, and the logits too. */
static size_t choose(const struct prism_context *c, const int32_t *tokens, size_t n, enum prism_reuse reuse)
{
    size_t common = min_size(common_prefix(c, tokens, n), c->whole), block = c->plan.block, grid = prism_delta_grid(c), keep = min_size(common, n - 1);

    if (common == n && c->length == n && c->logits_valid && (reuse == PRISM_REUSE_ALL || c->logits_exact))
        return n;
    if (reuse == PRISM_REUSE_EXACT) {
        keep = prism_delta_kept(c, min_size(common, n > PRISM_FEW_TOKENS ? n - PRISM_FEW_TOKENS - 1 : 0), grid) / grid * grid;
        while (keep > 0 && !c->cuts[keep / block])
            keep = prism_delta_kept(c, keep - grid, grid);
    } else {
        keep = prism_delta_kept(c, keep, 1);
    }
    return other_rotations(c, keep, n, reuse) || (keep < c->length && !prism_kv_can_cut(c, keep)) ? 0 : keep;
}

/* Where a call that begins at `at` ends. Only where something may be chosen there is more than one, and where the next would not make all
 * tokens anew because of their rotations. */
static size_t call_end(const struct prism_context *c, size_t at, size_t n, const struct prism_prefill_params *p)
{
    const struct prism_model *m = c->model;
    size_t block = prism_delta_grid(c), most = n > PRISM_FEW_TOKENS ? (n - PRISM_FEW_TOKENS - 1) / block * block : 0, end = n;
    size_t first = m->ropes[0].freq_short && n > m->rope_orig_ctx ? max_size(at, m->rope_orig_ctx) : at; /* ends lie behind it */

    if (!c->selection.selector || n < c->selection.min_tokens)
        return n;
    if (p->cut_every)
        end = (first / p->cut_every + 1) * p->cut_every;
    if (min_size(p->cut, most) / block * block > first)
        end = min_size(end, min_size(p->cut, most) / block * block);
    return end <= most ? end : n;
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
    if (params->cut_every % c->plan.block || params->cut_every > PRISM_MAX_TOKENS)
        return prism_fail(err, PRISM_E_ARG, "cut_every: expected multiples of the block %u, found %zu", c->plan.block, params->cut_every);
    if (params->logits || params->n_layers)
        return prism_fail(err, PRISM_E_ARG, "prefill to: rows of logits and n_layers are for prism_prefill");
    if (n == 0)
        return prism_fail(err, PRISM_E_ARG, "prefill: expected at least 1 token, found 0");
    if (n > c->plan.n_ctx)
        return prism_fail(err, PRISM_E_LENGTH, "%zu tokens: the context holds %u", n, c->plan.n_ctx);
    return prism_check_ids(c, tokens, n, err);
}

/* Prefills tokens [keep, n). */
static enum prism_status prefill_rest(struct prism_context *c, const int32_t *tokens, size_t keep, size_t n,
                                      const struct prism_prefill_params *params, struct prism_error *err)
{
    struct prism_series series = { .n_tokens = n - keep, .started_ms = prism_now_ms() };
    enum prism_status s = PRISM_OK;

    for (size_t at = keep, end; at < n; at = end) {
        end = call_end(c, at, n, params);
        series.total += (uint64_t)prism_call_work(c, at, end - at) + 1;
    }
    c->series = &series;
    for (size_t at = keep, end; !s && at < n; at = end) {
        end = call_end(c, at, n, params);
        series.now = (uint64_t)prism_call_work(c, at, end - at) + 1;
        series.last = end == n;
        c->delta.wanted = params->cut;
        s = prism_prefill(c, tokens + at, end - at, params, err);
        series.before += series.now;
    }
    c->series = NULL;
    c->delta.wanted = 0;
    return s;
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
    size_t keep = choose(c, tokens, n, params->reuse);
    if (keep < n && !(s = prism_truncate(c, keep, err)))
        s = prefill_rest(c, tokens, keep, n, params, err);
    if (reused && !s)
        *reused = keep;
    return s;
}
