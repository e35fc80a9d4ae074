/* tensors.c - tensors by name and shape (build.h). A matrix is used where it lies in the mapping; a vector too when it is aligned f32,
 * otherwise it is widened into memory of the model. */
#include "src/gguf/reader.h"
#include "src/model/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long ull; /* for %llu */

/* "blk.3.attn_q.weight" for "attn_q.weight" inside layer 3. */
static const char *full_name(const struct prism_builder *b, const char *name, char *buf, size_t cap)
{
    if (b->layer < 0)
        snprintf(buf, cap, "%s", name);
    else
        snprintf(buf, cap, "blk.%d.%s", b->layer, name);
    return buf;
}

bool prism_tensor_is_there(const struct prism_builder *b, const char *name)
{
    char full[PRISM_GGUF_NAME];
    return prism_gguf_tensor_find(b->g, full_name(b, name, full, sizeof full)) != NULL;
}

void prism_tensor_unsupported(struct prism_builder *b, const char *name, const char *what)
{
    char full[PRISM_GGUF_NAME];
    if (!b->status)
        b->status = prism_fail(b->err, PRISM_E_UNSUPPORTED, "%s: tensor %s: %s", b->shown, full_name(b, name, full, sizeof full), what);
}

static const struct prism_gguf_tensor *request(struct prism_builder *b, const char *name, enum need need)
{
    char full[PRISM_GGUF_NAME], where[32] = "";
    if (b->status)
        return NULL;
    const struct prism_gguf_tensor *t = prism_gguf_tensor_find(b->g, full_name(b, name, full, sizeof full));
    if (t)
        b->tensor_used[t - b->g->tensors] = true;
    if (!t && need == REQUIRED) {
        if (b->layer >= 0)
            snprintf(where, sizeof where, ", layer %d", b->layer);
        b->status = prism_fail(b->err, PRISM_E_FORMAT, "%s: tensor %s: missing (architecture %s%s)", b->shown, full, b->m->arch->name, where);
    }
    if (t && t->type == PRISM_N_TYPES) {
        char list[512];
        size_t o = 0;
        for (int i = 0; i < PRISM_N_TYPES; i++)
            o += (size_t)snprintf(list + o, sizeof list - o, " %s", prism_types[i].name);
        b->status = prism_fail(b->err, PRISM_E_UNSUPPORTED, "%s: tensor %s: type %s unsupported; supported:%s", b->shown, t->name,
                               t->file_type->name, list);
    }
    return b->status ? NULL : t;
}

static void check_shape(struct prism_builder *b, const struct prism_gguf_tensor *t, uint64_t ne0, uint64_t ne1, uint64_t ne2)
{
    char third[32] = "";
    if (t->ne[0] == ne0 && t->ne[1] == ne1 && t->ne[2] == ne2 && t->ne[3] == 1)
        return;
    if (ne2 != 1)
        snprintf(third, sizeof third, ", %llu", (ull)ne2);
    b->status = prism_fail(b->err, PRISM_E_FORMAT, "%s: tensor %s: shape: expected [%llu, %llu%s], found [%llu, %llu%s]", b->shown, t->name, (ull)ne0,
                           (ull)ne1, third, (ull)t->ne[0], (ull)t->ne[1], t->ne[2] != 1 || t->ne[3] != 1 ? ", ..." : "");
}

void prism_tensor_matrix(struct prism_builder *b, struct prism_matrix *out, const char *name, size_t k, size_t rows, enum need need)
{
    prism_tensor_slabs(b, out, name, k, rows, 1, need);
}

/* NVFP4 has a number for each slab beside it, in the tensor NAME.scale for NAME.weight; NULL: it has not. Not for token_embd, of which no
 * product is made. */
static const float *slab_scales(struct prism_builder *b, const struct prism_gguf_tensor *t, const char *name, size_t n)
{
    char scale[PRISM_GGUF_NAME];
    const char *dot = strrchr(name, '.');
    if (t->type != PRISM_NVFP4 || !dot || strcmp(name, "token_embd.weight") == 0)
        return NULL;
    snprintf(scale, sizeof scale, "%.*s.scale", (int)(dot - name), name);
    return prism_tensor_vector(b, scale, n, OPTIONAL);
}

