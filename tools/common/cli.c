/* cli.c - see cli.h. */
#include "tools/common/cli.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prism/prism.h"
#include "tools/common/process.h"

enum { MAX_ROWS = 96, MAX_LONGS = 160, MAX_NAME = 32, HELP_COLUMN = 34, LONG_BASE = 256 };

/* All rows in the order of --help, and what getopt_long needs of them. */
struct parser {
    const struct cli_option *row[MAX_ROWS];
    void *field[MAX_ROWS];
    double initial[MAX_ROWS]; /* the number or choice in each field before parsing */
    size_t n_rows;
    struct option longs[MAX_LONGS + 1];
    char long_names[MAX_LONGS][MAX_NAME]; /* without dashes */
    size_t n_longs;
    char shorts[2 + 2 * MAX_ROWS + 1];
    size_t row_of_short[128];
    bool help, version;
};

static const struct cli_option every_tool[] = {
    { .kind = CLI_FLAG, .names = "--version", .help = "print the version and exit", .offset = offsetof(struct parser, version) },
    { .kind = CLI_FLAG, .names = "-h, --help", .help = "print this text and exit", .offset = offsetof(struct parser, help) },
    { 0 },
};

static bool takes_value(const struct cli_option *o) { return o->kind >= CLI_INT; }

/* Registers each of "-t, --threads". The tables are constant, so a table too large is a mistake of the programmer. */
static void add_names(struct parser *p, size_t row)
{
    const struct cli_option *o = p->row[row];
    const char *s = o->names;

    while (*s) {
        size_t len = strcspn(s, ",");
        if (len == 2) {
            char letter[3] = { s[1], takes_value(o) ? ':' : 0, 0 };
            strcat(p->shorts, letter);
            p->row_of_short[(unsigned char)s[1] & 127] = row;
        } else {
            size_t dashes = strspn(s, "-"), i = p->n_longs++;
            if (i >= MAX_LONGS || len - dashes >= MAX_NAME)
                abort();
            memcpy(p->long_names[i], s + dashes, len - dashes);
            p->longs[i] = (struct option){ .name = p->long_names[i], .val = (int)(LONG_BASE + row),
                                           .has_arg = takes_value(o) ? required_argument : no_argument };
        }
        s += len;
        s += strspn(s, ", ");
    }
}

static double number_in(const struct cli_option *o, const void *field)
{
    switch (o->kind) {
    case CLI_INT: return (double)*(const int64_t *)field;
    case CLI_REAL: return *(const double *)field;
    case CLI_CHOICE: return *(const int *)field;
    default: return 0;
    }
}

static void add_rows(struct parser *p, const struct cli_option *rows, void *options)
{
    for (const struct cli_option *o = rows; o->kind != CLI_END; o++) {
        void *field = (char *)options + o->offset;
        if (o->kind == CLI_ROWS) {
            add_rows(p, o->rows, field);
            continue;
        }
        if (p->n_rows >= MAX_ROWS)
            abort();
        p->row[p->n_rows] = o;
        p->field[p->n_rows] = field;
        p->initial[p->n_rows] = number_in(o, field);
        p->n_rows++;
        if (o->names)
            add_names(p, p->n_rows - 1);
    }
}

/* ---- help --------------------------------------------------------------------------------------------------------- */

/* Word i of "f16 bf16 f32", as printf's precision and pointer; false beyond the last. */
static bool choice_word(const char *choices, int i, const char **word, int *len)
{
    for (; *choices; i--) {
        size_t n = strcspn(choices, " ");
        if (i == 0) {
            *word = choices;
            *len = (int)n;
            return true;
        }
        choices += n;
        choices += strspn(choices, " ");
    }
    return false;
}

static void print_default(const struct cli_option *o, double initial)
{
    const char *word;
    int len;

    if (o->initial) {
        if (*o->initial)
            printf(" (default: %s)", o->initial);
    } else if (o->kind == CLI_INT) {
        printf(" (default: %.0f)", initial);
    } else if (o->kind == CLI_REAL) {
        printf(" (default: %.2f)", initial);
    } else if (o->kind == CLI_CHOICE && choice_word(o->choices, (int)initial, &word, &len)) {
        printf(" (default: %.*s)", len, word);
    }
}

static void print_row(const struct cli_option *o, double initial)
{
    int width = printf("  %s%s%s", o->names, o->arg ? " " : "", o->arg ? o->arg : "");

    for (const char *line = o->help; *line;) {
        int len = (int)strcspn(line, "\n");
        if (width + 1 > HELP_COLUMN) {
            putchar('\n');
            width = 0;
        }
        printf("%*s%.*s", HELP_COLUMN - width, "", len, line);
        width = HELP_COLUMN;
        line += len;
        line += *line == '\n';
    }
    print_default(o, initial);
    putchar('\n');
}

static int print_help(const struct cli *cli, const struct parser *p)
{
    printf("Usage: %s %s\n\n%s", program_invocation_short_name, cli->usage, cli->about);
    for (size_t i = 0; i < p->n_rows; i++) {
        if (p->row[i]->kind == CLI_HEADING)
            printf("\n%s:\n", p->row[i]->help);
        else
            print_row(p->row[i], p->initial[i]);
    }
    printf("\nExamples:\n%s", cli->examples);
    return process_flush_stdout();
}

/* ---- values ------------------------------------------------------------------------------------------------------- */

