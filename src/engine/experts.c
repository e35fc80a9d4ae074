/* experts.c - mixture of experts (layer.h): the router, then each expert's products over its tokens of the whole call, so that its weights are
 * unpacked once. architectures.md 2.6. */
#include "src/engine/layer.h"

#include <math.h>
#include <string.h>

#include "src/base/size.h"

enum {
    CHOOSE_ROWS = 32,     /* rows of one job of choosing */
    GROUP_ROWS = 4096,    /* of the experts that go through their products together: activations of a group stay in the last-level cache */
};
#define NOBODY UINT32_MAX /* a row between two experts' rows */

/* ---- memory ---- */

/* That a layer has, or that it uses of them for a token. */
static size_t most_experts(const struct prism_model *m, bool used)
{
    size_t most = 0;
    for (uint32_t i = 0; i < m->n_layer; i++)
        most = max_size(most, used ? m->layers[i].ffn.experts.n_used : m->layers[i].ffn.experts.n);
    return most;
}

size_t prism_experts_rows(const struct prism_context *c, size_t n_tokens)
{
    size_t n = most_experts(c->model, false), used = most_experts(c->model, true);
    size_t all = n_tokens * used + min_size(n, n_tokens * used) * (PRISM_PACK_ROWS - 1);
    return n ? min_size(all, round_up(max_size(GROUP_ROWS, PRISM_FEW_TOKENS * used), PRISM_PACK_ROWS)) : 0;
}

size_t prism_experts_scratch(const struct prism_context *c) { return most_experts(c->model, false) * sizeof(double); }

void prism_experts_layout(struct prism_context *c, struct prism_arena *a)
{
    size_t n = most_experts(c->model, false), used = most_experts(c->model, true), n_ctx = c->plan.n_ctx, rows = prism_experts_rows(c, n_ctx);
    struct prism_routes *r = &c->routes;

    if (!n)
        return;
    r->expert = prism_arena_take(a, n_ctx * used, sizeof *r->expert);
    r->weight = prism_arena_take(a, n_ctx * used, sizeof *r->weight);
    r->sorted = prism_arena_take(a, n_ctx * used, sizeof *r->sorted);
    r->begin = prism_arena_take(a, n + 1, sizeof *r->begin);
    r->logits = prism_arena_take(a, c->plan.slab_tokens * n, sizeof *r->logits);
    r->shared = prism_arena_take(a, n_ctx, sizeof *r->shared);
    r->to = prism_arena_take(a, rows, sizeof *r->to);
    r->to_weight = prism_arena_take(a, rows, sizeof *r->to_weight);
    r->gated = prism_arena_take(a, n, sizeof *r->gated);
    r->down = prism_arena_take(a, n, sizeof *r->down);
    r->sum = prism_widths(c->model).sums ? prism_arena_take(a, n_ctx * c->model->n_embd, sizeof *r->sum) : NULL;
}

/* ---- the call ---- */

struct expert_call {
    struct prism_context *c;
    const struct prism_layer *layer;
    const struct prism_experts *e;
    size_t pos, first, n; /* rows [first, first + n) of the call, whose row 0 stands at pos */
    enum prism_way way;   /* of the experts' products: by the number of tokens, not by that of an expert's rows, which other tokens decide */
    float *h;             /* [n][n_embd] rows of x, normalised: where queries were */
    float *to;            /* [n][n_embd] that experts add to: rows of x, or those that wait for norms */
    bool waits;
    size_t slab, slab_n;  /* of the router's logits */
};

/* ---- the router ---- */

/* p[i] of the numbers r[i]: what experts are chosen by (but for the bias) and weighed with. Where only the chosen count in the end, softmax may
 * wait: p is then r, and `softmax` true. */
