/* get.c - lookup by name and typed access to values. */
#include "src/gguf/reader.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

const struct prism_gguf_kv *prism_gguf_find(const struct prism_gguf *g, const char *key)
{
    uint64_t i = prism_index_find(g->keys, key, strlen(key));
    return i == PRISM_INDEX_NONE ? NULL : &g->kv[i];
}

const struct prism_gguf_tensor *prism_gguf_tensor_find(const struct prism_gguf *g, const char *name)
{
    uint64_t i = prism_index_find(g->names, name, strlen(name));
    return i == PRISM_INDEX_NONE ? NULL : &g->tensors[i];
}

/* An integer of any type: its sign and magnitude. False: the type is not an integer. */
static bool read_int(enum prism_gguf_vtype type, const uint8_t *p, bool *negative, uint64_t *magnitude)
{
    int64_t s;
    *negative = false;
    switch (type) {
    case PRISM_GV_U8: *magnitude = p[0]; return true;
    case PRISM_GV_U16: *magnitude = prism_le16(p); return true;
    case PRISM_GV_U32: *magnitude = prism_le32(p); return true;
    case PRISM_GV_U64: *magnitude = prism_le64(p); return true;
    case PRISM_GV_I8: s = (int8_t)p[0]; break;
    case PRISM_GV_I16: s = (int16_t)prism_le16(p); break;
    case PRISM_GV_I32: s = (int32_t)prism_le32(p); break;
    case PRISM_GV_I64: s = (int64_t)prism_le64(p); break;
    default: return false;
    }
    *negative = s < 0;
    *magnitude = s < 0 ? -(uint64_t)s : (uint64_t)s;
    return true;
}

/* The key's pair, or NULL with *status set: PRISM_OK when an optional key is absent. */
static const struct prism_gguf_kv *look_up(const struct prism_gguf *g, const char *key, bool required, enum prism_status *status,
                                           struct prism_error *err)
{
    const struct prism_gguf_kv *kv = prism_gguf_find(g, key);
    *status = !kv && required ? prism_fail(err, PRISM_E_FORMAT, "%s: key %s: missing", g->path, key) : PRISM_OK;
    return kv;
}

static enum prism_status wrong_type(const struct prism_gguf *g, const char *key, const char *expected, enum prism_gguf_vtype found,
                                    struct prism_error *err)
{
    return prism_fail(err, PRISM_E_FORMAT, "%s: key %s: type: expected %s, found %s", g->path, key, expected,
                      prism_gguf_vtype_name(found));
}

/* One integer in [lo, hi], a value of its own or an element of an array. */
static enum prism_status int_in_range(const struct prism_gguf *g, const char *key, enum prism_gguf_vtype type, const uint8_t *p,
                                      uint64_t lo, uint64_t hi, uint64_t *out, struct prism_error *err)
{
    bool negative;
    uint64_t value;
    if (!read_int(type, p, &negative, &value))
        return wrong_type(g, key, "integer", type, err);
    if (negative || value < lo || value > hi) {
        char range[64];
        snprintf(range, sizeof range, hi == UINT64_MAX ? ">= %" PRIu64 : hi == lo ? "%" PRIu64 : "%" PRIu64 "..%" PRIu64, lo, hi);
        return prism_fail(err, PRISM_E_FORMAT, "%s: key %s: expected %s, found %s%" PRIu64, g->path, key, range,
                          negative ? "-" : "", value);
    }
    *out = value;
    return PRISM_OK;
}

enum prism_status prism_gguf_get_uint(const struct prism_gguf *g, const char *key, bool required, uint64_t lo, uint64_t hi,
                                      uint64_t *out, struct prism_error *err)
{
    enum prism_status status;
    const struct prism_gguf_kv *kv = look_up(g, key, required, &status, err);
    return kv ? int_in_range(g, key, kv->type, kv->data, lo, hi, out, err) : status;
}

/* f32, f64 and integers. False: the type is another. */
static bool read_number(enum prism_gguf_vtype type, const uint8_t *p, double *value)
{
    bool negative;
    uint64_t magnitude;
    if (type == PRISM_GV_F32) {
        uint32_t bits = prism_le32(p);
        float f;
        memcpy(&f, &bits, sizeof f);
        *value = f;
    } else if (type == PRISM_GV_F64) {
        uint64_t bits = prism_le64(p);
        memcpy(value, &bits, sizeof *value);
    } else if (read_int(type, p, &negative, &magnitude)) {
        *value = negative ? -(double)magnitude : (double)magnitude;
    } else {
        return false;
    }
    return true;
}

bool prism_gguf_number(const struct prism_gguf_kv *kv, uint64_t i, double *out)
{
    if (kv->elem == PRISM_GV_BOOL) {
        *out = kv->data[i] != 0;
        return true;
    }
    return read_number(kv->elem, kv->data + i * prism_gguf_vtype_bytes(kv->elem), out);
}

enum prism_status prism_gguf_get_float(const struct prism_gguf *g, const char *key, bool required, double *out, struct prism_error *err)
{
    enum prism_status status;
    const struct prism_gguf_kv *kv = look_up(g, key, required, &status, err);
    if (!kv)
        return status;
    double value;
    if (!read_number(kv->type, kv->data, &value))
        return wrong_type(g, key, "f32", kv->type, err);
    if (isnan(value))
        return prism_fail(err, PRISM_E_FORMAT, "%s: key %s: expected a number, found NaN", g->path, key);
    *out = value;
    return PRISM_OK;
}

enum prism_status prism_gguf_get_bool(const struct prism_gguf *g, const char *key, bool *out, struct prism_error *err)
{
    const struct prism_gguf_kv *kv = prism_gguf_find(g, key);
    if (kv && kv->type != PRISM_GV_BOOL)
        return wrong_type(g, key, "bool", kv->type, err);
    if (kv)
        *out = kv->data[0] != 0;
    return PRISM_OK;
}

enum prism_status prism_gguf_get_str(const struct prism_gguf *g, const char *key, bool required, struct prism_str *out,
                                     struct prism_error *err)
{
    enum prism_status status;
    const struct prism_gguf_kv *kv = look_up(g, key, required, &status, err);
    if (!kv)
        return status;
    if (kv->type != PRISM_GV_STR)
        return wrong_type(g, key, "str", kv->type, err);
    *out = kv->strings[0];
    return PRISM_OK;
}

enum prism_status prism_gguf_get_per_layer(const struct prism_gguf *g, const char *key, bool required, uint64_t lo, uint64_t hi,
                                           uint64_t n_layer, uint32_t *each, struct prism_error *err)
{
    enum prism_status status;
    const struct prism_gguf_kv *kv = look_up(g, key, required, &status, err);
    if (!kv)
        return status;
    bool array = kv->type == PRISM_GV_ARR;
    if (array && (kv->n != n_layer || n_layer == 0))
        return prism_fail(err, PRISM_E_FORMAT, "%s: key %s: array length: expected %" PRIu64 " (block_count), found %" PRIu64,
                          g->path, key, n_layer, kv->n);
    for (uint64_t i = 0; i < n_layer; i++) {
        uint64_t value = 0;
        status = int_in_range(g, key, kv->elem, kv->data + (array ? i * prism_gguf_vtype_bytes(kv->elem) : 0), lo, hi, &value, err);
        if (status)
            return status;
        each[i] = (uint32_t)value;
    }
    return PRISM_OK;
}
