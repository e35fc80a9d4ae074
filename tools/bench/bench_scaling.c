/* bench_scaling.c - prism-bench scaling: how much of a team's time a layer leaves idle, for any number of threads.
 *
 * Modelled by the functions that the engine splits its phases with (tools/bench/scaling.h), with costs measured here on one thread. With a
 * model, the engine itself prefills one layer on one and on two threads, beside what the model says of that. */
#include "tools/bench/bench_scaling.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "prism/prism.h"
#include "src/engine/context.h"
#include "src/engine/layer.h"
#include "src/engine/split.h"
#include "tools/bench/bench.h"
#include "tools/bench/bench_list.h"
#include "tools/common/cli.h"
#include "tools/common/engine.h"
#include "tools/common/process.h"
#include "tools/model/make_model.h"
#include "tools/model/shapes.h"

enum { CHECK_THREADS = 2, CHECK_ROUNDS = 7 };

struct options {
    struct engine_options engine; /* --model and --cpu-level alone */
    const char *shape, *type;
    int64_t n_prompt;
    struct bench_list threads;
    bool json, csv;
};

#define AT(field) offsetof(struct options, field)

static const struct cli_option rows[] = {
    { .kind = CLI_HEADING, .help = "What is modelled" },
    { .kind = CLI_TEXT, .names = "--shape", .arg = "NAME", .offset = AT(shape), .help = "sizes of a public model: `make-model --list`" },
    { .kind = CLI_TEXT, .names = "--type", .arg = "TYPE", .offset = AT(type), .help = "of its matrices, as in make-model" },
    { .kind = CLI_TEXT, .names = "-m, --model", .arg = "FILE", .offset = AT(engine.model),
      .help = "the first layer of this GGUF model instead, which\nis also run, on one thread and on two" },
    { .kind = CLI_INT, .names = "-p, --n-prompt", .arg = "N", .offset = AT(n_prompt), .min = 32, .max = 1048576, .help = "tokens of the prompt" },
    { .kind = CLI_EACH, .names = "-t, --threads", .arg = "N", .offset = AT(threads), .take = bench_take_numbers, .min = 1,
      .max = PRISM_MAX_THREADS, .initial = "1-128*2", .help = "numbers of threads: 1,2,8, ranges, 1-4, 16-64+16, 1-8*2" },
    { .kind = CLI_TEXT, .names = "--cpu-level", .arg = "NAME", .offset = AT(engine.cpu_level), .initial = "best of this machine",
      .help = "kernels to use: generic, avx2, ...;\nan unknown name lists them" },

    { .kind = CLI_HEADING, .help = "Output" },
    { .kind = CLI_FLAG, .names = "--json", .offset = AT(json), .help = "print one JSON document in place of the table" },
    { .kind = CLI_FLAG, .names = "--csv", .offset = AT(csv), .help = "print comma-separated values in place of the table" },
    { 0 },
};

static const struct cli cli = {
    .usage = "scaling [--shape NAME --type TYPE | -m MODEL] [options]",
    .about = "Models a layer of a prefill with dense attention on many threads: the jobs that the engine would split each phase\n"
             "into, with the cost that their kernels have here on one thread, handed out in order to the thread that is free first.\n"
             "Per phase: its jobs, its part of one thread's time, and the part of the threads' time that is idle because there\n"
             "are too few jobs or the last ones are long. Memory and caches that threads share are not modelled.\n"
             "Exit status: 0 success, 1 error, 130 interrupted.\n",
    .examples = "  prism-bench scaling\n"
                "  prism-bench scaling --shape qwen3-0.6b --type Q4_K -p 512 -t 1-32\n"
                "  prism-bench scaling -m model.gguf -p 4096 --csv\n",
    .rows = rows,
};

/* ---- the subject ---- */

/* The kinds that compute auto takes. */
static void set_kinds(struct bench_scaling_subject *s)
{
    struct scaling_layer *l = &s->layer;

    for (int m = 0; m < SCALING_MATRICES; m++) {
        bool fine = m == SCALING_K || m == SCALING_V || m == SCALING_DOWN;
        int beside = m == SCALING_DOWN ? SCALING_GATE : SCALING_Q;
        size_t k = m == SCALING_O ? l->n_head * l->head_dim : m == SCALING_DOWN ? l->n_ff : l->n_embd;
        const struct prism_linear *kind = fine ? prism_fine_kind(s->kernels, s->type[m], s->type[beside]) : s->kernels->linear_auto[s->type[m]];
        l->kind[m] = k % kind->k_step ? s->kernels->linear_f32 : kind;
    }
    l->attention = s->kernels->attention_auto;
    l->block = PRISM_DENSE_BLOCK;
}

