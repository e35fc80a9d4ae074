/* The tools and what a shell may do to them: closed or full standard streams, an ignored SIGINT, arguments longer than a line. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/data.h"
#include "tests/support/tool_check.h"

static const char model[] = "models/gutenberg-llama-16m-q8_0.gguf";

/* In our temporary directory; four at a time. */
static const char *tmp(const char *name)
{
    static char path[4][512];
    static unsigned turn;
    char *p = path[turn++ % 4];

    snprintf(p, sizeof path[0], "%s/%s", test_tmp_dir(), name);
    return p;
}

static void redirect(int fd, const char *path, int flags)
{
    int file = open(path, flags | O_CLOEXEC, 0600);

    if (file < 0 || dup2(file, fd) != fd)
        _exit(98);
}

/* Starts a tool with /dev/null, `out` and a file for its standard streams; those of `closed` (bits 0 to 2) are closed. */
static pid_t start(const char *const *argv, const char *out, unsigned closed)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid != 0)
        return pid;
    redirect(STDIN_FILENO, "/dev/null", O_RDONLY);
    redirect(STDOUT_FILENO, out, O_WRONLY | O_CREAT | O_TRUNC);
    redirect(STDERR_FILENO, tmp("err"), O_WRONLY | O_CREAT | O_TRUNC);
    for (int fd = 0; fd < 3; fd++)
        if (closed >> fd & 1)
            close(fd);
    child_exec(argv);
    return 0;
}

/* Exit status of the whole run. */
static int run(const char *const *argv, const char *out, unsigned closed) { return child_wait(start(argv, out, closed)); }

static void assert_err(const char *expected)
{
    char *err = test_read_file(tmp("err"), NULL);

    assert_string_equal(err, expected);
    free(err);
}

static void assert_same_files(const char *a, const char *b)
{
    size_t n_a, n_b;
    char *bytes_a = test_read_file(a, &n_a), *bytes_b = test_read_file(b, &n_b);

    assert_true(n_a > 0);
    assert_int_equal(n_a, n_b);
    assert_memory_equal(bytes_a, bytes_b, n_a);
    free(bytes_a);
    free(bytes_b);
}

/* ---- streams that are closed ---------------------------------------------------------------------------------------- */

enum { IN = 1, OUT = 2, ERR = 4 };

/* The file that a tool writes is the same whatever is closed: text on a stream cannot get into it. argv's last is its place. */
static void file_is_whole(const char **argv, bool prints)
{
    size_t last = 0;

    while (argv[last + 1])
        last++;
    argv[last] = tmp("good");
    assert_int_equal(run(argv, tmp("out"), 0), 0);
    for (unsigned closed = 1; closed < 8; closed++) {
        argv[last] = tmp("odd");
        unlink(argv[last]);
        assert_int_equal(run(argv, tmp("out"), closed), prints && closed & OUT ? 1 : 0);
        assert_same_files(tmp("good"), tmp("odd"));
    }
}

static void no_text_in_other_files(void **state)
{
    static const char table[] = "length,selector,block,p,density,attention_ms,select_ms,speedup,ppl,ppl_dense,delta_ppl,paper_speedup\n"
                                "8192,prism,128,0.95,0.5,50,1,1.9,20.1,20,0.1,1.05\n";
    static char prompt[40 * 8 + 1];
    char csv[512];
    const char *map[] = { "prism-run", "-m", model, "-p", prompt, "--prism-block", "32", "-n", "2", "--temp", "0", "-t", "1", "--attn",
                          "prism", "--prism-min-tokens", "1", "--attn-map", "", NULL };
    const char *chart[] = { "prism-bench", "chart", "-f", csv, "-o", "", NULL };
    const char *convert[] = { "make-model", "--convert", model, "--type", "Q4_0", "-o", "", NULL };

    (void)state;
    for (size_t i = 0; i < 40; i++)
        memcpy(prompt + 8 * i, "the sea ", 8);
    snprintf(csv, sizeof csv, "%s", tmp("table.csv"));
    FILE *f = fopen(csv, "w");
    assert_non_null(f);
    fputs(table, f);
    fclose(f);
    file_is_whole(map, true);
    file_is_whole(chart, false);
    file_is_whole(convert, false);
}

