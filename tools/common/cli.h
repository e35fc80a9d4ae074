/* cli.h - command-line flags from one table, which is also what --help prints.
 *
 * A table is constant: each row says where in the tool's option struct its value goes (offsetof), the range that is allowed
 * and the text of --help. Defaults are what the struct holds before parsing, and --help shows them from there.
 * Flags are whole words as in llama.cpp: -ngl is one flag, not three. A value is the next argument, or follows '=' (--threads=4, -ctk=f16), or,
 * when it is a number, a flag of one letter (-t4). --long_name is --long-name. There are no abbreviations. */
#ifndef PRISM_TOOLS_CLI_H
#define PRISM_TOOLS_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cli_kind {
    CLI_END = 0, /* a table ends with an empty row */
    CLI_HEADING, /* a group of --help; help is its title */
    CLI_ROWS,    /* all rows of `rows`, whose struct lies at `offset` */
    CLI_FLAG,    /* bool: becomes true */
    CLI_SET,     /* int: becomes `value` */
    CLI_INT,     /* int64_t in [min, max] */
    CLI_REAL,    /* double in [min, max], finite */
    CLI_TEXT,    /* const char *: points into argv */
    CLI_CHOICE,  /* int: index of the word in `choices` */
    CLI_EACH,    /* what `take` makes of each occurrence */

    /* Flags of other tools, which have no field. --help lists the names of the first two. */
    CLI_IGNORED, /* no effect. A value (`arg`; "[..]": only if it is one of `choices`) is a word of `choices` or a number in [min, max]; any
                  * text without both. help, if any, is a warning, for values that are no word of `initial` */
    CLI_OFF,     /* a number: no effect in [min, max], where it switches something off, else refused; help says why */
    CLI_REFUSED  /* help says why, or what to use instead; a name that ends with '*' stands for all that begin so */
};

struct cli_option {
    enum cli_kind kind;
    const char *names;   /* "-t, --threads" */
    const char *arg;     /* how --help calls the value: "N" */
    const char *help;    /* lines separated by '\n' */
    size_t offset;       /* of the field in the option struct */
    double min, max;     /* CLI_INT, CLI_REAL: whole bounds are exact up to 2^53 */
    int value;           /* CLI_SET */
    const char *choices; /* CLI_CHOICE: "f16 bf16 f32" */
    const char *initial; /* default as --help shows it; NULL: the field's value before parsing, "": none */
    const struct cli_option *rows; /* CLI_ROWS */
    /* CLI_EACH: -1 to carry on, or PROCESS_ERROR after one line; flag as the user wrote it. */
    int (*take)(const struct cli_option *o, const char *flag, const char *text, void *field);
};

struct cli {
    const char *usage;    /* one line without the name of the tool */
    const char *about;    /* what the tool does, ends with a newline */
    const char *examples; /* lines, each ends with a newline */
    const struct cli_option *rows;
};

/* Fills the struct at `options`. Returns -1 to carry on. Otherwise the status to exit with: PROCESS_OK after --help or
 * --version, which every tool has, PROCESS_ERROR after one line on stderr that names the flag and the value. */
int cli_parse(const struct cli *cli, void *options, int argc, char **argv);

/* Writes the numbers, texts and choices of a table (not of its CLI_ROWS) that differ in the two structs, with the values in
 * `options`: "--prism-p 0.9 --prism-block 128", cut at cap bytes with the final NUL. */
void cli_differing(const struct cli_option *rows, const void *options, const void *defaults, char *out, size_t cap);

#endif
