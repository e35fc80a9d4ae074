/* thread_test.c - see thread_test.h. */
#include "tests/support/thread_test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct prism_team *new_team(uint32_t n_threads, bool bind)
{
    struct prism_team *team;
    struct prism_error err = { 0 };

    if (prism_team_create(n_threads, bind, &team, &err) != PRISM_OK)
        fail_msg("team of %u: %s", n_threads, err.text);
    return team;
}

bool run_on_team(void *self, size_t n_jobs, double work, prism_job_fn *fn, void *arg)
{
    (void)work;
    prism_team_run(self, n_jobs, fn, arg);
    return true;
}

int allow_one_processor(cpu_set_t *before)
{
    cpu_set_t one;

    assert_int_equal(sched_getaffinity(0, sizeof *before, before), 0);
    int last = CPU_SETSIZE - 1;
    while (!CPU_ISSET(last, before))
        last--;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    return last;
}
