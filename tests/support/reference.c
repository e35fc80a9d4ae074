/* reference.c - see reference.h. */
#include "tests/support/reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/kernels.h"

static double *zeros(size_t n) { return calloc(n, sizeof(double)); }

static double *dense(const struct prism_matrix *m)
{
    double *w = malloc(m->rows * m->k * sizeof *w);
    float *row = malloc(m->k * sizeof *row);

    for (size_t r = 0; r < m->rows; r++) {
        prism_kernels_by_level[PRISM_LEVEL_GENERIC]->to_f32[m->type](row, m->data + r * m->row_bytes, m->k);
        for (size_t i = 0; i < m->k; i++)
            w[r * m->k + i] = (double)row[i] * (m->scale ? (double)m->scale[r / m->slab_rows] : 1);
    }
    free(row);
    return w;
}

/* y[n][rows] = x[n][k] . m^T + bias */
static double *product(const struct prism_matrix *m, const float *bias, const double *x, size_t n)
{
    double *w = dense(m), *y = zeros(n * m->rows);

#pragma omp parallel for
    for (size_t t = 0; t < n; t++)
        for (size_t r = 0; r < m->rows; r++) {
            double sum = bias ? bias[r] : 0;
            for (size_t i = 0; i < m->k; i++)
                sum += x[t * m->k + i] * w[r * m->k + i];
            y[t * m->rows + r] = sum;
        }
    free(w);
    return y;
}

static void norm(double *y, const double *x, const struct prism_norm *w, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    double scale = 1 / sqrt(sum / (double)n + w->eps);
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * scale * w->weight[i];
}

static double *norm_all(const double *x, const struct prism_norm *w, size_t n, size_t width)
{
    double *y = zeros(n * width);
    for (size_t t = 0; t < n; t++)
        norm(y + t * width, x + t * width, w, width);
    return y;
}

static void rotate(const struct prism_rope *r, double *x, size_t pos)
{
    size_t half = r->n_rot / 2;
    for (size_t i = 0; i < half; i++) {
        double angle = (double)pos * r->freq[i], c = cos(angle) * r->mag, s = sin(angle) * r->mag;
        double *a = r->interleaved ? x + 2 * i : x + i, *b = r->interleaved ? a + 1 : a + half;
        double u = *a * c - *b * s, v = *a * s + *b * c;
        *a = u;
        *b = v;
    }
}

/* Heads of x[n][n_heads * d]: norm, then rotation. */
static void prepare_heads(const struct prism_model *m, const struct prism_attn_spec *a, double *x, size_t n, size_t n_heads,
                          const struct prism_norm *w)
{
    size_t d = a->head_dim;
    for (size_t t = 0; t < n; t++)
        for (size_t h = 0; h < n_heads; h++) {
            double *head = x + (t * n_heads + h) * d;
            if (w->kind)
                norm(head, head, w, d);
            if (a->rope >= 0)
                rotate(&m->ropes[a->rope], head, t);
        }
}

/* What a query may see: everything up to itself when sees is NULL. */
struct view {
    test_sees_fn *sees;
    const void *user;
    size_t layer;
};

static bool hidden(const struct view *w, size_t head, size_t pos, size_t key) { return w->sees && !w->sees(w->user, w->layer, head, pos, key); }

static double logit(const struct prism_attn_spec *a, const double *q, const double *k, size_t pos)
{
    double sum = 0;
    for (size_t i = 0; i < a->head_dim; i++)
        sum += q[i] * k[i];
    if (a->temperature != 0)
        sum *= 1 + a->temperature * log(1 + floor((double)pos / a->temperature_from));
    sum *= a->scale;
    return a->softcap != 0 ? a->softcap * tanh(sum / a->softcap) : sum;
}

