/* linear.h - linear layers over a slab of tokens: packing weights, packing activations, products. Private to src/engine.
 *
 * Owns how rows and columns are cut into jobs; the arithmetic and the panel layouts belong to the kernels. */
#ifndef PRISM_ENGINE_LINEAR_H
#define PRISM_ENGINE_LINEAR_H

#include "src/engine/context.h"

/* One product y[rows][m->rows] (+)= x . m^T. */
struct prism_product {
    const struct prism_matrix *m;
    const struct prism_panels *w;
    const float *bias;       /* [m->rows] or NULL; not together with add */
    float *y;                /* row stride ldy */
    size_t ldy;
    bool add;
};

/* Where the rows of activations come from; called for pieces of rows: writes [n_rows][k] floats to out (stride k). NULL source:
 * the rows are used as they stand at x. */
typedef void prism_rows_fn(struct prism_context *c, void *arg, size_t row, size_t n_rows, float *out);

struct prism_rows {
    const float *x;          /* used when fn is NULL: row stride ldx */
    size_t ldx;
    prism_rows_fn *fn;
    void *arg;
};

/* Bytes of all panels of a matrix, 0 of an absent one. */
uint64_t prism_panels_bytes(const struct prism_linear *kind, const struct prism_matrix *m);

/* Packs matrices one after the other from `at`, each for the out[i]->kind that the caller has set. Returns false when cancelled. */
bool prism_pack_weights(struct prism_context *c, const struct prism_matrix *const *m, struct prism_panels *const *out, size_t n,
                        uint8_t *at);

/* n products of the same n_rows rows of k activations. w NULL in every product: weights are read as stored (few rows). */
bool prism_products(struct prism_context *c, const struct prism_rows *rows, size_t n_rows, size_t k, const struct prism_product *p,
                    size_t n);

#endif
