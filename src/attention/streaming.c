/* streaming.c - attention sinks and a sliding window: StreamingLLM (Xiao et al. 2023, arXiv 2309.17453), whose mask is the A-shape of
 * MInference (arXiv 2407.02490). Looks at no query and no key.
 *
 * Deviation: whole blocks. A block is chosen when a query of block u may see one of its keys, so no query has fewer than `sink` first
 * keys or fewer than `window` last ones (itself included). */
#include <math.h>

#include "src/attention/selectors.h"

static size_t no_bytes(const struct prism_select_call *c)
{
    (void)c;
    return 0;
}

static bool select_streaming(const struct prism_select_call *c)
{
    const struct prism_mask *m = c->mask;

    for (size_t h = 0; h < m->n_heads; h++) {
        for (size_t r = 0; r < m->n_rows; r++) {
            uint64_t *row = prism_mask_row(m, h, r);
            size_t u = m->first + r, sees = u * c->block + 1; /* keys before and at the first query of the block */
            size_t window = sees > c->params->window ? (sees - c->params->window) / c->block : 0;
            for (size_t v = 0; v <= u && v * c->block < c->params->sink; v++)
                prism_set_bit(row, v);
            for (size_t v = window; v <= u; v++)
                prism_set_bit(row, v);
        }
        c->mass[h] = NAN;
    }
    return true;
}

const struct prism_selector prism_selector_streaming = { "streaming", false, false, no_bytes, no_bytes, select_streaming };
