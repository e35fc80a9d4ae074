/* bench_run.c - see bench_run.h. */
#include "tools/bench/bench_run.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/common/process.h"

__attribute__((format(printf, 2, 3))) static void show_progress(const struct bench_run *r, const char *format, ...)
{
    va_list args;

    if (!r->opt->progress)
        return;
    va_start(args, format);
    fprintf(stderr, "prism-bench: benchmark %zu/%zu: ", r->number, r->n_tests);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

/* ---- model and context ---- */

void bench_run_unload(struct bench_run *r)
{
    free(r->text_tokens);
    r->text_tokens = NULL;
    prism_model_free(r->model);
    r->model = NULL;
    r->loaded = NULL;
}

static int load(struct bench_run *r)
{
    if (r->loaded && !strcmp(r->loaded, r->engine.model))
        return PROCESS_OK;
    bench_run_unload(r);
    int status = engine_load(&r->engine, false, &r->model);
    if (status == PROCESS_OK && r->opt->file)
        status = engine_tokenize(r->model, r->text.bytes, r->text.len, 0, &r->text_tokens, &r->n_text_tokens);
    if (status != PROCESS_OK)
        return status;
    if (r->opt->file && r->n_text_tokens == 0)
        return process_error("the text is empty");
    prism_model_info(r->model, &r->info);
    r->loaded = r->engine.model;
    return PROCESS_OK;
}

void bench_run_close(struct bench_run *r)
{
    prism_context_free(r->ctx);
    r->ctx = NULL;
    free(r->tokens);
    r->tokens = NULL;
}

int bench_run_open(struct bench_run *r)
{
    struct prism_context_params params;

    show_progress(r, "starting");
    int status = load(r);
    if (status == PROCESS_OK)
        status = engine_context_params(&r->engine, &params);
    if (status != PROCESS_OK)
        return status;
    params.n_ctx = (uint32_t)(r->size.p + r->size.n + r->size.d);
    r->random = 1; /* the same tokens for every selector */
    r->tokens = malloc(params.n_ctx * sizeof *r->tokens);
    if (!r->tokens)
        return process_error("out of memory");
    status = engine_open_context(r->model, &params, &r->plan, &r->ctx);
    if (status != PROCESS_OK)
        return status;
    if (r->opt->verbose)
        fprintf(stderr, "prism-bench: benchmark %zu/%zu: level %s, compute %s, selector %s, attention in %s, %u threads, %.1f MiB\n", r->number,
                r->n_tests, r->plan.level, r->plan.compute, r->plan.selector, r->plan.attention_type, r->plan.n_threads,
                (double)r->plan.total_bytes / (1 << 20));
    return PROCESS_OK;
}

/* ---- tokens ---- */

/* Knuth's generator (MMIX); its upper half is random enough for token ids. */
static int32_t random_token(struct bench_run *r)
{
    r->random = r->random * 6364136223846793005u + 1442695040888963407u;
    return (int32_t)((r->random >> 33) % r->info.n_vocab);
}

/* Tokens of positions [from, from + n): of the text, a beginning-of-text token before it, or random, each such piece with its own. */
static void draw(struct bench_run *r, size_t from, size_t n)
{
    size_t before = r->info.add_bos && r->info.bos >= 0;

    for (size_t pos = from; pos < from + n; pos++)
        r->tokens[pos] = r->opt->file ? r->text_tokens[(pos - (pos ? before : 0)) % r->n_text_tokens] : random_token(r);
    if (before && n > 0 && (from == 0 || !r->opt->file))
        r->tokens[from] = r->info.bos;
}

/* ---- runs ---- */

static int on_progress(void *user, const struct prism_progress *p)
{
    (void)user, (void)p;
    return process_interrupted();
}

static int failed(const struct prism_error *err)
{
    return err->status == PRISM_E_CANCELLED ? PROCESS_INTERRUPTED : engine_error(err);
}

/* Appends the tokens of positions [from, from + n). */
static int prefill(struct bench_run *r, size_t from, size_t n)
{
    const struct prism_prefill_params params = { .progress = on_progress };
    struct prism_error err = { 0 };

    for (size_t done = 0, now; done < n; done += now) {
        now = r->piece && r->piece < n - done ? r->piece : n - done;
        if (prism_prefill(r->ctx, r->tokens + from + done, now, &params, &err) != PRISM_OK)
            return failed(&err);
    }
    return PROCESS_OK;
}

static int decode(struct bench_run *r, size_t from, size_t n)
{
    struct prism_error err = { 0 };

    for (size_t i = 0; i < n; i++) {
        if (process_interrupted())
            return PROCESS_INTERRUPTED;
        if (prism_decode(r->ctx, r->tokens[from + i], &err) != PRISM_OK)
            return failed(&err);
    }
    return PROCESS_OK;
}

/* The whole prompt and one step, at an empty cache whatever the depth, as llama-bench does. */
static int warm_up(struct bench_run *r)
{
    struct bench_sizes s = r->size;
    int status = PROCESS_OK;

    draw(r, 0, s.p);
    draw(r, s.p, s.n > 0);
    if (s.p > 0) {
        show_progress(r, "warmup prompt run");
        status = prefill(r, 0, s.p);
    }
    if (s.n > 0 && status == PROCESS_OK) {
        show_progress(r, "warmup generation run");
        status = decode(r, s.p, 1);
    }
    return status;
}

/* The cache up to the depth: filled before the first repetition, kept for the others. */
static int descend(struct bench_run *r, size_t repetition)
{
    size_t d = r->size.d;
    struct prism_error err = { 0 };
    int status = PROCESS_OK;

    if (prism_truncate(r->ctx, repetition == 0 ? 0 : d, &err) != PRISM_OK)
        return failed(&err);
    if (d > 0)
        show_progress(r, "depth run %zu/%lld%s", repetition + 1, (long long)r->opt->repetitions, repetition == 0 ? "" : " (cached)");
    if (d > 0 && repetition == 0) {
        draw(r, 0, d);
        status = prefill(r, 0, d);
    }
    if (repetition == 0)
        prism_stats_reset(r->ctx); /* density is that of what is timed */
    return status;
}

static int repeat(struct bench_run *r, size_t repetition)
{
    struct bench_sizes s = r->size;
    long long number = (long long)repetition + 1, of = (long long)r->opt->repetitions;
    int status = descend(r, repetition);

    draw(r, s.d, s.p);
    draw(r, s.d + s.p, s.n);
    double start = process_now_ms();
    if (s.p > 0 && status == PROCESS_OK) {
        show_progress(r, "prompt run %lld/%lld", number, of);
        status = prefill(r, s.d, s.p);
    }
    if (s.n > 0 && status == PROCESS_OK) {
        show_progress(r, "generation run %lld/%lld", number, of);
        status = decode(r, s.d + s.p, s.n);
    }
    double ns = fmax(1, round((process_now_ms() - start) * 1e6));
    r->samples_ns[repetition] = (uint64_t)ns;
    r->samples_ts[repetition] = 1e9 * (double)(s.p + s.n) / ns;
    return status;
}

static int pause_before(const struct bench_run *r)
{
    struct timespec left = { .tv_sec = r->opt->delay_s };

    while (!process_interrupted() && nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
    return process_interrupted() ? PROCESS_INTERRUPTED : PROCESS_OK;
}

int bench_run_measure(struct bench_run *r)
{
    int status = pause_before(r);

    if (status == PROCESS_OK && !r->opt->no_warmup)
        status = warm_up(r);
    for (size_t i = 0; i < (size_t)r->opt->repetitions && status == PROCESS_OK; i++)
        status = repeat(r, i);
    return status;
}
