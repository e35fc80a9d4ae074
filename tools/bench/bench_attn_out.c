/* bench_attn_out.c - see bench_attn_out.h. */
#include "tools/bench/bench_attn_out.h"

#include <stdio.h>

#include "tools/common/engine.h"
#include "tools/common/json.h"

static double select_share(const struct bench_attn_result *r) { return r->select_ms / (r->select_ms + r->attention_ms); }

static const char *below(const struct bench_attn_facts *f, size_t n)
{
    return f->layer == 0 ? "none" : n <= f->dense_below ? "dense" : "the same selector, prism for dense";
}

void bench_attn_head(const struct bench_attn_facts *f)
{
    const struct prism_plan *p = f->plan;

    printf("layer %u of %u, %u heads of %u; %u threads, level %s, attention in %s; median of %lld\n", f->layer, f->info->n_layer,
           f->info->n_head, f->info->head_dim, p->n_threads, p->level, p->attention_type, (long long)f->repetitions);
    printf(" tokens  selector        block  attention ms  select ms  share  density  speedup  GFLOP/s  of peak\n");
}

void bench_attn_table(const struct bench_attn_facts *f, const struct bench_attn_result *r, size_t n)
{
    if (r->n_tokens > f->n_text)
        printf("%7zu  the text, %zu tokens, is repeated\n", r->n_tokens, f->n_text);
    if (f->layer > 0 && r->n_tokens > f->dense_below)
        printf("%7zu  layers below %u: %s\n", r->n_tokens, f->layer, below(f, r->n_tokens));
    for (size_t i = 0; i < n; i++, r++)
        printf("%7zu  %-14s  %5u  %12.2f  %9.2f  %4.1f%%  %7.4f  %6.2fx  %7.1f  %6.1f%%\n", r->n_tokens, r->selector, r->block,
               r->attention_ms, r->select_ms, 100 * select_share(r), r->density, r->speedup, r->gflops, 100 * r->gflops / r->peak_gflops);
}

void bench_attn_csv(const struct bench_attn_facts *f, const struct bench_attn_result *r, size_t n)
{
    printf("n_tokens,selector,block,layer,attention_ms,select_ms,select_share,density,speedup,gflops,peak_gflops,peak_share\n");
    for (size_t i = 0; i < n; i++, r++)
        printf("%zu,%s,%u,%u,%.3f,%.3f,%.5f,%.5f,%.4f,%.2f,%.2f,%.4f\n", r->n_tokens, r->selector, r->block, f->layer, r->attention_ms,
               r->select_ms, select_share(r), r->density, r->speedup, r->gflops, r->peak_gflops, r->gflops / r->peak_gflops);
}

void bench_attn_json(const struct bench_attn_facts *f, const struct bench_attn_result *r, size_t n)
{
    const struct prism_plan *p = f->plan;
    struct json j = { .out = stdout };

    json_object(&j, NULL);
    json_text(&j, "version", prism_version());
    json_int(&j, "layer", f->layer);
    json_int(&j, "repetitions", f->repetitions);
    json_int(&j, "text_tokens", (int64_t)f->n_text);
    json_text(&j, "level", p->level);
    json_text(&j, "attention_type", p->attention_type);
    json_int(&j, "n_threads", p->n_threads);
    json_array(&j, "results");
    for (size_t i = 0; i < n; i++, r++) {
        json_object(&j, NULL);
        json_int(&j, "n_tokens", (int64_t)r->n_tokens);
        json_bool(&j, "text_repeated", r->n_tokens > f->n_text);
        json_text(&j, "layers_below", below(f, r->n_tokens));
        json_text(&j, "selector", r->selector);
        json_int(&j, "block", r->block);
        json_real(&j, "attention_ms", r->attention_ms);
        json_real(&j, "select_ms", r->select_ms);
        json_real(&j, "select_share", select_share(r));
        json_real(&j, "density", r->density);
        json_real(&j, "speedup", r->speedup);
        json_real(&j, "gflops", r->gflops);
        json_real(&j, "peak_gflops", r->peak_gflops);
        json_real(&j, "peak_share", r->gflops / r->peak_gflops);
        json_close(&j);
    }
    json_close(&j);
    engine_json_model(&j, f->info);
    json_close(&j);
}
