/* bench_scaling_costs.c - what the jobs of a layer cost, by the kernels that they call; see bench_scaling.h. */
#include "tools/bench/bench_scaling.h"

#include <time.h>

#include "src/attention/attention.h"
#include "src/engine/linear.h"
#include "tools/bench/bench_rows.h"
#include "tools/common/process.h"

enum { ROWS = 96, COLS = 128, KV_BLOCKS = 16, ROUNDS = 7, ROUND_NS = 2000000, PHASES = 2000 };

typedef void run_fn(void *arg);

static double now_ns(void) { return bench_seconds() * 1e9; }

/* Processor nanoseconds of a run, the best of a few rounds of ROUND_NS. */
static double best_ns(run_fn *run, void *arg)
{
    double best = 0;
    long times = 1;

    run(arg);
    for (int round = 0; round < ROUNDS;) {
        double start = now_ns();
        for (long i = 0; i < times; i++)
            run(arg);
        double ns = now_ns() - start;
        if (ns < ROUND_NS / 2) {
            times *= 2;
            continue;
        }
        ns /= (double)times;
        best = round == 0 || ns < best ? ns : best;
        round++;
    }
    return best;
}

/* ---- products ---- */

struct product_run {
    const struct prism_linear *kind;
    enum prism_type type;
    size_t k, row_bytes;
    const float *x;    /* [ROWS][k] */
    const char *w;     /* [COLS] stored */
    char *a, *panels;
    float *c;          /* [ROWS][COLS] */
};

static void run_pack_a(void *arg)
{
    const struct product_run *p = arg;
    for (size_t i = 0; i < ROWS; i += p->kind->mr)
        p->kind->pack_a(p->a + i / p->kind->mr * p->kind->a_bytes(p->k), p->x + i * p->k, p->k, p->kind->mr, p->k);
}

static void run_pack_w(void *arg)
{
    const struct product_run *p = arg;
    for (size_t i = 0; i < COLS; i += p->kind->nr)
        p->kind->pack_w(p->panels + i / p->kind->nr * p->kind->w_bytes(p->k), p->w + i * p->row_bytes, p->row_bytes, p->type, p->kind->nr, p->k);
}

static void run_gemm(void *arg)
{
    const struct product_run *p = arg;
    p->kind->gemm(&(struct prism_gemm_args){ .c = p->c, .ldc = COLS, .a = p->a, .w = p->panels, .rows = ROWS, .cols = COLS, .k = p->k });
}

static void measure_matrix(struct bench_job *j, struct bench_scaling_subject *s, enum scaling_matrix m, size_t k)
{
    const struct prism_linear *kind = s->layer.kind[m];
    struct product_run p = { .kind = kind, .type = s->type[m], .k = k, .row_bytes = prism_row_bytes(s->type[m], k) };
    const uint64_t used = j->memory.used;

    p.x = bench_floats(j, ROWS * k);
    p.w = bench_weights(j, p.type, COLS, k);
    p.a = bench_take(j, ROWS / kind->mr * kind->a_bytes(k));
    p.panels = bench_take(j, COLS / kind->nr * kind->w_bytes(k));
    p.c = bench_take(j, ROWS * COLS * sizeof(float));
    s->layer.cost.pack_a[m] = best_ns(run_pack_a, &p) / (double)(ROWS * k);
    s->layer.cost.pack_w[m] = best_ns(run_pack_w, &p) / (double)(COLS * k);
    s->layer.cost.multiply[m] = best_ns(run_gemm, &p) / (double)((size_t)ROWS * COLS * k);
    j->memory.used = used;
}

/* ---- values ---- */

struct value_run {
    const struct prism_kernels *k;
    size_t n;
    float *x, *y;
    void *half;
};

static void run_norm(void *arg) { const struct value_run *r = arg; r->k->rms_norm(r->y, r->x, r->x, r->n, 1e-5f); }
static void run_gate(void *arg) { const struct value_run *r = arg; r->k->gate[PRISM_GATE_SWIGLU](r->y, r->x, r->n); }

/* A head is rotated, looked over, and as a key or a value stored: on average less than each time. */
static void run_head(void *arg)
{
    const struct value_run *r = arg;
    r->k->rope(r->y, r->x, r->x, r->n, false);
    r->k->f32_to_f16(r->half, r->y, r->n);
}

