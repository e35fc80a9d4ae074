/* hparams.c - hyper-parameters from the metadata: which keys, which ranges, which combinations are refused. */
#include "src/kernels.h" /* PRISM_MAX_HEAD_DIM */
#include "src/model/load.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_LAYERS 512
#define MAX_WIDTH (1u << 20)  /* n_embd */
#define MAX_FF (1u << 24)
#define MAX_HEADS (1u << 16)
/* What derives from these stays far inside the range of a float: frequencies, magnitudes, scores of attention. */
#define MIN_FACTOR 1e-3       /* of RoPE scaling */
#define MAX_FACTOR 1e6
#define MAX_BASE 1e15         /* of RoPE */
#define MIN_MAGNITUDE 1e-3    /* of rotated heads */
#define MAX_MAGNITUDE 1e3
#define MIN_SCALE 1e-6        /* of attention */
#define MAX_SCALE 1e3

/* Where keys are read from. status is sticky: after a failure every further read does nothing. */
struct source {
    const struct prism_gguf *g;
    const char *arch, *shown;
    struct prism_error *err;
    enum prism_status status;
    char key[96]; /* of the latest read */
};

static const char *key_of(struct source *s, const char *suffix)
{
    snprintf(s->key, sizeof s->key, "%s.%s", s->arch, suffix);
    return s->key;
}

static void get_u32(struct source *s, const char *suffix, bool required, uint32_t lo, uint32_t hi, uint32_t *out)
{
    uint64_t value = *out;
    key_of(s, suffix);
    if (!s->status)
        s->status = prism_gguf_get_uint(s->g, s->key, required, lo, hi, &value, s->err);
    *out = (uint32_t)value;
}

static void get_per_layer(struct source *s, const char *suffix, bool required, uint32_t lo, uint32_t hi, uint32_t n_layer, uint32_t *out)
{
    uint64_t value = *out;
    key_of(s, suffix);
    if (!s->status)
        s->status = prism_gguf_get_per_layer(s->g, s->key, required, lo, hi, n_layer, &value, s->err);
    *out = (uint32_t)value;
}

/* A number above lo and below hi. It is computed with as a float, so a float is what is checked: 1e-50 is 0. */
static void get_between(struct source *s, const char *suffix, bool required, double lo, double hi, double *out)
{
    key_of(s, suffix);
    if (s->status)
        return;
    double value = *out;
    s->status = prism_gguf_get_float(s->g, s->key, required, &value, s->err);
    if (s->status || !prism_gguf_find(s->g, s->key))
        return;
    *out = (float)value;
    if (!(*out > lo && *out < hi))
        s->status = prism_fail(s->err, PRISM_E_FORMAT, "%s: key %s: expected a finite number above %g and below %g, found %g", s->shown,
                               s->key, lo, hi, value);
}

/* The same for an optional key, where 0 in the file stands for `unset`. True: it was there and 0. */
static bool get_unless_zero(struct source *s, const char *suffix, double lo, double hi, double unset, double *out)
{
    double value = unset;
    key_of(s, suffix);
    *out = unset;
    if (!s->status)
        s->status = prism_gguf_get_float(s->g, s->key, false, &value, s->err);
    if (!s->status && value == 0)
        return true;
    get_between(s, suffix, false, lo, hi, out);
    return false;
}

static void unsupported(struct source *s, const char *what)
{
    if (!s->status)
        s->status = prism_fail(s->err, PRISM_E_UNSUPPORTED, "%s: key %s: %s", s->shown, s->key, what);
}

