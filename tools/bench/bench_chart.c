/* bench_chart.c - prism-bench chart: draws the table of tools/paper.sh, speed and quality side by side against the length.
 *
 * Columns are found by name: length, selector, block, p, speedup, delta_ppl, and paper_speedup, which is drawn as a line of its own. Rows of
 * one selector, block and p are a line. Dense rows are what the others are compared with and are not drawn. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/bench/bench.h"
#include "tools/common/cli.h"
#include "tools/common/process.h"
#include "tools/common/text.h"
#include "tools/draw/chart.h"

enum { MAX_SERIES = CHART_MAX_SERIES - 1, MAX_POINTS = 32, MAX_COLUMNS = 32 };

struct options {
    const char *file, *output, *title;
};

#define AT(field) offsetof(struct options, field)

static const struct cli_option rows[] = {
    { .kind = CLI_HEADING, .help = "Chart" },
    { .kind = CLI_TEXT, .names = "-f, --file", .arg = "FILE.csv", .offset = AT(file), .initial = "-", .help = "the table" },
    { .kind = CLI_TEXT, .names = "-o, --output", .arg = "FILE.png", .offset = AT(output), .initial = "", .help = "the picture to write" },
    { .kind = CLI_TEXT, .names = "--title", .arg = "TEXT", .offset = AT(title), .initial = "", .help = "what was measured" },
    { 0 },
};

static const struct cli cli = {
    .usage = "chart -f FILE.csv -o FILE.png [--title TEXT]",
    .about = "Draws the table that `make paper` writes: speedup over dense attention and difference in perplexity, against the length.\n",
    .examples = "  prism-bench chart -f build/paper/paper.csv -o build/paper/paper.png\n",
    .rows = rows,
};

enum column { LENGTH, SELECTOR, BLOCK, P, SPEEDUP, DELTA_PPL, PAPER_SPEEDUP, N_COLUMNS };
static const char *const column_names[N_COLUMNS] = { "length", "selector", "block", "p", "speedup", "delta_ppl", "paper_speedup" };

/* A line of both charts. */
struct series {
    char name[64];
    size_t n;
    double x[MAX_POINTS], speedup[MAX_POINTS], delta_ppl[MAX_POINTS];
};

struct table {
    struct series series[MAX_SERIES];
    size_t n_series;
    struct series paper; /* speedup only */
};

/* Cuts a line at its commas in place. */
static size_t cut(char *line, char **field)
{
    size_t n = 0;
    for (char *f; n < MAX_COLUMNS && (f = strsep(&line, ","));)
        field[n++] = f;
    return n;
}

static double number(const char *text)
{
    char *end;
    double v = strtod(text, &end);
    return *text && !*end && isfinite(v) ? v : NAN;
}

static struct series *find_series(struct table *t, const char *name)
{
    for (size_t i = 0; i < t->n_series; i++)
        if (!strcmp(t->series[i].name, name))
            return &t->series[i];
    if (t->n_series == MAX_SERIES)
        return NULL;
    struct series *s = &t->series[t->n_series++];
    snprintf(s->name, sizeof s->name, "%s", name);
    return s;
}

static bool add_point(struct series *s, double length, double speedup, double delta_ppl)
{
    if (!s || s->n == MAX_POINTS || !(length > 0) || (s->n && length <= s->x[s->n - 1]))
        return false;
    s->x[s->n] = length, s->speedup[s->n] = speedup, s->delta_ppl[s->n] = delta_ppl;
    s->n++;
    return true;
}

static bool add_row(struct table *t, char *const *field)
{
    double length = number(field[LENGTH]), paper = number(field[PAPER_SPEEDUP]);
    char name[64];

    if (!strcmp(field[SELECTOR], "dense"))
        return true;
    snprintf(name, sizeof name, "%s, block %s%s%s", field[SELECTOR], field[BLOCK], *field[P] ? ", p " : "", field[P]);
    if (!isnan(paper) && !add_point(&t->paper, length, paper, NAN))
        return false;
    return add_point(find_series(t, name), length, number(field[SPEEDUP]), number(field[DELTA_PPL]));
}

static int read_table(const char *path, struct table *t)
{
    struct text text;
    char *field[MAX_COLUMNS];
    size_t at[N_COLUMNS], n_line = 1;
    int status = text_read(path, true, &text);
    char *rest = status == PROCESS_OK ? realloc(text.bytes, text.len + 1) : NULL;

    if (status != PROCESS_OK)
        return status;
    if (!rest) {
        free(text.bytes);
        return process_error("out of memory");
    }
    text.bytes = rest;
    rest[text.len] = 0;
    size_t n = cut(strsep(&rest, "\n"), field);
    for (int c = 0; c < N_COLUMNS && status == PROCESS_OK; c++) {
        for (at[c] = 0; at[c] < n && strcmp(field[at[c]], column_names[c]);)
            at[c]++;
        if (at[c] == n)
            status = process_error("%s: no column \"%s\" in the first line", path, column_names[c]);
    }
    for (char *line; status == PROCESS_OK && (line = strsep(&rest, "\n"));) {
        char *row[N_COLUMNS];
        n_line++;
        if (!*line)
            continue;
        bool good = cut(line, field) == n;
        for (int c = 0; good && c < N_COLUMNS; c++)
            row[c] = field[at[c]];
        if (!good || !add_row(t, row))
            status = process_error("%s, line %zu: expected %zu fields, lengths ascending per selector", path, n_line, n);
    }
    free(text.bytes);
    return status == PROCESS_OK && t->n_series == 0 ? process_error("%s: nothing to draw", path) : status;
}

static int draw(const struct options *opt, const struct table *t)
{
    struct chart_series speed[CHART_MAX_SERIES], quality[MAX_SERIES];
    size_t n = t->n_series, n_speed = n;

    for (size_t i = 0; i < n; i++) {
        const struct series *s = &t->series[i];
        speed[i] = (struct chart_series){ s->name, false, s->n, s->x, s->speedup };
        quality[i] = (struct chart_series){ s->name, false, s->n, s->x, s->delta_ppl };
    }
    if (t->paper.n)
        speed[n_speed++] = (struct chart_series){ "the paper: H100, Llama-3.1-8B, block 128, p 0.95", true, t->paper.n, t->paper.x,
                                                  t->paper.speedup };
    return chart_write(opt->output, &(struct chart_page){ opt->title, 2, (const struct chart[]){
        { .title = "Speedup over dense attention", .level = 1, .n_series = n_speed, .series = speed },
        { .title = "Perplexity minus that of dense attention", .level = 0, .n_series = n, .series = quality },
    } });
}

int bench_chart(int argc, char **argv)
{
    struct options opt = { 0 };
    struct table t = { .n_series = 0 };
    int status = cli_parse(&cli, &opt, argc, argv);

    if (status >= 0)
        return status;
    if (!opt.output)
        return process_error("no picture to write: use -o FILE.png");
    if (!opt.file && isatty(STDIN_FILENO))
        return process_error("no table: use -f FILE or standard input (see --help)");
    status = read_table(opt.file ? opt.file : "-", &t);
    return status == PROCESS_OK ? draw(&opt, &t) : status;
}
