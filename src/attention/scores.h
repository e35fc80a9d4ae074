/* scores.h - dot products of query rows with the cached keys of a head, for selectors that look at tokens. */
#ifndef PRISM_ATTENTION_SCORES_H
#define PRISM_ATTENTION_SCORES_H

#include "src/attention/select.h"

/* Keys are taken `group` at a time: group g is keys g * group .. + group - 1, side by side a vector of group * d values; keys from kv_len
 * on are zeros. A query row has group * d floats. Both go through the fp32 panels of the linear kernels (kernels.h). */
struct prism_scores {
    const struct prism_select_call *call;
    size_t rows, group;
    uint8_t *a, *w, *tail; /* panels of rows, one panel of keys, the group that is not complete */
};

size_t prism_scores_bytes(const struct prism_select_call *c, size_t rows, size_t group);

/* scratch: prism_scores_bytes, aligned to 64 bytes. Advances it. */
struct prism_scores prism_scores_open(const struct prism_select_call *c, size_t rows, size_t group, uint8_t **scratch);

/* Rows per panel. */
size_t prism_scores_panel(const struct prism_select_call *c);

/* Packs panel number `panel`: n <= prism_scores_panel rows, ldq floats apart. */
void prism_scores_pack(const struct prism_scores *s, size_t panel, const float *q, size_t ldq, size_t n);

/* x[r][g] = row r . group g of the kv head, r < n_rows <= s->rows, g < n_groups; rows of x are ldx apart. */
void prism_scores_run(const struct prism_scores *s, size_t kv_head, float *x, size_t ldx, size_t n_rows, size_t n_groups);

#endif
