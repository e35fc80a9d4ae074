/* bind.c - tensors by name and shape. A matrix is used where it lies in the mapping; a vector too when it is aligned f32, otherwise
 * it is widened into memory of the model. */
#include "src/kernels.h"
#include "src/model/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long ull; /* for %llu */

/* status is sticky: after a failure every further request does nothing and gives NULL. */
struct binder {
    struct prism_model *m;
    const char *shown;
    struct prism_error *err;
    enum prism_status status;
    bool *used;   /* per tensor of the file */
    int layer;    /* -1: outside the layers */
};

enum need { OPTIONAL, REQUIRED };

/* "blk.3.attn_q.weight" for "attn_q.weight" inside layer 3. */
static const char *full_name(const struct binder *b, const char *name, char *buf, size_t cap)
{
    if (b->layer < 0)
        snprintf(buf, cap, "%s", name);
    else
        snprintf(buf, cap, "blk.%d.%s", b->layer, name);
    return buf;
}

static bool has(const struct binder *b, const char *name)
{
    char full[PRISM_GGUF_NAME];
    return prism_gguf_tensor_find(b->m->gguf, full_name(b, name, full, sizeof full)) != NULL;
}

static const struct prism_gguf_tensor *request(struct binder *b, const char *name, enum need need)
{
    char full[PRISM_GGUF_NAME], where[32] = "";
    if (b->status)
        return NULL;
    const struct prism_gguf_tensor *t = prism_gguf_tensor_find(b->m->gguf, full_name(b, name, full, sizeof full));
    if (t)
        b->used[t - b->m->gguf->tensors] = true;
    if (!t && need == REQUIRED) {
        if (b->layer >= 0)
            snprintf(where, sizeof where, ", layer %d", b->layer);
        b->status = prism_fail(b->err, PRISM_E_FORMAT, "%s: tensor %s: missing (architecture %s%s)", b->shown, full, b->m->arch->name, where);
    }
    if (t && t->type == PRISM_N_TYPES) {
        char list[256];
        size_t o = 0;
        for (int i = 0; i < PRISM_N_TYPES; i++)
            o += (size_t)snprintf(list + o, sizeof list - o, " %s", prism_types[i].name);
        b->status = prism_fail(b->err, PRISM_E_UNSUPPORTED, "%s: tensor %s: type %s unsupported; supported:%s", b->shown, t->name,
                               t->file_type->name, list);
    }
    return b->status ? NULL : t;
}

static void check_shape(struct binder *b, const struct prism_gguf_tensor *t, uint64_t ne0, uint64_t ne1)
{
    if (t->ne[0] != ne0 || t->ne[1] != ne1 || t->ne[2] != 1 || t->ne[3] != 1)
        b->status = prism_fail(b->err, PRISM_E_FORMAT, "%s: tensor %s: shape: expected [%llu, %llu], found [%llu, %llu%s]", b->shown, t->name,
                               (ull)ne0, (ull)ne1, (ull)t->ne[0], (ull)t->ne[1], t->ne[2] != 1 || t->ne[3] != 1 ? ", ..." : "");
}

static void matrix(struct binder *b, struct prism_matrix *out, const char *name, size_t k, size_t rows, enum need need)
{
    const struct prism_gguf_tensor *t = request(b, name, need);
    if (!t)
        return;
    check_shape(b, t, k, rows);
    /* Blocks begin with or contain 16-bit scales; only files with general.alignment 1 or 2 can break this. */
    size_t align = t->type == PRISM_F32 ? sizeof(float) : sizeof(uint16_t);
    if (!b->status && (uintptr_t)t->data % align)
        b->status = prism_fail(b->err, PRISM_E_UNSUPPORTED, "%s: tensor %s: data: expected to start at a multiple of %zu bytes", b->shown,
                               t->name, align);
    *out = (struct prism_matrix){ t->data, t->type, rows, k, prism_row_bytes(t->type, k) };
}

/* rows [first, first + n) of m */
static struct prism_matrix slice(const struct prism_matrix *m, size_t first, size_t n)
{
    return (struct prism_matrix){ m->data + first * m->row_bytes, m->type, n, m->k, m->row_bytes };
}

static const float *widen(struct binder *b, const struct prism_gguf_tensor *t, size_t n)
{
    struct prism_owned *o = malloc(sizeof *o + n * sizeof(float));
    if (!o) {
        b->status = prism_fail(b->err, PRISM_E_NOMEM, "%s: tensor %s: out of memory", b->shown, t->name);
        return NULL;
    }
    o->next = b->m->owned;
    b->m->owned = o;
    if (t->type == PRISM_F32) /* misaligned in the file */
        memcpy(o->values, t->data, n * sizeof(float));
    else
        prism_kernels_by_level[PRISM_LEVEL_GENERIC]->to_f32[t->type](o->values, t->data, n);
    return o->values;
}

