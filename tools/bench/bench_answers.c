/* bench_answers.c - prism-bench answers: how many answers in the middle of documents survive a selector of key blocks.
 *
 * Every document is prefilled once with each selector; all rows are judged, so no dense tail hides what a selector drops. Selectors take
 * turns within a document, so that a change of the machine's speed meets them all. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/bench.h"
#include "tools/bench/bench_answers_out.h"
#include "tools/common/engine.h"
#include "tools/common/process.h"
#include "tools/common/progress.h"

enum { MAX_LENGTHS = 8, MAX_SUBJECTS = 24, LOGITS_ROWS = 256 };

struct options {
    struct engine_options engine;
    const char *tasks, *lengths, *output;
    bool json, csv;
};

#define AT(field) offsetof(struct options, field)

static const struct cli_option rows[] = {
    { .kind = CLI_HEADING, .help = "Measurement" },
    { .kind = CLI_TEXT, .names = "-f, --tasks", .arg = "FOLDER", .offset = AT(tasks), .help = "documents and list.txt" },
    { .kind = CLI_TEXT, .names = "--lengths", .arg = "LIST", .offset = AT(lengths), .initial = "all", .help = "lengths of the list to run" },

    { .kind = CLI_HEADING, .help = "Engine" },
    { .kind = CLI_ROWS, .rows = engine_rows, .offset = AT(engine) },

    { .kind = CLI_HEADING, .help = "Output" },
    { .kind = CLI_FLAG, .names = "--json", .offset = AT(json), .help = "print one JSON document in place of the table" },
    { .kind = CLI_FLAG, .names = "--csv", .offset = AT(csv), .help = "print comma-separated values in place of the table" },
    { .kind = CLI_TEXT, .names = "-o, --output", .arg = "FILE.png", .offset = AT(output), .initial = "",
      .help = "also draw answers against density" },
    { 0 },
};

static const struct cli cli = {
    .usage = "answers -m MODEL [-f FOLDER] [options]",
    .about = "Counts the answers inside documents that a prefill gets right, by kind of question and by distance of the fact, with\n"
             "dense attention and with selectors of key blocks. --attn takes a list; NAME@X sets the number that decides a\n"
             "selector's density: --prism-p (prism, meanpool), --prism-t (prism-rows), --xattn-threshold, --flex-gamma, --stream-window, --vs-slash.\n"
             "Density: chosen part of the causal blocks. Speedup: of attention with the selection, over dense.\n",
    .examples = "  prism-bench answers -m models/gutenberg-tasks-52m-q8_0.gguf --lengths 8192 --attn prism@0.95,prism@0.98,xattention@0.95\n"
                "  prism-bench answers -m models/gutenberg-tasks-52m-q8_0.gguf --prism-dense-tail 0 --csv -o answers.png\n",
    .rows = rows,
};

struct subject {
    const char *label;
    char name[32];
    double knob; /* NaN: the flags' own */
    prism_context *ctx;
    struct prism_plan plan;
};

struct bench {
    const struct options *opt;
    prism_model *model;
    struct prism_model_info info;
    struct answers tasks;
    uint32_t lengths[MAX_LENGTHS];
    size_t n_lengths;
    char *list; /* what the labels point into */
    struct subject subject[MAX_SUBJECTS];
    size_t n_subjects;
    struct answers_result *results; /* [n_lengths][n_subjects] */
    int32_t *best;                  /* [rows of the longest document] */
    struct progress bar;
    double start_ms;
    size_t tokens_done, tokens_total;
    const char *running;
};

/* ---- what to run ---- */

static int parse_subjects(struct bench *b)
{
    char *rest = b->list = strdup(b->opt->engine.attention.selector);

    if (!b->list)
        return process_error("out of memory");
    b->subject[b->n_subjects++] = (struct subject){ .label = "dense", .name = "dense", .knob = NAN };
    for (char *label; (label = strsep(&rest, ","));) {
        struct subject s = { .label = label, .knob = NAN };
        const char *at = strchr(label, '@');
        char *end;
        if (!strcmp(label, "dense"))
            continue;
        if (b->n_subjects == MAX_SUBJECTS)
            return process_error("--attn: more than %d selectors", MAX_SUBJECTS);
        snprintf(s.name, sizeof s.name, "%.*s", (int)(at ? (size_t)(at - label) : strlen(label)), label);
        if (at) {
            s.knob = strtod(at + 1, &end);
            if (end == at + 1 || *end || !(s.knob > 0))
                return process_error("--attn %s: expected a number above 0 behind the @", label);
        }
        b->subject[b->n_subjects++] = s;
    }
    return PROCESS_OK;
}

