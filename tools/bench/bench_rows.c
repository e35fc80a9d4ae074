/* bench_rows.c - operands, see bench_rows.h. */
#include "tools/bench/bench_rows.h"

#include <string.h>

#include "tools/model/random_row.h"

void *bench_take(struct bench_job *j, size_t bytes) { return prism_arena_take(&j->memory, bytes, 1); }

/* A few random rows, repeated: rounding them all would take longer than the measurement. */
void *bench_weights(struct bench_job *j, enum prism_type type, size_t rows, size_t k)
{
    enum { DISTINCT = 16 };
    size_t row_bytes = prism_row_bytes(type, k);
    char *w = bench_take(j, rows * row_bytes);
    const uint64_t used = j->memory.used;
    float *scratch = bench_take(j, k * sizeof *scratch);

    for (size_t i = 0; i < rows; i++)
        if (i < DISTINCT)
            random_row(prism_kernels_by_level[PRISM_LEVEL_GENERIC], type, w + i * row_bytes, scratch, k, 1, random_seed(1, i));
        else
            memcpy(w + i * row_bytes, w + i % DISTINCT * row_bytes, row_bytes);
    j->memory.used = used;
    return w;
}

float *bench_floats(struct bench_job *j, size_t n) { return bench_weights(j, PRISM_F32, 1, n); }
