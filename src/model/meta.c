/* meta.c - prism_model_meta: any value of the metadata as text. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "src/gguf/reader.h"
#include "src/model/load.h"

/* What fits of a text without end, and its whole length. */
struct sink {
    char *p;
    size_t cap;
    uint64_t n;
};

static void put(struct sink *s, const char *p, size_t n)
{
    if (s->n + 1 < s->cap) {
        size_t room = s->cap - 1 - (size_t)s->n;
        memcpy(s->p + s->n, p, n < room ? n : room);
    }
    s->n += n;
}

static void put_number(struct sink *s, enum prism_gguf_vtype type, const uint8_t *p)
{
    char text[40];
    float f;
    double d;
    uint32_t bits = type == PRISM_GV_F32 ? prism_le32(p) : 0;
    uint64_t wide = type == PRISM_GV_F64 ? prism_le64(p) : 0;

    memcpy(&f, &bits, sizeof f);
    memcpy(&d, &wide, sizeof d);
    switch (type) {
    case PRISM_GV_U8: snprintf(text, sizeof text, "%u", p[0]); break;
    case PRISM_GV_I8: snprintf(text, sizeof text, "%d", (int8_t)p[0]); break;
    case PRISM_GV_U16: snprintf(text, sizeof text, "%u", prism_le16(p)); break;
    case PRISM_GV_I16: snprintf(text, sizeof text, "%d", (int16_t)prism_le16(p)); break;
    case PRISM_GV_U32: snprintf(text, sizeof text, "%" PRIu32, prism_le32(p)); break;
    case PRISM_GV_I32: snprintf(text, sizeof text, "%" PRId32, (int32_t)prism_le32(p)); break;
    case PRISM_GV_U64: snprintf(text, sizeof text, "%" PRIu64, prism_le64(p)); break;
    case PRISM_GV_I64: snprintf(text, sizeof text, "%" PRId64, (int64_t)prism_le64(p)); break;
    case PRISM_GV_F32: snprintf(text, sizeof text, "%.9g", (double)f); break;
    case PRISM_GV_F64: snprintf(text, sizeof text, "%.17g", d); break;
    default: snprintf(text, sizeof text, "%s", p[0] ? "true" : "false"); break;
    }
    put(s, text, strlen(text));
}

static void put_quoted(struct sink *s, struct prism_str v)
{
    put(s, "\"", 1);
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] == '"' || v.p[i] == '\\')
            put(s, "\\", 1);
        put(s, v.p[i] == '\n' ? "\\n" : v.p + i, v.p[i] == '\n' ? 2 : 1);
    }
    put(s, "\"", 1);
}

static void put_array(struct sink *s, const struct prism_gguf_kv *kv)
{
    size_t bytes = prism_gguf_vtype_bytes(kv->elem);

    put(s, "[", 1);
    for (uint64_t i = 0; i < kv->n; i++) {
        if (i)
            put(s, ", ", 2);
        if (kv->elem == PRISM_GV_STR)
            put_quoted(s, kv->strings[i]);
        else
            put_number(s, kv->elem, kv->data + i * bytes);
    }
    put(s, "]", 1);
}

int64_t prism_model_meta(const prism_model *model, const char *key, char *buf, size_t cap)
{
    const struct prism_gguf_kv *kv = model && key ? prism_gguf_find(model->gguf, key) : NULL;
    struct sink s = { buf, buf ? cap : 0, 0 };

    if (s.cap)
        buf[0] = 0;
    if (!kv)
        return -1;
    if (kv->type == PRISM_GV_STR)
        put(&s, kv->strings[0].p, kv->strings[0].n);
    else if (kv->type == PRISM_GV_ARR)
        put_array(&s, kv);
    else
        put_number(&s, kv->type, kv->data);
    if (s.cap)
        buf[s.n < s.cap ? s.n : s.cap - 1] = 0;
    return (int64_t)s.n;
}
