/* prism-run - feed a prompt to a GGUF model, fast, and print the continuation.
 *
 * Owns: the command line and what goes to stdout and stderr. The engine is behind prism/prism.h, the generation loop in
 * tools/common/generate.h. Flags mean what they mean in llama.cpp's llama-completion. stdout carries text (or one JSON
 * document), everything else goes to stderr; exit status 0 is success, 1 an error (one line on stderr), 130 a Ctrl-C. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "prism/prism.h"
#include "tools/common/attn_map.h"
#include "tools/common/cli.h"
#include "tools/common/engine.h"
#include "tools/common/generate.h"
#include "tools/common/json.h"
#include "tools/common/process.h"
#include "tools/common/progress.h"
#include "tools/common/text.h"

enum escapes { ESCAPES_PROMPT, ESCAPES_ALL, ESCAPES_NONE }; /* where \n and its like are expanded */

struct options {
    struct engine_options engine;
    const char *prompt, *file, *attn_map;
    int escapes, display_prompt;
    int64_t n_predict, n_ctx, seed, top_k;
    double temp, top_p, min_p;
    bool ignore_eos, info, kernels, tokenize, json, stats, check_tensors, verbose;
};

#define AT(field) offsetof(struct options, field)

static const struct cli_option rows[] = {
    { .kind = CLI_HEADING, .help = "Prompt" },
    { .kind = CLI_TEXT, .names = "-p, --prompt", .arg = "TEXT", .offset = AT(prompt), .initial = "", .help = "the prompt" },
    { .kind = CLI_TEXT, .names = "-f, --file", .arg = "FILE", .offset = AT(file), .initial = "-",
      .help = "the prompt is in FILE, any bytes, less one newline at\nits end; \"-\" is standard input" },
    { .kind = CLI_SET, .names = "-e, --escape", .value = ESCAPES_ALL, .offset = AT(escapes),
      .help = "expand \\n \\r \\t \\' \\\" \\\\ \\xHH in every prompt\n(default: in -p only)" },
    { .kind = CLI_SET, .names = "--no-escape", .value = ESCAPES_NONE, .offset = AT(escapes), .help = "expand them nowhere" },
    { .kind = CLI_SET, .names = "--display-prompt", .value = 1, .offset = AT(display_prompt),
      .help = "print the prompt before its continuation" },
    { .kind = CLI_SET, .names = "--no-display-prompt", .value = 0, .offset = AT(display_prompt), .help = "do not (the default)" },

    { .kind = CLI_HEADING, .help = "Generation" },
    { .kind = CLI_INT, .names = "-n, --n-predict, --predict", .arg = "N", .offset = AT(n_predict), .min = -1, .max = INT32_MAX,
      .help = "tokens to generate; -1: until the model ends\nits text or the context is full" },
    { .kind = CLI_INT, .names = "-c, --ctx-size", .arg = "N", .offset = AT(n_ctx), .min = 0, .max = INT32_MAX,
      .initial = "0", .help = "tokens that the context holds; 0: what the prompt\nand -n need, at most the trained length" },
    { .kind = CLI_INT, .names = "-s, --seed", .arg = "N", .offset = AT(seed), .min = -1, .max = 9007199254740992.0,
      .initial = "-1, a new one each time", .help = "seed of the random numbers" },
    { .kind = CLI_REAL, .names = "--temp", .arg = "T", .offset = AT(temp), .min = -1, .max = 100,
      .help = "temperature; 0 or less: always the likeliest" },
    { .kind = CLI_INT, .names = "--top-k", .arg = "N", .offset = AT(top_k), .min = -1, .max = INT32_MAX,
      .help = "only the N likeliest tokens; 0: all" },
    { .kind = CLI_REAL, .names = "--top-p", .arg = "P", .offset = AT(top_p), .min = 0, .max = 1,
      .help = "only the likeliest that sum up to P; 1: all" },
    { .kind = CLI_REAL, .names = "--min-p", .arg = "P", .offset = AT(min_p), .min = 0, .max = 1,
      .help = "only those at least P times as likely as the\nlikeliest; 0: all" },
    { .kind = CLI_FLAG, .names = "--ignore-eos", .offset = AT(ignore_eos), .help = "never end the text before -n" },

    { .kind = CLI_HEADING, .help = "Engine" },
    { .kind = CLI_ROWS, .rows = engine_rows, .offset = AT(engine) },
    { .kind = CLI_FLAG, .names = "--check-tensors", .offset = AT(check_tensors),
      .help = "look for NaN and infinities in the weights" },

    { .kind = CLI_HEADING, .help = "Instead of generating" },
    { .kind = CLI_FLAG, .names = "--info", .offset = AT(info),
      .help = "print facts of the model and the memory plan\n(for -c, else the trained length)" },
    { .kind = CLI_FLAG, .names = "--kernels", .offset = AT(kernels), .help = "print the kernels of --cpu-level; no model needed" },
    { .kind = CLI_FLAG, .names = "--tokenize", .offset = AT(tokenize),
      .help = "print the prompt's token ids, without special\ntokens; a vocabulary-only model is enough" },

    { .kind = CLI_HEADING, .help = "Output" },
    { .kind = CLI_FLAG, .names = "--stats", .offset = AT(stats),
      .help = "print on stderr what attention computed: density\nand mass of every layer and head" },
    { .kind = CLI_TEXT, .names = "--attn-map", .arg = "FILE.png", .offset = AT(attn_map), .initial = "",
      .help = "draw the key blocks that attention chose, a panel for\nevery layer and head" },
    { .kind = CLI_FLAG, .names = "--json", .offset = AT(json), .help = "print one JSON document in place of the text" },
    { .kind = CLI_FLAG, .names = "-v, --verbose", .offset = AT(verbose), .help = "seed, memory and threads on stderr" },
    { 0 },
};

