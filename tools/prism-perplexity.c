/* prism-perplexity - how well a GGUF model predicts a text.
 *
 * Same meaning and numbers as llama.cpp's llama-perplexity: the text is cut into chunks of -c tokens, each read from an empty
 * context with its first token replaced by BOS where the vocabulary adds one; the second half of each chunk is scored.
 * stdout: running perplexity "[1]18.2,[2]..." and the final estimate, or one JSON document. Exit status 0, 1, 130 as prism-run. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "prism/prism.h"
#include "tools/common/cli.h"
#include "tools/common/divergence.h"
#include "tools/common/engine.h"
#include "tools/common/json.h"
#include "tools/common/llama_flags.h"
#include "tools/common/process.h"
#include "tools/common/progress.h"
#include "tools/common/text.h"

struct options {
    struct engine_options engine;
    const char *file, *binary_file;
    int64_t n_ctx, n_chunks;
    int kl;            /* index in "f16 bf16 f32 q8_0", -1: not given */
    bool json, stats;
};

#define AT(field) offsetof(struct options, field)

static const struct cli_option rows[] = {
    { .kind = CLI_HEADING, .help = "Text" },
    { .kind = CLI_TEXT, .names = "-f, --file", .arg = "FILE", .offset = AT(file), .initial = "-",
      .help = "the text, any bytes, less one newline at its end;\n\"-\" is standard input" },
    { .kind = CLI_TEXT, .names = "-bf, --binary-file", .arg = "FILE", .offset = AT(binary_file), .initial = "",
      .help = "the same with that newline" },
    { .kind = CLI_INT, .names = "-c, --ctx-size", .arg = "N", .offset = AT(n_ctx), .min = 8, .max = INT32_MAX,
      .help = "tokens in a chunk; a text needs two chunks or more" },
    { .kind = CLI_INT, .names = "--chunks", .arg = "N", .offset = AT(n_chunks), .min = -1, .max = INT32_MAX,
      .help = "read only the first N chunks; -1: all" },

    { .kind = CLI_CHOICE, .names = "--kl", .arg = "TYPE", .offset = AT(kl), .choices = "f16 bf16 f32 q8_0", .initial = "",
      .help = "also read each chunk with keys and values cached as\nTYPE, and print how far the distributions are from\nthose: Kullback-Leibler divergence in nats a token.\nKeeps the logits of half a chunk" },

    { .kind = CLI_HEADING, .help = "Engine" },
    { .kind = CLI_ROWS, .rows = engine_rows, .offset = AT(engine) },

    { .kind = CLI_HEADING, .help = "Output" },
    { .kind = CLI_FLAG, .names = "--stats", .offset = AT(stats),
      .help = "print on stderr what attention computed: density\nand mass of every layer and head" },
    { .kind = CLI_FLAG, .names = "--json", .offset = AT(json), .help = "print one JSON document" },
    { .kind = CLI_ROWS, .rows = llama_common_flags },
    { .kind = CLI_ROWS, .rows = llama_perplexity_flags },
    { 0 },
};

static const struct cli cli = {
    .usage = "-m MODEL [-f FILE] [options]",
    .about = "Prints the perplexity of a text under a GGUF model: after each chunk that of all chunks so far, then\n"
             "the final estimate with its standard error. Exit status: 0 success, 1 error, 130 interrupted.\n",
    .examples = "  prism-perplexity -m model.gguf -f persuasion.txt\n"
                "  prism-perplexity -m model.gguf -f persuasion.txt -c 4096 --chunks 4 --compute f32\n",
    .rows = rows,
};

struct evaluation {
    const struct options *opt;
    prism_model *model;
    prism_context *ctx;
    struct prism_model_info info;
    struct prism_plan plan;
    int32_t *tokens;
    size_t n_tokens, c, n_chunks;
    double *nll;       /* [c]: of the token after each row of the present chunk */
    double *estimate;  /* [n_chunks]: perplexity after each chunk */
    size_t chunk;      /* being read */
    double sum, sum_sq;
    size_t count;

    /* --kl */
    prism_context *base;
    float *base_logits; /* [c - c / 2][n_vocab] of the present chunk */
    double *kl;        /* [c]: of each row of the present chunk */
    bool *same_first;  /* [c] */
    double kl_sum, kl_sum_sq, kl_most;
    size_t n_same;
    struct progress bar;
    bool draw_bar;
    double start_ms;
};

