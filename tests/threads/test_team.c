/* The team: each job once, on threads in range; several teams at once; who waits sleeps; binding, and the caller's own binding
 * kept. Runs under ThreadSanitizer too (make check-tsan). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "src/threads/team.h"

#define MAX_JOBS 1000
#define MAX_SIZE 7

static cpu_set_t before; /* where the test program may run, read before any team was there */

static int read_affinity(void **state)
{
    (void)state;
    return sched_getaffinity(0, sizeof before, &before);
}

/* After each test: no run has left the caller bound. */
static int check_affinity(void **state)
{
    (void)state;
    cpu_set_t after;

    return sched_getaffinity(0, sizeof after, &after) == 0 && CPU_EQUAL(&before, &after) ? 0 : -1;
}

struct tally {
    uint32_t size;
    atomic_uint runs[MAX_JOBS];       /* of each job */
    size_t next_job[MAX_SIZE];        /* lowest job that thread may still get */
    atomic_uint bad_thread, disorder;
};

static void count_job(void *arg, size_t job, uint32_t thread)
{
    struct tally *t = arg;

    t->runs[job]++;
    if (thread >= t->size) {
        t->bad_thread++;
        return;
    }
    t->disorder += job < t->next_job[thread];
    t->next_job[thread] = job + 1;
}

/* Returns the number of jobs that did not run exactly once in order on a thread of the team. Safe outside cmocka's thread. */
static unsigned wrong_jobs(struct prism_team *team, size_t n_jobs)
{
    struct tally t = { .size = prism_team_size(team) };

    prism_team_run(team, n_jobs, count_job, &t);
    unsigned wrong = t.bad_thread + t.disorder;
    for (size_t j = 0; j < MAX_JOBS; j++)
        wrong += t.runs[j] != (j < n_jobs);
    return wrong;
}

static struct prism_team *new_team(uint32_t n_threads, bool bind)
{
    struct prism_team *team;
    struct prism_error err = { 0 };

    if (prism_team_create(n_threads, bind, &team, &err) != PRISM_OK)
        fail_msg("team of %u: %s", n_threads, err.text);
    return team;
}

static void each_job_once(void **state)
{
    (void)state;
    static const uint32_t sizes[] = { 1, 2, 3, 7 };
    static const size_t jobs[] = { 0, 1, 2, 5, 1000 };

    for (size_t s = 0; s < 4; s++)
        for (int bind = 0; bind < 2; bind++) {
            struct prism_team *team = new_team(sizes[s], bind);
            assert_int_equal(prism_team_size(team), sizes[s]);
            for (int j = 0; j < 5; j++)
                assert_int_equal(wrong_jobs(team, jobs[j]), 0);
            prism_team_free(team);
        }
}

struct rendezvous {
    atomic_uint arrived, together;
};

/* Each job waits (at most some seconds) until all others have begun: only possible when every job has its own thread. */
static void meet(void *arg, size_t job, uint32_t thread)
{
    struct rendezvous *r = arg;
    (void)job, (void)thread;

    r->arrived++;
    for (int i = 0; i < 5000000 && r->arrived < 3; i++)
        sched_yield();
    r->together += r->arrived == 3;
}

static void jobs_run_side_by_side(void **state)
{
    (void)state;
    struct rendezvous r = { 0 };
    struct prism_team *team = new_team(3, false);

    prism_team_run(team, 3, meet, &r);
    assert_int_equal(r.together, 3);
    prism_team_free(team);
}

struct user {
    struct prism_team *team;
    unsigned wrong;
};

static void *use_team(void *arg)
{
    struct user *u = arg;

    for (size_t i = 0; i < 100; i++)
        u->wrong += wrong_jobs(u->team, i % 7);
    return NULL;
}

static void two_teams_at_once(void **state)
{
    (void)state;
    for (int bind = 0; bind < 2; bind++) {
        struct user users[2] = { { new_team(2, bind), 0 }, { new_team(3, bind), 0 } };
        pthread_t thread[2];

        for (int i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&thread[i], NULL, use_team, &users[i]), 0);
        for (int i = 0; i < 2; i++) {
            pthread_join(thread[i], NULL);
            assert_int_equal(users[i].wrong, 0);
            prism_team_free(users[i].team);
        }
    }
}