static bool probabilities(const struct prism_experts *e, const float *r, double *p)
{
    bool late = e->gating == PRISM_GATING_SOFTMAX_CHOSEN || (e->gating == PRISM_GATING_SOFTMAX && e->normalise && !e->choice_bias);
    double most = -INFINITY, sum = 0;

    for (uint32_t i = 0; i < e->n; i++)
        most = (double)r[i] > most ? (double)r[i] : most;
    for (uint32_t i = 0; i < e->n; i++) {
        p[i] = late ? (double)r[i] : e->gating == PRISM_GATING_SIGMOID ? 1 / (1 + exp(-(double)r[i])) : exp((double)r[i] - most);
        sum += p[i];
    }
    for (uint32_t i = 0; !late && e->gating == PRISM_GATING_SOFTMAX && i < e->n; i++)
        p[i] /= sum;
    return late;
}

static bool is_chosen(const uint32_t *expert, uint32_t n, uint32_t i)
{
    for (uint32_t j = 0; j < n; j++)
        if (expert[j] == i)
            return true;
    return false;
}

/* The best n_used, in descending order; of equals the lower index. */
static void choose(const struct prism_experts *e, const double *p, const float *logits, uint32_t *expert)
{
    for (uint32_t k = 0; k < e->n_used; k++) {
        double best = -INFINITY;
        uint32_t at = 0;
        for (uint32_t i = 0; i < e->n; i++) {
            double t = (e->by_logit ? (double)logits[i] : p[i]) + (e->choice_bias ? (double)e->choice_bias[i] : 0);
            if (t > best && !is_chosen(expert, k, i))
                best = t, at = i;
        }
        expert[k] = at;
    }
}

static void weigh(const struct prism_experts *e, const double *p, bool softmax, const uint32_t *expert, float factor, float *weight)
{
    double sum = 0;

    for (uint32_t k = 0; k < e->n_used; k++)
        sum += softmax ? exp(p[expert[k]] - p[expert[0]]) : p[expert[k]];
    for (uint32_t k = 0; k < e->n_used; k++) {
        double w = softmax ? exp(p[expert[k]] - p[expert[0]]) / sum : e->normalise ? p[expert[k]] / fmax(sum, 0x1p-14) : p[expert[k]];
        weight[k] = (float)(w * (double)e->scale) * (e->each_scale ? e->each_scale[expert[k]] : 1) * factor;
    }
}

/* Whether what decides about a row is finite: the gate of the shared expert would be 0 or 1 for an infinity, and a choice pass over NaN. */
static bool is_decided(const struct expert_call *l, const float *logits, size_t row)
{
    const struct prism_experts *e = l->e;
    return prism_is_finite(logits, e->n) && (!e->choice_bias || prism_is_finite(e->choice_bias, e->n)) &&
           (!l->layer->ffn.dense_gate.data || isfinite(l->c->routes.shared[row]));
}

static void choose_job(void *arg, size_t job, uint32_t thread)
{
    const struct expert_call *l = arg;
    const struct prism_experts *e = l->e;
    struct prism_routes *r = &l->c->routes;
    double *p = prism_thread_scratch(l->c, thread);

    for (size_t i = job * CHOOSE_ROWS, end = min_size(i + CHOOSE_ROWS, l->slab_n); i < end; i++) {
        const float *logits = r->logits + i * e->n;
        size_t row = l->slab + i;
        uint32_t *expert = r->expert + row * e->n_used;
        if (!is_decided(l, logits, row)) {
            prism_note_fault(l->c, PRISM_FAULT_ROUTER, l->pos + l->first + row, 0);
            continue;
        }
        bool softmax = probabilities(e, logits, p);
        choose(e, p, logits, expert);
        weigh(e, p, softmax, expert, l->waits || e->weigh_input ? 1 : l->layer->residual_scale, r->weight + row * e->n_used);
        if (l->layer->ffn.dense_gate.data)
            r->shared[row] = (float)(1 / (1 + exp(-(double)r->shared[row])));
    }
}

