/* process.c - see process.h. */
#include "tools/common/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;

/* A path may have 4096 bytes, an argument 128 KiB: of a longer line the middle is left out, for its end has the reason. */
enum { MAX_LINE = 6000, KEPT = 2500 };

static void print_line(const char *kind, const char *format, va_list args)
{
    char *text = NULL;
    int len = vasprintf(&text, format, args);

    for (int i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = '?';
    if (len < 0)
        fprintf(stderr, "%s: %sout of memory\n", program_invocation_short_name, kind);
    else if (len > MAX_LINE)
        fprintf(stderr, "%s: %s%.*s [...] %s\n", program_invocation_short_name, kind, KEPT, text, text + len - KEPT);
    else
        fprintf(stderr, "%s: %s%s\n", program_invocation_short_name, kind, text);
    if (len >= 0)
        free(text);
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

/* Each standard stream that the caller closed gets a descriptor of the wrong direction: the next file that is opened cannot take its
 * number, and reading or writing it fails with EBADF as it would have. */
static void reserve_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            _exit(PROCESS_ERROR); /* no /dev/null, and nothing that could be told to anybody */
}

static void catch_interrupt(void)
{
    /* SA_RESETHAND: the second Ctrl-C meets the default action. No SA_RESTART: a read of the terminal ends with EINTR. */
    struct sigaction on_int = { .sa_handler = note_interrupt, .sa_flags = (int)SA_RESETHAND }, before;

    if (sigaction(SIGINT, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
        sigaction(SIGINT, &on_int, NULL);
}

void process_start(void)
{
    reserve_standard_streams();
    catch_interrupt();
    signal(SIGPIPE, SIG_IGN);
}

void process_forget_interrupt(void)
{
    interrupted = 0;
    catch_interrupt();
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
