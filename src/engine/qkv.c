/* qkv.c - queries, keys and values of a layer: norm, products, norms of heads, rotation, cache (layer.h). */
#include "src/engine/layer.h"

#include <math.h>
#include <string.h>

#include "src/base/size.h"
#include "src/engine/selection.h"
#include "src/engine/split.h"

struct rope_job {
    struct prism_context *c;
    const struct prism_attn_spec *spec;
    struct prism_kv_view kv;
    size_t index, n_rows, pos, rope_row; /* rope_row: row of the call (and of the table) that row 0 is */
    size_t grain;
    float *q;             /* [n_rows][n_head][d], in place */
    float *made;          /* [n_rows][y_width]: keys, then values */
};

static void rotate(const struct rope_job *j, float *head, size_t table_row)
{
    const struct prism_context *c = j->c;

    if (j->spec->rope < 0)
        return;
    const struct prism_rope *r = &c->model->ropes[j->spec->rope];
    const struct prism_rope_table *t = &c->rope[j->spec->rope];
    size_t half = r->n_rot / 2;
    c->kernels->rope(head, t->cos + table_row * half, t->sin + table_row * half, r->n_rot, r->interleaved);
}

/* Head h of a token. False: it is not tame before its norm, or without one. */
static bool head_norm_rope(const struct rope_job *j, float *head, const struct prism_norm *norm, size_t h, size_t table_row)
{
    const struct prism_context *c = j->c;
    const struct prism_attn_spec *a = j->spec;
    struct prism_norm own = *norm;
    double squares;

    if (a->norms == PRISM_NORM_EACH && own.kind)
        own.weight += h * a->head_dim;
    if (a->norm_rotated)
        rotate(j, head, table_row);
    squares = own.kind && a->norms != PRISM_NORM_ALL ? prism_normalise(c->kernels, &own, head, head, a->head_dim)
                                                     : prism_head_squares(c, head, a->head_dim);
    if (!a->norm_rotated)
        rotate(j, head, table_row);
    return prism_is_tame(squares);
}

/* All heads of a token together, where that is how they are normalised. False: they are not tame. */
static bool norm_all(const struct rope_job *j, float *heads, const struct prism_norm *norm, size_t n)
{
    bool all = j->spec->norms == PRISM_NORM_ALL && norm->kind;
    return !all || prism_is_tame(prism_normalise(j->c->kernels, norm, heads, heads, n * j->spec->head_dim));
}

/* Queries far from the beginning grow (mistral3, llama4). */
static void heat(const struct rope_job *j, float *q, size_t pos)
{
    const struct prism_attn_spec *a = j->spec;

    size_t at = pos + a->temperature_shift;

    if (a->temperature != 0 && at >= a->temperature_from)
        j->c->kernels->scale(q, (float)(1 + a->temperature * log(1 + floor((double)at / a->temperature_from))), a->head_dim);
}

/* One token's rotated keys and its values enter the cache. tame: of the keys before their rotation. */
static void store_head(const struct rope_job *j, size_t head, size_t pos, const float *k, const float *v, bool tame)
{
    struct prism_context *c = j->c;
    size_t d = j->spec->head_dim;

    if (!tame)
        prism_note_fault(c, PRISM_FAULT_KEYS, pos, head);
    if (!prism_store_kv(c, c->k_cache.format, prism_view_key(&j->kv, head, pos), k, d))
        prism_note_fault(c, prism_is_finite(k, d) ? PRISM_FAULT_KEY_RANGE : PRISM_FAULT_KEYS, pos, head);
    if (!prism_store_kv(c, c->v_cache.format, prism_view_value(&j->kv, head, pos), v, d))
        prism_note_fault(c, prism_is_finite(v, d) ? PRISM_FAULT_VALUE_RANGE : PRISM_FAULT_VALUES, pos, head);
}

/* A head that is read a row later: rows of a slab lie in the third-level cache, and processors fetch ahead to the end of a page only. */
static void fetch(const float *head, size_t d)
{
    for (size_t i = 0; i < d; i += 64 / sizeof *head)
        __builtin_prefetch(head + i);
}

