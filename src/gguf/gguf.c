/* gguf.c - opening and closing: one file, and the set of files of a split model.
 *
 * A split model is PREFIX-00001-of-0000N.gguf ...; each part is a GGUF file of its own with split.no and split.count. Part 1 has
 * all other metadata. */
#include "src/gguf/reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef unsigned long long ull; /* for %llu */

void prism_gguf_close(struct prism_gguf *g)
{
    if (!g)
        return;
    for (uint32_t i = 0; g->more && i + 1 < g->n_files; i++)
        prism_gguf_close(g->more[i]);
    free(g->more);
    for (uint64_t i = 0; i < g->n_kv; i++)
        free(g->kv[i].strings);
    free(g->kv);
    free(g->tensors);
    prism_index_free(g->keys);
    prism_index_free(g->names);
    if (g->map)
        munmap((void *)g->map, (size_t)g->map_bytes);
    free((char *)g->path);
    free(g);
}

static enum prism_status read_file(struct prism_gguf *g, struct prism_error *err)
{
    enum prism_status status = prism_map_file(g, err);
    if (status)
        return status;
    g->file_bytes = g->map_bytes;
    struct prism_reader r = { .g = g, .cur = { g->map, g->map_bytes }, .err = err, .shown = g->path };
    if ((status = prism_read_meta(&r)))
        return status;
    return prism_read_tensors(&r);
}

/* One file, whether part of a set or not. */
static enum prism_status open_one(const char *path, struct prism_log log, struct prism_gguf **out, struct prism_error *err)
{
    struct prism_gguf *g = calloc(1, sizeof *g);
    *out = NULL;
    if (!g)
        return prism_fail(err, PRISM_E_NOMEM, "%s: out of memory", path);
    g->log = log;
    g->n_files = 1;
    g->path = strdup(path);
    g->keys = prism_index_new();
    g->names = prism_index_new();
    enum prism_status status = g->path && g->keys && g->names ? read_file(g, err)
                                                               : prism_fail(err, PRISM_E_NOMEM, "%s: out of memory", path);
    if (status)
        prism_gguf_close(g);
    else
        *out = g;
    return status;
}

/* ---- split models ---- */

/* "-00001-of-00003.gguf" at the end of a name. */
#define SUFFIX_LEN 20
static bool parse_suffix(const char *path, unsigned *no, unsigned *count)
{
    size_t n = strlen(path);
    int end = 0;
    if (n < SUFFIX_LEN)
        return false;
    const char *s = path + n - SUFFIX_LEN;
    return sscanf(s, "-%5u-of-%5u.gguf%n", no, count, &end) == 2 && end == SUFFIX_LEN;
}

/* The path of part `no` (from 1) for the path of another part. NULL: out of memory. */
static char *part_path(const char *path, uint64_t no, uint64_t count)
{
    size_t prefix = strlen(path) - SUFFIX_LEN, cap = prefix + 64;
    char *p = malloc(cap);
    if (p)
        snprintf(p, cap, "%.*s-%05llu-of-%05llu.gguf", (int)prefix, path, (ull)no, (ull)count);
    return p;
}

/* What part 1 says about the set, compared with its name. *count: parts, 1 for a file that is not split. */
static enum prism_status check_first(const struct prism_gguf *g, uint64_t *count, struct prism_error *err)
{
    const char *shown = g->path;
    unsigned name_no = 0, name_count = 0;
    bool named = parse_suffix(g->path, &name_no, &name_count);
    uint64_t no = 0;
    bool told = prism_gguf_find(g, "split.count") != NULL;

    *count = 0;
    enum prism_status status = prism_gguf_get_uint(g, "split.count", false, 0, UINT16_MAX, count, err);
    if (status || (status = prism_gguf_get_uint(g, "split.no", false, 0, UINT16_MAX, &no, err)))
        return status;
    if (*count <= 1) {
        if (told && named && name_count > 1)
            return prism_fail(err, PRISM_E_FORMAT, "%s: key split.count: expected %u (from the file's name), found %llu", shown, name_count,
                              (ull)*count);
        *count = 1;
        return PRISM_OK;
    }
    if (no != 0) {
        char *first = named ? part_path(g->path, 1, *count) : NULL;
        status = prism_fail(err, PRISM_E_FORMAT, "%s: key split.no: expected 0, found %llu: pass the first part: %s", shown, (ull)no,
                            first ? first : "its name ends in -00001-of-N.gguf");
        free(first);
        return status;
    }
    if (!named || name_no != 1 || name_count != *count)
        return prism_fail(err, PRISM_E_FORMAT, "%s: name: expected to end in -00001-of-%05llu.gguf (split.count %llu)", shown, (ull)*count,
                          (ull)*count);
    return PRISM_OK;
}

