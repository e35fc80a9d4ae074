/* test_interrupted.c - saving that does not get to its end: kill -9 at random moments, disks that are full, two writers. The file is the old one
 * or the new one, whole. */
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <errno.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "src/engine/context.h"
#include "tests/support/engine_test.h"
#include "tests/support/session_file.h"
#include "tests/support/state_case.h"

enum { KILLS = 200 };

/* In place of the C library's: some file systems cannot reserve room, and then a write finds out that there is none. */
static bool reserves = true;
int fallocate(int fd, int mode, off_t offset, off_t n)
{
    if (reserves)
        return (int)syscall(SYS_fallocate, fd, mode, offset, n);
    errno = EOPNOTSUPP;
    return -1;
}

/* Likewise: the call after so many others finds the disk broken. */
static atomic_long good_calls = LONG_MAX;

static bool is_broken(void)
{
    errno = EIO;
    return atomic_load(&good_calls) != LONG_MAX && atomic_fetch_sub(&good_calls, 1) == 0;
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at) { return is_broken() ? -1 : syscall(SYS_pwrite64, fd, bytes, n, at); }
int fsync(int fd) { return is_broken() ? -1 : (int)syscall(SYS_fsync, fd); }

static prism_model *model;
static prism_context *a, *b, *into; /* a: saved first; b: then, with fewer tokens */
static const char *path;

/* Whether the file is a's or b's; nothing else may be there. */
static bool holds_b(void)
{
    struct prism_error err;

    session_load(into, path);
    bool is_b = prism_length(into) == prism_length(b);
    assert_same_state(into, is_b ? b : a, model->n_vocab);
    must(prism_truncate(into, 0, &err), &err);
    return is_b;
}

static const char *temp_path(void)
{
    static char name[600];
    snprintf(name, sizeof name, "%s.tmp", path);
    return name;
}

/* A child saves both in turn until it is killed. */
static void test_killed(void **state)
{
    (void)state;
    size_t n_b = 0, n_in_the_middle = 0;
    uint32_t random = 1;

    session_save(a, path);
    for (int i = 0; i < KILLS; i++) {
        random = random * 1664525u + 1013904223u;
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            for (int turn = i;; turn++)
                if (prism_session_save(turn % 2 ? a : b, path, NULL) != PRISM_OK)
                    _exit(1);
        }
        nanosleep(&(struct timespec){ .tv_nsec = 200000 + (random >> 8) % 12000000 }, NULL);
        assert_int_equal(kill(pid, SIGKILL), 0);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status)); /* did not fail before */
        n_in_the_middle += access(temp_path(), F_OK) == 0;
        n_b += holds_b();
    }
    print_message("%d times killed: %zu while a file was written; the new one was there %zu times\n", KILLS, n_in_the_middle, n_b);
    assert_true(n_in_the_middle > KILLS / 10 && n_b > 0 && n_b < KILLS);
    session_save(b, path); /* over what is left of the last one */
    assert_true(holds_b());
    assert_true(access(temp_path(), F_OK) != 0);
}

/* ---- full disks ---- */

/* 0: saving failed with PRISM_E_IO in one line that names the bytes. */
static int fails_to_save(void)
{
    struct prism_error err;

    if (prism_session_save(b, path, &err) != PRISM_E_IO)
        return 2;
    return strstr(err.text, "bytes: ") && !strchr(err.text, '\n') ? 0 : 3;
}

/* In a child whose files may have up to `limit` bytes; the signal that the limit raises is left as it is by default. */
static void check_limit(rlim_t limit)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGXFSZ, SIG_DFL);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){ limit, limit });
        int result = fails_to_save();
        sigset_t pending;
        sigpending(&pending);
        _exit(result ? result : sigismember(&pending, SIGXFSZ) ? 4 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(access(temp_path(), F_OK) != 0);
    assert_false(holds_b());
}

static void test_size_limit(void **state)
{
    (void)state;
    struct stat st;

    session_save(a, path);
    assert_int_equal(stat(path, &st), 0);
    for (int i = 0; i < 2; i++) {
        reserves = i == 0;
        check_limit(0);
        check_limit(1000);
        check_limit(4096);
        check_limit((rlim_t)st.st_size / 2);
        check_limit((rlim_t)st.st_size / 4 * 3 - 100);
    }
    reserves = true;
}

