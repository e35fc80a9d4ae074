/* bench_crew.c - see bench_crew.h. */
#include "tools/bench/bench_crew.h"

#include <stdlib.h>
#include <time.h>

#include "tools/common/process.h"

#define MIN_SECONDS 0.004 /* of a round */
#define MAX_SECONDS 0.4   /* of all rounds, while there are at least MIN_ROUNDS */
enum { MIN_ROUNDS = 3 };

double bench_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- threads ---- */

int bench_crew_open(struct bench_crew *c, uint32_t n_threads)
{
    struct prism_placement placement;
    struct prism_error err = { 0 };

    *c = (struct bench_crew){ 0 };
    if (prism_placement_read(NULL, 0, &placement, &err) != PRISM_OK)
        return process_error("%s", err.text);
    uint32_t n_max = placement.n_processors;
    if (n_threads > n_max)
        return process_error("%u threads: this process may use %u processor%s", n_threads, n_max, n_max > 1 ? "s" : "");
    if (prism_team_create(n_threads, n_threads != 1, &c->team, &err) != PRISM_OK)
        return process_error("%s", err.text);
    c->n = prism_team_size(c->team);
    if (c->n < n_threads) {
        prism_team_free(c->team);
        c->team = NULL;
        return process_error("%u threads: only %zu could be started", n_threads, c->n);
    }
    c->seconds = malloc(BENCH_MAX_ROUNDS * c->n * sizeof *c->seconds);
    if (!c->seconds || pthread_barrier_init(&c->barrier, NULL, (unsigned)c->n)) {
        prism_team_free(c->team);
        free(c->seconds);
        *c = (struct bench_crew){ 0 };
        return process_error("out of memory");
    }
    return PROCESS_OK;
}

void bench_crew_close(struct bench_crew *c)
{
    if (!c->team)
        return;
    pthread_barrier_destroy(&c->barrier);
    prism_team_free(c->team);
    free(c->seconds);
    *c = (struct bench_crew){ 0 };
}

struct call {
    struct bench_crew *c;
    void (*fn)(void *arg, size_t thread);
    void *arg;
};

/* A team hands jobs to whichever thread is free: waiting for the others makes it one for each. */
static void call_once(void *arg, size_t job, uint32_t thread)
{
    const struct call *call = arg;

    (void)job;
    pthread_barrier_wait(&call->c->barrier);
    call->fn(call->arg, thread);
}

void bench_crew_run(struct bench_crew *c, void (*fn)(void *arg, size_t thread), void *arg)
{
    prism_team_run(c->team, c->n, call_once, &(struct call){ c, fn, arg });
}

/* ---- rounds ---- */

struct rounds {
    struct bench_crew *c;
    const struct bench_work *work;
    size_t repeat;
    int n, n_done;
    bool stop;
};

static double time_round(const struct rounds *r, void *job)
{
    double start = bench_seconds();

    r->work->run(job, r->repeat);
    return bench_seconds() - start;
}

/* How often a job is run in a round, and how many rounds there are. */
static void plan_rounds(struct rounds *r, void *job)
{
    double seconds;

    for (r->repeat = 1; (seconds = time_round(r, job)) < MIN_SECONDS; r->repeat *= 2)
        ;
    int affordable = MAX_SECONDS / seconds < r->work->rounds ? (int)(MAX_SECONDS / seconds) | 1 : r->work->rounds;
    r->n = affordable > MIN_ROUNDS ? affordable : MIN_ROUNDS;
}

static void run_rounds(void *arg, size_t thread)
{
    struct rounds *r = arg;
    void *job = (char *)r->work->jobs + thread * r->work->job_bytes;

    if (thread == 0)
        plan_rounds(r, job);
    else
        r->work->run(job, 1);
    pthread_barrier_wait(&r->c->barrier);
    for (int i = 0; i < r->n && !r->stop; i++) {
        r->c->seconds[(size_t)i * r->c->n + thread] = time_round(r, job);
        pthread_barrier_wait(&r->c->barrier);
        if (thread == 0) {
            r->n_done = i + 1;
            r->stop = process_interrupted();
        }
        pthread_barrier_wait(&r->c->barrier);
    }
}

static int ascending(const void *a, const void *b)
{
    double d = *(const double *)a - *(const double *)b;

    return (d > 0) - (d < 0);
}

bool bench_crew_measure(struct bench_crew *c, const struct bench_work *work, struct bench_rates *out)
{
    struct rounds r = { .c = c, .work = work };

    bench_crew_run(c, run_rounds, &r);
    *out = (struct bench_rates){ .n = r.n };
    for (int i = 0; i < r.n_done; i++)
        for (size_t t = 0; t < c->n; t++)
            out->rate[i] += 1e-9 * work->units * (double)r.repeat / c->seconds[(size_t)i * c->n + t];
    qsort(out->rate, (size_t)out->n, sizeof *out->rate, ascending);
    return !r.stop;
}

double bench_median(const struct bench_rates *r) { return r->rate[r->n / 2]; }
double bench_spread(const struct bench_rates *r) { return (r->rate[3 * r->n / 4] - r->rate[r->n / 4]) / 2; }
double bench_best(const struct bench_rates *r) { return r->rate[r->n - 1]; }
