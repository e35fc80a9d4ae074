/* common.c - what the metadata of nearly every architecture says: keys, their ranges, combinations that are refused (build.h). */
#include "src/model/build.h"
#include "src/gguf/reader.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_WIDTH (1u << 20)  /* n_embd */
#define MAX_FF (1u << 24)
#define MAX_HEADS (1u << 16)
#define MAX_EXPERTS (1u << 12)
/* What derives from these stays far inside the range of a float: frequencies, magnitudes, scores of attention. */
#define MIN_FACTOR 1e-3       /* of RoPE scaling */
#define MAX_FACTOR 1e6
#define MAX_BASE 1e15         /* of RoPE */
#define MIN_MAGNITUDE 1e-3    /* of rotated heads */
#define MAX_MAGNITUDE 1e3
#define MIN_SCALE 1e-6        /* of attention */
#define MAX_SCALE 1e3

/* ---- keys ---- */

const char *prism_key_of(struct prism_builder *b, const char *suffix)
{
    snprintf(b->key, sizeof b->key, "%s.%s", b->m->arch->name, suffix);
    const struct prism_gguf_kv *kv = prism_gguf_find(b->g, b->key);
    if (kv)
        b->key_used[kv - b->g->kv] = true;
    return b->key;
}

bool prism_key_is_there(struct prism_builder *b, const char *suffix) { return prism_gguf_find(b->g, prism_key_of(b, suffix)) != NULL; }

static bool was_read(const struct prism_builder *b, const char *suffix)
{
    char key[sizeof b->key];
    snprintf(key, sizeof key, "%s.%s", b->m->arch->name, suffix);
    const struct prism_gguf_kv *kv = prism_gguf_find(b->g, key);
    return kv && b->key_used[kv - b->g->kv];
}

void prism_key_ignore(struct prism_builder *b, const char *suffix) { prism_key_of(b, suffix); }

void prism_key_u32(struct prism_builder *b, const char *suffix, enum need need, uint32_t lo, uint32_t hi, uint32_t *out)
{
    uint64_t value = *out;
    prism_key_of(b, suffix);
    if (!b->status)
        b->status = prism_gguf_get_uint(b->g, b->key, need == REQUIRED, lo, hi, &value, b->err);
    *out = (uint32_t)value;
}

void prism_key_bool(struct prism_builder *b, const char *suffix, bool *out)
{
    prism_key_of(b, suffix);
    if (!b->status)
        b->status = prism_gguf_get_bool(b->g, b->key, out, b->err);
}

static void read_layers(struct prism_builder *b, const char *suffix, enum need need, uint32_t lo, uint32_t hi, uint32_t *each, bool equal)
{
    prism_key_of(b, suffix);
    if (!b->status)
        b->status = prism_gguf_get_per_layer(b->g, b->key, need == REQUIRED, lo, hi, b->m->n_layer, each, b->err);
    for (uint32_t i = 1; equal && !b->status && prism_gguf_find(b->g, b->key) && i < b->m->n_layer; i++)
        if (each[i] != each[0])
            b->status = prism_fail(b->err, PRISM_E_UNSUPPORTED, "%s: key %s: per-layer values are unsupported: expected all equal, found layer "
                                   "0: %u, layer %u: %u", b->shown, b->key, each[0], i, each[i]);
}

void prism_key_per_layer(struct prism_builder *b, const char *suffix, enum need need, uint32_t lo, uint32_t hi, uint32_t *out)
{
    uint32_t each[PRISM_MAX_LAYERS] = { *out };
    read_layers(b, suffix, need, lo, hi, each, true);
    *out = each[0];
}

void prism_key_each_layer(struct prism_builder *b, const char *suffix, enum need need, uint32_t lo, uint32_t hi, uint32_t *each)
{
    read_layers(b, suffix, need, lo, hi, each, !b->m->arch->layers_vary);
}

bool prism_key_layers(struct prism_builder *b, const char *suffix, bool *out)
{
    const uint32_t n_layer = b->m->n_layer;
    const struct prism_gguf_kv *kv = prism_gguf_find(b->g, prism_key_of(b, suffix));

    if (!kv || kv->type != PRISM_GV_ARR)
        return false;
    if (kv->n != n_layer && !b->status)
        b->status = prism_fail(b->err, PRISM_E_FORMAT, "%s: key %s: expected %u elements, one per layer, found %llu", b->shown, b->key, n_layer,
                               (unsigned long long)kv->n);
    for (uint32_t i = 0; !b->status && i < n_layer; i++) {
        double value = NAN;
        if (!prism_gguf_number(kv, i, &value) || (value != 0 && value != 1))
            b->status = prism_fail(b->err, PRISM_E_FORMAT, "%s: key %s: element %u: expected true or false", b->shown, b->key, i);
        out[i] = value == 1;
    }
    return true;
}

