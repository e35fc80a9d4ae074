/* prism-run -cnv: a conversation on a terminal, its commands, and Ctrl-C. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/chat_tool.h"
#include "tests/support/gguf_build.h"
#include "tests/support/screen.h"
#include "tests/support/tool_check.h"

#define CONVERSE(s, ...) \
    screen_start(s, (const char *const[]){ "prism-run", "-m", chat_model, "--temp", "0", "-t", "1", "--ignore-eos", "-cnv", __VA_ARGS__, NULL })

static void type(struct screen *s, const char *text)
{
    assert_int_equal(write(s->master, text, strlen(text)), (ssize_t)strlen(text));
}

/* How often it is in the screen's text. */
static size_t count(const struct screen *s, const char *text)
{
    size_t n = 0;
    for (const char *at = s->text; (at = strstr(at, text)); at++)
        n++;
    return n;
}

/* More of what is on the screen; a random model also writes NULs, which would hide the rest. */
static void read_more(struct screen *s, const char *wanted)
{
    ssize_t n = s->len + 1 < sizeof s->text ? read(s->master, s->text + s->len, sizeof s->text - 1 - s->len) : 0;

    if (n <= 0)
        fail_msg("\"%s\" not on the screen:\n%s", wanted, s->text);
    for (ssize_t i = 0; i < n; i++, s->len++)
        s->text[s->len] = s->text[s->len] ? s->text[s->len] : '?';
    s->text[s->len] = 0;
}

/* Reads on until `text` appears behind what was awaited before. */
static size_t seen;
static void await(struct screen *s, const char *text)
{
    const char *at;

    while (!(at = strstr(s->text + seen, text)))
        read_more(s, text);
    seen = (size_t)(at - s->text) + strlen(text);
}

/* Reads on until there are n bytes behind what was awaited. */
static void await_more(struct screen *s, size_t n)
{
    while (s->len < seen + n)
        read_more(s, "more");
}

static int finish(struct screen *s, pid_t pid)
{
    screen_read(s, NULL);
    close(s->master);
    return child_wait(pid);
}

static void commands(void **state)
{
    static struct screen s;

    (void)state;
    pid_t pid = CONVERSE(&s, "-n", "3", "-v");
    seen = 0;
    await(&s, "> ");
    type(&s, "Hello\n");
    await(&s, "answer    0 of ");
    await(&s, "> ");
    type(&s, "And now?\n");
    await(&s, "answer    ");
    await(&s, "> ");
    type(&s, "/regen\n");
    await(&s, "answer    ");
    await(&s, "> ");
    type(&s, "/clear\n");
    await(&s, "the conversation begins anew");
    type(&s, "/regen\n");
    await(&s, "there is no message yet");
    type(&s, "/read /absent/file\n");
    await(&s, "cannot open /absent/file");
    type(&s, "/nonsense\n");
    await(&s, "Ctrl-D ends, /clear");
    type(&s, "/exit\n");
    assert_int_equal(finish(&s, pid), 0);
    assert_int_equal(count(&s, "answer    "), 3);
}

/* A file and a message are one message, as -f and -p are. */
static void files(void **state)
{
    static struct screen s;
    struct child c;
    char line[600];
    const char *file = gb_write_bytes("doc.txt", "One line.\nTwo lines.\n", 21);
    size_t n_typed, n_given;

    (void)state;
    pid_t pid = CONVERSE(&s, "-n", "3", "-v");
    seen = 0;
    await(&s, "> ");
    snprintf(line, sizeof line, "/read %s\n", file);
    type(&s, line);
    await(&s, "20 bytes of ");
    await(&s, "> ");
    type(&s, "What?\n");
    await(&s, "answer    0 of ");
    await(&s, " tokens were");
    n_typed = strtoul(strstr(s.text, "answer    0 of ") + 15, NULL, 10);
    await(&s, "> ");
    type(&s, "What?\n");
    await(&s, "answer    ");
    await(&s, "> ");
    type(&s, "/exit\n");
    assert_int_equal(finish(&s, pid), 0);
    ASK(&c, "-f", file, "-p", "What?", "--json");
    assert_worked(&c);
    n_given = strtoul(strstr(c.out, "\"n_prompt\": ") + 12, NULL, 10);
    assert_int_equal(n_typed, n_given);
    child_free(&c);
}

static void end_of_input_ends(void **state)
{
    static struct screen s;

    (void)state;
    pid_t pid = CONVERSE(&s, "-n", "3", "-p", "Hello");
    seen = 0;
    await(&s, "\n> ");
    type(&s, "\004");
    assert_int_equal(finish(&s, pid), 0);
    assert_non_null(strstr(s.text, "decode")); /* the summary */
}

/* Ctrl-C stops the answer, and one at the prompt drops what was typed; the program goes on, and the terminal is as it was. */
static void interrupts(void **state)
{
    static struct screen s;
    struct termios before, after;

    (void)state;
    pid_t pid = screen_start(&s, (const char *const[]){ "prism-run", "-m", chat_model, "-t", "1", "--ignore-eos", "-cnv", "-n", "-1", "-c", "16384", "-v",
                                                        "--cpu-level", "generic", "--compute", "f32", NULL });
    seen = 0;
    assert_int_equal(tcgetattr(s.master, &before), 0);
    for (int round = 0; round < 3; round++) {
        await(&s, "> ");
        type(&s, "Hello\n");
        await(&s, "prefill ");
        await_more(&s, 1000); /* more than bars: it speaks */
        kill(pid, SIGINT);
        await(&s, "answer    ");
        await(&s, "decode ");
        await(&s, " tokens");
        assert_true(strtoul(strstr(s.text + seen - 20, "decode ") + 7, NULL, 10) < 16000);
    }
    await(&s, "> ");
    type(&s, "half a li");
    await(&s, "half a li");
    kill(pid, SIGINT);
    await(&s, "> ");
    type(&s, "/exit\n");
    assert_int_equal(tcgetattr(s.master, &after), 0);
    assert_int_equal(finish(&s, pid), 0);
    assert_int_equal(before.c_lflag & (ICANON | ECHO), ICANON | ECHO);
    assert_null(strstr(s.text, "unknown"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands),
        cmocka_unit_test(files),
        cmocka_unit_test(end_of_input_ends),
        cmocka_unit_test(interrupts),
    };
    return cmocka_run_group_tests(tests, chat_models, NULL);
}
