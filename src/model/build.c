/* build.c - a network from its file: the metadata, the tensors around the layers, then layer by layer what the architecture says. */
#include "src/model/load.h"

#include <stdlib.h>
#include <string.h>

static void bind_divisors(struct prism_builder *b)
{
    struct prism_rope_params *r = &b->ropes[0];

    if (strcmp(r->scaling, "longrope") == 0) {
        r->divisors = prism_tensor_vector(b, "rope_factors_long.weight", r->n_rot / 2, REQUIRED);
        r->divisors_short = prism_tensor_vector(b, "rope_factors_short.weight", r->n_rot / 2, REQUIRED);
    } else {
        r->divisors = prism_tensor_vector(b, "rope_freqs.weight", r->n_rot / 2, OPTIONAL);
    }
}

static void bind_top(struct prism_builder *b)
{
    struct prism_model *m = b->m;
    const struct prism_gguf_tensor *embd = prism_gguf_tensor_find(b->g, "token_embd.weight");

    if (embd && embd->ne[1] > INT32_MAX && !b->status)
        b->status = prism_fail(b->err, PRISM_E_UNSUPPORTED, "%s: tensor %s: rows: expected at most 2^31-1, found %llu", b->shown, embd->name,
                               (unsigned long long)embd->ne[1]);
    m->n_vocab = embd ? (uint32_t)embd->ne[1] : 0;
    prism_tensor_matrix(b, &m->tok_embd, "token_embd.weight", m->n_embd, m->n_vocab, REQUIRED);
    prism_tensor_matrix(b, &m->output, "output.weight", m->n_embd, m->n_vocab, OPTIONAL);
    if (!m->output.data)
        m->output = m->tok_embd; /* tied */
    prism_part_norm(b, &m->output_norm, "output_norm");
    m->output_bias = prism_tensor_vector(b, "output.bias", m->n_vocab, OPTIONAL);
    bind_divisors(b);
    if (m->arch->top)
        m->arch->top(b);
}

static void build_layers(struct prism_builder *b)
{
    struct prism_model *m = b->m;

    for (uint32_t i = 0; !b->status && i < m->n_layer; i++) {
        b->layer = (int)i;
        m->layers[i] = b->common;
        m->layers[i].attn.window = b->in_window[i] ? b->window : 0;
        m->layers[i].attn.kv_layer = i;
        m->layers[i].attn.n_head_kv = b->each_n_head_kv[i];
        b->n_ff = b->each_n_ff[i];
        if (m->arch->layer)
            m->arch->layer(b, &m->layers[i], i);
        else
            prism_part_llama(b, &m->layers[i], m->arch->parts);
    }
}

/* The first layer's that has a window, or has none; if there is no such layer the first one's. */
static const struct prism_attn_spec *heads_of(const struct prism_builder *b, bool window)
{
    for (uint32_t i = 0; i < b->m->n_layer; i++)
        if (b->m->layers[i].attn.n_head > 0 && (b->m->layers[i].attn.window > 0) == window)
            return &b->m->layers[i].attn;
    return &b->m->layers[0].attn;
}

static void note_facts(struct prism_builder *b)
{
    struct prism_hparams *hp = &b->m->hp;
    const struct prism_attn_spec *full = heads_of(b, false), *window = heads_of(b, true);

    hp->n_head = full->n_head, hp->n_head_kv = full->n_head_kv, hp->head_dim = full->head_dim;
    hp->n_head_kv_window = window->n_head_kv, hp->head_dim_window = window->head_dim, hp->n_shared_kv = b->n_shared_kv;
    hp->n_rot = b->ropes[0].n_rot, hp->rope_base = b->ropes[0].base, hp->rope_scaling = b->ropes[0].scaling;
    hp->rope_base_window = b->m->n_ropes > 1 ? b->ropes[1].base : hp->rope_base;
    hp->n_ff_shared = b->n_ff_shared;
}

enum prism_status prism_build(struct prism_model *m, struct prism_error *err)
{
    struct prism_builder *b = calloc(1, sizeof *b);

    if (!b)
        return prism_fail(err, PRISM_E_NOMEM, "%s: out of memory", m->gguf->path);
    b->m = m, b->g = m->gguf, b->shown = m->gguf->path, b->err = err, b->layer = -1;
    b->key_used = calloc((size_t)b->g->n_kv + 1, sizeof *b->key_used);
    b->tensor_used = calloc((size_t)b->g->n_tensors + 1, sizeof *b->tensor_used);
    if (b->key_used && b->tensor_used)
        prism_common_keys(b);
    if (!b->status && b->key_used && b->tensor_used)
        m->layers = calloc(m->n_layer, sizeof *m->layers);
    if (!b->status && !m->layers)
        b->status = prism_fail(err, PRISM_E_NOMEM, "%s: out of memory", b->shown);
    if (!b->status) {
        prism_check_unread_keys(b);
        bind_top(b);
        build_layers(b);
    }
    if (!b->status) {
        prism_check_unread_tensors(b);
        prism_rope_setup(b);
        note_facts(b);
    }
    enum prism_status status = b->status;
    free(b->key_used);
    free(b->tensor_used);
    free(b);
    return status;
}
