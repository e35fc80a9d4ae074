/* select_case.c - see select_case.h. */
#include "tests/support/select_case.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/attention/sketch.h"
#include "src/base/size.h"
#include "tests/support/kernel_test.h"

enum { CANARY = 64, GARBAGE = 0xff }; /* NaN in every format */

static void *allocate(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);
    if (!p)
        fail_msg("out of memory");
    return p;
}

static size_t blocks(const struct select_case *c, size_t n) { return (n + c->block - 1) / c->block; }

void select_case_open(struct select_case *c, uint32_t seed)
{
    size_t n = blocks(c, c->n_tokens);

    c->n_rot = c->n_rot ? c->n_rot : c->d;
    c->scale = (float)(1 / sqrt((double)c->d));
    c->kernels = prism_kernels_by_level[PRISM_LEVEL_GENERIC];
    c->params = (struct prism_select_params){
        .p_high = 0.9, .p_low = 0.9, .bands = { 2 * (c->n_rot / 4), 2 * (c->n_rot / 8) }, .energy = PRISM_ENERGY_GLOBAL, .sink = 128,
        .window = 2048, .vertical = 1000, .slash = 6096, .gamma = 0.95, .tau = 0.1, .min_budget = 0, .stride = 8, .threshold = 0.9,
        .row_mass = 0.1,
    };
    c->q = allocate(c->n_tokens * c->n_head * c->d, sizeof *c->q);
    c->k = allocate(c->n_tokens * c->n_head_kv * c->d, sizeof *c->k);
    c->cache = allocate(1, prism_kv_row_bytes(c->format, c->n_tokens * c->n_head_kv * c->d));
    c->q_mean = allocate(c->n_head * n * c->d, sizeof *c->q_mean);
    c->k_mean = allocate(c->n_head_kv * n * c->d, sizeof *c->k_mean);
    c->q_energy = allocate(c->n_head * n * 3, sizeof *c->q_energy);
    c->q_full = allocate(n, 1);
    c->bits = allocate(c->n_head * n * ((n + 63) / 64), sizeof *c->bits);
    c->mass = allocate(c->n_head, sizeof *c->mass);
    kt_seed(seed);
    kt_fill(c->q, c->n_tokens * c->n_head * c->d, KT_NORMAL);
    kt_fill(c->k, c->n_tokens * c->n_head_kv * c->d, KT_NORMAL);
}

void select_case_free(struct select_case *c)
{
    void *owned[] = { c->q, c->k, c->cache, c->q_mean, c->k_mean, c->q_energy, c->q_full, c->bits, c->mass, c->sketch, c->sketch_memory };
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
    *c = (struct select_case){ 0 };
}

/* ---- pooling: mean by count of the rows [from, to) at x, ld apart, dims by frequency ---- */

static void pool(const struct select_case *c, float *mean, const float *x, size_t ld, size_t from, size_t to)
{
    for (size_t i = 0; i < c->d; i++) {
        size_t dim = i >= c->n_rot || c->interleaved ? i : i / 2 + i % 2 * (c->n_rot / 2);
        float sum = 0;
        for (size_t t = from; t < to; t++)
            sum += x[t * ld + dim];
        mean[i] = sum / (float)(to - from);
    }
}

static void pool_all(struct select_case *c, size_t from, size_t to)
{
    size_t n = blocks(c, to), first = from / c->block, ld = c->n_head * c->d;

    for (size_t h = 0; h < c->n_head; h++)
        for (size_t u = first; u < n; u++)
            pool(c, c->q_mean + (h * (n - first) + u - first) * c->d, c->q + h * c->d, ld, u == first ? from : u * c->block,
                 min_size((u + 1) * c->block, to));
    for (size_t h = 0; h < c->n_head_kv; h++)
        for (size_t v = 0; v < n; v++)
            pool(c, c->k_mean + (h * n + v) * c->d, c->k + h * c->n_tokens * c->d, c->d, v * c->block, min_size((v + 1) * c->block, to));
    for (size_t u = first; u < n; u++)
        c->q_full[u] = u * c->block >= from && (u + 1) * c->block <= to;
}

