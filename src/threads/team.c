/* team.c - a pool of threads: hands out the jobs of a phase, binds each thread to its processor. placement.c says where.
 *
 * The threads are ours rather than OpenMP's because a library must not end, hang or slow its host: libgomp exits the process when
 * a thread cannot be started, waits in a forked child for threads that the parent has, and spins as the environment says.
 *
 * A phase is open from the moment its jobs may be taken until the caller finds none left. Threads join an open phase when they
 * notice it, and the caller waits for those that did: one that sleeps, or that the system has taken off its processor, is not
 * waited for. Whoever waits spins for SPIN_NS, which covers the gaps within a prefill, and then sleeps on a futex. */
#include "src/threads/placement.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SPIN_NS 50000
enum {
    STACK_BYTES = 1 << 20, /* jobs need less than 64 KiB; prism_logits_fn is the application's code */
    LINE = 64              /* bytes of a cache line: words that different threads write lie apart */
};

struct worker {
    struct prism_team *team;
    uint32_t thread; /* its number, from 1 */
    unsigned seen;   /* the gate when it was started */
    pthread_t id;
};

struct prism_team {
    uint32_t size, n_wanted;  /* size: threads that there are */
    bool bind;
    int64_t spin_ns;
    unsigned forks;           /* fork_count when the threads were started: another value, and they are the parent's */
    struct worker *worker;    /* [n_wanted]; 0 is the caller */
    int *place, *node;        /* [n_wanted] processors when the team binds, and their memory nodes */
    struct prism_cpus allowed, saved; /* the process' processors; the caller's before the outermost prism_team_begin */
    unsigned begun;           /* begin calls that wait for their end */
    bool placed;              /* saved is to be put back */

    _Alignas(LINE) atomic_uint gate; /* odd: a phase is open; each change adds 1 */
    bool stop;
    prism_job_fn *fn;
    void *arg;
    size_t n_jobs;
    _Alignas(LINE) atomic_size_t next;     /* job */
    _Alignas(LINE) atomic_uint active;     /* threads beside the caller that may be at a job */
    atomic_bool caller_sleeps;             /* until active is 0 */
    _Alignas(LINE) atomic_uint sleepers;   /* threads that may sleep until the gate changes */
};

/* ---- waiting ---- */

static void futex_wait(atomic_uint *word, unsigned value) { syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0); }
static void futex_wake(atomic_uint *word, int n) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0); }

static inline void pause_a_little(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Whether the word has changed from value, after at most ns nanoseconds. Measured by the clock: a thread that lost its processor
 * to another while it was spinning has waited long enough. */
static bool changes_soon(atomic_uint *word, unsigned value, int64_t ns)
{
    int64_t end = 0;

    if (ns == 0)
        return *word != value;
    for (unsigned i = 1;; i++) {
        if (atomic_load_explicit(word, memory_order_acquire) != value)
            return true;
        pause_a_little();
        if (i % 32)
            continue;
        int64_t now = now_ns();
        if (end == 0)
            end = now + ns;
        else if (now >= end)
            return false;
    }
}

/* The gate of an open phase other than the one seen last. The count of sleepers goes up before the kernel compares the gate, and
 * the caller looks at it after it has changed the gate: one of the two notices. */
static unsigned wait_for_phase(struct prism_team *team, unsigned seen)
{
    for (;;) {
        unsigned gate = team->gate;
        if (gate % 2 && gate != seen)
            return gate;
        if (changes_soon(&team->gate, gate, team->spin_ns))
            continue;
        team->sleepers++;
        futex_wait(&team->gate, gate);
        team->sleepers--;
    }
}

static void wait_for_workers(struct prism_team *team)
{
    for (unsigned active; (active = team->active) > 0;) {
        if (changes_soon(&team->active, active, team->spin_ns))
            continue;
        team->caller_sleeps = true;
        futex_wait(&team->active, active);
        team->caller_sleeps = false;
    }
}

/* ---- the threads ---- */

static void take_jobs(struct prism_team *team, uint32_t thread)
{
    for (;;) {
        size_t job = atomic_fetch_add_explicit(&team->next, 1, memory_order_relaxed);
        if (job >= team->n_jobs)
            return;
        team->fn(team->arg, job, thread);
    }
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct prism_team *team = w->team;
    char name[16];

    snprintf(name, sizeof name, "prism-%u", w->thread);
    pthread_setname_np(pthread_self(), name);
    for (;;) {
        w->seen = wait_for_phase(team, w->seen);
        /* First counted, then made sure that the phase is still open: from here on the caller waits, and what it wrote stays. */
        team->active++;
        bool open = team->gate == w->seen, stop = open && team->stop;
        if (open && !stop)
            take_jobs(team, w->thread);
        if (--team->active == 0 && team->caller_sleeps)
            futex_wake(&team->active, 1);
        if (stop)
            return NULL;
    }
}

/* Bound or not, a thread goes where the team is told to: its creator may be bound, by another team or by OpenMP. A system that
 * refuses is no error: threads then run where they are. */
static void place_worker(const struct prism_team *team, uint32_t thread)
{
    struct prism_cpus c = team->bind ? prism_cpus_only(team->place[thread]) : team->allowed;

    pthread_setaffinity_np(team->worker[thread].id, sizeof c.set, c.set);
}

/* Signals are the application's threads' business; a fault's handler must run in the thread that made the fault. */
static void signals_of_workers(sigset_t *set)
{
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT };

    sigfillset(set);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(set, faults[i]);
}

static atomic_uint fork_count;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void count_fork(void) { fork_count++; }
static void watch_forks(void) { pthread_atfork(NULL, NULL, count_fork); }

