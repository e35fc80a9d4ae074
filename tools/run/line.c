/* line.c - see line.h. */
#include "tools/run/line.h"

#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#include "tools/common/process.h"

struct line_editor {
    EditLine *edit;
    History *history;
    char *text;
};

/* The next byte of the terminal: 1, 0 at the end, -1 after a Ctrl-C or an error. libedit's own would read on after the first Ctrl-C. */
static int read_byte(char *byte)
{
    ssize_t n;

    do
        n = process_interrupted() ? -1 : read(STDIN_FILENO, byte, 1);
    while (n < 0 && errno == EINTR && !process_interrupted());
    return (int)n;
}

/* One character; a byte that begins none stands for itself. */
static int read_character(EditLine *edit, wchar_t *out)
{
    mbstate_t state = { 0 };
    char byte;
    int got;

    (void)edit;
    while ((got = read_byte(&byte)) == 1) {
        size_t n = mbrtowc(out, &byte, 1, &state);
        if (n == (size_t)-2)
            continue;
        if (n == 0)
            return 0; /* a Ctrl-D that was typed while the terminal had lines of its own */
        if (n == (size_t)-1)
            *out = (unsigned char)byte;
        break;
    }
    return got;
}

static char *prompt(EditLine *edit)
{
    (void)edit;
    return "> ";
}

struct line_editor *line_open(void)
{
    struct line_editor *e = isatty(STDIN_FILENO) ? calloc(1, sizeof *e) : NULL;
    HistEvent event;

    if (!e)
        return NULL;
    setlocale(LC_CTYPE, ""); /* how wide characters are; numbers stay as they are */
    if (MB_CUR_MAX == 1)
        setlocale(LC_CTYPE, "C.UTF-8");
    e->edit = el_init("prism-run", stdin, stderr, stderr);
    e->history = history_init();
    if (!e->edit || !e->history) {
        line_close(e);
        return NULL;
    }
    history(e->history, &event, H_SETSIZE, 500);
    el_set(e->edit, EL_PROMPT, prompt);
    el_set(e->edit, EL_GETCFN, read_character);
    el_set(e->edit, EL_EDITOR, "emacs");
    el_set(e->edit, EL_HIST, history, e->history);
    el_set(e->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    return e;
}

void line_close(struct line_editor *e)
{
    if (!e)
        return;
    if (e->history)
        history_end(e->history);
    if (e->edit)
        el_end(e->edit);
    free(e->text);
    free(e);
}

enum line_result line_read(struct line_editor *e, const char **text, size_t *len)
{
    HistEvent event;
    int n = 0;

    el_resize(e->edit);
    const char *typed = el_gets(e->edit, &n);
    if (process_interrupted()) {
        el_reset(e->edit);
        tcflush(STDIN_FILENO, TCIFLUSH); /* also what was typed before the line began */
        fputs("\n", stderr);
        return LINE_INTERRUPT;
    }
    if (!typed || n <= 0) {
        fputs("\n", stderr);
        return LINE_END;
    }
    free(e->text);
    e->text = strndup(typed, (size_t)n);
    if (!e->text)
        return LINE_END;
    if (e->text[strspn(e->text, " \t\r\n")])
        history(e->history, &event, H_ENTER, e->text);
    *len = strcspn(e->text, "\r\n");
    e->text[*len] = 0;
    *text = e->text;
    return LINE_TEXT;
}
