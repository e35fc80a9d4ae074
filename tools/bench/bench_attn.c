/* bench_attn.c - prism-bench attn: times the attention of one layer on a real text, dense and with selectors.
 *
 * The layers below run as in any prefill, so the measured layer sees the hidden states of the text; the layers above do not run. Selectors
 * take turns, so that a change of the machine's speed meets them all. Times are the engine's own (prism_layer_stats): attention includes the
 * packing of keys and values, not the projections. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prism/prism.h"
#include "tools/bench/bench.h"
#include "tools/bench/bench_attn_out.h"
#include "tools/common/cli.h"
#include "tools/common/engine.h"
#include "tools/common/process.h"
#include "tools/common/progress.h"
#include "tools/common/text.h"

enum { MAX_LENGTHS = 32, MAX_SUBJECTS = 16 };

/* Up to here the layers below are dense, so that every selector gets the same queries and keys. Beyond, that would take most of the time. */
static const size_t dense_below_limit = 32768;

struct options {
    struct engine_options engine;
    const char *file, *lengths;
    int64_t layer, repetitions;
    bool json, csv;
};

#define AT(field) offsetof(struct options, field)

static const struct cli_option rows[] = {
    { .kind = CLI_HEADING, .help = "Measurement" },
    { .kind = CLI_TEXT, .names = "-f, --file", .arg = "FILE", .offset = AT(file), .initial = "-",
      .help = "the text, repeated when it is too short; \"-\" is standard input" },
    { .kind = CLI_INT, .names = "--layer", .arg = "L", .offset = AT(layer), .min = 0, .max = 511, .initial = "the middle one",
      .help = "layer to measure, from 0" },
    { .kind = CLI_TEXT, .names = "--lengths", .arg = "LIST", .offset = AT(lengths), .initial = "4096,8192,16384,32768",
      .help = "tokens" },
    { .kind = CLI_INT, .names = "-r, --repetitions", .arg = "N", .offset = AT(repetitions), .min = 1, .max = 1000,
      .help = "runs of each selector; the median counts" },

    { .kind = CLI_HEADING, .help = "Engine" },
    { .kind = CLI_ROWS, .rows = engine_rows, .offset = AT(engine) },

    { .kind = CLI_HEADING, .help = "Output" },
    { .kind = CLI_FLAG, .names = "--json", .offset = AT(json), .help = "print one JSON document in place of the table" },
    { .kind = CLI_FLAG, .names = "--csv", .offset = AT(csv), .help = "print comma-separated values in place of the table" },
    { 0 },
};

static const struct cli cli = {
    .usage = "attn -m MODEL [-f FILE] [options]",
    .about = "Times the attention of one layer while prefilling, for several lengths. --attn takes a list of selectors here, all\n"
             "by default; dense attention, which they are compared with, is always measured. Per line: median milliseconds of\n"
             "attention and of the selection, the selection's share of both, the density (chosen part of the causal blocks),\n"
             "how many times faster both are than dense attention, the rate of attention in GFLOP/s, counting density * 2 *\n"
             "heads * head size * tokens^2, and its share of what multiply-adds on registers alone reach in the same run.\n",
    .examples = "  prism-bench attn -m model.gguf -f book.txt --layer 12 --attn prism,streaming\n"
                "  prism-bench attn -m model.gguf -f book.txt --lengths 16384 --attn prism --prism-block 128 --csv\n",
    .rows = rows,
};

/* A selector: what it is run with, and its times at the present length. */
struct subject {
    const char *name;
    prism_context *ctx;
    struct prism_plan plan;
    double *attention_ms, *select_ms, *both_ms; /* [repetitions] */
    double density;
};

