/* bench.c - how fast every kernel is at every level that runs here, on one thread. Usage: bench-kernels [TEXT [LEVEL]]: rows whose name
 * contains TEXT. A line reads
 *     kernel, level, shape, median rate, half the distance between the quartiles, ratio to generic, share of the peak
 * where the peak is that of the instruction the kernel should be bound by (support/peak.h), measured in the same run. The median and
 * the quartiles are those of RUNS runs of at least MIN_SECONDS of processor time each. Data come from kernel_test.h, as in the tests. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/generic/generic.h"
#include "tests/support/kernel_test.h"
#include "tests/support/peak.h"

enum { RUNS = 9 };
#define MIN_SECONDS 0.004

enum bound { BY_FP32, BY_LINEAR, BY_ATTENTION, BY_READING, BY_CACHE };

/* A kernel made ready: run(this) does `work` operations (BY_FP32 .. BY_ATTENTION) or moves `work` bytes. */
struct job {
    const struct prism_kernels *k;
    const struct row *row;
    void (*run)(const struct job *);
    double work;
    const char *kind; /* of a linear or an attention: decides the peak */
    const struct prism_linear *l;
    struct prism_gemm_args gemm;
    const struct prism_attention *a;
    struct prism_attn_tile tile;
    void *x, *y, *w;  /* operands of the other kernels */
};

/* m, n, k: rows, columns, depth; of attention: head size, block, keys; of vectors: n values; of band_dots: head
 * size, keys. */
struct row {
    const char *name;
    void (*make)(struct job *);
    enum bound bound;
    enum prism_type type;
    size_t m, n, k;
};

static size_t panels(size_t n, unsigned width) { return (n + width - 1) / width; }

/* ---- linear layers ---- */

static void run_gemm(const struct job *j) { j->l->gemm(&j->gemm); }

static void run_pack_a(const struct job *j)
{
    const struct row *r = j->row;
    for (size_t i = 0; i < r->m; i += j->l->mr)
        j->l->pack_a((char *)j->y + i / j->l->mr * j->l->a_bytes(r->k), (float *)j->x + i * r->k, r->k,
                     r->m - i < j->l->mr ? r->m - i : j->l->mr, r->k);
}

static void run_pack_w(const struct job *j)
{
    const struct row *r = j->row;
    size_t row_bytes = prism_row_bytes(r->type, r->k);
    for (size_t i = 0; i < r->n; i += j->l->nr)
        j->l->pack_w((char *)j->y + i / j->l->nr * j->l->w_bytes(r->k), (char *)j->w + i * row_bytes, row_bytes, r->type,
                     r->n - i < j->l->nr ? r->n - i : j->l->nr, r->k);
}

static void make_pack_a(struct job *j)
{
    const struct row *r = j->row;
    j->l = j->k->linear_auto[r->type];
    j->x = kt_floats(r->m * r->k);
    kt_fill(j->x, r->m * r->k, KT_NORMAL);
    j->y = kt_alloc(panels(r->m, j->l->mr) * j->l->a_bytes(r->k), 64);
    j->run = run_pack_a;
    j->kind = j->l->name;
    j->work = (double)(r->m * r->k) * sizeof(float);
}

static void make_pack_w(struct job *j)
{
    const struct row *r = j->row;
    j->l = j->k->linear_auto[r->type];
    j->w = kt_alloc(r->n * prism_row_bytes(r->type, r->k), 64);
    kt_fill_blocks(j->w, r->type, r->n * r->k);
    j->y = kt_alloc(panels(r->n, j->l->nr) * j->l->w_bytes(r->k), 64);
    j->run = run_pack_w;
    j->kind = j->l->name;
    j->work = (double)(r->n * r->k) * sizeof(float);
}

static void make_gemm(struct job *j, const struct prism_linear *l)
{
    const struct row *r = j->row;
    struct job operand = *j;

    operand.l = j->l = l;
    operand.x = kt_floats(r->m * r->k);
    kt_fill(operand.x, r->m * r->k, KT_NORMAL);
    operand.y = kt_alloc(panels(r->m, l->mr) * l->a_bytes(r->k), 64);
    j->gemm.a = operand.y;
    run_pack_a(&operand);
    operand.w = kt_alloc(r->n * prism_row_bytes(r->type, r->k), 64);
    kt_fill_blocks(operand.w, r->type, r->n * r->k);
    operand.y = kt_alloc(panels(r->n, l->nr) * l->w_bytes(r->k), 64);
    j->gemm.w = operand.y;
    run_pack_w(&operand);
    j->gemm.c = kt_floats(r->m * r->n);
    j->gemm.ldc = r->n;
    j->gemm.rows = r->m;
    j->gemm.cols = r->n;
    j->gemm.k = r->k;
    j->run = run_gemm;
    j->kind = l->name;
    j->work = 2.0 * (double)r->m * (double)r->n * (double)r->k;
}

