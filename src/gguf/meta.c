/* meta.c - header and key/value pairs of one file. */
#include "src/gguf/reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/utf8.h"

static const struct {
    const char *name;
    size_t bytes; /* of one value; 0: variable */
} vtypes[PRISM_GV_COUNT] = {
    [PRISM_GV_U8] = { "u8", 1 },   [PRISM_GV_I8] = { "i8", 1 },   [PRISM_GV_U16] = { "u16", 2 },   [PRISM_GV_I16] = { "i16", 2 },
    [PRISM_GV_U32] = { "u32", 4 }, [PRISM_GV_I32] = { "i32", 4 }, [PRISM_GV_F32] = { "f32", 4 },   [PRISM_GV_BOOL] = { "bool", 1 },
    [PRISM_GV_STR] = { "str", 0 }, [PRISM_GV_ARR] = { "array", 0 }, [PRISM_GV_U64] = { "u64", 8 }, [PRISM_GV_I64] = { "i64", 8 },
    [PRISM_GV_F64] = { "f64", 8 },
};

const char *prism_gguf_vtype_name(enum prism_gguf_vtype t) { return vtypes[t].name; }
size_t prism_gguf_vtype_bytes(enum prism_gguf_vtype t) { return vtypes[t].bytes; }

typedef unsigned long long ull; /* for %llu */

/* ---- header ---- */

static enum prism_status check_magic(struct prism_reader *r)
{
    char found[20];
    const uint8_t *magic = prism_take(&r->cur, 4);
    if (!magic)
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: magic: expected 4 bytes \"GGUF\", found %llu bytes", r->shown,
                          (ull)r->cur.left);
    if (memcmp(magic, "GGUF", 4) != 0)
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: magic: expected \"GGUF\", found \"%s\"", r->shown,
                          prism_printable(found, sizeof found, magic, 4));
    return PRISM_OK;
}

static enum prism_status check_version(struct prism_reader *r, uint32_t version)
{
    r->g->version = version;
    if (version == 2 || version == 3)
        return PRISM_OK;
    if (version != 0 && (version & 0xFFFF) == 0)
        return prism_fail(r->err, PRISM_E_UNSUPPORTED, "%s: version: big-endian file, only little-endian is supported (found 0x%08X)",
                          r->shown, version);
    return prism_fail(r->err, PRISM_E_FORMAT, "%s: version: expected 2 or 3, found %u%s", r->shown, version,
                      version == 1 ? " (old format)" : "");
}

/* A count that could not fit even if every item had its least size is refused before anything is allocated. */
static enum prism_status check_count(struct prism_reader *r, const char *what, uint64_t n, uint64_t least)
{
    if (n <= r->cur.left / least)
        return PRISM_OK;
    return prism_fail(r->err, PRISM_E_FORMAT, "%s: header: %s: expected at most %llu (%llu bytes each in the rest of the file), found %llu",
                      r->shown, what, (ull)(r->cur.left / least), (ull)least, (ull)n);
}

static enum prism_status read_header(struct prism_reader *r, uint64_t *n_kv)
{
    enum prism_status status = check_magic(r);
    if (status)
        return status;
    const uint8_t *p = prism_take(&r->cur, 20);
    if (!p)
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: header: expected 24 bytes, found %llu", r->shown, (ull)(4 + r->cur.left));
    if ((status = check_version(r, prism_le32(p))))
        return status;
    r->n_tensors = prism_le64(p + 4);
    *n_kv = prism_le64(p + 12);
    /* tensor info: name 8 + 1, dimensions 4 + 8, type 4, offset 8; pair: key 8 + 1, type 4, value 1 */
    if ((status = check_count(r, "tensor count", r->n_tensors, 33)))
        return status;
    return check_count(r, "pair count", *n_kv, 14);
}

/* ---- pairs ---- */

static enum prism_status read_key(struct prism_reader *r, uint64_t i, struct prism_str *key)
{
    const uint8_t *p = prism_take(&r->cur, 8);
    if (!p)
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: key %llu: length: expected 8 bytes, file ended after %llu", r->shown, (ull)i,
                          (ull)r->cur.left);
    uint64_t n = prism_le64(p);
    if (n == 0)
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: key %llu: expected a name, found an empty key", r->shown, (ull)i);
    if (n > PRISM_MAX_KEY)
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: key %llu: length: expected at most %u, found %llu", r->shown, (ull)i,
                          PRISM_MAX_KEY, (ull)n);
    p = prism_take(&r->cur, n);
    if (!p)
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: key %llu: expected %llu bytes, file has %llu", r->shown, (ull)i, (ull)n,
                          (ull)r->cur.left);
    *key = (struct prism_str){ (const char *)p, (size_t)n };
    if (memchr(p, 0, (size_t)n))
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: key %llu: \"%.*s\": contains a zero byte", r->shown, (ull)i,
                          prism_show_len(key->n), key->p);
    return PRISM_OK;
}