struct bench {
    const struct options *opt;
    prism_model *model;
    struct prism_model_info info;
    uint32_t layer;
    int32_t *text, *prompt; /* n_text tokens; as many as the longest length */
    size_t n_text, n_max;
    size_t lengths[MAX_LENGTHS], n_lengths;
    char *names;            /* what the subjects' names point into */
    struct subject subject[MAX_SUBJECTS];
    size_t n_subjects;
    struct bench_attn_result *results; /* [n_lengths][n_subjects] */
    size_t n_results;
    struct progress bar;
    double start_ms;
    size_t runs_done, runs_total; /* of the present length */
    double peak_gflops;           /* the better of two measurements, before and after its runs */
};

/* ---- lists ---- */

static int parse_lengths(struct bench *b)
{
    const char *text = b->opt->lengths;

    for (const char *p = text; *p;) {
        char *end;
        errno = 0;
        long n = strtol(p, &end, 10);
        if (end == p || errno || n < 32 || n > INT32_MAX || (*end && *end != ',') || b->n_lengths == MAX_LENGTHS)
            return process_error("--lengths %s: expected at most %d numbers of tokens from 32, as in 4096,8192", text, MAX_LENGTHS);
        b->lengths[b->n_lengths++] = (size_t)n;
        b->n_max = (size_t)n > b->n_max ? (size_t)n : b->n_max;
        p = *end ? end + 1 : end;
    }
    return b->n_lengths ? PROCESS_OK : process_error("--lengths: no length");
}

/* "prism,streaming"; dense comes first, named or not. */
static int parse_selectors(struct bench *b)
{
    const char *list = b->opt->engine.attention.selector;
    char *rest = b->names = strdup(list);

    if (!b->names)
        return process_error("out of memory");
    b->subject[b->n_subjects++].name = "dense";
    for (char *name; (name = strsep(&rest, ","));) {
        if (!strcmp(name, "dense"))
            continue;
        if (b->n_subjects == MAX_SUBJECTS)
            return process_error("--attn %s: more than %d selectors", list, MAX_SUBJECTS);
        b->subject[b->n_subjects++].name = name;
    }
    return PROCESS_OK;
}

/* ---- one length ---- */

/* Context parameters of a subject; says so in one line when its name is none. */
static int subject_params(const struct bench *b, const struct subject *s, size_t n, struct prism_context_params *params)
{
    struct engine_options engine = b->opt->engine;
    bool dense = !strcmp(s->name, "dense"), dense_below = n <= dense_below_limit;

    engine.attention.selector = dense && !dense_below ? "prism" : s->name;
    int status = engine_context_params(&engine, params);
    if (status != PROCESS_OK)
        return status;
    params->n_ctx = (uint32_t)n;
    for (uint32_t l = 0; dense_below && l < b->layer; l++)
        params->attention.dense_layers[l / 64] |= UINT64_C(1) << l % 64;
    if (dense)
        params->attention.dense_layers[b->layer / 64] |= UINT64_C(1) << b->layer % 64;
    return PROCESS_OK;
}

static int open_contexts(struct bench *b, size_t n)
{
    for (size_t i = 0; i < b->n_subjects; i++) {
        struct subject *s = &b->subject[i];
        struct prism_context_params params;
        int status = subject_params(b, s, n, &params);
        if (status != PROCESS_OK)
            return status;
        status = engine_open_context(b->model, &params, &s->plan, &s->ctx);
        if (status != PROCESS_OK)
            return status;
    }
    return PROCESS_OK;
}

static void close_contexts(struct bench *b)
{
    for (size_t i = 0; i < b->n_subjects; i++) {
        prism_context_free(b->subject[i].ctx);
        b->subject[i].ctx = NULL;
    }
}

static int on_progress(void *user, const struct prism_progress *p)
{
    struct bench *b = user;
    double part = p->total ? (double)p->done / (double)p->total : 0, done = (double)b->runs_done + part;

    progress_draw(&b->bar, "attn", done / (double)b->runs_total, b->runs_done * p->tokens_total + p->tokens_done,
                  b->runs_total * p->tokens_total, process_now_ms() - b->start_ms);
    return process_interrupted();
}

