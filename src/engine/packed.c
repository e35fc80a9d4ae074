/* packed.c - linear layers of many rows: activations and weights are packed into panels (linear.h). */
#include "src/engine/split.h"

#include <string.h>

#include "src/base/size.h"

enum { GATED_ROWS = 96 }; /* rows of gate and up that wait for each other: a multiple of PRISM_PACK_ROWS */

/* ---- activations ---- */

/* The kinds that n products need, and their panels one after the other in c->a_panels. */
struct operands {
    struct prism_context *c;
    const struct prism_rows *rows;
    size_t n_rows, k, n, rows_per_job; /* of an activation job */
    const struct prism_linear *kind[PRISM_MAX_KINDS];
    uint8_t *panels[PRISM_MAX_KINDS];
};

static size_t kind_index(const struct operands *o, const struct prism_linear *kind)
{
    size_t i = 0;
    while (i < o->n && o->kind[i] != kind)
        i++;
    return i;
}

static void list_kinds(struct operands *o, const struct prism_product *p, size_t n)
{
    uint8_t *at = o->c->a_panels;
    for (size_t i = 0; i < n; i++)
        if (kind_index(o, p[i].kind) == o->n) {
            o->kind[o->n] = p[i].kind;
            o->panels[o->n++] = o->rows->panels ? o->rows->panels : at;
            at += div_up(o->n_rows, p[i].kind->mr) * p[i].kind->a_bytes(o->k);
        }
}

static void pack_activations_job(void *arg, size_t job, uint32_t thread)
{
    const struct operands *o = arg;
    size_t row = job * o->rows_per_job, n = min_size(o->n_rows - row, o->rows_per_job), ldx = o->rows->fn ? o->k : o->rows->ldx;
    float *made = prism_thread_scratch(o->c, thread);
    const float *x = o->rows->fn ? made : o->rows->x + row * ldx;

    if (o->rows->fn)
        o->rows->fn(o->c, o->rows->arg, row, n, made);
    for (size_t i = 0; i < o->n; i++) {
        const struct prism_linear *kind = o->kind[i];
        for (size_t r = 0; r < n; r += kind->mr)
            kind->pack_a(o->panels[i] + (row + r) / kind->mr * kind->a_bytes(o->k), x + r * ldx, ldx, min_size(n - r, kind->mr), o->k);
    }
}

/* ---- products with packed panels ---- */

struct product_job {
    const struct operands *o;
    struct prism_split split;
};

/* Packs columns [col, col + cols) of m to `panels`; returns what follows them. */
static uint8_t *pack_piece(const struct prism_linear *kind, const struct prism_matrix *m, size_t col, size_t cols, uint8_t *panels)
{
    for (size_t i = 0; i < cols; i += kind->nr, panels += kind->w_bytes(m->k))
        kind->pack_w(panels, m->data + (col + i) * m->row_bytes, m->row_bytes, m->type, min_size(cols - i, kind->nr), m->k);
    return panels;
}

/* Rows [row, row + n_rows) times the packed piece, by the scale if there is one (then not `add`), on top of the bias if there is one. */
static void multiply(const struct operands *o, const struct prism_linear *kind, const uint8_t *panels, size_t row, size_t n_rows, size_t cols,
                     const float *scale, const float *bias, float *y, size_t ldy, bool add)
{
    struct prism_gemm_args g = {
        .c = y, .ldc = ldy, .a = o->panels[kind_index(o, kind)] + row / kind->mr * kind->a_bytes(o->k), .w = panels,
        .rows = n_rows, .cols = cols, .k = o->k, .add = add || (bias && !scale),
    };
    for (size_t r = 0; bias && !scale && r < n_rows; r++)
        memcpy(y + r * ldy, bias, cols * sizeof *y);
    kind->gemm(&g);
    for (size_t r = 0; scale && r < n_rows; r++) {
        o->c->kernels->scale(y + r * ldy, *scale, cols);
        if (bias)
            o->c->kernels->add(y + r * ldy, bias, cols);
    }
}

static void plain_piece(const struct operands *o, const struct prism_product *p, size_t row, size_t n_rows, size_t col, size_t cols,
                        uint32_t thread)
{
    uint8_t *panels = prism_thread_panels(o->c, thread);

    pack_piece(p->kind, &p->m, col, cols, panels);
    multiply(o, p->kind, panels, row, n_rows, cols, p->m.scale, p->bias ? p->bias + col : NULL, p->y + row * p->ldy + col, p->ldy, p->add);
}

typedef float piece_rows[GATED_ROWS][PRISM_PIECE_COLS];

size_t prism_gated_bytes(void) { return 2 * sizeof(piece_rows); }

/* The product waits in scratch for its scale, its factor and its row. */
static void scattered_piece(const struct operands *o, const struct prism_product *p, size_t row, size_t n_rows, size_t col, size_t cols,
                            uint32_t thread)
{
    float (*made)[PRISM_PIECE_COLS] = prism_thread_scratch(o->c, thread);
    uint8_t *panels = prism_thread_panels(o->c, thread);

    pack_piece(p->kind, &p->m, col, cols, panels);
    for (size_t i = row; i < row + n_rows; i += GATED_ROWS) {
        size_t n = min_size(row + n_rows - i, GATED_ROWS);
        multiply(o, p->kind, panels, i, n, cols, p->m.scale, p->bias ? p->bias + col : NULL, made[0], PRISM_PIECE_COLS, false);
        for (size_t r = 0; r < n; r++)
            prism_product_add(o->c->kernels, p, i + r, col, made[r], cols);
    }
}

