/* select.h - which key blocks each query block attends to: the selectors' common interface, masks, and their parameters.
 *
 * A selector fills a mask: per query head and query block (absolute grid, block(pos) = pos / B) one bit per key block v <= u. Whatever it
 * chooses, the sink (block 0) and the diagonal (block u) are added by prism_select. Attention over the chosen blocks is exact.
 * The definition of Prism is section 4 of the design document; Prism: arXiv 2602.08426, algorithm 1. */
#ifndef PRISM_ATTENTION_SELECT_H
#define PRISM_ATTENTION_SELECT_H

#include "src/attention/attention.h"

/* Bits of query blocks first..first + n_rows - 1 of each head; row r of head h at bits + (h * n_rows + r) * words. */
struct prism_mask {
    uint64_t *bits;
    size_t n_heads, first, n_rows, words; /* words of 64 key blocks per row */
};

static inline uint64_t *prism_mask_row(const struct prism_mask *m, size_t head, size_t row)
{
    return m->bits + (head * m->n_rows + row) * m->words;
}

/* Bands over frequency-ordered dims: high = [0, high_end), low = [low_begin, d). They may overlap. */
struct prism_bands {
    size_t high_end, low_begin;
};

enum prism_energy { PRISM_ENERGY_GLOBAL, PRISM_ENERGY_CAUSAL };

/* Parameters of all selectors; each reads its own. */
struct prism_select_params {
    double p_high, p_low;          /* prism; meanpool uses p_high */
    struct prism_bands bands;
    enum prism_energy energy;
    uint32_t sink, window;         /* streaming: tokens */
    uint32_t vertical, slash;      /* vertical-slash: columns, diagonals */
    double gamma, tau;             /* flexprefill */
    uint32_t min_budget;           /* flexprefill: tokens */
    uint32_t stride;               /* xattention: S */
    double threshold;              /* xattention */
    double row_mass;               /* prism-rows: t */
};

struct prism_select_call {
    const struct prism_kernels *kernels;
    struct prism_runner runner;
    const struct prism_select_params *params;
    size_t n_head, n_head_kv, d, block;
    size_t q_pos, n_tokens, kv_len;        /* the call's tokens stand at q_pos .. q_pos + n_tokens - 1; kv_len = q_pos + n_tokens */
    float scale;

    /* pooled means by count, dims ordered by frequency (pair 0 first, its two dims side by side; unrotated dims last) */
    const float *q_mean;                   /* [n_head][n_rows of the mask][d] */
    const float *k_mean;                   /* [n_head_kv][n_blocks][d] */
    float *q_energy;                       /* sums of squares by band of all query blocks so far: [n_head][energy_blocks][3]; those of this
                                            * call's blocks are written (causal energies read the earlier ones) */
    size_t energy_blocks;
    const uint8_t *q_full;                 /* [n_blocks] 1: the query block was pooled from B rows in one call */

    /* token level, for the selectors that look there */
    const float *q;                        /* [n_tokens][n_head][d], rotated */
    const uint8_t *k;                      /* cached keys of the layer, see struct prism_attention_call */
    size_t kv_head_bytes;
    enum prism_kv_format format;

    struct prism_sketch *sketch;           /* of the layer, for a selector that keeps one */

    uint8_t *shared;                       /* scratch of selector.shared_bytes */
    uint8_t *scratch;                      /* per thread, scratch_bytes apart, at least selector.thread_bytes */
    size_t scratch_bytes;
    struct prism_mask *mask;               /* filled; its bits are zero on entry */
    double *mass;                          /* [n_head] out: mean over rows of the probability that the selector saw in what it chose; NaN:
                                            * it has no such notion */
};

/* Sums of squares of a pooled vector: part[0] before the overlap (or gap) of the bands, part[1] in it, part[2] behind it. */
void prism_band_energy(float part[3], const float *x, size_t d, const struct prism_bands *bands, const struct prism_kernels *kernels);

struct prism_selector {
    const char *name;
    bool pooled;                           /* needs q_mean and k_mean */
    bool sketched;                         /* keeps a struct prism_sketch for each layer */
    size_t (*shared_bytes)(const struct prism_select_call *c);
    size_t (*thread_bytes)(const struct prism_select_call *c);
    bool (*select)(const struct prism_select_call *c); /* false: the runner wanted to stop */
};
extern const struct prism_selector *const prism_selectors[];
extern const size_t prism_n_selectors;

/* Runs a selector and adds sink and diagonal. */
bool prism_select(const struct prism_selector *s, const struct prism_select_call *c);

/* Blocks chosen in a row, ascending, to list; returns their number. */
size_t prism_mask_list(const uint64_t *row, size_t words, uint32_t *list);

#endif
