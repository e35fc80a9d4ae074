/* layer_norm.c - starcoder2, nemotron (Minitron), stablelm, falcon: LayerNorms with biases, and but for stablelm an FFN without a gate. */
#include "src/model/arch/arch.h"

static void plain_layer(struct prism_builder *b, struct prism_layer *l, enum prism_act act)
{
    prism_part_norm(b, &l->attn_norm, "attn_norm");
    prism_part_attention(b, &l->attn, 0);
    prism_part_norm(b, &l->ffn_norm, "ffn_norm");
    prism_part_plain_ffn(b, &l->ffn.dense, act);
}

/* The window in these files is not applied, neither by the reference implementation. */
static void starcoder2_keys(struct prism_builder *b) { prism_key_ignore(b, "attention.sliding_window"); }

static void starcoder2_layer(struct prism_builder *b, struct prism_layer *l, uint32_t index)
{
    (void)index;
    plain_layer(b, l, PRISM_ACT_GELU);
}

const struct prism_arch prism_arch_starcoder2 = { .name = "starcoder2", .layer_norm = true, .keys = starcoder2_keys, .layer = starcoder2_layer };

static void nemotron_layer(struct prism_builder *b, struct prism_layer *l, uint32_t index)
{
    (void)index;
    plain_layer(b, l, PRISM_ACT_RELU2);
}

const struct prism_arch prism_arch_nemotron = { .name = "nemotron", .layer_norm = true, .layer = nemotron_layer };

/* Without a norm of its own the FFN reads what attention reads (StableLM 2 12B). */
static void stablelm_keys(struct prism_builder *b) { b->common.attn.norms = PRISM_NORM_EACH; }

static void stablelm_layer(struct prism_builder *b, struct prism_layer *l, uint32_t index)
{
    (void)index;
    l->parallel = !prism_tensor_is_there(b, "ffn_norm.weight");
    prism_part_norm(b, &l->attn_norm, "attn_norm");
    prism_part_attention(b, &l->attn, prism_tensor_is_there(b, "attn_q_norm.weight") ? PRISM_QK_NORM : 0);
    if (l->parallel)
        l->ffn_norm = l->attn_norm;
    else
        prism_part_norm(b, &l->ffn_norm, "ffn_norm");
    prism_part_ffn(b, &l->ffn.dense);
}

const struct prism_arch prism_arch_stablelm = { .name = "stablelm", .layer_norm = true, .keys = stablelm_keys, .layer = stablelm_layer };

/* Attention and FFN read the same norm, or attention one of its own (40B). */
static void falcon_layer(struct prism_builder *b, struct prism_layer *l, uint32_t index)
{
    (void)index;
    l->parallel = true;
    prism_part_norm(b, &l->ffn_norm, "attn_norm");
    if (prism_tensor_is_there(b, "attn_norm_2.weight"))
        prism_part_norm(b, &l->attn_norm, "attn_norm_2");
    else
        l->attn_norm = l->ffn_norm;
    prism_part_attention(b, &l->attn, 0);
    prism_part_plain_ffn(b, &l->ffn.dense, PRISM_ACT_GELU);
}

const struct prism_arch prism_arch_falcon = { .name = "falcon", .n_rot_is_head_dim = true, .layer_norm = true, .layer = falcon_layer };
