/* run.c - see run.h. From prompts to their continuations. */
#include "tools/run/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "tools/common/process.h"
#include "tools/common/progress.h"

/* Tokens that a conversation gets beyond those of its first message, unless the model was trained for fewer or -c says otherwise. */
enum { CONVERSATION = 16384 };

/* Length of the context: -c, else what is needed up to the trained length. */
static int choose_context(const struct run *r, uint32_t *n_ctx)
{
    const struct run_options *opt = r->opt;
    uint64_t trained = r->info.n_ctx_train, longest = 0, needed;

    for (size_t i = 0; i < r->n_questions; i++)
        longest = r->questions[i].n_tokens > longest ? r->questions[i].n_tokens : longest;
    needed = longest + (uint64_t)(r->n_predict > 0 ? r->n_predict : 0) + (opt->conversation ? CONVERSATION : 0);
    if (needed < trained) /* what the prompt cache holds may be more, and is loaded whole */
        needed = needed < prompt_cache_tokens(&opt->cache) ? prompt_cache_tokens(&opt->cache) : needed;
    if (opt->n_ctx > 0)
        *n_ctx = (uint32_t)opt->n_ctx;
    else
        *n_ctx = (uint32_t)(needed < trained && (r->n_predict >= 0 || opt->conversation) ? needed : trained);
    if (longest > *n_ctx && opt->n_ctx == 0)
        return process_error("the prompt has %llu tokens, the model was trained for %u: shorten the prompt, or set -c %llu to read it all the same",
                             (unsigned long long)longest, *n_ctx, (unsigned long long)needed);
    if (longest > *n_ctx)
        return process_error("the prompt has %llu tokens, the context holds %u: shorten the prompt or set -c %llu%s", (unsigned long long)longest,
                             *n_ctx, (unsigned long long)needed, needed > trained ? ", more than the model was trained for" : "");
    if (opt->n_ctx > (int64_t)trained)
        process_warning("-c %u is more than the %llu tokens that the model was trained for", *n_ctx, (unsigned long long)trained);
    return PROCESS_OK;
}

static int check_prompts(const struct run *r)
{
    const struct question *q = r->questions;

    for (size_t i = 0; i < r->n_questions; i++)
        if (q[i].n_tokens == 0)
            return process_error("the prompt is empty and the vocabulary adds no beginning-of-text token");
    if (r->n_questions && r->info.add_bos && q->n_tokens > 1 && q->tokens[0] == r->info.bos && q->tokens[1] == r->info.bos)
        process_warning("the prompt begins with the beginning-of-text token, and the model's metadata adds it: it is there twice");
    if (process_interrupted())
        return process_report_interrupt("before prefill");
    return PROCESS_OK;
}

/* Flags that contradict each other, before a model is loaded. */
static int check_options(const struct run_options *o)
{
    bool several = o->prompts.n > 1 || o->conversation;

    for (size_t i = 0; i < o->stops.n; i++)
        if (!*o->stops.v[i])
            return process_error("-r: the text is empty");
    if (o->conversation && o->dialog.raw)
        return process_error("-cnv and -no-cnv: give one of them");
    if (several && (o->json || o->attn_map))
        return process_error("%s is for one prompt: give one -p%s", o->json ? "--json" : "--attn-map", o->conversation ? ", without -cnv" : "");
    if (o->attn_map && o->cache.file)
        return process_error("--attn-map draws what the whole prompt chose: leave out --prompt-cache");
    return prompt_cache_check(&o->cache);
}

static int open_map(struct run *r)
{
    struct attn_map_subject subject = { &r->info, &r->plan, &r->opt->engine.attention, r->questions->n_tokens };

    return r->opt->attn_map ? attn_map_open(&r->map, r->opt->attn_map, &subject) : PROCESS_OK;
}

