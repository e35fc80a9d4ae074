/* scores.c - see scores.h. */
#include "src/attention/scores.h"

#include <string.h>

#include "src/attention/selectors.h"

static const struct prism_linear *linear(const struct prism_select_call *c) { return c->kernels->linear_f32; }

static size_t row_bytes(const struct prism_select_call *c, size_t group)
{
    return prism_kv_row_bytes(c->format, group * c->d);
}

static size_t n_panels(const struct prism_select_call *c, size_t rows) { return (rows + linear(c)->mr - 1) / linear(c)->mr; }

size_t prism_scores_panel(const struct prism_select_call *c) { return linear(c)->mr; }

size_t prism_scores_bytes(const struct prism_select_call *c, size_t rows, size_t group)
{
    return prism_carved(n_panels(c, rows), linear(c)->a_bytes(group * c->d)) + prism_carved(1, linear(c)->w_bytes(group * c->d)) +
           prism_carved(1, row_bytes(c, group));
}

struct prism_scores prism_scores_open(const struct prism_select_call *c, size_t rows, size_t group, uint8_t **scratch)
{
    struct prism_scores s = { .call = c, .rows = rows, .group = group };
    s.a = prism_carve(scratch, n_panels(c, rows), linear(c)->a_bytes(group * c->d));
    s.w = prism_carve(scratch, 1, linear(c)->w_bytes(group * c->d));
    s.tail = prism_carve(scratch, 1, row_bytes(c, group));
    return s;
}

void prism_scores_pack(const struct prism_scores *s, size_t panel, const float *q, size_t ldq, size_t n)
{
    size_t k = s->group * s->call->d;
    linear(s->call)->pack_a(s->a + panel * linear(s->call)->a_bytes(k), q, ldq, n, k);
}

static void multiply(const struct prism_scores *s, const uint8_t *keys, float *x, size_t ldx, size_t n_rows, size_t cols)
{
    const struct prism_select_call *c = s->call;
    size_t k = s->group * c->d;

    linear(c)->pack_w(s->w, keys, row_bytes(c, s->group), prism_kv_stored(c->format), cols, k);
    linear(c)->gemm(&(struct prism_gemm_args){ .c = x, .ldc = ldx, .a = s->a, .w = s->w, .rows = n_rows, .cols = cols, .k = k });
}

void prism_scores_run(const struct prism_scores *s, size_t kv_head, float *x, size_t ldx, size_t n_rows, size_t n_groups)
{
    const struct prism_select_call *c = s->call;
    const uint8_t *keys = c->k + kv_head * c->kv_head_bytes;
    size_t bytes = row_bytes(c, s->group), complete = c->kv_len / s->group < n_groups ? c->kv_len / s->group : n_groups;

    for (size_t g = 0; g < complete; g += linear(c)->nr) {
        size_t cols = complete - g < linear(c)->nr ? complete - g : linear(c)->nr;
        multiply(s, keys + g * bytes, x + g, ldx, n_rows, cols);
    }
    if (complete < n_groups) {
        size_t there = c->kv_len % s->group * row_bytes(c, 1);
        memcpy(s->tail, keys + complete * bytes, there);
        memset(s->tail + there, 0, bytes - there);
        multiply(s, s->tail, x + complete, ldx, n_rows, 1);
    }
}
