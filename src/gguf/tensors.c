/* tensors.c - tensor infos of one file, and where their data lies: types, sizes, the rule that offsets are dense. */
#include "src/gguf/reader.h"

#include <stdlib.h>
#include <string.h>

typedef unsigned long long ull; /* for %llu */


static enum prism_status read_name(struct prism_reader *r, uint64_t i, struct prism_gguf_tensor *t, struct prism_str *name)
{
    const uint8_t *p = prism_take(&r->cur, 8);
    if (!p)
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: tensor %llu: name: expected 8 bytes of length, file ended after %llu", r->shown,
                          (ull)i, (ull)r->cur.left);
    uint64_t n = prism_le64(p);
    if (n == 0)
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: tensor %llu: name: expected 1..63 bytes, found an empty name", r->shown, (ull)i);
    if (n >= PRISM_GGUF_NAME)
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: tensor %llu: name length: expected at most 63, found %llu", r->shown, (ull)i, (ull)n);
    p = prism_take(&r->cur, n);
    if (!p)
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: tensor %llu: name: expected %llu bytes, file ended after %llu", r->shown, (ull)i,
                          (ull)n, (ull)r->cur.left);
    memcpy(t->name, p, (size_t)n);
    t->name[n] = 0;
    *name = (struct prism_str){ (const char *)p, (size_t)n };
    if (memchr(p, 0, (size_t)n))
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: tensor %llu: name \"%s\": contains a zero byte", r->shown, (ull)i, t->name);
    return PRISM_OK;
}

static enum prism_status ended(struct prism_reader *r, const struct prism_gguf_tensor *t)
{
    return prism_fail(r->err, PRISM_E_FORMAT, "%s: tensor %s: description: file ended inside it (%llu bytes are left)", r->shown,
                      t->name, (ull)r->cur.left);
}

static enum prism_status read_dims(struct prism_reader *r, struct prism_gguf_tensor *t)
{
    const uint8_t *p = prism_take(&r->cur, 4);
    if (!p)
        return ended(r, t);
    t->n_dims = prism_le32(p);
    if (t->n_dims < 1 || t->n_dims > 4)
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: tensor %s: dimensions: expected 1..4, found %u", r->shown, t->name, t->n_dims);
    p = prism_take(&r->cur, 8u * t->n_dims);
    if (!p)
        return ended(r, t);
    uint64_t elements = 1;
    for (unsigned d = 0; d < 4; d++) {
        uint64_t ne = d < t->n_dims ? prism_le64(p + 8 * d) : 1;
        if (ne == 0 || ne > INT64_MAX)
            return prism_fail(r->err, PRISM_E_FORMAT, "%s: tensor %s: dimension %u: expected 1..2^63-1, found %llu", r->shown, t->name, d,
                              (ull)ne);
        if (ne > INT64_MAX / elements)
            return prism_fail(r->err, PRISM_E_FORMAT, "%s: tensor %s: element count too large: expected less than 2^63, found %llu x %llu",
                              r->shown, t->name, (ull)elements, (ull)ne);
        t->ne[d] = ne;
        elements *= ne;
    }
    return PRISM_OK;
}

/* Type, size in bytes. */
static enum prism_status set_type(struct prism_reader *r, struct prism_gguf_tensor *t, uint32_t id)
{
    const struct prism_file_type *ft = prism_file_type_find(id);
    if (!ft)
        return prism_fail(r->err, PRISM_E_UNSUPPORTED, "%s: tensor %s: type: expected a known number, found %u: unknown", r->shown, t->name,
                          id);
    if (ft->removed)
        return prism_fail(r->err, PRISM_E_UNSUPPORTED, "%s: tensor %s: type: %u (%s) was removed from the format", r->shown, t->name, id,
                          ft->name);
    t->file_type = ft;
    t->type = ft->type < 0 ? PRISM_N_TYPES : (enum prism_type)ft->type;
    if (t->ne[0] % ft->block)
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: tensor %s: row length: expected a multiple of %u (block size of %s), found %llu",
                          r->shown, t->name, ft->block, ft->name, (ull)t->ne[0]);
    uint64_t blocks = t->ne[0] / ft->block * t->ne[1] * t->ne[2] * t->ne[3]; /* at most the element count: no overflow */
    if (blocks > UINT64_MAX / ft->bytes)
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: tensor %s: byte size too large: %llu blocks of %u bytes", r->shown, t->name,
                          (ull)blocks, ft->bytes);
    t->n_bytes = blocks * ft->bytes;
    return PRISM_OK;
}

