/* run_converse.c - a conversation on a terminal: questions of the command line, then lines that are typed, and a few commands. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/process.h"
#include "tools/run/line.h"
#include "tools/run/run.h"

static const char help[] = "/exit or Ctrl-D ends, /clear forgets the conversation, /regen answers anew,\n"
                           "/read FILE puts a file in front of the next message, Ctrl-C stops an answer\n";

/* Answers the messages; the answer becomes one. A message that could not be answered is taken back, which is no failure. */
static int answer(struct run *r)
{
    int32_t *tokens;
    size_t n;
    int status = dialog_tokens(&r->dialog, &tokens, &n);

    if (status == PROCESS_OK && n >= r->plan.n_ctx)
        status = process_error("the conversation has %zu tokens, the context holds %u: /clear begins anew, -c N makes it larger", n, r->plan.n_ctx);
    if (status == PROCESS_OK)
        status = run_answer(r, tokens, n, false, stdout);
    free(tokens);
    if (status != PROCESS_OK) {
        dialog_cut(&r->dialog, r->dialog.n - 1);
        process_forget_interrupt();
        return ferror(stdout) ? status : PROCESS_OK;
    }
    if (process_interrupted())
        process_forget_interrupt();
    putchar('\n');
    status = process_flush_stdout();
    if (status == PROCESS_OK)
        status = dialog_add(&r->dialog, "assistant", r->gen.text ? r->gen.text : "", r->gen.n_text);
    return status;
}

static int say(struct run *r, const struct text *file, const char *text, size_t len)
{
    int status;

    if (!file->len) {
        status = dialog_add(&r->dialog, "user", text, len);
    } else {
        size_t n = file->len + 2 + len;
        char *both = malloc(n);
        if (!both)
            return process_error("out of memory");
        memcpy(both, file->bytes, file->len);
        memcpy(both + file->len, "\n\n", 2);
        memcpy(both + file->len + 2, text, len);
        status = dialog_add(&r->dialog, "user", both, n);
        free(both);
    }
    return status == PROCESS_OK ? answer(r) : status;
}

static int regenerate(struct run *r)
{
    if (r->dialog.n <= r->dialog.n_system) {
        fputs("there is no message yet\n", stderr);
        return PROCESS_OK;
    }
    if (!strcmp(r->dialog.messages[r->dialog.n - 1].role, "assistant"))
        dialog_cut(&r->dialog, r->dialog.n - 1);
    return answer(r);
}

static void read_file(struct text *file, const char *path)
{
    free(file->bytes);
    if (text_read(path, false, file) == PROCESS_OK)
        fprintf(stderr, "%zu bytes of %s will be in front of the next message\n", file->len, path);
    else if (process_interrupted())
        process_forget_interrupt();
}

/* A line that begins with "/". *go_on: false after /exit. */
static int command(struct run *r, const char *line, struct text *file, bool *go_on)
{
    if (!strcmp(line, "/exit")) {
        *go_on = false;
    } else if (!strcmp(line, "/clear")) {
        dialog_cut(&r->dialog, r->dialog.n_system);
        fputs("the conversation begins anew\n", stderr);
    } else if (!strcmp(line, "/regen")) {
        return regenerate(r);
    } else if (!strncmp(line, "/read ", 6)) {
        read_file(file, line + 6 + strspn(line + 6, " "));
    } else {
        fputs(help, stderr);
    }
    return PROCESS_OK;
}

static int type_lines(struct run *r)
{
    struct line_editor *e = line_open();
    struct text file = { 0 };
    const char *line;
    size_t len;
    bool go_on = e != NULL;
    int status = PROCESS_OK;

    if (e)
        fputs(help, stderr);
    while (go_on && status == PROCESS_OK) {
        enum line_result result = line_read(e, &line, &len);
        if (result == LINE_END)
            break;
        if (result == LINE_INTERRUPT) {
            process_forget_interrupt();
            continue;
        }
        if (line[0] == '/') {
            status = command(r, line, &file, &go_on);
        } else if (len) {
            status = say(r, &file, line, len);
            free(file.bytes);
            file = (struct text){ 0 };
        }
    }
    free(file.bytes);
    line_close(e);
    return status;
}

int run_converse(struct run *r)
{
    static const struct text none;
    int status = PROCESS_OK;

    for (size_t i = 0; i < r->n_questions && status == PROCESS_OK; i++)
        status = say(r, &none, r->questions[i].text.bytes, r->questions[i].text.len);
    return status == PROCESS_OK ? type_lines(r) : status;
}
