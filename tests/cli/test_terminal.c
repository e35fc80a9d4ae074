/* The tools on a terminal and under signals: the progress bar, Ctrl-C, and a reader that goes away. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/child.h"
#include "tests/support/screen.h"
#include "tools/common/progress.c"

static const char model[] = "models/gutenberg-llama-16m-q8_0.gguf";

/* Prefill of 28443 tokens on one thread of the plain C kernels: minutes, so that a signal always meets it. */
static const char *const long_prefill[] = {
    "prism-run", "-m", "models/gutenberg-38m-q8_0.gguf", "-f", "models/prompts/secret-8.txt",
    "-t", "1", "--cpu-level", "generic", "--compute", "f32", "-v", NULL,
};

static const char *const endless_generation[] = {
    "prism-run", "-m", model, "-p", "Once", "-t", "1", "-n", "-1", "--ignore-eos", "--cpu-level", "generic", NULL,
};

/* All of them, of the children that were waited for. */
static double children_cpu_seconds(void)
{
    struct rusage use;

    assert_int_equal(getrusage(RUSAGE_CHILDREN, &use), 0);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) + (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6;
}

/* Of stderr. */
static const char *last_line(const struct child *c)
{
    const char *end = c->err + c->n_err - (c->n_err > 0);

    while (end > c->err && end[-1] != '\n')
        end--;
    return end;
}

static void interrupt_during_prefill(void **state)
{
    struct child c;

    (void)state;
    double before = children_cpu_seconds();
    pid_t pid = child_start(&c, long_prefill, "", 0, -1);
    child_await_error(pid, "threads   "); /* the last line of -v comes right before prefill */
    double sent = child_cpu_seconds(pid);
    kill(pid, SIGINT);
    child_finish(&c, pid);
    assert_int_equal(c.status, 130);
    assert_true(children_cpu_seconds() - before - sent < 2); /* of minutes; the library promises 100 ms of work between calls */
    assert_string_equal(last_line(&c), "prism-run: interrupted during prefill\n");
    assert_int_equal(c.n_out, 0);
    child_free(&c);
}

static void interrupt_during_generation(void **state)
{
    struct child c;
    char byte;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = child_start(&c, endless_generation, "", 0, ends[1]);
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1); /* it speaks */
    kill(pid, SIGINT);
    while (read(ends[0], &byte, 1) == 1)
        continue;
    assert_int_equal(byte, '\n');
    close(ends[0]);
    child_finish(&c, pid);
    assert_int_equal(c.status, 130);
    assert_int_equal(child_error_lines(&c), 4); /* the summary */
    assert_non_null(strstr(c.err, "decode"));
    child_free(&c);
}

static void second_interrupt_kills(void **state)
{
    struct child c;

    (void)state;
    pid_t pid = child_start(&c, long_prefill, "", 0, -1); /* it cannot have ended by itself */
    child_await_handler(pid);
    kill(pid, SIGSTOP); /* so that it cannot answer the first */
    kill(pid, SIGINT);
    kill(pid, SIGCONT);
    kill(pid, SIGINT); /* lost when the first is still pending: then 130 */
    child_finish(&c, pid);
    assert_true(c.status == 130 || c.status == 1000 + SIGINT); /* whichever came first; never success, never an error */
    child_free(&c);
}

