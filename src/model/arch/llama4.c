/* llama4.c - llama4 (Scout, Maverick): three of four layers are rotated and see the chunk of 8192 tokens that a row lies in, the fourth is neither
 * rotated nor bounded, and its queries grow with the position; experts take what they read times a weight, beside a shared one. */
#include "src/model/arch/arch.h"

enum { CHUNK = 8192, FULL_EVERY = 4, NO_HEAD_NORMS = 128 /* experts: Maverick; there is no key for it */ };

/* The length of a chunk is no key: what the file says of windows is that there are some. */
static void keys(struct prism_builder *b)
{
    struct prism_experts *e = &b->common.ffn.experts;

    prism_window_keys(b, OPTIONAL, CHUNK, FULL_EVERY);
    if (b->window == 0) {
        prism_key_of(b, "attention.sliding_window");
        prism_key_unsupported(b, "layers that all see all tokens are unsupported");
        return;
    }
    b->window = CHUNK;
    b->m->hp.window = b->m->hp.n_window_layers ? CHUNK : 0;
    b->common.attn.chunked = true;
    prism_expert_keys(b, REQUIRED, b->n_ff);
    e->gating = PRISM_GATING_SIGMOID;
    e->by_logit = e->weigh_input = true;
    prism_key_u32(b, "interleave_moe_layer_step", REQUIRED, 1, b->m->n_layer, &b->expert_step);
}

static void layer(struct prism_builder *b, struct prism_layer *l, uint32_t index)
{
    struct prism_attn_spec *a = &l->attn;

    prism_part_norm(b, &l->attn_norm, "attn_norm");
    prism_part_attention(b, a, 0);
    if ((index + 1) % FULL_EVERY == 0) {
        a->rope = -1;
        a->temperature = 0.1, a->temperature_from = CHUNK, a->temperature_shift = 1;
    } else if (l->ffn.experts.n != NO_HEAD_NORMS) {
        a->norm_rotated = true;
        a->q_norm = a->k_norm = (struct prism_norm){ PRISM_NORM_RMS, NULL, NULL, b->m->hp.rms_eps };
    }
    prism_part_norm(b, &l->ffn_norm, "ffn_norm");
    if ((index + 1) % b->expert_step == 0) {
        prism_part_experts(b, &l->ffn.experts);
        prism_part_shared(b, &l->ffn.dense, b->n_ff_expert);
    } else {
        l->ffn.experts = (struct prism_experts){ 0 };
        prism_part_ffn(b, &l->ffn.dense);
    }
}

const struct prism_arch prism_arch_llama4 = {
    .name = "llama4", .rope_interleaved = true, .n_rot_is_head_dim = true, .keys = keys, .layer = layer,
};