static enum prism_status read_info(struct prism_reader *r, uint64_t i, struct prism_gguf_tensor *t, uint64_t *offset)
{
    struct prism_str name = { 0 };
    enum prism_status status = read_name(r, i, t, &name);
    if (status || (status = read_dims(r, t)))
        return status;
    const uint8_t *p = prism_take(&r->cur, 12);
    if (!p)
        return ended(r, t);
    *offset = prism_le64(p + 4);
    if ((status = set_type(r, t, prism_le32(p))))
        return status;
    uint64_t held;
    if (prism_index_add(r->g->names, name.p, name.n, i, &held))
        return prism_fail(r->err, PRISM_E_NOMEM, "%s: out of memory", r->shown);
    if (held != PRISM_INDEX_NONE)
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: tensor %s: duplicate name (infos %llu and %llu)", r->shown, t->name, (ull)held,
                          (ull)i);
    return PRISM_OK;
}

/* Offsets are dense: each tensor starts where the one before it ends, rounded up to the alignment. size: of the data section.
 * *end: where the tensor before it ends, moved on. */
static enum prism_status place(struct prism_reader *r, struct prism_gguf_tensor *t, const uint8_t *section, uint64_t start, uint64_t size,
                               uint64_t offset, uint64_t *end)
{
    uint64_t expected = *end + (-*end & (r->alignment - 1));

    if (offset & (r->alignment - 1))
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: tensor %s: offset: expected a multiple of %llu (general.alignment), found %llu",
                          r->shown, t->name, (ull)r->alignment, (ull)offset);
    if (offset > size || t->n_bytes > size - offset)
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: tensor %s: data: expected %llu bytes at offset %llu + %llu, file ends at %llu",
                          r->shown, t->name, (ull)t->n_bytes, (ull)start, (ull)offset, (ull)(start + size));
    if (offset < expected)
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: tensor %s: offset: expected %llu (previous tensor ends at %llu), found %llu: overlap",
                          r->shown, t->name, (ull)expected, (ull)*end, (ull)offset);
    if (offset > expected)
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: tensor %s: offset: expected %llu, found %llu: gap", r->shown, t->name,
                          (ull)expected, (ull)offset);
    t->data = section + offset;
    *end = offset + t->n_bytes;
    return PRISM_OK;
}

static enum prism_status place_all(struct prism_reader *r, const uint64_t *offsets)
{
    struct prism_gguf *g = r->g;
    uint64_t start = g->map_bytes - r->cur.left, pad = -start & (r->alignment - 1), end = 0;

    if (pad > r->cur.left)
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: data: expected to start at %llu, file ends at %llu", r->shown, (ull)(start + pad),
                          (ull)g->map_bytes);
    uint64_t size = r->cur.left - pad;
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        enum prism_status status = place(r, &g->tensors[i], r->cur.at + pad, start + pad, size, offsets[i], &end);
        if (status)
            return status;
        g->tensor_bytes += g->tensors[i].n_bytes;
    }
    uint64_t padded = end + (-end & (r->alignment - 1)); /* a writer may pad after the last tensor too */
    if (size > padded)
        prism_warn(&g->log, "%s: %llu trailing bytes ignored", r->shown, (ull)(size - padded));
    return PRISM_OK;
}

enum prism_status prism_read_tensors(struct prism_reader *r)
{
    struct prism_gguf *g = r->g;
    uint64_t *offsets = NULL;
    enum prism_status status = PRISM_OK;

    for (uint64_t i = 0; !status && i < r->n_tensors; i++) {
        struct prism_gguf_tensor *t = prism_grow(g->tensors, i, sizeof *t);
        if (t)
            g->tensors = t;
        uint64_t *o = prism_grow(offsets, i, sizeof *o);
        if (o)
            offsets = o;
        if (!t || !o)
            status = prism_fail(r->err, PRISM_E_NOMEM, "%s: out of memory", r->shown);
        else
            status = read_info(r, i, &g->tensors[i], &offsets[i]);
        g->n_tensors = i + 1;
    }
    if (!status && g->n_tensors > 0)
        status = place_all(r, offsets);
    free(offsets);
    return status;
}