static void binding(void **state)
{
    (void)state;
    struct prism_placement p;
    int core_of[MAX_SIZE];

    assert_int_equal(prism_placement_read(NULL, 0, &p, NULL), PRISM_OK);
    struct prism_team *bound = new_team(3, true), *free_team = new_team(3, false);
    for (int turn = 0; turn < 2; turn++) {
        core_of[3] = 77;
        prism_team_binding(bound, core_of, MAX_SIZE);
        for (int i = 0; i < 3; i++)
            assert_int_equal(core_of[i], p.core[i]);
        assert_int_equal(core_of[3], 77);
        assert_int_equal(wrong_jobs(bound, 10), 0);
        assert_int_equal(check_affinity(NULL), 0);

        prism_team_binding(free_team, core_of, 2);
        for (int i = 0; i < 2; i++)
            assert_int_equal(core_of[i], CPU_COUNT(&before) == 1 ? p.core[0] : -1);
    }
    prism_team_free(bound);
    prism_team_free(free_team);
}

/* A job that finds out whether the caller, thread 0, is bound to its processor. */
static void look_at_caller(void *arg, size_t job, uint32_t thread)
{
    cpu_set_t now;
    (void)job, (void)thread;

    *(int *)arg = sched_getaffinity(0, sizeof now, &now) == 0 ? CPU_COUNT(&now) : -1;
}

static void caller_bound_from_begin_to_end(void **state)
{
    (void)state;
    struct prism_team *team = new_team(1, true);
    int processors = 0;
    cpu_set_t now;

    prism_team_begin(team);
    for (int i = 0; i < 2; i++) {
        prism_team_run(team, 1, look_at_caller, &processors);
        assert_int_equal(processors, 1);
        assert_int_equal(sched_getaffinity(0, sizeof now, &now), 0);
        assert_int_equal(CPU_COUNT(&now), 1); /* a run inside does not put the binding back */
    }
    prism_team_end(team);
    assert_int_equal(check_affinity(NULL), 0);
    prism_team_run(team, 1, look_at_caller, &processors);
    assert_int_equal(processors, 1);
    assert_int_equal(check_affinity(NULL), 0);
    prism_team_free(team);
}

/* Phases that threads wait for awake, and others that wake them. */
static void thousands_of_phases(void **state)
{
    (void)state;
    for (uint32_t size = 2; size <= 4; size++) {
        struct prism_team *team = new_team(size, size == 3);
        for (size_t i = 0; i < 3000; i++) {
            assert_int_equal(wrong_jobs(team, i % 6), 0);
            if (i % 100 == 0)
                usleep(500);
        }
        prism_team_free(team);
    }
}

static double thread_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

struct pair {
    atomic_uint arrived;
    double caller_ms; /* processor time of the caller when its job was done */
};

/* When both threads have a job, the caller's ends and the other thread sleeps over its own. */
static void sleep_beside_the_caller(void *arg, size_t job, uint32_t thread)
{
    struct pair *p = arg;
    (void)job;

    p->arrived++;
    for (int i = 0; i < 10000 && p->arrived < 2; i++)
        usleep(1000);
    if (thread > 0)
        usleep(1000000);
    else
        p->caller_ms = thread_ms();
}

/* By processor time, which a spinning thread uses even on a busy machine, in the seconds that it has for it. */
static void waiting_caller_sleeps(void **state)
{
    (void)state;
    struct prism_team *team = new_team(2, false);
    struct pair p = { 0 };

    prism_team_run(team, 2, sleep_beside_the_caller, &p);
    assert_int_equal(p.arrived, 2);
    assert_true(thread_ms() - p.caller_ms < 10);
    prism_team_free(team);
}

