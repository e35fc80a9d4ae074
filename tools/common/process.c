/* process.c - see process.h. */
#include "tools/common/process.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static volatile sig_atomic_t interrupted;

static void print_line(const char *kind, const char *format, va_list args)
{
    char text[1024];

    vsnprintf(text, sizeof text, format, args);
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    fprintf(stderr, "%s: %s%s\n", program_invocation_short_name, kind, text);
}

int process_error(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_line("", format, args);
    va_end(args);
    return PROCESS_ERROR;
}

void process_warning(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_line("warning: ", format, args);
    va_end(args);
}

static void note_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

void process_catch_signals(void)
{
    /* SA_RESETHAND: the second Ctrl-C meets the default action. No SA_RESTART: a read of the terminal ends with EINTR. */
    struct sigaction on_int = { .sa_handler = note_interrupt, .sa_flags = (int)SA_RESETHAND };

    sigaction(SIGINT, &on_int, NULL);
    signal(SIGPIPE, SIG_IGN);
}

bool process_interrupted(void) { return interrupted != 0; }

int process_report_interrupt(const char *where)
{
    process_error("interrupted %s", where);
    return PROCESS_INTERRUPTED;
}

int process_flush_stdout(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return PROCESS_OK;
    /* errno is this flush's, or still that of the earlier write which set the stream's error. */
    if (errno == EINTR && process_interrupted())
        return process_report_interrupt("while writing");
    return process_error("stdout: %s", errno ? strerror(errno) : "write error");
}

double process_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}
