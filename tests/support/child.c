/* child.c - see child.h. */
#include "tests/support/child.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/data.h"

static void file_name(char *path, size_t cap, const char *what) { snprintf(path, cap, "%s/child.%s", test_tmp_dir(), what); }

static FILE *open_file(const char *what, const char *mode)
{
    char path[512];

    file_name(path, sizeof path, what);
    FILE *f = fopen(path, mode);
    assert_non_null(f);
    return f;
}

void child_exec(const char *const *argv)
{
    const char *dir = getenv("PRISM_BUILD");
    char path[512];

    signal(SIGINT, SIG_DFL); /* `make test &` in a plain sh leaves it ignored, and the tools keep it so */
    char *args[CHILD_MAX_ARGS + 1] = { 0 };

    snprintf(path, sizeof path, "%s/%s", dir ? dir : "build", argv[0]);
    for (size_t i = 0; i < CHILD_MAX_ARGS && argv[i]; i++)
        args[i] = (char *)(uintptr_t)argv[i];
    setrlimit(RLIMIT_CPU, &(struct rlimit){ 300, 310 });
    alarm(1800);
    execv(path, args);
    fprintf(stderr, "cannot run %s\n", path);
    _exit(99);
}

pid_t child_start(struct child *c, const char *const *argv, const char *input, size_t n_input, int out_fd)
{
    FILE *in = open_file("in", "w+"), *out = open_file("out", "w"), *err = open_file("err", "w");

    *c = (struct child){ 0 };
    assert_int_equal(fwrite(input, 1, n_input, in), n_input);
    rewind(in);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(fileno(in), STDIN_FILENO);
        dup2(out_fd >= 0 ? out_fd : fileno(out), STDOUT_FILENO);
        dup2(fileno(err), STDERR_FILENO);
        child_exec(argv);
    }
    fclose(in);
    fclose(out);
    fclose(err);
    return pid;
}

int child_wait(pid_t pid)
{
    int status = 0;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

void child_finish(struct child *c, pid_t pid)
{
    char path[512];

    c->status = child_wait(pid);
    file_name(path, sizeof path, "out");
    c->out = test_read_file(path, &c->n_out);
    file_name(path, sizeof path, "err");
    c->err = test_read_file(path, &c->n_err);
}

void child_run(struct child *c, const char *const *argv, const char *input, size_t n_input)
{
    child_finish(c, child_start(c, argv, input, n_input, -1));
}

void child_await_handler(pid_t pid)
{
    char path[64], line[256];
    unsigned long long caught = 0;
    bool ended = false;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    while (!(caught >> (SIGINT - 1) & 1)) {
        FILE *f = fopen(path, "r");
        while (f && fgets(line, sizeof line, f)) {
            sscanf(line, "SigCgt: %llx", &caught);
            ended |= !strncmp(line, "State:\tZ", 8);
        }
        assert_true(f && !ended);
        fclose(f);
        usleep(10000);
    }
}

void child_free(struct child *c)
{
    free(c->out);
    free(c->err);
}

size_t child_error_lines(const struct child *c)
{
    size_t n = 0;

    for (size_t i = 0; i < c->n_err; i++)
        n += c->err[i] == '\n';
    return n + (c->n_err && c->err[c->n_err - 1] != '\n');
}

static char *proc_file(pid_t pid, const char *name, char *text, size_t cap)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    text[fread(text, 1, cap - 1, f)] = 0;
    fclose(f);
    return text;
}

bool child_ended(pid_t pid)
{
    char stat[1024];

    return strstr(proc_file(pid, "stat", stat, sizeof stat), ") Z ") != NULL;
}

void child_await_error(pid_t pid, const char *text)
{
    char path[512];

    file_name(path, sizeof path, "err");
    for (;;) {
        bool ended = child_ended(pid);
        char *err = test_read_file(path, NULL);
        bool found = strstr(err, text) != NULL;
        free(err);
        if (found)
            return;
        if (ended)
            fail_msg("the child ended before it wrote \"%s\"", text);
        usleep(1000);
    }
}

double child_cpu_seconds(pid_t pid)
{
    char stat[1024];
    unsigned long user = 0, system = 0;
    const char *fields = strrchr(proc_file(pid, "stat", stat, sizeof stat), ')');

    assert_int_equal(sscanf(fields + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system), 2);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}
