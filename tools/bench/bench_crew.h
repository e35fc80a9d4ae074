/* bench_crew.h - the same work on several threads at once, in timed rounds.
 *
 * Owns the threads (a team of src/threads) and the clock. Each thread has its own job; the threads begin a round together and measure their
 * own processor time: on a shared machine wall time mostly shows the neighbours. */
#ifndef PRISM_TOOLS_BENCH_CREW_H
#define PRISM_TOOLS_BENCH_CREW_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/threads/team.h"

enum { BENCH_MAX_ROUNDS = 9 };

struct bench_crew {
    struct prism_team *team;
    size_t n;                  /* threads */
    pthread_barrier_t barrier;
    double *seconds;           /* [BENCH_MAX_ROUNDS][n] */
};

/* n_threads 0: one per core. Several threads are bound, one to a core while cores last. Returns PROCESS_OK, or PROCESS_ERROR after one
 * line (more threads than processors, as processor time would count those twice) with nothing left to close. */
int bench_crew_open(struct bench_crew *c, uint32_t n_threads);
void bench_crew_close(struct bench_crew *c); /* also of one that is zero */

/* Each thread calls fn(arg, thread) once, all at the same time. */
void bench_crew_run(struct bench_crew *c, void (*fn)(void *arg, size_t thread), void *arg);

/* Does `times` times what a job is about. */
typedef void bench_run_fn(void *job, size_t times);

struct bench_work {
    bench_run_fn *run;
    void *jobs;                /* thread t runs the job at jobs + t * job_bytes */
    size_t job_bytes;
    double units;              /* that a job does once */
    int rounds;                /* odd, 3 to BENCH_MAX_ROUNDS */
};

/* Units of 1e9 per second, all threads together, in ascending order. */
struct bench_rates {
    double rate[BENCH_MAX_ROUNDS];
    int n;                     /* odd */
};

/* Each thread runs its job once to warm up, and then as often in every round as thread 0 needs for 4 ms. Of long jobs there are fewer rounds
 * than asked for, 3 at least. False: interrupted. */
bool bench_crew_measure(struct bench_crew *c, const struct bench_work *work, struct bench_rates *out);

double bench_median(const struct bench_rates *r);
double bench_spread(const struct bench_rates *r); /* half the distance between the quartiles */
double bench_best(const struct bench_rates *r);

/* Processor time of the calling thread. */
double bench_seconds(void);

#endif
