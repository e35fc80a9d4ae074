/* cli_rows.h - what the parser of flags (cli.c) and the text of --help (cli_help.c) share; nobody else includes it. */
#ifndef PRISM_TOOLS_CLI_ROWS_H
#define PRISM_TOOLS_CLI_ROWS_H

#include "tools/common/cli.h"

enum { CLI_MAX_ROWS = 400 };

/* All rows of a tool in the order of its tables, CLI_ROWS resolved. */
struct cli_rows {
    const struct cli_option *row[CLI_MAX_ROWS];
    void *field[CLI_MAX_ROWS];
    double initial[CLI_MAX_ROWS]; /* the number or choice in each field before parsing */
    size_t n;
};

/* Steps through "-t, --threads": the next name and its length, *at moves on; NULL at the end. */
const char *cli_next_name(const char **at, size_t *len);

/* The word number i of "f16 bf16 f32"; false beyond the last. */
bool cli_word(const char *words, int i, const char **word, int *len);

/* The name that a user may have meant by `typed` (len bytes): a pointer into a row's names, its length in *found_len; NULL: nothing is near. */
const char *cli_nearest(const struct cli_rows *rows, const char *typed, size_t len, size_t *found_len);

/* Prints --help on stdout. Exit status. */
int cli_print_help(const struct cli *cli, const struct cli_rows *rows);

#endif