static void fill_cache(struct select_case *c)
{
    size_t n = c->n_tokens * c->n_head_kv * c->d;
    float *k = allocate(n, sizeof *k); /* kt_store_kv rounds what it is given */

    memcpy(k, c->k, n * sizeof *k);
    kt_store_kv(c->cache, k, n, c->format);
    free(k);
}

/* ---- one call ---- */

static bool run_jobs(void *self, size_t n_jobs, double work, prism_job_fn *fn, void *arg)
{
    struct select_case *c = self;

    (void)work;
    if (++c->phase == c->stop_at)
        return false;
    if (c->n_threads == 1) {
        for (size_t job = 0; job < n_jobs; job++)
            fn(arg, job, 0);
        return true;
    }
#pragma omp parallel for schedule(dynamic) num_threads((int)c->n_threads)
    for (size_t job = 0; job < n_jobs; job++)
        fn(arg, job, (uint32_t)omp_get_thread_num());
    return true;
}

/* Scratch with a canary behind it; a multiple of 64 bytes, 64-byte aligned. */
static uint8_t *scratch(size_t bytes)
{
    uint8_t *p = aligned_alloc(64, bytes + CANARY);
    if (!p)
        fail_msg("out of memory");
    memset(p, GARBAGE, bytes + CANARY);
    return p;
}

static void check_canary(const uint8_t *end)
{
    for (int i = 0; i < CANARY; i++)
        if (end[i] != GARBAGE)
            fail_msg("written behind the scratch");
}

static size_t round_64(size_t n) { return (n + 63) / 64 * 64; }

/* Kept from run to run, as the engine does. */
static struct prism_sketch *sketch(struct select_case *c, const struct prism_select_call *call)
{
    struct prism_arena plan = { 0 }, memory = { 0 };
    size_t n = blocks(c, c->n_tokens);

    if (c->sketch && c->sketch_kernels == c->kernels)
        return c->sketch;
    free(c->sketch);
    free(c->sketch_memory);
    prism_sketch_layout(call, n, &plan);
    c->sketch = allocate(1, sizeof *c->sketch);
    memory.base = c->sketch_memory = aligned_alloc(64, round_64(plan.used));
    memory.capacity = round_64(plan.used);
    if (!memory.base)
        fail_msg("out of memory");
    memset(memory.base, 0, memory.capacity);
    *c->sketch = prism_sketch_layout(call, n, &memory);
    c->sketch_kernels = c->kernels;
    return c->sketch;
}

bool select_case_run(struct select_case *c, const struct prism_selector *s, size_t from, size_t to, size_t n_threads)
{
    size_t n = blocks(c, to), first = from / c->block;
    struct prism_select_call call = {
        .kernels = c->kernels, .runner = { run_jobs, c }, .params = &c->params, .n_head = c->n_head, .n_head_kv = c->n_head_kv, .d = c->d,
        .block = c->block, .q_pos = from, .n_tokens = to - from, .kv_len = to, .scale = c->scale, .q_mean = c->q_mean, .k_mean = c->k_mean,
        .q_energy = c->q_energy, .energy_blocks = blocks(c, c->n_tokens), .q_full = c->q_full, .q = c->q + from * c->n_head * c->d,
        .k = c->cache, .kv_head_bytes = prism_kv_row_bytes(c->format, c->n_tokens * c->d), .format = c->format, .mask = &c->mask, .mass = c->mass,
    };
    call.sketch = s->sketched ? sketch(c, &call) : NULL;
    size_t shared = round_64(s->shared_bytes(&call)), thread = round_64(s->thread_bytes(&call));

    pool_all(c, from, to);
    fill_cache(c);
    c->phase = 0, c->n_threads = n_threads;
    c->mask = (struct prism_mask){ c->bits, c->n_head, first, n - first, (n + 63) / 64 };
    memset(c->bits, 0, c->n_head * c->mask.n_rows * c->mask.words * sizeof *c->bits);
    for (size_t h = 0; h < c->n_head; h++)
        c->mass[h] = -1;
    call.shared = scratch(shared);
    call.scratch_bytes = thread + CANARY;
    call.scratch = scratch(n_threads * call.scratch_bytes);

    bool done = prism_select(s, &call);

    check_canary(call.shared + shared);
    for (size_t t = 0; t < n_threads; t++)
        check_canary(call.scratch + t * call.scratch_bytes + thread);
    free(call.shared);
    free(call.scratch);
    return done;
}

