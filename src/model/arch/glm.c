/* glm.c - glm4 (GLM-4-0414, Z1) and glm4moe (GLM-4.5, 4.6, Air). */
#include "src/model/arch/arch.h"

/* Norms before and after each half; gate and up in one matrix. */
static void glm4_layer(struct prism_builder *b, struct prism_layer *l, uint32_t index)
{
    (void)index;
    prism_part_norm(b, &l->attn_norm, "attn_norm");
    prism_part_attention(b, &l->attn, 0);
    prism_part_norm(b, &l->attn_post_norm, "post_attention_norm");
    prism_part_norm(b, &l->ffn_norm, "ffn_norm");
    prism_part_fused_ffn(b, &l->ffn.dense);
    prism_part_norm(b, &l->ffn_post_norm, "post_ffw_norm");
}

const struct prism_arch prism_arch_glm4 = { .name = "glm4", .rope_interleaved = true, .keys = prism_draft_keys, .layer = glm4_layer };

static void glm4moe_keys(struct prism_builder *b)
{
    uint32_t shared = 1;

    prism_draft_keys(b);
    prism_expert_keys(b, REQUIRED, 0);
    b->common.ffn.experts.gating = PRISM_GATING_SIGMOID;
    prism_expert_weight_keys(b);
    prism_key_u32(b, "expert_shared_count", OPTIONAL, 1, 64, &shared);
    b->n_ff_shared = b->n_ff_expert * shared;
}

/* post_attention_norm is the norm before the FFN here. */
static void glm4moe_layer(struct prism_builder *b, struct prism_layer *l, uint32_t index)
{
    bool normed = prism_tensor_is_there(b, "attn_q_norm.weight");

    prism_part_norm(b, &l->attn_norm, "attn_norm");
    prism_part_attention(b, &l->attn, PRISM_QKV_BIAS | (normed ? PRISM_QK_NORM : 0));
    prism_part_norm(b, &l->ffn_norm, "post_attention_norm");
    prism_part_experts_or_dense(b, l, index, REQUIRED);
    if (l->ffn.experts.n > 0)
        prism_part_shared(b, &l->ffn.dense, b->n_ff_shared);
}

const struct prism_arch prism_arch_glm4moe = { .name = "glm4moe", .keys = glm4moe_keys, .layer = glm4moe_layer };
