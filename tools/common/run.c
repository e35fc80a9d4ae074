/* run.c - see run.h. From the prompt to its continuation. */
#include "tools/common/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "tools/common/process.h"
#include "tools/common/progress.h"

int run_read_prompt(const struct run_options *opt, struct text *t)
{
    int status;

    *t = (struct text){ 0 };
    if (!!opt->prompt + !!opt->file + !!opt->binary_file > 1)
        return process_error("%s and %s: give one prompt", opt->prompt ? "-p" : "-f", opt->binary_file ? "-bf" : "-f");
    if (opt->prompt)
        status = text_copy(opt->prompt, t);
    else if (opt->binary_file)
        status = text_read(opt->binary_file, true, t);
    else
        status = text_read_or(opt->file, "no prompt: use -p TEXT, -f FILE or standard input (see --help)", t);
    if (status == PROCESS_OK && (opt->escapes == ESCAPES_ALL || (opt->escapes == ESCAPES_PROMPT && opt->prompt)))
        text_unescape(t);
    return status;
}

/* Length of the context: -c, else what is needed up to the trained length. */
static int choose_context(const struct run *r, uint32_t *n_ctx)
{
    const struct run_options *opt = r->opt;
    uint64_t trained = r->info.n_ctx_train, needed = r->n_tokens + (uint64_t)(opt->n_predict > 0 ? opt->n_predict : 0);

    if (needed < trained) /* what the prompt cache holds may be more, and is loaded whole */
        needed = needed < prompt_cache_tokens(&opt->cache) ? prompt_cache_tokens(&opt->cache) : needed;
    if (opt->n_ctx > 0)
        *n_ctx = (uint32_t)opt->n_ctx;
    else
        *n_ctx = (uint32_t)(needed < trained && opt->n_predict >= 0 ? needed : trained);
    if (r->n_tokens > *n_ctx && opt->n_ctx == 0)
        return process_error("the prompt has %zu tokens, the model was trained for %u: shorten the prompt, or set -c %llu to read it all the same",
                             r->n_tokens, *n_ctx, (unsigned long long)needed);
    if (r->n_tokens > *n_ctx)
        return process_error("the prompt has %zu tokens, the context holds %u: shorten the prompt or set -c %llu%s", r->n_tokens, *n_ctx,
                             (unsigned long long)needed, needed > trained ? ", more than the model was trained for" : "");
    if (opt->n_ctx > (int64_t)trained)
        process_warning("-c %u is more than the %llu tokens that the model was trained for", *n_ctx, (unsigned long long)trained);
    return PROCESS_OK;
}

/* Model, prompt, tokens and context: all that comes before computing. */
static int prepare(struct run *r)
{
    struct prism_context_params params;
    double start = process_now_ms();
    int status = engine_load(&r->opt->engine, false, &r->model);

    r->load_ms = process_now_ms() - start;
    if (status == PROCESS_OK)
        status = engine_context_params(&r->opt->engine, &params);
    if (status == PROCESS_OK)
        status = run_read_prompt(r->opt, &r->prompt);
    if (status != PROCESS_OK)
        return status;
    prism_model_info(r->model, &r->info);
    start = process_now_ms();
    status = engine_tokenize(r->model, r->prompt.bytes, r->prompt.len, PRISM_ADD_BOS | PRISM_PARSE_SPECIAL, &r->tokens,
                             &r->n_tokens); /* no EOS: the text goes on */
    r->tokenize_ms = process_now_ms() - start;
    if (status != PROCESS_OK)
        return status;
    if (r->n_tokens == 0)
        return process_error("the prompt is empty and the vocabulary adds no beginning-of-text token");
    if (r->info.add_bos && r->n_tokens > 1 && r->tokens[0] == r->info.bos && r->tokens[1] == r->info.bos)
        process_warning("the prompt begins with the beginning-of-text token, and the model's metadata adds it: it is there twice");
    if (process_interrupted())
        return process_report_interrupt("before prefill");
    status = choose_context(r, &params.n_ctx);
    if (status != PROCESS_OK)
        return status;
    start = process_now_ms();
    status = engine_open_context(r->model, &params, &r->plan, &r->ctx);
    if (status != PROCESS_OK)
        return status;
    prompt_cache_load(&r->cache, &r->opt->cache, r->ctx);
    r->load_ms += process_now_ms() - start;
    if (r->opt->attn_map) {
        struct attn_map_subject subject = { &r->info, &r->plan, &r->opt->engine.attention, r->n_tokens };
        status = attn_map_open(&r->map, r->opt->attn_map, &subject);
        if (status != PROCESS_OK)
            return status;
    }
    if (r->opt->verbose)
        run_print_setup(r);
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
    enum prism_status status = prompt_cache_prefill(&r->cache, r->ctx, r->tokens, r->n_tokens, r->n_document, &params, &err);

    progress_erase(&bar);
    if (status == PRISM_E_CANCELLED)
        return process_report_interrupt("during prefill");
    if (status != PRISM_OK)
        return engine_error(&err);
    prism_get_stats(r->ctx, &r->after_prefill);
    r->prefill_ms = r->after_prefill.prefill_ms + r->after_prefill.decode_ms;
    prompt_cache_report(&r->cache, r->ctx, r->n_tokens);
    return r->map ? attn_map_write(r->map) : PROCESS_OK;
}

/* ---- the answer --------------------------------------------------------------------------------------------------- */

static int continue_prompt(struct run *r, FILE *out)
{
    const struct run_options *o = r->opt;

    r->gen = (struct generation){
        .model = r->model,
        .ctx = r->ctx,
        .plan = &r->plan,
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
        run_print_summary(r);
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
        run_print_json(r, text, len);
        status = process_flush_stdout();
    }
    free(text);
    return status;
}

int run_prompt(const struct run_options *opt)
{
    struct run r = { .opt = opt, .seed = (uint64_t)opt->seed };

    if (opt->attn_map && opt->cache.file)
        return process_error("--attn-map draws what the whole prompt chose: leave out --prompt-cache");
    if (opt->seed < 0) {
        uint32_t fresh = 0;
        if (getrandom(&fresh, sizeof fresh, 0) != (ssize_t)sizeof fresh)
            fresh = (uint32_t)process_now_ms();
        r.seed = fresh;
    }
    int status = prompt_cache_check(&opt->cache);
    if (status == PROCESS_OK)
        status = prepare(&r);
    if (status == PROCESS_OK)
        status = prefill(&r);
    if (status == PROCESS_OK)
        status = opt->json ? answer_as_json(&r) : answer_as_text(&r);
    if (status == PROCESS_OK)
        prompt_cache_finish(&r.cache, r.ctx);
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