bool select_case_bit(const struct select_case *c, size_t head, size_t u, size_t v)
{
    return prism_mask_row(&c->mask, head, u - c->mask.first)[v / 64] >> v % 64 & 1;
}

uint64_t *select_case_copy(const struct select_case *c, size_t *bytes)
{
    *bytes = c->n_head * c->mask.n_rows * c->mask.words * sizeof *c->bits;
    uint64_t *copy = allocate(*bytes, 1);
    memcpy(copy, c->bits, *bytes);
    return copy;
}

const struct prism_selector *select_case_find(const char *name)
{
    for (size_t i = 0; i < prism_n_selectors; i++)
        if (!strcmp(prism_selectors[i]->name, name))
            return prism_selectors[i];
    fail_msg("no selector \"%s\"", name);
    return NULL;
}

/* ---- cases for every selector ---- */

const struct select_shape select_shapes[SELECT_SHAPES] = {
    { 4, 2, 16, 32, 601, 0, false, PRISM_KVF_F32 },
    { 3, 1, 24, 64, 640, 16, true, PRISM_KVF_F16 },
    { 2, 2, 8, 32, 256, 0, false, PRISM_KVF_BF16 },
};

static const struct select_range ranges[] = { { 0, 640 }, { 0, 213 }, { 128, 640 }, { 101, 230 }, { 0, 20 }, { 200, 203 } };

struct select_case select_case_peaked(const struct select_shape *s, uint32_t seed)
{
    struct select_case c = { .n_head = s->n_head, .n_head_kv = s->n_head_kv, .d = s->d, .block = s->block, .n_tokens = s->n_tokens,
                             .n_rot = s->n_rot, .interleaved = s->interleaved, .format = s->format };
    select_case_open(&c, seed);
    c.scale *= 2;
    for (size_t h = 0; h < c.n_head_kv; h++)
        for (size_t t = 0; t < c.n_tokens; t++) {
            float *k = c.k + (h * c.n_tokens + t) * c.d, *q = c.q + (t * c.n_head + h) * c.d;
            k[0] += t < 20 || t % 89 == 5 ? 2.0f : 0;
            q[0] += 1.0f;
            for (size_t i = 0; i < c.d && t >= 77; i++)
                q[i] += 0.5f * k[i - 77 * (ptrdiff_t)c.d];
            for (size_t i = 0; i < c.d; i++)
                k[i] = roundf(k[i] * 16) / 16; /* 8 significant bits hold what is below 16 */
        }
    return c;
}

/* The range cut to the prompt; false: nothing is left. What lies behind it must not be looked at. */
static bool fit(struct select_case *c, const struct select_range *r, struct select_range *out)
{
    *out = (struct select_range){ r->from, r->to < c->n_tokens ? r->to : c->n_tokens };
    for (size_t h = 0; h < c->n_head_kv; h++)
        for (size_t i = out->to * c->d; i < c->n_tokens * c->d; i++)
            c->k[h * c->n_tokens * c->d + i] = NAN;
    return out->from < out->to;
}

void select_all_cases(void (*check)(struct select_case *c, struct select_range r))
{
    for (size_t l = 0; l < PRISM_N_LEVELS; l++)
        for (size_t s = 0; prism_kernels_by_level[l] && prism_level_runs_here((enum prism_level)l) && s < SELECT_SHAPES; s++)
            for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
                struct select_range r;
                struct select_case c = select_case_peaked(&select_shapes[s], (uint32_t)(7 + s));
                c.kernels = prism_kernels_by_level[l];
                if (fit(&c, &ranges[i], &r))
                    check(&c, r);
                select_case_free(&c);
            }
}
