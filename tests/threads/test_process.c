/* The team and the process around it: fork, a system that refuses threads, signals, stacks, an engine whose context crosses a
 * fork. ThreadSanitizer does not follow a process with threads through a fork, so these are apart from test_team.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "prism/prism.h"
#include "src/threads/team.h"
#include "tests/support/thread_test.h"
#include "tests/support/tiny_model.h"

/* ---- a pthread_create that can refuse ---- */

typedef int create_fn(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
static int allowed_threads = -1; /* further ones that may be started; -1: any number */
static int refusal = EAGAIN;     /* what the others get */

int pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
    create_fn *real;

    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    if (allowed_threads == 0 && !(refusal == EINVAL && !attr))
        return refusal;
    allowed_threads -= allowed_threads > 0;
    return real(id, attr, fn, arg);
}

/* ---- helpers ---- */

enum { JOBS = 64 };

static void add_one(void *arg, size_t job, uint32_t thread)
{
    (void)thread;
    ((atomic_uint *)arg)[job]++;
}

/* Jobs that did not run exactly once, over `phases` phases. */
static unsigned wrong_jobs(struct prism_team *team, int phases)
{
    atomic_uint runs[JOBS] = { 0 };
    unsigned wrong = 0;

    for (int i = 0; i < phases; i++)
        prism_team_run(team, JOBS, add_one, runs);
    for (int j = 0; j < JOBS; j++)
        wrong += runs[j] != (unsigned)phases;
    return wrong;
}

/* Runs fn in a child of the process; returns its result, below 100, or 100 + the signal that ended it: SIGALRM if it hangs. */
static int in_child(int (*fn)(void *), void *arg)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        alarm(60);
        _exit(fn(arg));
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

/* Threads of this process, by the kernel's count. */
static int count_threads(void)
{
    char line[256];
    int n = -1;
    FILE *f = fopen("/proc/self/status", "r");

    while (f && fgets(line, sizeof line, f))
        sscanf(line, "Threads: %d", &n);
    if (f)
        fclose(f);
    return n;
}

/* Whether the process has n threads. The kernel counts one that has been joined for a moment longer. */
static bool process_has(int n)
{
    for (int i = 0; i < 5000 && count_threads() > n; i++)
        usleep(1000);
    return count_threads() == n;
}

/* Each job waits for all: passes only when there are as many threads. */
struct rendezvous {
    unsigned n;
    atomic_uint arrived, together;
};

static void meet(void *arg, size_t job, uint32_t thread)
{
    struct rendezvous *r = arg;
    (void)job, (void)thread;

    r->arrived++;
    for (int i = 0; i < 5000 && r->arrived < r->n; i++)
        usleep(1000);
    r->together += r->arrived == r->n;
}

static bool all_meet(struct prism_team *team, unsigned n)
{
    struct rendezvous r = { .n = n };

    prism_team_run(team, n, meet, &r);
    return r.together == n;
}

/* ---- fork ---- */

/* To be called before a fork. AddressSanitizer's allocator, which a thread enters as it starts, does not survive a fork that
 * finds a thread inside it; without it, threads may be at any point. */
static bool ready_to_fork(struct prism_team *team)
{
#ifdef __SANITIZE_ADDRESS__
    return all_meet(team, prism_team_size(team));
#else
    (void)team;
    return true;
#endif
}

static int free_only(void *team)
{
    prism_team_free(team);
    return 0;
}

static int run_and_free(void *arg)
{
    struct prism_team *team = arg;

    if (wrong_jobs(team, 100) || !all_meet(team, 3) || prism_team_size(team) != 3 || !process_has(3))
        return 1;
    prism_team_free(team);
    return process_has(1) ? 0 : 2;
}

static int fork_again(void *team) { return wrong_jobs(team, 10) || !ready_to_fork(team) ? 1 : in_child(run_and_free, team); }

