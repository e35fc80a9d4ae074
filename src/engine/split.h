/* split.h - how a phase of a layer is split into jobs: pure functions of shapes and of the number of threads, which the engine and the model
 * of its scaling (tools/bench/scaling.h) share. Private to src/engine.
 *
 * Results never depend on a split: jobs own outputs, and each output is computed the same way in whichever job it lies. */
#ifndef PRISM_ENGINE_SPLIT_H
#define PRISM_ENGINE_SPLIT_H

#include "src/engine/linear.h"

enum { PRISM_PIECE_COLS = 128 }; /* weight columns that a job packs and multiplies, at most */

/* Rows of a slab of a context for n_ctx tokens. */
size_t prism_split_slab(size_t n_ctx, size_t n_threads);

/* Rows of the slab at the beginning of the `left` rows of a call that are left: see prism_slab_rows. */
static inline size_t prism_split_slab_rows(size_t slab, size_t left)
{
    return left > slab && left - slab <= PRISM_FEW_TOKENS ? slab - 2 * PRISM_FEW_TOKENS : left < slab ? left : slab;
}

/* Rows of a job: of the divisors of `most` that are multiples of `least`, the largest with which n_threads threads get PRISM_SHORT_JOBS jobs
 * each, else the smallest. For phases whose jobs are short. */
enum { PRISM_SHORT_JOBS = 8 };
size_t prism_split_rows(size_t n_rows, size_t most, size_t least, size_t n_threads);

/* Of those that rotate heads, unless they pool a block of keys. */
enum { PRISM_ROPE_ROWS = 16 };
static inline size_t prism_split_rope(size_t n_rows, size_t n_threads) { return prism_split_rows(n_rows, PRISM_ROPE_ROWS, 1, n_threads); }

/* Rows that a job packs for all of these kinds: whole panels of each. */
size_t prism_split_pack(const struct prism_linear *const *kinds, size_t n_kinds, size_t n_rows, size_t n_threads);

/* The products of one call. */
struct prism_split {
    const struct prism_product *p;
    size_t n, n_rows, k, n_threads;
    /* by prism_split_products */
    unsigned halvings;   /* of the widest pieces */
    size_t n_whole;      /* pieces, in the order of jobs, that take all rows of their product */
    size_t rows_per_job; /* of the others */
    size_t n_jobs;
};

/* A job: rows [row, row + n_rows) and columns [col, col + cols) of a product. */
struct prism_piece {
    const struct prism_product *p;
    size_t row, n_rows, col, cols;
};

/* Narrower pieces until all threads find work; those that are left when each thread has had the same number, fewer than there are threads, are
 * cut into parts of the rows too (each packs its weights anew), so that threads end together. Where kinds differ, of which some take longer, one more
 * round of pieces is cut, and the last product comes first: keys and values, whose kind may be finer. */
void prism_split_products(struct prism_split *s);

/* Of products that do not take turns. */
struct prism_piece prism_split_piece(const struct prism_split *s, size_t job);

/* Whether each piece of a gated product can be packed as it comes for a product of `next`. Splits s. */
bool prism_split_in_parts(struct prism_split *s, const struct prism_linear *next);

/* Columns of a piece of a product. Those of products that take turns: job is the number of the piece of each. */
size_t prism_split_cols(const struct prism_split *s, const struct prism_product *p);

#endif
