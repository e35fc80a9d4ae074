/* qwen.c - qwen2, qwen2moe, qwen3, qwen3moe, and the text part of qwen3vl and qwen3vlmoe, which is that of qwen3 and qwen3moe. */
#include "src/model/arch/arch.h"

const struct prism_arch prism_arch_qwen2 = { .name = "qwen2", .parts = PRISM_QKV_BIAS };

/* The weights of the chosen are not normalised; a shared expert takes every token, as much as its own gate says. */
static void qwen2moe_keys(struct prism_builder *b)
{
    prism_expert_keys(b, REQUIRED, b->n_ff);
    b->n_ff_shared = b->n_ff;
    prism_key_u32(b, "expert_shared_feed_forward_length", OPTIONAL, 1, UINT32_MAX, &b->n_ff_shared);
}

static void qwen2moe_layer(struct prism_builder *b, struct prism_layer *l, uint32_t index)
{
    size_t n_embd = b->m->n_embd;

    (void)index;
    prism_part_llama(b, l, PRISM_QKV_BIAS);
    prism_part_shared(b, &l->ffn.dense, b->n_ff_shared);
    prism_tensor_matrix(b, &l->ffn.dense_gate, "ffn_gate_inp_shexp.weight", n_embd, 1, REQUIRED);
}

const struct prism_arch prism_arch_qwen2moe = { .name = "qwen2moe", .keys = qwen2moe_keys, .layer = qwen2moe_layer };

const struct prism_arch prism_arch_qwen3 = { .name = "qwen3", .parts = PRISM_QK_NORM };

static void qwen3moe_keys(struct prism_builder *b)
{
    prism_expert_keys(b, REQUIRED, 0);
    b->common.ffn.experts.normalise = true;
}

const struct prism_arch prism_arch_qwen3moe = {
    .name = "qwen3moe", .n_rot_is_head_dim = true, .keys = qwen3moe_keys, .parts = PRISM_QK_NORM,
};

/* For text all sections of the rotation have the same position, which makes it the plain one; only image tokens differ. */
static void qwen3vl_keys(struct prism_builder *b)
{
    prism_key_ignore(b, "rope.dimension_sections");
    prism_key_ignore(b, "n_deepstack_layers");
}

const struct prism_arch prism_arch_qwen3vl = { .name = "qwen3vl", .keys = qwen3vl_keys, .parts = PRISM_QK_NORM };

static void qwen3vlmoe_keys(struct prism_builder *b)
{
    qwen3vl_keys(b);
    qwen3moe_keys(b);
}

const struct prism_arch prism_arch_qwen3vlmoe = { .name = "qwen3vlmoe", .keys = qwen3vlmoe_keys, .parts = PRISM_QK_NORM };
