/* run_report.c - what prism-run tells about a run; see run.h. */
#include <stdio.h>

#include "tools/common/attention.h"
#include "tools/common/json.h"
#include "tools/run/run.h"

void run_print_setup(const struct run *r)
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

static void print_phase(const char *name, double ms, uint64_t n, bool with_speed)
{
    fprintf(stderr, "%-9s %10.1f ms", name, ms);
    if (n)
        fprintf(stderr, " %8llu tokens", (unsigned long long)n);
    if (n && with_speed && ms > 0)
        fprintf(stderr, " %10.1f tokens/s", (double)n / ms * 1e3);
    fputc('\n', stderr);
}

void run_print_answer(const struct run *r, double prefill_ms, uint64_t n_decoded, double decode_ms)
{
    fprintf(stderr, "answer    %zu of %zu tokens were in the context; prefill %.1f ms, decode %llu tokens in %.1f ms\n", r->n_reused, r->n_tokens,
            prefill_ms, (unsigned long long)n_decoded, decode_ms);
}

void run_print_summary(const struct run *r)
{
    size_t n = 0;

    for (size_t i = 0; i < r->n_questions; i++)
        n += r->questions[i].n_tokens;
    print_phase("load", r->load_ms, 0, false);
    print_phase("tokenize", r->tokenize_ms, n, false);
    print_phase("prefill", r->prefill_ms, r->n_prefilled, true);
    print_phase("decode", r->decode_ms, r->n_decoded, true);
    if (r->opt->stats)
        attention_print_stats(r->ctx, &r->info, &r->plan, &r->after_prefill);
}

void run_print_json(const struct run *r, const char *text, size_t len)
{
    struct json j = { .out = stdout };
    struct prism_stats s;

    prism_get_stats(r->ctx, &s);
    json_object(&j, NULL);
    json_text(&j, "version", prism_version());
    json_bytes(&j, "text", text, len);
    json_bool(&j, "chat", r->dialog.chat);
    json_text(&j, "stop", generate_stop_names[r->gen.stop]);
    json_int(&j, "n_prompt", (int64_t)r->n_tokens);
    json_int(&j, "n_reused", (int64_t)r->n_reused); /* of them, from --prompt-cache */
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
    json_real(&j, "prefill_tokens_per_s", (double)r->n_prefilled / r->prefill_ms * 1e3);
    json_real(&j, "decode_ms", r->decode_ms);
    json_real(&j, "decode_tokens_per_s", (double)r->n_decoded / r->decode_ms * 1e3); /* null when nothing was decoded */
    json_real(&j, "generate_ms", r->gen.ms);
    json_close(&j);
    engine_json_stats(&j, &s);
    attention_json(&j, r->ctx, &r->info, &r->plan, &s);
    engine_json_plan(&j, &r->plan);
    engine_json_threads(&j, r->ctx);
    engine_json_model(&j, &r->info);
    json_close(&j);
}