static void measure_values(struct bench_job *j, struct bench_scaling_subject *s)
{
    struct scaling_costs *c = &s->layer.cost;
    size_t n = s->layer.n_embd, d = s->layer.head_dim;
    struct value_run r = { s->kernels, n, bench_floats(j, n), bench_floats(j, n), bench_take(j, n * sizeof(float)) };

    c->norm = best_ns(run_norm, &r) / (double)n;
    r.n = COLS;
    c->activate = best_ns(run_gate, &r) / COLS + c->pack_a[SCALING_DOWN];
    r.n = d;
    c->rotate = best_ns(run_head, &r) / (double)d;
}

/* ---- attention ---- */

struct attention_run {
    const struct prism_attention *a;
    size_t d, block;
    const void *kv; /* a block of the cache */
    char *k, *v;
    struct prism_attn_tile tile;
};

static void run_pack_kv(void *arg)
{
    const struct attention_run *r = arg;
    r->a->pack_k(r->k, r->kv, PRISM_KVF_F16, r->block, r->d, r->block);
    r->a->pack_v(r->v, r->kv, PRISM_KVF_F16, r->block, r->d, r->block);
}

static void run_tile(void *arg) { const struct attention_run *r = arg; r->a->tile(&r->tile); }

static void measure_attention(struct bench_job *j, struct bench_scaling_subject *s)
{
    const struct prism_attention *a = s->layer.attention;
    size_t d = s->layer.head_dim, block = s->layer.block, n = block * d, rows = prism_attention_tile_rows(a, block), keys = KV_BLOCKS * block;
    struct attention_run r = { .a = a, .d = d, .block = block };
    float *x = bench_floats(j, n);
    void *kv = bench_take(j, n * sizeof(uint16_t));
    uint32_t *blocks = bench_take(j, KV_BLOCKS * sizeof *blocks);

    s->kernels->f32_to_f16(kv, x, n);
    r.kv = kv;
    char *k = bench_take(j, KV_BLOCKS * a->k_block_bytes(d, block)), *v = bench_take(j, KV_BLOCKS * a->v_block_bytes(d, block));
    for (uint32_t b = 0; b < KV_BLOCKS; b++) {
        blocks[b] = b;
        r.k = k + b * a->k_block_bytes(d, block);
        r.v = v + b * a->v_block_bytes(d, block);
        run_pack_kv(&r);
    }
    r.tile = (struct prism_attn_tile){ .q = x, .ldq = d, .o = bench_take(j, rows * d * sizeof(float)), .ldo = d, .rows = rows, .d = d,
        .q_pos = keys - rows, .kv_len = keys, .block = block, .k = k, .v = v, .blocks = blocks, .n_blocks = KV_BLOCKS, .scale = 0.1f,
        .scratch = bench_take(j, a->tile_scratch(d, block)) };
    s->layer.cost.pack_kv = best_ns(run_pack_kv, &r) / (double)n;
    s->layer.cost.tile = best_ns(run_tile, &r) / (double)(rows * keys * d);
}

/* ---- a phase ---- */

static void nothing(void *arg, size_t job, uint32_t thread) { (void)arg, (void)job, (void)thread; }

/* By the clock, not by processor time: of two threads, where the machine has two processors. */
static int measure_phase(struct bench_scaling_subject *s)
{
    struct prism_team *team;
    struct prism_error err;
    struct timespec a, b;
    double best = 0;

    if (prism_team_create(2, false, &team, &err))
        return process_error("%s", err.text);
    for (int round = 0; round < ROUNDS; round++) {
        clock_gettime(CLOCK_MONOTONIC, &a);
        for (int i = 0; i < PHASES; i++)
            prism_team_run(team, 2, nothing, NULL);
        clock_gettime(CLOCK_MONOTONIC, &b);
        double ns = ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / PHASES;
        best = round == 0 || ns < best ? ns : best;
    }
    prism_team_free(team);
    s->layer.cost.phase = best;
    return PROCESS_OK;
}

int bench_scaling_costs(struct bench_scaling_subject *s)
{
    const struct scaling_layer *l = &s->layer;
    struct bench_job j = { .memory = { .capacity = BENCH_JOB_BYTES } };

    j.memory.base = prism_reserve(j.memory.capacity, j.memory.capacity);
    if (!j.memory.base)
        return process_error("no memory for the operands");
    for (int m = 0; m < SCALING_MATRICES; m++)
        measure_matrix(&j, s, (enum scaling_matrix)m, m == SCALING_O ? l->n_head * l->head_dim : m == SCALING_DOWN ? l->n_ff : l->n_embd);
    measure_values(&j, s);
    measure_attention(&j, s);
    prism_release(j.memory.base, j.memory.capacity);
    return measure_phase(s);
}