/* Positions of job on the absolute grid of j->grain, clipped to the rows of the slab. */
static void rope_job(void *arg, size_t job, uint32_t thread)
{
    const struct rope_job *j = arg;
    struct prism_context *c = j->c;
    const struct prism_attn_spec *a = j->spec;
    size_t d = a->head_dim, from = (j->pos / j->grain + job) * j->grain, end = min_size(from + j->grain, j->pos + j->n_rows);
    size_t n_kv = prism_own_kv_heads(c->model, j->index);

    (void)thread;
    for (size_t pos = from > j->pos ? from : j->pos; pos < end; pos++) {
        size_t row = pos - j->pos, next = pos + 1 < end;
        float *k = j->made + row * c->y_width, *v = k + a->n_head_kv * d;
        if (!norm_all(j, j->q + row * a->n_head * d, &a->q_norm, a->n_head))
            prism_note_fault(c, PRISM_FAULT_QUERIES, pos, 0);
        bool keys_tame = n_kv == 0 || norm_all(j, k, &a->k_norm, n_kv);
        for (size_t h = 0; h < a->n_head; h++) {
            float *q = j->q + (row * a->n_head + h) * d;
            fetch(q + next * a->n_head * d, d);
            if (!head_norm_rope(j, q, &a->q_norm, h, j->rope_row + row))
                prism_note_fault(c, PRISM_FAULT_QUERIES, pos, h);
            heat(j, q, pos);
            prism_selection_add_query(c, j->index, h, pos, q, pos % c->plan.block == 0 || j->rope_row + row == 0);
        }
        for (size_t h = 0; h < n_kv; h++) {
            fetch(k + next * c->y_width + h * d, d);
            fetch(v + next * c->y_width + h * d, d);
            if (!a->v.data)
                memcpy(v + h * d, k + h * d, d * sizeof *v);
            if (a->v_norm.kind && !prism_is_tame(prism_normalise(c->kernels, &a->v_norm, v + h * d, v + h * d, d)))
                prism_note_fault(c, PRISM_FAULT_VALUES, pos, h);
            bool tame = head_norm_rope(j, k + h * d, &a->k_norm, h, j->rope_row + row) && keys_tame;
            prism_selection_add_key(c, j->index, h, pos, k + h * d);
            store_head(j, h, pos, k + h * d, v + h * d, tame);
        }
    }
}

size_t prism_slab_rows(const struct prism_context *c, size_t left)
{
    return prism_split_slab_rows(c->plan.slab_tokens, left);
}

size_t prism_query_products(const struct prism_context *c, const struct prism_attn_spec *a, enum prism_query_part part, float *y,
                            struct prism_product *p)
{
    size_t d = a->head_dim, n = a->gated ? a->n_head : 1, rows = a->gated ? d : a->q.rows;

    for (size_t h = 0; h < n; h++)
        p[h] = (struct prism_product){ .m = prism_matrix_rows(&a->q, (2 * h + part) * d, rows), .kind = prism_coarse(c, &a->q),
                                       .bias = a->q_bias ? a->q_bias + (2 * h + part) * d : NULL, .y = y + h * d, .ldy = a->n_head * d };
    return n;
}

bool prism_layer_qkv(struct prism_context *c, size_t index, struct prism_span span)
{
    const struct prism_layer *l = &c->model->layers[index];
    const struct prism_attn_spec *a = &l->attn;
    size_t n_embd = c->model->n_embd, q_width = (size_t)a->n_head * a->head_dim, kv_width = (size_t)a->n_head_kv * a->head_dim;

    for (size_t row = 0, n; row < span.n; row += n) {
        n = prism_slab_rows(c, span.n - row);
        struct prism_norm_rows source = { c->x + row * n_embd, &l->attn_norm, span.pos + row, PRISM_FAULT_INPUT };
        struct prism_product p[PRISM_MAX_QUERY_PRODUCTS + 2];
        size_t n_products = prism_query_products(c, a, PRISM_QUERIES, c->q + row * q_width, p);
        if (prism_has_kv(c->model, index))
            p[n_products++] = (struct prism_product){ .m = a->k, .kind = prism_fine(c, &a->k, &a->q), .bias = a->k_bias, .y = c->y, .ldy = c->y_width };
        if (prism_has_kv(c->model, index) && a->v.data)
            p[n_products++] = (struct prism_product){ .m = a->v, .kind = prism_fine(c, &a->v, &a->q), .bias = a->v_bias, .y = c->y + kv_width, .ldy = c->y_width };
        size_t pos = span.pos + row, grain = c->selection.selector ? c->plan.block : prism_split_rope(n, c->plan.n_threads);
        struct rope_job r = { c, a, prism_kv_view(c, index, span.n), index, n, pos, row, grain, c->q + row * q_width, c->y };
        if (!prism_products(c, &(struct prism_rows){ .fn = prism_norm_rows, .arg = &source }, n, n_embd, p, n_products) ||
            !prism_context_run(c, PRISM_PHASE_OTHER, (pos + n - 1) / grain + 1 - pos / grain, 0, rope_job, &r))
            return false;
    }
    return true;
}
