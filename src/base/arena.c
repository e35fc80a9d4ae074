/* arena.c - see arena.h. */
#include "src/base/arena.h"

#include <assert.h>
#include <sys/mman.h>

#include "src/base/redzone.h"

void *prism_arena_take(struct prism_arena *a, uint64_t count, uint64_t size)
{
    uint64_t bytes, end;

    if (__builtin_mul_overflow(count, size, &bytes) || bytes > UINT64_MAX - 63 - PRISM_RED_ZONE ||
        __builtin_add_overflow(a->used, ((bytes + 63) & ~UINT64_C(63)) + PRISM_RED_ZONE, &end))
        end = UINT64_MAX;
    uint8_t *p = a->base ? a->base + a->used : NULL;
    assert(!a->base || end <= a->capacity);
    if (p && PRISM_RED_ZONE) {
        prism_unpoison(p, bytes); /* pieces may be handed out anew */
        prism_poison(p + bytes, end - a->used - bytes);
    }
    a->used = end;
    return p;
}

void *prism_arena_take_each(struct prism_arena *a, uint64_t count, uint64_t size, size_t *stride)
{
    *stride = (size + PRISM_RED_ZONE + 255) & ~(size_t)255;
    uint8_t *p = prism_arena_take(a, count, *stride);

    for (uint64_t i = 0; p && PRISM_RED_ZONE && i < count; i++)
        prism_poison(p + i * *stride + size, *stride - size);
    return p;
}

void prism_advise_huge(void *from, uint64_t bytes)
{
    uintptr_t page = PRISM_HUGE_PAGE, first = ((uintptr_t)from + page - 1) & ~(page - 1), end = ((uintptr_t)from + bytes) & ~(page - 1);

    if (first < end)
        madvise((uint8_t *)from + (first - (uintptr_t)from), end - first, MADV_HUGEPAGE); /* a refusal does no harm */
}

/* Maps what is needed and a page more, and gives back what lies around the aligned part. */
static uint8_t *map_aligned(uint64_t bytes)
{
    uint64_t page = PRISM_HUGE_PAGE;
    uint8_t *p = mmap(NULL, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    uint64_t head = (page - (uintptr_t)p % page) % page;
    if (head)
        munmap(p, head);
    if (page - head)
        munmap(p + head + bytes, page - head);
    return p + head;
}

/* Whole small pages, so that the ends of mappings lie on them. */
static uint64_t whole_pages(uint64_t bytes) { return (bytes + 4095) & ~UINT64_C(4095); }

void *prism_reserve(uint64_t bytes, uint64_t dense)
{
    if (bytes == 0 || bytes > PTRDIFF_MAX - 2 * PRISM_HUGE_PAGE)
        return NULL;
    bytes = whole_pages(bytes);
    uint8_t *p = map_aligned(bytes);
    if (!p)
        return NULL;
    uint64_t huge = (dense + PRISM_HUGE_PAGE - 1) & ~(PRISM_HUGE_PAGE - 1);
    huge = huge < bytes ? huge : bytes;
    if (huge)
        madvise(p, huge, MADV_HUGEPAGE);
    if (huge < bytes)
        madvise(p + huge, bytes - huge, MADV_NOHUGEPAGE); /* for systems that would use them unasked */
    return p;
}

void prism_release(void *base, uint64_t bytes)
{
    if (!base)
        return;
    prism_unpoison(base, bytes);
    munmap(base, whole_pages(bytes));
}