/* x, [n][cols] with stride PRISM_PIECE_COLS, becomes columns [col, col + cols) of n rows from `row` on in the panels that are p->y. */
static void pack_next(const struct prism_product *p, size_t row, size_t n, size_t col, size_t cols, const float *x)
{
    const struct prism_linear *kind = p->next;
    uint8_t *panel = (uint8_t *)p->y + row / kind->mr * kind->a_bytes(p->m.rows) + kind->a_bytes(col);

    for (size_t r = 0; r < n; r += kind->mr, panel += kind->a_bytes(p->m.rows))
        kind->pack_a(panel, x + r * PRISM_PIECE_COLS, PRISM_PIECE_COLS, min_size(n - r, kind->mr), cols);
}

static void gated_piece(const struct operands *o, const struct prism_product *p, size_t row, size_t n_rows, size_t col, size_t cols,
                        uint32_t thread)
{
    piece_rows *scratch = prism_thread_scratch(o->c, thread); /* too large for the stacks of an application's threads */
    float (*gate)[PRISM_PIECE_COLS] = scratch[0], (*up)[PRISM_PIECE_COLS] = scratch[1];
    uint8_t *panels = prism_thread_panels(o->c, thread);
    uint8_t *up_panels = pack_piece(p->kind, &p->m, col, cols, panels);

    if (p->up.data)
        pack_piece(p->kind, &p->up, col, cols, up_panels);
    for (size_t i = row; i < row + n_rows; i += GATED_ROWS) {
        size_t n = min_size(row + n_rows - i, GATED_ROWS);
        multiply(o, p->kind, panels, i, n, cols, p->m.scale, p->bias ? p->bias + col : NULL, gate[0], PRISM_PIECE_COLS, false);
        if (p->up.data)
            multiply(o, p->kind, up_panels, i, n, cols, p->up.scale, p->up_bias ? p->up_bias + col : NULL, up[0], PRISM_PIECE_COLS, false);
        for (size_t r = 0; r < n; r++)
            prism_product_activate(o->c->kernels, p, gate[r], up[r], cols);
        if (p->next)
            pack_next(p, i, n, col, cols, gate[0]);
        else
            for (size_t r = 0; r < n; r++)
                memcpy(p->y + (i + r) * p->ldy + col, gate[r], cols * sizeof **gate);
    }
}

static void run_piece(const struct operands *o, struct prism_piece piece, uint32_t thread)
{
    const struct prism_product *p = piece.p;
    bool waits = prism_is_scattered(p) || (p->add && p->m.scale);

    (p->up.data || p->activated ? gated_piece : waits ? scattered_piece : plain_piece)(o, p, piece.row, piece.n_rows, piece.col, piece.cols, thread);
}

static void product_job(void *arg, size_t job, uint32_t thread)
{
    const struct product_job *j = arg;
    const struct prism_split *s = &j->split;

    if (!prism_take_turns(s->p)) {
        run_piece(j->o, prism_split_piece(s, job), thread);
        return;
    }
    for (const struct prism_product *p = s->p; p < s->p + s->n; p++) {
        size_t cols = prism_split_cols(s, p), col = job * cols;
        run_piece(j->o, (struct prism_piece){ p, p->first, prism_product_rows(p, s->n_rows), col, min_size(p->m.rows - col, cols) }, thread);
    }
}

bool prism_products_packed(struct prism_context *c, const struct prism_rows *rows, size_t n_rows, size_t k, const struct prism_product *p,
                           size_t n)
{
    struct operands o = { .c = c, .rows = rows, .n_rows = n_rows, .k = k };
    struct product_job j = { &o, { .p = p, .n = n, .n_rows = n_rows, .k = k, .n_threads = c->plan.n_threads } };
    double work = 0;

    list_kinds(&o, p, n);
    o.rows_per_job = prism_split_pack(o.kind, o.n, n_rows, c->plan.n_threads);
    for (size_t i = 0; i < n; i++)
        work += prism_product_work(&p[i], n_rows, k);
    prism_split_products(&j.split);
    return (rows->panels || prism_context_run(c, PRISM_PHASE_OTHER, div_up(n_rows, o.rows_per_job), 0, pack_activations_job, &o)) &&
           prism_context_run(c, PRISM_PHASE_LINEAR, j.split.n_jobs, work / (double)j.split.n_jobs, product_job, &j);
}

const struct prism_linear *prism_next_kind(struct prism_context *c, enum prism_way way, size_t n_rows, size_t k, const struct prism_product *gated,
                                           size_t n, const struct prism_linear *kind)
{
    struct prism_split s = { .p = gated, .n = n, .n_rows = n_rows, .k = k, .n_threads = c->plan.n_threads };

    return prism_split_in_parts(&s, kind) && !prism_is_stored(way, n_rows, gated->kind) && !prism_is_stored(way, n_rows, kind) ? kind : NULL;
}
