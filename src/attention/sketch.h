/* sketch.h - keys and queries of a layer in few coordinates, so that their dot products can be judged cheaply: what the selector "prism-rows" reads.
 *
 * For a kv head, C_k is the mean of k k^T and C_q that of q q^T over the query heads that share it (after RoPE, q times the attention scale),
 * from a sample of the prompt. With C_k = L L^T and V the eigenvectors of L^T C_q L, largest eigenvalue first, k' = V^T L^-1 k and
 * q' = V^T L^T q have q'.k' = q.k; keys have covariance 1, queries the eigenvalues. The first r coordinates are the best approximation of that
 * rank in the mean square, and the variance of the logit's error is the sum of the eigenvalues that are left out: r is the least multiple of
 * 16 that keeps it at or below PRISM_SKETCH_ERROR. Coordinates are stored as signed bytes, with a scale for each query row and for each
 * block of keys. */
#ifndef PRISM_ATTENTION_SKETCH_H
#define PRISM_ATTENTION_SKETCH_H

#include "src/attention/select.h"

#define PRISM_SKETCH_ERROR 0.25
enum { PRISM_SKETCH_STEP = 16, PRISM_SKETCH_SAMPLES = 2048 };

/* What a layer keeps between calls. The basis is that of the first call that selects; keys are sketched from the cache. */
struct prism_sketch {
    float *k_map, *q_map;    /* [n_head_kv][d][d]: row i makes coordinate i; q_map holds the attention scale */
    uint32_t *rank;          /* [n_head_kv], 0: no basis yet */
    size_t *n_done;          /* complete blocks that are sketched, in all kv heads */
    uint8_t *keys;           /* [n_head_kv][max_blocks][d * block]: the layout of struct prism_sketch_rows */
    float *k_scale;          /* [n_head_kv][max_blocks] */
    size_t max_blocks;
};

/* Coordinates that are stored of a head of size d. */
static inline size_t prism_sketch_dim(size_t d) { return (d + PRISM_SKETCH_STEP - 1) / PRISM_SKETCH_STEP * PRISM_SKETCH_STEP; }

/* Scratch of one thread for the two functions below, aligned to 64 bytes. */
size_t prism_sketch_scratch(const struct prism_select_call *c);

/* The basis of a kv head from the tokens of the call and the keys in the cache. False: no decomposition was found (not finite numbers). */
bool prism_sketch_basis(const struct prism_select_call *c, size_t kv_head, uint8_t *scratch);

/* Sketches block v of a kv head, as far as it is there; keys that are missing repeat the last one. */
void prism_sketch_keys(const struct prism_select_call *c, size_t kv_head, size_t v, uint8_t *scratch);

/* Sketches rows [row, row + n) of the call of query head `head`: q: [n][rank] bytes, scale: [n], bias: [n] as struct prism_sketch_rows has it.
 * n <= block. */
void prism_sketch_queries(const struct prism_select_call *c, size_t head, size_t row, size_t n, int8_t *q, float *scale, int32_t *bias,
                          uint8_t *scratch);

#endif
