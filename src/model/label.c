/* label.c - the readable name of a file's mix of types, as other GGUF tools print it. */
#include "src/model/load.h"

#include <stdio.h>
#include <string.h>

/* Mixes of types beside those that type_list.h names (general.file_type, llama.h, enum llama_ftype). */
static const struct {
    uint32_t id;
    const char *name;
} mixes[] = {
    { 11, "Q3_K - Small" }, { 13, "Q3_K - Large" }, { 14, "Q4_K - Small" }, { 16, "Q5_K - Small" }, { 21, "Q2_K - Small" },
    { 22, "IQ3_XS - 3.3 bpw" }, { 27, "IQ3_S mix - 3.66 bpw" }, { 29, "IQ2_M - 2.7 bpw" },
};

static const char *name_of(uint64_t file_type)
{
    for (int t = 0; t < PRISM_N_TYPES; t++)
        if (prism_types[t].file_type == file_type)
            return prism_types[t].label;
    for (size_t i = 0; i < sizeof mixes / sizeof *mixes; i++)
        if (mixes[i].id == file_type)
            return mixes[i].name;
    return NULL;
}

#define GUESSED 1024u /* added to the number by a writer that guessed it */

/* The type that holds most values of the matrices; PRISM_N_TYPES: there is none. */
static enum prism_type majority(const struct prism_gguf *g)
{
    uint64_t elements[PRISM_N_TYPES + 1] = { 0 };
    enum prism_type best = PRISM_N_TYPES;

    for (uint64_t i = 0; i < g->n_tensors; i++)
        if (g->tensors[i].n_dims > 1)
            elements[g->tensors[i].type] += g->tensors[i].ne[0] * g->tensors[i].ne[1] * g->tensors[i].ne[2] * g->tensors[i].ne[3];
    for (int t = 0; t < PRISM_N_TYPES; t++)
        if (elements[t] > (best == PRISM_N_TYPES ? 0 : elements[best]))
            best = (enum prism_type)t;
    return best;
}

enum prism_status prism_label_type(struct prism_model *m, struct prism_error *err)
{
    const char *key = "general.file_type", *shown = m->gguf->path;
    bool told = prism_gguf_find(m->gguf, key) != NULL;
    uint64_t id = 0;
    enum prism_status status = prism_gguf_get_uint(m->gguf, key, false, 0, UINT64_MAX, &id, err);
    if (status)
        return status;

    const char *name = told ? name_of(id & ~(uint64_t)GUESSED) : NULL;
    if (name) {
        snprintf(m->type_name, sizeof m->type_name, "%s%s", id & GUESSED ? "(guessed) " : "", name);
        return PRISM_OK;
    }
    enum prism_type t = majority(m->gguf);
    bool none = t == PRISM_N_TYPES;
    snprintf(m->type_name, sizeof m->type_name, "%s%s", none ? "" : "(guessed) ", none ? "unknown" : prism_types[t].label);
    if (told)
        prism_warn(&m->gguf->log, "%s: key %s: %llu unknown, type reported from the tensors: %s", shown, key, (unsigned long long)id, m->type_name);
    else if (t != PRISM_N_TYPES)
        prism_warn(&m->gguf->log, "%s: key %s: missing, type reported from the tensors: %s", shown, key, m->type_name);
    return PRISM_OK;
}
