/* linear.h - linear layers over a slab of tokens. Private to src/engine.
 *
 * How rows and columns are cut into jobs is said in split.h; the arithmetic and the panel layouts belong to the kernels. A job takes a piece of the
 * weights' columns, packs it into panels of its thread, which stay in the second-level cache, and multiplies all rows with it: weights are
 * read from the file's mapping once per slab, and no packed copy of them exists elsewhere. */
#ifndef PRISM_ENGINE_LINEAR_H
#define PRISM_ENGINE_LINEAR_H

#include "src/engine/finite.h"

/* One product y[rows][m.rows] (+)= x . m^T + bias; with `up`, gated: y = act(x . m^T + bias, x . up^T + up_bias); or `activated`: y = plain_act(x .
 * m^T + bias). Products of one call may each take their own part of its rows. */
struct prism_product {
    struct prism_matrix m, up; /* up without data: not gated; else as large as m and multiplied by the same kind */
    const struct prism_linear *kind;
    enum prism_gate act;     /* of a gated product */
    bool activated;          /* without `up` */
    enum prism_act plain_act;
    const float *bias, *up_bias; /* [m.rows] or NULL; bias not together with a plain add */
    size_t first, n_rows;    /* which rows: n_rows 0 is all. first: a multiple of PRISM_PACK_ROWS */
    float *y;                /* row r of the call's rows goes to row r of y, ldy apart */
    size_t ldy;
    bool add;                /* not of a gated or activated product */
    const struct prism_linear *next; /* of such a product: the kind for which y receives the rows as panels, see prism_next_kind. Or NULL */

    /* With add, y's row to[r] += factor * weight[r] * product of row r. Products that have `to` may share rows of y: they take turns, in
     * their order, whatever the number of threads. */
    float factor;            /* 0 counts as 1 */
    const uint32_t *to;      /* [rows] of the call, or NULL: r itself */
    const float *weight;     /* [rows] of the call, or NULL: 1 */
};

/* Where the rows of activations come from; called for pieces of rows: writes [n_rows][k] floats to out (stride k). NULL source:
 * the rows are used as they stand at x. */
typedef void prism_rows_fn(struct prism_context *c, void *arg, size_t row, size_t n_rows, float *out);

enum prism_way {
    PRISM_BY_COUNT,          /* few rows as stored, more packed */
    PRISM_STORED, PRISM_PACKED,
};

struct prism_rows {
    const float *x;          /* used when fn is NULL: row stride ldx */
    size_t ldx;
    prism_rows_fn *fn;
    void *arg;
    uint8_t *panels;         /* not NULL: the rows packed for the kind of all products; the other fields are unused */
    enum prism_way way;
};

/* A source of rows: those of the residual stream at x, n_embd wide, normalised. arg: a struct prism_norm_rows. A row that is not finite is
 * noted as `fault` at its position. */
struct prism_norm_rows {
    const float *x;
    const struct prism_norm *norm;
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

/* y = norm(x), n values; x == y allowed. Returns the sum of squares of x. */
double prism_normalise(const struct prism_kernels *k, const struct prism_norm *norm, float *y, const float *x, size_t n);

/* n products of n_rows rows of k activations, by up to PRISM_MAX_KINDS kinds. A few rows (prism_is_few of the first kind: the products of a
 * call are of kinds that are alike) are multiplied with the weights as they are stored (stored.c). Returns false when cancelled. */
bool prism_products(struct prism_context *c, const struct prism_rows *rows, size_t n_rows, size_t k, const struct prism_product *p,
                    size_t n);

/* Whether so many rows take less time as stored. */
static inline bool prism_is_few(size_t n_rows, const struct prism_linear *kind)
{
    return n_rows <= (kind->few_rows ? kind->few_rows : PRISM_FEW_TOKENS);
}

static inline bool prism_is_stored(enum prism_way way, size_t n_rows, const struct prism_linear *kind)
{
    return way == PRISM_BY_COUNT ? prism_is_few(n_rows, kind) : way == PRISM_STORED;
}

/* `kind`, of the products that follow on the rows that n gated ones make of k activations, if each piece of them can be packed for it as it
 * comes: they need not be written as rows and read again. Else NULL. */
const struct prism_linear *prism_next_kind(struct prism_context *c, enum prism_way way, size_t n_rows, size_t k, const struct prism_product *gated,
                                           size_t n, const struct prism_linear *kind);

/* How many of the call's n_rows rows a product takes. */
static inline size_t prism_product_rows(const struct prism_product *p, size_t n_rows) { return p->n_rows ? p->n_rows : n_rows; }

/* Whether the products of a call add to rows of their choice: then a job is a piece of the columns of all of them. */
static inline bool prism_take_turns(const struct prism_product *p) { return p->to != NULL; }

/* Whether a product adds elsewhere, or something else, than plain rows. */
static inline bool prism_is_scattered(const struct prism_product *p)
{
    return p->add && (p->to || p->weight || (p->factor != 0 && p->factor != 1));
}

/* For gated and activated ones: n values of a row of the product, and of that with `up`, become its output. */
static inline void prism_product_activate(const struct prism_kernels *k, const struct prism_product *p, float *made, const float *up, size_t n)
{
    if (p->up.data)
        k->gate[p->act](made, up, n);
    else
        k->act[p->plain_act](made, n);
}

/* For scattered ones: adds columns [col, col + cols) of row r of the product, bias and all, to y. */
static inline void prism_product_add(const struct prism_kernels *k, const struct prism_product *p, size_t r, size_t col, const float *made,
                                     size_t cols)
{
    float factor = (p->factor != 0 ? p->factor : 1) * (p->weight ? p->weight[r] : 1);
    k->add_scaled(p->y + (p->to ? p->to[r] : r) * p->ldy + col, factor, made, cols);
}

/* Operations, two per multiply-add. */
static inline double prism_product_work(const struct prism_product *p, size_t n_rows, size_t k)
{
    return 2.0 * (double)prism_product_rows(p, n_rows) * (double)k * (double)p->m.rows * (p->up.data ? 2 : 1);
}

/* ---- packed.c ---- */

/* As prism_products, with the kinds of the products. */
bool prism_products_packed(struct prism_context *c, const struct prism_rows *rows, size_t n_rows, size_t k, const struct prism_product *p,
                           size_t n);

/* ---- stored.c ---- */

/* As prism_products, with the kernels prism_kernels.gemv and gemv_auto; the kinds of the products do not matter. */
bool prism_products_stored(struct prism_context *c, const struct prism_rows *rows, size_t n_rows, size_t k, const struct prism_product *p,
                           size_t n);

/* Bytes of prism_context.a_panels that it needs for n_rows rows of up to k activations. */
size_t prism_stored_bytes(const struct prism_context *c, size_t n_rows, size_t k);

#endif
