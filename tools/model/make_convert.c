/* make_convert.c - a model in another type; see make_model.h.
 *
 * Metadata is copied; general.file_type is set, split.* and general.alignment (this file is whole and has 32) are left out. Matrices get
 * the type; vectors, biases of experts and routers become F32, as in llama.cpp. A tensor that has its type already is copied bit for bit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/process.h"
#include "tools/model/make_model.h"
#include "tools/model/quantize.h"

struct conversion {
    const struct prism_gguf *from;
    struct make_type type;
    const struct prism_kernels *kernels;
    struct make_tensor *made;
};

static const char *convert_row(const void *user, size_t i, uint64_t row, void *y, float *x)
{
    const struct conversion *c = user;
    const struct prism_gguf_tensor *t = &c->from->tensors[i];
    enum prism_type type = c->made[i].type;
    size_t n = (size_t)t->ne[0], row_bytes = prism_row_bytes(t->type, n);
    const uint8_t *stored = t->data + row * row_bytes;
    float limit = quantize_limit(type);

    if (t->type == type) {
        memcpy(y, stored, row_bytes);
        return NULL;
    }
    c->kernels->to_f32[t->type](x, stored, n);
    for (size_t j = 0; j < n && isfinite(limit); j++)
        if (!(fabsf(x[j]) < limit))
            return "a value is not finite or too large for the type";
    quantize_row(c->kernels, type, y, x, n);
    return NULL;
}

static enum prism_type choose_type(const struct conversion *c, const struct prism_gguf_tensor *t)
{
    const char *end = strrchr(t->name, '.');

    if (t->n_dims < 2 || (end && !strcmp(end, ".bias")) || strstr(t->name, "ffn_gate_inp."))
        return PRISM_F32;
    return quantize_type_for(c->type.type, (size_t)t->ne[0]);
}

static int list_tensors(struct conversion *c)
{
    c->made = calloc((size_t)c->from->n_tensors + 1, sizeof *c->made);
    if (!c->made)
        return process_error("out of memory");
    for (uint64_t i = 0; i < c->from->n_tensors; i++) {
        const struct prism_gguf_tensor *t = &c->from->tensors[i];
        if (t->type == PRISM_N_TYPES)
            return process_error("%s: tensor %s: cannot read type %s", c->from->path, t->name, t->file_type->name);
        c->made[i] = (struct make_tensor){ .type = choose_type(c, t), .n_dims = t->n_dims };
        memcpy(c->made[i].name, t->name, sizeof c->made[i].name);
        memcpy(c->made[i].ne, t->ne, sizeof c->made[i].ne);
    }
    return PROCESS_OK;
}

static void add_metadata(struct gguf_writer *w, const struct conversion *c)
{
    static const char file_type[] = "general.file_type", version[] = "general.quantization_version", split[] = "split.";

    for (uint64_t i = 0; i < c->from->n_kv; i++) {
        const struct prism_gguf_kv *kv = &c->from->kv[i];
        if (kv == prism_gguf_find(c->from, file_type))
            gguf_add_u32(w, file_type, c->type.file_type);
        else if (kv != prism_gguf_find(c->from, "general.alignment") && (kv->key.n < strlen(split) || memcmp(kv->key.p, split, strlen(split))))
            gguf_add_copy(w, kv);
    }
    if (!prism_gguf_find(c->from, file_type))
        gguf_add_u32(w, file_type, c->type.file_type);
    if (!prism_gguf_find(c->from, version))
        gguf_add_u32(w, version, 2);
}

int make_convert(const struct make_options *options)
{
    struct conversion c = { .kernels = prism_kernels_by_level[prism_level_best()] };
    struct prism_gguf *from = NULL;
    struct gguf_writer w = { 0 };

    int status = make_find_type(options->type, &c.type);
    if (status == PROCESS_OK && (c.type.mix != MAKE_ONE || !quantize_supports(c.type.type)))
        status = process_error("--type %s: --convert writes F32 F16 BF16 Q8_0 Q4_0 only", options->type);
    if (status == PROCESS_OK)
        status = make_open(options->convert, &from);
    if (status == PROCESS_OK) {
        c.from = from;
        status = list_tensors(&c);
    }
    if (status == PROCESS_OK) {
        add_metadata(&w, &c);
        status = make_write(&w, options->output, &(struct make_source){ c.made, (size_t)from->n_tensors, convert_row, &c });
    }
    gguf_free(&w);
    prism_gguf_close(from);
    free(c.made);
    return status;
}
