/* child.h - runs one of the built tools and keeps what it printed.
 *
 * The tools lie in $PRISM_BUILD, "build" when that is unset. A child ends after 300 seconds of processor time (SIGXCPU), however slow the
 * machine is, or by SIGALRM after half an hour. */
#ifndef PRISM_TESTS_CHILD_H
#define PRISM_TESTS_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Output of a child that has ended; free it with child_free. */
struct child {
    int status;      /* exit status, or 1000 + the signal that killed it */
    char *out, *err; /* NUL-terminated after n_out, n_err bytes */
    size_t n_out, n_err;
};

enum { CHILD_MAX_ARGS = 32 };

/* argv[0] is the tool's name, NULL ends. input: bytes of standard input. */
void child_run(struct child *c, const char *const *argv, const char *input, size_t n_input);

/* The same in halves, so that a signal can be sent between them. out_fd: where stdout goes, -1 to keep it. */
pid_t child_start(struct child *c, const char *const *argv, const char *input, size_t n_input, int out_fd);
void child_finish(struct child *c, pid_t pid);

/* Execs the tool in the present process; for fork and forkpty. Does not return. */
void child_exec(const char *const *argv);

/* Exit status of a process as in struct child. */
int child_wait(pid_t pid);

/* Until the process catches SIGINT (then its main runs); fails when it ends first. */
void child_await_handler(pid_t pid);

void child_free(struct child *c);

/* Number of lines of stderr. */
size_t child_error_lines(const struct child *c);

/* Whether a process that nobody waited for yet has ended. */
bool child_ended(pid_t pid);

/* Until the child of child_start has written the text on stderr; fails when it ends first. */
void child_await_error(pid_t pid, const char *text);

/* Processor time that a process has used which nobody waited for yet. */
double child_cpu_seconds(pid_t pid);

#endif