static int processor_of(struct prism_team *team)
{
    int core_of[1] = { -2 };

    prism_team_binding(team, core_of, 1);
    return core_of[0];
}

static void bound_teams_spread(void **state)
{
    (void)state;
    struct prism_placement p;
    struct prism_team *team[4];

    assert_int_equal(prism_placement_read(NULL, 0, &p, NULL), PRISM_OK);
    uint32_t n = p.n_processors < 3 ? p.n_processors : 3;
    for (uint32_t i = 0; i < n; i++) {
        team[i] = new_team(1, true);
        assert_int_equal(processor_of(team[i]), p.core[i]);
    }
    if (n == p.n_processors) { /* all taken once: the first is the next again */
        team[3] = new_team(1, true);
        assert_int_equal(processor_of(team[3]), p.core[0]);
        prism_team_free(team[3]);
    }
    prism_team_free(team[n - 1]); /* leaves the least used one */
    team[n - 1] = new_team(1, true);
    assert_int_equal(processor_of(team[n - 1]), p.core[n - 1]);
    for (uint32_t i = 0; i < n; i++)
        prism_team_free(team[i]);
    team[0] = new_team(1, true);
    assert_int_equal(processor_of(team[0]), p.core[0]);
    prism_team_free(team[0]);
}

/* A thread of the application that may use one processor only makes a team: its threads may use the process' processors. */
static void *make_team_when_bound(void *arg)
{
    struct prism_placement *p = arg;
    cpu_set_t one;
    int core_of[2] = { -2, -2 };

    CPU_ZERO(&one);
    CPU_SET(p->core[p->n_processors - 1], &one);
    struct prism_placement seen;
    struct prism_team *team;
    if (sched_setaffinity(0, sizeof one, &one) || prism_placement_read(NULL, 0, &seen, NULL) != PRISM_OK ||
        memcmp(&seen, p, sizeof seen) != 0 || prism_team_create(2, false, &team, NULL) != PRISM_OK)
        return NULL;
    prism_team_binding(team, core_of, 2);
    bool right = core_of[0] == p->core[p->n_processors - 1] && core_of[1] == (p->n_processors > 1 ? -1 : core_of[0]);
    prism_team_free(team);
    return right ? p : NULL;
}

static void bound_creator(void **state)
{
    (void)state;
    struct prism_placement p;
    pthread_t thread;
    void *result;

    memset(&p, 0, sizeof p);
    assert_int_equal(prism_placement_read(NULL, 0, &p, NULL), PRISM_OK);
    assert_int_equal(pthread_create(&thread, NULL, make_team_when_bound, &p), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, &p);
}

static void defaults_and_errors(void **state)
{
    (void)state;
    struct prism_placement p;
    struct prism_error err = { 0 };
    struct prism_team *team = new_team(0, false);

    assert_int_equal(prism_placement_read(NULL, 0, &p, NULL), PRISM_OK);
    assert_int_equal(prism_team_size(team), p.n_default);
    prism_team_free(team);
    prism_team_free(NULL);
    assert_int_equal(prism_team_create(PRISM_MAX_THREADS + 1, false, &team, &err), PRISM_E_ARG);
    assert_null(team);
    assert_string_equal(err.text, "513 threads: at most 512");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(each_job_once, check_affinity),
        cmocka_unit_test_teardown(jobs_run_side_by_side, check_affinity),
        cmocka_unit_test_teardown(two_teams_at_once, check_affinity),
        cmocka_unit_test_teardown(binding, check_affinity),
        cmocka_unit_test_teardown(caller_bound_from_begin_to_end, check_affinity),
        cmocka_unit_test_teardown(thousands_of_phases, check_affinity),
        cmocka_unit_test_teardown(waiting_caller_sleeps, check_affinity),
        cmocka_unit_test_teardown(bound_teams_spread, check_affinity),
        cmocka_unit_test_teardown(bound_creator, check_affinity),
        cmocka_unit_test_teardown(defaults_and_errors, check_affinity),
    };
    return cmocka_run_group_tests(tests, read_affinity, NULL);
}
