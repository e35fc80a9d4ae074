/* bench_attn_out.h - what `prism-bench attn` prints, on stdout. */
#ifndef PRISM_TOOLS_BENCH_ATTN_OUT_H
#define PRISM_TOOLS_BENCH_ATTN_OUT_H

#include "prism/prism.h"

/* A selector at a length: medians. */
struct bench_attn_result {
    size_t n_tokens;
    const char *selector;
    uint32_t block;
    double attention_ms, select_ms, density, speedup, gflops, peak_gflops;
};

/* What holds for all of them. */
struct bench_attn_facts {
    const struct prism_model_info *info;
    const struct prism_plan *plan;
    uint32_t layer;
    size_t n_text;      /* tokens of the text: longer prompts repeat it */
    int64_t repetitions;
    size_t dense_below; /* up to so many tokens the layers below are dense */
};

void bench_attn_head(const struct bench_attn_facts *f);
void bench_attn_table(const struct bench_attn_facts *f, const struct bench_attn_result *r, size_t n); /* of one length */
void bench_attn_csv(const struct bench_attn_facts *f, const struct bench_attn_result *r, size_t n);
void bench_attn_json(const struct bench_attn_facts *f, const struct bench_attn_result *r, size_t n);

#endif
