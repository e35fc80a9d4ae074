/* stream.h - fetching ahead in memory that is read once, from one end to the other: weights and caches in decode. */
#ifndef PRISM_AVX2_STREAM_H
#define PRISM_AVX2_STREAM_H

#include <immintrin.h>
#include <stddef.h>

/* The processor sees about 20 lines ahead by itself and stops at every page. Read from memory on a Xeon (Emerald Rapids) whose plain
 * read loop gets 16.7 GB/s, gemv_i16 of Q8_0 gets 8.9 without this, 11.1 at 1024 bytes, 12.5 at 2048, 13.1 at 4096 and 8192. Zen 4 (23 GB/s) in
 * pages of 4 KiB: 15 at 8192 bytes into the first-level cache, whose few misses under way are then all taken, 17 into the second, 19.5 at 16384;
 * in huge pages 25 of all. Zen 5 (38 GB/s), into the first: 8192 is ahead of 4096 by 5 %, by 8-28 % for a row of attention. */
enum { STREAM_AHEAD = 16384 };

/* The line at p, into the second-level cache. */
static inline __attribute__((always_inline)) void stream_fetch(const void *p) { _mm_prefetch(p, _MM_HINT_T1); }

/* What lies STREAM_AHEAD behind the bytes at p. */
static inline __attribute__((always_inline)) void stream_ahead(const void *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64)
        stream_fetch((const char *)p + STREAM_AHEAD + i);
}

#endif
