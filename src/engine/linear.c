/* linear.c - see linear.h: sources of rows, and how they are multiplied. */
#include "src/engine/linear.h"

#include <string.h>

double prism_normalise(const struct prism_kernels *k, const struct prism_norm *norm, float *y, const float *x, size_t n)
{
    double squares = 0;

    switch (norm->kind) {
    case PRISM_NORM_RMS:
        squares = k->rms_norm(y, x, norm->weight, n, norm->eps);
        if (norm->bias)
            k->add(y, norm->bias, n);
        return squares;
    case PRISM_NORM_LAYER:
        return k->layer_norm(y, x, norm->weight, norm->bias, n, norm->eps);
    case PRISM_NORM_NONE:
        break;
    }
    for (size_t i = 0; i < n; i++)
        squares += (double)x[i] * x[i];
    memmove(y, x, n * sizeof *y);
    return squares;
}

void prism_norm_rows(struct prism_context *c, void *arg, size_t row, size_t n_rows, float *out)
{
    const struct prism_norm_rows *s = arg;
    size_t n = c->model->n_embd;

    for (size_t r = 0; r < n_rows; r++)
        if (!prism_is_tame(prism_normalise(c->kernels, s->norm, out + r * n, s->x + (row + r) * n, n)))
            prism_note_fault(c, s->fault, s->pos + row + r, 0);
}

bool prism_products(struct prism_context *c, const struct prism_rows *rows, size_t n_rows, size_t k, const struct prism_product *p,
                    size_t n)
{
    return prism_is_stored(rows->way, n_rows, p[0].kind) ? prism_products_stored(c, rows, n_rows, k, p, n)
                                                         : prism_products_packed(c, rows, n_rows, k, p, n);
}
