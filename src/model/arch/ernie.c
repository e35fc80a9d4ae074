/* ernie.c - ernie4_5 (a llama) and ernie4_5-moe: the first layers dense, then experts chosen with a bias, and a shared one. */
#include "src/model/arch/arch.h"

const struct prism_arch prism_arch_ernie4_5 = { .name = "ernie4_5", .rope_interleaved = true };

static void keys(struct prism_builder *b)
{
    uint32_t step = 1;

    prism_expert_keys(b, REQUIRED, 0);
    prism_expert_weight_keys(b);
    b->common.ffn.experts.normalise = true;
    prism_key_u32(b, "interleave_moe_layer_step", REQUIRED, 1, 1, &step);
    prism_key_u32(b, "expert_shared_feed_forward_length", OPTIONAL, 0, UINT32_MAX, &b->n_ff_shared);
}

static void layer(struct prism_builder *b, struct prism_layer *l, uint32_t index)
{
    prism_part_norm(b, &l->attn_norm, "attn_norm");
    prism_part_attention(b, &l->attn, 0);
    prism_part_norm(b, &l->ffn_norm, "ffn_norm");
    prism_part_experts_or_dense(b, l, index, OPTIONAL);
    if (l->ffn.experts.n > 0 && b->n_ff_shared > 0)
        prism_part_shared(b, &l->ffn.dense, b->n_ff_shared);
}

const struct prism_arch prism_arch_ernie4_5_moe = { .name = "ernie4_5-moe", .rope_interleaved = true, .keys = keys, .layer = layer };
