/* allocations.h - glibc's allocator under a counter, for the one program that includes it (from one file). Sanitizers bring allocators of
 * their own: COUNTS_ALLOCATIONS is not defined there.
 *
 * allocations_allowed: from then on so many succeed and the later ones fail; LONG_MAX: all succeed. */
#ifndef PRISM_TESTS_ALLOCATIONS_H
#define PRISM_TESTS_ALLOCATIONS_H

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define COUNTS_ALLOCATIONS

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
static atomic_long allocations, allocations_allowed = LONG_MAX;

static inline int count_allocation(void)
{
    atomic_fetch_add(&allocations, 1);
    if (atomic_load(&allocations_allowed) == LONG_MAX || atomic_fetch_sub(&allocations_allowed, 1) > 0)
        return 1;
    errno = ENOMEM;
    return 0;
}

/* Programs are compiled with hidden symbols; these are for the shared libraries too (hwloc, PCRE2, OpenMP, the C library itself). */
#pragma GCC visibility push(default)
void *malloc(size_t n) { return count_allocation() ? __libc_malloc(n) : NULL; }
void *calloc(size_t n, size_t size) { return count_allocation() ? __libc_calloc(n, size) : NULL; }
void *realloc(void *p, size_t n) { return count_allocation() ? __libc_realloc(p, n) : NULL; }
#pragma GCC visibility pop
#endif

#endif
