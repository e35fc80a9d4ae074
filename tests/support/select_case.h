/* select_case.h - inputs for a selector of key blocks, and its call: what src/engine/selection.c does, without a model.
 *
 * Fill in the shape, select_case_open, put values into q and k (they are random until then), and run selectors over any range of the
 * prompt. The pooled means are made anew from q and k at each run; energies of earlier runs stay, as for a prompt in several calls. */
#ifndef PRISM_TESTS_SELECT_CASE_H
#define PRISM_TESTS_SELECT_CASE_H

#include "src/attention/select.h"

struct select_case {
    /* shape: set before select_case_open */
    size_t n_head, n_head_kv, d, block, n_tokens; /* n_tokens: of the whole prompt */
    size_t n_rot;                                 /* rotated dims; 0: d */
    bool interleaved;                             /* pairs (2i, 2i+1), else (i, i + n_rot/2) */
    enum prism_kv_format format;

    /* may be changed between runs; select_case_open sets scale = 1/sqrt(d), generic kernels and the engine's default parameters */
    float scale;
    const struct prism_kernels *kernels;
    struct prism_select_params params;
    size_t stop_at;                               /* the runner refuses its stop_at-th phase, counted from 1; 0: never */
    float *q;                                     /* [n_tokens][n_head][d] */
    float *k;                                     /* [n_head_kv][n_tokens][d] */

    /* results of the last run */
    struct prism_mask mask;
    double *mass;                                 /* [n_head] */
    float *q_mean, *k_mean;                       /* as in struct prism_select_call */

    /* private */
    uint64_t *bits;
    uint8_t *cache, *q_full;
    float *q_energy;
    struct prism_sketch *sketch;
    uint8_t *sketch_memory;
    const struct prism_kernels *sketch_kernels;
    size_t phase, n_threads;
};

/* Allocates and fills q and k with normal values that depend on the seed and the shape only. Fails the test when memory is short. */
void select_case_open(struct select_case *c, uint32_t seed);
void select_case_free(struct select_case *c);

/* The tokens [from, to) are one call after the earlier ones; n_threads 1 runs the jobs in order, more run them on OpenMP threads.
 * Sink and diagonal are in the mask (prism_select). Scratch is garbage on entry, and the test fails when a selector writes outside of it.
 * Returns what prism_select returned. */
bool select_case_run(struct select_case *c, const struct prism_selector *s, size_t from, size_t to, size_t n_threads);

/* Block v of query block u (absolute) of the last run. */
bool select_case_bit(const struct select_case *c, size_t head, size_t u, size_t v);

/* All bits of the last run, malloc'ed; *bytes: their size. */
uint64_t *select_case_copy(const struct select_case *c, size_t *bytes);

/* NULL fails the test. */
const struct prism_selector *select_case_find(const char *name);

/* ---- cases for every selector ---- */

struct select_shape {
    size_t n_head, n_head_kv, d, block, n_tokens, n_rot;
    bool interleaved;
    enum prism_kv_format format;
};
enum { SELECT_SHAPES = 3 };
extern const struct select_shape select_shapes[SELECT_SHAPES];

/* Peaked attention with some keys and one distance that stand out; keys are numbers of the cache's format. */
struct select_case select_case_peaked(const struct select_shape *s, uint32_t seed);

/* check(case, range) for every shape, range of tokens and table of kernels that runs here; what lies behind the range must not be looked at. */
struct select_range {
    size_t from, to;
};
void select_all_cases(void (*check)(struct select_case *c, struct select_range r));

#endif