static void team_crosses_a_fork(void **state)
{
    (void)state;
    for (int bind = 0; bind < 2; bind++)
        for (int used = 0; used < 2; used++) {
            struct prism_team *team = new_team(3, bind);
            if (used)
                assert_int_equal(wrong_jobs(team, 100), 0);
            assert_true(ready_to_fork(team));
            assert_int_equal(in_child(free_only, team), 0);
            assert_int_equal(in_child(run_and_free, team), 0);
            assert_int_equal(in_child(fork_again, team), 0);
            assert_int_equal(wrong_jobs(team, 100), 0);
            assert_true(all_meet(team, 3));
            prism_team_free(team);
        }
}

struct conversation {
    prism_context *c;
    int32_t tokens[100];
    float first[4];
};

/* The same logits as before, in a context that is used again after a fork, then freed. */
static int talk(void *arg)
{
    struct conversation *t = arg;

    if (prism_truncate(t->c, 0, NULL) || prism_prefill(t->c, t->tokens, 100, NULL, NULL) || prism_decode(t->c, 7, NULL))
        return 1;
    if (memcmp(prism_logits(t->c), t->first, sizeof t->first) != 0)
        return 2;
    prism_context_free(t->c);
    return 0;
}

static void context_crosses_a_fork(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_llama();
    struct prism_context_params params = { .n_ctx = 200, .n_threads = 2, .bind_threads = true };
    struct conversation t = { 0 };
    prism_model *model;

    assert_int_equal(prism_model_load(tiny_write(&tiny, "fork.gguf"), NULL, &model, NULL), PRISM_OK);
    assert_int_equal(prism_context_create(model, &params, &t.c, NULL), PRISM_OK);
    for (int i = 0; i < 100; i++)
        t.tokens[i] = i * 37 % 256;
    assert_int_equal(prism_prefill(t.c, t.tokens, 100, NULL, NULL), PRISM_OK);
    assert_int_equal(prism_decode(t.c, 7, NULL), PRISM_OK);
    memcpy(t.first, prism_logits(t.c), sizeof t.first);
    assert_int_equal(in_child(talk, &t), 0);
    assert_int_equal(talk(&t), 0);
    prism_model_free(model);
}

/* ---- threads that cannot be started ---- */

static void fewer_threads_than_asked(void **state)
{
    (void)state;
    for (int allowed = 0; allowed < 3; allowed++) {
        allowed_threads = allowed;
        struct prism_team *team = new_team(4, true);
        allowed_threads = -1;
        int core_of[4] = { 77, 77, 77, 77 };
        assert_int_equal(prism_team_size(team), 1 + allowed);
        assert_int_equal(wrong_jobs(team, 100), 0);
        assert_true(all_meet(team, 1 + (unsigned)allowed));
        prism_team_binding(team, core_of, 4);
        for (int i = 0; i < 4; i++)
            assert_int_equal(core_of[i] == 77, i > allowed);
        prism_team_free(team);
    }
}

static void context_with_fewer_threads(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_llama();
    struct prism_context_params params = { .n_ctx = 200, .n_threads = 4 };
    prism_model *model;
    prism_context *c;
    float *logits[2];
    int32_t tokens[50] = { 1, 2, 3 };
    size_t n_bytes = tiny_n_vocab(tiny.vocab) * sizeof(float);

    assert_int_equal(prism_model_load(tiny_write(&tiny, "fewer.gguf"), NULL, &model, NULL), PRISM_OK);
    for (int i = 0; i < 2; i++) {
        allowed_threads = i == 0 ? 1 : -1;
        assert_int_equal(prism_context_create(model, &params, &c, NULL), PRISM_OK);
        allowed_threads = -1;
        assert_int_equal(prism_threads(c, NULL, 0), i == 0 ? 2 : 4);
        assert_int_equal(prism_prefill(c, tokens, 50, NULL, NULL), PRISM_OK);
        logits[i] = malloc(n_bytes);
        assert_non_null(logits[i]);
        memcpy(logits[i], prism_logits(c), n_bytes);
        prism_context_free(c);
    }
    assert_memory_equal(logits[0], logits[1], n_bytes);
    free(logits[0]);
    free(logits[1]);
    prism_model_free(model);
}