static const struct cli cli = {
    .usage = "-m MODEL [-p TEXT | -f FILE] [options]",
    .about = "Feeds a prompt to a GGUF model and prints the continuation. Special tokens in the prompt are\n"
             "recognised. Exit status: 0 success, 1 error, 130 interrupted.\n",
    .examples = "  prism-run -m model.gguf -f book.txt -n 200             continue a long text\n"
                "  prism-run -m model.gguf -p 'Once upon' --temp 0        the likeliest continuation\n"
                "  cat a.txt b.txt | prism-run -m model.gguf --json       from a pipe, result as JSON\n"
                "  prism-run -m model.gguf --info -c 32768                will it fit?\n",
    .rows = rows,
};

/* ---- one run ------------------------------------------------------------------------------------------------------ */

struct run {
    const struct options *opt;
    prism_model *model;
    prism_context *ctx;
    struct prism_model_info info;
    struct prism_plan plan;
    struct attn_map *map; /* NULL: none is asked for */
    struct text prompt;
    int32_t *tokens; /* of the prompt */
    size_t n_tokens;
    struct generation gen;
    uint64_t seed;
    double load_ms, tokenize_ms, prefill_ms;
    struct prism_stats after_prefill; /* a prompt of one token counts there as decode */
};

/* The prompt of -p, -f or standard input, escapes expanded. */
static int read_prompt(const struct options *opt, struct text *t)
{
    int status;

    if (opt->prompt && opt->file)
        return process_error("-p and -f: give one prompt");
    if (!opt->prompt && !opt->file && isatty(STDIN_FILENO))
        return process_error("no prompt: use -p TEXT, -f FILE or standard input (see --help)");
    if (opt->prompt) {
        status = text_copy(opt->prompt, t);
    } else {
        status = text_read(opt->file ? opt->file : "-", t);
        if (opt->file)
            text_drop_newline(t);
    }
    if (status == PROCESS_OK && (opt->escapes == ESCAPES_ALL || (opt->escapes == ESCAPES_PROMPT && opt->prompt)))
        text_unescape(t);
    return status;
}