/* Each way in which a tool prints: closed, full, or somebody's closed pipe (test_terminal.c). */
static void stdout_that_cannot_be_written(void **state)
{
    static const char *const runs[][14] = {
        { "prism-run", "-m", model, "-p", "Once", "-n", "2" },
        { "prism-run", "-m", model, "-p", "Once", "-n", "2", "--json" },
        { "prism-run", "-m", model, "--info" },
        { "prism-run", "-m", model, "-p", "Once", "--tokenize" },
        { "prism-run", "--kernels" },
        { "prism-run", "--version" },
        { "prism-perplexity", "-m", model, "-f", "models/prompts/secret-1.txt", "-c", "64", "--chunks", "1", "-t", "1" },
        { "prism-perplexity", "-m", model, "-f", "models/prompts/secret-1.txt", "-c", "64", "--chunks", "1", "-t", "1", "--json" },
        { "prism-perplexity", "--help" },
        { "prism-bench", "-m", model, "-p", "4", "-n", "0", "-r", "1", "-t", "1" },
        { "prism-bench", "-m", model, "-p", "4", "-n", "0", "-r", "1", "-t", "1", "-o", "json" },
        { "prism-bench", "--list-devices" },
        { "make-model", "--list" },
    };
    char expected[128];

    (void)state;
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        assert_int_equal(run(runs[i], tmp("out"), OUT), 1);
        snprintf(expected, sizeof expected, "%s: stdout: Bad file descriptor\n", runs[i][0]);
        assert_err(expected);
        assert_int_equal(run(runs[i], "/dev/full", 0), 1);
        snprintf(expected, sizeof expected, "%s: stdout: No space left on device\n", runs[i][0]);
        assert_err(expected);
    }
}

static void stdin_that_is_closed(void **state)
{
    static const char *const runs[][10] = {
        { "prism-run", "-m", model, "-n", "2" },
        { "prism-run", "-m", model, "-f", "-" },
        { "prism-perplexity", "-m", model },
        { "prism-bench", "attn", "-m", model, "--lengths", "512" },
    };
    char expected[128];

    (void)state;
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        assert_int_equal(run(runs[i], tmp("out"), IN), 1);
        snprintf(expected, sizeof expected, "%s: cannot read standard input: Bad file descriptor\n", runs[i][0]);
        assert_err(expected);
    }
}

/* ---- an ignored Ctrl-C ---------------------------------------------------------------------------------------------- */

/* nohup and `sh -c 'tool &'` start programs with SIGINT ignored: it stays so. */
static void ignored_interrupt_stays_ignored(void **state)
{
    static const char *const args[] = { "-m", model, "-p", "Once upon a time", "-n", "8", "--temp", "0", "-t", "1", NULL };
    const char *dir = getenv("PRISM_BUILD"), *argv[16] = { NULL };
    char path[512];
    struct child usual;
    size_t n;
    int status;

    (void)state;
    RUN(&usual, "prism-run", args[0], args[1], args[2], args[3], args[4], args[5], args[6], args[7], args[8], args[9]);
    assert_worked(&usual);
    snprintf(path, sizeof path, "%s/prism-run", dir ? dir : "build");
    argv[0] = path;
    memcpy(argv + 1, args, sizeof args);
    void (*before)(int) = signal(SIGINT, SIG_IGN);
    pid_t pid = fork();
    signal(SIGINT, pid == 0 ? SIG_IGN : before);
    assert_true(pid >= 0);
    if (pid == 0) {
        redirect(STDOUT_FILENO, tmp("out"), O_WRONLY | O_CREAT | O_TRUNC);
        redirect(STDERR_FILENO, "/dev/null", O_WRONLY);
        execv(path, (char *const *)(uintptr_t)argv);
        _exit(97);
    }
    while (waitpid(pid, &status, WNOHANG) == 0) {
        kill(pid, SIGINT);
        usleep(1000);
    }
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    char *out = test_read_file(tmp("out"), &n);
    assert_string_equal(out, usual.out);
    free(out);
    child_free(&usual);
}

/* ---- long arguments ------------------------------------------------------------------------------------------------- */

/* However long what the user gave is, the line ends with what is wrong about it. */
static void the_reason_is_seen(void **state)
{
    static char path[3000], number[100001];
    struct child c;

    (void)state;
    for (size_t i = 0; i + 1 < sizeof path; i++)
        path[i] = i % 100 ? 'd' : '/';
    RUN(&c, "prism-run", "-m", model, "-f", path);
    assert_refused(&c, ": No such file or directory\n");
    assert_non_null(strstr(c.err, path)); /* a path is whole */
    child_free(&c);
    memset(number, '1', sizeof number - 1);
    RUN(&c, "prism-run", "-n", number);
    assert_refused(&c, "111 [...] 111");
    assert_non_null(strstr(c.err, "1: expected a whole number from -1 to 2147483647\n"));
    assert_in_range(c.n_err, 1000, 8000);
    child_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_text_in_other_files),          cmocka_unit_test(stdout_that_cannot_be_written),
        cmocka_unit_test(stdin_that_is_closed),            cmocka_unit_test(ignored_interrupt_stays_ignored),
        cmocka_unit_test(the_reason_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
