/* bench_peak.c - `prism-bench peak`: what the processor can do at most, at every level, and what its memory delivers. See bench_peak.h. */
#include "tools/bench/bench_peak.h"

#include <stdio.h>
#include <stdlib.h>

#include "tools/bench/bench.h"
#include "tools/bench/bench_facts.h"
#include "tools/bench/bench_memory.h"
#include "tools/common/cli.h"
#include "tools/common/json.h"
#include "tools/common/process.h"

/* ---- one peak ---- */

enum { STEPS = 100000 }; /* about 0.3 ms */

static void run_peak(void *job, size_t times)
{
    prism_peak_fn *const *run = job;

    (*run)(STEPS * times);
}

double bench_peak_gops(struct bench_crew *c, enum prism_level level, enum prism_peak_kind kind, int rounds)
{
    prism_peak_fn *run = prism_kernels_by_level[level]->peak[kind];
    struct bench_rates rates;

    if (!run || !prism_level_is_native(level))
        return 0;
    struct bench_work work = { .run = run_peak, .jobs = &run, .job_bytes = 0, .units = run(1) * STEPS, .rounds = rounds };
    return bench_crew_measure(c, &work, &rates) ? bench_best(&rates) : 0;
}

/* ---- the command ---- */

struct options {
    int64_t n_threads;
    bool json, csv;
};

#define AT(field) offsetof(struct options, field)

static const struct cli_option rows[] = {
    { .kind = CLI_HEADING, .help = "Options" },
    { .kind = CLI_INT, .names = "-t, --threads", .arg = "N", .offset = AT(n_threads), .min = 1, .max = PRISM_MAX_THREADS,
      .initial = "one per core", .help = "threads that work at once, beside one alone" },
    { .kind = CLI_FLAG, .names = "--json", .offset = AT(json), .help = "print one JSON document instead of the table" },
    { .kind = CLI_FLAG, .names = "--csv", .offset = AT(csv), .help = "print comma-separated values instead" },
    { 0 },
};

static const struct cli cli = {
    .usage = "peak [options]",
    .about = "Measures what the processor can do at most: multiply-adds on registers alone at every level of kernels that runs\n"
             "here (float by FMA, bytes and int16 into 32-bit sums by the fastest sequence that never saturates, bf16), and\n"
             "reading and copying memory. Best of a few rounds; processor time, so that other programs disturb little.\n"
             "Exit status: 0 success, 1 error, 130 interrupted.\n",
    .examples = "  prism-bench peak\n"
                "  prism-bench peak --threads 1 --json\n",
    .rows = rows,
};

enum crew { ONE, ALL, N_CREWS };

struct result {
    size_t n_threads[N_CREWS];     /* 1 and N; the second is 0 when N is 1 */
    double gops[N_CREWS][PRISM_N_LEVELS][PRISM_N_PEAKS];
    double read_gbs[N_CREWS], copy_gbs[N_CREWS];
    size_t memory_bytes, cache_bytes;
};

/* The rates of a crew that is closed afterwards. */
static int measure_crew(struct bench_crew *crew, struct result *r, enum crew which)
{
    struct bench_memory memory;

    r->n_threads[which] = crew->n;
    for (int l = 0; l < PRISM_N_LEVELS; l++)
        for (int kind = 0; kind < PRISM_N_PEAKS && prism_level_runs_here((enum prism_level)l) && !process_interrupted(); kind++)
            r->gops[which][l][kind] = bench_peak_gops(crew, (enum prism_level)l, (enum prism_peak_kind)kind, BENCH_MAX_ROUNDS);
    int status = bench_memory_open(&memory, crew);
    if (status == PROCESS_OK) {
        r->memory_bytes = memory.bytes;
        r->cache_bytes = memory.cache_bytes;
        r->read_gbs[which] = bench_memory_read(&memory);
        r->copy_gbs[which] = bench_memory_copy(&memory);
        bench_memory_close(&memory);
    }
    bench_crew_close(crew);
    return process_interrupted() ? process_report_interrupt("while measuring") : status;
}

/* ---- output ---- */

static void print_rate(double v)
{
    if (v > 0)
        printf(" %10.1f", v);
    else
        printf(" %10s", "-");
}

static void print_heads(const struct result *r, int times)
{
    for (int i = 0; i < times; i++)
        for (int c = 0; c < N_CREWS && r->n_threads[c]; c++)
            printf(" %3zu thread%s", r->n_threads[c], r->n_threads[c] > 1 ? "s" : " ");
    putchar('\n');
}