/* ---- one chunk ---------------------------------------------------------------------------------------------------- */

/* Runs on several threads at once: each row has its own place, so the sum does not depend on their order. */
static void on_logits(void *user, size_t row, size_t n_rows, const float *logits)
{
    struct evaluation *e = user;
    const int32_t *next = e->tokens + e->chunk * e->c + 1;

    for (size_t i = 0; i < n_rows && row + i + 1 < e->c; i++)
        e->nll[row + i] = -prism_log_prob(logits + i * e->info.n_vocab, e->info.n_vocab, next[row + i]);
    for (size_t i = 0; e->base && i < n_rows; i++)
        e->kl[row + i] = divergence_of(e->base_logits + (row + i - e->c / 2) * e->info.n_vocab, logits + i * e->info.n_vocab, e->info.n_vocab,
                                       &e->same_first[row + i]);
}

static void on_base_logits(void *user, size_t row, size_t n_rows, const float *logits)
{
    struct evaluation *e = user;

    memcpy(e->base_logits + (row - e->c / 2) * e->info.n_vocab, logits, n_rows * e->info.n_vocab * sizeof *logits);
}

static int on_progress(void *user, const struct prism_progress *p)
{
    struct evaluation *e = user;
    double part = p->total ? (double)p->done / (double)p->total : 0;

    if (e->draw_bar)
        progress_draw(&e->bar, "perplexity", ((double)e->chunk + part) / (double)e->n_chunks, e->chunk * e->c + p->tokens_done,
                      e->n_chunks * e->c, process_now_ms() - e->start_ms);
    return process_interrupted();
}

static double perplexity(const struct evaluation *e) { return exp(e->sum / (double)e->count); }

/* Standard error of the perplexity: that of the mean log-likelihood, carried through exp. */
static double standard_error(const struct evaluation *e)
{
    double n = (double)e->count, mean = e->sum / n, variance = e->sum_sq / n - mean * mean;

    return e->count > 1 && variance > 0 ? perplexity(e) * sqrt(variance / (n - 1)) : 0;
}

/* Scores the present chunk, whose nll are there. */
static int score(struct evaluation *e, size_t first)
{
    struct prism_error err = { .status = PRISM_E_NUMERIC };

    for (size_t row = first; row + 1 < e->c; row++) {
        e->sum += e->nll[row];
        e->sum_sq += e->nll[row] * e->nll[row];
        e->count++;
        if (e->base) {
            e->kl_sum += e->kl[row];
            e->kl_sum_sq += e->kl[row] * e->kl[row];
            e->kl_most = fmax(e->kl_most, e->kl[row]);
            e->n_same += e->same_first[row];
        }
    }
    e->estimate[e->chunk] = perplexity(e);
    if (isfinite(e->estimate[e->chunk]))
        return PROCESS_OK;
    snprintf(err.text, sizeof err.text, "chunk %zu: the perplexity is %f, logits are not finite or far too large", e->chunk + 1,
             e->estimate[e->chunk]);
    return engine_error(&err);
}

static int read_chunk(struct evaluation *e)
{
    size_t first = e->c / 2;
    int32_t *tokens = e->tokens + e->chunk * e->c, original = tokens[0];
    struct prism_error err = { 0 };
    struct prism_prefill_params params = {
        .progress = on_progress, .progress_user = e, .logits = on_logits, .logits_user = e, .logits_from = first,
    };

    if (e->info.add_bos && e->info.bos >= 0)
        tokens[0] = e->info.bos;
    enum prism_status status = PRISM_OK;
    if (e->base) {
        struct prism_prefill_params base = params;
        base.logits = on_base_logits;
        status = prism_prefill(e->base, tokens, e->c, &base, &err);
        if (status == PRISM_OK)
            status = prism_truncate(e->base, 0, &err);
    }
    if (status == PRISM_OK)
        status = prism_prefill(e->ctx, tokens, e->c, &params, &err);
    tokens[0] = original;
    if (status == PRISM_OK)
        status = prism_truncate(e->ctx, 0, &err);
    if (status == PRISM_E_CANCELLED)
        return PROCESS_INTERRUPTED;
    if (status != PRISM_OK)
        return engine_error(&err);
    return score(e, first);
}

