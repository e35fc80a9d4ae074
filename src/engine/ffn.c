/* ffn.c - the second half of a layer, and the output projection before it (layer.h). */
#include "src/engine/layer.h"

#include <string.h>

#include "src/base/size.h"

/* ---- what a half adds to the residual stream ---- */

struct post_norm_job {
    struct prism_context *c;
    const struct prism_norm *norm;
    float *x;              /* [n][n_embd] */
    size_t n, pos;
    float factor;
    enum prism_fault fault;
};

enum { POST_ROWS = 16 };

/* x += factor * norm(c->half) */
static void post_norm_job(void *arg, size_t job, uint32_t thread)
{
    const struct post_norm_job *j = arg;
    struct prism_context *c = j->c;
    size_t n_embd = c->model->n_embd, end = min_size((job + 1) * POST_ROWS, j->n);

    (void)thread;
    for (size_t r = job * POST_ROWS; r < end; r++) {
        float *half = c->half + r * n_embd;
        if (!prism_is_tame(prism_normalise(c->kernels, j->norm, half, half, n_embd)))
            prism_note_fault(c, j->fault, j->pos + r, 0);
        if (j->factor == 1)
            c->kernels->add(j->x + r * n_embd, half, n_embd);
        else
            c->kernels->add_scaled(j->x + r * n_embd, j->factor, half, n_embd);
    }
}

bool prism_add_normalised(struct prism_context *c, const struct prism_norm *norm, float factor, float *x, size_t n, size_t pos, enum prism_fault fault)
{
    struct post_norm_job j = { c, norm, x, n, pos, factor, fault };
    return prism_context_run(c, PRISM_PHASE_OTHER, div_up(n, POST_ROWS), 0, post_norm_job, &j);
}

/* Without a norm the products have added to x themselves. */
static bool add_what_waits(struct prism_context *c, const struct prism_norm *norm, float factor, float *x, size_t n, size_t pos,
                           enum prism_fault fault)
{
    return norm->kind == PRISM_NORM_NONE || prism_add_normalised(c, norm, factor, x, n, pos, fault);
}

/* A product that ends a half: added to x as it comes, or left in `made` for the norm. A bias that need not wait for its factor is there before. */
static struct prism_product last_product(const struct prism_context *c, const struct prism_matrix *m, const struct prism_linear *kind,
                                         const float *bias, const struct prism_ffn_rows *f)
{
    size_t n_embd = c->model->n_embd;
    struct prism_product p = { .m = *m, .kind = kind, .bias = bias, .y = f->made ? f->made : f->x, .ldy = n_embd, .add = !f->made,
                               .factor = f->factor, .weight = f->weight };

    if (bias && p.add && !prism_is_scattered(&p)) {
        for (size_t r = 0; r < f->n; r++)
            c->kernels->add(f->x + r * n_embd, bias, n_embd);
        p.bias = NULL;
    }
    return p;
}

/* ---- dense ---- */

bool prism_run_ffn(struct prism_context *c, const struct prism_ffn_rows *f)
{
    const struct prism_ffn *ffn = f->ffn;
    size_t n_embd = c->model->n_embd;
    struct prism_product gated = { .m = ffn->gate, .up = ffn->up, .kind = prism_coarse(c, &ffn->gate), .act = ffn->act,
                                   .bias = ffn->gate_bias, .up_bias = ffn->up_bias, .y = c->y, .ldy = c->y_width };
    struct prism_product plain = { .m = ffn->up, .kind = prism_coarse(c, &ffn->up), .activated = true, .plain_act = ffn->plain_act,
                                   .bias = ffn->up_bias, .y = c->y, .ldy = c->y_width };
    struct prism_product *first = ffn->gate.data ? &gated : &plain;
    struct prism_rows activated = { .x = c->y, .ldx = c->y_width };

    first->next = prism_next_kind(c, f->source->way, f->n, n_embd, first, 1, prism_fine(c, &ffn->down, &ffn->up));
    activated.panels = first->next ? (uint8_t *)c->y : NULL;
    if (!prism_products(c, f->source, f->n, n_embd, first, 1))
        return false;
    struct prism_product down = last_product(c, &ffn->down, prism_fine(c, &ffn->down, &ffn->up), ffn->down_bias, f);
    return prism_products(c, &activated, f->n, ffn->width, &down, 1);
}