/* Rows that a norm makes are kept for the experts; the router reads them too, or another norm's. Sums begin as zeros. */
static void keep_norm_rows(struct prism_context *c, void *arg, size_t row, size_t n_rows, float *out)
{
    const struct expert_call *l = arg;
    struct prism_norm_rows source = { c->x + (l->first + l->slab) * c->model->n_embd, l->e->norm.kind ? &l->e->norm : &l->layer->ffn_norm,
                                      l->pos + l->first + l->slab, PRISM_FAULT_ATTENTION };
    size_t n_embd = c->model->n_embd;

    prism_norm_rows(c, &source, row, n_rows, out);
    memcpy(l->h + (l->slab + row) * n_embd, out, n_rows * n_embd * sizeof *out);
    if (l->waits)
        memset(l->to + (l->slab + row) * n_embd, 0, n_rows * n_embd * sizeof *out);
    if (l->e->router_norm.kind) {
        source.norm = &l->e->router_norm;
        prism_norm_rows(c, &source, row, n_rows, out);
    }
}

/* Which experts take which rows, and with which weight. In fp32: a choice flips by little. */
static bool route(struct expert_call *l)
{
    struct prism_context *c = l->c;
    const struct prism_ffn_spec *f = &l->layer->ffn;
    size_t n_embd = c->model->n_embd;

    for (l->slab = 0; l->slab < l->n; l->slab += l->slab_n) {
        l->slab_n = prism_slab_rows(c, l->n - l->slab);
        struct prism_product p[2] = {
            { .m = f->experts.router, .kind = c->kernels->linear_f32, .bias = f->experts.router_bias, .y = c->routes.logits, .ldy = f->experts.n },
            { .m = f->dense_gate, .kind = c->kernels->linear_f32, .y = c->routes.shared + l->slab, .ldy = 1 },
        };
        struct prism_rows rows = { .fn = keep_norm_rows, .arg = l };
        if (!prism_products(c, &rows, l->slab_n, n_embd, p, f->dense_gate.data ? 2 : 1) ||
            !prism_context_run(c, PRISM_PHASE_OTHER, div_up(l->slab_n, CHOOSE_ROWS), 0, choose_job, l))
            return false;
    }
    return true;
}

/* The pairs of a row and one of its experts, by expert, then by row. */
static void sort_pairs(const struct expert_call *l)
{
    struct prism_routes *r = &l->c->routes;
    size_t n = l->e->n, pairs = l->n * l->e->n_used;

    memset(r->begin, 0, (n + 1) * sizeof *r->begin);
    for (size_t i = 0; i < pairs; i++)
        r->begin[r->expert[i] + 1]++;
    for (size_t e = 0; e < n; e++)
        r->begin[e + 1] += r->begin[e];
    for (size_t i = 0; i < pairs; i++)
        r->sorted[r->begin[r->expert[i]]++] = (uint32_t)i;
    for (size_t e = n; e > 0; e--) /* each has moved on to where the next begins */
        r->begin[e] = r->begin[e - 1];
    r->begin[0] = 0;
}

/* ---- the experts ---- */

/* Experts have gates. */
static struct prism_product gated_of(const struct expert_call *l, size_t e, size_t first, size_t n)
{
    const struct prism_ffn *f = &l->e->each;
    return (struct prism_product){
        .m = prism_matrix_rows(&f->gate, e * f->stride, f->width), .up = prism_matrix_rows(&f->up, e * f->stride, f->width),
        .kind = prism_coarse(l->c, &f->gate), .act = f->act, .bias = f->gate_bias ? f->gate_bias + e * f->width : NULL,
        .up_bias = f->up_bias ? f->up_bias + e * f->width : NULL, .first = first, .n_rows = n, .y = l->c->y, .ldy = f->width,
    };
}

