/* sketch.c - see sketch.h: keys and queries as bytes. */
#include "src/attention/sketch.h"

#include <math.h>
#include <string.h>

#include "src/attention/selectors.h"
#include "src/base/size.h"

void prism_sketch_load_keys(const struct prism_select_call *c, float *x, size_t kv_head, size_t pos, size_t n)
{
    const uint8_t *at = c->k + kv_head * c->kv_head_bytes + pos * prism_kv_row_bytes(c->format, c->d);
    c->kernels->to_f32[prism_kv_stored(c->format)](x, at, n * c->d);
}

/* Coordinates of n rows of x to y, [n][rank]. */
static void map_rows(const struct prism_select_call *c, float *y, const float *x, size_t ldx, size_t n, const uint8_t *maps, size_t kv_head,
                     uint8_t *scratch)
{
    const struct prism_linear *f = c->kernels->linear_f32;
    uint8_t *panels = prism_carve(&scratch, div_up(c->block, f->mr), f->a_bytes(c->d));
    size_t r = c->sketch->rank[kv_head], have = min_size(r, c->d);

    for (size_t at = 0; at < n; at += f->mr)
        f->pack_a(panels + at / f->mr * f->a_bytes(c->d), x + at * ldx, ldx, min_size(f->mr, n - at), c->d);
    f->gemm(&(struct prism_gemm_args){ .c = y, .ldc = r, .a = panels, .w = maps + kv_head * prism_sketch_map_bytes(c->kernels, c->d), .rows = n,
                                       .cols = have, .k = c->d });
    for (size_t i = 0; have < r && i < n; i++)
        memset(y + i * r + have, 0, (r - have) * sizeof *y);
}

size_t prism_sketch_map_bytes(const struct prism_kernels *k, size_t d) { return div_up(d, k->linear_f32->nr) * k->linear_f32->w_bytes(d); }

struct prism_sketch prism_sketch_layout(const struct prism_select_call *c, size_t max_blocks, struct prism_arena *a)
{
    size_t map = prism_sketch_map_bytes(c->kernels, c->d);
    struct prism_sketch s = { .max_blocks = max_blocks };

    s.k_map = prism_arena_take(a, c->n_head_kv, map);
    s.q_map = prism_arena_take(a, c->n_head_kv, map);
    s.rank = prism_arena_take(a, c->n_head_kv, sizeof *s.rank);
    s.made_at = prism_arena_take(a, 1, sizeof *s.made_at);
    s.n_done = prism_arena_take(a, 1, sizeof *s.n_done);
    s.keys = prism_arena_take(a, c->n_head_kv * max_blocks, c->block * prism_sketch_dim(c->d));
    s.k_scale = prism_arena_take(a, c->n_head_kv * max_blocks, sizeof *s.k_scale);
    for (size_t i = 0; i + 1 < PRISM_SKETCH_STAGES; i++)
        s.k_rest[i] = prism_arena_take(a, c->n_head_kv * max_blocks, sizeof **s.k_rest);
    return s;
}

size_t prism_sketch_scratch(const struct prism_select_call *c)
{
    const struct prism_linear *f = c->kernels->linear_f32;
    size_t rows = prism_carved(c->block * prism_sketch_dim(c->d), sizeof(float));
    return max_size(prism_sketch_basis_scratch(c), 2 * rows + prism_carved(div_up(c->block, f->mr), f->a_bytes(c->d)));
}

static float largest(const float *x, size_t n)
{
    float most = 0;
    for (size_t i = 0; i < n; i++)
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    return most;
}

/* Bytes, rounded half to even by the sum with 1.5 * 2^23, whose last bits are the integer. |x * step| <= 127 but for what is not finite. */
static void to_bytes(int8_t *out, const float *x, size_t n, float step)
{
    for (size_t i = 0; i < n; i++) {
        float sum = x[i] * step + 0x1.8p23f;
        uint32_t bits;
        memcpy(&bits, &sum, sizeof bits);
        out[i] = (int8_t)(uint8_t)bits;
    }
}