static void make_linear_f32(struct job *j) { make_gemm(j, j->k->linear_f32); }
static void make_linear_auto(struct job *j) { make_gemm(j, j->k->linear_auto[j->row->type]); }

/* ---- weights straight from storage ---- */

static void run_gemv(const struct job *j)
{
    const struct row *r = j->row;
    j->k->gemv(j->y, r->n, j->x, r->k, r->m, j->w, prism_row_bytes(r->type, r->k), r->type, r->n, r->k);
}

static void make_gemv(struct job *j)
{
    const struct row *r = j->row;
    size_t row_bytes = prism_row_bytes(r->type, r->k);
    char *w = j->w = kt_alloc(r->n * row_bytes, 64);
    kt_fill_blocks(w, r->type, r->k);
    for (size_t i = 1; i < r->n; i++)
        memcpy(w + i * row_bytes, w, row_bytes);
    j->x = kt_floats(r->m * r->k);
    kt_fill(j->x, r->m * r->k, KT_NORMAL);
    j->y = kt_floats(r->m * r->n);
    j->run = run_gemv;
    j->work = (double)(r->n * row_bytes);
}

static void run_to_f32(const struct job *j) { j->k->to_f32[j->row->type](j->y, j->w, j->row->n); }

static void make_to_f32(struct job *j)
{
    const struct row *r = j->row;
    j->w = kt_alloc(prism_row_bytes(r->type, r->n), 64);
    kt_fill_blocks(j->w, r->type, r->n);
    j->y = kt_floats(r->n);
    j->run = run_to_f32;
    j->work = (double)r->n * sizeof(float);
}

/* ---- vectors ---- */

static void make_vectors(struct job *j, size_t bytes_per_value)
{
    size_t n = j->row->n;
    j->x = kt_alloc(n * sizeof(float), 64);
    j->y = kt_alloc(n * sizeof(float), 64);
    j->w = kt_alloc(n * sizeof(float), 64);
    kt_fill(j->x, n, KT_NORMAL);
    kt_fill(j->y, n, KT_NORMAL);
    kt_fill(j->w, n, KT_NORMAL);
    j->work = (double)(n * bytes_per_value);
}

/* swiglu and add work in place: a copy each time keeps the numbers ordinary, and counts as part of the kernel. */
static void run_rms_norm(const struct job *j) { j->k->rms_norm(j->y, j->x, j->w, j->row->n, 1e-6f); }
static void run_rope(const struct job *j) { j->k->rope(j->y, j->x, j->w, j->row->n, j->row->m); }
static void run_swiglu(const struct job *j) { j->k->swiglu(memcpy(j->w, j->y, j->row->n * sizeof(float)), j->x, j->row->n); }
static void run_add(const struct job *j) { j->k->add(memcpy(j->w, j->y, j->row->n * sizeof(float)), j->x, j->row->n); }
static void run_to_f16(const struct job *j) { j->k->f32_to_f16(j->w, j->x, j->row->n); }
static void run_to_bf16(const struct job *j) { j->k->f32_to_bf16(j->w, j->x, j->row->n); }
static void run_from_f16(const struct job *j) { j->k->f16_to_f32(j->y, j->w, j->row->n); }

static void run_rope_table(const struct job *j)
{
    j->k->rope_table(j->x, j->y, j->w, j->row->k, 1000, j->row->n / j->row->k, 1);
}

static void make_rms_norm(struct job *j) { make_vectors(j, 16), j->run = run_rms_norm; } /* x is read twice */
static void make_rope(struct job *j) { make_vectors(j, 12), j->run = run_rope; }
static void make_swiglu(struct job *j) { make_vectors(j, 12), j->run = run_swiglu; }
static void make_add(struct job *j) { make_vectors(j, 12), j->run = run_add; }
static void make_to_f16(struct job *j) { make_vectors(j, 6), j->run = run_to_f16; }
static void make_to_bf16(struct job *j) { make_vectors(j, 6), j->run = run_to_bf16; }

