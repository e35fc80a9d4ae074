/* llama.c - llama (Mixtral too: llama with experts), mistral3, smollm3. The converters permuted Q and K of these files so that interleaved
 * rotation on the file equals the original half-split one. */
#include "src/model/arch/arch.h"

static void experts_like_mixtral(struct prism_builder *b)
{
    prism_expert_keys(b, OPTIONAL, b->n_ff);
    b->common.ffn.experts.normalise = true;
}

const struct prism_arch prism_arch_llama = {
    .name = "llama", .rope_interleaved = true, .n_rot_is_head_dim = true, .keys = experts_like_mixtral,
};

/* YaRN with its own turning points and magnitude; queries far from the beginning grow (Ministral 3). */
static void mistral3_keys(struct prism_builder *b)
{
    struct prism_rope_params *r = &b->ropes[0];

    experts_like_mixtral(b);
    prism_key_between(b, "rope.scaling.yarn_beta_fast", OPTIONAL, 0, 1e6, &r->beta_fast);
    prism_key_between(b, "rope.scaling.yarn_beta_slow", OPTIONAL, 0, 1e6, &r->beta_slow);
    prism_key_unless_zero(b, "rope.scaling.yarn_log_multiplier", 0, 1e3, 0, &r->log_multiplier);
    prism_key_unless_zero(b, "attention.temperature_scale", 0, 1e3, 0, &b->common.attn.temperature);
    b->common.attn.temperature_from = r->orig_ctx;
    if (b->common.attn.temperature != 0)
        prism_key_u32(b, "rope.scaling.original_context_length", OPTIONAL, 1, UINT32_MAX, &b->common.attn.temperature_from);
}

const struct prism_arch prism_arch_mistral3 = {
    .name = "mistral3", .rope_interleaved = true, .keys = mistral3_keys,
};

/* Every fourth layer is not rotated; there is no key for it. */
static void smollm3_layer(struct prism_builder *b, struct prism_layer *l, uint32_t index)
{
    if (index % 4 == 3)
        l->attn.rope = -1;
    prism_part_llama(b, l, 0);
}

const struct prism_arch prism_arch_smollm3 = { .name = "smollm3", .rope_interleaved = true, .layer = smollm3_layer };