bool prism_add_half(struct prism_context *c, const struct prism_layer *l, const struct prism_half *half, size_t row, size_t n, size_t pos)
{
    float *x = c->x + row * c->model->n_embd;
    struct prism_ffn_rows into = { .n = n, .x = x, .factor = l->residual_scale, .made = l->attn_post_norm.kind ? c->half : NULL };
    struct prism_product o = last_product(c, half->m, prism_coarse(c, half->m), half->bias, &into);

    return prism_products(c, half->rows, n, half->m->k, &o, 1) &&
           add_what_waits(c, &l->attn_post_norm, l->residual_scale, x, n, pos, PRISM_FAULT_ATTENTION);
}

/* Rows of a slab, and of all heads together. */
struct gated_slab {
    const float *gates, *made; /* [n][width]; made: the output of attention */
    size_t width;
};

/* made * sigmoid(gates) */
static void gated_rows(struct prism_context *c, void *arg, size_t row, size_t n_rows, float *out)
{
    const struct gated_slab *s = arg;

    memcpy(out, s->gates + row * s->width, n_rows * s->width * sizeof *out);
    c->kernels->gate[PRISM_GATE_SIGMOID](out, s->made + row * s->width, n_rows * s->width);
}

/* Gates of n rows from row `row` of the call on, into c->y: x still is what entered the layer. */
static bool make_gates(struct prism_context *c, const struct prism_layer *l, size_t pos, size_t row, size_t n)
{
    struct prism_norm_rows source = { c->x + row * c->model->n_embd, &l->attn_norm, pos + row, PRISM_FAULT_INPUT };
    struct prism_product p[PRISM_MAX_QUERY_PRODUCTS];
    size_t n_products = prism_query_products(c, &l->attn, PRISM_GATES, c->y, p);

    return prism_products(c, &(struct prism_rows){ .fn = prism_norm_rows, .arg = &source }, n, c->model->n_embd, p, n_products);
}

/* Rows [row, row + n) of the call. */
static bool output_projection(struct prism_context *c, const struct prism_layer *l, size_t pos, size_t row, size_t n)
{
    const struct prism_attn_spec *a = &l->attn;
    struct prism_rows rows = { .x = c->q + row * a->o.k, .ldx = a->o.k };
    struct gated_slab gated = { c->y, c->q + row * a->o.k, a->o.k };

    if (a->gated) {
        if (!make_gates(c, l, pos, row, n))
            return false;
        rows = (struct prism_rows){ .fn = gated_rows, .arg = &gated };
    }
    return prism_add_half(c, l, &(struct prism_half){ &a->o, a->o_bias, &rows }, row, n, pos + row);
}

static bool dense_ffn(struct prism_context *c, const struct prism_layer *l, size_t pos, size_t row, size_t n)
{
    float *x = c->x + row * c->model->n_embd;
    struct prism_norm_rows source = { x, &l->ffn_norm, pos + row, PRISM_FAULT_ATTENTION };
    struct prism_ffn_rows f = { .ffn = &l->ffn.dense, .source = &(struct prism_rows){ .fn = prism_norm_rows, .arg = &source }, .n = n, .x = x,
                                .factor = l->residual_scale, .made = l->ffn_post_norm.kind ? c->half : NULL };

    return prism_run_ffn(c, &f) && add_what_waits(c, &l->ffn_post_norm, l->residual_scale, x, n, pos + row, PRISM_FAULT_FFN);
}

bool prism_layer_halves(struct prism_context *c, size_t index, size_t pos, size_t first, size_t end, enum prism_halves halves)
{
    const struct prism_layer *l = &c->model->layers[index];
    bool attention = halves != PRISM_FFN && !prism_is_delta(l), experts = halves != PRISM_ATTENTION && l->ffn.experts.n > 0;
    bool dense = halves != PRISM_ATTENTION && !experts;

    for (size_t row = first, n; (attention || dense) && row < end; row += n) {
        n = prism_slab_rows(c, end - row);
        if ((attention && !output_projection(c, l, pos, row, n)) || (dense && !dense_ffn(c, l, pos, row, n)))
            return false;
    }
    return !experts || prism_layer_experts(c, index, pos, first, end);
}
