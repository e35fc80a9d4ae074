/* run.h - one run of prism-run: its options, what is known while it lasts, and what it reports. */
#ifndef PRISM_TOOLS_RUN_H
#define PRISM_TOOLS_RUN_H

#include "prism/prism.h"
#include "tools/common/engine.h"
#include "tools/common/text.h"
#include "tools/draw/attn_map.h"
#include "tools/run/dialog.h"
#include "tools/run/generate.h"
#include "tools/run/prompt_cache.h"

enum escapes { ESCAPES_PROMPT, ESCAPES_ALL, ESCAPES_NONE }; /* where \n and its like are expanded */

/* What a flag that may be repeated was given. */
struct run_texts {
    const char *v[64];
    size_t n;
};

enum { RUN_N_PREDICT = -2, RUN_N_RAW = 64, RUN_N_CHAT = 4096 }; /* -n: not given; then so many tokens of text, of an answer */

struct run_options {
    struct engine_options engine;
    struct prompt_cache_options cache;
    struct dialog_options dialog;
    struct run_texts prompts, stops;
    const char *file, *binary_file, *attn_map;
    int escapes, display_prompt, conversation;
    int64_t n_predict, n_ctx, seed, top_k;
    double temp, top_p, min_p;
    bool ignore_eos, info, kernels, tokenize, json, stats, verbose;
};

/* One -p, or what stands for it: in a chat the text of a message. */
struct question {
    struct text text;
    int32_t *tokens;
    size_t n_tokens;
};

struct run {
    const struct run_options *opt;
    prism_model *model;
    prism_context *ctx;
    struct prism_model_info info;
    struct prism_plan plan;
    struct attn_map *map; /* NULL: none is asked for */
    struct dialog dialog;
    int64_t n_predict;    /* -n, or what goes without it */
    struct question *questions;
    size_t n_questions;
    size_t n_document;    /* tokens that all questions begin with, the document's; 0: none */
    struct prompt_cache cache;
    size_t n_tokens, n_reused; /* of the prompt that was answered last; of these, in the context already */
    struct generation gen;     /* likewise */
    uint64_t seed;        /* that was given or drawn */
    double load_ms, tokenize_ms;
    /* of all answers */
    double prefill_ms, decode_ms;
    uint64_t n_prefilled, n_decoded;
    struct prism_stats after_prefill; /* of the last: a prompt of one token counts there as decode */
};

/* A row's `take` for a flag that may be repeated. */
int run_take_text(const struct cli_option *o, const char *flag, const char *text, void *field);

/* ---- run_prompt.c: the prompts of -p, -f, -bf or standard input, escapes expanded ---- */

/* One question for each -p; -f and -bf give the document that goes before each of them. Without -p there is one: the document, or standard
 * input. Nothing at all on a terminal where a conversation begins. r->dialog is open. */
int run_read_questions(struct run *r);
/* The text of the one prompt that --tokenize prints; free its bytes. */
int run_read_prompt(const struct run_options *opt, struct text *t);
void run_free_questions(struct run *r);

/* ---- run.c ---- */

/* Prefills the prompts and prints their continuations, or one JSON document; or holds a conversation. Exit status, after one line unless
 * PROCESS_OK. */
int run_prompts(const struct run_options *opt);

/* Makes the context hold the tokens and writes what comes next to `out`. PROCESS_INTERRUPTED when Ctrl-C broke the prefill off. */
int run_answer(struct run *r, const int32_t *tokens, size_t n, bool from_nothing, FILE *out);

/* ---- run_converse.c ---- */

/* The questions as turns of one conversation, then what is typed, until its end. */
int run_converse(struct run *r);

/* ---- run_report.c ---- */

/* On stderr, for -v: seed, memory and threads; after each of several answers, one line. On stderr at the end: times, and with --stats what
 * attention computed. On stdout: --json. */
void run_print_setup(const struct run *r);
void run_print_answer(const struct run *r, double prefill_ms, uint64_t n_decoded, double decode_ms);
void run_print_summary(const struct run *r);
void run_print_json(const struct run *r, const char *text, size_t len);

#endif