void prism_tensor_slabs(struct prism_builder *b, struct prism_matrix *out, const char *name, size_t k, size_t rows, size_t n, enum need need)
{
    const struct prism_gguf_tensor *t = request(b, name, need);
    if (!t)
        return;
    check_shape(b, t, k, rows, n);
    /* Blocks begin with or contain 16-bit scales; only files with general.alignment 1 or 2 can break this. */
    size_t align = t->type == PRISM_F32 ? sizeof(float) : sizeof(uint16_t);
    if (!b->status && (uintptr_t)t->data % align)
        b->status = prism_fail(b->err, PRISM_E_UNSUPPORTED, "%s: tensor %s: data: expected to start at a multiple of %zu bytes", b->shown,
                               t->name, align);
    *out = (struct prism_matrix){ t->data, t->type, rows * n, k, prism_row_bytes(t->type, k), slab_scales(b, t, name, n), rows };
}

/* n floats in memory of the model. NULL: there is none, the status says so. */
static float *own(struct prism_builder *b, const char *name, size_t n)
{
    struct prism_owned *o = malloc(sizeof *o + n * sizeof(float));
    if (!o) {
        b->status = prism_fail(b->err, PRISM_E_NOMEM, "%s: tensor %s: out of memory", b->shown, name);
        return NULL;
    }
    o->next = b->m->owned;
    b->m->owned = o;
    return o->values;
}

static const float *widen(struct prism_builder *b, const struct prism_gguf_tensor *t, size_t n)
{
    float *values = own(b, t->name, n);

    if (values && t->type == PRISM_F32) /* misaligned in the file */
        memcpy(values, t->data, n * sizeof(float));
    else if (values)
        prism_kernels_by_level[PRISM_LEVEL_GENERIC]->to_f32[t->type](values, t->data, n);
    return values;
}

const float *prism_tensor_table(struct prism_builder *b, const char *name, size_t n, size_t rows, enum need need)
{
    const struct prism_gguf_tensor *t = request(b, name, need);
    if (!t)
        return NULL;
    bool wide = t->type == PRISM_F32;
    if ((!wide && t->type != PRISM_F16 && t->type != PRISM_BF16) || t->ne[0] != n || t->ne[1] != rows || t->ne[2] != 1 || t->ne[3] != 1) {
        char second[32] = "";
        if (rows != 1)
            snprintf(second, sizeof second, ", %zu", rows);
        b->status = prism_fail(b->err, PRISM_E_FORMAT, "%s: tensor %s: expected f32 [%zu%s], found %s [%llu%s]", b->shown, t->name, n, second,
                               t->file_type->name, (ull)t->ne[0], t->n_dims > 1 ? ", ..." : "");
        return NULL;
    }
    if (wide && (uintptr_t)t->data % _Alignof(float) == 0)
        return (const float *)t->data;
    return widen(b, t, n * rows);
}

const float *prism_tensor_scaled(struct prism_builder *b, const char *name, size_t n, float factor)
{
    const float *v = prism_tensor_vector(b, name, n, REQUIRED);
    float *scaled = v ? own(b, name, n) : NULL;

    for (size_t i = 0; scaled && i < n; i++)
        scaled[i] = v[i] * factor;
    return scaled;
}

const float *prism_tensor_vector(struct prism_builder *b, const char *name, size_t n, enum need need)
{
    return prism_tensor_table(b, name, n, 1, need);
}

/* ---- what nothing asked for ---- */

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
void prism_check_unread_tensors(struct prism_builder *b)
{
    const struct prism_gguf *g = b->g;
    const char *missed = NULL;
    uint64_t beyond = 0, others = 0, n_missed = 0;

    for (uint64_t i = 0; !b->status && i < g->n_tensors; i++) {
        const char *name = g->tensors[i].name;
        unsigned layer;
        if (b->tensor_used[i] || ends_with(name, ".attn_rot_embd.weight") || ends_with(name, ".attn_rot_embd") ||
            ends_with(name, ".inp_scale") || ends_with(name, ".input_scale"))
            continue;
        if (sscanf(name, "blk.%u.", &layer) == 1 && layer >= b->m->n_layer)
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
        prism_warn(&g->log, "%s: tensors: %llu tensors of layers >= %u unused", b->shown, (ull)beyond, b->m->n_layer);
}