static const float *vector(struct binder *b, const char *name, size_t n, enum need need)
{
    const struct prism_gguf_tensor *t = request(b, name, need);
    if (!t)
        return NULL;
    bool wide = t->type == PRISM_F32;
    if ((!wide && t->type != PRISM_F16 && t->type != PRISM_BF16) || t->ne[0] != n || t->ne[1] != 1 || t->ne[2] != 1 || t->ne[3] != 1) {
        b->status = prism_fail(b->err, PRISM_E_FORMAT, "%s: tensor %s: expected f32 [%zu], found %s [%llu%s]", b->shown, t->name, n,
                               t->file_type->name, (ull)t->ne[0], t->n_dims > 1 ? ", ..." : "");
        return NULL;
    }
    if (wide && (uintptr_t)t->data % _Alignof(float) == 0)
        return (const float *)t->data;
    return widen(b, t, n);
}

/* q, k, v as three matrices or as slices of one, in this order. */
static void bind_qkv(struct binder *b, struct prism_layer *l)
{
    const struct prism_hparams *hp = &b->m->hp;
    size_t nq = (size_t)hp->n_head * hp->head_dim, nkv = (size_t)hp->n_head_kv * hp->head_dim;
    bool wanted = b->m->arch->qkv_bias;

    if (has(b, "attn_qkv.weight")) {
        struct prism_matrix qkv = { 0 };
        matrix(b, &qkv, "attn_qkv.weight", hp->n_embd, nq + 2 * nkv, REQUIRED);
        const float *bias = vector(b, "attn_qkv.bias", nq + 2 * nkv, wanted ? REQUIRED : OPTIONAL);
        if (b->status)
            return;
        l->q = slice(&qkv, 0, nq);
        l->k = slice(&qkv, nq, nkv);
        l->v = slice(&qkv, nq + nkv, nkv);
        l->q_bias = bias;
        l->k_bias = bias ? bias + nq : NULL;
        l->v_bias = bias ? bias + nq + nkv : NULL;
        return;
    }
    matrix(b, &l->q, "attn_q.weight", hp->n_embd, nq, REQUIRED);
    matrix(b, &l->k, "attn_k.weight", hp->n_embd, nkv, REQUIRED);
    matrix(b, &l->v, "attn_v.weight", hp->n_embd, nkv, REQUIRED);
    /* all three or none: one alone is a damaged file */
    enum need need = wanted || has(b, "attn_q.bias") || has(b, "attn_k.bias") || has(b, "attn_v.bias") ? REQUIRED : OPTIONAL;
    l->q_bias = vector(b, "attn_q.bias", nq, need);
    l->k_bias = vector(b, "attn_k.bias", nkv, need);
    l->v_bias = vector(b, "attn_v.bias", nkv, need);
}

static void bind_layer(struct binder *b, struct prism_layer *l)
{
    const struct prism_hparams *hp = &b->m->hp;
    size_t nq = (size_t)hp->n_head * hp->head_dim;

    l->attn_norm = vector(b, "attn_norm.weight", hp->n_embd, REQUIRED);
    bind_qkv(b, l);
    if (b->m->arch->qk_norm) {
        l->q_norm = vector(b, "attn_q_norm.weight", hp->head_dim, REQUIRED);
        l->k_norm = vector(b, "attn_k_norm.weight", hp->head_dim, REQUIRED);
    }
    matrix(b, &l->o, "attn_output.weight", nq, hp->n_embd, REQUIRED);
    l->o_bias = vector(b, "attn_output.bias", hp->n_embd, OPTIONAL);

    l->ffn_norm = vector(b, "ffn_norm.weight", hp->n_embd, REQUIRED);
    matrix(b, &l->gate, "ffn_gate.weight", hp->n_embd, hp->n_ff, REQUIRED);
    matrix(b, &l->up, "ffn_up.weight", hp->n_embd, hp->n_ff, REQUIRED);
    matrix(b, &l->down, "ffn_down.weight", hp->n_ff, hp->n_embd, REQUIRED);
    l->gate_bias = vector(b, "ffn_gate.bias", hp->n_ff, OPTIONAL);
    l->up_bias = vector(b, "ffn_up.bias", hp->n_ff, OPTIONAL);
    l->down_bias = vector(b, "ffn_down.bias", hp->n_embd, OPTIONAL);
}

