/* memory.c - the arena of one rendering, its limits and its errors. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "src/chat/internal.h"

struct chat_chunk {
    struct chat_chunk *next;
    size_t used, size;
    max_align_t data[];
};

enum { CHUNK = 1 << 16 };

bool chat_fail(struct chat *c, enum prism_status status, const char *format, ...)
{
    char text[400];
    va_list args;

    if (c->status)
        return false;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    c->status = status;
    prism_fail(c->err, status, "chat template, line %u: %s", c->line, text);
    return false;
}

static struct chat_chunk *new_chunk(struct chat *c, size_t bytes)
{
    size_t size = bytes > CHUNK ? bytes : CHUNK;
    struct chat_chunk *k = calloc(1, sizeof *k + size);

    if (!k) {
        chat_fail(c, PRISM_E_NOMEM, "no memory for %zu bytes", size);
        return NULL;
    }
    k->size = size;
    if (bytes > CHUNK / 4 && c->chunks) { /* a large piece stands alone, and the rest of the open chunk is used up */
        k->next = c->chunks->next;
        c->chunks->next = k;
    } else {
        k->next = c->chunks;
        c->chunks = k;
    }
    return k;
}

void *chat_alloc(struct chat *c, size_t count, size_t size)
{
    size_t bytes;

    if (c->status)
        return NULL;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > c->max_memory - c->memory) {
        chat_fail(c, PRISM_E_UNSUPPORTED, "the template takes more than %zu MiB of memory", c->max_memory >> 20);
        return NULL;
    }
    bytes = (bytes + 15) & ~(size_t)15;
    c->memory += bytes < c->max_memory - c->memory ? bytes : c->max_memory - c->memory;
    struct chat_chunk *k = c->chunks;
    if ((!k || bytes > k->size - k->used) && !(k = new_chunk(c, bytes)))
        return NULL;
    void *p = (char *)k->data + k->used;
    k->used += bytes;
    return p;
}

bool chat_charge(struct chat *c, size_t n)
{
    c->steps += 1 + n / 16;
    return c->steps <= c->max_steps || chat_fail(c, PRISM_E_UNSUPPORTED, "the template takes more than %llu steps", (unsigned long long)c->max_steps);
}

bool chat_enter(struct chat *c)
{
    if (c->depth >= CHAT_MAX_DEPTH)
        return chat_fail(c, PRISM_E_UNSUPPORTED, "nested more than %d deep", CHAT_MAX_DEPTH);
    c->depth++;
    return true;
}

void chat_free(struct chat *c)
{
    while (c->chunks) {
        struct chat_chunk *next = c->chunks->next;
        free(c->chunks);
        c->chunks = next;
    }
}
