/* linear.c - see linear.h. */
#include "src/engine/linear.h"

#include <string.h>

enum {
    PIECE_COLS = 128,        /* weight columns that a job packs and multiplies */
    PIECE_BYTES = 512 << 10, /* of panels at most: they stay in the second-level cache while the rows pass by */
    JOBS_PER_THREAD = 4,     /* at least, as far as a product can be cut */
    GATED_ROWS = 96,         /* rows of gate and up that wait for each other */
    GEMV_COLS = 64,
};

static size_t div_up(size_t a, size_t b) { return (a + b - 1) / b; }
static size_t round_up(size_t a, size_t b) { return div_up(a, b) * b; }
static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }

/* ---- activations ---- */

struct activation_job {
    struct prism_context *c;
    const struct prism_rows *rows;
    const struct prism_linear *kind;
    size_t n_rows, k, panel_bytes;
};

static void pack_activations_job(void *arg, size_t job, uint32_t thread)
{
    const struct activation_job *a = arg;
    size_t row = job * a->kind->mr, n = min_size(a->n_rows - row, a->kind->mr);
    uint8_t *panel = a->c->a_panels + job * a->panel_bytes;

    if (a->rows->fn) {
        float *tmp = prism_thread_scratch(a->c, thread);
        a->rows->fn(a->c, a->rows->arg, row, n, tmp);
        a->kind->pack_a(panel, tmp, a->k, n, a->k);
    } else {
        a->kind->pack_a(panel, a->rows->x + row * a->rows->ldx, a->rows->ldx, n, a->k);
    }
}

/* ---- products with packed panels ---- */

/* Columns of the largest piece, a multiple of the panel width. */
static size_t piece_cols(const struct prism_linear *kind, size_t k)
{
    size_t panels = min_size(PIECE_COLS / kind->nr, PIECE_BYTES / kind->w_bytes(k));
    return (panels ? panels : 1) * kind->nr;
}

/* A gated product has two half pieces, of one panel each at least. Grows with k. */
size_t prism_piece_bytes(const struct prism_linear *kind, size_t k)
{
    size_t panel = kind->w_bytes(k), whole = min_size(PIECE_COLS / kind->nr * panel, PIECE_BYTES);
    return whole < 2 * panel ? 2 * panel : whole;
}

struct product_job {
    struct prism_context *c;
    const struct prism_product *p[3]; /* the products of one kind */
    const struct prism_linear *kind;
    size_t n_rows, k, a_panel_bytes, rows_per_job, row_jobs, cols_per_job;
};

static size_t cols_of(const struct product_job *j, const struct prism_product *p)
{
    return p->up ? round_up(j->cols_per_job / 2, j->kind->nr) : j->cols_per_job;
}

/* Packs columns [col, col + cols) to `panels`; returns what follows them. */
static uint8_t *pack_piece(const struct product_job *j, const struct prism_matrix *m, size_t col, size_t cols, uint8_t *panels)
{
    for (size_t i = 0; i < cols; i += j->kind->nr, panels += j->kind->w_bytes(j->k))
        j->kind->pack_w(panels, m->data + (col + i) * m->row_bytes, m->row_bytes, m->type, min_size(cols - i, j->kind->nr), j->k);
    return panels;
}

/* Rows [row, row + n_rows) times the packed piece, on top of the bias if there is one. */
static void multiply(const struct product_job *j, const uint8_t *panels, size_t row, size_t n_rows, size_t cols, const float *bias, float *y,
                     size_t ldy, bool add)
{
    struct prism_gemm_args g = {
        .c = y, .ldc = ldy, .a = j->c->a_panels + row / j->kind->mr * j->a_panel_bytes, .w = panels,
        .rows = n_rows, .cols = cols, .k = j->k, .add = add || bias,
    };
    for (size_t r = 0; bias && r < n_rows; r++)
        memcpy(y + r * ldy, bias, cols * sizeof *y);
    j->kind->gemm(&g);
}

