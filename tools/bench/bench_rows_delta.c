/* bench_rows_delta.c - rows of `prism-bench kernels`: a chunk of a delta net, and what it is made of. */
#include "src/engine/delta_chunk.h"
#include "tools/bench/bench_rows.h"

/* ---- products of rows as they lie ---- */

static void run_matmul(struct bench_job *j) { j->k->matmul(j->panels); }

static bool make_matmul(struct bench_job *j)
{
    const size_t m = j->row->m, n = j->row->n, k = j->row->k;
    struct prism_matmul *p = j->panels = bench_take(j, sizeof *p);

    *p = (struct prism_matmul){ .c = bench_floats(j, m * n), .ldc = n, .a = bench_floats(j, m * k), .a_row = k, .a_k = 1, .b = bench_floats(j, k * n),
                                .ldb = n, .rows = m, .cols = n, .k = k };
    j->kind = "f32";
    j->work = 2.0 * (double)(m * n * k);
    return true;
}

static void run_decay(struct bench_job *j) { j->k->decay(j->y, -1, j->x, j->row->n); }

static bool make_decay(struct bench_job *j)
{
    const size_t n = j->row->n;
    double *from = j->x = bench_take(j, n * sizeof *from);

    for (size_t i = 0; i < n; i++)
        from[i] = (double)i / (double)n;
    j->y = bench_floats(j, n);
    j->work = (double)(n * 12);
    return true;
}

/* ---- chunks: m value heads that share the keys of one, n tokens, heads of k ---- */

static void run_chunk(struct bench_job *j)
{
    const struct prism_delta_chunk *c = j->panels;

    prism_delta_raw(c);
    for (size_t head = 0; head < j->row->m; head++)
        prism_delta_run(c);
}

/* Keys of length 1 and zeros as values: what comes of them, which are the next run's, stays ordinary. */
static bool make_chunk(struct bench_job *j)
{
    const size_t n = j->row->n, d = j->row->k;
    struct prism_delta_chunk *c = j->panels = bench_take(j, sizeof *c);
    float *keys = bench_floats(j, n * d), *beta = bench_floats(j, n);
    double *sums = bench_take(j, n * sizeof *sums);

    for (size_t t = 0; t < n; t++) {
        j->k->rms_norm(keys + t * d, keys + t * d, NULL, d, 1e-6f);
        j->k->scale(keys + t * d, 1 / (float)d, d);
        beta[t] = 0.5f;
        sums[t] = -0.1 * (double)(t + 1);
    }
    *c = (struct prism_delta_chunk){ .kernels = j->k, .n = n, .d = d, .queries = keys, .keys = keys, .raw = bench_take(j, 2 * sizeof *c->raw),
                                     .sums = sums, .beta = beta, .values = bench_floats(j, n * d), .to = bench_floats(j, d * d),
                                     .scratch = bench_take(j, prism_delta_chunk_bytes(d)) };
    c->from = c->to;
    j->kind = "f32";
    j->work = prism_delta_raw_work(n, d) + (double)j->row->m * prism_delta_run_work(n, d);
    return true;
}

const struct bench_row bench_delta_rows[] = {
    { "delta_chunk", make_chunk, run_chunk, BENCH_BY_MULTIPLYING, PRISM_F32, 2, 64, 128 },
    { "delta_chunk", make_chunk, run_chunk, BENCH_BY_MULTIPLYING, PRISM_F32, 1, 1, 128 },
    { "matmul", make_matmul, run_matmul, BENCH_BY_MULTIPLYING, PRISM_F32, 64, 128, 128 },
    { "matmul", make_matmul, run_matmul, BENCH_BY_MULTIPLYING, PRISM_F32, 64, 64, 128 },
    { "matmul", make_matmul, run_matmul, BENCH_BY_MULTIPLYING, PRISM_F32, 1, 128, 64 },
    { "decay", make_decay, run_decay, BENCH_BY_OTHER, PRISM_F32, 0, 64, 0 },
    { 0 },
};