static void reader_goes_away(void **state)
{
    static const char *const runs[][8] = {
        { "prism-run", "-m", model, "-p", "Once", "-n", "64" },
        { "prism-run", "-m", model, "--info" },
        { "prism-run", "-m", model, "--tokenize", "-f", "models/persuasion.txt" },
        { "prism-run", "--help" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        struct child c;
        int ends[2];

        assert_int_equal(pipe(ends), 0);
        close(ends[0]);
        child_finish(&c, child_start(&c, runs[i], "", 0, ends[1]));
        close(ends[1]);
        assert_int_equal(c.status, 1);
        assert_string_equal(c.err, "prism-run: stdout: Broken pipe\n");
        child_free(&c);
    }
}

/* ---- on a terminal -------------------------------------------------------------------------------------------------- */

/* Text after the last erased line. */
static const char *after_erasure(const struct screen *s)
{
    const char *last = NULL;

    for (const char *p = s->text; (p = strstr(p, "\r\033[K")) != NULL; p += 4)
        last = p + 4;
    assert_non_null(last);
    return last;
}

static void control_c_on_a_terminal(void **state)
{
    static struct screen s;
    struct termios before, after;

    (void)state;
    pid_t pid = screen_start(&s, long_prefill);
    assert_int_equal(tcgetattr(s.master, &before), 0);
    screen_read(&s, "/28443 tokens");
    assert_non_null(strstr(s.text, "\r\033[Kprefill   0%  0/28443 tokens")); /* and no guess of the time */
    assert_int_equal(write(s.master, "\003", 1), 1);
    screen_read(&s, NULL);
    assert_int_equal(child_wait(pid), 130);
    assert_int_equal(tcgetattr(s.master, &after), 0);
    assert_int_equal(before.c_lflag, after.c_lflag);
    assert_int_equal(before.c_iflag, after.c_iflag);
    assert_int_equal(before.c_oflag, after.c_oflag);
    assert_null(strstr(s.text, "\033[?25l")); /* the cursor is never hidden */
    const char *rest = after_erasure(&s);
    rest += strncmp(rest, "^C", 2) == 0 ? 2 : 0; /* the terminal's own echo, wherever it fell */
    assert_string_equal(rest, "prism-run: interrupted during prefill\r\n");
    close(s.master);
}

static void bar_disappears(void **state)
{
    static const char *const run[] = { "prism-run", "-m", model, "-p", "Once upon a time", "-n", "4", "--temp", "0", NULL };
    static struct screen s;

    (void)state;
    pid_t pid = screen_start(&s, run);
    screen_read(&s, NULL);
    assert_int_equal(child_wait(pid), 0);
    assert_non_null(strstr(s.text, "\r\033[Kprefill "));
    assert_null(strstr(after_erasure(&s), " left of ")); /* of the bar nothing is left */
    assert_non_null(strstr(after_erasure(&s), "\r\nload "));
    close(s.master);
}

/* Nobody knows what a tool waits for that reads the keyboard. */
static void no_text_on_a_terminal(void **state)
{
    static const struct {
        const char *args[6], *expected;
    } cases[] = {
        { { "prism-run", "-m", model }, "prism-run: no prompt: use -p TEXT, -f FILE or standard input (see --help)\r\n" },
        { { "prism-perplexity", "-m", model }, "prism-perplexity: no text: use -f FILE or standard input (see --help)\r\n" },
        { { "prism-bench", "attn", "-m", model, "--lengths=512" }, "prism-bench: no text: use -f FILE or standard input (see --help)\r\n" },
        { { "prism-bench", "chart", "-o", "/dev/null" }, "prism-bench: no table: use -f FILE or standard input (see --help)\r\n" },
    };
    static struct screen s;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pid_t pid = screen_start(&s, cases[i].args);
        screen_read(&s, NULL);
        assert_int_equal(child_wait(pid), 1);
        assert_string_equal(s.text, cases[i].expected);
        close(s.master);
    }
}

/* What progress_draw writes for `done` of 1000 after so many milliseconds. */
static const char *drawn(struct progress *bar, size_t done, double ms)
{
    static char text[512];
    FILE *file = tmpfile();
    int before = dup(STDERR_FILENO);

    assert_non_null(file);
    fflush(stderr);
    dup2(fileno(file), STDERR_FILENO);
    progress_draw(bar, "work", (double)done / 1000, done, 1000, ms);
    fflush(stderr);
    dup2(before, STDERR_FILENO);
    close(before);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    return text;
}

static void no_estimate_at_first(void **state)
{
    struct progress bar = { .on = true, .unit = "steps" };

    (void)state;
    assert_non_null(strstr(drawn(&bar, 0, 0), "\r\033[Kwork   0%  0/1000 steps  [...."));
    assert_string_equal(drawn(&bar, 1, 99), ""); /* ten times a second, however often it is called */
    assert_null(strstr(drawn(&bar, 500, 999), "left"));
    assert_null(strstr(drawn(&bar, 19, 2000), "left"));
    assert_non_null(strstr(drawn(&bar, 20, 2100), "\r\033[Kwork   2%  10 steps/s  1:42 left of 1:45  20/1000 steps"));
    assert_non_null(strstr(drawn(&bar, 1, 10000), " left of 2:46:40 "));
    assert_null(strstr(drawn(&bar, 0, 20000), "left"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interrupt_during_prefill), cmocka_unit_test(interrupt_during_generation),
        cmocka_unit_test(second_interrupt_kills),   cmocka_unit_test(reader_goes_away),
        cmocka_unit_test(control_c_on_a_terminal),  cmocka_unit_test(bar_disappears),
        cmocka_unit_test(no_text_on_a_terminal),    cmocka_unit_test(no_estimate_at_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