static void make_from_f16(struct job *j)
{
    make_vectors(j, 6);
    prism_f32_to_f16_generic(j->w, j->x, j->row->n);
    j->run = run_from_f16;
}

static void make_rope_table(struct job *j)
{
    make_vectors(j, 8);
    for (size_t i = 0; i < j->row->k; i++)
        ((double *)j->w)[i] = 1.0 / (double)(1 + i * i);
    j->run = run_rope_table;
}

/* ---- attention ---- */

/* All query rows of the last block against all keys: a dense tile at the end of a prompt. */
static void run_attention(const struct job *j)
{
    for (size_t r = 0; r < j->row->n; r += j->a->tile_rows) {
        struct prism_attn_tile t = j->tile;
        t.q += r * t.d;
        t.o += r * t.d;
        t.q_pos += r;
        j->a->tile(&t);
    }
}

static void make_attention(struct job *j, const struct prism_attention *a)
{
    const size_t d = j->row->m, block = j->row->n, keys = j->row->k, n_blocks = keys / block;
    float *kv = kt_floats(2 * block * d), *q = kt_floats(block * d);
    char *k = kt_alloc(n_blocks * a->k_block_bytes(d, block), 64), *v = kt_alloc(n_blocks * a->v_block_bytes(d, block), 64);
    uint32_t *blocks = kt_alloc(n_blocks * sizeof *blocks, 4);
    double seen = 0;

    kt_fill(kv, 2 * block * d, KT_NORMAL);
    kt_fill(q, block * d, KT_NORMAL);
    for (uint32_t b = 0; b < n_blocks; b++) {
        a->pack_k(k + b * a->k_block_bytes(d, block), kv, PRISM_KVF_F32, block, d, block);
        a->pack_v(v + b * a->v_block_bytes(d, block), kv + block * d, PRISM_KVF_F32, block, d, block);
        blocks[b] = b;
    }
    for (size_t r = 0; r < block; r++)
        seen += (double)(keys - block + r + 1);
    j->tile = (struct prism_attn_tile){ .q = q, .ldq = d, .o = kt_floats(block * d), .ldo = d, .rows = a->tile_rows, .d = d,
        .q_pos = keys - block, .kv_len = keys, .block = block, .k = k, .v = v, .blocks = blocks, .n_blocks = n_blocks,
        .scale = 0.1f, .scratch = kt_alloc(a->tile_scratch(d, block), 64) };
    j->a = a;
    j->run = run_attention;
    j->kind = a->name;
    j->work = 4.0 * (double)d * seen;
}

static void make_attention_f32(struct job *j) { make_attention(j, j->k->attention_f32); }
static void make_attention_auto(struct job *j) { make_attention(j, j->k->attention_auto); }

static void run_attn_row(const struct job *j)
{
    const size_t d = j->row->m, keys = j->row->k;
    j->k->attn_row(j->y, j->x, j->w, (uint16_t *)j->w + keys * d, PRISM_KVF_F16, keys, d, 0.1f, (float *)j->y + d);
}

static void make_attn_row(struct job *j)
{
    const size_t d = j->row->m, keys = j->row->k;
    float *kv = kt_floats(2 * keys * d);
    kt_fill(kv, 2 * keys * d, KT_NORMAL);
    j->w = kt_alloc(2 * keys * d * sizeof(uint16_t), 64);
    prism_f32_to_f16_generic(j->w, kv, 2 * keys * d);
    j->x = kt_floats(d);
    kt_fill(j->x, d, KT_NORMAL);
    j->y = kt_floats(d + keys);
    j->run = run_attn_row;
    j->work = (double)(2 * keys * d) * sizeof(uint16_t);
}

/* ---- selection ---- */

/* A query block of head size m against n pooled keys; the parts are those of a model whose bands overlap by a quarter. */
static void run_band_dots(const struct job *j)
{
    const size_t d = j->row->m, n = j->row->n;
    float *parts = j->y;
    j->k->band_dots(parts, parts + n, parts + 2 * n, j->x, j->w, n, d, d * 3 / 8, d * 5 / 8);
}

static void make_band_dots(struct job *j)
{
    const size_t d = j->row->m, n = j->row->n;
    j->x = kt_floats(d);
    j->w = kt_alloc(n * d * sizeof(float), 64);
    j->y = kt_floats(3 * n);
    kt_fill(j->x, d, KT_NORMAL);
    kt_fill(j->w, n * d, KT_NORMAL);
    j->run = run_band_dots;
    j->work = (double)(n * d) * sizeof(float);
}