void prism_key_between(struct prism_builder *b, const char *suffix, enum need need, double lo, double hi, double *out)
{
    prism_key_of(b, suffix);
    if (b->status)
        return;
    double value = *out;
    b->status = prism_gguf_get_float(b->g, b->key, need == REQUIRED, &value, b->err);
    if (b->status || !prism_gguf_find(b->g, b->key))
        return;
    *out = (float)value;
    if (!(*out > lo && *out < hi))
        b->status = prism_fail(b->err, PRISM_E_FORMAT, "%s: key %s: expected a finite number above %g and below %g, found %g", b->shown,
                               b->key, lo, hi, value);
}

bool prism_key_unless_zero(struct prism_builder *b, const char *suffix, double lo, double hi, double unset, double *out)
{
    double value = unset;
    prism_key_of(b, suffix);
    *out = unset;
    if (!b->status)
        b->status = prism_gguf_get_float(b->g, b->key, false, &value, b->err);
    if (!b->status && value == 0)
        return true;
    prism_key_between(b, suffix, OPTIONAL, lo, hi, out);
    return false;
}

void prism_key_unsupported(struct prism_builder *b, const char *what)
{
    if (!b->status)
        b->status = prism_fail(b->err, PRISM_E_UNSUPPORTED, "%s: key %s: %s", b->shown, b->key, what);
}

void prism_draft_keys(struct prism_builder *b)
{
    uint32_t drafts = 0;

    prism_key_u32(b, "nextn_predict_layers", OPTIONAL, 0, b->m->n_layer - 1, &drafts);
    b->m->n_layer -= drafts;
}

/* ---- sizes and heads ---- */

static void read_sizes(struct prism_builder *b)
{
    struct prism_model *m = b->m;
    struct prism_hparams *hp = &m->hp;

    prism_key_u32(b, "context_length", REQUIRED, 1, UINT32_MAX, &hp->n_ctx_train);
    if (!b->status && hp->n_ctx_train > PRISM_MAX_CONTEXT) {
        prism_warn(&b->g->log, "%s: key %s: trained context %u capped to %u", b->shown, b->key, hp->n_ctx_train, PRISM_MAX_CONTEXT);
        hp->n_ctx_train = PRISM_MAX_CONTEXT;
    }
    prism_key_u32(b, "embedding_length", REQUIRED, 1, MAX_WIDTH, &m->n_embd);
    prism_key_u32(b, "block_count", REQUIRED, 1, PRISM_MAX_LAYERS, &m->n_layer);
    prism_key_each_layer(b, "feed_forward_length", REQUIRED, 1, MAX_FF, b->each_n_ff);
    hp->n_ff = b->n_ff = b->each_n_ff[0];
}

void prism_key_head_size(struct prism_builder *b, const char *keys, const char *values, enum need need, uint32_t *d)
{
    bool told = prism_key_is_there(b, keys);

    prism_key_u32(b, keys, need, 0, UINT32_MAX, d);
    if (!b->status && (*d == 0 || *d % 8 || *d > PRISM_MAX_HEAD_DIM))
        b->status = prism_fail(b->err, PRISM_E_UNSUPPORTED, "%s: key %s: head size: expected a multiple of 8, 8..%d, found %u%s", b->shown,
                               b->key, PRISM_MAX_HEAD_DIM, *d, told ? "" : " (embedding_length / head_count)");
    uint32_t value_length = *d;
    prism_key_u32(b, values, need, 0, UINT32_MAX, &value_length);
    if (!b->status && value_length != *d)
        b->status = prism_fail(b->err, PRISM_E_UNSUPPORTED, "%s: key %s: different K and V head sizes are unsupported: expected %u, found %u",
                               b->shown, b->key, *d, value_length);
}

static void read_head_size(struct prism_builder *b)
{
    struct prism_attn_spec *a = &b->common.attn;
    uint32_t n_embd = b->m->n_embd;
    bool told = prism_key_is_there(b, "attention.key_length");

    if (!told && n_embd % a->n_head) {
        prism_key_of(b, "embedding_length");
        b->status = prism_fail(b->err, PRISM_E_FORMAT, "%s: key %s: %u is not divisible by attention.head_count %u, and there is no key_length",
                               b->shown, b->key, n_embd, a->n_head);
        return;
    }
    a->head_dim = n_embd / a->n_head;
    prism_key_head_size(b, "attention.key_length", "attention.value_length", OPTIONAL, &a->head_dim);
}