/* The length of coordinates [from, r), in deviations of a product whose other side has variance 1 in each. */
static float spread(const float *x, size_t from, size_t r)
{
    float part[4] = { 0 };
    for (size_t i = from; i < r; i += 4)
        for (size_t j = 0; j < 4; j++)
            part[j] += x[i + j] * x[i + j];
    return sqrtf(part[0] + part[1] + part[2] + part[3]);
}

void prism_sketch_keys(const struct prism_select_call *c, size_t kv_head, size_t v, uint8_t *scratch)
{
    const struct prism_sketch *s = c->sketch;
    size_t d = c->d, b = c->block, r = s->rank[kv_head], n = min_size(b, c->kv_len - v * b);
    size_t at = kv_head * s->max_blocks + v;
    float *x = prism_carve(&scratch, b * prism_sketch_dim(d), sizeof *x), *y = prism_carve(&scratch, b * prism_sketch_dim(d), sizeof *y);
    uint8_t *out = s->keys + at * b * prism_sketch_dim(d);
    int8_t bytes[PRISM_MAX_HEAD_DIM];
    float rest[PRISM_SKETCH_STAGES - 1] = { 0 };

    prism_sketch_load_keys(c, x, kv_head, v * b, n);
    map_rows(c, y, x, d, n, s->k_map, kv_head, scratch);
    float most = largest(y, n * r), step = most > 0 ? 127 / most : 0;
    for (size_t j = 0; j < b; j++) {
        const float *key = y + min_size(j, n - 1) * r;
        to_bytes(bytes, key, r, step);
        for (size_t i = 0; i < r; i += 4)
            for (size_t k = 0; k < 4; k++)
                out[(i / 4 * b + j) * 4 + k] = (uint8_t)(128 + bytes[i + k]);
        for (size_t stage = 0; stage + 1 < PRISM_SKETCH_STAGES; stage++) {
            float left = spread(key, prism_sketch_end(r, stage), r);
            rest[stage] = left > rest[stage] ? left : rest[stage];
        }
    }
    s->k_scale[at] = most / 127;
    for (size_t stage = 0; stage + 1 < PRISM_SKETCH_STAGES; stage++)
        s->k_rest[stage][at] = rest[stage] / sqrtf((float)max_size(1, r - prism_sketch_end(r, stage)));
    for (size_t i = 0; i < n * r; i++)
        if (!isfinite(y[i]))
            s->k_scale[at] = NAN;
}

void prism_sketch_queries(const struct prism_select_call *c, size_t head, size_t row, size_t n, struct prism_sketch_query *tiles, uint8_t *scratch)
{
    size_t d = c->d, kv_head = head / (c->n_head / c->n_head_kv), r = c->sketch->rank[kv_head];
    float *y = prism_carve(&scratch, c->block * prism_sketch_dim(d), sizeof *y);
    int8_t bytes[PRISM_MAX_HEAD_DIM];

    map_rows(c, y, c->q + (row * c->n_head + head) * d, c->n_head * d, n, c->sketch->q_map, kv_head, scratch);
    for (size_t i = 0; i < round_up(n, PRISM_SKETCH_ROWS); i++) {
        struct prism_sketch_query *t = &tiles[i / PRISM_SKETCH_ROWS];
        size_t lane = i % PRISM_SKETCH_ROWS;
        const float *x = y + min_size(i, n - 1) * r; /* a tile is filled up with the last row */
        float most = largest(x, r), step = most > 0 ? 127 / most : 0;
        int32_t sum = 0;
        to_bytes(bytes, x, r, step);
        for (size_t j = 0; j < r; j += 4) {
            memcpy(t->q + (j * PRISM_SKETCH_ROWS + lane * 4), bytes + j, 4);
            sum += bytes[j] + bytes[j + 1] + bytes[j + 2] + bytes[j + 3];
            for (size_t stage = 0; stage < PRISM_SKETCH_STAGES; stage++)
                if (j + 4 == prism_sketch_end(r, stage))
                    t->bias[stage][lane] = 128 * sum;
        }
        t->scale[lane] = most / 127 * PRISM_LOG2_E;
        for (size_t stage = 0; stage + 1 < PRISM_SKETCH_STAGES; stage++)
            t->reach[stage][lane] = PRISM_SKETCH_SIGMAS * PRISM_LOG2_E * spread(x, prism_sketch_end(r, stage), r);
    }
}
