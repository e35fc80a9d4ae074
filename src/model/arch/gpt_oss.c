/* gpt_oss.c - gpt-oss: every second layer sees a window, each head has a sink, experts have biases and a clamped activation. */
#include "src/model/arch/arch.h"

static void keys(struct prism_builder *b)
{
    struct prism_experts *e = &b->common.ffn.experts;
    uint32_t gating = 0;

    prism_window_keys(b, REQUIRED, 0, 2);
    prism_expert_keys(b, REQUIRED, 0);
    prism_key_u32(b, "expert_gating_func", OPTIONAL, PRISM_GATING_SOFTMAX_CHOSEN, PRISM_GATING_SOFTMAX_CHOSEN, &gating);
    e->gating = PRISM_GATING_SOFTMAX_CHOSEN;
    e->each.act = PRISM_GATE_SWIGLU_CLAMPED;
}

/* post_attention_norm is the norm before the FFN here (architectures.md 2.2). */
static void layer(struct prism_builder *b, struct prism_layer *l, uint32_t index)
{
    (void)index;
    prism_part_norm(b, &l->attn_norm, "attn_norm");
    prism_part_attention(b, &l->attn, PRISM_QKV_BIAS);
    l->attn.sinks = prism_tensor_vector(b, "attn_sinks.weight", l->attn.n_head, REQUIRED);
    prism_part_norm(b, &l->ffn_norm, "post_attention_norm");
    prism_part_experts(b, &l->ffn.experts);
}

const struct prism_arch prism_arch_gpt_oss = { .name = "gpt-oss", .n_rot_is_head_dim = true, .keys = keys, .layer = layer };