/* Model, prompts, tokens and context: all that comes before computing. */
static int prepare(struct run *r)
{
    struct prism_context_params params;
    double start = process_now_ms();
    int status = engine_load(&r->opt->engine, false, &r->model);

    r->load_ms = process_now_ms() - start;
    if (status == PROCESS_OK)
        status = engine_context_params(&r->opt->engine, &params);
    if (status == PROCESS_OK)
        status = dialog_open(&r->dialog, &r->opt->dialog, r->model);
    if (status == PROCESS_OK && r->opt->conversation && !r->dialog.chat)
        status = process_error("-cnv: the model has no chat template; --chat-template chatml, or the text of another, sets one");
    if (status == PROCESS_OK)
        status = run_read_questions(r);
    if (status != PROCESS_OK)
        return status;
    r->n_predict = r->opt->n_predict != RUN_N_PREDICT ? r->opt->n_predict : r->dialog.chat ? RUN_N_CHAT : RUN_N_RAW;
    prism_model_info(r->model, &r->info);
    status = check_prompts(r);
    if (status == PROCESS_OK)
        status = choose_context(r, &params.n_ctx);
    if (status != PROCESS_OK)
        return status;
    start = process_now_ms();
    status = engine_open_context(r->model, &params, &r->plan, &r->ctx);
    if (status != PROCESS_OK)
        return status;
    prompt_cache_load(&r->cache, &r->opt->cache, r->ctx);
    r->load_ms += process_now_ms() - start;
    if (r->opt->verbose)
        run_print_setup(r);
    status = open_map(r);
    if (status == PROCESS_OK)
        dialog_announce(&r->dialog, &r->opt->dialog);
    return status;
}

/* ---- one answer --------------------------------------------------------------------------------------------------- */

static int on_progress(void *user, const struct prism_progress *p)
{
    double fraction = p->total ? (double)p->done / (double)p->total : 0;

    progress_draw(user, "prefill", fraction, p->tokens_done, p->tokens_total, p->elapsed_ms);
    return process_interrupted();
}

static int prefill(struct run *r, const int32_t *tokens, size_t n)
{
    struct progress bar = progress_start();
    struct prism_prefill_params params = { .progress = on_progress, .progress_user = &bar, .mask_user = r->map };
    struct prism_error err = { 0 };

    if (r->map)
        params.mask = attn_map_collect;
    progress_draw(&bar, "prefill", 0, 0, n, 0);
    params.reuse = r->opt->conversation || r->opt->cache.all ? PRISM_REUSE_ALL : PRISM_REUSE_EXACT;
    prompt_cache_cuts(&r->cache, r->map ? 0 : r->n_document, n, &params); /* a map is that of one call */
    enum prism_status status = prism_prefill_to(r->ctx, tokens, n, &params, &r->n_reused, &err);

    progress_erase(&bar);
    if (status == PRISM_E_CANCELLED)
        return process_report_interrupt("during prefill");
    return status == PRISM_OK ? PROCESS_OK : engine_error(&err);
}

static double total_ms(const struct prism_stats *s) { return s->prefill_ms + s->decode_ms; }

/* The times of an answer, from the statistics before it and now. */
static void add_times(struct run *r, const struct prism_stats *before, bool tell)
{
    struct prism_stats now;
    double prefill_ms = total_ms(&r->after_prefill) - total_ms(before);

    prism_get_stats(r->ctx, &now);
    uint64_t n_decoded = now.decode_tokens - r->after_prefill.decode_tokens;
    double decode_ms = now.decode_ms - r->after_prefill.decode_ms;
    r->prefill_ms += prefill_ms;
    r->decode_ms += decode_ms;
    r->n_decoded += n_decoded;
    r->n_prefilled += r->n_tokens - r->n_reused;
    if (tell)
        run_print_answer(r, prefill_ms, n_decoded, decode_ms);
}

