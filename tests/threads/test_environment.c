/* Variables that speak to libgomp and hwloc do not change where this library's threads run, nor does it change where an
 * application's own run. The program runs itself anew under each variable: `test_environment facts` prints what it sees. It is linked with
 * libgomp, as an application may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <omp.h>
#include <dlfcn.h>
#include <sched.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "src/threads/team.h"
#include "tests/support/thread_test.h"

static char self[512];

/* ---- the child ---- */

static int n_allowed(void)
{
    cpu_set_t c;

    return sched_getaffinity(0, sizeof c, &c) ? -1 : CPU_COUNT(&c);
}

static void two_jobs_meet(void *arg, size_t job, uint32_t thread)
{
    _Atomic int *arrived = arg;
    (void)job, (void)thread;

    ++*arrived;
    for (int i = 0; i < 10000 && *arrived < 2; i++)
        usleep(1000);
}

/* Sum over the threads of an OpenMP region of the processors that each may use, -1 if there is one thread only. */
static int openmp_processors(void)
{
    int sum = 0, n = 0;

#pragma omp parallel num_threads(2) reduction(+ : sum, n)
    sum += n_allowed(), n++;
    return n == 2 ? sum : -1;
}

static double cpu_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

/* Waiting costs nothing: a second in which a thread has no job is nearly all sleep. */
static bool idle_sleeps(void)
{
    struct prism_team *team;
    _Atomic int arrived = 0;

    if (prism_team_create(2, false, &team, NULL) != PRISM_OK)
        return false;
    prism_team_run(team, 2, two_jobs_meet, (void *)&arrived);
    double start = cpu_ms();
    usleep(1000000);
    double ms = cpu_ms() - start;
    prism_team_free(team);
    return ms < 10;
}

static int print_facts(void)
{
    struct prism_placement p;
    struct prism_team *team;
    int before = n_allowed(), core[2];

    /* First, while OpenMP has no threads: they would show more processors than the first one, and might not sleep. */
    if (prism_placement_read(NULL, 0, &p, NULL) != PRISM_OK)
        return 1;
    bool sleeps = idle_sleeps();
    int openmp = openmp_processors();
    printf("cores %u, default %u, processors", p.n_cores, p.n_default);
    for (uint32_t i = 0; i < p.n_processors; i++)
        printf(" %d", p.core[i]);
    for (uint32_t n = 0; n < 3; n += 2)
        for (int bind = 0; bind < 2; bind++) {
            if (prism_team_create(n, bind, &team, NULL) != PRISM_OK)
                return 1;
            uint32_t size = prism_team_size(team);
            prism_team_binding(team, core, 2);
            /* What an unbound caller is bound to is its own affair. */
            printf("; team of %u, bound %d: %u threads on %d %d", n, bind, size, bind ? core[0] : -1, size > 1 ? core[1] : -1);
            prism_team_free(team);
        }
    printf("; idle threads sleep %d\n%d %d\n", sleeps, before == n_allowed(), openmp == openmp_processors());
    return 0;
}

/* ---- the tests ---- */

static void count_job(void *arg, size_t job, uint32_t thread)
{
    (void)thread;
    ((_Atomic unsigned *)arg)[job]++;
}

/* Each thread of a region uses a team of its own. */
static void inside_a_region_of_the_application(void **state)
{
    (void)state;
    enum { TEAMS = 3, JOBS = 100 };
    struct prism_team *teams[TEAMS];
    static _Atomic unsigned runs[TEAMS][JOBS];

    for (uint32_t i = 0; i < TEAMS; i++)
        assert_int_equal(prism_team_create(1 + i, i % 2, &teams[i], NULL), PRISM_OK);
#pragma omp parallel for num_threads(TEAMS)
    for (int i = 0; i < TEAMS; i++)
        prism_team_run(teams[i], JOBS, count_job, (void *)runs[i]);
    for (uint32_t i = 0; i < TEAMS; i++) {
        assert_int_equal(prism_team_size(teams[i]), 1 + i);
        for (int j = 0; j < JOBS; j++)
            assert_int_equal(runs[i][j], 1);
        prism_team_free(teams[i]);
    }
}