/* Length of the context: -c, else what is needed up to the trained length. */
static int choose_context(const struct run *r, uint32_t *n_ctx)
{
    const struct options *opt = r->opt;
    uint64_t trained = r->info.n_ctx_train, needed = r->n_tokens + (uint64_t)(opt->n_predict > 0 ? opt->n_predict : 0);

    if (opt->n_ctx > 0)
        *n_ctx = (uint32_t)opt->n_ctx;
    else
        *n_ctx = (uint32_t)(needed < trained && opt->n_predict >= 0 ? needed : trained);
    if (r->n_tokens > *n_ctx)
        return process_error("the prompt has %zu tokens, the context holds %u: shorten the prompt or set -c %llu",
                             r->n_tokens, *n_ctx, (unsigned long long)needed);
    if (opt->n_ctx > (int64_t)trained)
        process_warning("-c %u is more than the %llu tokens that the model was trained for", *n_ctx, (unsigned long long)trained);
    return PROCESS_OK;
}

static void print_setup(const struct run *r)
{
    int core[64];
    uint32_t n = prism_threads(r->ctx, core, 64);

    fprintf(stderr, "kernels   %s, compute %s, seed %llu\n", r->plan.level, r->plan.compute, (unsigned long long)r->seed);
    fprintf(stderr, "memory    %.1f MiB for a context of %u tokens\n", (double)r->plan.total_bytes / (1 << 20), r->plan.n_ctx);
    fprintf(stderr, "threads   %u, on processors", n);
    for (uint32_t i = 0; i < n && i < 64; i++)
        fprintf(stderr, core[i] < 0 ? " any" : " %d", core[i]);
    fputc('\n', stderr);
}

/* Model, prompt, tokens and context: all that comes before computing. */
static int prepare(struct run *r)
{
    struct prism_context_params params;
    double start = process_now_ms();
    int status = engine_load(&r->opt->engine, false, r->opt->check_tensors, &r->model);

    r->load_ms = process_now_ms() - start;
    if (status == PROCESS_OK)
        status = engine_context_params(&r->opt->engine, &params);
    if (status == PROCESS_OK)
        status = read_prompt(r->opt, &r->prompt);
    if (status != PROCESS_OK)
        return status;
    prism_model_info(r->model, &r->info);
    start = process_now_ms();
    status = engine_tokenize(r->model, r->prompt.bytes, r->prompt.len, PRISM_ADD_SPECIAL | PRISM_PARSE_SPECIAL, &r->tokens,
                             &r->n_tokens);
    r->tokenize_ms = process_now_ms() - start;
    if (status != PROCESS_OK)
        return status;
    if (r->n_tokens == 0)
        return process_error("the prompt is empty and the vocabulary adds no beginning-of-text token");
    if (process_interrupted())
        return process_report_interrupt("before prefill");
    status = choose_context(r, &params.n_ctx);
    if (status != PROCESS_OK)
        return status;
    start = process_now_ms();
    status = engine_open_context(r->model, &params, &r->plan, &r->ctx);
    if (status != PROCESS_OK)
        return status;
    r->load_ms += process_now_ms() - start;
    if (r->opt->attn_map) {
        struct attn_map_subject subject = { &r->info, &r->plan, &r->opt->engine.attention, r->n_tokens };
        status = attn_map_open(&r->map, r->opt->attn_map, &subject);
        if (status != PROCESS_OK)
            return status;
    }
    if (r->opt->verbose)
        print_setup(r);
    return PROCESS_OK;
}

static int on_progress(void *user, const struct prism_progress *p)
{
    double fraction = p->total ? (double)p->done / (double)p->total : 0;

    progress_draw(user, "prefill", fraction, p->tokens_done, p->tokens_total, p->elapsed_ms);
    return process_interrupted();
}

