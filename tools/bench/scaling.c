/* scaling.c - see scaling.h. */
#include "tools/bench/scaling.h"

#include <string.h>

#include "src/attention/attention.h"
#include "src/base/size.h"
#include "src/engine/split.h"

const char *scaling_phase_name(enum scaling_phase phase)
{
    static const char *const names[SCALING_PHASES] = {
        [SCALING_NORM] = "norm, pack", [SCALING_QKV] = "q, k, v", [SCALING_ROPE] = "rotate", [SCALING_PACK_KV] = "pack k, v",
        [SCALING_TILES] = "attention", [SCALING_PACK_O] = "pack for o", [SCALING_OUT] = "o", [SCALING_FFN_NORM] = "norm, pack (FFN)",
        [SCALING_GATE_UP] = "gate, up", [SCALING_PACK_DOWN] = "pack for down", [SCALING_DOWN_OUT] = "down",
    };
    return names[phase];
}

/* ---- a team ---- */

struct team {
    size_t n_threads;
    double free_at[PRISM_MAX_THREADS]; /* of each thread, in the running phase */
    struct scaling *out;
    struct scaling_time *phase;
    double phase_cost;
};

static void begin_phase(struct team *t, enum scaling_phase phase)
{
    t->phase = &t->out->phase[phase];
    memset(t->free_at, 0, t->n_threads * sizeof *t->free_at);
}

/* The next job goes to the thread that is free first. */
static void hand_out(struct team *t, double cost)
{
    size_t first = 0;

    for (size_t i = 1; i < t->n_threads; i++)
        if (t->free_at[i] < t->free_at[first])
            first = i;
    t->free_at[first] += cost;
    t->phase->busy += cost;
    t->phase->n_jobs++;
}

static void end_phase(struct team *t)
{
    double last = 0;

    for (size_t i = 0; i < t->n_threads; i++)
        last = t->free_at[i] > last ? t->free_at[i] : last;
    t->phase->span += last + t->phase_cost;
}

/* ---- phases ---- */

/* Rows of k activations are made (at `made` a value) and packed for the kinds of these matrices. */
static void pack_rows(struct team *t, const struct scaling_layer *l, enum scaling_phase phase, const enum scaling_matrix *for_each,
                      size_t n, double made, size_t n_rows, size_t k)
{
    const struct prism_linear *kinds[SCALING_MATRICES];
    size_t n_kinds = 0;
    double each = made;

    for (size_t i = 0; i < n; i++) {
        size_t j = 0;
        while (j < n_kinds && kinds[j] != l->kind[for_each[i]])
            j++;
        if (j < n_kinds)
            continue;
        kinds[n_kinds++] = l->kind[for_each[i]];
        each += l->cost.pack_a[for_each[i]];
    }
    size_t rows = prism_split_pack(kinds, n_kinds, n_rows, t->n_threads);
    begin_phase(t, phase);
    for (size_t row = 0; row < n_rows; row += rows)
        hand_out(t, each * (double)(min_size(rows, n_rows - row) * k));
    end_phase(t);
}

/* p[i] is a product with matrix which[i]. */
static void multiply(struct team *t, const struct scaling_layer *l, enum scaling_phase phase, const struct prism_product *p,
                     const enum scaling_matrix *which, size_t n, size_t n_rows, size_t k)
{
    struct prism_split s = { .p = p, .n = n, .n_rows = n_rows, .k = k, .n_threads = t->n_threads };

    prism_split_products(&s);
    begin_phase(t, phase);
    for (size_t job = 0; job < s.n_jobs; job++) {
        struct prism_piece piece = prism_split_piece(&s, job);
        enum scaling_matrix m = which[piece.p - p];
        double cols = (double)piece.cols, rows = (double)piece.n_rows, weights = cols * (double)k * (piece.p->up.data ? 2 : 1);
        hand_out(t, weights * (l->cost.pack_w[m] + rows * l->cost.multiply[m]) + (piece.p->up.data ? rows * cols * l->cost.activate : 0));
    }
    end_phase(t);
}

static struct prism_product product(const struct scaling_layer *l, enum scaling_matrix m, size_t cols)
{
    return (struct prism_product){ .m = { .rows = cols }, .kind = l->kind[m] };
}