static int run_once(struct bench *b, struct subject *s, size_t n, size_t repetition)
{
    struct prism_error err = { 0 };
    struct prism_layer_stats layer;
    struct prism_prefill_params params = { .progress = on_progress, .progress_user = b, .n_layers = b->layer + 1 };

    prism_stats_reset(s->ctx);
    enum prism_status status = prism_prefill(s->ctx, b->prompt, n, &params, &err);
    if (status == PRISM_OK)
        status = prism_truncate(s->ctx, 0, &err);
    if (status == PRISM_E_CANCELLED)
        return PROCESS_INTERRUPTED;
    if (status != PRISM_OK)
        return engine_error(&err);
    prism_get_layer_stats(s->ctx, b->layer, &layer);
    s->attention_ms[repetition] = layer.attention_ms;
    s->select_ms[repetition] = layer.select_ms;
    s->both_ms[repetition] = layer.attention_ms + layer.select_ms;
    s->density = attention_layer_density(s->ctx, &b->info, b->layer);
    b->runs_done++;
    return PROCESS_OK;
}

static int ascending(const void *a, const void *b)
{
    double d = *(const double *)a - *(const double *)b;
    return (d > 0) - (d < 0);
}

static double median(double *x, size_t n)
{
    qsort(x, n, sizeof *x, ascending);
    return (x[(n - 1) / 2] + x[n / 2]) / 2;
}

static double peak_gflops(const struct bench *b) { return prism_peak_gops(b->subject[0].ctx, b->subject[0].plan.attention_type); }

static void conclude(struct bench *b, size_t n)
{
    size_t reps = (size_t)b->opt->repetitions;
    double dense_ms = median(b->subject[0].both_ms, reps);

    for (size_t i = 0; i < b->n_subjects; i++) {
        struct subject *s = &b->subject[i];
        double attention = median(s->attention_ms, reps);
        double ops = s->density * 2 * b->info.n_head * b->info.head_dim * (double)n * (double)n;
        b->results[b->n_results++] = (struct bench_attn_result){
            .n_tokens = n, .selector = s->name, .block = s->plan.block, .attention_ms = attention,
            .select_ms = median(s->select_ms, reps), .density = s->density, .speedup = dense_ms / median(s->both_ms, reps),
            .gflops = 1e-6 * ops / attention, .peak_gflops = b->peak_gflops,
        };
    }
}

/* ---- the whole ---- */

static int prepare_text(struct bench *b)
{
    struct text text;
    int status = text_read_or(b->opt->file, "no text: use -f FILE or standard input (see --help)", &text);

    if (status != PROCESS_OK)
        return status;
    status = engine_tokenize(b->model, text.bytes, text.len, PRISM_ADD_BOS, &b->text, &b->n_text);
    free(text.bytes);
    if (status != PROCESS_OK)
        return status;
    if (b->n_text == 0)
        return process_error("the text is empty");
    b->prompt = malloc(b->n_max * sizeof *b->prompt);
    for (size_t i = 0; b->prompt && i < b->n_max; i++)
        b->prompt[i] = b->text[i % b->n_text];
    return b->prompt ? PROCESS_OK : process_error("out of memory");
}

