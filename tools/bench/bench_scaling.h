/* bench_scaling.h - the parts of `prism-bench scaling`: what jobs cost on this machine, and output. */
#ifndef PRISM_TOOLS_BENCH_SCALING_H
#define PRISM_TOOLS_BENCH_SCALING_H

#include "tools/bench/scaling.h"

/* What is modelled. */
struct bench_scaling_subject {
    const char *name;        /* of the shape or the file */
    const struct prism_kernels *kernels;
    enum prism_type type[SCALING_MATRICES]; /* of the weights */
    struct scaling_layer layer;
};

/* Fills layer.cost, whose other fields are set, by the kernels on one thread. bench_scaling_costs.c. PROCESS_ERROR after one line. */
int bench_scaling_costs(struct bench_scaling_subject *s);

/* What the engine took for the layer, in milliseconds, and what the model says: with 1 and 2 threads. Processor: processor time of all threads,
 * divided by their number, which other programs disturb less than they do the clock. */
enum bench_scaling_part { BENCH_SCALING_LINEAR, BENCH_SCALING_ATTENTION, BENCH_SCALING_OTHER, BENCH_SCALING_PROCESSOR, BENCH_SCALING_PARTS };
struct bench_scaling_check {
    size_t n_threads;
    double measured[BENCH_SCALING_PARTS], modelled[BENCH_SCALING_PARTS];
};

struct bench_scaling_results {
    const struct bench_scaling_subject *subject;
    size_t n;
    const size_t *n_threads;           /* [n] */
    const struct scaling *one;   /* of one thread */
    const struct scaling *time;  /* [n] */
    size_t n_checks;
    const struct bench_scaling_check *check;
};

/* bench_scaling_out.c */
void bench_scaling_table(const struct bench_scaling_results *r);
void bench_scaling_csv(const struct bench_scaling_results *r);
void bench_scaling_json(const struct bench_scaling_results *r);

#endif