static void read_attention(struct prism_builder *b)
{
    struct prism_attn_spec *a = &b->common.attn;

    prism_key_per_layer(b, "attention.head_count", REQUIRED, 1, MAX_HEADS, &a->n_head);
    for (uint32_t i = 0; i < b->m->n_layer; i++)
        b->each_n_head_kv[i] = a->n_head;
    prism_key_each_layer(b, "attention.head_count_kv", OPTIONAL, 1, MAX_HEADS, b->each_n_head_kv);
    for (uint32_t i = 0; !b->status && i < b->m->n_layer; i++)
        if (a->n_head % b->each_n_head_kv[i])
            b->status = prism_fail(b->err, PRISM_E_FORMAT, "%s: key %s: expected a divisor of head_count %u, found %u", b->shown, b->key, a->n_head,
                                   b->each_n_head_kv[i]);
    if (b->status)
        return;
    a->n_head_kv = b->each_n_head_kv[0];
    read_head_size(b);

    double eps = 0, scale;
    prism_key_between(b, b->m->arch->layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon", REQUIRED, 0, 1, &eps);
    b->m->hp.rms_eps = (float)eps;
    prism_key_unless_zero(b, "attention.scale", MIN_SCALE, MAX_SCALE, 1 / sqrt(a->head_dim), &scale);
    a->scale = (float)scale;

    bool causal = true;
    prism_key_bool(b, "attention.causal", &causal);
    if (!causal)
        prism_key_unsupported(b, "attention that is not causal is unsupported: expected true");
}

/* ---- windows ---- */

static void read_pattern(struct prism_builder *b, uint32_t pattern_default)
{
    uint32_t every = pattern_default;

    if (prism_key_layers(b, "attention.sliding_window_pattern", b->in_window))
        return;
    prism_key_u32(b, "attention.sliding_window_pattern", OPTIONAL, 0, UINT32_MAX, &every);
    for (uint32_t i = 0; i < b->m->n_layer; i++)
        b->in_window[i] = every == 0 || i % every < every - 1;
}

void prism_window_keys(struct prism_builder *b, enum need need, uint32_t keys_default, uint32_t pattern_default)
{
    b->window = keys_default;
    prism_key_u32(b, "attention.sliding_window", need, need == REQUIRED, UINT32_MAX, &b->window);
    if (b->status)
        return;
    read_pattern(b, pattern_default);
    for (uint32_t i = 0; i < b->m->n_layer; i++) {
        b->in_window[i] &= b->window > 0;
        b->m->hp.n_window_layers += b->in_window[i];
    }
    b->m->hp.window = b->m->hp.n_window_layers ? b->window : 0;
}

void prism_window_rope(struct prism_builder *b, double base)
{
    const struct prism_rope_params *full = &b->ropes[0];

    b->ropes[1] = (struct prism_rope_params){ .n_rot = full->n_rot, .interleaved = full->interleaved, .base = base, .scaling = "none",
                                              .factor = 1, .attn_factor = 1, .orig_ctx = full->orig_ctx };
    b->m->n_ropes = 2;
}

/* In a context of no more tokens than the window nothing is hidden; a longer one of an architecture whose layers do not say which of them have
 * windows would need to know. */
static void limit_to_window(struct prism_builder *b)
{
    struct prism_hparams *hp = &b->m->hp;
    uint32_t window = 0;

    prism_key_u32(b, "attention.sliding_window", OPTIONAL, 0, UINT32_MAX, &window);
    if (b->status || window == 0 || window >= hp->n_ctx_train)
        return;
    prism_warn(&b->g->log, "%s: key %s: contexts up to %u tokens only: sliding windows are unsupported in architecture %s (trained for %u)", b->shown,
               b->key, window, b->m->arch->name, hp->n_ctx_train);
    hp->n_ctx_train = b->m->n_ctx_limit = window;
}

/* ---- experts ---- */

void prism_expert_keys(struct prism_builder *b, enum need need, uint32_t ff_default)
{
    struct prism_experts *e = &b->common.ffn.experts;
    struct prism_hparams *hp = &b->m->hp;

    prism_key_u32(b, "expert_count", need, need == REQUIRED, MAX_EXPERTS, &e->n);
    if (b->status || e->n == 0)
        return;
    prism_key_u32(b, "expert_used_count", REQUIRED, 1, e->n, &e->n_used);
    b->n_ff_expert = ff_default;
    if (!ff_default && !b->status)
        b->n_ff_expert = b->n_ff / e->n_used;
    prism_key_per_layer(b, "expert_feed_forward_length", b->n_ff_expert ? OPTIONAL : REQUIRED, 1, MAX_FF, &b->n_ff_expert);
    e->gating = PRISM_GATING_SOFTMAX;
    e->scale = 1;
    hp->n_expert = e->n, hp->n_expert_used = e->n_used, hp->n_ff_expert = b->n_ff_expert;
}

void prism_expert_weight_keys(struct prism_builder *b)
{
    struct prism_experts *e = &b->common.ffn.experts;
    uint32_t gating = e->gating;
    double scale;

    prism_key_u32(b, "expert_gating_func", OPTIONAL, PRISM_GATING_SOFTMAX, PRISM_GATING_SIGMOID, &gating);
    e->gating = (enum prism_gating)gating;
    prism_key_bool(b, "expert_weights_norm", &e->normalise);
    prism_key_unless_zero(b, "expert_weights_scale", 0, PRISM_MAX_MULTIPLIER, 1, &scale);
    e->scale = (float)scale;
    prism_key_u32(b, "leading_dense_block_count", OPTIONAL, 0, b->m->n_layer, &b->n_leading_dense);
}

/* ---- rotation ---- */

static const char *const scalings[] = { "none", "linear", "yarn", "longrope" };

static void read_scaling_type(struct prism_builder *b, struct prism_rope_params *r)
{
    struct prism_str name = { "linear", 6 };
    prism_key_of(b, "rope.scaling.type");
    if (b->status || (b->status = prism_gguf_get_str(b->g, b->key, false, &name, b->err)))
        return;
    r->scaling = NULL;
    for (size_t i = 0; i < sizeof scalings / sizeof scalings[0]; i++)
        if (prism_str_is(name, scalings[i]))
            r->scaling = scalings[i];
    if (!r->scaling)
        b->status = prism_fail(b->err, PRISM_E_UNSUPPORTED, "%s: key %s: expected none, linear, yarn or longrope, found \"%.*s\"", b->shown,
                               b->key, prism_show_len(name.n), name.p);
}

static void read_factor(struct prism_builder *b, struct prism_rope_params *r)
{
    const char *suffix = prism_key_is_there(b, "rope.scaling.factor") ? "rope.scaling.factor" : "rope.scale_linear"; /* old name */
    if (prism_key_unless_zero(b, suffix, MIN_FACTOR, MAX_FACTOR, 1, &r->factor))
        prism_warn(&b->g->log, "%s: key %s: 0 read as 1", b->shown, b->key);
    if (strcmp(r->scaling, "none") == 0)
        r->factor = 1;
    if (strcmp(r->scaling, "linear") == 0 && r->factor == 1)
        r->scaling = "none";
}

void prism_key_n_rot(struct prism_builder *b, const char *suffix, uint32_t d, uint32_t *n_rot)
{
    prism_key_u32(b, suffix, OPTIONAL, 0, UINT32_MAX, n_rot);
    if (b->status)
        return;
    if (b->m->arch->n_rot_is_head_dim && *n_rot != d)
        b->status = prism_fail(b->err, PRISM_E_FORMAT, "%s: key %s: expected the head size %u, found %u", b->shown, b->key, d, *n_rot);
    else if (*n_rot == 0 || *n_rot % 2 || *n_rot > d)
        b->status = prism_fail(b->err, PRISM_E_FORMAT, "%s: key %s: expected an even number, 2..%u, found %u", b->shown, b->key, d, *n_rot);
}

static void read_rope(struct prism_builder *b)
{
    struct prism_rope_params *r = &b->ropes[0];
    const uint32_t d = b->common.attn.head_dim;

    r->interleaved = b->m->arch->rope_interleaved;
    r->n_rot = d;
    prism_key_n_rot(b, "rope.dimension_count", d, &r->n_rot);
    if (b->status)
        return;
    r->base = 10000;
    prism_key_between(b, "rope.freq_base", OPTIONAL, 1, MAX_BASE, &r->base);
    read_scaling_type(b, r);
    if (b->status)
        return;
    read_factor(b, r);
    r->attn_factor = 1;
    prism_key_between(b, "rope.scaling.attn_factor", OPTIONAL, MIN_MAGNITUDE, MAX_MAGNITUDE, &r->attn_factor);
    bool needs_original = strcmp(r->scaling, "yarn") == 0 || strcmp(r->scaling, "longrope") == 0;
    r->orig_ctx = b->m->hp.n_ctx_train;
    prism_key_u32(b, "rope.scaling.original_context_length", OPTIONAL, needs_original ? 1 : 0, UINT32_MAX, &r->orig_ctx);
}

void prism_common_keys(struct prism_builder *b)
{
    struct prism_model *m = b->m;

    m->embd_scale = m->logit_scale = b->common.residual_scale = b->common.out_scale = 1;
    m->n_ropes = 1;
    read_sizes(b);
    if (!b->status)
        read_attention(b);
    if (!b->status)
        read_rope(b);
    if (!b->status && m->arch->keys)
        m->arch->keys(b);
    if (!b->status && !was_read(b, "attention.sliding_window"))
        limit_to_window(b); /* after what derives from the trained length */
}