static void plain_piece(const struct product_job *j, const struct prism_product *p, size_t row, size_t n_rows, size_t col, size_t cols,
                        uint8_t *panels)
{
    pack_piece(j, p->m, col, cols, panels);
    multiply(j, panels, row, n_rows, cols, p->bias ? p->bias + col : NULL, p->y + row * p->ldy + col, p->ldy, p->add);
}

static void gated_piece(const struct product_job *j, const struct prism_product *p, size_t row, size_t n_rows, size_t col, size_t cols,
                        uint8_t *panels)
{
    _Alignas(64) float gate[GATED_ROWS][PIECE_COLS], up[GATED_ROWS][PIECE_COLS];
    const uint8_t *up_panels = pack_piece(j, p->m, col, cols, panels);

    pack_piece(j, p->up, col, cols, panels + (up_panels - panels));
    const size_t step = GATED_ROWS / j->kind->mr * j->kind->mr;
    for (size_t i = row; i < row + n_rows; i += step) {
        size_t n = min_size(row + n_rows - i, step);
        multiply(j, panels, i, n, cols, p->bias ? p->bias + col : NULL, gate[0], PIECE_COLS, false);
        multiply(j, up_panels, i, n, cols, p->up_bias ? p->up_bias + col : NULL, up[0], PIECE_COLS, false);
        for (size_t r = 0; r < n; r++) {
            j->c->kernels->swiglu(gate[r], up[r], cols);
            memcpy(p->y + (i + r) * p->ldy + col, gate[r], cols * sizeof **gate);
        }
    }
}

static void product_job(void *arg, size_t job, uint32_t thread)
{
    const struct product_job *j = arg;
    size_t piece = job / j->row_jobs, row = job % j->row_jobs * j->rows_per_job, i = 0;

    for (size_t n; piece >= (n = div_up(j->p[i]->m->rows, cols_of(j, j->p[i]))); i++) /* which product the columns belong to */
        piece -= n;
    const struct prism_product *p = j->p[i];
    size_t col = piece * cols_of(j, p), cols = min_size(p->m->rows - col, cols_of(j, p)), n_rows = min_size(j->n_rows - row, j->rows_per_job);
    (p->up ? gated_piece : plain_piece)(j, p, row, n_rows, col, cols, prism_thread_panels(j->c, thread));
}

static size_t count_pieces(const struct product_job *j, size_t n)
{
    size_t pieces = 0;
    for (size_t i = 0; i < n; i++)
        pieces += div_up(j->p[i]->m->rows, cols_of(j, j->p[i]));
    return pieces;
}

/* Cuts n products into jobs: narrower pieces, then pieces of the rows too (each packs its weights anew), until all threads find work. */
static size_t cut(struct product_job *j, size_t n)
{
    size_t wanted = JOBS_PER_THREAD * (size_t)j->c->plan.n_threads, panels = piece_cols(j->kind, j->k) / j->kind->nr, pieces;

    for (j->cols_per_job = panels * j->kind->nr; (pieces = count_pieces(j, n)) < wanted && panels > 1; j->cols_per_job = panels * j->kind->nr)
        panels = (panels + 1) / 2;
    j->row_jobs = min_size(div_up(j->c->plan.n_threads, pieces), div_up(j->n_rows, j->kind->mr));
    j->rows_per_job = round_up(div_up(j->n_rows, j->row_jobs), j->kind->mr);
    j->row_jobs = div_up(j->n_rows, j->rows_per_job);
    return pieces * j->row_jobs;
}

static double work_of(const struct prism_product *p, size_t n_rows, size_t k)
{
    return 2.0 * (double)n_rows * (double)k * (double)p->m->rows * (p->up ? 2 : 1);
}