static struct prism_product down_of(const struct expert_call *l, size_t e, size_t first, size_t n)
{
    const struct prism_ffn *f = &l->e->each;
    const struct prism_routes *r = &l->c->routes;
    size_t n_embd = l->c->model->n_embd;
    return (struct prism_product){
        .m = prism_matrix_rows(&f->down, e * n_embd, n_embd), .kind = prism_fine(l->c, &f->down, &f->up),
        .bias = f->down_bias ? f->down_bias + e * n_embd : NULL, .first = first, .n_rows = n, .add = true,
        .y = l->to, .ldy = n_embd, .to = r->to, .weight = l->e->weigh_input ? NULL : r->to_weight,
        .factor = l->e->weigh_input && !l->waits ? l->layer->residual_scale : 1,
    };
}

/* The rows of an expert begin at a multiple of what packing takes at once. */
static size_t padded(const struct expert_call *l, size_t rows) { return l->way == PRISM_STORED ? rows : round_up(rows, PRISM_PACK_ROWS); }

/* Rows of h by r->to, perhaps times their weights. */
static void gather_rows(struct prism_context *c, void *arg, size_t row, size_t n_rows, float *out)
{
    const struct expert_call *l = arg;
    size_t n_embd = c->model->n_embd;

    for (size_t i = 0; i < n_rows; i++) {
        uint32_t from = c->routes.to[row + i];
        if (from == NOBODY)
            memset(out + i * n_embd, 0, n_embd * sizeof *out);
        else
            memcpy(out + i * n_embd, l->h + from * n_embd, n_embd * sizeof *out);
        if (from != NOBODY && l->e->weigh_input)
            c->kernels->scale(out + i * n_embd, c->routes.to_weight[row + i], n_embd);
    }
}

/* The products of n parts of experts, which together have n_rows rows. */
static bool run_group(struct expert_call *l, size_t n, size_t n_rows)
{
    struct prism_context *c = l->c;
    struct prism_routes *r = &c->routes;
    size_t n_embd = c->model->n_embd, width = l->e->each.width;
    struct prism_rows gathered = { .fn = gather_rows, .arg = l, .way = l->way };
    struct prism_rows activated = { .x = c->y, .ldx = width, .way = l->way };
    const struct prism_linear *next = prism_next_kind(c, l->way, n_rows, n_embd, r->gated, n, r->down[0].kind);

    for (size_t i = 0; i < n; i++)
        r->gated[i].next = next;
    activated.panels = next ? (uint8_t *)c->y : NULL;
    return prism_products(c, &gathered, n_rows, n_embd, r->gated, n) && prism_products(c, &activated, n_rows, width, r->down, n);
}

/* Groups of experts, and of parts of those that have more rows than a group. */
static bool run_experts(struct expert_call *l)
{
    struct prism_routes *r = &l->c->routes;
    size_t most = prism_experts_rows(l->c, l->n), n = 0, used = 0;

    for (size_t e = 0; e < l->e->n; e++)
        for (size_t at = r->begin[e], take; at < r->begin[e + 1]; at += take) {
            size_t left = r->begin[e + 1] - at;
            if (used > 0 && used + padded(l, min_size(left, most)) > most) {
                if (!run_group(l, n, used))
                    return false;
                n = used = 0;
            }
            take = min_size(left, most - used);
            r->gated[n] = gated_of(l, e, used, take);
            r->down[n++] = down_of(l, e, used, take);
            for (size_t i = 0; i < padded(l, take); i++) {
                r->to[used + i] = i < take ? r->sorted[at + i] / l->e->n_used : NOBODY;
                r->to_weight[used + i] = i < take ? r->weight[r->sorted[at + i]] : 0;
            }
            used += padded(l, take);
        }
    return used == 0 || run_group(l, n, used);
}

/* Rows that wait: of the experts' sum in l->to, of the dense FFN in c->half, which become what both add. */
struct join_job {
    struct expert_call *l;
    size_t row, n;
};

enum { JOIN_ROWS = 16 };

