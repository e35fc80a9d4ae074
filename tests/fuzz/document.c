/* document.c - see document.h. */
#include "tests/fuzz/document.h"

#include <string.h>

#include "src/gguf/gguf.h"
#include "src/gguf/types.h"

enum { ALIGNMENT = 32 };

/* ---- taking apart ---- */

struct reader {
    const uint8_t *at, *end;
    bool bad;
};

static struct fuzz_bytes take(struct reader *r, uint64_t n)
{
    struct fuzz_bytes b = { r->at, 0 };
    if (r->bad || n > (uint64_t)(r->end - r->at)) {
        r->bad = true;
        return b;
    }
    b.n = (size_t)n;
    r->at += n;
    return b;
}

static uint64_t number(struct reader *r, size_t n)
{
    uint64_t v = 0;
    struct fuzz_bytes b = take(r, n);
    if (!r->bad)
        memcpy(&v, b.at, n);
    return v;
}

static struct fuzz_bytes string(struct reader *r) { return take(r, number(r, 8)); }

size_t fuzz_scalar_bytes(uint32_t type)
{
    static const uint8_t bytes[] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };
    return type < sizeof bytes ? bytes[type] : 0;
}

static struct fuzz_bytes value(struct reader *r, uint32_t type)
{
    const uint8_t *from = r->at;

    if (type == PRISM_GV_STR) {
        string(r);
    } else if (type == PRISM_GV_ARR) {
        uint32_t element = (uint32_t)number(r, 4);
        uint64_t n = number(r, 8);
        if (element == PRISM_GV_STR)
            for (uint64_t i = 0; i < n && !r->bad; i++)
                string(r);
        else if (fuzz_scalar_bytes(element) && n <= (uint64_t)(r->end - from))
            take(r, n * fuzz_scalar_bytes(element));
        else
            r->bad = true;
    } else if (fuzz_scalar_bytes(type)) {
        take(r, fuzz_scalar_bytes(type));
    } else {
        r->bad = true;
    }
    return (struct fuzz_bytes){ from, (size_t)(r->at - from) };
}

static size_t data_bytes(const struct fuzz_tensor *t)
{
    const struct prism_file_type *type = prism_file_type_find(t->type);
    uint64_t n = 1;

    for (uint32_t i = 0; i < t->n_dims; i++)
        if (__builtin_mul_overflow(n, t->ne[i], &n) || n > UINT32_MAX)
            return SIZE_MAX;
    return type && type->block ? (size_t)(n / type->block * type->bytes) : SIZE_MAX;
}

bool fuzz_take_apart(struct fuzz_document *d, const uint8_t *bytes, size_t n)
{
    struct reader r = { bytes, bytes + n, false };

    *d = (struct fuzz_document){ 0 };
    take(&r, 4);
    d->version = (uint32_t)number(&r, 4);
    d->n_tensors = (size_t)number(&r, 8);
    d->n_pairs = (size_t)number(&r, 8);
    if (r.bad || d->n_tensors > FUZZ_TENSORS || d->n_pairs > FUZZ_PAIRS)
        return false;
    for (size_t i = 0; i < d->n_pairs && !r.bad; i++) {
        struct fuzz_pair *p = &d->pair[i];
        p->key = string(&r);
        p->type = (uint32_t)number(&r, 4);
        p->value = value(&r, p->type);
    }
    for (size_t i = 0; i < d->n_tensors && !r.bad; i++) {
        struct fuzz_tensor *t = &d->tensor[i];
        t->name = string(&r);
        t->n_dims = (uint32_t)number(&r, 4);
        if (t->n_dims > FUZZ_DIMS)
            return false;
        for (uint32_t j = 0; j < t->n_dims; j++)
            t->ne[j] = number(&r, 8);
        t->type = (uint32_t)number(&r, 4);
        t->shift = number(&r, 8); /* for now the offset itself */
    }
    if (r.bad)
        return false;
    size_t start = ((size_t)(r.at - bytes) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT, end = start;
    for (size_t i = 0; i < d->n_tensors; i++) {
        struct fuzz_tensor *t = &d->tensor[i];
        size_t size = data_bytes(t);
        if (t->shift > n || start + t->shift > n || size > n - start - t->shift)
            return false;
        t->data = (struct fuzz_bytes){ bytes + start + t->shift, size };
        if ((size_t)(t->data.at - bytes) + size > end)
            end = (size_t)(t->data.at - bytes) + size;
        t->shift = 0;
    }
    end = (end + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (end < n)
        d->trailing = (struct fuzz_bytes){ bytes + end, n - end };
    return true;
}

/* ---- putting together ---- */

struct writer {
    uint8_t *out;
    size_t n, cap;
};

static void put(struct writer *w, const void *bytes, size_t n)
{
    if (w->n <= w->cap && n <= w->cap - w->n && n)
        memcpy(w->out + w->n, bytes, n);
    w->n = n > SIZE_MAX / 2 ? SIZE_MAX / 2 : w->n + n;
}

static void put_u32(struct writer *w, uint32_t v) { put(w, &v, 4); }
static void put_u64(struct writer *w, uint64_t v) { put(w, &v, 8); }

static void put_string(struct writer *w, struct fuzz_bytes s)
{
    put_u64(w, s.n);
    put(w, s.at, s.n);
}

static void pad(struct writer *w)
{
    static const uint8_t zeros[ALIGNMENT];
    put(w, zeros, (ALIGNMENT - w->n % ALIGNMENT) % ALIGNMENT);
}

size_t fuzz_put_together(const struct fuzz_document *d, uint8_t *out, size_t cap)
{
    struct writer w = { out, 0, cap };
    uint64_t offset = 0;

    put(&w, "GGUF", 4);
    put_u32(&w, d->version);
    put_u64(&w, d->n_tensors + d->tensors_shift);
    put_u64(&w, d->n_pairs + d->pairs_shift);
    for (size_t i = 0; i < d->n_pairs; i++) {
        put_string(&w, d->pair[i].key);
        put_u32(&w, d->pair[i].type);
        put(&w, d->pair[i].value.at, d->pair[i].value.n);
    }
    for (size_t i = 0; i < d->n_tensors; i++) {
        const struct fuzz_tensor *t = &d->tensor[i];
        put_string(&w, t->name);
        put_u32(&w, t->n_dims);
        for (uint32_t j = 0; j < t->n_dims && j < FUZZ_DIMS; j++)
            put_u64(&w, t->ne[j]);
        put_u32(&w, t->type);
        put_u64(&w, offset + t->shift);
        offset += (t->data.n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    for (size_t i = 0; i < d->n_tensors; i++) {
        pad(&w);
        put(&w, d->tensor[i].data.at, d->tensor[i].data.n);
    }
    pad(&w);
    put(&w, d->trailing.at, d->trailing.n);
    return w.n <= cap ? w.n : 0;
}
