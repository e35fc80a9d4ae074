/* placement.c - which processors threads run on: one per physical core of those that this process may use.
 *
 * hwloc reads the machine, affinity.c the kernel's masks, quota.c the control group's CPU time limit; team.c binds threads to the
 * outcome. Without hwloc, placement goes on with what the kernel tells. */
#include "src/threads/placement.h"

#include <math.h>

/* How many allowed processors of pu's core come before it: 0 makes pu the one that stands for the core. */
static int rank_in_core(hwloc_topology_t t, hwloc_obj_t pu, hwloc_const_bitmap_t allowed)
{
    hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(t, HWLOC_OBJ_CORE, pu);
    int rank = 0;

    if (!core)
        return 0; /* some virtual machines report processors only: each counts as a core */
    for (int p = hwloc_bitmap_first(core->cpuset); p >= 0 && p < (int)pu->os_index; p = hwloc_bitmap_next(core->cpuset, p))
        rank += hwloc_bitmap_isset(allowed, (unsigned)p);
    return rank;
}

/* Whether this is the machine that runs the process: hwloc says so itself, unless HWLOC_THISSYSTEM makes it. So each processor
 * that the process may use has to be there, and to share its core with the ones that the kernel names. */
static bool describes_host(hwloc_topology_t t, const struct prism_cpus *process, hwloc_const_bitmap_t allowed)
{
    if (!hwloc_topology_is_thissystem(t))
        return false;
    for (int cpu = 0; cpu < PRISM_MAX_CPUS; cpu++) {
        if (!prism_cpus_has(process, cpu))
            continue;
        hwloc_obj_t pu = hwloc_get_pu_obj_by_os_index(t, (unsigned)cpu);
        int rank = prism_cpus_rank(process, cpu);
        if (!pu || (rank >= 0 && rank != rank_in_core(t, pu, allowed)))
            return false;
    }
    return true;
}

enum prism_status prism_topology_open(const char *xml, const struct prism_cpus *process, hwloc_topology_t *topology,
                                      hwloc_bitmap_t *allowed, struct prism_error *err)
{
    hwloc_topology_t t;

    if (hwloc_topology_init(&t) < 0)
        return prism_fail(err, PRISM_E_NOMEM, "no memory for the machine's topology");
    /* Cores, processors, kinds of cores and memory nodes are all that is read. Nodes hang on what holds their processors: without such a thing they
     * would all be nodes of the whole machine. */
    static const hwloc_obj_type_t kept[] = { HWLOC_OBJ_CORE, HWLOC_OBJ_PACKAGE, HWLOC_OBJ_DIE, HWLOC_OBJ_L3CACHE };
    hwloc_topology_set_all_types_filter(t, HWLOC_TYPE_FILTER_KEEP_NONE);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        hwloc_topology_set_type_filter(t, kept[i], HWLOC_TYPE_FILTER_KEEP_ALL);
    hwloc_topology_set_type_filter(t, HWLOC_OBJ_GROUP, HWLOC_TYPE_FILTER_KEEP_STRUCTURE);
    if ((xml && hwloc_topology_set_xml(t, xml) < 0) || hwloc_topology_load(t) < 0) {
        hwloc_topology_destroy(t);
        return prism_fail(err, PRISM_E_IO, "cannot read the topology of %s", xml ? xml : "this machine");
    }
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    if (!set) {
        hwloc_topology_destroy(t);
        return prism_fail(err, PRISM_E_NOMEM, "no memory for a processor set");
    }
    /* The control group's cpuset is in the topology; the affinity masks (taskset, a job scheduler) are not. */
    for (int cpu = 0; cpu < PRISM_MAX_CPUS; cpu++)
        if (xml || prism_cpus_has(process, cpu))
            hwloc_bitmap_set(set, (unsigned)cpu);
    hwloc_bitmap_and(set, set, hwloc_topology_get_allowed_cpuset(t));
    *topology = t;
    *allowed = set;
    if (xml || describes_host(t, process, set))
        return PRISM_OK;
    hwloc_bitmap_free(set);
    hwloc_topology_destroy(t);
    return prism_fail(err, PRISM_E_IO, "hwloc describes another machine than this one");
}

/* Speed class of a processor: higher is faster, 0 where the machine has one kind or does not tell. */
static int kind_of(hwloc_topology_t t, hwloc_obj_t pu)
{
    int kind = hwloc_cpukinds_get_by_cpuset(t, pu->cpuset, 0);
    int efficiency = 0;

    if (kind < 0 || hwloc_cpukinds_get_info(t, (unsigned)kind, NULL, &efficiency, NULL, NULL, 0) < 0)
        return 0;
    return efficiency < 0 ? 0 : efficiency;
}

