/* bench_memory.h - memory that is read from memory: buffers too large for the last-level caches, one per thread, and what reading and
 * copying them takes. */
#ifndef PRISM_TOOLS_BENCH_MEMORY_H
#define PRISM_TOOLS_BENCH_MEMORY_H

#include "src/kernels.h"
#include "tools/bench/bench_crew.h"

/* One thread's buffer, walked from end to end in pieces, over and over: a piece has left the caches when its turn comes again. */
struct bench_walk {
    char *base;
    size_t bytes, at;
    int type;                  /* enum prism_type of the weights in it, -1: none */
};

struct bench_memory {
    struct bench_crew *crew;
    struct bench_walk *walk;   /* [crew->n] */
    size_t bytes;              /* of all together: twice the last-level caches and 256 MiB at least, an eighth of the memory at most */
    size_t cache_bytes;        /* the last-level caches of the processors that this process may use, 0: unknown */
};

/* Reserves and touches. PROCESS_ERROR after one line, with nothing left to close. Closing one that is zero is fine. */
int bench_memory_open(struct bench_memory *m, struct bench_crew *crew);
void bench_memory_close(struct bench_memory *m);

/* The next piece, 64-byte aligned when bytes is a multiple of 64. */
const char *bench_walk_next(struct bench_walk *w, size_t bytes);

/* Fills the walk with random weights of a type, unless they are there. */
void bench_walk_fill(struct bench_walk *w, enum prism_type type);

/* GB/s of all threads together, best of a few rounds: reading, and copying by memcpy, which counts what it reads and what it writes.
 * 0: interrupted. */
double bench_memory_read(struct bench_memory *m);
double bench_memory_copy(struct bench_memory *m);

#endif
