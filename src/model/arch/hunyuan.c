/* hunyuan.c - hunyuan-dense and hunyuan-moe: queries and keys are normalised after their rotation. */
#include "src/model/arch/arch.h"

#include <math.h>

/* alpha stretches the base (NTK-aware scaling). */
static void dense_keys(struct prism_builder *b)
{
    double d = b->common.attn.head_dim, alpha;

    b->common.attn.norm_rotated = true;
    prism_key_unless_zero(b, "rope.scaling.alpha", 0, 1e6, 1, &alpha);
    if (d > 2)
        b->ropes[0].base *= pow(alpha, d / (d - 2));
}

const struct prism_arch prism_arch_hunyuan_dense = { .name = "hunyuan-dense", .keys = dense_keys, .parts = PRISM_QK_NORM };

static void moe_keys(struct prism_builder *b)
{
    dense_keys(b);
    prism_expert_keys(b, REQUIRED, b->n_ff);
    b->common.ffn.experts.normalise = true;
    prism_key_u32(b, "expert_shared_feed_forward_length", REQUIRED, 1, UINT32_MAX, &b->n_ff_shared);
}

static void moe_layer(struct prism_builder *b, struct prism_layer *l, uint32_t index)
{
    (void)index;
    prism_part_llama(b, l, PRISM_QK_NORM);
    prism_part_shared(b, &l->ffn.dense, b->n_ff_shared);
}

const struct prism_arch prism_arch_hunyuan_moe = { .name = "hunyuan-moe", .keys = moe_keys, .layer = moe_layer };
