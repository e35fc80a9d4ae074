/* The tools on a terminal and under signals: the progress bar, Ctrl-C, and a reader that goes away. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/child.h"
#include "tests/support/screen.h"

static const char model[] = "models/gutenberg-llama-16m-q8_0.gguf";

/* Prefill of 28443 tokens on one thread of the plain C kernels: minutes, so that a signal always meets it. */
static const char *const long_prefill[] = {
    "prism-run", "-m", "models/gutenberg-38m-q8_0.gguf", "-f", "models/prompts/secret-8.txt",
    "-t", "1", "--cpu-level", "generic", "--compute", "f32", NULL,
};

static const char *const endless_generation[] = {
    "prism-run", "-m", model, "-p", "Once", "-t", "1", "-n", "-1", "--ignore-eos", "--cpu-level", "generic", NULL,
};

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void interrupt_during_prefill(void **state)
{
    struct child c;

    (void)state;
    pid_t pid = child_start(&c, long_prefill, "", 0, -1);
    child_await_handler(pid);
    usleep(500000); /* loading and tokenizing take a tenth of this */
    double sent = now_s();
    kill(pid, SIGINT);
    child_finish(&c, pid);
    assert_int_equal(c.status, 130);
    assert_true(now_s() - sent < 5); /* the library promises 100 ms of work between calls; the rest is for a loaded machine */
    assert_string_equal(c.err, "prism-run: interrupted during prefill\n");
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
    pid_t pid = child_start(&c, (const char *const[]){ "prism-run", "-m", model, "-p", "a", NULL }, "", 0, -1);
    child_await_handler(pid);
    kill(pid, SIGSTOP); /* so that it cannot answer the first */
    kill(pid, SIGINT);
    kill(pid, SIGCONT);
    usleep(1000);
    kill(pid, SIGINT);
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
    screen_read(&s, "tokens/s"); /* the bar */
    assert_non_null(strstr(s.text, "\r\033[Kprefill "));
    assert_non_null(strstr(s.text, "/28443 tokens"));
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

static void no_prompt_on_a_terminal(void **state)
{
    static const char *const run[] = { "prism-run", "-m", model, NULL };
    static struct screen s;

    (void)state;
    pid_t pid = screen_start(&s, run); /* must not wait for the keyboard */
    screen_read(&s, NULL);
    assert_int_equal(child_wait(pid), 1);
    assert_string_equal(s.text, "prism-run: no prompt: use -p TEXT, -f FILE or standard input (see --help)\r\n");
    close(s.master);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interrupt_during_prefill), cmocka_unit_test(interrupt_during_generation),
        cmocka_unit_test(second_interrupt_kills),   cmocka_unit_test(reader_goes_away),
        cmocka_unit_test(control_c_on_a_terminal),  cmocka_unit_test(bar_disappears),
        cmocka_unit_test(no_prompt_on_a_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
