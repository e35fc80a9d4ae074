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
            w[r * m->k + i] = row[i];
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

static void norm(double *y, const double *x, const float *w, size_t n, double eps)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    double scale = 1 / sqrt(sum / (double)n + eps);
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * scale * w[i];
}

static double *norm_all(const double *x, const float *w, size_t n, size_t width, double eps)
{
    double *y = zeros(n * width);
    for (size_t t = 0; t < n; t++)
        norm(y + t * width, x + t * width, w, width, eps);
    return y;
}

static void rotate(const struct prism_model *m, double *x, size_t pos)
{
    size_t half = m->hp.n_rot / 2;
    for (size_t i = 0; i < half; i++) {
        double angle = (double)pos * m->rope_freq[i], c = cos(angle) * m->rope_mag, s = sin(angle) * m->rope_mag;
        double *a = m->hp.rope_interleaved ? x + 2 * i : x + i, *b = m->hp.rope_interleaved ? a + 1 : a + half;
        double u = *a * c - *b * s, v = *a * s + *b * c;
        *a = u;
        *b = v;
    }
}

/* Heads of x[n][n_heads * d]: norm, then rotation. */
static void prepare_heads(const struct prism_model *m, double *x, size_t n, size_t n_heads, const float *w)
{
    size_t d = m->hp.head_dim;
    for (size_t t = 0; t < n; t++)
        for (size_t h = 0; h < n_heads; h++) {
            double *head = x + (t * n_heads + h) * d;
            if (w)
                norm(head, head, w, d, m->hp.rms_eps);
            rotate(m, head, t);
        }
}

/* What a query may see: everything up to itself when sees is NULL. */
struct view {
    test_sees_fn *sees;
    const void *user;
    size_t layer;
};

static bool hidden(const struct view *w, size_t head, size_t pos, size_t key) { return w->sees && !w->sees(w->user, w->layer, head, pos, key); }

static double *attention(const struct prism_hparams *hp, const double *q, const double *k, const double *v, size_t n, const struct view *view)
{
    size_t d = hp->head_dim, H = hp->n_head, K = hp->n_head_kv;
    double *o = zeros(n * H * d);

#pragma omp parallel for
    for (size_t t = 0; t < n; t++) {
        double *p = zeros(n);
        for (size_t h = 0; h < H; h++) {
            const double *qh = q + (t * H + h) * d;
            size_t g = h / (H / K);
            double most = -INFINITY, sum = 0;
            for (size_t j = 0; j <= t; j++) {
                p[j] = 0;
                for (size_t i = 0; i < d; i++)
                    p[j] += qh[i] * k[(j * K + g) * d + i];
                p[j] = hidden(view, h, t, j) ? -(double)INFINITY : p[j] * hp->attn_scale;
                most = p[j] > most ? p[j] : most;
            }
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

static void add(double *x, double *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] += y[i];
    free(y);
}

static void run_layer(const struct prism_model *m, const struct prism_layer *l, double *x, size_t n, const struct view *view)
{
    const struct prism_hparams *hp = &m->hp;
    double *h = norm_all(x, l->attn_norm, n, hp->n_embd, hp->rms_eps);
    double *q = product(&l->q, l->q_bias, h, n), *k = product(&l->k, l->k_bias, h, n), *v = product(&l->v, l->v_bias, h, n);

    prepare_heads(m, q, n, hp->n_head, l->q_norm);
    prepare_heads(m, k, n, hp->n_head_kv, l->k_norm);
    double *o = attention(hp, q, k, v, n, view);
    add(x, product(&l->o, l->o_bias, o, n), n * hp->n_embd);
    free(h), free(q), free(k), free(v), free(o);

    h = norm_all(x, l->ffn_norm, n, hp->n_embd, hp->rms_eps);
    double *gate = product(&l->gate, l->gate_bias, h, n), *up = product(&l->up, l->up_bias, h, n);
    for (size_t i = 0; i < n * hp->n_ff; i++)
        gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i];
    add(x, product(&l->down, l->down_bias, gate, n), n * hp->n_embd);
    free(h), free(gate), free(up);
}

double *test_reference_sparse(const struct prism_model *m, const int32_t *tokens, size_t n, test_sees_fn *sees, const void *user)
{
    size_t width = m->hp.n_embd;
    double *embd = dense(&m->tok_embd), *x = zeros(n * width);

    for (size_t t = 0; t < n; t++)
        memcpy(x + t * width, embd + (size_t)tokens[t] * width, width * sizeof *x);
    free(embd);
    for (size_t i = 0; i < m->hp.n_layer; i++)
        run_layer(m, &m->layers[i], x, n, &(struct view){ sees, user, i });
    double *h = norm_all(x, m->output_norm, n, width, m->hp.rms_eps);
    double *logits = product(&m->output, m->output_bias, h, n);
    free(x), free(h);
    return logits;
}

double *test_reference_logits(const struct prism_model *m, const int32_t *tokens, size_t n)
{
    return test_reference_sparse(m, tokens, n, NULL, NULL);
}
