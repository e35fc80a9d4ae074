/* linear.c - see linear.h. */
#include "src/engine/linear.h"

#include <string.h>

enum {
    ROWS_PER_JOB = 96,   /* activation rows that one job multiplies: its panels stay in the second-level cache */
    COLS_PER_JOB = 256,
    PACK_COLS = 64,      /* weight columns that one packing job unpacks */
    GEMV_COLS = 64,
};

static size_t div_up(size_t a, size_t b) { return (a + b - 1) / b; }
static size_t round_up(size_t a, size_t b) { return div_up(a, b) * b; }

uint64_t prism_panels_bytes(const struct prism_linear *kind, const struct prism_matrix *m)
{
    return m->data ? (uint64_t)div_up(m->rows, kind->nr) * kind->w_bytes(m->k) : 0;
}

/* ---- weights ---- */

struct pack_job {
    const struct prism_matrix *m;
    const struct prism_panels *out;
    size_t panels_per_job;
};

static void pack_weights_job(void *arg, size_t job, uint32_t thread)
{
    const struct pack_job *p = arg;
    const struct prism_matrix *m = p->m;
    size_t nr = p->out->kind->nr, n_panels = div_up(m->rows, nr);
    size_t end = (job + 1) * p->panels_per_job < n_panels ? (job + 1) * p->panels_per_job : n_panels;

    (void)thread;
    for (size_t i = job * p->panels_per_job; i < end; i++) {
        size_t col = i * nr, cols = m->rows - col < nr ? m->rows - col : nr;
        p->out->kind->pack_w(p->out->data + i * p->out->panel_bytes, m->data + col * m->row_bytes, m->row_bytes, m->type, cols, m->k);
    }
}

bool prism_pack_weights(struct prism_context *c, const struct prism_matrix *const *m, struct prism_panels *const *out, size_t n,
                        uint8_t *at)
{
    for (size_t i = 0; i < n; i++) {
        out[i]->data = at;
        out[i]->panel_bytes = out[i]->kind->w_bytes(m[i]->k);
        at += prism_panels_bytes(out[i]->kind, m[i]);

        struct pack_job p = { m[i], out[i], round_up(PACK_COLS, out[i]->kind->nr) / out[i]->kind->nr };
        size_t jobs = div_up(div_up(m[i]->rows, out[i]->kind->nr), p.panels_per_job);
        if (!prism_context_run(c, PRISM_PHASE_PACK, jobs, 0, pack_weights_job, &p))
            return false;
    }
    return true;
}

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
    size_t row = job * a->kind->mr, n = a->n_rows - row < a->kind->mr ? a->n_rows - row : a->kind->mr;
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

struct product_job {
    struct prism_context *c;
    const struct prism_product *p[3]; /* the products of one kind */
    const struct prism_linear *kind;
    size_t n_rows, k, a_panel_bytes, rows_per_job, cols_per_job, row_jobs;
};

static void product_job(void *arg, size_t job, uint32_t thread)
{
    const struct product_job *j = arg;
    size_t col_job = job / j->row_jobs, row = job % j->row_jobs * j->rows_per_job, i = 0;

    (void)thread;
    for (size_t n; col_job >= (n = div_up(j->p[i]->m->rows, j->cols_per_job)); i++) /* which product the column range belongs to */
        col_job -= n;
    const struct prism_product *p = j->p[i];
    size_t col = col_job * j->cols_per_job;
    struct prism_gemm_args g = {
        .c = p->y + row * p->ldy + col,
        .ldc = p->ldy,
        .a = j->c->a_panels + row / j->kind->mr * j->a_panel_bytes,
        .w = p->w->data + col / j->kind->nr * p->w->panel_bytes,
        .rows = j->n_rows - row < j->rows_per_job ? j->n_rows - row : j->rows_per_job,
        .cols = p->m->rows - col < j->cols_per_job ? p->m->rows - col : j->cols_per_job,
        .k = j->k,
        .add = p->add || p->bias,
    };
    if (p->bias)
        for (size_t r = 0; r < g.rows; r++)
            memcpy(g.c + r * g.ldc, p->bias + col, g.cols * sizeof *g.c);
    j->kind->gemm(&g);
}

static bool run_packed(struct prism_context *c, const struct prism_rows *rows, size_t n_rows, size_t k, const struct prism_product *p,
                       size_t n)
{
    bool done[3] = { 0 };

    for (size_t first = 0; first < n; first++) { /* products of one kind share the activation panels */
        if (done[first])
            continue;
        const struct prism_linear *kind = p[first].w->kind;
        struct activation_job a = { c, rows, kind, n_rows, k, kind->a_bytes(k) };
        struct product_job j = { .c = c, .kind = kind, .n_rows = n_rows, .k = k, .a_panel_bytes = a.panel_bytes,
                                 .rows_per_job = round_up(ROWS_PER_JOB, kind->mr), .cols_per_job = round_up(COLS_PER_JOB, kind->nr) };
        size_t col_jobs = 0, n_kind = 0;
        double work = 0;

        for (size_t i = first; i < n; i++)
            if (!done[i] && p[i].w->kind == kind) {
                j.p[n_kind++] = &p[i];
                col_jobs += div_up(p[i].m->rows, j.cols_per_job);
                work += 2.0 * (double)n_rows * (double)k * (double)p[i].m->rows;
                done[i] = true;
            }
        j.row_jobs = div_up(n_rows, j.rows_per_job);
        if (!prism_context_run(c, PRISM_PHASE_OTHER, div_up(n_rows, kind->mr), 0, pack_activations_job, &a) ||
            !prism_context_run(c, PRISM_PHASE_LINEAR, col_jobs * j.row_jobs, work / (double)(col_jobs * j.row_jobs), product_job, &j))
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

static void gemv_job(void *arg, size_t job, uint32_t thread)
{
    const struct gemv_job *j = arg;
    const struct prism_product *p = j->p;
    float out[PRISM_GEMV_ROWS][GEMV_COLS];

    (void)thread;
    for (size_t n; job >= (n = div_up(p->m->rows, GEMV_COLS)); p++) /* which product the column range belongs to */
        job -= n;
    const struct prism_matrix *m = p->m;
    size_t col = job * GEMV_COLS, cols = m->rows - col < GEMV_COLS ? m->rows - col : GEMV_COLS;
    for (size_t row = 0; row < j->n_rows; row += PRISM_GEMV_ROWS) {
        size_t n = j->n_rows - row < PRISM_GEMV_ROWS ? j->n_rows - row : PRISM_GEMV_ROWS;
        j->c->kernels->gemv(out[0], GEMV_COLS, j->x + row * j->k, j->k, n, m->data + col * m->row_bytes, m->row_bytes, m->type, cols,
                            j->k);
        for (size_t r = 0; r < n; r++) {
            float *y = p->y + (row + r) * p->ldy + col;
            const float *base = p->add ? y : p->bias ? p->bias + col : NULL;
            for (size_t i = 0; i < cols; i++)
                y[i] = base ? base[i] + out[r][i] : out[r][i];
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
        work += 2.0 * (double)n_rows * (double)k * (double)p[i].m->rows;
    }
    return prism_context_run(c, PRISM_PHASE_LINEAR, jobs, work / (double)jobs, gemv_job, &j);
}

bool prism_products(struct prism_context *c, const struct prism_rows *rows, size_t n_rows, size_t k, const struct prism_product *p,
                    size_t n)
{
    return p[0].w ? run_packed(c, rows, n_rows, k, p, n) : run_stored(c, rows, n_rows, k, p, n);
}
