/* seed_oss.c - Seed-OSS: qwen2 whose norm before the FFN has another name. */
#include "src/model/arch/arch.h"

static void layer(struct prism_builder *b, struct prism_layer *l, uint32_t index)
{
    (void)index;
    prism_part_norm(b, &l->attn_norm, "attn_norm");
    prism_part_attention(b, &l->attn, PRISM_QKV_BIAS);
    prism_part_norm(b, &l->ffn_norm, "post_attention_norm");
    prism_part_ffn(b, &l->ffn.dense);
}

const struct prism_arch prism_arch_seed_oss = { .name = "seed_oss", .layer = layer };
