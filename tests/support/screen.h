/* screen.h - runs one of the built tools on a terminal of its own (a pseudoterminal) and keeps what it wrote there. */
#ifndef PRISM_TESTS_SCREEN_H
#define PRISM_TESTS_SCREEN_H

#include <stddef.h>
#include <sys/types.h>

struct screen {
    int master; /* what is typed goes here; the caller closes it */
    char text[1 << 16];
    size_t len;
};

/* The tool as child_run takes it, on 100 columns of an xterm. */
pid_t screen_start(struct screen *s, const char *const *argv);

/* Reads until `text` appears, or fails; to the end when it is NULL. */
void screen_read(struct screen *s, const char *text);

#endif
