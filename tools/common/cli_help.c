/* cli_help.c - the text of --help from the tables of flags, and the flag that a user may have meant. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tools/common/cli_rows.h"
#include "tools/common/process.h"

enum { HELP_COLUMN = 34, HELP_WIDTH = 100 };

/* ---- help --------------------------------------------------------------------------------------------------------- */

/* " (default: 64)", or "". */
static void default_text(const struct cli_option *o, double initial, char *out, size_t cap)
{
    const char *word;
    int len;

    *out = 0;
    if (o->initial && *o->initial)
        snprintf(out, cap, " (default: %s)", o->initial);
    else if (!o->initial && o->kind == CLI_INT)
        snprintf(out, cap, " (default: %.0f)", initial);
    else if (!o->initial && o->kind == CLI_REAL)
        snprintf(out, cap, " (default: %.2f)", initial);
    else if (!o->initial && o->kind == CLI_CHOICE && cli_word(o->choices, (int)initial, &word, &len))
        snprintf(out, cap, " (default: %.*s)", len, word);
}

static void print_row(const struct cli_option *o, double initial)
{
    int width = printf("  %s%s%s", o->names, o->arg ? " " : "", o->arg ? o->arg : "");
    char usual[128];

    for (const char *line = o->help; *line;) {
        int len = (int)strcspn(line, "\n");
        if (width + 1 > HELP_COLUMN) {
            putchar('\n');
            width = 0;
        }
        printf("%*s%.*s", HELP_COLUMN - width, "", len, line);
        width = HELP_COLUMN + len;
        line += len;
        line += *line == '\n';
    }
    default_text(o, initial, usual, sizeof usual);
    if (width + (int)strlen(usual) > HELP_WIDTH)
        printf("\n%*s%s\n", HELP_COLUMN, "", usual + 1);
    else
        printf("%s\n", usual);
}

static bool only_tolerated(const struct cli_option *o) { return o->kind == CLI_IGNORED || o->kind == CLI_OFF || o->kind == CLI_REFUSED; }

/* The first names of the flags that are tolerated, from row i on, in lines. Returns the row behind them. */
static size_t print_tolerated(const struct cli_rows *rows, size_t i)
{
    int width = printf(" ");

    for (; i < rows->n && only_tolerated(rows->row[i]); i++) {
        const char *at = rows->row[i]->names;
        size_t len;
        const char *name = cli_next_name(&at, &len);
        if (rows->row[i]->kind == CLI_REFUSED)
            continue;
        if (width + 1 + (int)len > HELP_WIDTH) {
            printf("\n ");
            width = 1;
        }
        width += printf(" %.*s", (int)len, name);
    }
    putchar('\n');
    return i;
}

int cli_print_help(const struct cli *cli, const struct cli_rows *rows)
{
    printf("Usage: %s %s\n\n%s", program_invocation_short_name, cli->usage, cli->about);
    for (size_t i = 0; i < rows->n; i++) {
        if (rows->row[i]->kind == CLI_HEADING)
            printf("\n%s:\n", rows->row[i]->help);
        else if (only_tolerated(rows->row[i]))
            i = print_tolerated(rows, i) - 1;
        else
            print_row(rows->row[i], rows->initial[i]);
    }
    printf("\nExamples:\n%s", cli->examples);
    return process_flush_stdout();
}

/* ---- the nearest flag --------------------------------------------------------------------------------------------- */

enum { MAX_NAME = 48 };

static unsigned least(unsigned a, unsigned b) { return a < b ? a : b; }

/* Letters to insert, leave out, replace or exchange with their neighbour. */
static unsigned edits(const char *a, size_t n_a, const char *b, size_t n_b)
{
    unsigned d[MAX_NAME + 1][MAX_NAME + 1];

    for (unsigned i = 0; i <= n_a; i++)
        for (unsigned j = 0; j <= n_b; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            d[i][j] = least(least(d[i - 1][j], d[i][j - 1]) + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[n_a][n_b];
}

const char *cli_nearest(const struct cli_rows *rows, const char *typed, size_t len, size_t *found_len)
{
    size_t dashes = strspn(typed, "-"), n_bare = len - dashes;
    unsigned best = n_bare < 3 ? 1 : n_bare < 6 ? 2 : 3; /* what is nearer than this counts */
    const char *bare = typed + dashes, *found = NULL;

    if (n_bare == 0 || n_bare > MAX_NAME)
        return NULL;
    for (size_t i = 0; i < rows->n; i++) {
        const char *at = rows->row[i]->names, *name;
        size_t n;
        while (at && rows->row[i]->kind != CLI_REFUSED && (name = cli_next_name(&at, &n)) != NULL) {
            size_t name_dashes = strspn(name, "-"), n_name = n - name_dashes;
            if (n_name > MAX_NAME)
                continue;
            unsigned d = edits(bare, n_bare, name + name_dashes, n_name);
            if (d > 1 && n_bare >= 4 && n_bare < n_name && memcmp(bare, name + name_dashes, n_bare) == 0)
                d = 1; /* the beginning of a long name */
            if (d >= best)
                continue;
            best = d;
            found = name;
            *found_len = n;
        }
    }
    return found;
}