/* Moves the tensors of a part to the end of g's; the part keeps the mapping they point into. */
static enum prism_status take_tensors(struct prism_gguf *g, struct prism_gguf *part, struct prism_error *err)
{
    uint64_t n = g->n_tensors + part->n_tensors;
    if (part->n_tensors > 0) {
        struct prism_gguf_tensor *t = realloc(g->tensors, (size_t)n * sizeof *t);
        if (!t)
            return prism_fail(err, PRISM_E_NOMEM, "%s: out of memory", part->path);
        memcpy(t + g->n_tensors, part->tensors, (size_t)part->n_tensors * sizeof *t);
        g->tensors = t;
    }
    g->n_tensors = n;
    g->tensor_bytes += part->tensor_bytes;
    g->file_bytes += part->file_bytes;
    return PRISM_OK;
}

static enum prism_status open_part(struct prism_gguf *g, uint64_t i, uint64_t count, struct prism_error *err)
{
    char *path = part_path(g->path, i + 1, count);
    if (!path)
        return prism_fail(err, PRISM_E_NOMEM, "%s: out of memory", g->path);
    enum prism_status status = open_one(path, g->log, &g->more[i - 1], err);
    free(path);
    if (status)
        return status;
    struct prism_gguf *part = g->more[i - 1];
    uint64_t value = 0;
    if ((status = prism_gguf_get_uint(part, "split.count", true, count, count, &value, err)) ||
        (status = prism_gguf_get_uint(part, "split.no", true, i, i, &value, err)))
        return status;
    return take_tensors(g, part, err);
}

/* Names of all parts in one index. The names lie inside g->tensors, which does not move any more. */
static enum prism_status index_all(struct prism_gguf *g, struct prism_error *err)
{
    prism_index_free(g->names);
    g->names = prism_index_new();
    for (uint64_t i = 0, held; i < g->n_tensors; i++) {
        const char *name = g->tensors[i].name;
        if (!g->names || prism_index_add(g->names, name, strlen(name), i, &held))
            return prism_fail(err, PRISM_E_NOMEM, "%s: out of memory", g->path);
        if (held != PRISM_INDEX_NONE)
            return prism_fail(err, PRISM_E_FORMAT, "%s: tensor %s: duplicate name in two parts of the split model",
                              g->path, name);
    }
    return PRISM_OK;
}

static enum prism_status open_split(struct prism_gguf *g, uint64_t count, struct prism_error *err)
{
    uint64_t expected = 0;
    enum prism_status status = prism_gguf_get_uint(g, "split.tensors.count", true, 0, INT64_MAX, &expected, err);
    if (status)
        return status;
    g->more = calloc((size_t)count - 1, sizeof(struct prism_gguf *));
    if (!g->more)
        return prism_fail(err, PRISM_E_NOMEM, "%s: out of memory", g->path);
    g->n_files = (uint32_t)count;
    for (uint64_t i = 1; !status && i < count; i++)
        status = open_part(g, i, count, err);
    if (status || (status = index_all(g, err)))
        return status;
    if (g->n_tensors != expected)
        return prism_fail(err, PRISM_E_FORMAT, "%s: key split.tensors.count: expected %llu (the sum over all parts), found %llu",
                          g->path, (ull)g->n_tensors, (ull)expected);
    return PRISM_OK;
}

struct prism_span_of_file prism_gguf_part(const struct prism_gguf *g, uint32_t i)
{
    const struct prism_gguf *part = i == 0 ? g : g->more[i - 1];
    return (struct prism_span_of_file){ part->map, part->map_bytes };
}

enum prism_status prism_gguf_open(const char *path, struct prism_log log, struct prism_gguf **out, struct prism_error *err)
{
    uint64_t count;
    enum prism_status status = open_one(path, log, out, err);
    if (!status && !(status = check_first(*out, &count, err)) && count > 1)
        status = open_split(*out, count, err);
    if (status) {
        prism_gguf_close(*out);
        *out = NULL;
    }
    return status;
}