static int prefill(struct run *r)
{
    struct progress bar = progress_start();
    struct prism_prefill_params params = { .progress = on_progress, .progress_user = &bar, .mask_user = r->map };
    struct prism_error err = { 0 };

    if (r->map)
        params.mask = attn_map_collect;
    progress_draw(&bar, "prefill", 0, 0, r->n_tokens, 0);
    enum prism_status status = prism_prefill(r->ctx, r->tokens, r->n_tokens, &params, &err);

    progress_erase(&bar);
    if (status == PRISM_E_CANCELLED)
        return process_report_interrupt("during prefill");
    if (status != PRISM_OK)
        return process_error("%s", err.text);
    prism_get_stats(r->ctx, &r->after_prefill);
    r->prefill_ms = r->after_prefill.prefill_ms + r->after_prefill.decode_ms;
    return r->map ? attn_map_write(r->map) : PROCESS_OK;
}

/* ---- reports ------------------------------------------------------------------------------------------------------ */

static void print_phase(const char *name, double ms, uint64_t n, bool with_speed)
{
    fprintf(stderr, "%-9s %10.1f ms", name, ms);
    if (n)
        fprintf(stderr, " %8llu tokens", (unsigned long long)n);
    if (n && with_speed && ms > 0)
        fprintf(stderr, " %10.1f tokens/s", (double)n / ms * 1e3);
    fputc('\n', stderr);
}

/* Tokens and time of generation alone. */
static void decode_stats(const struct run *r, uint64_t *n, double *ms)
{
    struct prism_stats s;

    prism_get_stats(r->ctx, &s);
    *n = s.decode_tokens - r->after_prefill.decode_tokens;
    *ms = s.decode_ms - r->after_prefill.decode_ms;
}

static void print_summary(const struct run *r)
{
    uint64_t n_decoded;
    double decode_ms;

    decode_stats(r, &n_decoded, &decode_ms);
    print_phase("load", r->load_ms, 0, false);
    print_phase("tokenize", r->tokenize_ms, r->n_tokens, false);
    print_phase("prefill", r->prefill_ms, r->n_tokens, true);
    print_phase("decode", decode_ms, n_decoded, true);
    if (r->opt->stats)
        attention_print_stats(r->ctx, &r->info, &r->plan, &r->after_prefill);
}

static void print_json(const struct run *r, const char *text, size_t len)
{
    struct json j = { .out = stdout };
    struct prism_stats s;
    uint64_t n_decoded;
    double decode_ms;

    prism_get_stats(r->ctx, &s);
    decode_stats(r, &n_decoded, &decode_ms);
    json_object(&j, NULL);
    json_text(&j, "version", prism_version());
    json_bytes(&j, "text", text, len);
    json_text(&j, "stop", generate_stop_names[r->gen.stop]);
    json_int(&j, "n_prompt", (int64_t)r->n_tokens);
    json_int(&j, "n_generated", (int64_t)r->gen.n_tokens);
    json_array(&j, "tokens"); /* generated */
    for (size_t i = 0; i < r->gen.n_tokens; i++)
        json_int(&j, NULL, r->gen.tokens[i]);
    json_close(&j);
    json_int(&j, "seed", (int64_t)r->seed);
    json_object(&j, "timings");
    json_real(&j, "load_ms", r->load_ms);
    json_real(&j, "tokenize_ms", r->tokenize_ms);
    json_real(&j, "prefill_ms", r->prefill_ms);
    json_real(&j, "prefill_tokens_per_s", (double)r->n_tokens / r->prefill_ms * 1e3);
    json_real(&j, "decode_ms", decode_ms);
    json_real(&j, "decode_tokens_per_s", (double)n_decoded / decode_ms * 1e3); /* null when nothing was decoded */
    json_real(&j, "generate_ms", r->gen.ms);
    json_close(&j);
    engine_json_stats(&j, &s);
    attention_json(&j, r->ctx, &r->info, &r->plan, &s);
    engine_json_plan(&j, &r->plan);
    engine_json_threads(&j, r->ctx);
    engine_json_model(&j, &r->info);
    json_close(&j);
}