/* The number that decides the density of a selector. */
static bool set_knob(struct attention_options *a, const struct subject *s)
{
    if (!strcmp(s->name, "prism") || !strcmp(s->name, "meanpool") || !strcmp(s->name, "auto"))
        a->p = s->knob;
    else if (!strcmp(s->name, "prism-rows"))
        a->row_mass = s->knob;
    else if (!strcmp(s->name, "xattention"))
        a->threshold = s->knob;
    else if (!strcmp(s->name, "flexprefill"))
        a->gamma = s->knob;
    else if (!strcmp(s->name, "streaming"))
        a->window = (int64_t)s->knob;
    else if (!strcmp(s->name, "vertical-slash"))
        a->slash = (int64_t)s->knob;
    else
        return false;
    return true;
}

static int subject_params(const struct bench *b, const struct subject *s, uint32_t n_ctx, struct prism_context_params *params)
{
    struct engine_options engine = b->opt->engine;

    engine.attention.selector = s->name;
    if (!isnan(s->knob) && !set_knob(&engine.attention, s))
        return process_error("--attn %s: %s takes no number", s->label, s->name);
    int status = engine_context_params(&engine, params);
    params->n_ctx = n_ctx;
    params->logits_rows = LOGITS_ROWS;
    return status;
}

static int compare_lengths(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static int parse_lengths(struct bench *b)
{
    for (const char *p = b->opt->lengths; p && *p;) {
        char *end;
        errno = 0;
        long n = strtol(p, &end, 10);
        if (end == p || errno || n < 1 || n > INT32_MAX || (*end && *end != ',') || b->n_lengths == MAX_LENGTHS)
            return process_error("--lengths %s: expected at most %d numbers of tokens, as in 8192,16384", b->opt->lengths, MAX_LENGTHS);
        b->lengths[b->n_lengths++] = (uint32_t)n;
        p = *end ? end + 1 : end;
    }
    return PROCESS_OK;
}

/* The lengths that the documents have, ascending. */
static int collect_lengths(struct bench *b)
{
    b->n_lengths = 0;
    for (size_t d = 0; d < b->tasks.n_documents; d++) {
        size_t i = 0;
        while (i < b->n_lengths && b->lengths[i] != b->tasks.documents[d].length)
            i++;
        if (i == MAX_LENGTHS)
            return process_error("%s: more than %d lengths: choose with --lengths", b->opt->tasks, MAX_LENGTHS);
        if (i == b->n_lengths)
            b->lengths[b->n_lengths++] = b->tasks.documents[d].length;
    }
    qsort(b->lengths, b->n_lengths, sizeof *b->lengths, compare_lengths);
    return PROCESS_OK;
}

/* ---- running ---- */

static void keep_best(void *user, size_t row, size_t n_rows, const float *logits)
{
    const struct bench *b = user;
    size_t n_vocab = b->info.n_vocab;

    for (size_t r = 0; r < n_rows; r++, logits += n_vocab) {
        struct prism_sampling greedy = { .temp = 0 };
        b->best[row + r] = prism_sample(&greedy, logits, n_vocab, NULL);
    }
}

static int on_progress(void *user, const struct prism_progress *p)
{
    struct bench *b = user;
    size_t done = b->tokens_done + p->tokens_done;

    progress_draw(&b->bar, b->running, (double)done / (double)b->tokens_total, done, b->tokens_total, process_now_ms() - b->start_ms);
    return process_interrupted();
}

static void judge(struct answers_result *r, const struct answers_document *d, const int32_t *best)
{
    for (size_t i = 0; i < d->n_answers; i++) {
        const struct answer *a = &d->answers[i];
        bool right = answers_right(d, a, best);
        r->total++, r->kind_total[a->kind]++, r->distance_total[a->distance]++;
        r->right += right, r->kind_right[a->kind] += right, r->distance_right[a->distance] += right;
    }
    r->n_documents++;
}

static int run_once(struct bench *b, struct subject *s, const struct answers_document *d, struct answers_result *r)
{
    struct prism_error err = { 0 };
    struct prism_stats stats;
    struct prism_prefill_params params = { .progress = on_progress, .progress_user = b, .logits = keep_best, .logits_user = b,
                                           .logits_from = d->first_row };

    b->running = s->label;
    prism_stats_reset(s->ctx);
    enum prism_status status = prism_prefill(s->ctx, d->tokens, d->n_tokens, &params, &err);
    if (status == PRISM_OK)
        status = prism_truncate(s->ctx, 0, &err);
    if (status == PRISM_E_CANCELLED)
        return PROCESS_INTERRUPTED;
    if (status != PRISM_OK)
        return process_error("%s: %s", d->file, err.text);
    b->tokens_done += d->n_tokens;
    /* Rows of the callback count from the start of the call. */
    judge(r, d, b->best);
    prism_get_stats(s->ctx, &stats);
    r->attention_ms += stats.attention_ms, r->select_ms += stats.select_ms, r->prefill_ms += stats.prefill_ms;
    for (uint32_t l = 0; l < b->info.n_layer; l++)
        for (uint32_t h = 0; h < b->info.n_head; h++) {
            struct prism_head_stats head;
            if (prism_get_head_stats(s->ctx, l, h, &head))
                r->chosen_blocks += head.chosen_blocks, r->causal_blocks += head.causal_blocks;
        }
    return PROCESS_OK;
}

static int measure_length(struct bench *b, size_t index)
{
    struct answers_result *results = b->results + index * b->n_subjects;
    size_t longest = 0;
    int status = PROCESS_OK;

    b->tokens_done = b->tokens_total = 0;
    for (size_t d = 0; d < b->tasks.n_documents; d++)
        if (b->tasks.documents[d].length == b->lengths[index]) {
            longest = b->tasks.documents[d].n_tokens > longest ? b->tasks.documents[d].n_tokens : longest;
            b->tokens_total += b->tasks.documents[d].n_tokens * b->n_subjects;
        }
    for (size_t i = 0; i < b->n_subjects && status == PROCESS_OK; i++) {
        struct subject *s = &b->subject[i];
        struct prism_context_params params;
        results[i] = (struct answers_result){ .subject = s->label, .length = b->lengths[index] };
        status = subject_params(b, s, (uint32_t)longest, &params);
        if (status == PROCESS_OK)
            status = engine_open_context(b->model, &params, &s->plan, &s->ctx);
    }
    b->start_ms = process_now_ms();
    for (size_t d = 0; d < b->tasks.n_documents && status == PROCESS_OK; d++)
        for (size_t i = 0; i < b->n_subjects && status == PROCESS_OK && b->tasks.documents[d].length == b->lengths[index]; i++)
            status = run_once(b, &b->subject[i], &b->tasks.documents[d], &results[i]);
    for (size_t i = 0; i < b->n_subjects; i++) {
        prism_context_free(b->subject[i].ctx);
        b->subject[i].ctx = NULL;
    }
    progress_erase(&b->bar);
    return status;
}

static int prepare(struct bench *b)
{
    struct prism_context_params params;

    if (b->opt->json && b->opt->csv)
        return process_error("--json and --csv: give one of the two flags");
    int status = parse_lengths(b);
    if (status == PROCESS_OK)
        status = parse_subjects(b);
    for (size_t i = 0; status == PROCESS_OK && i < b->n_subjects; i++)
        status = subject_params(b, &b->subject[i], 1, &params); /* a wrong flag is known at once */
    if (status == PROCESS_OK)
        status = engine_load(&b->opt->engine, false, &b->model);
    if (status == PROCESS_OK)
        status = answers_read(&b->tasks, b->opt->tasks, b->model, b->lengths, b->n_lengths);
    if (status == PROCESS_OK)
        status = collect_lengths(b);
    if (status != PROCESS_OK)
        return status;
    prism_model_info(b->model, &b->info);
    size_t longest = 0;
    for (size_t d = 0; d < b->tasks.n_documents; d++)
        longest = b->tasks.documents[d].n_tokens > longest ? b->tasks.documents[d].n_tokens : longest;
    b->best = malloc(longest * sizeof *b->best);
    b->results = calloc(b->n_lengths * b->n_subjects, sizeof *b->results);
    return b->best && b->results ? PROCESS_OK : process_error("out of memory");
}

static int measure(struct bench *b)
{
    bool table = !b->opt->json && !b->opt->csv;
    int status = PROCESS_OK;
    struct answers_results r = { &b->tasks, &b->info, &b->subject[0].plan, b->results, b->n_lengths, b->n_subjects };

    b->bar = progress_start();
    for (size_t i = 0; i < b->n_lengths && status == PROCESS_OK; i++) {
        status = measure_length(b, i);
        if (status == PROCESS_INTERRUPTED)
            return process_report_interrupt("while measuring");
        if (status == PROCESS_OK && table) {
            if (i == 0)
                answers_head(&r);
            answers_table(&r, i);
            status = process_flush_stdout();
        }
    }
    if (status == PROCESS_OK && !table) {
        (b->opt->json ? answers_json : answers_csv)(&r);
        status = process_flush_stdout();
    }
    return status == PROCESS_OK && b->opt->output ? answers_draw(&r, b->opt->output) : status;
}

int bench_answers(int argc, char **argv)
{
    struct options opt = { .engine = engine_defaults, .tasks = "models/tasks" };
    struct bench b = { .opt = &opt };

    opt.engine.attention.selector = "prism";
    int status = cli_parse(&cli, &opt, argc, argv);
    if (status >= 0)
        return status;
    status = prepare(&b);
    if (status == PROCESS_OK)
        status = measure(&b);
    answers_free(&b.tasks);
    free(b.results);
    free(b.best);
    free(b.list);
    prism_model_free(b.model);
    return status;
}
