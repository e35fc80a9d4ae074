/* cohere.c - command-r and cohere2 (Command R7B, A): one LayerNorm a layer, which attention and FFN both read; logits are multiplied. */
#include "src/model/arch/arch.h"

static void scale_logits(struct prism_builder *b, enum need need)
{
    double scale = 1;

    prism_key_between(b, "logit_scale", need, PRISM_MIN_MULTIPLIER, PRISM_MAX_MULTIPLIER, &scale);
    b->m->logit_scale = (float)scale;
}

static void parallel_layer(struct prism_builder *b, struct prism_layer *l, unsigned flags)
{
    l->parallel = true;
    prism_part_norm(b, &l->attn_norm, "attn_norm");
    l->ffn_norm = l->attn_norm;
    prism_part_attention(b, &l->attn, flags);
    prism_part_ffn(b, &l->ffn.dense);
}

/* From 64 layers on (R+) each head of queries and keys has a norm of its own; there is no key for it. */
static void command_r_keys(struct prism_builder *b)
{
    scale_logits(b, OPTIONAL);
    b->common.attn.norms = PRISM_NORM_EACH;
}

static void command_r_layer(struct prism_builder *b, struct prism_layer *l, uint32_t index)
{
    (void)index;
    parallel_layer(b, l, b->m->n_layer >= 64 ? PRISM_QK_NORM : 0);
}

const struct prism_arch prism_arch_command_r = {
    .name = "command-r", .rope_interleaved = true, .layer_norm = true, .keys = command_r_keys, .layer = command_r_layer,
};

/* Only layers with a window are rotated. */
static void cohere2_keys(struct prism_builder *b)
{
    scale_logits(b, REQUIRED);
    prism_window_keys(b, REQUIRED, 0, 4);
}

static void cohere2_layer(struct prism_builder *b, struct prism_layer *l, uint32_t index)
{
    l->attn.rope = b->in_window[index] ? 0 : -1;
    parallel_layer(b, l, 0);
}

const struct prism_arch prism_arch_cohere2 = {
    .name = "cohere2", .rope_interleaved = true, .layer_norm = true, .keys = cohere2_keys, .layer = cohere2_layer,
};