/* A file system of 256 KiB, where that may be mounted, with the old file on it. */
static void test_full_disk(void **state)
{
    (void)state;
    char folder[512], file[600];
    int status;

    snprintf(folder, sizeof folder, "%s", session_path("small"));
    snprintf(file, sizeof file, "%s/disk.session", folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    struct prism_error err;
    prism_context *small = make_context(model, &state_cases[0].params);
    int32_t tokens[40];
    make_tokens(tokens, 40, model->n_vocab);
    must(prism_prefill(small, tokens, 40, NULL, &err), &err);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
            _exit(77);
        if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 || mount("small", folder, "tmpfs", 0, "size=256k") != 0)
            _exit(77);
        path = file;
        if (prism_session_save(small, path, NULL) != PRISM_OK)
            _exit(5);
        int result = fails_to_save();
        reserves = false;
        if (!result)
            result = fails_to_save();
        prism_context *c = make_context(model, &state_cases[0].params);
        if (!result && (prism_session_load(c, path, NULL) != PRISM_OK || prism_length(c) != 40 || access(temp_path(), F_OK) == 0))
            result = 6;
        prism_context_free(c);
        _exit(result);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    prism_context_free(small);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        print_message("skipped: no file system may be mounted here\n");
        skip();
    }
    assert_int_equal(status, 0);
}

/* Each single write fails in turn, and each synchronisation; what comes after it would not. */
static void test_broken_disk(void **state)
{
    (void)state;
    struct prism_error err;
    long calls = 0;

    for (;; calls++) {
        session_save(a, path);
        atomic_store(&good_calls, calls);
        enum prism_status s = prism_session_save(b, path, &err);
        bool all = atomic_load(&good_calls) >= 0;
        atomic_store(&good_calls, LONG_MAX);
        if (all) {
            must(s, &err);
            break;
        }
        assert_int_equal(s, PRISM_E_IO);
        assert_non_null(strstr(err.text, "Input/output error"));
        assert_true(access(temp_path(), F_OK) != 0);
        assert_int_equal(holds_b(), strstr(err.text, "its folder") != NULL); /* the last call of all */
    }
    assert_true(calls > 30);
    assert_true(holds_b());
}

/* ---- others ---- */

static void test_two_writers(void **state)
{
    (void)state;
    struct prism_error err;

    session_save(a, path);
    int fd = open(temp_path(), O_RDWR | O_CREAT, 0600);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(prism_session_save(b, path, &err), PRISM_E_IO);
    assert_non_null(strstr(err.text, "another process writes it"));
    assert_int_equal(access(temp_path(), F_OK), 0); /* that of the other */
    assert_false(holds_b());
    close(fd);
    session_save(b, path);
    assert_true(holds_b());
}

/* A link is followed; one in the place of the temporary file is not. */
static void test_links(void **state)
{
    (void)state;
    struct prism_error err;
    char link[600];
    const char *victim = strdup(session_path("victim"));
    struct stat st;
    size_t n;

    snprintf(link, sizeof link, "%s.link", path);
    session_save(a, path);
    assert_int_equal(symlink(path, link), 0);
    must(prism_session_save(b, link, &err), &err);
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_true(holds_b());

    session_write(victim, "precious", 8);
    assert_int_equal(symlink(victim, temp_path()), 0);
    assert_int_equal(prism_session_save(a, path, &err), PRISM_E_IO);
    unsigned char *bytes = session_bytes(victim, &n);
    assert_true(n == 8 && !memcmp(bytes, "precious", 8));
    free(bytes);
    assert_true(holds_b());
    unlink(temp_path());
    unlink(victim);
    assert_int_equal(symlink(victim, temp_path()), 0); /* it leads nowhere, and nothing is made there */
    assert_int_equal(prism_session_save(a, path, &err), PRISM_E_IO);
    assert_true(access(victim, F_OK) != 0);
    unlink(temp_path());
    free((void *)victim);
}

/* A relative path, in the folder that the process is in. */
static void test_relative(void **state)
{
    (void)state;
    char before[1024], folder[600];

    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = 0;
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(folder), 0);
    session_save(a, "here.session");
    session_load(into, "here.session");
    assert_int_equal(chdir(before), 0);
    assert_same_state(into, a, model->n_vocab);
    assert_int_equal(prism_truncate(into, 0, NULL), PRISM_OK);
}

static int set_up(void **state)
{
    (void)state;
    model = state_model("interrupted.gguf");
    a = state_context(model, &state_cases[2].params);
    b = state_context(model, &state_cases[2].params);
    into = make_context(model, &state_cases[2].params);
    path = strdup(session_path("interrupted.session"));
    return prism_truncate(b, 320, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    prism_context_free(a);
    prism_context_free(b);
    prism_context_free(into);
    prism_model_free(model);
    free((void *)path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed), cmocka_unit_test(test_size_limit), cmocka_unit_test(test_full_disk), cmocka_unit_test(test_broken_disk),
        cmocka_unit_test(test_two_writers), cmocka_unit_test(test_links), cmocka_unit_test(test_relative),
    };
    return cmocka_run_group_tests_name("interrupted sessions", tests, set_up, tear_down);
}