static void print_table(const struct result *r)
{
    char cpu[256];
    int width = 11 * (r->n_threads[ALL] ? 2 : 1);

    bench_cpu_name(cpu, sizeof cpu);
    printf("%s; best of a few rounds, processor time\n\n", cpu);
    printf("%-16s", "1e9 operations/s");
    for (int kind = 0; kind < PRISM_N_PEAKS; kind++)
        printf("%*s", width, prism_peak_label((enum prism_peak_kind)kind));
    putchar('\n');
    printf("%-16s", "level");
    print_heads(r, PRISM_N_PEAKS);
    for (int l = 0; l < PRISM_N_LEVELS; l++) {
        if (!prism_level_runs_here((enum prism_level)l))
            continue;
        printf("%-16s", prism_level_label((enum prism_level)l));
        for (int kind = 0; kind < PRISM_N_PEAKS; kind++)
            for (int c = 0; c < N_CREWS && r->n_threads[c]; c++)
                print_rate(r->gops[c][l][kind]);
        putchar('\n');
    }
    printf("\n%-16s", "memory, GB/s");
    print_heads(r, 1);
    for (int copy = 0; copy < 2; copy++) {
        printf("%-16s", copy ? "copy, both ways" : "read");
        for (int c = 0; c < N_CREWS && r->n_threads[c]; c++)
            print_rate(copy ? r->copy_gbs[c] : r->read_gbs[c]);
        putchar('\n');
    }
    printf("\nMemory: %zu MiB, walked from end to end", r->memory_bytes >> 20);
    if (r->cache_bytes)
        printf("; the last-level caches hold %zu MiB", r->cache_bytes >> 20);
    printf(".\n");
}

/* One rate for the two formats of programs. */
typedef void put_fn(void *out, const char *level, const char *type, size_t n_threads, double rate, const char *unit);

static void put_all(const struct result *r, put_fn *put, void *out)
{
    for (int l = 0; l < PRISM_N_LEVELS; l++)
        for (int kind = 0; kind < PRISM_N_PEAKS; kind++)
            for (int c = 0; c < N_CREWS; c++)
                if (r->gops[c][l][kind] > 0)
                    put(out, prism_level_label((enum prism_level)l), prism_peak_label((enum prism_peak_kind)kind), r->n_threads[c],
                        r->gops[c][l][kind], "Gop/s");
    for (int c = 0; c < N_CREWS && r->n_threads[c]; c++) {
        put(out, "memory", "read", r->n_threads[c], r->read_gbs[c], "GB/s");
        put(out, "memory", "copy", r->n_threads[c], r->copy_gbs[c], "GB/s");
    }
}

static void put_csv(void *out, const char *level, const char *type, size_t n_threads, double rate, const char *unit)
{
    fprintf(out, "%s,%s,%zu,%.2f,%s\n", level, type, n_threads, rate, unit);
}

static void put_json(void *out, const char *level, const char *type, size_t n_threads, double rate, const char *unit)
{
    struct json *j = out;

    json_object(j, NULL);
    json_text(j, "level", level);
    json_text(j, "type", type);
    json_int(j, "threads", (int64_t)n_threads);
    json_real(j, "rate", rate);
    json_text(j, "unit", unit);
    json_close(j);
}

static void print_json(const struct result *r)
{
    struct json j = { .out = stdout };
    char cpu[256];

    bench_cpu_name(cpu, sizeof cpu);
    json_object(&j, NULL);
    json_text(&j, "cpu", cpu);
    json_int(&j, "memory_bytes", (int64_t)r->memory_bytes);
    json_int(&j, "cache_bytes", (int64_t)r->cache_bytes);
    json_array(&j, "peaks");
    put_all(r, put_json, &j);
    json_close(&j);
    json_close(&j);
}

static void print_result(const struct result *r, const struct options *opt)
{
    if (opt->json) {
        print_json(r);
    } else if (opt->csv) {
        printf("level,type,threads,rate,unit\n");
        put_all(r, put_csv, stdout);
    } else {
        print_table(r);
    }
}

int bench_peak(int argc, char **argv)
{
    struct options opt = { 0 };
    struct bench_crew one, all;
    struct result r = { 0 };

    int status = cli_parse(&cli, &opt, argc, argv);
    if (status >= 0)
        return status;
    if (opt.json && opt.csv)
        return process_error("--json and --csv: give one of the two flags");
    status = bench_crew_open(&all, (uint32_t)opt.n_threads);
    if (status == PROCESS_OK && (status = bench_crew_open(&one, 1)) != PROCESS_OK)
        bench_crew_close(&all);
    if (status != PROCESS_OK)
        return status;
    bool several = all.n > 1;
    status = measure_crew(&one, &r, ONE);
    if (status == PROCESS_OK && several)
        status = measure_crew(&all, &r, ALL);
    else
        bench_crew_close(&all);
    if (status != PROCESS_OK)
        return status;
    print_result(&r, &opt);
    return process_flush_stdout();
}
