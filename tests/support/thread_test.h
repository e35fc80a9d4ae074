/* thread_test.h - what tests with threads share: a team, and a process that may run on one core only. */
#ifndef PRISM_TESTS_THREAD_TEST_H
#define PRISM_TESTS_THREAD_TEST_H

#include <sched.h>

#include "src/threads/team.h"

/* prism_team_create, or the running test fails. Free it with prism_team_free. */
struct prism_team *new_team(uint32_t n_threads, bool bind);

/* For struct prism_runner: self is a team. */
bool run_on_team(void *self, size_t n_jobs, double work, prism_job_fn *fn, void *arg);

/* Allows the calling thread, and those that it starts from now on, the last of its processors alone, as taskset and job schedulers do, or fails
 * the test. Returns that processor; *before: what was allowed, for sched_setaffinity afterwards. */
int allow_one_processor(cpu_set_t *before);

#endif
