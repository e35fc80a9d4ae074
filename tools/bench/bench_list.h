/* bench_list.h - lists of values on the command line, as llama-bench takes them: several after one flag, separated by commas, and the flag
 * several times. Values are kept as the text that a report prints.
 *
 * The functions are `take` of a CLI_EACH row whose field is a struct bench_list; they append, within the row's range or choices. */
#ifndef PRISM_TOOLS_BENCH_LIST_H
#define PRISM_TOOLS_BENCH_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/common/cli.h"

enum { BENCH_LIST_MAX = 1024 };

/* Starts zeroed; bench_list_free takes the values. */
struct bench_list {
    char **value; /* [n] */
    size_t n;
};

void bench_list_free(struct bench_list *l);

/* Whole numbers and ranges: 8, 1-4 (1 2 3 4), 16-64+16 (16 32 48 64), 1-8*2 (1 2 4 8). */
int bench_take_numbers(const struct cli_option *o, const char *flag, const char *text, void *list);

/* Words of o->choices. A choice "on=1" is written on and kept as 1. */
int bench_take_words(const struct cli_option *o, const char *flag, const char *text, void *list);

/* Any texts that are not empty. */
int bench_take_texts(const struct cli_option *o, const char *flag, const char *text, void *list);

/* Shares of devices, "1/2/0", kept as "1.00/2.00". */
int bench_take_shares(const struct cli_option *o, const char *flag, const char *text, void *list);

/* One pair of whole numbers, "512,128", kept as two values. */
int bench_take_pair(const struct cli_option *o, const char *flag, const char *text, void *list);

#endif
