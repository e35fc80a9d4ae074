/* parts.c - parts of layers that architectures share (build.h): which tensors, in which shapes. Names: architectures.md 1.3, 2.1. */
#include "src/model/build.h"

#include <stdio.h>

static struct prism_norm make_norm(const struct prism_builder *b, const float *weight, const float *bias)
{
    return (struct prism_norm){ b->m->arch->layer_norm ? PRISM_NORM_LAYER : PRISM_NORM_RMS, weight, bias, b->m->hp.rms_eps };
}

void prism_part_norm(struct prism_builder *b, struct prism_norm *norm, const char *name)
{
    char full[PRISM_GGUF_NAME];

    snprintf(full, sizeof full, "%s.weight", name);
    const float *weight = prism_tensor_vector(b, full, b->m->n_embd, REQUIRED);
    snprintf(full, sizeof full, "%s.bias", name);
    bool biased = b->m->arch->layer_norm || b->m->arch->norm_bias;
    *norm = make_norm(b, weight, biased ? prism_tensor_vector(b, full, b->m->n_embd, OPTIONAL) : NULL);
}

static bool has_own_kv(const struct prism_builder *b, const struct prism_attn_spec *a) { return a->kv_layer == (uint32_t)b->layer; }

/* q, k, v as three matrices or as slices of one, in this order. */
static void bind_qkv(struct prism_builder *b, struct prism_attn_spec *a, unsigned flags)
{
    bool biased = flags & PRISM_QKV_BIAS;
    enum need keys = has_own_kv(b, a) ? REQUIRED : OPTIONAL;
    size_t n_embd = b->m->n_embd, nq = (size_t)a->n_head * a->head_dim * (a->gated ? 2 : 1), nkv = (size_t)a->n_head_kv * a->head_dim;

    if (prism_tensor_is_there(b, "attn_qkv.weight")) {
        struct prism_matrix qkv = { 0 };
        prism_tensor_matrix(b, &qkv, "attn_qkv.weight", n_embd, nq + 2 * nkv, REQUIRED);
        const float *bias = prism_tensor_vector(b, "attn_qkv.bias", nq + 2 * nkv, biased ? REQUIRED : OPTIONAL);
        if (b->status)
            return;
        a->q = prism_matrix_rows(&qkv, 0, nq);
        a->k = prism_matrix_rows(&qkv, nq, nkv);
        a->v = prism_matrix_rows(&qkv, nq + nkv, nkv);
        a->q_bias = bias;
        a->k_bias = bias ? bias + nq : NULL;
        a->v_bias = bias ? bias + nq + nkv : NULL;
        return;
    }
    prism_tensor_matrix(b, &a->q, "attn_q.weight", n_embd, nq, REQUIRED);
    prism_tensor_matrix(b, &a->k, "attn_k.weight", n_embd, nkv, keys);
    prism_tensor_matrix(b, &a->v, "attn_v.weight", n_embd, nkv, flags & PRISM_V_IS_K ? OPTIONAL : keys);
    /* all three or none: one alone is a damaged file */
    bool any = prism_tensor_is_there(b, "attn_q.bias") || prism_tensor_is_there(b, "attn_k.bias") || prism_tensor_is_there(b, "attn_v.bias");
    enum need need = biased || any ? REQUIRED : OPTIONAL;
    a->q_bias = prism_tensor_vector(b, "attn_q.bias", nq, need);
    a->k_bias = prism_tensor_vector(b, "attn_k.bias", nkv, need);
    a->v_bias = prism_tensor_vector(b, "attn_v.bias", nkv, need);
}

static void head_norm(struct prism_builder *b, struct prism_norm *norm, const char *name, const struct prism_attn_spec *a, size_t heads,
                      enum need need)
{
    bool each = a->norms == PRISM_NORM_EACH;
    size_t n = a->norms == PRISM_NORM_ALL ? heads * a->head_dim : a->head_dim;
    *norm = make_norm(b, prism_tensor_table(b, name, n, each ? heads : 1, need), NULL);
}

void prism_part_attention(struct prism_builder *b, struct prism_attn_spec *a, unsigned flags)
{
    bind_qkv(b, a, flags);
    if (flags & PRISM_QK_NORM) {
        head_norm(b, &a->q_norm, "attn_q_norm.weight", a, a->n_head, REQUIRED);
        head_norm(b, &a->k_norm, "attn_k_norm.weight", a, a->n_head_kv, has_own_kv(b, a) ? REQUIRED : OPTIONAL);
    }
    prism_tensor_matrix(b, &a->o, "attn_output.weight", (size_t)a->n_head * a->head_dim, b->m->n_embd, REQUIRED);
    a->o_bias = prism_tensor_vector(b, "attn_output.bias", b->m->n_embd, OPTIONAL);
}

void prism_part_ffn(struct prism_builder *b, struct prism_ffn *f)
{
    f->width = f->stride = b->n_ff;
    prism_tensor_matrix(b, &f->gate, "ffn_gate.weight", b->m->n_embd, f->width, REQUIRED);
    prism_tensor_matrix(b, &f->up, "ffn_up.weight", b->m->n_embd, f->width, REQUIRED);
    prism_tensor_matrix(b, &f->down, "ffn_down.weight", f->width, b->m->n_embd, REQUIRED);
    f->gate_bias = prism_tensor_vector(b, "ffn_gate.bias", f->width, OPTIONAL);
    f->up_bias = prism_tensor_vector(b, "ffn_up.bias", f->width, OPTIONAL);
    f->down_bias = prism_tensor_vector(b, "ffn_down.bias", b->m->n_embd, OPTIONAL);
}

