/* size.h - small arithmetic on sizes, inline everywhere. */
#ifndef PRISM_BASE_SIZE_H
#define PRISM_BASE_SIZE_H

#include <stddef.h>

static inline size_t min_size(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t max_size(size_t a, size_t b) { return a > b ? a : b; }

/* a / b rounded up, and that times b; b > 0, the result fits. */
static inline size_t div_up(size_t a, size_t b) { return (a + b - 1) / b; }
static inline size_t round_up(size_t a, size_t b) { return div_up(a, b) * b; }

#endif
