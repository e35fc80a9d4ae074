/* bench_kernels_out.h - the results of `prism-bench kernels` as a table, CSV or JSON. */
#ifndef PRISM_TOOLS_BENCH_KERNELS_OUT_H
#define PRISM_TOOLS_BENCH_KERNELS_OUT_H

#include "tools/bench/bench_rows.h"

/* A row at a level. */
struct bench_line {
    const struct bench_row *row;
    enum prism_level level;
    const char *kind;              /* NULL: none */
    double rate, spread;           /* 1e9 operations or bytes per second: median, half the distance between the quartiles */
    double ratio;                  /* to generic; NaN: it has no such kernel */
    double peak;                   /* in the unit of rate; 0: unknown */
    double pack_a, pack_w;         /* shares of the time of a whole linear layer, NaN: not one */
};

/* What all lines were measured with. */
struct bench_conditions {
    size_t n_threads;
    size_t memory_bytes, cache_bytes; /* of bench_memory.h; 0: no row needed it */
};

/* "512x3072x1024": the sizes that the row has. */
void bench_shape(const struct bench_row *r, char *out, size_t cap);

void bench_table_head(const struct bench_conditions *c);
void bench_table_line(const struct bench_line *l);
void bench_table_foot(const struct bench_conditions *c);

void bench_lines_csv(const struct bench_conditions *c, const struct bench_line *lines, size_t n);
void bench_lines_json(const struct bench_conditions *c, const struct bench_line *lines, size_t n);

#endif
