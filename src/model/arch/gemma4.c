/* gemma4.c - gemma4: layers with a window and full ones have heads of their own sizes, the last layers read the keys and values of earlier ones,
 * values may be keys, each layer may add an embedding of its own, experts stand beside the dense FFN. Norms' weights are as they are. */
#include "src/model/arch/arch.h"

#include <math.h>

/* The number of layers with keys and values of their own: those behind them read the last such layer's, those with a window that of the layer
 * before it. */
static uint32_t own_layers(const struct prism_builder *b) { return b->m->n_layer - b->n_shared_kv; }

static uint32_t kv_layer(const struct prism_builder *b, uint32_t index)
{
    return index < own_layers(b) ? index : own_layers(b) - (b->in_window[index] ? 2 : 1);
}

static void shared_kv_keys(struct prism_builder *b)
{
    prism_key_u32(b, "attention.shared_kv_layers", OPTIONAL, 0, b->m->n_layer - 1, &b->n_shared_kv);
    for (uint32_t i = own_layers(b), own = i; !b->status && i < b->m->n_layer; i++) {
        bool window = b->in_window[i], found = own >= 2 && !b->in_window[own - 1] && b->in_window[kv_layer(b, i)] == window;
        if (!found || b->each_n_head_kv[i] != b->each_n_head_kv[kv_layer(b, i)])
            prism_key_unsupported(b, window ? "a shared layer with a window has no layer like it two before the first of them"
                                            : "a shared layer without a window has no layer like it before the first of them");
    }
}

static void window_keys(struct prism_builder *b)
{
    const char *pattern = "attention.sliding_window_pattern";
    uint32_t none = 0;

    if (!prism_key_is_there(b, pattern))
        prism_key_u32(b, pattern, REQUIRED, 0, UINT32_MAX, &none);
    prism_window_keys(b, REQUIRED, 0, 1);
    b->window_head_dim = b->common.attn.head_dim;
    prism_key_head_size(b, "attention.key_length_swa", "attention.value_length_swa", REQUIRED, &b->window_head_dim);
    prism_window_rope(b, 10000);
    prism_key_n_rot(b, "rope.dimension_count_swa", b->window_head_dim, &b->ropes[1].n_rot);
    prism_key_between(b, "rope.freq_base_swa", OPTIONAL, 1, 1e15, &b->ropes[1].base);
}

static void keys(struct prism_builder *b)
{
    struct prism_ffn_spec *f = &b->common.ffn;
    uint32_t full = b->common.attn.head_dim, width = 0;
    double cap;

    b->m->embd_scale = sqrtf((float)b->m->n_embd);
    b->common.attn.scale = 1;
    prism_key_head_size(b, "attention.key_length", "attention.value_length", REQUIRED, &full);
    window_keys(b);
    if (!b->status)
        shared_kv_keys(b);
    prism_key_u32(b, "embedding_length_per_layer_input", REQUIRED, 0, 1u << 16, &width);
    b->common.embd.width = width;
    if (prism_key_unless_zero(b, "final_logit_softcapping", PRISM_MIN_MULTIPLIER, PRISM_MAX_MULTIPLIER, 30, &cap))
        cap = 0;
    b->m->logit_softcap = (float)cap;
    prism_expert_keys(b, OPTIONAL, 0);
    f->experts.normalise = true;
    f->dense.act = f->experts.each.act = PRISM_GATE_GEGLU;
}

static void top(struct prism_builder *b)
{
    struct prism_model *m = b->m;
    size_t width = b->common.embd.width, all = width * m->n_layer;

    prism_tensor_vector(b, "rope_freqs.weight", b->ropes[0].n_rot / 2, REQUIRED);
    if (width == 0)
        return;
    prism_tensor_matrix(b, &m->layer_embd, "per_layer_token_embd.weight", all, m->n_vocab, REQUIRED);
    prism_tensor_matrix(b, &b->embd_proj, "per_layer_model_proj.weight", m->n_embd, all, REQUIRED);
    const float *weight = prism_tensor_vector(b, "per_layer_proj_norm.weight", width, REQUIRED);
    b->common.embd.norm = (struct prism_norm){ PRISM_NORM_RMS, weight, NULL, m->hp.rms_eps };
    if (!b->status && width % prism_types[m->layer_embd.type].block)
        prism_tensor_unsupported(b, "per_layer_token_embd.weight", "a layer's values are no whole blocks of the type");
}

static void embedding(struct prism_builder *b, struct prism_layer_embd *e, uint32_t index)
{
    size_t n_embd = b->m->n_embd;

    if (e->width == 0 || b->status)
        return;
    e->part_offset = index * prism_row_bytes(b->m->layer_embd.type, e->width);
    e->from_embd = prism_matrix_rows(&b->embd_proj, index * e->width, e->width);
    prism_tensor_matrix(b, &e->gate, "inp_gate.weight", n_embd, e->width, REQUIRED);
    prism_tensor_matrix(b, &e->out, "proj.weight", e->width, n_embd, REQUIRED);
    prism_part_norm(b, &e->post_norm, "post_norm");
}

/* The router reads what enters, normalised without weights, divided by sqrt(n_embd) and multiplied by a vector: a norm with weights. */
static void experts(struct prism_builder *b, struct prism_ffn_spec *f)
{
    struct prism_experts *e = &f->experts;
    size_t n_embd = b->m->n_embd;

    prism_part_experts(b, e);
    if (!e->each.down.scale) /* of NVFP4 they are a part of its products */
        e->each_scale = prism_tensor_vector(b, "ffn_down_exps.scale", e->n, OPTIONAL);
    prism_part_norm(b, &e->norm, "pre_ffw_norm_2");
    e->router_norm = e->norm;
    e->router_norm.weight = prism_tensor_scaled(b, "ffn_gate_inp.scale", n_embd, 1 / sqrtf((float)n_embd));
    prism_part_norm(b, &f->dense_post_norm, "post_ffw_norm_1");
    prism_part_norm(b, &e->post_norm, "post_ffw_norm_2");
}

static void layer(struct prism_builder *b, struct prism_layer *l, uint32_t index)
{
    struct prism_attn_spec *a = &l->attn;

    a->kv_layer = kv_layer(b, index);
    if (b->in_window[index])
        a->rope = 1, a->head_dim = b->window_head_dim;
    a->v_norm = (struct prism_norm){ PRISM_NORM_RMS, NULL, NULL, b->m->hp.rms_eps };
    prism_part_norm(b, &l->attn_norm, "attn_norm");
    prism_part_attention(b, a, PRISM_QK_NORM | PRISM_V_IS_K);
    prism_part_norm(b, &l->attn_post_norm, "post_attention_norm");
    prism_part_norm(b, &l->ffn_norm, "ffn_norm");
    prism_part_ffn(b, &l->ffn.dense);
    if (l->ffn.experts.n > 0 && prism_tensor_is_there(b, "ffn_gate_inp.weight"))
        experts(b, &l->ffn);
    else
        l->ffn.experts = (struct prism_experts){ 0 };
    prism_part_norm(b, &l->ffn_post_norm, "post_ffw_norm");
    embedding(b, &l->embd, index);
    const float *scale = prism_tensor_vector(b, "layer_output_scale.weight", 1, OPTIONAL);
    l->out_scale = scale ? *scale : 1;
}

const struct prism_arch prism_arch_gemma4 = { .name = "gemma4", .layers_vary = true, .keys = keys, .top = top, .layer = layer };