static int subject_of_shape(const struct options *opt, struct bench_scaling_subject *s)
{
    const struct shape *shape = shape_find(opt->shape);
    struct make_type type;

    if (!shape)
        return process_error("--shape %s: make-model --list has the names", opt->shape);
    if (shape->n_expert || shape->n_value_state)
        return process_error("--shape %s: layers with attention and a dense FFN are modelled, no others", opt->shape);
    int status = make_find_type(opt->type, &type);
    if (status != PROCESS_OK)
        return status;
    if (type.mix != MAKE_ONE)
        return process_error("--type %s: expected one type", opt->type);
    s->name = shape->name;
    s->layer.n_embd = shape->n_embd;
    s->layer.n_head = shape->n_head;
    s->layer.n_head_kv = shape->n_head_kv;
    s->layer.head_dim = shape->head_dim;
    s->layer.n_ff = shape->n_ff;
    for (int m = 0; m < SCALING_MATRICES; m++)
        s->type[m] = type.type;
    return PROCESS_OK;
}

static int subject_of_model(const struct options *opt, const prism_model *model, struct bench_scaling_subject *s)
{
    const struct prism_layer *l = &model->layers[0];
    const struct prism_ffn *f = &l->ffn.dense;

    if (prism_is_delta(l) || l->ffn.experts.n || !f->gate.data || l->attn.gated || !l->attn.v.data || l->attn.window)
        return process_error("%s: layers with ordinary attention and a dense gated FFN are modelled, no others", opt->engine.model);
    s->name = opt->engine.model;
    s->layer.n_embd = model->n_embd;
    s->layer.n_head = l->attn.n_head;
    s->layer.n_head_kv = l->attn.n_head_kv;
    s->layer.head_dim = l->attn.head_dim;
    s->layer.n_ff = f->width;
    const enum prism_type types[SCALING_MATRICES] = { l->attn.q.type, l->attn.k.type, l->attn.v.type, l->attn.o.type, f->gate.type, f->down.type };
    for (int m = 0; m < SCALING_MATRICES; m++)
        s->type[m] = types[m];
    return PROCESS_OK;
}

/* ---- the check ---- */