/* As in an application whose thread-local variables do not fit into our stacks. */
static void stack_too_small(void **state)
{
    (void)state;
    refusal = EINVAL, allowed_threads = 0;
    struct prism_team *team = new_team(3, false);
    refusal = EAGAIN, allowed_threads = -1;
    assert_int_equal(prism_team_size(team), 3);
    assert_true(all_meet(team, 3));
    prism_team_free(team);
}

/* The real thing: ulimit -u. It holds for everyone but root. */
static int run_without_processes(void *arg)
{
    struct prism_team *team;
    struct rlimit none = { 0, 0 };
    (void)arg;

    if (getuid() == 0 && (setgid(65534) || setuid(65534)))
        return 50;
    if (setrlimit(RLIMIT_NPROC, &none) || prism_team_create(4, false, &team, NULL) != PRISM_OK)
        return 1;
    if (prism_team_size(team) != 1 || wrong_jobs(team, 10))
        return 2;
    prism_team_free(team);
    return 0;
}

/* The parent's three threads are one in the child. */
static int lose_threads(void *arg)
{
    struct prism_team *team = arg;

    allowed_threads = 0;
    if (wrong_jobs(team, 10) || prism_team_size(team) != 1)
        return 1;
    prism_team_free(team);
    return 0;
}

static void limit_on_processes(void **state)
{
    (void)state;
    struct prism_team *team = new_team(3, false);

    assert_int_equal(in_child(lose_threads, team), 0);
    prism_team_free(team);
    int status = in_child(run_without_processes, NULL);
    if (status == 50) {
        print_message("skipped: cannot become another user to be limited\n");
        skip();
    }
    assert_int_equal(status, 0);
}

/* ---- what the threads are like ---- */

struct look {
    struct rendezvous r;
    char name[4][16];
    sigset_t blocked[4];
    size_t stack[4];
};

static void look_at_thread(void *arg, size_t job, uint32_t thread)
{
    struct look *l = arg;
    pthread_attr_t attr;

    pthread_getname_np(pthread_self(), l->name[thread], sizeof l->name[thread]);
    pthread_sigmask(SIG_SETMASK, NULL, &l->blocked[thread]);
    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        pthread_attr_getstacksize(&attr, &l->stack[thread]);
        pthread_attr_destroy(&attr);
    }
    meet(&l->r, job, thread);
}

static void names_signals_stacks(void **state)
{
    (void)state;
    struct look l = { .r.n = 3 };
    sigset_t before, after;

    sigemptyset(&before);
    sigaddset(&before, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    struct prism_team *team = new_team(3, false);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int s = 1; s < 32; s++)
        assert_int_equal(sigismember(&after, s), s == SIGUSR2);
    prism_team_run(team, 3, look_at_thread, &l);
    sigdelset(&before, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    assert_int_equal(l.r.together, 3);
    for (int t = 1; t < 3; t++) {
        char name[16];
        snprintf(name, sizeof name, "prism-%d", t % 10);
        assert_string_equal(l.name[t], name);
        static const int ours[] = { SIGINT, SIGTERM, SIGHUP, SIGALRM, SIGCHLD, SIGUSR1, SIGUSR2, SIGPIPE, SIGPROF };
        for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
            assert_int_equal(sigismember(&l.blocked[t], ours[i]), 1);
        assert_int_equal(sigismember(&l.blocked[t], SIGSEGV), 0);
        assert_int_equal(sigismember(&l.blocked[t], SIGBUS), 0);
        assert_in_range(l.stack[t], 512 << 10, 2 << 20);
    }
    assert_string_not_equal(l.name[0], "prism-0");
    prism_team_free(team);
    assert_true(process_has(1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_signals_stacks),     cmocka_unit_test(team_crosses_a_fork),
        cmocka_unit_test(context_crosses_a_fork),   cmocka_unit_test(fewer_threads_than_asked),
        cmocka_unit_test(context_with_fewer_threads), cmocka_unit_test(stack_too_small),
        cmocka_unit_test(limit_on_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
