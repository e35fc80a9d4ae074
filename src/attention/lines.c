/* lines.c - see lines.h. Rows are taken a few at a time, so that their logits stay small: 8 MB per thread at 131072 tokens. */
#include "src/attention/lines.h"

#include <string.h>

#include "src/attention/scores.h"
#include "src/attention/selectors.h"
#include "src/base/size.h"

enum { ROWS = 16 };

size_t prism_lines_bytes(const struct prism_select_call *c)
{
    return prism_scores_bytes(c, ROWS, 1) + prism_carved(ROWS * c->kv_len, sizeof(float)) + prism_carved(c->kv_len, sizeof(uint32_t));
}

static void add_logits(const struct prism_select_call *c, double *logit, const float *x)
{
    for (size_t key = 0; key < c->kv_len; key++)
        logit[key / c->block] += (double)x[key];
}

void prism_lines_measure(const struct prism_select_call *c, size_t head, size_t n_last, uint64_t *vertical, uint64_t *slash, double *logit,
                         uint8_t *scratch)
{
    struct prism_scores s = prism_scores_open(c, ROWS, 1, &scratch);
    float *x = prism_carve(&scratch, ROWS * c->kv_len, sizeof *x);
    uint32_t *p = prism_carve(&scratch, c->kv_len, sizeof *p);
    size_t n_blocks = prism_select_blocks(c), panel = prism_scores_panel(c), ld = c->n_head * c->d;

    memset(vertical, 0, c->kv_len * sizeof *vertical);
    memset(slash, 0, c->kv_len * sizeof *slash);
    for (size_t v = 0; logit && v < n_blocks; v++)
        logit[v] = 0;
    for (size_t from = c->n_tokens - n_last; from < c->n_tokens; from += ROWS) {
        size_t rows = min_size(ROWS, c->n_tokens - from);
        for (size_t r = 0; r < rows; r += panel)
            prism_scores_pack(&s, r / panel, c->q + (from + r) * ld + head * c->d, ld, min_size(panel, rows - r));
        prism_scores_run(&s, head / (c->n_head / c->n_head_kv), x, c->kv_len, rows, c->kv_len);
        for (size_t i = 0; i < rows * c->kv_len; i++)
            x[i] *= c->scale;
        for (size_t r = 0; r < rows; r++) {
            size_t pos = c->q_pos + from + r;
            c->kernels->softmax_q30(p, x + r * c->kv_len, pos + 1);
            for (size_t key = 0; key <= pos; key++)
                vertical[key] += p[key], slash[pos - key] += p[key];
            if (logit)
                add_logits(c, logit, x + r * c->kv_len);
        }
    }
    for (size_t v = 0; logit && v < n_blocks; v++)
        logit[v] /= (double)(n_last * min_size(c->block, c->kv_len - v * c->block));
}

void prism_lines_draw(const struct prism_select_call *c, size_t head, const uint64_t *columns, const uint64_t *diagonals)
{
    const struct prism_mask *m = c->mask;

    for (size_t r = 0; r < m->n_rows; r++) {
        uint64_t *row = prism_mask_row(m, head, r);
        size_t u = m->first + r;
        for (size_t w = 0; w < u / 64; w++)
            row[w] |= columns[w];
        row[u / 64] |= columns[u / 64] & (~UINT64_C(0) >> (63 - u % 64));
        for (size_t w = 0; w <= u / 64; w++)
            for (uint64_t rest = diagonals[w]; rest; rest &= rest - 1) {
                size_t j = 64 * w + (size_t)__builtin_ctzll(rest);
                if (j <= u)
                    prism_set_bit(row, u - j);
            }
    }
}
