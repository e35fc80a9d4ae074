/* bench_run.h - one test of llama-bench on this engine: model, tokens, context, and the timed repetitions. Which tests there are and what is
 * printed about them is bench_llama.c's. */
#ifndef PRISM_TOOLS_BENCH_RUN_H
#define PRISM_TOOLS_BENCH_RUN_H

#include "prism/prism.h"
#include "tools/bench/bench_llama.h"
#include "tools/common/engine.h"
#include "tools/common/text.h"

/* Tokens of prompt, of generation, and in the cache before both. */
struct bench_sizes {
    size_t p, n, d;
};

struct bench_run {
    /* The test, set by the caller. */
    const struct bench_options *opt;
    struct bench_sizes size;
    size_t piece;               /* tokens per call of prefill; 0: any number */
    struct engine_options engine;
    size_t number, n_tests;     /* for progress: test `number` of so many, from 1 */
    struct text text;           /* of --file */
    uint64_t *samples_ns;       /* [repetitions], results: time and tokens per second */
    double *samples_ts;

    /* The model, which stays loaded while tests name the same file, and the text in its vocabulary. */
    const char *loaded;
    prism_model *model;
    struct prism_model_info info;
    int32_t *text_tokens;
    size_t n_text_tokens;

    /* From bench_run_open to bench_run_close. */
    prism_context *ctx;         /* of exactly the tokens that the test needs */
    struct prism_plan plan;
    int32_t *tokens;            /* [d + p + n] by position */
    uint64_t random;
};

/* Model and context, as the test is set. PROCESS_ERROR after one line. */
int bench_run_open(struct bench_run *r);

/* Delay, warm-up and repetitions. PROCESS_ERROR after one line, PROCESS_INTERRUPTED without one. */
int bench_run_measure(struct bench_run *r);

/* Both may be called in any state. */
void bench_run_close(struct bench_run *r);
void bench_run_unload(struct bench_run *r);

#endif