static int continue_prompt(struct run *r, FILE *out)
{
    const struct options *o = r->opt;

    r->gen = (struct generation){
        .model = r->model,
        .ctx = r->ctx,
        .n_ctx = r->plan.n_ctx,
        .n_predict = o->n_predict,
        .sampling = { (float)o->temp, (int32_t)o->top_k, (float)o->top_p, (float)o->min_p, .state = r->seed },
        .ignore_eos = o->ignore_eos,
        .from_nothing = r->prompt.len == 0,
        .out = out,
    };
    return generate(&r->gen);
}

/* Continuation to stdout as it comes, summary to stderr. */
static int answer_as_text(struct run *r)
{
    struct stream echo = { .out = stdout };
    int status = r->opt->display_prompt ? stream_bytes(&echo, r->prompt.bytes, r->prompt.len, true) : PROCESS_OK;

    if (status == PROCESS_OK)
        status = continue_prompt(r, stdout);
    if (status != PROCESS_OK)
        return status;
    putchar('\n');
    status = process_flush_stdout();
    if (status == PROCESS_OK)
        print_summary(r);
    return status;
}

static int answer_as_json(struct run *r)
{
    char *text = NULL;
    size_t len = 0;
    FILE *memory = open_memstream(&text, &len);
    int status = memory ? continue_prompt(r, memory) : process_error("out of memory");

    if (memory)
        fclose(memory);
    if (status == PROCESS_OK) {
        print_json(r, text, len);
        status = process_flush_stdout();
    }
    free(text);
    return status;
}

/* ---- modes -------------------------------------------------------------------------------------------------------- */

static int run_prompt(const struct options *opt)
{
    struct run r = { .opt = opt, .seed = (uint64_t)opt->seed };

    if (opt->seed < 0) {
        uint32_t fresh = 0;
        if (getrandom(&fresh, sizeof fresh, 0) != (ssize_t)sizeof fresh)
            fresh = (uint32_t)process_now_ms();
        r.seed = fresh;
    }
    int status = prepare(&r);
    if (status == PROCESS_OK)
        status = prefill(&r);
    if (status == PROCESS_OK)
        status = opt->json ? answer_as_json(&r) : answer_as_text(&r);
    if (status == PROCESS_OK && r.gen.stop == GENERATE_INTERRUPT)
        status = PROCESS_INTERRUPTED;
    attn_map_close(r.map);
    prism_context_free(r.ctx);
    prism_model_free(r.model);
    free(r.gen.tokens);
    free(r.tokens);
    free(r.prompt.bytes);
    return status;
}

static int print_tokens(const struct options *opt)
{
    prism_model *model;
    struct text prompt = { 0 };
    int32_t *tokens = NULL;
    size_t n = 0;
    int status = engine_load(&opt->engine, true, false, &model);

    if (status == PROCESS_OK)
        status = read_prompt(opt, &prompt);
    if (status == PROCESS_OK)
        status = engine_tokenize(model, prompt.bytes, prompt.len, 0, &tokens, &n);
    if (status == PROCESS_OK) {
        for (size_t i = 0; i < n; i++)
            printf("%s%d", i ? " " : "", tokens[i]);
        putchar('\n');
        status = process_flush_stdout();
    }
    free(tokens);
    free(prompt.bytes);
    prism_model_free(model);
    return status;
}

int main(int argc, char **argv)
{
    struct options opt = {
        .engine = engine_defaults, .n_predict = 64, .seed = -1, .temp = 0.80, .top_k = 40, .top_p = 0.95, .min_p = 0.05,
    };

    process_catch_signals();
    int status = cli_parse(&cli, &opt, argc, argv);
    if (status >= 0)
        return status;
    if (opt.kernels)
        return engine_show_kernels(&opt.engine);
    if (opt.info)
        return engine_show_info(&opt.engine, (uint32_t)opt.n_ctx, opt.check_tensors, opt.json);
    return opt.tokenize ? print_tokens(&opt) : run_prompt(&opt);
}
