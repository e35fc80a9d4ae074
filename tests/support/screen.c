/* screen.c - see screen.h. */
#include "tests/support/screen.h"

#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/child.h"

pid_t screen_start(struct screen *s, const char *const *argv)
{
    struct winsize size = { .ws_row = 24, .ws_col = 100 };

    *s = (struct screen){ 0 };
    pid_t pid = forkpty(&s->master, NULL, NULL, &size);
    assert_true(pid >= 0);
    if (pid == 0) {
        setenv("TERM", "xterm", 1);
        child_exec(argv);
    }
    return pid;
}

void screen_read(struct screen *s, const char *text)
{
    while (s->len + 1 < sizeof s->text && !(text && strstr(s->text, text))) {
        ssize_t n = read(s->master, s->text + s->len, sizeof s->text - 1 - s->len);
        if (n <= 0)
            break;
        s->len += (size_t)n;
        s->text[s->len] = 0;
    }
    if (text && !strstr(s->text, text))
        fail_msg("\"%s\" not on the screen:\n%s", text, s->text);
}