/* Runs the child with the settings ("NAME=value", NULL ends) and returns its two lines. */
static void facts(const char *const *settings, char *line, char *restored, size_t cap)
{
    int fds[2], status = 0;

    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        for (; *settings; settings++)
            putenv((char *)(uintptr_t)*settings);
        dup2(fds[1], STDOUT_FILENO);
        close(fds[0]);
        close(fds[1]);
        alarm(100);
        execl(self, self, "facts", (char *)NULL);
        _exit(99);
    }
    close(fds[1]);
    FILE *f = fdopen(fds[0], "r");
    assert_non_null(f);
    line[0] = restored[0] = 0;
    if (!fgets(line, (int)cap, f) || !fgets(restored, (int)cap, f))
        restored[0] = 0;
    fclose(f);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static const char *const settings[][4] = {
    { "OMP_PROC_BIND=true" },
    { "OMP_PROC_BIND=close", "OMP_PLACES=cores" },
    { "OMP_PLACES=threads" },
    { "GOMP_CPU_AFFINITY=0-1023" },
    { "OMP_THREAD_LIMIT=1" },
    { "OMP_NUM_THREADS=1", "OMP_DYNAMIC=true" },
    { "OMP_WAIT_POLICY=active", "GOMP_SPINCOUNT=infinite" },
    { "HWLOC_SYNTHETIC=core:8 pu:2" },
    { "HWLOC_SYNTHETIC=core:8 pu:2", "HWLOC_THISSYSTEM=1" },
    { "HWLOC_SYNTHETIC=nonsense" },
    { "HWLOC_XMLFILE=tests/threads/data/desktop-8c16t.xml" },
    { "HWLOC_XMLFILE=tests/threads/data/desktop-8c16t.xml", "HWLOC_THISSYSTEM=1" },
    { "HWLOC_XMLFILE=/nonexistent.xml" },
    { "HWLOC_THISSYSTEM=0" },
    { "HWLOC_FSROOT=/nonexistent" },
    { "HWLOC_COMPONENTS=-linux,-x86,stop" },
    { "OMP_PROC_BIND=true", "HWLOC_SYNTHETIC=core:8 pu:2", "HWLOC_THISSYSTEM=1" },
};

/* What is said here of OpenMP's variables is how GNU's runtime obeys them. LLVM's moves the masks of threads that it did not start. */
static void needs_libgomp(void)
{
    void *gomp = dlopen("libgomp.so.1", RTLD_LAZY | RTLD_NOLOAD);
    if (!gomp) {
        print_message("skipped: another OpenMP than GNU's\n");
        skip();
    }
    dlclose(gomp);
}

static void variables_change_nothing(void **state)
{
    (void)state;
    needs_libgomp();
    char expected[4096], line[4096], restored[4096];

    facts((const char *const[]){ NULL }, expected, restored, sizeof line);
    assert_string_equal(restored, "1 1\n");
    assert_non_null(strstr(expected, "team of 2, bound 1: 2 threads on "));
    assert_non_null(strstr(expected, "threads sleep 1"));
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        facts(settings[i], line, restored, sizeof line);
        if (strcmp(line, expected) != 0)
            fail_msg("%s %s: %s, without: %s", settings[i][0], settings[i][1] ? settings[i][1] : "", line, expected);
        assert_string_equal(restored, "1 1\n");
    }
}

/* A mask that the user set for the process holds, with OpenMP's variables and without. */
static void a_mask_of_the_process_holds(void **state)
{
    (void)state;
    char expected[4096], line[4096], restored[4096];
    cpu_set_t before;

    needs_libgomp();
    int last = allow_one_processor(&before);
    facts((const char *const[]){ NULL }, expected, restored, sizeof line);
    facts((const char *const[]){ "OMP_PROC_BIND=true", NULL }, line, restored, sizeof line);
    sched_setaffinity(0, sizeof before, &before);
    char begin[64];
    snprintf(begin, sizeof begin, "cores 1, default 1, processors %d;", last);
    assert_memory_equal(expected, begin, strlen(begin));
    assert_string_equal(line, expected);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inside_a_region_of_the_application),
        cmocka_unit_test(variables_change_nothing),
        cmocka_unit_test(a_mask_of_the_process_holds),
    };
    if (argc > 1 && strcmp(argv[1], "facts") == 0)
        return print_facts();
    snprintf(self, sizeof self, "%s", argv[0]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
