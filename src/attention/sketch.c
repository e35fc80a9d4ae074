/* sketch.c - see sketch.h: keys and queries as bytes. */
#include "src/attention/sketch.h"

#include <math.h>
#include <string.h>

#include "src/attention/selectors.h"
#include "src/base/size.h"

enum { MAX_BLOCK = 256 };

void prism_sketch_load_keys(const struct prism_select_call *c, float *x, size_t kv_head, size_t pos, size_t n)
{
    const uint8_t *at = c->k + kv_head * c->kv_head_bytes + pos * prism_kv_row_bytes(c->format, c->d);
    c->kernels->to_f32[prism_kv_stored(c->format)](x, at, n * c->d);
}

/* Coordinates of n rows of x to y, [n][rank]. */
static void map_rows(const struct prism_select_call *c, float *y, const float *x, size_t ldx, size_t n, const uint8_t *maps, size_t kv_head,
                     uint8_t *scratch)
{
    const struct prism_linear *f = prism_sketch_kind(c->kernels, c->d);
    uint8_t *panels = prism_carve(&scratch, div_up(c->block, f->mr), f->a_bytes(c->d));
    size_t r = c->sketch->rank[kv_head], have = min_size(r, c->d);

    for (size_t at = 0; at < n; at += f->mr)
        f->pack_a(panels + at / f->mr * f->a_bytes(c->d), x + at * ldx, ldx, min_size(f->mr, n - at), c->d);
    f->gemm(&(struct prism_gemm_args){ .c = y, .ldc = r, .a = panels, .w = maps + kv_head * prism_sketch_map_bytes(c->kernels, c->d), .rows = n,
                                       .cols = have, .k = c->d });
    for (size_t i = 0; have < r && i < n; i++)
        memset(y + i * r + have, 0, (r - have) * sizeof *y);
}

const struct prism_linear *prism_sketch_kind(const struct prism_kernels *k, size_t d)
{
    const struct prism_linear *f = k->linear_auto[PRISM_BF16];
    return d % f->k_step ? k->linear_f32 : f;
}

size_t prism_sketch_map_bytes(const struct prism_kernels *k, size_t d)
{
    const struct prism_linear *f = prism_sketch_kind(k, d);
    return div_up(d, f->nr) * f->w_bytes(d);
}

struct prism_sketch prism_sketch_layout(const struct prism_select_call *c, size_t max_blocks, struct prism_arena *a)
{
    size_t map = prism_sketch_map_bytes(c->kernels, c->d);
    struct prism_sketch s = { .max_blocks = max_blocks };

    s.k_map = prism_arena_take(a, c->n_head_kv, map);
    s.q_map = prism_arena_take(a, c->n_head_kv, map);
    s.rank = prism_arena_take(a, c->n_head_kv, sizeof *s.rank);
    s.within = prism_arena_take(a, c->n_head_kv * prism_sketch_dim(c->d), sizeof *s.within);
    s.sigmas = prism_arena_take(a, c->n_head, sizeof *s.sigmas);
    s.made_at = prism_arena_take(a, 1, sizeof *s.made_at);
    s.n_done = prism_arena_take(a, 1, sizeof *s.n_done);
    s.keys = prism_arena_take(a, c->n_head_kv * max_blocks, c->block * prism_sketch_dim(c->d));
    s.means = prism_arena_take(a, c->n_head_kv * max_blocks, prism_sketch_dim(c->d));
    s.k_scale = prism_arena_take(a, c->n_head_kv * max_blocks, sizeof *s.k_scale);
    s.k_rest = prism_arena_take(a, c->n_head_kv * max_blocks, sizeof *s.k_rest);
    return s;
}

void prism_sketch_truncate(struct prism_sketch *s, size_t n_head_kv, size_t length, size_t block)
{
    if (*s->made_at >= length)
        memset(s->rank, 0, n_head_kv * sizeof *s->rank);
    *s->n_done = min_size(*s->n_done, length / block);
}

size_t prism_sketch_scratch(const struct prism_select_call *c)
{
    const struct prism_linear *f = prism_sketch_kind(c->kernels, c->d);
    size_t rows = prism_carved(c->block * prism_sketch_dim(c->d), sizeof(float));
    return max_size(prism_sketch_basis_scratch(c), 2 * rows + prism_carved(div_up(c->block, f->mr), f->a_bytes(c->d)));
}

