/* embed.c - embeddings of tokens: the ordinary one, and what layers add of their own behind their halves (layer.h). The latter are not kept for a
 * whole prompt, which would be as many values per token as the layers have widths: each layer makes its own from the token again. */
#include "src/engine/layer.h"

#include <math.h>

#include "src/base/size.h"

enum { MIX_ROWS = 16 };

void prism_embed(const struct prism_context *c, int32_t token, float *out)
{
    const struct prism_matrix *e = &c->model->tok_embd;

    c->kernels->to_f32[e->type](out, e->data + (size_t)token * e->row_bytes, e->k);
    if (c->model->embd_scale != 1)
        c->kernels->scale(out, c->model->embd_scale, e->k);
}

struct embd_call {
    struct prism_context *c;
    const struct prism_layer *l;
    const int32_t *tokens; /* of n rows of x, the first at position pos */
    float *x;
    size_t n, pos;
};

static void embed_rows(struct prism_context *c, void *arg, size_t row, size_t n_rows, float *out)
{
    const struct embd_call *e = arg;

    for (size_t r = 0; r < n_rows; r++)
        prism_embed(c, e->tokens[row + r], out + r * c->model->n_embd);
}

/* Rows of c->y hold from_embd . embd, then gate . x, which becomes what `out` is multiplied with. */
static void mix_job(void *arg, size_t job, uint32_t thread)
{
    const struct embd_call *e = arg;
    const struct prism_layer_embd *s = &e->l->embd;
    struct prism_context *c = e->c;
    const struct prism_matrix *table = &c->model->layer_embd;
    float *part = prism_thread_scratch(c, thread);

    for (size_t r = job * MIX_ROWS, end = min_size(r + MIX_ROWS, e->n); r < end; r++) {
        float *own = c->y + r * c->y_width, *gate = own + s->width;
        c->kernels->scale(own, 1 / sqrtf((float)c->model->n_embd), s->width);
        double squares = prism_normalise(c->kernels, &s->norm, own, own, s->width);
        c->kernels->to_f32[table->type](part, table->data + (size_t)e->tokens[r] * table->row_bytes + s->part_offset, s->width);
        c->kernels->add_scaled(own, sqrtf((float)s->width), part, s->width);
        c->kernels->scale(own, (float)M_SQRT1_2, s->width);
        if (!prism_is_tame(squares) || !prism_is_finite(own, s->width))
            prism_note_fault(c, PRISM_FAULT_EMBD, e->pos + r, 0);
        c->kernels->gate[PRISM_GATE_GEGLU](gate, own, s->width);
    }
}

static bool add_embd(struct embd_call *e)
{
    struct prism_context *c = e->c;
    const struct prism_layer_embd *s = &e->l->embd;
    size_t n_embd = c->model->n_embd;
    struct prism_product own = { .m = s->from_embd, .kind = prism_coarse(c, &s->from_embd), .y = c->y, .ldy = c->y_width };
    struct prism_product gate = { .m = s->gate, .kind = prism_coarse(c, &s->gate), .y = c->y + s->width, .ldy = c->y_width };
    struct prism_product out = { .m = s->out, .kind = prism_fine(c, &s->out, &s->gate), .y = c->half, .ldy = n_embd };

    return prism_products(c, &(struct prism_rows){ .fn = embed_rows, .arg = e }, e->n, n_embd, &own, 1) &&
           prism_products(c, &(struct prism_rows){ .x = e->x, .ldx = n_embd }, e->n, n_embd, &gate, 1) &&
           prism_context_run(c, PRISM_PHASE_OTHER, div_up(e->n, MIX_ROWS), 0, mix_job, e) &&
           prism_products(c, &(struct prism_rows){ .x = c->y + s->width, .ldx = c->y_width }, e->n, s->width, &out, 1) &&
           prism_add_normalised(c, &s->post_norm, 1, e->x, e->n, e->pos, PRISM_FAULT_EMBD);
}

static void scale_job(void *arg, size_t job, uint32_t thread)
{
    const struct embd_call *e = arg;
    size_t n_embd = e->c->model->n_embd, row = job * MIX_ROWS;

    (void)thread;
    e->c->kernels->scale(e->x + row * n_embd, e->l->out_scale, min_size(MIX_ROWS, e->n - row) * n_embd);
}

bool prism_layer_end(struct prism_context *c, size_t index, size_t pos, size_t first, size_t end)
{
    const struct prism_layer *l = &c->model->layers[index];
    struct embd_call e = { .c = c, .l = l };

    for (size_t row = first; (l->embd.width || l->out_scale != 1) && row < end; row += e.n) {
        e.n = prism_slab_rows(c, end - row);
        e.pos = pos + row;
        e.tokens = c->tokens + e.pos;
        e.x = c->x + row * c->model->n_embd;
        if ((l->embd.width && !add_embd(&e)) ||
            (l->out_scale != 1 && !prism_context_run(c, PRISM_PHASE_OTHER, div_up(e.n, MIX_ROWS), 0, scale_job, &e)))
            return false;
    }
    return true;
}
