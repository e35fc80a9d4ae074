/* bench_kernels.c - `prism-bench kernels`: how fast every kernel is at every level that runs here, against generic and against the peak of
 * the same run.
 *
 * Beside make-model the benchmark of kernels and peaks is the only program that looks into src/: the public header has no kernels. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/bench.h"
#include "tools/bench/bench_kernels_out.h"
#include "tools/bench/bench_peak.h"
#include "tools/common/cli.h"
#include "tools/common/process.h"
#include "tools/common/progress.h"

struct options {
    const char *text;      /* "": all rows */
    const char *level;     /* NULL: all that run here */
    int64_t n_threads;
    bool json, csv;
};

#define AT(field) offsetof(struct options, field)

static const struct cli_option option_rows[] = {
    { .kind = CLI_HEADING, .help = "Options" },
    { .kind = CLI_TEXT, .names = "-l, --level", .arg = "NAME", .offset = AT(level), .initial = "all that run here",
      .help = "kernels of one level; prism-run --kernels lists them" },
    { .kind = CLI_INT, .names = "-t, --threads", .arg = "N", .offset = AT(n_threads), .min = 1, .max = PRISM_MAX_THREADS,
      .help = "run on N threads at once, each with its own operands;\nrates and peaks are sums" },
    { .kind = CLI_FLAG, .names = "--json", .offset = AT(json), .help = "print one JSON document instead of the table" },
    { .kind = CLI_FLAG, .names = "--csv", .offset = AT(csv), .help = "print comma-separated values instead" },
    { 0 },
};

static const struct cli cli = {
    .usage = "kernels [TEXT] [options]",
    .about = "Times the kernels whose name, type or shape contains TEXT (default: all), at every level that runs here.\n\n"
             "A line has the median rate of a few rounds and half the distance between their quartiles, how many times faster\n"
             "that is than generic, and its share of a peak measured in the same run: multiply-adds on registers alone by the\n"
             "level's instruction for the kind (of bytes: the fastest sequence that never saturates; kernels of four-bit weights\n"
             "know their range and may be faster), or reading memory. Times are processor time.\n\n"
             "linear_layer is all of a linear layer, from floats and stored weights to floats: activations packed once, then pieces\n"
             "of up to 128 columns packed and multiplied with all rows; pack_a and pack_w are shares of the time. linear_finer\n"
             "is the kind that the engine takes for keys, values and the down projection where weights have more than six bits,\n"
             "linear_layer_few that for them beside weights of fewer.\n"
             "Shapes are rows x columns x depth; of attention, head size x keys per block x keys.\n"
             "Exit status: 0 success, 1 error, 130 interrupted.\n",
    .examples = "  prism-bench kernels\n"
                "  prism-bench kernels linear_layer --level avx2\n"
                "  prism-bench kernels gemv --threads 2 --csv\n",
    .rows = option_rows,
};

static const struct bench_row *const all_rows[] = { bench_linear_rows, bench_vector_rows, bench_attention_rows, bench_delta_rows };

struct bench {
    const struct options *opt;
    struct bench_crew crew;
    struct bench_memory memory;       /* opened by the first row that needs it */
    struct bench_job *jobs;           /* [crew.n] */
    char *operands;                   /* BENCH_JOB_BYTES for each thread */
    double peak[PRISM_N_LEVELS][PRISM_N_PEAKS], read_gbs; /* the best so far, 0: not yet measured, or none */
    struct bench_line *lines;
    size_t n_lines, n_done, n_total;
    struct progress bar;
    double start_ms;
};

/* ---- what to measure ---- */

static bool row_wanted(const struct bench *b, const struct bench_row *r)
{
    char shape[64], all[128];

    bench_shape(r, shape, sizeof shape);
    snprintf(all, sizeof all, "%s %s %s", r->name, prism_types[r->type].name, shape);
    return strcasestr(all, b->opt->text) != NULL;
}

static bool level_wanted(const struct bench *b, enum prism_level l)
{
    return prism_level_runs_here(l) && (!b->opt->level || !strcmp(b->opt->level, prism_level_label(l)));
}

/* Calls fn for every row that is wanted, until it returns a status other than PROCESS_OK. */
static int for_each_row(struct bench *b, int (*fn)(struct bench *b, const struct bench_row *r))
{
    int status = PROCESS_OK;

    for (size_t i = 0; i < sizeof all_rows / sizeof *all_rows; i++)
        for (const struct bench_row *r = all_rows[i]; r->name && status == PROCESS_OK; r++)
            if (row_wanted(b, r))
                status = fn(b, r);
    return status;
}

