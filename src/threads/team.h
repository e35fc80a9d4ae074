/* team.h - the only place that owns threads: a pool of them for each context, placed by hwloc.
 *
 * A team runs jobs 0..n-1 of a phase, each exactly once, on its threads, in any order, and returns when all are done. Callers
 * split over outputs, never inside a sum, so results do not depend on the number of threads. */
#ifndef PRISM_THREADS_TEAM_H
#define PRISM_THREADS_TEAM_H

#include "src/base/error.h"

/* Where threads may go, in the order in which they are used: fast cores before slow ones on hybrid processors, otherwise the
 * machine's logical order, which fills one package before the next. */
struct prism_placement {
    uint32_t n_cores;            /* physical cores allowed (affinity masks, cpuset), at most PRISM_MAX_THREADS */
    uint32_t n_default;          /* threads to use: n_cores, less where a cgroup CPU quota allows less, at least 1 */
    uint32_t n_processors;       /* different entries of core, its first ones */
    int core[PRISM_MAX_THREADS]; /* OS processor of thread i: one per core first, then their SMT siblings, then again */
    int node[PRISM_MAX_THREADS]; /* that processor's memory node, the OS's number; -1: not known */
};

/* xml: NULL for this machine, or a saved hwloc topology to replay (tests; then affinity and quota of this host are not read).
 * quota_cpus: 0 reads the cgroup, otherwise the quota to assume, in processors; a quota of 1.5 lets two threads run. When
 * hwloc cannot read this machine, or was told by its environment variables to describe another, what the kernel tells is used.
 * Errors: PRISM_E_IO when a saved topology cannot be read, PRISM_E_NOMEM. */
enum prism_status prism_placement_read(const char *xml, double quota_cpus, struct prism_placement *out, struct prism_error *err);

struct prism_team;

/* n_threads 0: placement default. The threads are started here, or by the first run after a fork, in the child; when the system
 * refuses one, the team is as large as it got, at least the caller alone. They block signals but those of faults. A team that
 * binds gets the processors that the fewest threads of such teams have in this process. Several teams may run at once from
 * several threads of the application; one team belongs to one of them at a time.
 * Errors: PRISM_E_ARG beyond PRISM_MAX_THREADS, PRISM_E_IO, PRISM_E_NOMEM. */
enum prism_status prism_team_create(uint32_t n_threads, bool bind, struct prism_team **out, struct prism_error *err);
void prism_team_free(struct prism_team *team); /* NULL is allowed; its threads have ended on return */
uint32_t prism_team_size(const struct prism_team *team); /* threads that there are, the caller included */

/* [size] The memory node of the processor that each thread is bound to; -1: not bound, or not known. */
const int *prism_team_nodes(const struct prism_team *team);

/* fn(arg, job, thread): thread in [0, size). Jobs are handed out in ascending order as threads become free. The caller is
 * thread 0; when the team binds, the caller's binding is restored before return, or by prism_team_end. n_jobs jobs that wait for
 * each other, at most size, get a thread each. Allocates nothing. A job must not run its own team. */
typedef void prism_job_fn(void *arg, size_t job, uint32_t thread);
void prism_team_run(struct prism_team *team, size_t n_jobs, prism_job_fn *fn, void *arg);

/* Between the two the caller stays bound as thread 0: many short runs are spared three system calls each. They may be nested. */
void prism_team_begin(struct prism_team *team);
void prism_team_end(struct prism_team *team);

/* OS processor that each thread is bound to during a run, read back from the system; -1: not bound to a single one. Fills
 * min(cap, size) entries. */
void prism_team_binding(struct prism_team *team, int *core_of, size_t cap);

#endif