static void read_sizes(struct source *s, struct prism_hparams *hp)
{
    get_u32(s, "context_length", true, 1, UINT32_MAX, &hp->n_ctx_train);
    if (!s->status && hp->n_ctx_train > PRISM_MAX_CONTEXT) {
        prism_warn(&s->g->log, "%s: key %s: trained context %u capped to %u", s->shown, s->key, hp->n_ctx_train, PRISM_MAX_CONTEXT);
        hp->n_ctx_train = PRISM_MAX_CONTEXT;
    }
    get_u32(s, "embedding_length", true, 1, MAX_WIDTH, &hp->n_embd);
    get_u32(s, "block_count", true, 1, MAX_LAYERS, &hp->n_layer);
    get_per_layer(s, "feed_forward_length", true, 1, MAX_FF, hp->n_layer, &hp->n_ff);

    uint32_t experts = 0;
    get_u32(s, "expert_count", false, 0, UINT32_MAX, &experts);
    if (experts > 0)
        unsupported(s, "mixture-of-experts models are unsupported: expected 0 experts");
}

static void read_head_size(struct source *s, struct prism_hparams *hp)
{
    key_of(s, "attention.key_length");
    bool told = prism_gguf_find(s->g, s->key) != NULL;
    if (!told && hp->n_embd % hp->n_head) {
        key_of(s, "embedding_length");
        s->status = prism_fail(s->err, PRISM_E_FORMAT, "%s: key %s: %u is not divisible by attention.head_count %u, and there is no key_length",
                               s->shown, s->key, hp->n_embd, hp->n_head);
        return;
    }
    hp->head_dim = hp->n_embd / hp->n_head;
    get_u32(s, "attention.key_length", false, 0, UINT32_MAX, &hp->head_dim);
    if (!s->status && (hp->head_dim == 0 || hp->head_dim % 8 || hp->head_dim > PRISM_MAX_HEAD_DIM))
        s->status = prism_fail(s->err, PRISM_E_UNSUPPORTED, "%s: key %s: head size: expected a multiple of 8, 8..%d, found %u%s", s->shown,
                               s->key, PRISM_MAX_HEAD_DIM, hp->head_dim, told ? "" : " (embedding_length / head_count)");
    uint32_t value_length = hp->head_dim;
    get_u32(s, "attention.value_length", false, 0, UINT32_MAX, &value_length);
    if (!s->status && value_length != hp->head_dim)
        s->status = prism_fail(s->err, PRISM_E_UNSUPPORTED, "%s: key %s: different K and V head sizes are unsupported: expected %u, found %u",
                               s->shown, s->key, hp->head_dim, value_length);
}

static void read_attention(struct source *s, struct prism_hparams *hp)
{
    get_per_layer(s, "attention.head_count", true, 1, MAX_HEADS, hp->n_layer, &hp->n_head);
    hp->n_head_kv = hp->n_head;
    get_per_layer(s, "attention.head_count_kv", false, 1, MAX_HEADS, hp->n_layer, &hp->n_head_kv);
    if (s->status)
        return;
    if (hp->n_head % hp->n_head_kv) {
        s->status = prism_fail(s->err, PRISM_E_FORMAT, "%s: key %s: expected a divisor of head_count %u, found %u", s->shown, s->key,
                               hp->n_head, hp->n_head_kv);
        return;
    }
    read_head_size(s, hp);

    double eps = 0, scale;
    get_between(s, "attention.layer_norm_rms_epsilon", true, 0, 1, &eps);
    hp->rms_eps = (float)eps;
    get_unless_zero(s, "attention.scale", MIN_SCALE, MAX_SCALE, 1 / sqrt(hp->head_dim), &scale);
    hp->attn_scale = (float)scale;

    bool causal = true;
    key_of(s, "attention.causal");
    if (!s->status)
        s->status = prism_gguf_get_bool(s->g, s->key, &causal, s->err);
    if (!causal)
        unsupported(s, "attention that is not causal is unsupported: expected true");
}

/* In a context of no more tokens than the window nothing is hidden; a longer one would need another mask. */
static void read_window(struct source *s, struct prism_hparams *hp)
{
    uint32_t window = 0;
    get_u32(s, "attention.sliding_window", false, 0, UINT32_MAX, &window);
    if (s->status || window == 0 || window >= hp->n_ctx_train)
        return;
    prism_warn(&s->g->log, "%s: key %s: contexts up to %u tokens only: sliding windows are unsupported (trained for %u)", s->shown, s->key, window,
               hp->n_ctx_train);
    hp->n_ctx_train = hp->sliding_window = window;
}

