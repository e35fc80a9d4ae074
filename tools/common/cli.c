/* cli.c - see cli.h. */
#include "tools/common/cli.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prism/prism.h"
#include "tools/common/cli_rows.h"
#include "tools/common/process.h"

/* The arguments that are left. */
struct parser {
    struct cli_rows rows;
    char **next, **end;
    bool help, version;
};

static const struct cli_option every_tool[] = {
    { .kind = CLI_HEADING, .help = "Help" },
    { .kind = CLI_FLAG, .names = "--version", .help = "print the version and exit", .offset = offsetof(struct parser, version) },
    { .kind = CLI_FLAG, .names = "-h, --help, --usage", .help = "print this text and exit", .offset = offsetof(struct parser, help) },
    { 0 },
};

/* ---- tables ------------------------------------------------------------------------------------------------------- */

const char *cli_next_name(const char **at, size_t *len)
{
    const char *name = *at + strspn(*at, ", ");

    *len = strcspn(name, ",");
    *at = name + *len;
    return *len ? name : NULL;
}

bool cli_word(const char *words, int i, const char **word, int *len)
{
    for (; *words; i--) {
        size_t n = strcspn(words, " ");
        if (i == 0) {
            *word = words;
            *len = (int)n;
            return true;
        }
        words += n;
        words += strspn(words, " ");
    }
    return false;
}

