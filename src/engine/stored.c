/* stored.c - linear layers of a few rows straight from the stored weights: decode and very short prompts (linear.h). Bound by memory:
 * every weight is read once for all rows, by one thread, in the order of the file as far as threads can. */
#include "src/engine/linear.h"

#include <string.h>

#include "src/base/size.h"

enum {
    COLS = 64,            /* weight columns of a job */
    MAX_GEMV_KINDS = PRISM_MAX_KINDS, /* of a call */
};

struct call {
    struct prism_context *c;
    const struct prism_rows *rows;
    const struct prism_product *p;
    size_t n, n_rows, k, n_units;
    float *own;              /* [n_rows][k]: what rows->fn writes */
    const float *x;          /* the rows, ldx apart */
    size_t ldx, n_kinds;
    struct {
        const struct prism_gemv *kind;
        uint8_t *rows;       /* the rows packed for it */
    } packed[MAX_GEMV_KINDS];
};

/* NULL: fp32 activations. */
static const struct prism_gemv *kind_of(const struct prism_context *c, const struct prism_matrix *m)
{
    return c->compute == PRISM_COMPUTE_F32 ? NULL : c->kernels->gemv_auto[m->type];
}

size_t prism_stored_bytes(const struct prism_context *c, size_t n_rows, size_t k)
{
    size_t bytes = round_up(n_rows * k * sizeof(float), 64);

    for (int t = 0; t < PRISM_N_TYPES; t++) {
        const struct prism_gemv *kind = c->kernels->gemv_auto[t];
        bool counted = false;
        for (int s = 0; s < t; s++)
            counted |= c->kernels->gemv_auto[s] == kind;
        if (kind && !counted)
            bytes += n_rows * kind->x_bytes(round_up(k, 32));
    }
    return bytes;
}

/* ---- activations ---- */

static void row_job(void *arg, size_t row, uint32_t thread)
{
    const struct call *l = arg;

    (void)thread;
    if (l->rows->fn)
        l->rows->fn(l->c, l->rows->arg, row, 1, l->own + row * l->k);
    for (size_t i = 0; i < l->n_kinds; i++)
        l->packed[i].kind->pack_x(l->packed[i].rows + row * l->packed[i].kind->x_bytes(l->k), l->x + row * l->ldx, l->k);
}

static const uint8_t *packed_rows(const struct call *l, const struct prism_gemv *kind)
{
    for (size_t i = 0; i < l->n_kinds; i++)
        if (l->packed[i].kind == kind)
            return l->packed[i].rows;
    return NULL;
}

/* Room for the rows packed for m behind what there is; returns the end. */
static uint8_t *add_kind(struct call *l, const struct prism_matrix *m, uint8_t *at)
{
    const struct prism_gemv *kind = m->data ? kind_of(l->c, m) : NULL;

    if (!kind || packed_rows(l, kind))
        return at;
    l->packed[l->n_kinds].kind = kind;
    l->packed[l->n_kinds++].rows = at;
    return at + l->n_rows * kind->x_bytes(l->k);
}

/* ---- products ---- */

/* out = rows [row, row + n) times the stored columns [col, col + cols), by the scale and plus the bias if there are such */
static void multiply(const struct call *l, const struct prism_matrix *m, const float *bias, size_t row, size_t n, size_t col, size_t cols,
                     float (*out)[COLS])
{
    const struct prism_gemv *kind = kind_of(l->c, m);
    const uint8_t *w = m->data + col * m->row_bytes;

    if (kind)
        kind->gemv(out[0], COLS, packed_rows(l, kind) + row * kind->x_bytes(l->k), n, w, m->row_bytes, m->type, cols, l->k);
    else
        l->c->kernels->gemv(out[0], COLS, l->x + row * l->ldx, l->ldx, n, w, m->row_bytes, m->type, cols, l->k);
    for (size_t r = 0; m->scale && r < n; r++)
        l->c->kernels->scale(out[r], m->scale[0], cols);
    for (size_t r = 0; bias && r < n; r++)
        l->c->kernels->add(out[r], bias + col, cols);
}

/* Threads draw jobs in turn. Each gets neighbouring columns all the same, for which its processor has fetched ahead: the units are cut
 * into a range per thread, and jobs take their turns with the ranges. */
static size_t unit_of_job(const struct call *l, size_t job)
{
    size_t ranges = l->c->plan.n_threads, range = job % ranges, rest = l->n_units % ranges;
    return range * (l->n_units / ranges) + min_size(range, rest) + job / ranges;
}

/* Columns [unit * COLS ...) of one product. */
static void run_unit(const struct call *l, const struct prism_product *p, size_t unit)
{
    const struct prism_kernels *kernels = l->c->kernels;
    float out[PRISM_GEMV_ROWS][COLS], up[PRISM_GEMV_ROWS][COLS];
    size_t col = unit * COLS, cols = min_size(p->m.rows - col, COLS), end = p->first + prism_product_rows(p, l->n_rows);

    for (size_t row = p->first; row < end; row += PRISM_GEMV_ROWS) {
        size_t n = min_size(end - row, PRISM_GEMV_ROWS);
        multiply(l, &p->m, p->bias, row, n, col, cols, out);
        if (p->up.data)
            multiply(l, &p->up, p->up_bias, row, n, col, cols, up);
        for (size_t r = 0; r < n; r++) {
            float *y = p->y + (row + r) * p->ldy + col;
            if (p->up.data || p->activated)
                prism_product_activate(kernels, p, out[r], up[r], cols);
            if (prism_is_scattered(p))
                prism_product_add(kernels, p, row + r, col, out[r], cols);
            else if (p->add)
                kernels->add(y, out[r], cols);
            else
                memcpy(y, out[r], cols * sizeof *y);
        }
    }
}

static void product_job(void *arg, size_t job, uint32_t thread)
{
    const struct call *l = arg;
    const struct prism_product *p = l->p;
    size_t unit = unit_of_job(l, job);

    (void)thread;
    if (prism_take_turns(l->p)) {
        for (size_t i = 0; i < l->n; i++)
            run_unit(l, &p[i], unit);
        return;
    }
    for (size_t n; unit >= (n = div_up(p->m.rows, COLS)); p++) /* which product the columns belong to */
        unit -= n;
    run_unit(l, p, unit);
}

bool prism_products_stored(struct prism_context *c, const struct prism_rows *rows, size_t n_rows, size_t k, const struct prism_product *p,
                           size_t n)
{
    float *own = (float *)(void *)c->a_panels; /* few rows: they fit where their panels would be */
    struct call l = { .c = c, .rows = rows, .p = p, .n = n, .n_rows = n_rows, .k = k, .own = own,
                      .x = rows->fn ? own : rows->x, .ldx = rows->fn ? k : rows->ldx };
    uint8_t *at = c->a_panels + round_up(n_rows * k * sizeof(float), 64);
    double work = 0;

    for (size_t i = 0; i < n; i++) {
        at = add_kind(&l, &p[i].up, add_kind(&l, &p[i].m, at));
        if (i == 0 || !prism_take_turns(p))
            l.n_units += div_up(p[i].m.rows, COLS);
        work += prism_product_work(&p[i], n_rows, k);
    }
    if (n_rows == 1)
        row_job(&l, 0, 0); /* a microsecond: not worth a phase */
    else if (!prism_context_run(c, PRISM_PHASE_OTHER, n_rows, 0, row_job, &l))
        return false;
    return prism_context_run(c, PRISM_PHASE_LINEAR, l.n_units, work / (double)l.n_units, product_job, &l);
}