static double *attention(const struct prism_attn_spec *a, const double *q, const double *k, const double *v, size_t n, const struct view *view)
{
    size_t d = a->head_dim, H = a->n_head, K = a->n_head_kv;
    double *o = zeros(n * H * d);

#pragma omp parallel for
    for (size_t t = 0; t < n; t++) {
        double *p = zeros(n);
        for (size_t h = 0; h < H; h++) {
            size_t g = h / (H / K);
            double most = a->sinks ? a->sinks[h] : -INFINITY;
            for (size_t j = 0; j <= t; j++) {
                bool gone = hidden(view, h, t, j) || (a->window && t - j >= a->window);
                p[j] = gone ? -(double)INFINITY : logit(a, q + (t * H + h) * d, k + (j * K + g) * d, t);
                most = p[j] > most ? p[j] : most;
            }
            double sum = a->sinks ? exp(a->sinks[h] - most) : 0;
            for (size_t j = 0; j <= t; j++)
                sum += p[j] = exp(p[j] - most);
            for (size_t j = 0; j <= t; j++)
                for (size_t i = 0; i < d; i++)
                    o[(t * H + h) * d + i] += p[j] / sum * v[(j * K + g) * d + i];
        }
        free(p);
    }
    return o;
}

/* x += scale * norm(y); frees y. */
static void add(double *x, double *y, const struct prism_norm *w, double scale, size_t n, size_t width)
{
    for (size_t t = 0; t < n; t++) {
        if (w->kind)
            norm(y + t * width, y + t * width, w, width);
        for (size_t i = 0; i < width; i++)
            x[t * width + i] += scale * y[t * width + i];
    }
    free(y);
}

/* ---- FFN ---- */

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

static double gate_of(enum prism_gate act, double g, double u)
{
    switch (act) {
    case PRISM_GATE_SWIGLU:
        return g * sigmoid(g) * u;
    case PRISM_GATE_GEGLU:
        return 0.5 * g * (1 + tanh(sqrt(2 / M_PI) * g * (1 + 0.044715 * g * g))) * u;
    case PRISM_GATE_SWIGLU_CLAMPED:
        g = fmin(g, 7);
        return g * sigmoid(1.702 * g) * (fmax(-7, fmin(7, u)) + 1);
    default:
        return NAN;
    }
}

static double *with_bias(double *y, const float *bias, size_t n, size_t width)
{
    for (size_t i = 0; bias && i < n * width; i++)
        y[i] += bias[i % width];
    return y;
}

/* Expert e of f, or the only one. */
static double *ffn(const struct prism_ffn *f, size_t e, const double *h, size_t n, size_t n_embd)
{
    struct prism_matrix g = prism_matrix_rows(&f->gate, e * f->stride, f->width), u = prism_matrix_rows(&f->up, e * f->stride, f->width);
    struct prism_matrix d = prism_matrix_rows(&f->down, e * n_embd, n_embd);
    double *gate = with_bias(product(&g, NULL, h, n), f->gate_bias ? f->gate_bias + e * f->width : NULL, n, f->width);
    double *up = with_bias(product(&u, NULL, h, n), f->up_bias ? f->up_bias + e * f->width : NULL, n, f->width);

    for (size_t i = 0; i < n * f->width; i++)
        gate[i] = gate_of(f->act, gate[i], up[i]);
    double *y = with_bias(product(&d, NULL, gate, n), f->down_bias ? f->down_bias + e * n_embd : NULL, n, n_embd);
    free(gate), free(up);
    return y;
}

/* The weight that each expert has for a row; 0 for those that are not chosen. */
static void route(const struct prism_experts *e, const double *r, double *weight)
{
    double sum = 0;
    for (size_t i = 0; i < e->n; i++)
        sum += exp(r[i]);
    for (size_t i = 0; i < e->n; i++) {
        size_t better = 0;
        for (size_t j = 0; j < e->n; j++)
            better += r[j] > r[i] || (r[j] == r[i] && j < i);
        weight[i] = better >= e->n_used ? 0 : e->gating == PRISM_GATING_SIGMOID ? sigmoid(r[i]) : exp(r[i]) / sum;
    }
    sum = 0;
    for (size_t i = 0; i < e->n; i++)
        sum += weight[i];
    for (size_t i = 0; i < e->n && (e->normalise || e->gating == PRISM_GATING_SOFTMAX_CHOSEN); i++)
        weight[i] /= sum;
}

