/* text.h - the prompt as bytes: from a file, standard input or the command line. */
#ifndef PRISM_TOOLS_TEXT_H
#define PRISM_TOOLS_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Any bytes, NUL and invalid UTF-8 included. bytes is malloc'ed, the owner frees it. */
struct text {
    char *bytes;
    size_t len;
};

/* A file ("-": standard input) less one '\n' at its end, as in llama.cpp; `whole`: with it. At most 256 MiB. Returns PROCESS_OK, PROCESS_ERROR
 * after one line on stderr, or PROCESS_INTERRUPTED after Ctrl-C. *t is empty unless PROCESS_OK. */
int text_read(const char *path, bool whole, struct text *t);

/* The same without -f, path NULL: standard input, unless that is a terminal where nobody knows that we wait: `missing` is the error then. */
int text_read_or(const char *path, const char *missing, struct text *t);

/* A copy of a NUL-terminated string; results as text_read. */
int text_copy(const char *s, struct text *t);

/* Expand \n \r \t \' \" \\ and \xHH in place; other backslashes stay. */
void text_unescape(struct text *t);

#endif