static int count_row(struct bench *b, const struct bench_row *r)
{
    (void)r;
    for (int l = 0; l < PRISM_N_LEVELS; l++)
        b->n_total += level_wanted(b, (enum prism_level)l);
    return PROCESS_OK;
}

static int check_level(const struct bench *b)
{
    char here[256] = "";
    bool found = false;

    for (int l = 0; l < PRISM_N_LEVELS; l++) {
        found = found || level_wanted(b, (enum prism_level)l);
        if (prism_level_runs_here((enum prism_level)l))
            snprintf(here + strlen(here), sizeof here - strlen(here), " %s", prism_level_label((enum prism_level)l));
    }
    return found ? PROCESS_OK : process_error("--level %s: expected one that runs here:%s", b->opt->level, here);
}

/* ---- measuring ---- */

static void run_job(void *job, size_t times)
{
    struct bench_job *j = job;

    for (size_t i = 0; i < times; i++)
        j->row->run(j);
}

struct making {
    struct bench *b;
    const struct bench_row *row;
    enum prism_level level;
};

/* On the thread that will use the operands: they lie in its memory. */
static void make_job(void *arg, size_t thread)
{
    const struct making *m = arg;
    struct bench *b = m->b;
    struct bench_job *j = &b->jobs[thread];

    *j = (struct bench_job){ .row = m->row, .k = prism_kernels_by_level[m->level],
                             .memory = { (uint8_t *)b->operands + thread * BENCH_JOB_BYTES, 0, BENCH_JOB_BYTES },
                             .walk = b->memory.walk ? &b->memory.walk[thread] : NULL };
    if (!m->row->make(j))
        j->row = NULL;
}

/* In the unit of the row's rate; 0: none is known. A neighbour on the machine may disturb a measurement: the best so far counts, and the
 * multiplying ones, which take no time, are repeated for every line. */
static double peak_of(struct bench *b, const struct bench_job *j)
{
    enum prism_peak_kind kind = PRISM_PEAK_I8; /* also of kinds that split or widen the bytes of weights: "i8x2", "i16" */
    enum prism_level level = j->k->level;

    if (j->row->bound == BENCH_BY_OTHER)
        return 0;
    if (j->row->bound == BENCH_BY_MEMORY) {
        b->read_gbs = b->read_gbs > 0 ? b->read_gbs : bench_memory_read(&b->memory);
        return b->read_gbs;
    }
    if (!strcmp(j->kind, "f32"))
        kind = PRISM_PEAK_F32;
    else if (!strcmp(j->kind, "bf16"))
        kind = PRISM_PEAK_BF16;
    else if (!strcmp(j->kind, "i16") && !j->k->to_i8[j->row->type])
        kind = PRISM_PEAK_I16;
    double *best = &b->peak[level][kind], again = bench_peak_gops(&b->crew, level, kind, *best > 0 ? 3 : BENCH_MAX_ROUNDS);
    *best = again > *best ? again : *best;
    return *best;
}

/* Shares of a whole linear layer's time, all threads together. */
static void share_time(const struct bench *b, struct bench_line *line)
{
    double a = 0, w = 0, all = 0;

    for (size_t t = 0; t < b->crew.n; t++) {
        a += b->jobs[t].pack_a_seconds;
        w += b->jobs[t].pack_w_seconds;
        all += b->jobs[t].all_seconds;
    }
    line->pack_a = all > 0 ? a / all : NAN;
    line->pack_w = all > 0 ? w / all : NAN;
}

/* False: interrupted, or the level has no such kernel (line->row is NULL). */
static bool measure_line(struct bench *b, const struct bench_row *r, enum prism_level level, struct bench_line *line)
{
    struct bench_work work = { .run = run_job, .jobs = b->jobs, .job_bytes = sizeof *b->jobs, .rounds = BENCH_MAX_ROUNDS };
    struct bench_rates rates;

    *line = (struct bench_line){ .level = level };
    bench_crew_run(&b->crew, make_job, &(struct making){ b, r, level });
    if (!b->jobs[0].row)
        return false;
    line->row = r;
    line->kind = b->jobs[0].kind;
    work.units = b->jobs[0].work;
    if (!bench_crew_measure(&b->crew, &work, &rates))
        return false;
    line->rate = bench_median(&rates);
    line->spread = bench_spread(&rates);
    share_time(b, line);
    line->peak = peak_of(b, &b->jobs[0]);
    return !process_interrupted();
}