static void bind_top(struct binder *b, struct prism_rope_divisors *div)
{
    struct prism_model *m = b->m;
    struct prism_hparams *hp = &m->hp;
    const struct prism_gguf_tensor *embd = request(b, "token_embd.weight", REQUIRED);
    if (!embd)
        return;
    if (embd->ne[1] > INT32_MAX) {
        b->status = prism_fail(b->err, PRISM_E_UNSUPPORTED, "%s: tensor %s: rows: expected at most 2^31-1, found %llu", b->shown, embd->name,
                               (ull)embd->ne[1]);
        return;
    }
    hp->n_vocab = (uint32_t)embd->ne[1];
    matrix(b, &m->tok_embd, "token_embd.weight", hp->n_embd, hp->n_vocab, REQUIRED);
    matrix(b, &m->output, "output.weight", hp->n_embd, hp->n_vocab, OPTIONAL);
    if (!m->output.data)
        m->output = m->tok_embd; /* tied */
    m->output_norm = vector(b, "output_norm.weight", hp->n_embd, REQUIRED);
    m->output_bias = vector(b, "output.bias", hp->n_vocab, OPTIONAL);

    if (strcmp(hp->rope_scaling, "longrope") == 0) {
        div->long_ctx = vector(b, "rope_factors_long.weight", hp->n_rot / 2, REQUIRED);
        div->short_ctx = vector(b, "rope_factors_short.weight", hp->n_rot / 2, REQUIRED);
    } else {
        div->freqs = vector(b, "rope_freqs.weight", hp->n_rot / 2, OPTIONAL);
    }
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), e = strlen(end);
    return n >= e && strcmp(s + n - e, end) == 0;
}

/* Beginnings of the names of tensors outside the layers that other networks compute with. */
static bool takes_part(const char *name)
{
    static const char *const starts[] = {
        "token_embd", "token_types", "position_embd", "output", "rope_", "per_layer_", "altup_", "cls", "dense_", "conv1d", "nextn.", "blk.",
        "enc.", "dec.", "mm.", "v.", "hc_", "posnet", "convnext", "time_mix", "channel_mix",
    };
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++)
        if (strncmp(name, starts[i], strlen(starts[i])) == 0)
            return true;
    return false;
}

/* A tensor that nothing asked for may be a part of the network that this version does not know: then the file is refused. Exceptions are
 * tables of frequencies that old converters left in, and scales of activations that only fp4 arithmetic needs. */
static void report_unused(struct binder *b)
{
    const struct prism_gguf *g = b->m->gguf;
    const char *missed = NULL;
    uint64_t beyond = 0, others = 0, n_missed = 0;

    for (uint64_t i = 0; !b->status && i < g->n_tensors; i++) {
        const char *name = g->tensors[i].name;
        unsigned layer;
        if (b->used[i] || ends_with(name, ".attn_rot_embd.weight") || ends_with(name, ".attn_rot_embd") || ends_with(name, ".inp_scale"))
            continue;
        if (sscanf(name, "blk.%u.", &layer) == 1 && layer >= b->m->hp.n_layer)
            beyond++;
        else if (ends_with(name, ".scale"))
            b->status = prism_fail(b->err, PRISM_E_UNSUPPORTED, "%s: tensor %s: scales of whole tensors are unsupported", b->shown, name);
        else if (takes_part(name))
            missed = n_missed++ ? missed : name;
        else if (++others <= 4)
            prism_warn(&g->log, "%s: tensor %s: unused", b->shown, name);
    }
    if (!b->status && n_missed == 1)
        b->status = prism_fail(b->err, PRISM_E_UNSUPPORTED, "%s: tensor %s: unsupported in architecture %s", b->shown, missed, b->m->arch->name);
    else if (!b->status && n_missed > 1)
        b->status = prism_fail(b->err, PRISM_E_UNSUPPORTED, "%s: tensor %s and %llu more: unsupported in architecture %s", b->shown, missed,
                               (ull)(n_missed - 1), b->m->arch->name);
    if (others > 4)
        prism_warn(&g->log, "%s: tensors: %llu more unused", b->shown, (ull)(others - 4));
    if (beyond > 0)
        prism_warn(&g->log, "%s: tensors: %llu tensors of layers >= %u unused", b->shown, (ull)beyond, b->m->hp.n_layer);
}

enum prism_status prism_bind_tensors(struct prism_model *m, struct prism_rope_divisors *div, struct prism_error *err)
{
    struct binder b = { .m = m, .shown = m->gguf->path, .err = err, .layer = -1 };
    b.used = calloc((size_t)m->gguf->n_tensors + 1, sizeof *b.used);
    m->layers = calloc(m->hp.n_layer, sizeof *m->layers);
    if (!b.used || !m->layers)
        b.status = prism_fail(err, PRISM_E_NOMEM, "%s: out of memory", b.shown);
    bind_top(&b, div);
    for (uint32_t i = 0; !b.status && i < m->hp.n_layer; i++) {
        b.layer = (int)i;
        bind_layer(&b, &m->layers[i]);
    }
    if (!b.status)
        report_unused(&b);
    free(b.used);
    return b.status;
}
