/* placement.h - private to src/threads: which processors there are, who may use them, who does. */
#ifndef PRISM_THREADS_PLACEMENT_H
#define PRISM_THREADS_PLACEMENT_H

#include <hwloc.h>
#include <sched.h>

#include "src/threads/team.h"

/* ---- processor sets, by the operating system's numbers: affinity.c ---- */

enum { PRISM_MAX_CPUS = 8192 }; /* the most that Linux can be built for; sched_getaffinity fails for a smaller set than the kernel's */

struct prism_cpus {
    cpu_set_t set[PRISM_MAX_CPUS / CPU_SETSIZE];
};

static inline bool prism_cpus_has(const struct prism_cpus *c, int cpu)
{
    return cpu >= 0 && cpu < PRISM_MAX_CPUS && CPU_ISSET_S((size_t)cpu, sizeof c->set, c->set);
}

/* The set of one processor. */
struct prism_cpus prism_cpus_only(int cpu);

/* What this process may use: all that any of its threads may. One thread's mask may be narrow for reasons of its own: a team
 * binds its caller, libgomp binds the first thread when OMP_PROC_BIND, OMP_PLACES or GOMP_CPU_AFFINITY are set. Empty: unknown. */
void prism_cpus_of_process(struct prism_cpus *out);

/* How many processors of the set share a core with cpu and have lower numbers; -1: the kernel does not tell. */
int prism_cpus_rank(const struct prism_cpus *c, int cpu);

/* ---- placement.c ---- */

/* This machine (xml NULL) or a saved one, and its processors that this process may use. On success the caller frees *allowed
 * with hwloc_bitmap_free, then *topology with hwloc_topology_destroy; on failure nothing is left to free. hwloc obeys HWLOC_*
 * variables, which a library can neither switch off nor unset: where they made it describe another machine than the kernel does,
 * that is a failure. Errors: PRISM_E_IO, PRISM_E_NOMEM. */
enum prism_status prism_topology_open(const char *xml, const struct prism_cpus *process, hwloc_topology_t *topology,
                                      hwloc_bitmap_t *allowed, struct prism_error *err);

/* quota_cpus: processors' worth of time per second that may be used, 0: no limit. Errors: PRISM_E_IO when no processor is
 * left, PRISM_E_NOMEM. */
enum prism_status prism_placement_choose(hwloc_topology_t topology, hwloc_const_bitmap_t allowed, double quota_cpus,
                                         struct prism_placement *out, struct prism_error *err);

/* The same without hwloc: in the order of their numbers, cores as the kernel tells them. */
enum prism_status prism_placement_plain(const struct prism_cpus *allowed, double quota_cpus, struct prism_placement *out,
                                        struct prism_error *err);

/* The memory node of one of its processors. */
static inline int prism_placement_node(const struct prism_placement *p, int cpu)
{
    for (uint32_t i = 0; i < p->n_processors; i++)
        if (p->core[i] == cpu)
            return p->node[i];
    return -1;
}

/* ---- the process' table of processors in use: affinity.c ---- */

/* Takes n processors for a team that binds, each the least used by bound teams of this process, in the placement's order. */
void prism_places_take(const struct prism_placement *p, uint32_t n, int *place);
void prism_places_return(const int *place, uint32_t n);

/* The CPU quota of this process' control group and of all groups above it: the smallest one in processors, 0: no limit.
 * Reads <root>/proc/self/{cgroup,mountinfo} and <root>/<mount point>/...; root is "" except in tests. Files that are absent
 * or not understood limit nothing. */
double prism_quota_cpus(const char *root);

#endif