/* Index of a text among words, -1: it is none. */
static int word_index(const char *words, const char *text)
{
    const char *word;
    int len;

    for (int i = 0; words && cli_word(words, i, &word, &len); i++)
        if (strlen(text) == (size_t)len && memcmp(text, word, (size_t)len) == 0)
            return i;
    return -1;
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

static void add_rows(struct cli_rows *all, const struct cli_option *rows, void *options)
{
    for (const struct cli_option *o = rows; o->kind != CLI_END; o++) {
        void *field = (char *)options + o->offset;
        if (o->kind == CLI_ROWS) {
            add_rows(all, o->rows, field);
            continue;
        }
        if (all->n >= CLI_MAX_ROWS)
            abort(); /* the tables are constant: a mistake of the programmer */
        all->row[all->n] = o;
        all->field[all->n] = field;
        all->initial[all->n++] = number_in(o, field);
    }
}

/* The first row that has the name, so that a tool's own flags come before those that it only tolerates. */
static bool find_row(const struct cli_rows *all, const char *typed, size_t len, size_t *row)
{
    for (*row = 0; *row < all->n; ++*row) {
        const struct cli_option *o = all->row[*row];
        const char *at = o->names, *name;
        size_t n;
        while (at && (name = cli_next_name(&at, &n)) != NULL) {
            bool begins = name[n - 1] == '*' && len >= n - 1 && memcmp(typed, name, n - 1) == 0;
            if (begins || (len == n && memcmp(typed, name, n) == 0))
                return true;
        }
    }
    return false;
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

static bool read_real(const char *text, double *v)
{
    char *end;

    *v = strtod(text, &end);
    return !isspace((unsigned char)*text) && end != text && !*end && isfinite(*v);
}

static int set_real(const struct cli_option *o, const char *flag, const char *text, double *field)
{
    double v;

    if (!read_real(text, &v) || v < o->min || v > o->max)
        return process_error("%s %s: expected a number from %g to %g", flag, text, o->min, o->max);
    *field = v;
    return -1;
}

static int set_choice(const struct cli_option *o, const char *flag, const char *text, int *field)
{
    int i = word_index(o->choices, text);

    if (i < 0)
        return process_error("%s %s: expected one of: %s", flag, text, o->choices);
    *field = i;
    return -1;
}

/* text: NULL for a flag without a value. */
static int ignore(const struct cli_option *o, const char *flag, const char *text)
{
    bool numbers = o->min < o->max;
    double v = 0;

    if (text && (numbers || o->choices) && word_index(o->choices, text) < 0 &&
        !(numbers && read_real(text, &v) && v >= o->min && v <= o->max)) {
        if (!numbers)
            return process_error("%s %s: expected one of: %s", flag, text, o->choices);
        return process_error("%s %s: expected %s%sa number from %.10g to %.10g", flag, text, o->choices ? o->choices : "",
                             o->choices ? ", or " : "", o->min, o->max);
    }
    if (o->help && !(text && word_index(o->initial, text) >= 0))
        process_warning("%s%s%s has no effect: %s", flag, text ? " " : "", text ? text : "", o->help);
    return -1;
}

static int expect_off(const struct cli_option *o, const char *flag, const char *text)
{
    double v;

    if (!read_real(text, &v))
        return process_error("%s %s: expected a number", flag, text);
    return v >= o->min && v <= o->max ? -1 : process_error("%s %s: %s", flag, text, o->help);
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
    case CLI_IGNORED: return ignore(o, flag, text);
    case CLI_OFF: return expect_off(o, flag, text);
    default: return -1;
    }
}

/* ---- arguments ---------------------------------------------------------------------------------------------------- */

static bool needs_value(const struct cli_option *o)
{
    return o->kind == CLI_IGNORED ? o->arg && *o->arg != '[' : o->kind >= CLI_INT && o->kind != CLI_REFUSED;
}

static int unknown(const struct parser *p, const char *typed, size_t len)
{
    size_t near_len;
    const char *near = cli_nearest(&p->rows, typed, len, &near_len);

    if (near)
        return process_error("unknown option '%.*s': did you mean %.*s? (see --help)", (int)len, typed, (int)near_len, near);
    return process_error("unknown option '%.*s' (see --help)", (int)len, typed);
}

/* "--n_prompt=4" is "--n-prompt=4", as in llama.cpp's tools. */
static void mend_name(char *arg)
{
    if (strncmp(arg, "--", 2) == 0)
        for (; *arg && *arg != '='; arg++)
            *arg = *arg == '_' ? '-' : *arg;
}

/* "-t4", "-n-1": a number behind one letter. */
static bool has_number(const char *arg)
{
    return arg[1] != '-' && arg[2] && isdigit((unsigned char)arg[2 + (arg[2] == '-')]);
}

/* One flag and its value, from p->next on. -1 to carry on. */
static int take_flag(struct parser *p)
{
    char *typed = *p->next++, flag[64];

    mend_name(typed);
    size_t len = strcspn(typed, "="), row;
    const char *text = typed[len] ? typed + len + 1 : NULL;
    bool found = find_row(&p->rows, typed, len, &row);
    if (!found && has_number(typed) && find_row(&p->rows, typed, 2, &row) && needs_value(p->rows.row[row])) {
        found = true;
        len = 2;
        text = typed + 2;
    }
    if (!found)
        return unknown(p, typed, len);
    const struct cli_option *o = p->rows.row[row];
    snprintf(flag, sizeof flag, "%.*s", (int)len, typed);
    if (o->kind == CLI_REFUSED)
        return process_error("%s: %s", flag, o->help);
    if (needs_value(o) && !text) {
        if (p->next == p->end)
            return process_error("option '%s' needs a value (see --help)", flag);
        text = *p->next++;
    } else if (o->kind == CLI_IGNORED && o->arg && !text) { /* may have one */
        text = p->next < p->end && word_index(o->choices, *p->next) >= 0 ? *p->next++ : NULL;
    } else if (text && !(needs_value(o) || o->arg)) {
        return process_error("option '%s' takes no value", flag);
    }
    return set_field(o, flag, text, p->rows.field[row]);
}

int cli_parse(const struct cli *cli, void *options, int argc, char **argv)
{
    struct parser p = { .next = argv + 1, .end = argv + argc };

    add_rows(&p.rows, cli->rows, options);
    add_rows(&p.rows, every_tool, &p);
    while (p.next < p.end) {
        bool no_more_flags = strcmp(*p.next, "--") == 0;
        if (no_more_flags && ++p.next == p.end)
            break;
        if (no_more_flags || **p.next != '-' || !(*p.next)[1])
            return process_error("unexpected argument '%s' (see --help)", *p.next);
        int status = take_flag(&p);
        if (status >= 0)
            return status;
        if (p.help)
            return cli_print_help(cli, &p.rows);
        if (p.version) {
            printf("%s %s\n", program_invocation_short_name, prism_version());
            return process_flush_stdout();
        }
    }
    return -1;
}

/* ---- what was given ----------------------------------------------------------------------------------------------- */

/* A space and the value of a field as one would type it; "" for a kind without values. */
static void field_text(const struct cli_option *o, const void *field, char *out, size_t cap)
{
    const char *word = "", *text = o->kind == CLI_TEXT ? *(const char *const *)field : NULL;
    int len = 0;

    if (o->kind == CLI_CHOICE)
        cli_word(o->choices, *(const int *)field, &word, &len);
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
