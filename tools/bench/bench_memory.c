/* bench_memory.c - see bench_memory.h. */
#include "tools/bench/bench_memory.h"

#include <hwloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/arena.h"
#include "tools/common/process.h"
#include "tools/model/random_row.h"

#define MIN_BYTES ((size_t)256 << 20)
#define PIECE ((size_t)4 << 20) /* that a run reads or copies */
#define PATTERN_VALUES 8192     /* random weights, repeated: a multiple of every block */

/* ---- buffers ---- */

/* Sum over the caches of the last level, level 3 or where there is none level 2. */
static size_t last_level_bytes(void)
{
    hwloc_topology_t topology;
    size_t bytes = 0;

    if (hwloc_topology_init(&topology))
        return 0;
    if (hwloc_topology_load(topology) == 0)
        for (int level = 3; level >= 2 && bytes == 0; level--)
            for (hwloc_obj_t o = NULL; (o = hwloc_get_next_obj_by_type(topology, level == 3 ? HWLOC_OBJ_L3CACHE : HWLOC_OBJ_L2CACHE, o));)
                bytes += o->attr->cache.size;
    hwloc_topology_destroy(topology);
    return bytes;
}

static size_t choose_bytes(size_t cache_bytes)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t bytes = 2 * cache_bytes > MIN_BYTES ? 2 * cache_bytes : MIN_BYTES;
    size_t limit = pages > 0 && page > 0 ? (size_t)pages * (size_t)page / 8 : bytes;

    return bytes < limit ? bytes : limit;
}

static void touch(void *arg, size_t thread)
{
    struct bench_walk *w = &((struct bench_memory *)arg)->walk[thread];

    if (w->base)
        memset(w->base, 1, w->bytes);
}

int bench_memory_open(struct bench_memory *m, struct bench_crew *crew)
{
    bool enough = true;

    *m = (struct bench_memory){ .crew = crew, .cache_bytes = last_level_bytes() };
    m->walk = calloc(crew->n, sizeof *m->walk);
    if (!m->walk)
        return process_error("out of memory");
    size_t bytes = choose_bytes(m->cache_bytes) / crew->n / (2 * PIECE) * (2 * PIECE);
    bytes = bytes > 2 * PIECE ? bytes : 2 * PIECE;
    for (size_t t = 0; t < crew->n; t++) {
        m->walk[t] = (struct bench_walk){ .base = prism_reserve(bytes, bytes), .bytes = bytes, .type = -1 };
        enough = enough && m->walk[t].base;
    }
    m->bytes = bytes * crew->n;
    if (!enough) {
        bench_memory_close(m);
        return process_error("no memory for %zu MiB", (bytes * crew->n) >> 20);
    }
    bench_crew_run(crew, touch, m);
    return PROCESS_OK;
}

void bench_memory_close(struct bench_memory *m)
{
    for (size_t t = 0; m->walk && t < m->crew->n; t++)
        prism_release(m->walk[t].base, m->walk[t].bytes);
    free(m->walk);
    *m = (struct bench_memory){ 0 };
}

const char *bench_walk_next(struct bench_walk *w, size_t bytes)
{
    if (w->at + bytes > w->bytes)
        w->at = 0;
    const char *p = w->base + w->at;
    w->at += bytes;
    return p;
}

void bench_walk_fill(struct bench_walk *w, enum prism_type type)
{
    float x[PATTERN_VALUES];
    size_t pattern = prism_row_bytes(type, PATTERN_VALUES);

    if (w->type == (int)type)
        return;
    random_row(prism_kernels_by_level[PRISM_LEVEL_GENERIC], type, w->base, x, PATTERN_VALUES, 1, 1);
    for (size_t at = pattern; at < w->bytes; at += pattern)
        memcpy(w->base + at, w->base, w->bytes - at < pattern ? w->bytes - at : pattern);
    w->type = (int)type;
    w->at = 0;
}

/* ---- rates ---- */

/* Several streams at once, fetched ahead, keep more lines on their way than one; on some processors one is as good. */
enum { AHEAD = 1024 };

static inline void read_streams(void *walk, size_t times, size_t n_streams)
{
    const size_t stream_bytes = PIECE / n_streams;
    uint64_t sums[8] = { 0 }; /* gcc makes vectors of them, and reading is what takes the time */

    while (times-- > 0) {
        const char *p = bench_walk_next(walk, PIECE);
        for (size_t at = 0; at < stream_bytes; at += 64)
            for (size_t s = 0; s < n_streams; s++) {
                const uint64_t *line = (const uint64_t *)(const void *)(p + s * stream_bytes + at);
                __builtin_prefetch((const char *)line + AHEAD);
                for (size_t w = 0; w < 8; w++)
                    sums[w] += line[w];
            }
    }
    for (size_t w = 0; w < 8; w++)
        __asm__ volatile("" : : "r"(sums[w]));
}

static void read_one(void *walk, size_t times) { read_streams(walk, times, 1); }
static void read_eight(void *walk, size_t times) { read_streams(walk, times, 8); }

/* From the lower half to the upper one. */
static void copy_pieces(void *walk, size_t times)
{
    struct bench_walk *w = walk;

    while (times-- > 0) {
        if (w->at + PIECE > w->bytes / 2)
            w->at = 0;
        memcpy(w->base + w->bytes / 2 + w->at, w->base + w->at, PIECE);
        w->at += PIECE;
    }
    w->type = -1;
}

static double rate(struct bench_memory *m, bench_run_fn *run, size_t bytes)
{
    struct bench_work work = { .run = run, .jobs = m->walk, .job_bytes = sizeof *m->walk, .units = (double)bytes, .rounds = BENCH_MAX_ROUNDS };
    struct bench_rates rates;

    return bench_crew_measure(m->crew, &work, &rates) ? bench_best(&rates) : 0;
}

double bench_memory_read(struct bench_memory *m)
{
    double one = rate(m, read_one, PIECE), eight = rate(m, read_eight, PIECE);

    return one > eight ? one : eight;
}

double bench_memory_copy(struct bench_memory *m) { return rate(m, copy_pieces, 2 * PIECE); }