static int show_line(struct bench *b, const struct bench_line *line)
{
    b->lines[b->n_lines++] = *line;
    if (b->opt->json || b->opt->csv)
        return PROCESS_OK;
    bench_table_line(line);
    return process_flush_stdout();
}

static int measure_row(struct bench *b, const struct bench_row *r)
{
    double generic = 0;
    struct bench_line line;

    if (r->bound == BENCH_BY_MEMORY && !b->memory.walk && bench_memory_open(&b->memory, &b->crew) != PROCESS_OK)
        return PROCESS_ERROR;
    for (int l = 0; l < PRISM_N_LEVELS; l++) {
        bool wanted = level_wanted(b, (enum prism_level)l);
        if (!wanted && l != PRISM_LEVEL_GENERIC)
            continue;
        progress_draw(&b->bar, r->name, (double)b->n_done / (double)b->n_total, b->n_done, b->n_total, process_now_ms() - b->start_ms);
        bool measured = measure_line(b, r, (enum prism_level)l, &line);
        if (process_interrupted())
            return PROCESS_INTERRUPTED;
        if (l == PRISM_LEVEL_GENERIC)
            generic = line.rate;
        line.ratio = generic > 0 ? line.rate / generic : NAN;
        if (measured && wanted && show_line(b, &line) != PROCESS_OK)
            return PROCESS_ERROR;
        b->n_done += wanted;
    }
    return PROCESS_OK;
}

/* ---- the command ---- */

static int prepare(struct bench *b)
{
    const struct options *o = b->opt;
    size_t n = (size_t)o->n_threads;

    if (o->json && o->csv)
        return process_error("--json and --csv: give one of the two flags");
    if (check_level(b) != PROCESS_OK)
        return PROCESS_ERROR;
    for_each_row(b, count_row);
    if (b->n_total == 0)
        return process_error("no kernel with '%s' in its name, type or shape", o->text);
    if (bench_crew_open(&b->crew, (uint32_t)n) != PROCESS_OK)
        return PROCESS_ERROR;
    b->jobs = malloc(n * sizeof *b->jobs);
    b->lines = malloc(b->n_total * sizeof *b->lines);
    b->operands = prism_reserve(n * BENCH_JOB_BYTES, n * BENCH_JOB_BYTES);
    return b->jobs && b->lines && b->operands ? PROCESS_OK : process_error("out of memory");
}

static int measure(struct bench *b)
{
    const struct options *o = b->opt;
    struct bench_conditions conditions = { .n_threads = b->crew.n };
    bool table = !o->json && !o->csv;

    b->bar = progress_start();
    b->bar.unit = "kernels";
    b->bar.on = b->bar.on && !table;
    b->start_ms = process_now_ms();
    if (table)
        bench_table_head(&conditions);
    int status = for_each_row(b, measure_row);
    progress_erase(&b->bar);
    if (status == PROCESS_INTERRUPTED)
        return process_report_interrupt("while measuring");
    if (status != PROCESS_OK)
        return status;
    conditions.memory_bytes = b->memory.bytes;
    conditions.cache_bytes = b->memory.cache_bytes;
    if (o->json)
        bench_lines_json(&conditions, b->lines, b->n_lines);
    else if (o->csv)
        bench_lines_csv(&conditions, b->lines, b->n_lines);
    else
        bench_table_foot(&conditions);
    return process_flush_stdout();
}

int bench_kernels(int argc, char **argv)
{
    struct options opt = { .text = "", .n_threads = 1 };
    struct bench b = { .opt = &opt };

    if (argc > 1 && argv[1][0] != '-') { /* TEXT comes first; the options see the rest */
        opt.text = argv[1];
        argv[1] = argv[0];
        argc--;
        argv++;
    }
    int status = cli_parse(&cli, &opt, argc, argv);
    if (status >= 0)
        return status;
    status = prepare(&b);
    if (status == PROCESS_OK)
        status = measure(&b);
    bench_memory_close(&b.memory);
    prism_release(b.operands, (uint64_t)opt.n_threads * BENCH_JOB_BYTES);
    free(b.lines);
    free(b.jobs);
    bench_crew_close(&b.crew);
    return status;
}