static double *experts(const struct prism_experts *e, const double *h, size_t n, size_t n_embd)
{
    double *r = product(&e->router, e->router_bias, h, n), *y = zeros(n * n_embd);

    for (size_t t = 0; t < n; t++) {
        double *weight = zeros(e->n);
        route(e, r + t * e->n, weight);
        for (size_t i = 0; i < e->n; i++) {
            double *part = weight[i] > 0 ? ffn(&e->each, i, h + t * n_embd, 1, n_embd) : NULL;
            for (size_t c = 0; part && c < n_embd; c++)
                y[t * n_embd + c] += weight[i] * part[c];
            free(part);
        }
        free(weight);
    }
    free(r);
    return y;
}

static double *ffn_half(const struct prism_ffn_spec *f, const double *h, size_t n, size_t n_embd)
{
    double *y = f->experts.n ? experts(&f->experts, h, n, n_embd) : zeros(n * n_embd), *gate = NULL;

    if (!f->dense.width)
        return y;
    double *all = ffn(&f->dense, 0, h, n, n_embd);
    if (f->dense_gate.data)
        gate = product(&f->dense_gate, NULL, h, n);
    for (size_t i = 0; i < n * n_embd; i++)
        y[i] += (gate ? sigmoid(gate[i / n_embd]) : 1) * all[i];
    free(all), free(gate);
    return y;
}

/* ---- the network ---- */

static void run_layer(const struct prism_model *m, const struct prism_layer *l, double *x, size_t n, const struct view *view)
{
    const struct prism_attn_spec *a = &l->attn;
    double *h = norm_all(x, &l->attn_norm, n, m->n_embd);
    double *q = product(&a->q, a->q_bias, h, n), *k = product(&a->k, a->k_bias, h, n), *v = product(&a->v, a->v_bias, h, n);

    prepare_heads(m, a, q, n, a->n_head, &a->q_norm);
    prepare_heads(m, a, k, n, a->n_head_kv, &a->k_norm);
    double *o = attention(a, q, k, v, n, view);
    add(x, product(&a->o, a->o_bias, o, n), &l->attn_post_norm, l->residual_scale, n, m->n_embd);
    free(h), free(q), free(k), free(v), free(o);

    h = norm_all(x, &l->ffn_norm, n, m->n_embd);
    add(x, ffn_half(&l->ffn, h, n, m->n_embd), &l->ffn_post_norm, l->residual_scale, n, m->n_embd);
    free(h);
}

double *test_reference_sparse(const struct prism_model *m, const int32_t *tokens, size_t n, test_sees_fn *sees, const void *user)
{
    size_t width = m->n_embd;
    double *embd = dense(&m->tok_embd), *x = zeros(n * width);

    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < width; i++)
            x[t * width + i] = (double)m->embd_scale * embd[(size_t)tokens[t] * width + i];
    free(embd);
    for (size_t i = 0; i < m->n_layer; i++)
        run_layer(m, &m->layers[i], x, n, &(struct view){ sees, user, i });
    double *h = norm_all(x, &m->output_norm, n, width);
    double *logits = product(&m->output, m->output_bias, h, n);
    for (size_t i = 0; i < n * m->n_vocab; i++) {
        logits[i] *= m->logit_scale;
        logits[i] = m->logit_softcap != 0 ? m->logit_softcap * tanh(logits[i] / m->logit_softcap) : logits[i];
    }
    free(x), free(h);
    return logits;
}

double *test_reference_logits(const struct prism_model *m, const int32_t *tokens, size_t n)
{
    return test_reference_sparse(m, tokens, n, NULL, NULL);
}
