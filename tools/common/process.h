/* process.h - what a tool owes the system around it: one-line errors, exit statuses, Ctrl-C, standard output, the clock.
 *
 * Nothing here knows the engine or the flags. Tools are single-threaded outside the library; none of this is thread-safe
 * except process_interrupted. */
#ifndef PRISM_TOOLS_PROCESS_H
#define PRISM_TOOLS_PROCESS_H

#include <stdbool.h>

enum process_exit { PROCESS_OK = 0, PROCESS_ERROR = 1, PROCESS_INTERRUPTED = 130 };

/* Prints "<tool>: <text>" as exactly one line on stderr and returns PROCESS_ERROR. Control characters become '?'; of thousands of bytes the
 * middle is left out. */
int process_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same with "<tool>: warning: " in front. */
void process_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The first thing that main does. Descriptors 0 to 2 that were closed are taken, so that no file of ours gets their numbers: using one of
 * these streams is an error. From now on the first Ctrl-C (SIGINT) only sets a flag and interrupts system calls, and the second kills as
 * usual; where SIGINT was ignored (nohup, a background job of sh) it stays so. Writing to a closed pipe becomes an error of the write. */
void process_start(void);
bool process_interrupted(void);

/* Forgets a Ctrl-C: the next one is the first again. */
void process_forget_interrupt(void);

/* Prints "<tool>: interrupted <where>" and returns PROCESS_INTERRUPTED. */
int process_report_interrupt(const char *where);

/* Flush stdout. When that or an earlier write failed: one line, such as "<tool>: stdout: Broken pipe", and PROCESS_ERROR
 * (PROCESS_INTERRUPTED when Ctrl-C broke the write off). */
int process_flush_stdout(void);

/* Milliseconds of the monotonic clock. */
double process_now_ms(void);

#endif