struct candidate {
    int kind, rank, pu, order, node;
};

/* One processor of every core before the second of any, fast kinds first within a round, then logical order. */
static int compare_candidates(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;

    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    if (x->kind != y->kind)
        return x->kind > y->kind ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* Fills out from the n candidates and the quota. */
static enum prism_status choose(struct candidate *c, uint32_t n, double quota_cpus, struct prism_placement *out, struct prism_error *err)
{
    uint32_t n_cores = 0;

    if (n == 0)
        return prism_fail(err, PRISM_E_IO, "no processor is allowed to run this process");
    qsort(c, n, sizeof *c, compare_candidates);
    for (uint32_t i = 0; i < n; i++)
        n_cores += c[i].rank == 0;
    for (uint32_t i = 0; i < PRISM_MAX_THREADS; i++)
        out->core[i] = c[i % n].pu, out->node[i] = c[i % n].node;
    out->n_processors = n < PRISM_MAX_THREADS ? n : PRISM_MAX_THREADS;
    out->n_cores = n_cores < PRISM_MAX_THREADS ? n_cores : PRISM_MAX_THREADS;
    out->n_default = out->n_cores;
    /* Rounded up: two threads use a quota of 1.5 in full, one would leave a third of it. */
    if (quota_cpus > 0 && ceil(quota_cpus) < out->n_default)
        out->n_default = (uint32_t)ceil(quota_cpus);
    return PRISM_OK;
}

enum prism_status prism_placement_choose(hwloc_topology_t t, hwloc_const_bitmap_t allowed, double quota_cpus,
                                         struct prism_placement *out, struct prism_error *err)
{
    int n_pus = hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_PU);
    struct candidate *c = malloc((size_t)(n_pus > 0 ? n_pus : 1) * sizeof *c);
    uint32_t n = 0;

    if (!c)
        return prism_fail(err, PRISM_E_NOMEM, "no memory for %d processors", n_pus);
    for (int i = 0; i < n_pus; i++) {
        hwloc_obj_t pu = hwloc_get_obj_by_type(t, HWLOC_OBJ_PU, (unsigned)i);
        if (hwloc_bitmap_isset(allowed, pu->os_index))
            c[n++] = (struct candidate){ kind_of(t, pu), rank_in_core(t, pu, allowed), (int)pu->os_index, i, hwloc_bitmap_first(pu->nodeset) };
    }
    enum prism_status status = choose(c, n, quota_cpus, out, err);
    free(c);
    return status;
}

enum prism_status prism_placement_plain(const struct prism_cpus *allowed, double quota_cpus, struct prism_placement *out,
                                        struct prism_error *err)
{
    struct candidate *c = malloc(PRISM_MAX_CPUS * sizeof *c);
    uint32_t n = 0;

    if (!c)
        return prism_fail(err, PRISM_E_NOMEM, "no memory for %d processors", PRISM_MAX_CPUS);
    for (int cpu = 0; cpu < PRISM_MAX_CPUS; cpu++)
        if (prism_cpus_has(allowed, cpu)) {
            int rank = prism_cpus_rank(allowed, cpu);
            c[n++] = (struct candidate){ 0, rank < 0 ? 0 : rank, cpu, cpu, -1 };
        }
    if (n == 0) /* the masks could not be read: one thread, wherever it is */
        c[n++] = (struct candidate){ .node = -1 };
    enum prism_status status = choose(c, n, quota_cpus, out, err);
    free(c);
    return status;
}

enum prism_status prism_placement_read(const char *xml, double quota_cpus, struct prism_placement *out, struct prism_error *err)
{
    struct prism_cpus process;
    hwloc_topology_t topology;
    hwloc_bitmap_t allowed;

    prism_cpus_of_process(&process);
    if (!xml && quota_cpus == 0)
        quota_cpus = prism_quota_cpus("");
    enum prism_status status = prism_topology_open(xml, &process, &topology, &allowed, err);
    if (status == PRISM_E_IO && !xml) {
        prism_error_clear(err);
        return prism_placement_plain(&process, quota_cpus, out, err);
    }
    if (status != PRISM_OK)
        return status;
    status = prism_placement_choose(topology, allowed, quota_cpus, out, err);
    hwloc_bitmap_free(allowed);
    hwloc_topology_destroy(topology);
    return status;
}
