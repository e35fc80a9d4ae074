/* olmo.c - olmo2 (OLMo 2 and 3): norms after each half only; olmoe: before. Both normalise the queries, and the keys, of all heads together. */
#include "src/model/arch/arch.h"

/* Windows and a second, unscaled rotation in the layers that have them: OLMo 3. */
static void olmo2_keys(struct prism_builder *b)
{
    b->common.attn.norms = PRISM_NORM_ALL;
    prism_window_keys(b, OPTIONAL, 0, 4);
    if (b->window)
        prism_window_rope(b, b->ropes[0].base);
}

static void olmo2_layer(struct prism_builder *b, struct prism_layer *l, uint32_t index)
{
    l->attn.rope = b->in_window[index] ? 1 : 0;
    prism_part_attention(b, &l->attn, PRISM_QK_NORM);
    prism_part_norm(b, &l->attn_post_norm, "post_attention_norm");
    prism_part_ffn(b, &l->ffn.dense);
    prism_part_norm(b, &l->ffn_post_norm, "post_ffw_norm");
}

const struct prism_arch prism_arch_olmo2 = { .name = "olmo2", .keys = olmo2_keys, .layer = olmo2_layer };

/* The weights of the chosen are not normalised. */
static void olmoe_keys(struct prism_builder *b)
{
    b->common.attn.norms = PRISM_NORM_ALL;
    prism_expert_keys(b, REQUIRED, b->n_ff);
}

const struct prism_arch prism_arch_olmoe = { .name = "olmoe", .keys = olmoe_keys, .parts = PRISM_QK_NORM };