/* All of the functions below name the key of kv; where tells which part of its value is meant. */
static enum prism_status fail_value(struct prism_reader *r, const struct prism_gguf_kv *kv, const char *where, uint64_t need)
{
    return prism_fail(r->err, PRISM_E_FORMAT, "%s: key %.*s: %s: expected %llu bytes, file ended after %llu", r->shown,
                      prism_show_len(kv->key.n), kv->key.p, where, (ull)need, (ull)r->cur.left);
}

/* "value", or the element of an array; the text lies in buf. */
static const char *element_name(char *buf, size_t cap, const struct prism_gguf_kv *kv, int64_t element)
{
    if (element < 0)
        return "value";
    snprintf(buf, cap, "element %lld of %llu", (long long)element, (ull)kv->n);
    return buf;
}

/* A length-prefixed string. element: which one of an array, or -1. */
static enum prism_status read_string(struct prism_reader *r, const struct prism_gguf_kv *kv, int64_t element, struct prism_str *out)
{
    char where[64];
    const uint8_t *p = prism_take(&r->cur, 8);
    if (!p)
        return fail_value(r, kv, element_name(where, sizeof where, kv, element), 8);
    uint64_t n = prism_le64(p), most = r->cur.left < PRISM_MAX_STRING ? r->cur.left : PRISM_MAX_STRING;
    if (n > most)
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: key %.*s: %s: string length: expected at most %llu (%llu bytes are left), found %llu",
                          r->shown, prism_show_len(kv->key.n), kv->key.p, element_name(where, sizeof where, kv, element), (ull)most,
                          (ull)r->cur.left, (ull)n);
    *out = (struct prism_str){ (const char *)prism_take(&r->cur, n), (size_t)n };
    return PRISM_OK;
}

/* Two passes: the first proves that all strings lie in the file, so that the table is never larger than twice its bytes. */
static enum prism_status index_strings(struct prism_reader *r, struct prism_gguf_kv *kv)
{
    struct prism_cursor first = r->cur;
    struct prism_str s;
    enum prism_status status = PRISM_OK;
    for (uint64_t i = 0; !status && i < kv->n; i++)
        status = read_string(r, kv, (int64_t)i, &s);
    if (status)
        return status;
    kv->strings = calloc(kv->n ? (size_t)kv->n : 1, sizeof *kv->strings);
    if (!kv->strings)
        return prism_fail(r->err, PRISM_E_NOMEM, "%s: key %.*s: out of memory", r->shown, prism_show_len(kv->key.n), kv->key.p);
    r->cur = first;
    for (uint64_t i = 0; !status && i < kv->n; i++)
        status = read_string(r, kv, (int64_t)i, &kv->strings[i]);
    return status;
}

static enum prism_status read_array(struct prism_reader *r, struct prism_gguf_kv *kv)
{
    const uint8_t *p = prism_take(&r->cur, 12);
    if (!p)
        return fail_value(r, kv, "array header", 12);
    uint32_t elem = prism_le32(p);
    kv->n = prism_le64(p + 4);
    kv->data = r->cur.at;
    if (elem >= PRISM_GV_COUNT || elem == PRISM_GV_ARR)
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: key %.*s: array element type: expected 0..8 or 10..12, found %u%s", r->shown,
                          prism_show_len(kv->key.n), kv->key.p, elem, elem == PRISM_GV_ARR ? " (nested arrays are unsupported)" : "");
    kv->elem = (enum prism_gguf_vtype)elem;
    bool strings = kv->elem == PRISM_GV_STR;
    uint64_t size = strings ? 8 : vtypes[elem].bytes, limit = strings ? PRISM_MAX_STRINGS : PRISM_MAX_ARRAY;
    uint64_t most = r->cur.left / size < limit ? r->cur.left / size : limit;
    if (kv->n > most)
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: key %.*s: array count: expected at most %llu (%llu bytes are left), found %llu",
                          r->shown, prism_show_len(kv->key.n), kv->key.p, (ull)most, (ull)r->cur.left, (ull)kv->n);
    if (strings)
        return index_strings(r, kv);
    prism_take(&r->cur, kv->n * size);
    return PRISM_OK;
}

