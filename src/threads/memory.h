/* memory.h - on which of a machine's memory nodes things lie, where threads are bound to processors of several.
 *
 * What all threads use is spread over the nodes in use, page by page, so that the bandwidth of all of them serves; what one thread uses lies on
 * its node; a mapped file is read with its pages spread, as far as it is not in memory yet. That is speed alone: a system that refuses is not
 * asked twice and changes nothing. On one node nothing is done. */
#ifndef PRISM_THREADS_MEMORY_H
#define PRISM_THREADS_MEMORY_H

#include "src/threads/team.h"

enum { PRISM_MAX_NODES = 64 }; /* further ones are not used */

enum prism_memory_use { PRISM_MEMORY_SHARED, PRISM_MEMORY_OWN, PRISM_MEMORY_FILE };

/* Bytes of one use. An own area within a shared one comes after it, and takes the pages that lie in it as a whole. */
struct prism_memory_area {
    enum prism_memory_use use;
    const void *at;
    uint64_t bytes;
    uint32_t thread; /* of PRISM_MEMORY_OWN */
};

/* How it is done; at and bytes: whole pages. node: numbers of the operating system, ascending. */
struct prism_memory_binder {
    void *self;
    void (*spread)(void *self, const void *at, size_t bytes, const int *node, size_t n_nodes);
    void (*bind)(void *self, const void *at, size_t bytes, int node);
    void (*read)(void *self, const void *at, size_t bytes, const int *node, size_t n_nodes);
};

/* Before the areas are touched. node: of each of n_threads threads, -1: unknown or not bound. binder NULL: this machine's, by hwloc. */
void prism_memory_place(const int *node, uint32_t n_threads, const struct prism_memory_area *areas, size_t n, const struct prism_memory_binder *binder);

/* Nodes that the team's threads are bound to; 1 where that is not known. */
size_t prism_memory_nodes(const struct prism_team *team);

#endif
