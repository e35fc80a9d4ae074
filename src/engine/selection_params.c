/* selection_params.c - see selection.h: the public parameters of attention, their ranges and defaults. */
#include "src/engine/selection.h"

#include <math.h>
#include <string.h>

#include "src/base/size.h"

/* "auto" is prism-rows from here on. Below, dense attention is half of a prefill or less and the choice costs most in perplexity: 38M model,
 * dense tail off: +1.2 % at 8192 tokens, density .127; +0.3 % at 32768, density .082. */
static const size_t auto_min_tokens = 8192;

/* sparse-prefill 2.7: bands from the attenuation lambda_j = |sin(B theta/2) / (B sin(theta/2))| of each pair under pooling; low starts after
 * the last pair below 0.30 (rounded down), high ends after the last pair below 0.99 (rounded up). */
static struct prism_bands bands_by_rule(const struct prism_model *m, size_t block)
{
    size_t pairs = m->ropes[0].n_turning / 2, align = m->ropes[0].n_turning <= 96 ? 4 : 8, low = 0, high = 0;

    for (size_t j = 0; j < pairs; j++) {
        double half = m->ropes[0].freq[j] / 2, lambda = fabs(sin((double)block * half) / ((double)block * sin(half)));
        low = lambda < 0.30 ? j + 1 : low;
        high = lambda < 0.99 ? j + 1 : high;
    }
    return (struct prism_bands){ 2 * min_size((high + align - 1) / align * align, pairs), 2 * (low / align * align) };
}

static enum prism_status check_bands(struct prism_context *c, const struct prism_attention_params *g, struct prism_error *err)
{
    const uint32_t n_rot = c->model->ropes[0].n_turning, d = (uint32_t)prism_selection_head_dim(c);
    struct prism_bands *b = &c->selection.params.bands;

    *b = g->bands_by_rule ? bands_by_rule(c->model, c->plan.block)
                          : (struct prism_bands){ 2 * (size_t)(n_rot / 4), 2 * (size_t)(n_rot / 8) };
    if (g->high_dim % 2 || g->high_dim > n_rot)
        return prism_fail(err, PRISM_E_ARG, "high band: expected an even number of dims, 2..%u, found %u", n_rot, g->high_dim);
    if (g->low_dim % 2 || g->low_dim > d)
        return prism_fail(err, PRISM_E_ARG, "low band: expected an even number of dims, 2..%u, found %u", d, g->low_dim);
    if (g->high_dim)
        b->high_end = g->high_dim;
    if (g->low_dim)
        b->low_begin = d - g->low_dim;
    return PRISM_OK;
}

static enum prism_status check_share(const char *name, float given, struct prism_error *err)
{
    bool inside = given >= 0 && given <= 1; /* 0: the default. False for NaN */
    return inside ? PRISM_OK : prism_fail(err, PRISM_E_ARG, "attention %s: expected a number in (0, 1], found %g", name, (double)given);
}

static enum prism_status check_count(const char *name, uint32_t given, struct prism_error *err)
{
    return given <= PRISM_MAX_TOKENS ? PRISM_OK
                                     : prism_fail(err, PRISM_E_ARG, "attention %s: expected 0..%d, found %u", name, PRISM_MAX_TOKENS, given);
}

static enum prism_status check_ranges(const struct prism_attention_params *g, struct prism_error *err)
{
    const struct { const char *name; float given; } shares[] = {
        { "p_high", g->p_high }, { "p_low", g->p_low }, { "gamma", g->gamma }, { "tau", g->tau }, { "threshold", g->threshold },
        { "row_mass", g->row_mass },
    };
    const struct { const char *name; uint32_t given; } counts[] = {
        { "min_tokens", g->min_tokens }, { "sink", g->sink }, { "window", g->window }, { "vertical", g->vertical }, { "slash", g->slash },
        { "min_budget", g->min_budget }, /* the dense tail has no range: its largest value means none, and more than there are is all */
    };
    enum prism_status s = PRISM_OK;

    for (size_t i = 0; !s && i < sizeof shares / sizeof *shares; i++)
        s = check_share(shares[i].name, shares[i].given, err);
    for (size_t i = 0; !s && i < sizeof counts / sizeof *counts; i++)
        s = check_count(counts[i].name, counts[i].given, err);
    return s;
}

enum prism_status prism_selection_set_up(struct prism_context *c, const struct prism_attention_params *g, struct prism_error *err)
{
    struct prism_selection *s = &c->selection;
    const char *name = g->selector ? g->selector : "auto";
    bool automatic = !strcmp(name, "auto");
    float p_high = g->p_high != 0 ? g->p_high : 0.95f, p_low = g->p_low != 0 ? g->p_low : 0.95f;
    float gamma = g->gamma != 0 ? g->gamma : 0.95f, threshold = g->threshold != 0 ? g->threshold : 0.9f;

    for (size_t i = 0; i < prism_n_selectors; i++)
        if (!strcmp(prism_selectors[i]->name, automatic ? "prism-rows" : name))
            s->selector = prism_selectors[i];
    if (!s->selector && strcmp(name, "dense"))
        return prism_fail(err, PRISM_E_ARG, "attention: unknown selector \"%s\"", name);
    c->plan.selector = s->selector ? s->selector->name : "dense";
    c->plan.block = g->block ? g->block : s->selector ? 64 : PRISM_DENSE_BLOCK;
    if (c->plan.block != 32 && c->plan.block != 64 && c->plan.block != 128 && c->plan.block != 256)
        return prism_fail(err, PRISM_E_ARG, "attention block: expected 32, 64, 128 or 256, found %u", g->block);
    enum prism_status status = check_ranges(g, err);
    if (status)
        return status;
    s->params = (struct prism_select_params){
        .p_high = (double)p_high, .p_low = (double)p_low, .energy = g->causal_energy ? PRISM_ENERGY_CAUSAL : PRISM_ENERGY_GLOBAL,
        .sink = g->sink ? g->sink : 128, .window = g->window ? g->window : 2048,
        .vertical = g->vertical ? g->vertical : 1000, .slash = g->slash ? g->slash : 6096,
        .gamma = (double)gamma, .tau = g->tau != 0 ? (double)g->tau : 0.1, .min_budget = g->min_budget,
        .stride = g->stride ? g->stride : 8, .threshold = (double)threshold, .row_mass = g->row_mass != 0 ? (double)g->row_mass : 0.14,
    };
    if (c->plan.block % s->params.stride)
        return prism_fail(err, PRISM_E_ARG, "xattention stride: expected a divisor of the block %u, found %u", c->plan.block, g->stride);
    memcpy(s->dense_layers, g->dense_layers, sizeof s->dense_layers);
    s->dense_tail = g->dense_tail == PRISM_NO_TAIL ? 0 : g->dense_tail ? g->dense_tail : c->plan.block;
    s->min_tokens = g->min_tokens ? g->min_tokens : automatic ? auto_min_tokens : 0;
    return check_bands(c, g, err);
}
