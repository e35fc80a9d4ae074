/* placement.h - private to src/threads: the topology behind a placement. */
#ifndef PRISM_THREADS_PLACEMENT_H
#define PRISM_THREADS_PLACEMENT_H

#include <hwloc.h>

#include "src/threads/team.h"

/* This machine (xml NULL) or a saved one, and the processors that the calling thread may use of it. On success the caller
 * frees *allowed with hwloc_bitmap_free, then *topology with hwloc_topology_destroy; on failure nothing is left to free.
 * Errors: PRISM_E_IO, PRISM_E_NOMEM. */
enum prism_status prism_topology_open(const char *xml, hwloc_topology_t *topology, hwloc_bitmap_t *allowed,
                                      struct prism_error *err);

/* quota_cpus: processors' worth of time per second that may be used, 0: no limit. Errors: PRISM_E_IO when no processor is
 * left, PRISM_E_NOMEM. */
enum prism_status prism_placement_choose(hwloc_topology_t topology, hwloc_const_bitmap_t allowed, double quota_cpus,
                                         struct prism_placement *out, struct prism_error *err);

/* The CPU quota of this process' control group and of all groups above it: the smallest one in processors, 0: no limit.
 * Reads <root>/proc/self/{cgroup,mountinfo} and <root>/<mount point>/...; root is "" except in tests. Files that are absent
 * or not understood limit nothing. */
double prism_quota_cpus(const char *root);

#endif
