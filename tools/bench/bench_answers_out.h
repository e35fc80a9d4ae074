/* bench_answers_out.h - what `prism-bench answers` prints and draws. */
#ifndef PRISM_TOOLS_BENCH_ANSWERS_OUT_H
#define PRISM_TOOLS_BENCH_ANSWERS_OUT_H

#include "tools/bench/answers.h"

/* A selector with its setting, over all documents of a length. Counts: right of all. */
struct answers_result {
    const char *subject; /* as given: "prism@0.95" */
    uint32_t length, n_documents;
    uint64_t right, total;
    uint64_t kind_right[ANSWERS_MAX_KINDS], kind_total[ANSWERS_MAX_KINDS];
    uint64_t distance_right[ANSWERS_DISTANCES], distance_total[ANSWERS_DISTANCES];
    uint64_t chosen_blocks, causal_blocks; /* 0 of 0: dense */
    double attention_ms, select_ms, prefill_ms;
};

/* All results: [n_lengths][n_subjects], subject 0 is dense. */
struct answers_results {
    const struct answers *tasks;
    const struct prism_model_info *info;
    const struct prism_plan *plan;
    const struct answers_result *result;
    size_t n_lengths, n_subjects;
};

void answers_head(const struct answers_results *r);
void answers_table(const struct answers_results *r, size_t length); /* of one length */
void answers_csv(const struct answers_results *r);
void answers_json(const struct answers_results *r);

/* Right answers in percent of dense's, against density: a chart for each length (at most 4), a line for each selector. PROCESS_ERROR after
 * one line. */
int answers_draw(const struct answers_results *r, const char *path);

#endif