/* ---- the text ----------------------------------------------------------------------------------------------------- */

/* Text, tokens, the number of chunks and the memory for them. */
static int prepare_text(struct evaluation *e)
{
    const struct options *opt = e->opt;
    struct text text;

    if (opt->file && opt->binary_file)
        return process_error("-f and -bf: give one text");
    int status = opt->binary_file ? text_read(opt->binary_file, true, &text)
                                  : text_read_or(opt->file, "no text: use -f FILE or standard input (see --help)", &text);
    if (status != PROCESS_OK)
        return status;
    status = engine_tokenize(e->model, text.bytes, text.len, PRISM_ADD_BOS, &e->tokens, &e->n_tokens);
    free(text.bytes);
    if (status != PROCESS_OK)
        return status;
    e->c = (size_t)opt->n_ctx;
    if (e->n_tokens < 2 * e->c)
        return process_error("the text has %zu tokens, chunks of %zu need at least %zu: use a longer text or a smaller -c",
                             e->n_tokens, e->c, 2 * e->c);
    e->n_chunks = e->n_tokens / e->c;
    if (opt->n_chunks >= 0 && (size_t)opt->n_chunks < e->n_chunks)
        e->n_chunks = (size_t)opt->n_chunks;
    if (e->n_chunks == 0)
        return process_error("--chunks 0: expected at least one chunk, or -1 for all");
    e->nll = malloc(e->c * sizeof *e->nll);
    e->estimate = malloc(e->n_chunks * sizeof *e->estimate);
    return e->nll && e->estimate ? PROCESS_OK : process_error("out of memory");
}

/* For the logits of a chunk, piece by piece. */
enum { LOGITS_BYTES = 64 << 20 };

static int prepare(struct evaluation *e)
{
    struct prism_context_params params;
    int status = engine_context_params(&e->opt->engine, &params);

    if (status == PROCESS_OK)
        status = engine_load(&e->opt->engine, false, &e->model);
    if (status != PROCESS_OK)
        return status;
    prism_model_info(e->model, &e->info);
    status = prepare_text(e);
    if (status != PROCESS_OK)
        return status;
    if (e->c > e->info.n_ctx_train)
        process_warning("-c %zu is more than the %u tokens that the model was trained for", e->c, e->info.n_ctx_train);
    params.n_ctx = (uint32_t)e->c;
    params.logits_rows = LOGITS_BYTES / (e->info.n_vocab * sizeof(float));
    if (e->opt->kl >= 0) {
        struct prism_context_params base = params;
        base.kv_type = base.v_type = (enum prism_kv_type)(PRISM_KV_F16 + e->opt->kl);
        e->base_logits = calloc(e->c - e->c / 2, e->info.n_vocab * sizeof *e->base_logits);
        e->kl = calloc(e->c, sizeof *e->kl);
        e->same_first = calloc(e->c, sizeof *e->same_first);
        if (!e->base_logits || !e->kl || !e->same_first)
            return process_error("--kl: out of memory");
        status = engine_open_context(e->model, &base, &e->plan, &e->base);
        if (status != PROCESS_OK)
            return status;
    }
    return engine_open_context(e->model, &params, &e->plan, &e->ctx);
}

/* On a terminal that shows both streams, the bar would overwrite the running line: it is drawn for the first chunk, then one
 * line tells the time. */
static void after_first_chunk(struct evaluation *e)
{
    double per_chunk = (process_now_ms() - e->start_ms) / 1e3;

    if (e->bar.on && isatty(STDOUT_FILENO)) {
        e->draw_bar = e->opt->json;
        fprintf(stderr, "%zu chunks of %zu tokens, %.2f s each, %.1f min left\n", e->n_chunks, e->c, per_chunk,
                per_chunk * (double)(e->n_chunks - 1) / 60);
    }
}