static bool run_packed(struct prism_context *c, const struct prism_rows *rows, size_t n_rows, size_t k, const struct prism_product *p,
                       size_t n)
{
    bool done[3] = { 0 };

    for (size_t first = 0; first < n; first++) { /* products of one kind share the activation panels */
        if (done[first])
            continue;
        const struct prism_linear *kind = p[first].kind;
        struct activation_job a = { c, rows, kind, n_rows, k, kind->a_bytes(k) };
        struct product_job j = { .c = c, .kind = kind, .n_rows = n_rows, .k = k, .a_panel_bytes = a.panel_bytes };
        size_t n_kind = 0;
        double work = 0;

        for (size_t i = first; i < n; i++)
            if (!done[i] && p[i].kind == kind) {
                j.p[n_kind++] = &p[i];
                work += work_of(&p[i], n_rows, k);
                done[i] = true;
            }
        size_t jobs = cut(&j, n_kind);
        if (!prism_context_run(c, PRISM_PHASE_OTHER, div_up(n_rows, kind->mr), 0, pack_activations_job, &a) ||
            !prism_context_run(c, PRISM_PHASE_LINEAR, jobs, work / (double)jobs, product_job, &j))
            return false;
    }
    return true;
}

/* ---- products straight from the stored rows ---- */

struct gemv_job {
    struct prism_context *c;
    const struct prism_product *p;
    const float *x;
    size_t n_rows, k;
};

/* out = rows [row, row + n) times the stored columns [col, col + cols), plus the bias if there is one */
static void stored_piece(const struct gemv_job *j, const struct prism_matrix *m, const float *bias, size_t row, size_t n, size_t col,
                         size_t cols, float (*out)[GEMV_COLS])
{
    j->c->kernels->gemv(out[0], GEMV_COLS, j->x + row * j->k, j->k, n, m->data + col * m->row_bytes, m->row_bytes, m->type, cols, j->k);
    for (size_t r = 0; bias && r < n; r++)
        j->c->kernels->add(out[r], bias + col, cols);
}

static void gemv_job(void *arg, size_t job, uint32_t thread)
{
    const struct gemv_job *j = arg;
    const struct prism_product *p = j->p;
    float out[PRISM_GEMV_ROWS][GEMV_COLS], up[PRISM_GEMV_ROWS][GEMV_COLS];

    (void)thread;
    for (size_t n; job >= (n = div_up(p->m->rows, GEMV_COLS)); p++) /* which product the column range belongs to */
        job -= n;
    size_t col = job * GEMV_COLS, cols = min_size(p->m->rows - col, GEMV_COLS);
    for (size_t row = 0; row < j->n_rows; row += PRISM_GEMV_ROWS) {
        size_t n = min_size(j->n_rows - row, PRISM_GEMV_ROWS);
        stored_piece(j, p->m, p->bias, row, n, col, cols, out);
        if (p->up)
            stored_piece(j, p->up, p->up_bias, row, n, col, cols, up);
        for (size_t r = 0; r < n; r++) {
            float *y = p->y + (row + r) * p->ldy + col;
            if (p->up)
                j->c->kernels->swiglu(out[r], up[r], cols);
            if (p->add)
                j->c->kernels->add(y, out[r], cols);
            else
                memcpy(y, out[r], cols * sizeof *y);
        }
    }
}

static bool run_stored(struct prism_context *c, const struct prism_rows *rows, size_t n_rows, size_t k, const struct prism_product *p,
                       size_t n)
{
    float *x = (float *)(void *)c->a_panels; /* few rows: they fit where their panels would be */
    struct gemv_job j = { c, p, x, n_rows, k };
    size_t jobs = 0;
    double work = 0;

    if (rows->fn)
        rows->fn(c, rows->arg, 0, n_rows, x);
    else
        for (size_t r = 0; r < n_rows; r++)
            memcpy(x + r * k, rows->x + r * rows->ldx, k * sizeof *x);
    for (size_t i = 0; i < n; i++) {
        jobs += div_up(p[i].m->rows, GEMV_COLS);
        work += work_of(&p[i], n_rows, k);
    }
    return prism_context_run(c, PRISM_PHASE_LINEAR, jobs, work / (double)jobs, gemv_job, &j);
}

bool prism_products(struct prism_context *c, const struct prism_rows *rows, size_t n_rows, size_t k, const struct prism_product *p,
                    size_t n)
{
    return n_rows <= PRISM_FEW_TOKENS ? run_stored(c, rows, n_rows, k, p, n) : run_packed(c, rows, n_rows, k, p, n);
}