static const char *const scalings[] = { "none", "linear", "yarn", "longrope" };

static void read_scaling_type(struct source *s, struct prism_hparams *hp)
{
    struct prism_str name = { "linear", 6 };
    key_of(s, "rope.scaling.type");
    if (s->status || (s->status = prism_gguf_get_str(s->g, s->key, false, &name, s->err)))
        return;
    hp->rope_scaling = NULL;
    for (size_t i = 0; i < sizeof scalings / sizeof scalings[0]; i++)
        if (strlen(scalings[i]) == name.n && memcmp(scalings[i], name.p, name.n) == 0)
            hp->rope_scaling = scalings[i];
    if (!hp->rope_scaling)
        s->status = prism_fail(s->err, PRISM_E_UNSUPPORTED, "%s: key %s: expected none, linear, yarn or longrope, found \"%.*s\"", s->shown,
                               s->key, prism_show_len(name.n), name.p);
}

static void read_factor(struct source *s, struct prism_hparams *hp)
{
    const char *suffix = prism_gguf_find(s->g, key_of(s, "rope.scaling.factor")) ? "rope.scaling.factor" : "rope.scale_linear"; /* old name */
    if (get_unless_zero(s, suffix, MIN_FACTOR, MAX_FACTOR, 1, &hp->rope_factor))
        prism_warn(&s->g->log, "%s: key %s: 0 read as 1", s->shown, s->key);
    if (strcmp(hp->rope_scaling, "none") == 0)
        hp->rope_factor = 1;
    if (strcmp(hp->rope_scaling, "linear") == 0 && hp->rope_factor == 1)
        hp->rope_scaling = "none";
}

static void read_rope(struct source *s, struct prism_hparams *hp, const struct prism_arch *arch)
{
    hp->rope_interleaved = arch->rope_interleaved;
    hp->n_rot = hp->head_dim;
    get_u32(s, "rope.dimension_count", false, 0, UINT32_MAX, &hp->n_rot);
    if (s->status)
        return;
    if (arch->n_rot_is_head_dim && hp->n_rot != hp->head_dim) {
        s->status = prism_fail(s->err, PRISM_E_FORMAT, "%s: key %s: expected the head size %u, found %u", s->shown, s->key, hp->head_dim,
                               hp->n_rot);
        return;
    }
    if (hp->n_rot == 0 || hp->n_rot % 2 || hp->n_rot > hp->head_dim) {
        s->status = prism_fail(s->err, PRISM_E_FORMAT, "%s: key %s: expected an even number, 2..%u, found %u", s->shown, s->key,
                               hp->head_dim, hp->n_rot);
        return;
    }
    hp->rope_base = 10000;
    get_between(s, "rope.freq_base", false, 1, MAX_BASE, &hp->rope_base);
    read_scaling_type(s, hp);
    if (s->status)
        return;
    read_factor(s, hp);
    hp->rope_attn_factor = 1;
    get_between(s, "rope.scaling.attn_factor", false, MIN_MAGNITUDE, MAX_MAGNITUDE, &hp->rope_attn_factor);
    bool needs_original = strcmp(hp->rope_scaling, "yarn") == 0 || strcmp(hp->rope_scaling, "longrope") == 0;
    hp->rope_orig_ctx = hp->n_ctx_train;
    get_u32(s, "rope.scaling.original_context_length", false, needs_original ? 1 : 0, UINT32_MAX, &hp->rope_orig_ctx);
}

enum prism_status prism_read_hparams(struct prism_model *m, struct prism_error *err)
{
    struct source s = { .g = m->gguf, .arch = m->arch->name, .shown = m->gguf->path, .err = err };
    read_sizes(&s, &m->hp);
    if (!s.status)
        read_attention(&s, &m->hp);
    if (!s.status)
        read_rope(&s, &m->hp, m->arch);
    if (!s.status)
        read_window(&s, &m->hp); /* after what derives from the trained length */
    m->rope_orig_ctx = m->hp.rope_orig_ctx;
    return s.status;
}
