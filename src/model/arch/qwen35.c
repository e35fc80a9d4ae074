/* qwen35.c - qwen35 and qwen35moe (Qwen3.5, 3.6, 3.8; the text part): a gated delta net in three of four layers, attention with gated heads in the
 * others. architectures.md 5. */
#include "src/model/arch/arch.h"
#include "src/model/load.h"

#include <math.h>

#define MAX_STATE_HEADS (1u << 12)

/* ---- which layers ---- */

/* attention.recurrent_layers tells each, else every full_attention_interval-th has attention. */
static void read_pattern(struct prism_builder *b)
{
    uint32_t every = 4;

    prism_key_u32(b, "full_attention_interval", OPTIONAL, 1, UINT32_MAX, &every);
    for (uint32_t i = 0; i < b->m->n_layer; i++)
        b->recurrent[i] = (i + 1) % every != 0;
    if (!prism_key_layers(b, "attention.recurrent_layers", b->recurrent) && prism_key_is_there(b, "attention.recurrent_layers"))
        prism_key_unsupported(b, "expected an array, one element per layer");
}

/* ---- keys ---- */

static void read_delta(struct prism_builder *b)
{
    struct prism_delta_spec *d = &b->common.delta;
    uint32_t inner = 0;

    prism_key_u32(b, "ssm.conv_kernel", REQUIRED, 1, PRISM_MAX_CONV, &d->n_conv);
    prism_key_u32(b, "ssm.state_size", REQUIRED, 8, PRISM_MAX_HEAD_DIM, &d->d);
    if (!b->status && d->d % 8)
        prism_key_unsupported(b, "expected a multiple of 8");
    prism_key_u32(b, "ssm.group_count", REQUIRED, 1, MAX_STATE_HEADS, &d->n_key);
    prism_key_u32(b, "ssm.time_step_rank", REQUIRED, 1, MAX_STATE_HEADS, &d->n_value);
    if (!b->status && d->n_value % d->n_key)
        b->status = prism_fail(b->err, PRISM_E_FORMAT, "%s: key %s: expected a multiple of ssm.group_count %u, found %u", b->shown, b->key, d->n_key,
                               d->n_value);
    prism_key_u32(b, "ssm.inner_size", REQUIRED, 1, UINT32_MAX, &inner);
    if (!b->status && inner != d->n_value * d->d)
        b->status = prism_fail(b->err, PRISM_E_FORMAT, "%s: key %s: expected ssm.time_step_rank * ssm.state_size = %u, found %u", b->shown, b->key,
                               d->n_value * d->d, inner);
    d->eps = b->m->hp.rms_eps;
}

/* For text all sections of the rotation have the same position. */
static void qwen35_keys(struct prism_builder *b)
{
    read_pattern(b); /* of all blocks */
    prism_draft_keys(b);
    prism_key_ignore(b, "rope.dimension_sections");
    read_delta(b);
    b->common.attn.gated = true;
    if (!b->status && b->common.attn.n_head > PRISM_MAX_GATED_HEADS) {
        prism_key_of(b, "attention.head_count");
        b->status = prism_fail(b->err, PRISM_E_UNSUPPORTED, "%s: key %s: heads with gates: expected at most %d, found %u", b->shown, b->key,
                               PRISM_MAX_GATED_HEADS, b->common.attn.n_head);
    }
}

static void qwen35moe_keys(struct prism_builder *b)
{
    qwen35_keys(b);
    prism_expert_keys(b, REQUIRED, 0);
    b->common.ffn.experts.normalise = true;
    b->n_ff_shared = b->n_ff_expert;
    prism_key_u32(b, "expert_shared_feed_forward_length", OPTIONAL, 1, UINT32_MAX, &b->n_ff_shared);
}

/* ---- layers ---- */

/* What is kept of a state from one token to the next must not grow: its logarithm is a positive number times this. */
static void check_decay(struct prism_builder *b, const struct prism_delta_spec *d)
{
    for (uint32_t i = 0; !b->status && i < d->n_value; i++)
        if (!(d->decay[i] <= 0) || isinf(d->decay[i]))
            b->status = prism_fail(b->err, PRISM_E_FORMAT, "%s: tensor blk.%d.ssm_a: value %u: expected a finite number of at most 0, found %g", b->shown,
                                   b->layer, i, (double)d->decay[i]);
}

static void bind_delta(struct prism_builder *b, struct prism_delta_spec *d)
{
    size_t n_embd = b->m->n_embd, inner = (size_t)d->n_value * d->d, channels = 2 * (size_t)d->n_key * d->d + inner;

    prism_tensor_matrix(b, &d->qkv, "attn_qkv.weight", n_embd, channels, REQUIRED);
    prism_tensor_matrix(b, &d->gate, "attn_gate.weight", n_embd, inner, REQUIRED);
    prism_tensor_matrix(b, &d->beta, "ssm_beta.weight", n_embd, d->n_value, REQUIRED);
    prism_tensor_matrix(b, &d->alpha, "ssm_alpha.weight", n_embd, d->n_value, REQUIRED);
    prism_tensor_matrix(b, &d->out, "ssm_out.weight", inner, n_embd, REQUIRED);
    d->conv = prism_tensor_table(b, "ssm_conv1d.weight", d->n_conv, channels, REQUIRED);
    d->alpha_bias = prism_tensor_vector(b, "ssm_dt.bias", d->n_value, REQUIRED);
    d->decay = prism_tensor_vector(b, "ssm_a", d->n_value, REQUIRED);
    d->norm = (struct prism_norm){ PRISM_NORM_RMS, prism_tensor_vector(b, "ssm_norm.weight", d->d, REQUIRED), NULL, b->m->hp.rms_eps };
    check_decay(b, d);
}

/* post_attention_norm is the norm before the FFN here. */
static void qwen35_layer(struct prism_builder *b, struct prism_layer *l, uint32_t index)
{
    prism_part_norm(b, &l->attn_norm, "attn_norm");
    if (b->recurrent[index]) {
        bind_delta(b, &l->delta);
    } else {
        l->delta = (struct prism_delta_spec){ 0 };
        prism_part_attention(b, &l->attn, PRISM_QK_NORM);
    }
    prism_part_norm(b, &l->ffn_norm, "post_attention_norm");
    if (l->ffn.experts.n == 0) {
        prism_part_ffn(b, &l->ffn.dense);
        return;
    }
    prism_part_experts(b, &l->ffn.experts);
    prism_part_shared(b, &l->ffn.dense, b->n_ff_shared);
    prism_tensor_matrix(b, &l->ffn.dense_gate, "ffn_gate_inp_shexp.weight", b->m->n_embd, 1, REQUIRED);
}

const struct prism_arch prism_arch_qwen35 = { .name = "qwen35", .keys = qwen35_keys, .layer = qwen35_layer };
const struct prism_arch prism_arch_qwen35moe = { .name = "qwen35moe", .keys = qwen35moe_keys, .layer = qwen35_layer };
