/* phi3.c - phi3 (Phi-3, 3.5, Phi-4, Phi-4-mini): q, k, v in one matrix, gate and up in one, perhaps a part of each head unrotated; phimoe
 * (Phi-3.5-MoE): experts, biases everywhere. */
#include "src/model/arch/arch.h"

/* The window in these files (2047, 262144 or 0) is not applied, neither by the reference implementation. */
static void keys(struct prism_builder *b) { prism_key_ignore(b, "attention.sliding_window"); }

static void layer(struct prism_builder *b, struct prism_layer *l, uint32_t index)
{
    (void)index;
    prism_part_norm(b, &l->attn_norm, "attn_norm");
    prism_part_attention(b, &l->attn, 0);
    prism_part_norm(b, &l->ffn_norm, "ffn_norm");
    prism_part_fused_ffn(b, &l->ffn.dense);
}

const struct prism_arch prism_arch_phi3 = { .name = "phi3", .keys = keys, .layer = layer };

static void phimoe_keys(struct prism_builder *b)
{
    keys(b);
    prism_expert_keys(b, REQUIRED, b->n_ff);
    b->common.ffn.experts.normalise = true;
}

/* Norms are RMSNorms plus their biases, as in the reference implementation of these files. */
const struct prism_arch prism_arch_phimoe = { .name = "phimoe", .norm_bias = true, .keys = phimoe_keys, .parts = PRISM_QKV_BIAS };
