/* granite.c - granite, granitemoe, minicpm: llama with four multipliers, granite perhaps without rotation. */
#include "src/model/arch/arch.h"

#include <math.h>

static void multiply(struct prism_builder *b, double logits, double residual, double embedding)
{
    b->m->logit_scale = (float)(1 / logits);
    b->m->embd_scale = (float)embedding;
    b->common.residual_scale = (float)residual;
}

static void granite_keys(struct prism_builder *b)
{
    double logits = 1, residual, embedding;
    bool rotated = true;

    prism_key_between(b, "logit_scale", REQUIRED, PRISM_MIN_MULTIPLIER, PRISM_MAX_MULTIPLIER, &logits);
    prism_key_unless_zero(b, "residual_scale", PRISM_MIN_MULTIPLIER, PRISM_MAX_MULTIPLIER, 1, &residual);
    prism_key_unless_zero(b, "embedding_scale", PRISM_MIN_MULTIPLIER, PRISM_MAX_MULTIPLIER, 1, &embedding);
    prism_key_bool(b, "rope.scaling.finetuned", &rotated);
    multiply(b, logits, residual, embedding);
    b->common.attn.rope = rotated ? 0 : -1;
}

const struct prism_arch prism_arch_granite = {
    .name = "granite", .rope_interleaved = true, .n_rot_is_head_dim = true, .keys = granite_keys,
};

/* The same multipliers with values of its own where the file has none. */
static void minicpm_keys(struct prism_builder *b)
{
    double residual = 1.4 / sqrt(b->m->n_layer), embedding = 12, logits = 256.0 / b->m->n_embd;

    prism_key_between(b, "logit_scale", OPTIONAL, PRISM_MIN_MULTIPLIER, PRISM_MAX_MULTIPLIER, &logits);
    prism_key_between(b, "residual_scale", OPTIONAL, PRISM_MIN_MULTIPLIER, PRISM_MAX_MULTIPLIER, &residual);
    prism_key_between(b, "embedding_scale", OPTIONAL, PRISM_MIN_MULTIPLIER, PRISM_MAX_MULTIPLIER, &embedding);
    multiply(b, logits, residual, embedding);
}

const struct prism_arch prism_arch_minicpm = { .name = "minicpm", .rope_interleaved = true, .keys = minicpm_keys };

static void granitemoe_keys(struct prism_builder *b)
{
    granite_keys(b);
    prism_expert_keys(b, REQUIRED, b->n_ff);
    b->common.ffn.experts.normalise = true;
    prism_key_u32(b, "expert_shared_feed_forward_length", OPTIONAL, 0, UINT32_MAX, &b->n_ff_shared);
}

static void granitemoe_layer(struct prism_builder *b, struct prism_layer *l, uint32_t index)
{
    (void)index;
    prism_part_llama(b, l, 0);
    if (b->n_ff_shared > 0)
        prism_part_shared(b, &l->ffn.dense, b->n_ff_shared);
}

const struct prism_arch prism_arch_granitemoe = {
    .name = "granitemoe", .rope_interleaved = true, .n_rot_is_head_dim = true, .keys = granitemoe_keys, .layer = granitemoe_layer,
};