/* Starts the threads, or as many as the system allows. */
static void start_workers(struct prism_team *team)
{
    pthread_attr_t attr;
    sigset_t blocked, before;

    team->forks = fork_count;
    team->size = 1;
    team->active = team->sleepers = 0;
    team->caller_sleeps = false;
    team->gate += team->gate % 2;
    if (team->n_wanted == 1 || pthread_attr_init(&attr))
        return;
    bool small = pthread_attr_setstacksize(&attr, STACK_BYTES) == 0;
    signals_of_workers(&blocked);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    for (; team->size < team->n_wanted; team->size++) {
        struct worker *w = &team->worker[team->size];
        *w = (struct worker){ .team = team, .thread = team->size, .seen = team->gate };
        int status = pthread_create(&w->id, &attr, work, w);
        if (status == EINVAL && small) /* the application's thread-local variables, which lie on the stack, need more */
            status = pthread_create(&w->id, NULL, work, w);
        if (status)
            break;
        place_worker(team, team->size);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
}

static void open_phase(struct prism_team *team, size_t wanted)
{
    team->gate++;
    if (team->sleepers)
        futex_wake(&team->gate, wanted < INT_MAX ? (int)wanted : INT_MAX);
}

static void stop_workers(struct prism_team *team)
{
    if (team->size == 1 || team->forks != fork_count)
        return;
    team->stop = true;
    open_phase(team, SIZE_MAX);
    for (uint32_t i = 1; i < team->size; i++)
        pthread_join(team->worker[i].id, NULL);
}

/* ---- the team ---- */

enum prism_status prism_team_create(uint32_t n_threads, bool bind, struct prism_team **out, struct prism_error *err)
{
    struct prism_placement placement = { .n_processors = 1 };
    bool alone = n_threads == 1 && !bind; /* the caller, wherever it is: nobody has to be asked, which takes most of the time */
    enum prism_status status = PRISM_OK;

    *out = NULL;
    if (n_threads > PRISM_MAX_THREADS)
        return prism_fail(err, PRISM_E_ARG, "%u threads: at most %d", n_threads, PRISM_MAX_THREADS);
    if (!alone && (status = prism_placement_read(NULL, 0, &placement, err)))
        return status;
    uint32_t n = n_threads ? n_threads : placement.n_default;
    struct prism_team *team = aligned_alloc(LINE, sizeof *team);
    struct worker *worker = calloc(n, sizeof *worker);
    int *place = calloc(n, sizeof *place), *node = calloc(n, sizeof *node);
    if (!team || !worker || !place || !node) {
        free(team);
        free(worker);
        free(place);
        free(node);
        return prism_fail(err, PRISM_E_NOMEM, "no memory for a team of %u threads", n);
    }
    memset(team, 0, sizeof *team);
    team->n_wanted = n;
    team->worker = worker;
    team->place = place;
    team->node = node;
    team->bind = bind;
    if (bind)
        prism_places_take(&placement, n, place);
    for (uint32_t i = 0; i < n; i++)
        node[i] = bind ? prism_placement_node(&placement, place[i]) : -1;
    if (!alone)
        prism_cpus_of_process(&team->allowed);
    /* Threads that share a processor would spin in each other's way. */
    team->spin_ns = n > placement.n_processors ? 0 : SPIN_NS;
    pthread_once(&fork_once, watch_forks);
    start_workers(team);
    *out = team;
    return PRISM_OK;
}

void prism_team_free(struct prism_team *team)
{
    if (!team)
        return;
    stop_workers(team);
    if (team->bind)
        prism_places_return(team->place, team->n_wanted);
    free(team->worker);
    free(team->place);
    free(team->node);
    free(team);
}

uint32_t prism_team_size(const struct prism_team *team) { return team->size; }
const int *prism_team_nodes(const struct prism_team *team) { return team->node; }

/* The caller is thread 0. Its thread belongs to the application, so its binding is put back in the end. */
void prism_team_begin(struct prism_team *team)
{
    if (team->begun++ > 0)
        return;
    if (team->forks != fork_count)
        start_workers(team);
    team->placed = false;
    if (team->bind && sched_getaffinity(0, sizeof team->saved.set, team->saved.set) == 0) {
        struct prism_cpus place = prism_cpus_only(team->place[0]);
        team->placed = sched_setaffinity(0, sizeof place.set, place.set) == 0;
    }
}

void prism_team_end(struct prism_team *team)
{
    if (--team->begun == 0 && team->placed)
        sched_setaffinity(0, sizeof team->saved.set, team->saved.set);
}

void prism_team_run(struct prism_team *team, size_t n_jobs, prism_job_fn *fn, void *arg)
{
    if (n_jobs == 0)
        return;
    prism_team_begin(team);
    team->fn = fn;
    team->arg = arg;
    team->n_jobs = n_jobs;
    atomic_store_explicit(&team->next, 0, memory_order_relaxed);
    if (n_jobs == 1 || team->size == 1) {
        take_jobs(team, 0);
    } else {
        open_phase(team, n_jobs - 1);
        take_jobs(team, 0);
        team->gate++;
        wait_for_workers(team);
    }
    prism_team_end(team);
}

static int single_processor(const struct prism_cpus *c)
{
    if (CPU_COUNT_S(sizeof c->set, c->set) != 1)
        return -1;
    for (int cpu = 0;; cpu++)
        if (prism_cpus_has(c, cpu))
            return cpu;
}

void prism_team_binding(struct prism_team *team, int *core_of, size_t cap)
{
    struct prism_cpus c;

    prism_team_begin(team);
    for (size_t i = 0; i < cap && i < team->size; i++) {
        int status = i == 0 ? sched_getaffinity(0, sizeof c.set, c.set)
                            : pthread_getaffinity_np(team->worker[i].id, sizeof c.set, c.set);
        core_of[i] = status ? -1 : single_processor(&c);
    }
    prism_team_end(team);
}