static int prepare(struct bench *b)
{
    size_t reps = (size_t)b->opt->repetitions;
    struct prism_context_params params;

    if (b->opt->json && b->opt->csv)
        return process_error("--json and --csv: give one of the two flags");
    int status = parse_lengths(b);
    if (status == PROCESS_OK)
        status = parse_selectors(b);
    for (size_t i = 0; status == PROCESS_OK && i < b->n_subjects; i++)
        status = subject_params(b, &b->subject[i], 1, &params); /* a wrong flag is known at once */
    if (status == PROCESS_OK)
        status = engine_load(&b->opt->engine, false, &b->model);
    if (status != PROCESS_OK)
        return status;
    prism_model_info(b->model, &b->info);
    b->layer = b->opt->layer < 0 ? b->info.n_layer / 2 : (uint32_t)b->opt->layer;
    if (b->layer >= b->info.n_layer)
        return process_error("--layer %u: expected 0..%u, the model has %u layers", b->layer, b->info.n_layer - 1, b->info.n_layer);
    if (b->n_max > b->info.n_ctx_train)
        process_warning("%zu tokens are more than the %u that the model was trained for", b->n_max, b->info.n_ctx_train);
    b->results = malloc(b->n_lengths * b->n_subjects * sizeof *b->results);
    for (size_t i = 0; i < b->n_subjects; i++) {
        struct subject *s = &b->subject[i];
        s->attention_ms = malloc(3 * reps * sizeof *s->attention_ms);
        if (!s->attention_ms || !b->results)
            return process_error("out of memory");
        s->select_ms = s->attention_ms + reps;
        s->both_ms = s->select_ms + reps;
    }
    return prepare_text(b);
}

static int measure_length(struct bench *b, size_t n)
{
    size_t reps = (size_t)b->opt->repetitions;
    int status = open_contexts(b, n);

    b->start_ms = process_now_ms();
    b->runs_done = 0;
    b->runs_total = reps * b->n_subjects;
    b->peak_gflops = status == PROCESS_OK ? peak_gflops(b) : 0;
    for (size_t r = 0; r < reps; r++)
        for (size_t i = 0; i < b->n_subjects && status == PROCESS_OK; i++)
            status = run_once(b, &b->subject[i], n, r);
    if (status == PROCESS_OK) {
        b->peak_gflops = fmax(b->peak_gflops, peak_gflops(b));
        conclude(b, n);
    }
    close_contexts(b);
    progress_erase(&b->bar);
    return status;
}

/* What the output says about all results; valid while the first subject's context has been open. */
static struct bench_attn_facts facts(const struct bench *b)
{
    return (struct bench_attn_facts){ .info = &b->info, .plan = &b->subject[0].plan, .layer = b->layer, .n_text = b->n_text,
                                      .repetitions = b->opt->repetitions, .dense_below = dense_below_limit };
}

static int measure(struct bench *b)
{
    bool table = !b->opt->json && !b->opt->csv;
    int status = PROCESS_OK;

    b->bar = progress_start();
    for (size_t i = 0; i < b->n_lengths && status == PROCESS_OK; i++) {
        status = measure_length(b, b->lengths[i]);
        if (status == PROCESS_INTERRUPTED)
            return process_report_interrupt("while measuring");
        if (status == PROCESS_OK && table) {
            const struct bench_attn_facts f = facts(b);
            if (i == 0)
                bench_attn_head(&f);
            bench_attn_table(&f, b->results + i * b->n_subjects, b->n_subjects);
            status = process_flush_stdout();
        }
    }
    if (status != PROCESS_OK || table)
        return status;
    const struct bench_attn_facts f = facts(b);
    (b->opt->json ? bench_attn_json : bench_attn_csv)(&f, b->results, b->n_results);
    return process_flush_stdout();
}

int bench_attn(int argc, char **argv)
{
    struct options opt = { .engine = engine_defaults, .lengths = "4096,8192,16384,32768", .layer = -1, .repetitions = 3 };
    struct bench b = { .opt = &opt };
    char selectors[256] = "dense";

    for (int i = 0; i < prism_selector_count(); i++)
        snprintf(selectors + strlen(selectors), sizeof selectors - strlen(selectors), ",%s", prism_selector_name(i));
    opt.engine.attention.selector = selectors;
    int status = cli_parse(&cli, &opt, argc, argv);
    if (status >= 0)
        return status;
    status = prepare(&b);
    if (status == PROCESS_OK)
        status = measure(&b);
    for (size_t i = 0; i < b.n_subjects; i++)
        free(b.subject[i].attention_ms);
    free(b.results);
    free(b.prompt);
    free(b.text);
    free(b.names);
    prism_model_free(b.model);
    return status;
}
