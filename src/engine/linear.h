/* linear.h - linear layers over a slab of tokens. Private to src/engine.
 *
 * Owns how rows and columns are cut into jobs; the arithmetic and the panel layouts belong to the kernels. A job takes a piece of the
 * weights' columns, packs it into panels of its thread, which stay in the second-level cache, and multiplies all rows with it: weights are
 * read from the file's mapping once per slab, and no packed copy of them exists elsewhere. */
#ifndef PRISM_ENGINE_LINEAR_H
#define PRISM_ENGINE_LINEAR_H

#include "src/engine/finite.h"

/* One product y[rows][m->rows] (+)= x . m^T; with `up`, gated: y = silu(x . m^T + bias) * (x . up^T + up_bias). */
struct prism_product {
    const struct prism_matrix *m;
    const struct prism_linear *kind;
    const float *bias;       /* [m->rows] or NULL; not together with add */
    float *y;                /* row stride ldy */
    size_t ldy;
    bool add;                /* not of a gated product */
    const struct prism_matrix *up; /* NULL, or as large as m and multiplied by the same kind */
    const float *up_bias;
    const struct prism_linear *next; /* of a gated product: the kind for which y receives the rows as panels, see prism_next_kind. Or NULL */
};

/* Where the rows of activations come from; called for pieces of rows: writes [n_rows][k] floats to out (stride k). NULL source:
 * the rows are used as they stand at x. */
typedef void prism_rows_fn(struct prism_context *c, void *arg, size_t row, size_t n_rows, float *out);

struct prism_rows {
    const float *x;          /* used when fn is NULL: row stride ldx */
    size_t ldx;
    prism_rows_fn *fn;
    void *arg;
    uint8_t *panels;         /* not NULL: the rows packed for the kind of the only product; the other fields are unused */
};

/* A source of rows: those of the residual stream at x, n_embd wide, normalised. arg: a struct prism_norm_rows. A row that is not finite is
 * noted as `fault` at its position. */
struct prism_norm_rows {
    const float *x, *weight;
    size_t pos;              /* absolute position of row 0 */
    enum prism_fault fault;
};
prism_rows_fn prism_norm_rows;

/* Columns of the largest piece of a product with k activations by this kind: a multiple of its panel width. */
size_t prism_piece_cols(const struct prism_linear *kind, size_t k);

/* Bytes that a thread needs for the pieces of products with up to k activations by this kind. */
size_t prism_piece_bytes(const struct prism_linear *kind, size_t k);

/* Bytes of scratch that a thread needs for a piece of a gated product. */
size_t prism_gated_bytes(void);

/* n <= PRISM_MAX_KINDS products of the same n_rows rows of k activations. Up to PRISM_FEW_TOKENS rows the weights are read as they are stored
 * (stored.c). Returns false when cancelled. */
bool prism_products(struct prism_context *c, const struct prism_rows *rows, size_t n_rows, size_t k, const struct prism_product *p,
                    size_t n);

/* The kind of `down`, a product of the n_rows rows that `gated` makes of k activations, if each piece of them can be packed for it as it
 * comes: they need not be written as rows and read again. Else NULL. */
const struct prism_linear *prism_next_kind(struct prism_context *c, size_t n_rows, size_t k, const struct prism_product *gated,
                                           const struct prism_product *down);

/* Operations, two per multiply-add. */
double prism_product_work(const struct prism_product *p, size_t n_rows, size_t k);

/* ---- stored.c ---- */

/* As prism_products, with the kernels prism_kernels.gemv and gemv_auto; the kinds of the products do not matter. */
bool prism_products_stored(struct prism_context *c, const struct prism_rows *rows, size_t n_rows, size_t k, const struct prism_product *p,
                           size_t n);

/* Bytes of prism_context.a_panels that it needs for n_rows rows of up to k activations. */
size_t prism_stored_bytes(const struct prism_context *c, size_t n_rows, size_t k);

#endif