static bool is_utf8(struct prism_str s)
{
    for (unsigned n; s.n > 0; s.p += n, s.n -= n)
        if (!(n = prism_utf8_length(s.p, s.n, NULL)))
            return false;
    return true;
}

static void warn_about(struct prism_reader *r, uint64_t i, const struct prism_gguf_kv *kv)
{
    const struct prism_log *log = &r->g->log;
    if (!is_utf8(kv->key))
        prism_warn(log, "%s: key %llu: not valid UTF-8: %.*s", r->shown, (ull)i, prism_show_len(kv->key.n), kv->key.p);
    if (kv->type == PRISM_GV_BOOL && kv->data[0] > 1)
        prism_warn(log, "%s: key %.*s: bool: %u read as true", r->shown, prism_show_len(kv->key.n), kv->key.p, kv->data[0]);
    if (kv->type == PRISM_GV_STR && !is_utf8(kv->strings[0]))
        prism_warn(log, "%s: key %.*s: not valid UTF-8, shown as %.*s", r->shown, prism_show_len(kv->key.n), kv->key.p,
                   prism_show_len(kv->strings[0].n), kv->strings[0].p);
}

static enum prism_status read_value(struct prism_reader *r, struct prism_gguf_kv *kv)
{
    const uint8_t *p = prism_take(&r->cur, 4);
    if (!p)
        return fail_value(r, kv, "value type", 4);
    uint32_t type = prism_le32(p);
    if (type >= PRISM_GV_COUNT)
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: key %.*s: value type: expected 0..12, found %u", r->shown,
                          prism_show_len(kv->key.n), kv->key.p, type);
    kv->type = kv->elem = (enum prism_gguf_vtype)type;
    kv->n = 1;
    if (kv->type == PRISM_GV_ARR)
        return read_array(r, kv);
    if (kv->type == PRISM_GV_STR) {
        kv->data = r->cur.at;
        kv->strings = calloc(1, sizeof *kv->strings);
        return kv->strings ? read_string(r, kv, -1, kv->strings) : prism_fail(r->err, PRISM_E_NOMEM, "%s: out of memory", r->shown);
    }
    kv->data = prism_take(&r->cur, vtypes[type].bytes);
    return kv->data ? PRISM_OK : fail_value(r, kv, "value", vtypes[type].bytes);
}

static enum prism_status read_pair(struct prism_reader *r, uint64_t i)
{
    struct prism_gguf *g = r->g;
    struct prism_gguf_kv *kv = prism_grow(g->kv, i, sizeof *kv);
    if (!kv)
        return prism_fail(r->err, PRISM_E_NOMEM, "%s: out of memory", r->shown);
    g->kv = kv;
    kv += i;
    *kv = (struct prism_gguf_kv){ .n = 1 };
    g->n_kv = i + 1; /* so that closing frees what this pair owns */

    enum prism_status status = read_key(r, i, &kv->key);
    if (status || (status = read_value(r, kv)))
        return status;
    uint64_t held;
    if (prism_index_add(g->keys, kv->key.p, kv->key.n, i, &held))
        return prism_fail(r->err, PRISM_E_NOMEM, "%s: out of memory", r->shown);
    if (held != PRISM_INDEX_NONE)
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: key %.*s: duplicate (pairs %llu and %llu)", r->shown,
                          prism_show_len(kv->key.n), kv->key.p, (ull)held, (ull)i);
    warn_about(r, i, kv);
    return PRISM_OK;
}

static enum prism_status read_alignment(struct prism_reader *r)
{
    const struct prism_gguf_kv *kv = prism_gguf_find(r->g, "general.alignment");
    r->alignment = 32;
    if (!kv)
        return PRISM_OK;
    if (kv->type != PRISM_GV_U32)
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: key general.alignment: type: expected u32, found %s", r->shown,
                          vtypes[kv->type].name);
    r->alignment = prism_le32(kv->data);
    if (r->alignment == 0 || r->alignment & (r->alignment - 1) || r->alignment > PRISM_MAX_ALIGNMENT)
        return prism_fail(r->err, PRISM_E_FORMAT, "%s: key general.alignment: expected a power of two, 1..%u, found %llu", r->shown,
                          PRISM_MAX_ALIGNMENT, (ull)r->alignment);
    return PRISM_OK;
}

enum prism_status prism_read_meta(struct prism_reader *r)
{
    uint64_t n_kv = 0;
    enum prism_status status = read_header(r, &n_kv);
    for (uint64_t i = 0; !status && i < n_kv; i++)
        status = read_pair(r, i);
    return status ? status : read_alignment(r);
}
