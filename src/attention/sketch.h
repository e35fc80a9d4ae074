/* sketch.h - keys and queries of a layer in few coordinates, so that their dot products can be judged cheaply: what the selector "prism-rows" reads.
 *
 * For a kv head, C_k is the mean of k k^T and C_q that of s^2 q q^T over the query heads that share it, which take turns (after RoPE; s the
 * attention scale), from PRISM_SKETCH_SAMPLES tokens at equal distances. With C_k = L L^T (a ridge of 1e-4 of its mean diagonal added) and V
 * the eigenvectors of L^T C_q L, largest eigenvalue first, k' = V^T L^-1 k and q' = s V^T L^T q have q'.k' = s q.k; keys have covariance 1,
 * queries the eigenvalues. The first r coordinates are the best approximation of that rank in the mean square, and the variance of the
 * logit's error is the sum of the eigenvalues that are left out: r is the least multiple of 16 that keeps it at or below PRISM_SKETCH_ERROR.
 * Coordinates are stored as signed bytes (keys plus 128), with a scale for each query row and for each block of keys: the largest
 * magnitude / 127, rounded half to even.
 *
 * Of each block the mean of its keys is kept as well, as bytes of the block's scale, and of each coordinate its variance about these means, taken
 * from some blocks.
 *
 * The basis is that of the first call that selects and of the calls before it; a prompt in several calls may thus choose other blocks than
 * the same prompt in one. */
#ifndef PRISM_ATTENTION_SKETCH_H
#define PRISM_ATTENTION_SKETCH_H

#include "src/attention/select.h"
#include "src/base/arena.h"

#define PRISM_SKETCH_ERROR 0.1
#define PRISM_LOG2_E 1.44269504f
enum { PRISM_SKETCH_STEP = 16, PRISM_SKETCH_SAMPLES = 2048 /* of the prompt, at equal distances */ };

/* What a layer keeps between calls. Keys are sketched from the cache. Clones and session files copy what src/engine/state.c lists of it. */
struct prism_sketch {
    uint8_t *k_map, *q_map;  /* [n_head_kv] of prism_sketch_map_bytes: row i makes coordinate i; q_map holds the attention scale */
    uint32_t *rank;          /* [n_head_kv], 0: no basis yet */
    float *within;           /* [n_head_kv][prism_sketch_dim]: variance of a coordinate about the means of blocks */
    float *sigmas;           /* [n_head]: deviations from its mean that a block is given (reach.h); 1 until they were counted */
    size_t *made_at;         /* position of the first token of the call that made the basis: a call from there or before makes it again */
    size_t *n_done;          /* complete blocks that are sketched, in all kv heads */
    uint8_t *keys;           /* [n_head_kv][max_blocks][prism_sketch_dim * block]: the layout of struct prism_sketch_scan */
    uint8_t *means;          /* [n_head_kv][max_blocks][prism_sketch_dim]: the mean of a block's keys */
    float *k_scale;          /* [n_head_kv][max_blocks]: of a byte; NaN: a key is not finite */
    float *k_rest;           /* [n_head_kv][max_blocks]: largest root mean square of a key's coordinates less the mean's, over their deviations */
    size_t max_blocks;
};

/* Coordinates that are stored of a head of size d. */
static inline size_t prism_sketch_dim(size_t d) { return (d + PRISM_SKETCH_STEP - 1) / PRISM_SKETCH_STEP * PRISM_SKETCH_STEP; }

/* What multiplies by the maps, which are stored as BF16: coordinates become bytes, so that products of 16 bits do. */
const struct prism_linear *prism_sketch_kind(const struct prism_kernels *k, size_t d);
size_t prism_sketch_map_bytes(const struct prism_kernels *k, size_t d);

/* The memory of a sketch of the call's model for so many blocks; it begins as zeros. */
struct prism_sketch prism_sketch_layout(const struct prism_select_call *c, size_t max_blocks, struct prism_arena *a);

/* After the cache was cut to `length` tokens: forgets a basis of a call that began there or later, and the keys of blocks that are no longer
 * complete. */
void prism_sketch_truncate(struct prism_sketch *s, size_t n_head_kv, size_t length, size_t block);

/* Scratch of one thread for the functions below, aligned to 64 bytes. */
size_t prism_sketch_scratch(const struct prism_select_call *c);
size_t prism_sketch_basis_scratch(const struct prism_select_call *c);

/* The basis of a kv head from the tokens of the call and the keys in the cache. False: no decomposition was found (not finite numbers). */
bool prism_sketch_basis(const struct prism_select_call *c, size_t kv_head, uint8_t *scratch);

/* x = keys [pos, pos + n) of the cache. */
void prism_sketch_load_keys(const struct prism_select_call *c, float *x, size_t kv_head, size_t pos, size_t n);

/* Sketches block v of a kv head, as far as it is there; keys that are missing repeat the last one. */
void prism_sketch_keys(const struct prism_select_call *c, size_t kv_head, size_t v, uint8_t *scratch);

/* Sketches rows [row, row + n) of the call of query head `head`, n <= block, into ceil(n / 16) tiles that have seen nothing yet, their bytes
 * into q: [tiles][16 * prism_sketch_dim]. */
void prism_sketch_queries(const struct prism_select_call *c, size_t head, size_t row, size_t n, struct prism_sketch_tile *tiles, int8_t *q,
                          uint8_t *scratch);

#endif
