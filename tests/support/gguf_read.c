/* gguf_read.c - see gb_read in gguf_build.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/gguf/gguf.h"
#include "tests/support/gguf_build.h"

static char *terminated(struct prism_str s)
{
    char *copy = strndup(s.p, s.n);
    assert_non_null(copy);
    return copy;
}

static void add_strings(struct gb *g, const char *key, const struct prism_gguf_kv *kv)
{
    char **texts = calloc(kv->n + 1, sizeof *texts);
    assert_non_null(texts);
    for (uint64_t i = 0; i < kv->n; i++)
        texts[i] = terminated(kv->strings[i]);
    if (kv->type == PRISM_GV_STR)
        gb_str(g, key, texts[0]);
    else
        gb_strings(g, key, (const char *const *)texts, kv->n);
    for (uint64_t i = 0; i < kv->n; i++)
        free(texts[i]);
    free(texts);
}

static void add_pair(struct gb *g, const struct prism_gguf_kv *kv)
{
    char *key = terminated(kv->key);

    if (kv->elem == PRISM_GV_STR)
        add_strings(g, key, kv);
    else if (kv->type == PRISM_GV_ARR)
        gb_array(g, key, kv->elem, kv->n, kv->data, kv->n * prism_gguf_vtype_bytes(kv->elem));
    else
        gb_set(g, key, kv->type, kv->data, prism_gguf_vtype_bytes(kv->type));
    free(key);
}

struct gb *gb_read(const char *path)
{
    struct prism_gguf *file;
    struct prism_error err;
    struct gb *g = gb_new();

    if (prism_gguf_open(path, (struct prism_log){ 0 }, &file, &err))
        fail_msg("%s", err.text);
    for (uint64_t i = 0; i < file->n_kv; i++)
        add_pair(g, &file->kv[i]);
    for (uint64_t i = 0; i < file->n_tensors; i++) {
        const struct prism_gguf_tensor *t = &file->tensors[i];
        gb_add(g, t->name, t->file_type->id, t->n_dims, t->ne, t->data, t->n_bytes);
    }
    prism_gguf_close(file);
    return g;
}