void prism_part_plain_ffn(struct prism_builder *b, struct prism_ffn *f, enum prism_act act)
{
    f->width = f->stride = b->n_ff;
    f->plain_act = act;
    prism_tensor_matrix(b, &f->up, "ffn_up.weight", b->m->n_embd, f->width, REQUIRED);
    prism_tensor_matrix(b, &f->down, "ffn_down.weight", f->width, b->m->n_embd, REQUIRED);
    f->up_bias = prism_tensor_vector(b, "ffn_up.bias", f->width, OPTIONAL);
    f->down_bias = prism_tensor_vector(b, "ffn_down.bias", b->m->n_embd, OPTIONAL);
}

void prism_part_fused_ffn(struct prism_builder *b, struct prism_ffn *f)
{
    struct prism_matrix both = { 0 };

    f->width = f->stride = b->n_ff;
    prism_tensor_matrix(b, &both, "ffn_up.weight", b->m->n_embd, 2 * f->width, REQUIRED);
    prism_tensor_matrix(b, &f->down, "ffn_down.weight", f->width, b->m->n_embd, REQUIRED);
    if (b->status)
        return;
    f->gate = prism_matrix_rows(&both, 0, f->width);
    f->up = prism_matrix_rows(&both, f->width, f->width);
}

void prism_part_shared(struct prism_builder *b, struct prism_ffn *f, size_t width)
{
    f->width = f->stride = width;
    prism_tensor_matrix(b, &f->gate, "ffn_gate_shexp.weight", b->m->n_embd, width, REQUIRED);
    prism_tensor_matrix(b, &f->up, "ffn_up_shexp.weight", b->m->n_embd, width, REQUIRED);
    prism_tensor_matrix(b, &f->down, "ffn_down_shexp.weight", width, b->m->n_embd, REQUIRED);
}

/* Gate and up as two tensors, or as one whose slab of an expert holds the gate's rows, then up's. */
static void expert_gates(struct prism_builder *b, struct prism_ffn *f, size_t n)
{
    struct prism_matrix both = { 0 };

    f->stride = f->width;
    if (prism_tensor_is_there(b, "ffn_gate.0.weight")) {
        prism_tensor_unsupported(b, "ffn_gate.0.weight", "a tensor for each expert is unsupported: convert the model anew");
        return;
    }
    if (!prism_tensor_is_there(b, "ffn_gate_up_exps.weight")) {
        prism_tensor_slabs(b, &f->gate, "ffn_gate_exps.weight", b->m->n_embd, f->width, n, REQUIRED);
        prism_tensor_slabs(b, &f->up, "ffn_up_exps.weight", b->m->n_embd, f->width, n, REQUIRED);
        return;
    }
    prism_tensor_slabs(b, &both, "ffn_gate_up_exps.weight", b->m->n_embd, 2 * f->width, n, REQUIRED);
    if (b->status)
        return;
    f->stride = 2 * f->width;
    f->gate = both;
    f->up = prism_matrix_rows(&both, f->width, both.rows - f->width);
}

void prism_part_experts(struct prism_builder *b, struct prism_experts *e)
{
    struct prism_ffn *f = &e->each;
    size_t n_embd = b->m->n_embd;

    f->width = b->n_ff_expert;
    prism_tensor_matrix(b, &e->router, "ffn_gate_inp.weight", n_embd, e->n, REQUIRED);
    e->router_bias = prism_tensor_vector(b, "ffn_gate_inp.bias", e->n, OPTIONAL);
    expert_gates(b, f, e->n);
    prism_tensor_slabs(b, &f->down, "ffn_down_exps.weight", f->width, n_embd, e->n, REQUIRED);
    f->gate_bias = prism_tensor_table(b, "ffn_gate_exps.bias", f->width, e->n, OPTIONAL);
    f->up_bias = prism_tensor_table(b, "ffn_up_exps.bias", f->width, e->n, OPTIONAL);
    f->down_bias = prism_tensor_table(b, "ffn_down_exps.bias", n_embd, e->n, OPTIONAL);
}

void prism_part_experts_or_dense(struct prism_builder *b, struct prism_layer *l, uint32_t index, enum need choice_bias)
{
    if (index >= b->n_leading_dense) {
        prism_part_experts(b, &l->ffn.experts);
        l->ffn.experts.choice_bias = prism_tensor_vector(b, "exp_probs_b.bias", l->ffn.experts.n, choice_bias);
        return;
    }
    l->ffn.experts = (struct prism_experts){ 0 };
    prism_part_ffn(b, &l->ffn.dense);
}

void prism_part_llama(struct prism_builder *b, struct prism_layer *l, unsigned flags)
{
    prism_part_norm(b, &l->attn_norm, "attn_norm");
    prism_part_attention(b, &l->attn, flags);
    prism_part_norm(b, &l->ffn_norm, "ffn_norm");
    if (l->ffn.experts.n > 0)
        prism_part_experts(b, &l->ffn.experts);
    else
        prism_part_ffn(b, &l->ffn.dense);
}
