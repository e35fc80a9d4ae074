/* redzone.h - gaps between pieces of one allocation that AddressSanitizer watches. Without it there are none, and the functions do nothing. */
#ifndef PRISM_BASE_REDZONE_H
#define PRISM_BASE_REDZONE_H

#include <stddef.h>

#if defined __has_feature
#if __has_feature(address_sanitizer)
#define PRISM_ASAN 1
#endif
#endif
#if defined __SANITIZE_ADDRESS__ || defined PRISM_ASAN
#include <sanitizer/asan_interface.h>

#define PRISM_RED_ZONE ((size_t)64) /* bytes behind every piece */
static inline void prism_poison(void *p, size_t n) { __asan_poison_memory_region(p, n); }
static inline void prism_unpoison(void *p, size_t n) { __asan_unpoison_memory_region(p, n); }
#else
#define PRISM_RED_ZONE ((size_t)0)
static inline void prism_poison(void *p, size_t n) { (void)p, (void)n; }
static inline void prism_unpoison(void *p, size_t n) { (void)p, (void)n; }
#endif

#endif
