/* gguf_build.c - see gguf_build.h. */
#include "tests/support/gguf_build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/gguf/gguf.h"
#include "tests/support/data.h"

static void *must(void *p)
{
    assert_non_null(p);
    return p;
}

static void *copy(const void *bytes, size_t n)
{
    uint8_t *p = must(calloc(n + 1, 1));
    if (bytes && n)
        memcpy(p, bytes, n);
    return p;
}

struct gb *gb_new(void)
{
    struct gb *g = must(calloc(1, sizeof *g));
    memcpy(g->magic, "GGUF", 4);
    g->version = 3;
    g->alignment = 32;
    return g;
}

void gb_free(struct gb *g)
{
    for (size_t i = 0; i < g->n_pairs; i++) {
        free(g->pairs[i].key);
        free(g->pairs[i].value);
    }
    for (size_t i = 0; i < g->n_tensors; i++) {
        free(g->tensors[i].name);
        free(g->tensors[i].data);
    }
    free(g->pairs);
    free(g->tensors);
    free(g);
}

/* ---- pairs ---- */

static struct gb_pair *find_pair(const struct gb *g, const char *key)
{
    for (size_t i = 0; i < g->n_pairs; i++)
        if (strcmp(g->pairs[i].key, key) == 0)
            return &g->pairs[i];
    return NULL;
}

struct gb_pair *gb_append(struct gb *g, const void *key, size_t key_len, uint32_t type, const void *value, size_t n)
{
    g->pairs = must(realloc(g->pairs, (g->n_pairs + 1) * sizeof *g->pairs));
    struct gb_pair *p = &g->pairs[g->n_pairs++];
    *p = (struct gb_pair){ copy(key, key_len), key_len, key_len, type, copy(value, n), n };
    return p;
}

void gb_set(struct gb *g, const char *key, uint32_t type, const void *value, size_t n)
{
    struct gb_pair *p = find_pair(g, key);
    if (!p) {
        gb_append(g, key, strlen(key), type, value, n);
        return;
    }
    free(p->value);
    p->type = type;
    p->value = copy(value, n);
    p->value_len = n;
}

void gb_u32(struct gb *g, const char *key, uint32_t v) { gb_set(g, key, PRISM_GV_U32, &v, sizeof v); }
void gb_u64(struct gb *g, const char *key, uint64_t v) { gb_set(g, key, PRISM_GV_U64, &v, sizeof v); }
void gb_u16(struct gb *g, const char *key, uint16_t v) { gb_set(g, key, PRISM_GV_U16, &v, sizeof v); }
void gb_i32(struct gb *g, const char *key, int32_t v) { gb_set(g, key, PRISM_GV_I32, &v, sizeof v); }
void gb_f32(struct gb *g, const char *key, float v) { gb_set(g, key, PRISM_GV_F32, &v, sizeof v); }
void gb_bool(struct gb *g, const char *key, uint8_t v) { gb_set(g, key, PRISM_GV_BOOL, &v, sizeof v); }

/* length and bytes at p; returns the end */
static uint8_t *put_string(uint8_t *p, const char *s, size_t n)
{
    uint64_t len = n;
    memcpy(p, &len, 8);
    memcpy(p + 8, s, n);
    return p + 8 + n;
}

void gb_str(struct gb *g, const char *key, const char *v)
{
    size_t n = strlen(v);
    uint8_t *buf = must(malloc(8 + n));
    put_string(buf, v, n);
    gb_set(g, key, PRISM_GV_STR, buf, 8 + n);
    free(buf);
}

void gb_array(struct gb *g, const char *key, uint32_t elem, uint64_t count, const void *values, size_t n_bytes)
{
    uint8_t *buf = must(malloc(12 + n_bytes));
    memcpy(buf, &elem, 4);
    memcpy(buf + 4, &count, 8);
    if (n_bytes)
        memcpy(buf + 12, values, n_bytes);
    gb_set(g, key, PRISM_GV_ARR, buf, 12 + n_bytes);
    free(buf);
}

void gb_strings(struct gb *g, const char *key, const char *const *v, size_t n)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += 8 + strlen(v[i]);
    uint8_t *buf = must(malloc(total + 1)), *p = buf;
    for (size_t i = 0; i < n; i++)
        p = put_string(p, v[i], strlen(v[i]));
    gb_array(g, key, PRISM_GV_STR, n, buf, total);
    free(buf);
}

size_t gb_pair_index(const struct gb *g, const char *key)
{
    struct gb_pair *p = find_pair(g, key);
    if (!p)
        fail_msg("no key %s", key);
    return (size_t)(p - g->pairs);
}

struct gb_pair *gb_pair(struct gb *g, const char *key) { return &g->pairs[gb_pair_index(g, key)]; }

void gb_remove(struct gb *g, const char *key)
{
    size_t i = gb_pair_index(g, key);
    free(g->pairs[i].key);
    free(g->pairs[i].value);
    g->n_pairs--;
    memmove(g->pairs + i, g->pairs + i + 1, (g->n_pairs - i) * sizeof *g->pairs);
}

/* ---- tensors ---- */

struct gb_tensor *gb_add(struct gb *g, const char *name, uint32_t type, uint32_t n_dims, const uint64_t *ne, const void *data, size_t n_bytes)
{
    g->tensors = must(realloc(g->tensors, (g->n_tensors + 1) * sizeof *g->tensors));
    struct gb_tensor *t = &g->tensors[g->n_tensors++];
    *t = (struct gb_tensor){ .name = copy(name, strlen(name)), .name_len = strlen(name), .n_dims = n_dims, .type = type,
                             .data = copy(data, n_bytes), .n_bytes = n_bytes };
    memcpy(t->ne, ne, n_dims * sizeof *ne);
    return t;
}