/* The mean of b keys y, [b][r], as bytes of a scale, and how far from it a key lies at most, in deviations. */
static float take_mean(uint8_t *bytes, const float *y, size_t b, size_t r, float scale, const float *within)
{
    float mean[PRISM_MAX_HEAD_DIM] = { 0 }, weight[PRISM_MAX_HEAD_DIM], most = 0;

    for (size_t i = 0; i < b; i++)
        for (size_t c = 0; c < r; c++)
            mean[c] += y[i * r + c];
    for (size_t c = 0; c < r; c++) {
        mean[c] /= (float)b;
        weight[c] = 1 / (within[c] * (float)r);
        bytes[c] = (uint8_t)(128 + (scale > 0 ? lrintf(mean[c] / scale) : 0));
    }
    for (size_t i = 0; i < b; i++) {
        float sum = 0;
        for (size_t c = 0; c < r; c++)
            sum += (y[i * r + c] - mean[c]) * (y[i * r + c] - mean[c]) * weight[c];
        most = sum > most ? sum : most;
    }
    return sqrtf(most);
}

void prism_sketch_keys(const struct prism_select_call *c, size_t kv_head, size_t v, uint8_t *scratch)
{
    const struct prism_sketch *s = c->sketch;
    size_t d = c->d, b = c->block, r = s->rank[kv_head], n = min_size(b, c->kv_len - v * b), at = kv_head * s->max_blocks + v;
    float *x = prism_carve(&scratch, b * prism_sketch_dim(d), sizeof *x), *y = prism_carve(&scratch, b * prism_sketch_dim(d), sizeof *y);
    const float *within = s->within + kv_head * prism_sketch_dim(d);
    float scale[MAX_BLOCK], length[MAX_BLOCK];
    int32_t sum[MAX_BLOCK];

    prism_sketch_load_keys(c, x, kv_head, v * b, n);
    map_rows(c, y, x, d, n, s->k_map, kv_head, scratch);
    for (size_t i = n; i < b; i++)
        memcpy(y + i * r, y + (n - 1) * r, r * sizeof *y);
    c->kernels->sketch_pack(&(struct prism_sketch_rows){ .out = s->keys + at * b * prism_sketch_dim(d), .x = y, .n = b, .lanes = b, .rank = r,
                                                         .weights = within, .scale = scale, .length = length, .sum = sum,
                                                         .offset = 128, .common = true });
    s->k_scale[at] = scale[0];
    s->k_rest[at] = take_mean(s->means + at * prism_sketch_dim(d), y, b, r, scale[0], within);
}

void prism_sketch_queries(const struct prism_select_call *c, size_t head, size_t row, size_t n, struct prism_sketch_tile *tiles, int8_t *q,
                          uint8_t *scratch)
{
    enum { ROWS = PRISM_SKETCH_ROWS };
    size_t d = c->d, kv_head = head / (c->n_head / c->n_head_kv), r = c->sketch->rank[kv_head], tile_bytes = prism_sketch_dim(d) * ROWS;
    float *y = prism_carve(&scratch, c->block * prism_sketch_dim(d), sizeof *y);

    map_rows(c, y, c->q + (row * c->n_head + head) * d, c->n_head * d, n, c->sketch->q_map, kv_head, scratch);
    for (size_t i = n; i < round_up(n, ROWS); i++) /* a tile is filled up with the last row */
        memcpy(y + i * r, y + (n - 1) * r, r * sizeof *y);
    for (size_t i = 0; i < n; i += ROWS) {
        struct prism_sketch_tile *t = &tiles[i / ROWS];
        int8_t *out = q + i / ROWS * tile_bytes;
        *t = (struct prism_sketch_tile){ .q = out };
        c->kernels->sketch_pack(&(struct prism_sketch_rows){ .out = (uint8_t *)out, .x = y + i * r, .n = ROWS, .lanes = ROWS, .rank = r,
                                                             .weights = c->sketch->within + kv_head * prism_sketch_dim(d), .scale = t->scale,
                                                             .length = t->reach, .sum = t->bias });
        for (size_t lane = 0; lane < ROWS; lane++) {
            t->bias[lane] *= 128;
            t->scale[lane] *= PRISM_LOG2_E;
            t->reach[lane] *= c->sketch->sigmas[head] * PRISM_LOG2_E;
            t->most[lane] = -0x1p100f;
        }
    }
}
