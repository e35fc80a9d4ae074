/* allocations.h - glibc's allocator under a counter, for the one program that includes it (from one file). Sanitizers bring allocators of
 * their own: COUNTS_ALLOCATIONS is not defined there. */
#ifndef PRISM_TESTS_ALLOCATIONS_H
#define PRISM_TESTS_ALLOCATIONS_H

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define COUNTS_ALLOCATIONS

#include <stdatomic.h>
#include <stdlib.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
static atomic_long allocations;
void *malloc(size_t n) { atomic_fetch_add(&allocations, 1); return __libc_malloc(n); }
void *calloc(size_t n, size_t size) { atomic_fetch_add(&allocations, 1); return __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { atomic_fetch_add(&allocations, 1); return __libc_realloc(p, n); }
#endif

#endif