void gb_add_f32(struct gb *g, const char *name, uint64_t n) { gb_add(g, name, prism_types[PRISM_F32].id, 1, &n, NULL, n * sizeof(float)); }

size_t gb_tensor_index(const struct gb *g, const char *name)
{
    for (size_t i = 0; i < g->n_tensors; i++)
        if (strcmp(g->tensors[i].name, name) == 0)
            return i;
    fail_msg("no tensor %s", name);
    return 0;
}

struct gb_tensor *gb_tensor(struct gb *g, const char *name) { return &g->tensors[gb_tensor_index(g, name)]; }

void gb_remove_tensor(struct gb *g, const char *name)
{
    size_t i = gb_tensor_index(g, name);
    free(g->tensors[i].name);
    free(g->tensors[i].data);
    g->n_tensors--;
    memmove(g->tensors + i, g->tensors + i + 1, (g->n_tensors - i) * sizeof *g->tensors);
}

/* ---- the file ---- */

struct out {
    uint8_t *bytes;
    size_t n, cap;
};

static void put(struct out *o, const void *bytes, size_t n)
{
    if (o->n + n > o->cap) {
        o->cap = 2 * (o->n + n);
        o->bytes = must(realloc(o->bytes, o->cap));
    }
    if (n)
        memcpy(o->bytes + o->n, bytes, n);
    o->n += n;
}

static void put_u32(struct out *o, uint32_t v) { put(o, &v, 4); }
static void put_u64(struct out *o, uint64_t v) { put(o, &v, 8); }

static void pad(struct out *o, size_t alignment)
{
    while (o->n % alignment)
        put(o, "", 1);
}

static size_t *marks(size_t n) { return must(calloc(n + 1, sizeof(size_t))); }

static void put_pairs(struct out *o, const struct gb *g, struct gb_image *im)
{
    for (size_t i = 0; i < g->n_pairs; i++) {
        const struct gb_pair *p = &g->pairs[i];
        im->pair_at[i] = o->n;
        put_u64(o, p->key_count);
        put(o, p->key, p->key_len);
        im->pair_type[i] = o->n;
        put_u32(o, p->type);
        im->pair_value[i] = o->n;
        put(o, p->value, p->value_len);
        im->pair_end[i] = o->n;
    }
}

static void put_infos(struct out *o, const struct gb *g, struct gb_image *im)
{
    uint64_t offset = 0;
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct gb_tensor *t = &g->tensors[i];
        im->info_at[i] = o->n;
        put_u64(o, t->name_len);
        put(o, t->name, t->name_len);
        im->info_dims[i] = o->n;
        put_u32(o, t->n_dims);
        put(o, t->ne, (t->n_dims < 8 ? t->n_dims : 8) * sizeof t->ne[0]);
        im->info_type[i] = o->n;
        put_u32(o, t->type);
        im->info_offset[i] = o->n;
        put_u64(o, offset + t->shift);
        offset += (t->n_bytes + g->alignment - 1) / g->alignment * g->alignment;
    }
}

struct gb_image gb_assemble(const struct gb *g)
{
    struct out o = { 0 };
    struct gb_image im = {
        .pair_at = marks(g->n_pairs), .pair_type = marks(g->n_pairs), .pair_value = marks(g->n_pairs), .pair_end = marks(g->n_pairs),
        .info_at = marks(g->n_tensors), .info_dims = marks(g->n_tensors), .info_type = marks(g->n_tensors),
        .info_offset = marks(g->n_tensors), .data_at = marks(g->n_tensors), .data_end = marks(g->n_tensors),
    };
    put(&o, g->magic, 4);
    put_u32(&o, g->version);
    put_u64(&o, g->n_tensors + g->tensors_shift);
    put_u64(&o, g->n_pairs + g->pairs_shift);
    put_pairs(&o, g, &im);
    put_infos(&o, g, &im);
    im.infos_end = o.n;
    if (g->n_tensors)
        pad(&o, g->alignment);
    im.data_start = o.n;
    for (size_t i = 0; i < g->n_tensors; i++) {
        pad(&o, g->alignment);
        im.data_at[i] = o.n;
        put(&o, g->tensors[i].data, g->tensors[i].n_bytes);
        im.data_end[i] = o.n;
    }
    for (size_t i = 0; i < g->trailing; i++)
        put(&o, "J", 1);
    im.bytes = o.bytes;
    im.n = o.n;
    return im;
}

void gb_image_free(struct gb_image *im)
{
    free(im->bytes);
    free(im->pair_at), free(im->pair_type), free(im->pair_value), free(im->pair_end);
    free(im->info_at), free(im->info_dims), free(im->info_type), free(im->info_offset);
    free(im->data_at), free(im->data_end);
}

const char *gb_write_bytes(const char *name, const void *bytes, size_t n)
{
    static char paths[4][512];
    static unsigned turn;
    char *path = paths[turn++ & 3];
    snprintf(path, sizeof paths[0], "%s/%s", test_tmp_dir(), name);
    FILE *f = fopen(path, "wb");
    if (!f)
        fail_msg("cannot write %s", path);
    assert_int_equal(n ? fwrite(bytes, 1, n, f) : 0, n);
    assert_int_equal(fclose(f), 0);
    return path;
}

const char *gb_write(const struct gb *g, const char *name)
{
    struct gb_image im = gb_assemble(g);
    const char *path = gb_write_bytes(name, im.bytes, im.n);
    gb_image_free(&im);
    return path;
}