/* Prefills one layer on an empty context, and says how long its parts took. */
static int run_layer(prism_context *ctx, const int32_t *tokens, size_t n, size_t n_threads, double ms[BENCH_SCALING_PARTS])
{
    struct prism_stats before, after;
    struct timespec from, to;
    struct prism_error err;
    const struct prism_prefill_params params = { .n_layers = 1 };

    prism_get_stats(ctx, &before);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    if (prism_truncate(ctx, 0, &err) || prism_prefill(ctx, tokens, n, &params, &err))
        return engine_error(&err);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    prism_get_stats(ctx, &after);
    ms[BENCH_SCALING_PROCESSOR] = ((double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6) / (double)n_threads;
    ms[BENCH_SCALING_LINEAR] = after.linear_ms - before.linear_ms;
    ms[BENCH_SCALING_ATTENTION] = after.attention_ms - before.attention_ms;
    ms[BENCH_SCALING_OTHER] = after.other_ms - before.other_ms;
    return PROCESS_OK;
}

/* The best of a few rounds, which take turns. */
static int measure(prism_context *const *ctx, const int32_t *tokens, size_t n, struct bench_scaling_check *check)
{
    for (int round = 0; round < CHECK_ROUNDS; round++)
        for (int t = 0; t < CHECK_THREADS; t++) {
            double ms[BENCH_SCALING_PARTS] = { 0 };
            if (process_interrupted())
                return process_report_interrupt("while measuring");
            int status = run_layer(ctx[t], tokens, n, (size_t)t + 1, ms);
            if (status != PROCESS_OK)
                return status;
            for (int p = 0; p < BENCH_SCALING_PARTS; p++)
                check[t].measured[p] = round == 0 || ms[p] < check[t].measured[p] ? ms[p] : check[t].measured[p];
        }
    return PROCESS_OK;
}

static void model_check(const struct bench_scaling_subject *s, struct bench_scaling_check *check)
{
    struct scaling time;

    scaling_model(&s->layer, check->n_threads, &time);
    check->modelled[BENCH_SCALING_PROCESSOR] = time.total.span / 1e6;
    for (int i = 0; i < SCALING_PHASES; i++) {
        enum bench_scaling_part part = i == SCALING_PACK_KV || i == SCALING_TILES ? BENCH_SCALING_ATTENTION
            : i == SCALING_QKV || i == SCALING_OUT || i == SCALING_GATE_UP || i == SCALING_DOWN_OUT ? BENCH_SCALING_LINEAR
            : BENCH_SCALING_OTHER;
        check->modelled[part] += time.phase[i].span / 1e6;
    }
}

static int check_model(const struct options *opt, const prism_model *model, const struct bench_scaling_subject *s, struct bench_scaling_check *check)
{
    size_t n = (size_t)opt->n_prompt;
    int32_t *tokens = malloc(n * sizeof *tokens);
    prism_context *ctx[CHECK_THREADS] = { NULL };
    struct prism_context_params params;
    struct prism_plan plan;
    int status = tokens ? engine_context_params(&opt->engine, &params) : process_error("out of memory");

    for (size_t i = 0; tokens && i < n; i++)
        tokens[i] = (int32_t)(i * 7919 % model->n_vocab);
    params.n_ctx = (uint32_t)n;
    params.attention.selector = "dense";
    for (uint32_t t = 0; t < CHECK_THREADS && status == PROCESS_OK; t++) {
        check[t] = (struct bench_scaling_check){ .n_threads = t + 1 };
        params.n_threads = t + 1;
        status = engine_open_context(model, &params, &plan, &ctx[t]);
        model_check(s, &check[t]);
    }
    if (status == PROCESS_OK)
        status = measure(ctx, tokens, n, check);
    for (int t = 0; t < CHECK_THREADS; t++)
        prism_context_free(ctx[t]);
    free(tokens);
    return status;
}

/* ---- the command ---- */

static int run(const struct options *opt, const prism_model *model, struct bench_scaling_subject *s)
{
    size_t n = opt->threads.n, *n_threads = calloc(n, sizeof *n_threads);
    struct scaling *time = calloc(n, sizeof *time);
    struct bench_scaling_check check[CHECK_THREADS];
    struct scaling one = { 0 };
    int status = n_threads && time ? bench_scaling_costs(s) : process_error("out of memory");

    if (status == PROCESS_OK)
        scaling_model(&s->layer, 1, &one);
    for (size_t i = 0; i < n && status == PROCESS_OK; i++) {
        n_threads[i] = strtoul(opt->threads.value[i], NULL, 10);
        scaling_model(&s->layer, n_threads[i], &time[i]);
    }
    if (status == PROCESS_OK && model)
        status = check_model(opt, model, s, check);
    if (status == PROCESS_OK) {
        const struct bench_scaling_results r = { s, n, n_threads, &one, time, model ? CHECK_THREADS : 0, check };
        (opt->json ? bench_scaling_json : opt->csv ? bench_scaling_csv : bench_scaling_table)(&r);
        status = process_flush_stdout();
    }
    free(n_threads);
    free(time);
    return status;
}

int bench_scaling(int argc, char **argv)
{
    struct options opt = { .engine = engine_defaults, .shape = "llama-3.1-8b", .type = "Q8_0", .n_prompt = 4096 };
    struct bench_scaling_subject s = { 0 };
    struct prism_context_params params;
    prism_model *model = NULL;

    int status = cli_parse(&cli, &opt, argc, argv);
    if (status < 0) {
        status = PROCESS_OK;
        if (!opt.threads.n && bench_take_numbers(&(struct cli_option){ .min = 1, .max = PRISM_MAX_THREADS }, "-t", "1-128*2", &opt.threads) >= 0)
            status = process_error("out of memory");
        else if (opt.json && opt.csv)
            status = process_error("--json and --csv: give one of the two flags");
        if (status == PROCESS_OK)
            status = engine_context_params(&opt.engine, &params);
        if (status == PROCESS_OK && opt.engine.model)
            status = engine_load(&opt.engine, false, &model);
        if (status == PROCESS_OK)
            status = model ? subject_of_model(&opt, model, &s) : subject_of_shape(&opt, &s);
        if (status == PROCESS_OK) {
            int level = params.level ? prism_level_at(params.level - 1) : (int)prism_level_best();
            s.kernels = prism_kernels_by_level[level];
            s.layer.n_tokens = (size_t)opt.n_prompt;
            set_kinds(&s);
            status = run(&opt, model, &s);
        }
    }
    prism_model_free(model);
    bench_list_free(&opt.threads);
    return status;
}