static void join_job(void *arg, size_t job, uint32_t thread)
{
    const struct join_job *j = arg;
    const struct expert_call *l = j->l;
    struct prism_context *c = l->c;
    const struct prism_ffn_spec *f = &l->layer->ffn;
    size_t n = c->model->n_embd, end = min_size((job + 1) * JOIN_ROWS, j->n);

    (void)thread;
    for (size_t r = job * JOIN_ROWS; r < end; r++) {
        float *half = c->half + r * n, *sum = l->to + (j->row + r) * n;
        bool tame = prism_is_tame(prism_normalise(c->kernels, &l->e->post_norm, sum, sum, n));
        if (f->dense.width) {
            tame &= prism_is_tame(prism_normalise(c->kernels, &f->dense_post_norm, half, half, n));
            c->kernels->add(half, sum, n);
        } else {
            memcpy(half, sum, n * sizeof *half);
        }
        if (!tame)
            prism_note_fault(c, PRISM_FAULT_FFN, l->pos + l->first + j->row + r, 0);
    }
}

/* The dense FFN, if there is one, and then what follows it and the experts, where that are norms. */
static bool run_waiting(struct expert_call *l)
{
    struct prism_context *c = l->c;
    size_t n_embd = c->model->n_embd;
    const struct prism_ffn_spec *f = &l->layer->ffn;

    for (size_t row = 0, n; row < l->n; row += n) {
        n = prism_slab_rows(c, l->n - row);
        size_t pos = l->pos + l->first + row;
        float *x = c->x + (l->first + row) * n_embd;
        struct prism_norm_rows norm = { x, &l->layer->ffn_norm, pos, PRISM_FAULT_ATTENTION };
        struct prism_rows source = { .fn = prism_norm_rows, .arg = &norm };
        struct prism_ffn_rows rows = { .ffn = &f->dense, .source = &source, .n = n, .x = x, .made = c->half };
        struct join_job j = { l, row, n };
        if ((f->dense.width && !prism_run_ffn(c, &rows)) || !prism_context_run(c, PRISM_PHASE_OTHER, div_up(n, JOIN_ROWS), 0, join_job, &j) ||
            !prism_add_normalised(c, &l->layer->ffn_post_norm, l->layer->residual_scale, x, n, pos, PRISM_FAULT_FFN))
            return false;
    }
    return true;
}

static bool run_shared(struct expert_call *l)
{
    struct prism_context *c = l->c;
    size_t n_embd = c->model->n_embd;
    const struct prism_ffn_spec *f = &l->layer->ffn;

    for (size_t row = 0, n; f->dense.width && row < l->n; row += n) {
        n = prism_slab_rows(c, l->n - row);
        struct prism_rows source = { .x = l->h + row * n_embd, .ldx = n_embd };
        struct prism_ffn_rows rows = { .ffn = &f->dense, .source = &source, .n = n, .x = c->x + (l->first + row) * n_embd,
                                       .factor = l->layer->residual_scale, .weight = f->dense_gate.data ? c->routes.shared + row : NULL };
        if (!prism_run_ffn(c, &rows))
            return false;
    }
    return true;
}

bool prism_layer_experts(struct prism_context *c, size_t index, size_t pos, size_t first, size_t end)
{
    const struct prism_layer *layer = &c->model->layers[index];
    struct expert_call l = { .c = c, .layer = layer, .e = &layer->ffn.experts, .pos = pos, .first = first, .n = end - first,
                             .h = c->q, .waits = prism_experts_wait(layer) };
    const struct prism_ffn *each = &l.e->each;

    l.to = l.waits ? c->routes.sum : c->x + first * c->model->n_embd;
    l.way = prism_is_few(l.n, prism_coarse(c, &each->gate)) && prism_is_few(l.n, prism_fine(c, &each->down, &each->up)) ? PRISM_STORED : PRISM_PACKED;
    if (!route(&l))
        return false;
    sort_pairs(&l);
    return run_experts(&l) && (l.waits ? run_waiting(&l) : run_shared(&l));
}
