/* layer.c - see layer.h. The order of operations is that of formats-and-peers.md 1.5: norm, q/k/v, head norms, RoPE, attention,
 * output projection, norm, FFN, each half added to the residual stream. */
#include "src/engine/layer.h"

#include "src/attention/attention.h"
#include "src/engine/delta.h"

bool prism_layer_run(struct prism_context *c, size_t index, struct prism_span span, size_t first_needed)
{
    bool parallel = c->model->layers[index].parallel;

    c->running_layer = index;
    if (prism_is_delta(&c->model->layers[index]))
        return prism_layer_delta(c, index, span, first_needed) && prism_layer_halves(c, index, span.pos, first_needed, span.n, PRISM_FFN);
    prism_kv_enter(c, index, span.pos, span.n);
    if (!prism_layer_qkv(c, index, span))
        return false;
    /* x is what entered, and attention needs it no more */
    if (parallel && !prism_layer_halves(c, index, span.pos, first_needed, span.n, PRISM_FFN))
        return false;
    if (!prism_layer_attend(c, index, span, first_needed))
        return false;
    prism_kv_leave(c, index, span.pos, span.n);
    return prism_layer_halves(c, index, span.pos, first_needed, span.n, parallel ? PRISM_ATTENTION : PRISM_BOTH_HALVES) &&
           prism_layer_end(c, index, span.pos, first_needed, span.n);
}

static double ffn_work(const struct prism_model *m, const struct prism_ffn *f)
{
    return (f->gate.data ? 6.0 : 4.0) * (double)m->n_embd * (double)f->width;
}

double prism_layers_work(const struct prism_context *c, size_t n_layers, struct prism_span span, size_t first_needed)
{
    const struct prism_model *m = c->model;
    double work = 0;

    for (size_t i = 0; i < n_layers; i++) {
        const struct prism_layer *l = &m->layers[i];
        const struct prism_experts *e = &l->ffn.experts;
        double all = (double)span.n, out = i + 1 == n_layers ? (double)(span.n - first_needed) : all;
        work += out * (ffn_work(m, &l->ffn.dense) + 2 * (double)m->n_embd * e->n + e->n_used * ffn_work(m, &e->each));
        if (prism_is_delta(l)) {
            work += prism_delta_work(c, l, all, out);
            continue;
        }
        work += 2 * all * (double)m->n_embd * (double)(l->attn.q.rows + l->attn.k.rows + l->attn.v.rows);
        work += out * (2 * (double)l->attn.o.k * (double)m->n_embd + 6 * (double)m->n_embd * (double)l->embd.width);
        work += 4 * prism_keys_seen(l->attn.window, l->attn.chunked, (double)(span.pos + span.n) - out, out) * (double)l->attn.head_dim *
                (double)l->attn.n_head;
    }
    return work;
}
