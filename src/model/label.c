/* label.c - the readable name of a file's mix of types, as other GGUF tools print it. */
#include "src/model/load.h"

#include <stdio.h>
#include <string.h>

/* general.file_type numbers (llama.h, enum llama_ftype), and the type of most matrices in such a file. */
static const struct {
    uint32_t id;
    const char *name;
    enum prism_type type;
    bool usual; /* the mix that a majority of `type` stands for */
} file_types[] = {
    {  0, "all F32",       PRISM_F32,    true },  {  1, "F16",           PRISM_F16,    true },
    {  2, "Q4_0",          PRISM_Q4_0,   true },  {  3, "Q4_1",          PRISM_Q4_1,   true },
    {  7, "Q8_0",          PRISM_Q8_0,   true },  {  8, "Q5_0",          PRISM_Q5_0,   true },
    {  9, "Q5_1",          PRISM_Q5_1,   true },  { 10, "Q2_K - Medium", PRISM_Q2_K,   true },
    { 11, "Q3_K - Small",  PRISM_Q3_K,   false }, { 12, "Q3_K - Medium", PRISM_Q3_K,   true },
    { 13, "Q3_K - Large",  PRISM_Q3_K,   false }, { 14, "Q4_K - Small",  PRISM_Q4_K,   false },
    { 15, "Q4_K - Medium", PRISM_Q4_K,   true },  { 16, "Q5_K - Small",  PRISM_Q5_K,   false },
    { 17, "Q5_K - Medium", PRISM_Q5_K,   true },  { 18, "Q6_K",          PRISM_Q6_K,   true },
    { 21, "Q2_K - Small",  PRISM_Q2_K,   false }, { 25, "IQ4_NL - 4.5 bpw", PRISM_IQ4_NL, true },
    { 30, "IQ4_XS - 4.25 bpw", PRISM_IQ4_XS, true }, { 32, "BF16",       PRISM_BF16,   true },
    { 38, "MXFP4 MoE",     PRISM_MXFP4,  true },
};
#define N_FILE_TYPES (sizeof file_types / sizeof file_types[0])
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

    const char *guessed = id & GUESSED ? "(guessed) " : "";
    for (size_t i = 0; told && i < N_FILE_TYPES; i++)
        if (file_types[i].id == (id & ~(uint64_t)GUESSED)) {
            snprintf(m->type_name, sizeof m->type_name, "%s%s", guessed, file_types[i].name);
            return PRISM_OK;
        }
    enum prism_type t = majority(m->gguf);
    snprintf(m->type_name, sizeof m->type_name, "%s", t == PRISM_N_TYPES ? "unknown" : "");
    for (size_t i = 0; i < N_FILE_TYPES; i++)
        if (file_types[i].usual && file_types[i].type == t)
            snprintf(m->type_name, sizeof m->type_name, "(guessed) %s", file_types[i].name);
    if (told)
        prism_warn(&m->gguf->log, "%s: key %s: %llu unknown, type reported from the tensors: %s", shown, key, (unsigned long long)id, m->type_name);
    else if (t != PRISM_N_TYPES)
        prism_warn(&m->gguf->log, "%s: key %s: missing, type reported from the tensors: %s", shown, key, m->type_name);
    return PRISM_OK;
}