static void run_softmax_q30(const struct job *j) { j->k->softmax_q30(j->y, j->x, j->row->n); }
static void make_softmax_q30(struct job *j) { make_vectors(j, 8), j->run = run_softmax_q30; }

/* ---- the rows ---- */

static const struct row rows[] = {
    { "linear_f32", make_linear_f32, BY_LINEAR, PRISM_F16, 192, 192, 1024 },
    { "linear_f32", make_linear_f32, BY_LINEAR, PRISM_F16, 192, 192, 4096 },
    { "linear_auto", make_linear_auto, BY_LINEAR, PRISM_F16, 192, 192, 1024 },
    { "linear_auto", make_linear_auto, BY_LINEAR, PRISM_Q8_0, 192, 192, 1024 },
    { "linear_auto", make_linear_auto, BY_LINEAR, PRISM_Q4_0, 192, 192, 1024 },
    { "linear_auto", make_linear_auto, BY_LINEAR, PRISM_Q4_K, 192, 192, 1024 },
    { "linear_auto", make_linear_auto, BY_LINEAR, PRISM_Q6_K, 192, 192, 1024 },
    { "pack_a", make_pack_a, BY_CACHE, PRISM_F16, 192, 0, 1024 },
    { "pack_a", make_pack_a, BY_CACHE, PRISM_Q8_0, 192, 0, 1024 },
    { "pack_w", make_pack_w, BY_CACHE, PRISM_F16, 0, 192, 1024 },
    { "pack_w", make_pack_w, BY_CACHE, PRISM_Q8_0, 0, 192, 1024 },
    { "pack_w", make_pack_w, BY_CACHE, PRISM_Q4_0, 0, 192, 1024 },
    { "pack_w", make_pack_w, BY_CACHE, PRISM_Q4_K, 0, 192, 1024 },
    { "pack_w", make_pack_w, BY_CACHE, PRISM_Q6_K, 0, 192, 1024 },
    { "gemv", make_gemv, BY_READING, PRISM_Q8_0, 1, 16384, 1024 },
    { "gemv", make_gemv, BY_READING, PRISM_Q4_0, 1, 16384, 1024 },
    { "gemv", make_gemv, BY_READING, PRISM_Q4_K, 1, 16384, 1024 },
    { "gemv", make_gemv, BY_READING, PRISM_Q6_K, 1, 16384, 1024 },
    { "gemv", make_gemv, BY_READING, PRISM_F16, 1, 8192, 1024 },
    { "gemv", make_gemv, BY_READING, PRISM_Q8_0, 4, 8192, 1024 },
    { "to_f32", make_to_f32, BY_CACHE, PRISM_F16, 0, 4096, 0 },
    { "to_f32", make_to_f32, BY_CACHE, PRISM_Q8_0, 0, 4096, 0 },
    { "to_f32", make_to_f32, BY_CACHE, PRISM_Q4_0, 0, 4096, 0 },
    { "to_f32", make_to_f32, BY_CACHE, PRISM_Q4_K, 0, 4096, 0 },
    { "to_f32", make_to_f32, BY_CACHE, PRISM_Q6_K, 0, 4096, 0 },
    { "rms_norm", make_rms_norm, BY_CACHE, PRISM_F32, 0, 1024, 0 },
    { "rope", make_rope, BY_CACHE, PRISM_F32, 0, 128, 0 },
    { "rope", make_rope, BY_CACHE, PRISM_F32, 1, 128, 0 },
    { "rope_table", make_rope_table, BY_CACHE, PRISM_F32, 0, 4096, 64 },
    { "swiglu", make_swiglu, BY_CACHE, PRISM_F32, 0, 3072, 0 },
    { "add", make_add, BY_CACHE, PRISM_F32, 0, 1024, 0 },
    { "f32_to_f16", make_to_f16, BY_CACHE, PRISM_F32, 0, 4096, 0 },
    { "f32_to_bf16", make_to_bf16, BY_CACHE, PRISM_F32, 0, 4096, 0 },
    { "f16_to_f32", make_from_f16, BY_CACHE, PRISM_F32, 0, 4096, 0 },
    { "attention_f32", make_attention_f32, BY_ATTENTION, PRISM_F32, 64, 64, 1024 },
    { "attention_f32", make_attention_f32, BY_ATTENTION, PRISM_F32, 128, 128, 2048 },
    { "attention_auto", make_attention_auto, BY_ATTENTION, PRISM_F32, 64, 64, 1024 },
    { "attention_auto", make_attention_auto, BY_ATTENTION, PRISM_F32, 128, 128, 2048 },
    { "attn_row", make_attn_row, BY_READING, PRISM_F16, 128, 0, 4096 },
    { "band_dots", make_band_dots, BY_CACHE, PRISM_F32, 64, 256, 0 },
    { "band_dots", make_band_dots, BY_CACHE, PRISM_F32, 128, 1024, 0 },
    { "softmax_q30", make_softmax_q30, BY_CACHE, PRISM_F32, 0, 256, 0 },
    { "softmax_q30", make_softmax_q30, BY_CACHE, PRISM_F32, 0, 1024, 0 },
};

