/* run.h - one run of prism-run: its options, what is known while it lasts, and what it reports. */
#ifndef PRISM_TOOLS_RUN_H
#define PRISM_TOOLS_RUN_H

#include "prism/prism.h"
#include "tools/common/attn_map.h"
#include "tools/common/engine.h"
#include "tools/common/generate.h"
#include "tools/common/prompt_cache.h"
#include "tools/common/text.h"

enum escapes { ESCAPES_PROMPT, ESCAPES_ALL, ESCAPES_NONE }; /* where \n and its like are expanded */

struct run_options {
    struct engine_options engine;
    struct prompt_cache_options cache;
    const char *prompt, *file, *binary_file, *attn_map;
    int escapes, display_prompt;
    int64_t n_predict, n_ctx, seed, top_k;
    double temp, top_p, min_p;
    bool ignore_eos, info, kernels, tokenize, json, stats, verbose;
};

struct run {
    const struct run_options *opt;
    prism_model *model;
    prism_context *ctx;
    struct prism_model_info info;
    struct prism_plan plan;
    struct attn_map *map; /* NULL: none is asked for */
    struct text prompt;
    int32_t *tokens; /* of the prompt */
    size_t n_tokens, n_document; /* n_document: its first tokens, which other prompts will begin with as well; 0: unknown */
    struct prompt_cache cache;
    struct generation gen;
    uint64_t seed;
    double load_ms, tokenize_ms, prefill_ms;
    struct prism_stats after_prefill; /* a prompt of one token counts there as decode */
};

/* The prompt of -p, -f, -bf or standard input, escapes expanded; free its bytes. PROCESS_OK, else after one line. */
int run_read_prompt(const struct run_options *opt, struct text *t);

/* Prefills the prompt and prints its continuation, or one JSON document. Exit status, after one line unless PROCESS_OK. */
int run_prompt(const struct run_options *opt);

/* On stderr, for -v: seed, memory and threads. On stderr at the end: times, and with --stats what attention computed. On stdout: --json. */
void run_print_setup(const struct run *r);
void run_print_summary(const struct run *r);
void run_print_json(const struct run *r, const char *text, size_t len);

#endif
