/* delta_chunk.h - the delta rule over the tokens of a chunk, for one head, as products of small matrices. Private to src/engine.
 *
 * Knows no context: pointers, sizes and a level's kernels. */
#ifndef PRISM_ENGINE_DELTA_CHUNK_H
#define PRISM_ENGINE_DELTA_CHUNK_H

#include "src/kernels.h"

enum { PRISM_DELTA_CHUNK = 64 };

typedef float prism_delta_square[PRISM_DELTA_CHUNK][PRISM_DELTA_CHUNK];

struct prism_delta_chunk {
    const struct prism_kernels *kernels;
    size_t n, d;                 /* tokens, 1..PRISM_DELTA_CHUNK; size of a head, a multiple of 8, 8..PRISM_MAX_HEAD_DIM */
    const float *queries, *keys; /* [n][d], the queries over sqrt(d), the keys of length 1 */
    prism_delta_square *raw;     /* [2] what prism_delta_raw makes of them: keys times keys, queries times keys, on and below the diagonal */
    const double *sums;          /* [n] of the logarithms of decay from the beginning of the chunk on: never rising, at most 0 */
    const float *beta;           /* [n] */
    float *values;               /* [n][d], which become the outputs */
    const float *from;           /* [d][d] the state in front of the chunk; NULL: zeros */
    float *to;                   /* the one behind it; to == from is allowed */
    void *scratch;               /* prism_delta_chunk_bytes(d), 64-byte aligned, of the thread */
};

size_t prism_delta_chunk_bytes(size_t d);

/* The part that all value heads share that read these keys. Needs kernels, n, d, queries, keys, raw, scratch. */
void prism_delta_raw(const struct prism_delta_chunk *c);

/* What is not finite in keys, values or gates is not finite in the outputs from that token on, perhaps in all of the chunk, nor in the state; what is not
 * in queries, in the token's output. */
void prism_delta_run(const struct prism_delta_chunk *c);

/* Multiply-adds of both, twice. */
double prism_delta_raw_work(size_t n, size_t d);
double prism_delta_run_work(size_t n, size_t d);

#endif
