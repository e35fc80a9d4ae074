/* text.h - the prompt as bytes: from a file, standard input or the command line. */
#ifndef PRISM_TOOLS_TEXT_H
#define PRISM_TOOLS_TEXT_H

#include <stddef.h>

/* Any bytes, NUL and invalid UTF-8 included. bytes is malloc'ed, the owner frees it. */
struct text {
    char *bytes;
    size_t len;
};

/* All of a file ("-": standard input), at most 256 MiB. Returns PROCESS_OK, PROCESS_ERROR after one line on stderr, or
 * PROCESS_INTERRUPTED after Ctrl-C. *t is empty unless PROCESS_OK. */
int text_read(const char *path, struct text *t);

/* A copy of a NUL-terminated string; results as text_read. */
int text_copy(const char *s, struct text *t);

/* Drop one '\n' at the end. */
void text_drop_newline(struct text *t);

/* Expand \n \r \t \' \" \\ and \xHH in place; other backslashes stay. */
void text_unescape(struct text *t);

#endif
