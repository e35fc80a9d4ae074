/* bench_rows.h - what `prism-bench kernels` times: one row per kernel, type and shape, and how a row is made ready at a level.
 *
 * Owns operands, sizes and what counts as work; bench_kernels.c owns the loop over rows and levels, bench_crew.c the clock. */
#ifndef PRISM_TOOLS_BENCH_ROWS_H
#define PRISM_TOOLS_BENCH_ROWS_H

#include "src/base/arena.h"
#include "src/kernels.h"
#include "tools/bench/bench_memory.h"

/* What a kernel can be as fast as: multiply-adds of its kind, reading from memory, or (caches, exponentials) nothing measured here. */
enum bench_bound { BENCH_BY_MULTIPLYING, BENCH_BY_MEMORY, BENCH_BY_OTHER };

/* A row made ready at a level, for one thread. */
struct bench_job {
    const struct bench_row *row;
    const struct prism_kernels *k;
    struct prism_arena memory;     /* where operands come from */
    struct bench_walk *walk;       /* what comes from memory, rows BENCH_BY_MEMORY */

    /* made by the row: */
    double work;                   /* operations (BENCH_BY_MULTIPLYING) or bytes of one run */
    const char *kind;              /* "i8": how a product or an attention multiplies; NULL: another kernel, fp32 */
    const struct prism_linear *l;
    struct prism_gemm_args gemm;
    const struct prism_gemv *g;
    const struct prism_attention *a;
    struct prism_attn_tile tile;
    void *x, *y, *w, *panels;      /* input, output, weights, packed weights */

    /* added up by the runs of a whole linear layer: */
    double pack_a_seconds, pack_w_seconds, all_seconds;
};

enum { BENCH_JOB_BYTES = 64 << 20 }; /* of a job's operands */

struct bench_row {
    const char *name;
    bool (*make)(struct bench_job *); /* false: this level has no such kernel */
    void (*run)(struct bench_job *);
    enum bench_bound bound;
    enum prism_type type;          /* of weights or values */
    size_t m, n, k;                /* rows, columns, depth; attention: head size, keys per block, keys; 0: not a size of this row */
};

extern const struct bench_row bench_linear_rows[], bench_vector_rows[], bench_attention_rows[], bench_delta_rows[]; /* each ends with an empty row */

/* Operands in the memory of a job, 64-byte aligned; filled with values near a normal distribution of variance 1, the same every time. */
void *bench_take(struct bench_job *j, size_t bytes);
float *bench_floats(struct bench_job *j, size_t n);
void *bench_weights(struct bench_job *j, enum prism_type type, size_t rows, size_t k);

#endif