static int set_int(const struct cli_option *o, const char *flag, const char *text, int64_t *field)
{
    char *end;

    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (isspace((unsigned char)*text) || end == text || *end || errno || (double)v < o->min || (double)v > o->max)
        return process_error("%s %s: expected a whole number from %.0f to %.0f", flag, text, o->min, o->max);
    *field = v;
    return -1;
}

static int set_real(const struct cli_option *o, const char *flag, const char *text, double *field)
{
    char *end;
    double v = strtod(text, &end);

    if (isspace((unsigned char)*text) || end == text || *end || !isfinite(v) || v < o->min || v > o->max)
        return process_error("%s %s: expected a number from %g to %g", flag, text, o->min, o->max);
    *field = v;
    return -1;
}

static int set_choice(const struct cli_option *o, const char *flag, const char *text, int *field)
{
    const char *word;
    int len;

    for (int i = 0; choice_word(o->choices, i, &word, &len); i++) {
        if (strlen(text) == (size_t)len && memcmp(text, word, (size_t)len) == 0) {
            *field = i;
            return -1;
        }
    }
    return process_error("%s %s: expected one of: %s", flag, text, o->choices);
}

static int set_field(const struct cli_option *o, const char *flag, const char *text, void *field)
{
    switch (o->kind) {
    case CLI_FLAG: *(bool *)field = true; return -1;
    case CLI_SET: *(int *)field = o->value; return -1;
    case CLI_INT: return set_int(o, flag, text, field);
    case CLI_REAL: return set_real(o, flag, text, field);
    case CLI_TEXT: *(const char **)field = text; return -1;
    case CLI_CHOICE: return set_choice(o, flag, text, field);
    case CLI_EACH: return o->take(o, flag, text, field);
    default: return -1;
    }
}

/* One flag, found by getopt_long_only as `found`, at argv[at] as the user typed it. */
static int take_flag(struct parser *p, int found, int long_index, const char *typed)
{
    char flag[MAX_NAME + 2];
    size_t row;

    if (found == '?' && optopt >= LONG_BASE)
        return process_error("option '%.*s' takes no value", (int)strcspn(typed, "="), typed);
    if (found == ':')
        return process_error("option '%s' needs a value (see --help)", typed);
    if (found == '?')
        return process_error("unknown option '%s' (see --help)", typed);
    if (found >= LONG_BASE) {
        const char *name = p->longs[long_index].name, *bare = typed + strspn(typed, "-");
        size_t dashes = (size_t)(bare - typed), len = strcspn(bare, "=");
        if (len != strlen(name)) /* getopt took an abbreviation */
            return process_error("unknown option '%s' (see --help)", typed);
        snprintf(flag, sizeof flag, "%.*s%s", (int)dashes, "--", name);
        row = (size_t)(found - LONG_BASE);
    } else {
        snprintf(flag, sizeof flag, "-%c", found);
        row = p->row_of_short[found & 127];
    }
    return set_field(p->row[row], flag, optarg, p->field[row]);
}

/* "--n_prompt=4" is "--n-prompt=4", as in llama.cpp's tools. */
static void mend_name(char *arg)
{
    if (strncmp(arg, "--", 2) == 0)
        for (; *arg && *arg != '='; arg++)
            *arg = *arg == '_' ? '-' : *arg;
}

int cli_parse(const struct cli *cli, void *options, int argc, char **argv)
{
    struct parser p = { 0 };

    strcpy(p.shorts, "+:"); /* stop at the first argument that is no flag; tell a missing value from an unknown flag */
    add_rows(&p, cli->rows, options);
    add_rows(&p, every_tool, &p);
    opterr = 0;
    for (;;) {
        if (optind < argc)
            mend_name(argv[optind]);
        int long_index = 0, at = optind, found = getopt_long_only(argc, argv, p.shorts, p.longs, &long_index);
        if (found < 0)
            break;
        int status = take_flag(&p, found, long_index, argv[at]);
        if (status >= 0)
            return status;
        if (p.help)
            return print_help(cli, &p);
        if (p.version) {
            printf("%s %s\n", program_invocation_short_name, prism_version());
            return process_flush_stdout();
        }
    }
    if (optind < argc)
        return process_error("unexpected argument '%s' (see --help)", argv[optind]);
    return -1;
}

/* ---- what was given ----------------------------------------------------------------------------------------------- */

/* A space and the value of a field as one would type it; "" for a kind without values. */
static void field_text(const struct cli_option *o, const void *field, char *out, size_t cap)
{
    const char *word = "", *text = o->kind == CLI_TEXT ? *(const char *const *)field : NULL;
    int len = 0;

    if (o->kind == CLI_CHOICE)
        choice_word(o->choices, *(const int *)field, &word, &len);
    if (o->kind == CLI_INT || o->kind == CLI_REAL)
        snprintf(out, cap, " %.15g", number_in(o, field));
    else
        snprintf(out, cap, "%s%.*s%s", text || len ? " " : "", len, word, text ? text : "");
}

void cli_differing(const struct cli_option *rows, const void *options, const void *defaults, char *out, size_t cap)
{
    char value[256], initial[256];

    *out = 0;
    for (const struct cli_option *o = rows; o->kind != CLI_END; o++) {
        if (!o->names)
            continue;
        field_text(o, (const char *)options + o->offset, value, sizeof value);
        field_text(o, (const char *)defaults + o->offset, initial, sizeof initial);
        size_t len = strlen(out);
        const char *comma = strrchr(o->names, ',');
        if (strcmp(value, initial))
            snprintf(out + len, cap - len, "%s%s%s", len ? " " : "", comma ? comma + 2 : o->names, value);
    }
}