static int evaluate(struct evaluation *e)
{
    int status = PROCESS_OK;

    e->bar = progress_start();
    e->draw_bar = true;
    e->start_ms = process_now_ms();
    for (e->chunk = 0; e->chunk < e->n_chunks && status == PROCESS_OK; e->chunk++) {
        status = read_chunk(e);
        if (e->chunk == 0 || !e->draw_bar || status != PROCESS_OK)
            progress_erase(&e->bar);
        if (status != PROCESS_OK)
            break;
        if (e->chunk == 0)
            after_first_chunk(e);
        if (!e->opt->json) {
            printf("[%zu]%.4f,", e->chunk + 1, e->estimate[e->chunk]);
            status = process_flush_stdout();
        }
    }
    progress_erase(&e->bar);
    if (!e->opt->json && e->chunk > 0 && !ferror(stdout))
        putchar('\n');
    if (status == PROCESS_INTERRUPTED) {
        char where[64];
        fflush(stdout);
        snprintf(where, sizeof where, "after %zu of %zu chunks", e->chunk, e->n_chunks);
        return process_report_interrupt(where);
    }
    return status;
}

/* Standard error of the mean divergence. */
static double kl_error(const struct evaluation *e)
{
    double n = (double)e->count, mean = e->kl_sum / n, variance = e->kl_sum_sq / n - mean * mean;

    return e->count > 1 && variance > 0 ? sqrt(variance / (n - 1)) : 0;
}

static int report(struct evaluation *e)
{
    struct json j = { .out = stdout };
    struct prism_stats stats;

    prism_get_stats(e->ctx, &stats);
    if (e->opt->stats)
        attention_print_stats(e->ctx, &e->info, &e->plan, &stats);
    if (!e->opt->json) {
        printf("Final estimate: PPL = %.4f +/- %.5f\n", perplexity(e), standard_error(e));
        if (e->base)
            printf("KL divergence to a cache of %s: mean %.3e +/- %.1e, largest %.3e; the first token is the same in %.3f %%\n",
                   engine_kv_type_name((enum prism_kv_type)(PRISM_KV_F16 + e->opt->kl)), e->kl_sum / (double)e->count, kl_error(e), e->kl_most,
                   100 * (double)e->n_same / (double)e->count);
        return process_flush_stdout();
    }
    json_object(&j, NULL);
    json_text(&j, "version", prism_version());
    json_real(&j, "perplexity", perplexity(e));
    json_real(&j, "standard_error", standard_error(e));
    if (e->base) {
        json_object(&j, "kl");
        json_text(&j, "type", engine_kv_type_name((enum prism_kv_type)(PRISM_KV_F16 + e->opt->kl)));
        json_real(&j, "mean", e->kl_sum / (double)e->count);
        json_real(&j, "standard_error", kl_error(e));
        json_real(&j, "largest", e->kl_most);
        json_real(&j, "same_first", (double)e->n_same / (double)e->count);
        json_close(&j);
    }
    json_int(&j, "n_scored", (int64_t)e->count);
    json_int(&j, "n_tokens", (int64_t)e->n_tokens);
    json_int(&j, "n_ctx", (int64_t)e->c);
    json_int(&j, "n_chunks", (int64_t)e->n_chunks);
    json_array(&j, "running"); /* perplexity after each chunk */
    for (size_t i = 0; i < e->n_chunks; i++)
        json_real(&j, NULL, e->estimate[i]);
    json_close(&j);
    engine_json_stats(&j, &stats);
    attention_json(&j, e->ctx, &e->info, &e->plan, &stats);
    engine_json_plan(&j, &e->plan);
    engine_json_threads(&j, e->ctx);
    engine_json_model(&j, &e->info);
    json_close(&j);
    return process_flush_stdout();
}

int main(int argc, char **argv)
{
    struct options opt = { .engine = engine_defaults, .n_ctx = 512, .n_chunks = -1, .kl = -1 };
    struct evaluation e = { .opt = &opt };

    opt.engine.attention.selector = "dense"; /* what the figure is compared with, unless a flag says otherwise */
    process_start();
    int status = cli_parse(&cli, &opt, argc, argv);
    if (status >= 0)
        return status;
    status = prepare(&e);
    if (status == PROCESS_OK)
        status = evaluate(&e);
    if (status == PROCESS_OK)
        status = report(&e);
    prism_context_free(e.ctx);
    prism_context_free(e.base);
    prism_model_free(e.model);
    free(e.base_logits);
    free(e.kl);
    free(e.same_first);
    free(e.tokens);
    free(e.nll);
    free(e.estimate);
    return status;
}
