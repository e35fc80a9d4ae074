/* bench_out.h - results of prism-bench in the formats of llama-bench: CSV, JSON, JSON lines, SQL and markdown.
 *
 * The first 41 columns have llama-bench's names, order and types, so that its results and ours lie in one table; ours follow. In SQL ours are
 * a table of their own, prism_bench, whose id is the rowid of the line in llama_bench: a database that llama-bench made takes both.
 * A document is begun with its first result, so that nothing half begun is left when there is none. */
#ifndef PRISM_TOOLS_BENCH_OUT_H
#define PRISM_TOOLS_BENCH_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tools/common/json.h"

enum bench_column {
    BENCH_BUILD_COMMIT, BENCH_BUILD_NUMBER, BENCH_CPU_INFO, BENCH_GPU_INFO, BENCH_BACKENDS, BENCH_MODEL_FILENAME, BENCH_MODEL_TYPE,
    BENCH_MODEL_SIZE, BENCH_MODEL_N_PARAMS, BENCH_N_BATCH, BENCH_N_UBATCH, BENCH_N_THREADS, BENCH_CPU_MASK, BENCH_CPU_STRICT, BENCH_POLL,
    BENCH_TYPE_K, BENCH_TYPE_V, BENCH_N_GPU_LAYERS, BENCH_N_CPU_MOE, BENCH_SPLIT_MODE, BENCH_MAIN_GPU, BENCH_NO_KV_OFFLOAD,
    BENCH_FLASH_ATTN, BENCH_DEVICES, BENCH_TENSOR_SPLIT, BENCH_TENSOR_BUFT_OVERRIDES, BENCH_LOAD_MODE, BENCH_LAZY_MODE, BENCH_EMBEDDINGS,
    BENCH_NO_OP_OFFLOAD, BENCH_NO_HOST, BENCH_FIT_TARGET, BENCH_FIT_MIN_CTX, BENCH_N_PROMPT, BENCH_N_GEN, BENCH_N_DEPTH, BENCH_TEST_TIME,
    BENCH_AVG_NS, BENCH_STDDEV_NS, BENCH_AVG_TS, BENCH_STDDEV_TS,
    BENCH_N_LLAMA,                /* ours: */
    BENCH_ATTN = BENCH_N_LLAMA,   /* --attn as given */
    BENCH_ATTN_SETTINGS,          /* flags of attention that are not at their defaults */
    BENCH_ATTN_DENSITY,           /* chosen part of the causal blocks in the timed prefill, 1: dense */
    BENCH_CPU_LEVEL,              /* kernels in use */
    BENCH_COMPUTE,
    BENCH_PROMPT_SOURCE,          /* "random" or the file of the prompt's text */
    BENCH_N_COLUMNS
};

/* One test. Values are text: numbers in decimal, truth as 0 and 1. */
struct bench_result {
    const char *value[BENCH_N_COLUMNS];
    const uint64_t *samples_ns; /* [n_samples] */
    const double *samples_ts;
    size_t n_samples;
};

enum bench_format { BENCH_NONE, BENCH_CSV, BENCH_JSON, BENCH_JSONL, BENCH_MD, BENCH_SQL };
#define BENCH_FORMATS "none csv json jsonl md sql"

/* Set the first three, the rest is zero. */
struct bench_out {
    FILE *out;
    enum bench_format format;
    bool shown[BENCH_N_COLUMNS]; /* markdown has these, beside model, size, parameters, backend, test and t/s */
    bool begun;
    struct json json;
};

void bench_out_result(struct bench_out *o, const struct bench_result *r);

/* Ends the document. complete: all tests ran; if there were none, it is an empty document, otherwise no document at all. */
void bench_out_end(struct bench_out *o, const char *build_commit, const char *build_number, bool complete);

/* "pp512", "tg128", "pp512+tg128", "pp512 @ d4096" */
void bench_test_name(const struct bench_result *r, char *out, size_t cap);

#endif
