/* team.c - a team of OpenMP threads: hands out the jobs of a phase, binds each thread to its processor.
 *
 * The runtime keeps idle threads alive between regions and spins or sleeps as OMP_WAIT_POLICY and its defaults say; that
 * policy is left to the user. placement.c says where threads go. */
#include "src/threads/placement.h"

#include <omp.h>
#include <stdatomic.h>

struct prism_team {
    uint32_t size;
    bool bind;
    hwloc_topology_t topology;
    hwloc_bitmap_t allowed;     /* what the creating thread might use: where threads of a team that does not bind may run */
    hwloc_bitmap_t saved;       /* the caller's binding before the outermost prism_team_begin */
    unsigned begun;             /* begin calls that wait for their end */
    bool placed;                /* saved is to be put back */
    hwloc_bitmap_t *place;      /* [size] when the team binds: one processor each */
    struct prism_placement placement;
};

/* 1 + the processor that a team bound this worker to, 0: none. The runtime's threads outlive teams and serve one after the
 * other, so what is remembered belongs to the thread. */
static _Thread_local int bound_to;

static enum prism_status make_places(struct prism_team *team, struct prism_error *err)
{
    team->place = calloc(team->size, sizeof *team->place);
    for (uint32_t i = 0; i < team->size; i++) {
        hwloc_bitmap_t set = team->place ? hwloc_bitmap_alloc() : NULL;
        if (!set)
            return prism_fail(err, PRISM_E_NOMEM, "no memory for the places of %u threads", team->size);
        hwloc_bitmap_only(set, (unsigned)team->placement.core[i]);
        team->place[i] = set;
    }
    return PRISM_OK;
}

enum prism_status prism_team_create(uint32_t n_threads, bool bind, struct prism_team **out, struct prism_error *err)
{
    *out = NULL;
    if (n_threads > PRISM_MAX_THREADS)
        return prism_fail(err, PRISM_E_ARG, "%u threads: at most %d", n_threads, PRISM_MAX_THREADS);
    struct prism_team *team = calloc(1, sizeof *team);
    if (!team)
        return prism_fail(err, PRISM_E_NOMEM, "no memory for a team");
    enum prism_status status = prism_topology_open(NULL, &team->topology, &team->allowed, err);
    if (status == PRISM_OK)
        status = prism_placement_choose(team->topology, team->allowed, prism_quota_cpus(""), &team->placement, err);
    if (status == PRISM_OK) {
        team->size = n_threads ? n_threads : team->placement.n_default;
        team->bind = bind;
        team->saved = hwloc_bitmap_alloc();
        if (!team->saved)
            status = prism_fail(err, PRISM_E_NOMEM, "no memory for a processor set");
        else if (bind)
            status = make_places(team, err);
    }
    if (status != PRISM_OK) {
        prism_team_free(team);
        return status;
    }
    *out = team;
    return PRISM_OK;
}

void prism_team_free(struct prism_team *team)
{
    if (!team)
        return;
    for (uint32_t i = 0; team->place && i < team->size; i++)
        hwloc_bitmap_free(team->place[i]);
    free(team->place);
    hwloc_bitmap_free(team->saved);
    hwloc_bitmap_free(team->allowed);
    if (team->topology)
        hwloc_topology_destroy(team->topology);
    free(team);
}

uint32_t prism_team_size(const struct prism_team *team) { return team->size; }

/* Puts a worker where the team wants it: on its processor, or back on all of them after a team that bound it. A system that
 * refuses is no error: threads then run where they are. */
static void place_worker(const struct prism_team *team, uint32_t thread)
{
    int want = team->bind ? 1 + team->placement.core[thread] : 0;

    if (bound_to == want)
        return;
    if (hwloc_set_cpubind(team->topology, team->bind ? team->place[thread] : team->allowed, HWLOC_CPUBIND_THREAD) == 0)
        bound_to = want;
}

/* The caller is thread 0. Its thread belongs to the application, so its binding is put back in the end. */
void prism_team_begin(struct prism_team *team)
{
    if (team->begun++ == 0)
        team->placed = team->bind && hwloc_get_cpubind(team->topology, team->saved, HWLOC_CPUBIND_THREAD) == 0 &&
                       hwloc_set_cpubind(team->topology, team->place[0], HWLOC_CPUBIND_THREAD) == 0;
}

void prism_team_end(struct prism_team *team)
{
    if (--team->begun == 0 && team->placed)
        hwloc_set_cpubind(team->topology, team->saved, HWLOC_CPUBIND_THREAD);
}

/* libgomp's barriers order everything around a region. The counter's acquires and releases below say the same once more, for
 * ThreadSanitizer, which does not see into libgomp; without them it could not check what jobs do. */

static uint32_t join_region(const struct prism_team *team, atomic_size_t *next)
{
    uint32_t thread = (uint32_t)omp_get_thread_num();

    (void)atomic_load_explicit(next, memory_order_acquire);
    if (thread > 0)
        place_worker(team, thread);
    return thread;
}

static void take_jobs(atomic_size_t *next, size_t n_jobs, prism_job_fn *fn, void *arg, uint32_t thread)
{
    for (;;) {
        size_t job = atomic_fetch_add_explicit(next, 1, memory_order_acq_rel);
        if (job >= n_jobs)
            return;
        fn(arg, job, thread);
    }
}

void prism_team_run(struct prism_team *team, size_t n_jobs, prism_job_fn *fn, void *arg)
{
    atomic_size_t next;

    if (n_jobs == 0)
        return;
    prism_team_begin(team);
    atomic_store_explicit(&next, 0, memory_order_release);
    if (n_jobs == 1 || team->size == 1) {
        take_jobs(&next, n_jobs, fn, arg, 0);
    } else {
        /* All threads, even for fewer jobs: libgomp ends the threads that a smaller region leaves out, and starting them
         * anew for the next phase costs 50 us each; a region in which a thread finds no job costs 1 us. */
#pragma omp parallel num_threads(team->size)
        take_jobs(&next, n_jobs, fn, arg, join_region(team, &next));
        (void)atomic_load_explicit(&next, memory_order_acquire);
    }
    prism_team_end(team);
}

static int bound_processor(const struct prism_team *team)
{
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    bool single = set && hwloc_get_cpubind(team->topology, set, HWLOC_CPUBIND_THREAD) == 0 && hwloc_bitmap_weight(set) == 1;
    int processor = single ? hwloc_bitmap_first(set) : -1;

    hwloc_bitmap_free(set);
    return processor;
}

void prism_team_binding(struct prism_team *team, int *core_of, size_t cap)
{
    atomic_size_t done;

    for (size_t i = 0; i < cap && i < team->size; i++)
        core_of[i] = -1;
    prism_team_begin(team);
    atomic_store_explicit(&done, 0, memory_order_release);
    /* Not a run: a quick thread could take the jobs of all. */
#pragma omp parallel num_threads(team->size)
    {
        uint32_t thread = join_region(team, &done);
        if (thread < cap)
            core_of[thread] = bound_processor(team);
        atomic_fetch_add_explicit(&done, 1, memory_order_release);
    }
    (void)atomic_load_explicit(&done, memory_order_acquire);
    prism_team_end(team);
}