/* ---- measuring ---- */

static int ascending(const void *a, const void *b)
{
    double d = *(const double *)a - *(const double *)b;
    return (d > 0) - (d < 0);
}

/* Rates in 1e9 of j->work per second, ascending. */
static void measure(const struct job *j, double *rates)
{
    size_t repeat = 1;
    for (double seconds = 0;; repeat *= 2) {
        double start = peak_seconds();
        for (size_t i = 0; i < repeat; i++)
            j->run(j);
        seconds = peak_seconds() - start;
        if (seconds >= MIN_SECONDS)
            break;
    }
    for (int run = 0; run < RUNS; run++) {
        double start = peak_seconds();
        for (size_t i = 0; i < repeat; i++)
            j->run(j);
        rates[run] = 1e-9 * j->work * (double)repeat / (peak_seconds() - start);
    }
    qsort(rates, RUNS, sizeof *rates, ascending);
}

/* In the unit of the row's rate; 0: none is known. */
static double peak_of(const struct job *j)
{
    if (j->row->bound == BY_CACHE)
        return 0;
    if (j->row->bound == BY_READING)
        return peak_read_gbs((size_t)j->work);
    enum prism_peak_kind kind = !strcmp(j->kind, "f32") ? PRISM_PEAK_F32 : !strcmp(j->kind, "bf16") ? PRISM_PEAK_BF16 : PRISM_PEAK_I8;
    return peak_gops(j->k->level, kind);
}

static void print_line(const struct job *j, const double *rates, double generic)
{
    const struct row *r = j->row;
    bool operations = r->bound != BY_READING && r->bound != BY_CACHE;
    double median = rates[RUNS / 2], spread = (rates[3 * RUNS / 4] - rates[RUNS / 4]) / 2, peak = peak_of(j);
    char shape[64];

    snprintf(shape, sizeof shape, r->bound == BY_ATTENTION ? "d%zu block%zu keys%zu" : "m%zu n%zu k%zu", r->m, r->n, r->k);
    printf("%-14s %-6s %-14s %-4s %-22s %8.2f %-7s +- %5.2f %6.1fx generic", r->name, prism_types[r->type].name, j->k->name,
           j->kind ? j->kind : "", shape, median, operations ? "GFLOP/s" : "GB/s", spread, median / generic);
    if (peak > 0)
        printf("  %3.0f %% of %.1f", 100 * median / peak, peak);
    printf("\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const char *text = argc > 1 ? argv[1] : "", *level = argc > 2 ? argv[2] : "";

    for (int l = 0; l < PRISM_N_LEVELS; l++)
        if (prism_kernels_by_level[l] && !prism_level_runs_here((enum prism_level)l))
            printf("skipped: no %s\n", prism_level_label((enum prism_level)l));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!strstr(rows[i].name, text))
            continue;
        double generic = 0;
        for (int l = 0; l < PRISM_N_LEVELS; l++) {
            bool wanted = !level[0] || !strcmp(level, prism_level_label((enum prism_level)l));
            if (!prism_level_runs_here((enum prism_level)l) || (l != PRISM_LEVEL_GENERIC && !wanted))
                continue;
            struct job j = { .k = prism_kernels_by_level[l], .row = &rows[i] };
            double rates[RUNS];
            kt_seed(1);
            rows[i].make(&j);
            measure(&j, rates);
            if (l == PRISM_LEVEL_GENERIC)
                generic = rates[RUNS / 2];
            if (wanted)
                print_line(&j, rates, generic);
            kt_release();
        }
    }
    return 0;
}