static void qkv(struct team *t, const struct scaling_layer *l, size_t row, size_t n)
{
    static const enum scaling_matrix which[] = { SCALING_Q, SCALING_K, SCALING_V };
    size_t kv = l->n_head_kv * l->head_dim, grain = prism_split_rope(n, t->n_threads);
    const struct prism_product p[] = { product(l, which[0], l->n_head * l->head_dim), product(l, which[1], kv), product(l, which[2], kv) };

    pack_rows(t, l, SCALING_NORM, which, 3, l->cost.norm, n, l->n_embd);
    multiply(t, l, SCALING_QKV, p, which, 3, n, l->n_embd);
    begin_phase(t, SCALING_ROPE);
    for (size_t at = row / grain * grain; at < row + n; at += grain) {
        size_t rows = min_size(at + grain, row + n) - (at > row ? at : row);
        hand_out(t, l->cost.rotate * (double)(rows * (l->n_head + 2 * l->n_head_kv) * l->head_dim));
    }
    end_phase(t);
}

static void attend(struct team *t, const struct scaling_layer *l)
{
    struct prism_attention_split s = { .n_rows = l->n_tokens, .block = l->block, .n_threads = t->n_threads, .n_heads = l->n_head_kv,
                                       .tile_rows = prism_attention_tile_rows(l->attention, l->block), .group = l->n_head / l->n_head_kv };

    prism_attention_split(&s);
    begin_phase(t, SCALING_PACK_KV);
    for (size_t job = 0; job < prism_attention_pack_jobs(&s); job++) {
        struct prism_attention_pack p = prism_attention_pack_of(&s, job);
        hand_out(t, l->cost.pack_kv * (double)((min_size(p.end * s.block, s.kv_len) - p.block * s.block) * l->head_dim));
    }
    end_phase(t);
    begin_phase(t, SCALING_TILES);
    for (size_t job = 0; job < prism_attention_tile_jobs(&s); job++) {
        struct prism_attention_rows_of_head r = prism_attention_tile_of(&s, job);
        hand_out(t, l->cost.tile * (double)((r.end - r.pos) * r.n_blocks * s.block * l->head_dim));
    }
    end_phase(t);
}

static void halves(struct team *t, const struct scaling_layer *l, size_t n)
{
    static const enum scaling_matrix o = SCALING_O, gate = SCALING_GATE, down = SCALING_DOWN;
    static const uint8_t some;
    struct prism_product p_o = product(l, o, l->n_embd), p_gate = product(l, gate, l->n_ff), p_down = product(l, down, l->n_embd);
    size_t width = l->n_head * l->head_dim;

    p_gate.up = (struct prism_matrix){ .data = &some, .rows = l->n_ff };
    pack_rows(t, l, SCALING_PACK_O, &o, 1, 0, n, width);
    multiply(t, l, SCALING_OUT, &p_o, &o, 1, n, width);
    pack_rows(t, l, SCALING_FFN_NORM, &gate, 1, l->cost.norm, n, l->n_embd);
    multiply(t, l, SCALING_GATE_UP, &p_gate, &gate, 1, n, l->n_embd);
    if (!prism_split_in_parts(&(struct prism_split){ .p = &p_gate, .n = 1, .n_rows = n, .k = l->n_embd, .n_threads = t->n_threads }, l->kind[down]))
        pack_rows(t, l, SCALING_PACK_DOWN, &down, 1, 0, n, l->n_ff);
    multiply(t, l, SCALING_DOWN_OUT, &p_down, &down, 1, n, l->n_ff);
}

void scaling_model(const struct scaling_layer *l, size_t n_threads, struct scaling *out)
{
    struct team t = { .n_threads = n_threads, .out = out, .phase_cost = n_threads > 1 ? l->cost.phase : 0 };
    size_t slab = prism_split_slab(l->n_tokens, n_threads);

    memset(out, 0, sizeof *out);
    for (size_t row = 0, n; row < l->n_tokens; row += n) {
        n = prism_split_slab_rows(slab, l->n_tokens - row);
        qkv(&t, l, row, n);
    }
    attend(&t, l);
    for (size_t row = 0, n; row < l->n_tokens; row += n) {
        n = prism_split_slab_rows(slab, l->n_tokens - row);
        halves(&t, l, n);
    }
    for (int i = 0; i < SCALING_PHASES; i++) {
        out->total.n_jobs += out->phase[i].n_jobs;
        out->total.busy += out->phase[i].busy;
        out->total.span += out->phase[i].span;
    }
}