static int generate_answer(struct run *r, bool from_nothing, FILE *out)
{
    const struct run_options *o = r->opt;
    uint64_t state = r->gen.sampling.state; /* the next answer draws on */

    free(r->gen.tokens);
    free(r->gen.text);
    r->gen = (struct generation){
        .model = r->model,
        .ctx = r->ctx,
        .plan = &r->plan,
        .n_predict = r->n_predict,
        .sampling = { (float)o->temp, (int32_t)o->top_k, (float)o->top_p, (float)o->min_p, .state = state },
        .ignore_eos = o->ignore_eos,
        .from_nothing = from_nothing,
        .stops = o->stops.v,
        .n_stops = o->stops.n,
        .out = out,
    };
    return generate(&r->gen);
}

int run_answer(struct run *r, const int32_t *tokens, size_t n, bool from_nothing, FILE *out)
{
    struct prism_stats before;

    prism_get_stats(r->ctx, &before);
    r->n_tokens = n;
    int status = prefill(r, tokens, n);
    if (status != PROCESS_OK)
        return status;
    prism_get_stats(r->ctx, &r->after_prefill);
    prompt_cache_report(&r->cache, r->ctx, r->n_reused, n);
    if (r->map && (status = attn_map_write(r->map)) != PROCESS_OK)
        return status;
    status = generate_answer(r, from_nothing, out);
    if (status == PROCESS_OK)
        add_times(r, &before, r->opt->conversation ? r->opt->verbose : r->n_questions > 1);
    return status;
}

/* ---- all of them -------------------------------------------------------------------------------------------------- */

static int answer_question(struct run *r, const struct question *q, FILE *out)
{
    return run_answer(r, q->tokens, q->n_tokens, !r->dialog.chat && q->text.len == 0, out);
}

/* Continuations to stdout as they come. */
static int answer_as_text(struct run *r)
{
    int status = PROCESS_OK;

    for (size_t i = 0; i < r->n_questions && status == PROCESS_OK; i++) {
        const struct question *q = &r->questions[i];
        struct stream echo = { .out = stdout };
        if (i)
            putchar('\n');
        if (r->opt->display_prompt)
            status = stream_bytes(&echo, q->text.bytes, q->text.len, true);
        if (status == PROCESS_OK)
            status = answer_question(r, q, stdout);
        if (status != PROCESS_OK)
            break;
        putchar('\n');
        status = process_flush_stdout();
        if (r->gen.stop == GENERATE_INTERRUPT)
            break;
    }
    return status;
}

static int answer_as_json(struct run *r)
{
    char *text = NULL;
    size_t len = 0;
    FILE *memory = open_memstream(&text, &len);
    int status = memory ? answer_question(r, r->questions, memory) : process_error("out of memory");

    if (memory)
        fclose(memory);
    if (status == PROCESS_OK) {
        run_print_json(r, text, len);
        status = process_flush_stdout();
    }
    free(text);
    return status;
}

static uint64_t choose_seed(const struct run_options *opt)
{
    uint32_t fresh = 0;

    if (opt->seed < 0 && getrandom(&fresh, sizeof fresh, 0) != (ssize_t)sizeof fresh)
        fresh = (uint32_t)process_now_ms();
    return opt->seed < 0 ? fresh : (uint64_t)opt->seed;
}

int run_prompts(const struct run_options *opt)
{
    struct run r = { .opt = opt, .seed = choose_seed(opt) };
    int status = check_options(opt);

    r.gen.sampling.state = r.seed;
    if (status == PROCESS_OK)
        status = prepare(&r);
    if (status == PROCESS_OK)
        status = opt->json ? answer_as_json(&r) : opt->conversation ? run_converse(&r) : answer_as_text(&r);
    if (status == PROCESS_OK)
        prompt_cache_finish(&r.cache, r.ctx);
    if (status == PROCESS_OK && !opt->json)
        run_print_summary(&r);
    if (status == PROCESS_OK && !opt->conversation && r.gen.stop == GENERATE_INTERRUPT)
        status = PROCESS_INTERRUPTED;
    attn_map_close(r.map);
    prism_context_free(r.ctx);
    dialog_close(&r.dialog);
    run_free_questions(&r);
    prism_model_free(r.model);
    free(r.gen.tokens);
    free(r.gen.text);
    return status;
}
