/* memory.c - see memory.h. */
#include "src/threads/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include "src/threads/placement.h"

/* The nodes of the threads, each once, in ascending order; nothing when one is unknown. Returns how many. */
static size_t list_nodes(const int *node, uint32_t n_threads, int *out)
{
    size_t n = 0;

    for (uint32_t t = 0; t < n_threads; t++) {
        size_t at = 0;
        if (node[t] < 0)
            return 0;
        while (at < n && out[at] < node[t])
            at++;
        if ((at < n && out[at] == node[t]) || n == PRISM_MAX_NODES)
            continue;
        for (size_t i = n++; i > at; i--)
            out[i] = out[i - 1];
        out[at] = node[t];
    }
    return n;
}

/* ---- hwloc ---- */

static hwloc_bitmap_t set_of(const int *node, size_t n)
{
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    for (size_t i = 0; set && i < n; i++)
        hwloc_bitmap_set(set, (unsigned)node[i]);
    return set;
}

static void bind_area(hwloc_topology_t t, const void *at, size_t bytes, const int *node, size_t n, hwloc_membind_policy_t policy)
{
    hwloc_bitmap_t set = set_of(node, n);
    if (set)
        hwloc_set_area_membind(t, at, bytes, set, policy, HWLOC_MEMBIND_BYNODESET);
    hwloc_bitmap_free(set);
}

static void spread_area(void *self, const void *at, size_t bytes, const int *node, size_t n_nodes)
{
    bind_area(self, at, bytes, node, n_nodes, HWLOC_MEMBIND_INTERLEAVE);
}

/* Preferred, not demanded: a node that is full is no reason to fail. */
static void bind_to_node(void *self, const void *at, size_t bytes, int node) { bind_area(self, at, bytes, &node, 1, HWLOC_MEMBIND_BIND); }

/* Pages of a file come to lie where the thread that has them read is told to put its memory. */
static void read_spread(void *self, const void *at, size_t bytes, const int *node, size_t n_nodes)
{
    hwloc_bitmap_t set = set_of(node, n_nodes), before = hwloc_bitmap_alloc();
    hwloc_membind_policy_t policy;
    const int flags = HWLOC_MEMBIND_THREAD | HWLOC_MEMBIND_BYNODESET;

    if (set && before && hwloc_get_membind(self, before, &policy, flags) == 0 &&
        hwloc_set_membind(self, set, HWLOC_MEMBIND_INTERLEAVE, flags) == 0) {
        madvise((void *)at, bytes, MADV_WILLNEED);
        hwloc_set_membind(self, before, policy, flags);
    }
    hwloc_bitmap_free(set);
    hwloc_bitmap_free(before);
}

/* ---- areas ---- */

static void place(const int *node, const int *nodes, size_t n_nodes, const struct prism_memory_area *areas, size_t n,
                  const struct prism_memory_binder *binder)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    for (const struct prism_memory_area *a = areas; a < areas + n; a++) {
        uintptr_t from = (uintptr_t)a->at, to = from + a->bytes;
        bool own = a->use == PRISM_MEMORY_OWN; /* else the pages at both ends as well: they are of the same reservation or mapping */
        from = (own ? from + page - 1 : from) / page * page;
        to = (own ? to : to + page - 1) / page * page;
        if (from >= to)
            continue;
        if (own)
            binder->bind(binder->self, (const void *)from, to - from, node[a->thread]);
        else
            (a->use == PRISM_MEMORY_FILE ? binder->read : binder->spread)(binder->self, (const void *)from, to - from, nodes, n_nodes);
    }
}

void prism_memory_place(const int *node, uint32_t n_threads, const struct prism_memory_area *areas, size_t n, const struct prism_memory_binder *binder)
{
    int nodes[PRISM_MAX_NODES];
    size_t n_nodes = list_nodes(node, n_threads, nodes);
    struct prism_cpus process;
    hwloc_topology_t t;
    hwloc_bitmap_t allowed;

    if (n_nodes < 2)
        return;
    if (binder) {
        place(node, nodes, n_nodes, areas, n, binder);
        return;
    }
    prism_cpus_of_process(&process);
    if (prism_topology_open(NULL, &process, &t, &allowed, NULL) != PRISM_OK)
        return;
    place(node, nodes, n_nodes, areas, n, &(struct prism_memory_binder){ t, spread_area, bind_to_node, read_spread });
    hwloc_bitmap_free(allowed);
    hwloc_topology_destroy(t);
}

size_t prism_memory_nodes(const struct prism_team *team)
{
    int nodes[PRISM_MAX_NODES];
    size_t n = list_nodes(prism_team_nodes(team), prism_team_size(team), nodes);
    return n > 0 ? n : 1;
}
