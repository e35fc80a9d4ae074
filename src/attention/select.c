/* select.c - see select.h: the table of selectors and what they have in common. */
#include "src/attention/select.h"

#include "src/attention/selectors.h"

const struct prism_selector *const prism_selectors[] = {
    &prism_selector_prism, &prism_selector_rows,          &prism_selector_meanpool,    &prism_selector_streaming,
    &prism_selector_vertical_slash, &prism_selector_flexprefill, &prism_selector_xattention,
};
const size_t prism_n_selectors = sizeof prism_selectors / sizeof *prism_selectors;

bool prism_select(const struct prism_selector *s, const struct prism_select_call *c)
{
    if (!s->select(c))
        return false;
    for (size_t h = 0; h < c->mask->n_heads; h++)
        for (size_t r = 0; r < c->mask->n_rows; r++) {
            uint64_t *row = prism_mask_row(c->mask, h, r);
            size_t u = c->mask->first + r;
            row[0] |= 1; /* the sink: softmax parks mass on the first tokens (Xiao et al. 2023) */
            row[u / 64] |= UINT64_C(1) << u % 64;
        }
    return true;
}

size_t prism_mask_list(const uint64_t *row, size_t words, uint32_t *list)
{
    size_t n = 0;
    for (size_t w = 0; w < words; w++)
        for (uint64_t rest = row[w]; rest; rest &= rest - 1)
            list[n++] = (uint32_t)(64 * w) + (uint32_t)__builtin_ctzll(rest);
    return n;
}
