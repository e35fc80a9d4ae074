/* test_rows.c - attention of a few rows from the cache as stored: softmax in double, spans of keys, heads that share a kv head, the same
 * bits for any number of threads and for rows that come alone. The kernels have tests of their own (tests/arch/test_attn_row.c). */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/attention/attention.h"
#include "tests/support/kernel_test.h"
#include "tests/support/thread_test.h"

enum { MAX_THREADS = 5 };

static const struct shape {
    size_t n_head, n_head_kv, d, q_pos, n_rows;
    enum prism_kv_format k_format, v_format;
    const char *why;
    size_t window;  /* 0: none. Else the cache is a ring, as small as it may be */
    bool sinks;
} shapes[] = {
    { 2, 2, 64, 0, 1, PRISM_KVF_F16, PRISM_KVF_F16, "one token", 0, false },
    { 4, 1, 64, 1023, 1, PRISM_KVF_F16, PRISM_KVF_F16, "a whole span", 0, false },
    { 8, 2, 128, 1024, 1, PRISM_KVF_F16, PRISM_KVF_F16, "a span and a key", 0, false },
    { 6, 2, 40, 1019, 16, PRISM_KVF_BF16, PRISM_KVF_BF16, "rows on both sides of a span's end", 0, false },
    { 9, 1, 16, 2300, 3, PRISM_KVF_F32, PRISM_KVF_F32, "more heads than a pass takes", 0, false },
    { 7, 7, 80, 3000, 2, PRISM_KVF_F16, PRISM_KVF_F16, "no shared heads", 0, false },
    { 4, 1, 512, 1030, 9, PRISM_KVF_F16, PRISM_KVF_F16, "the largest head", 0, false },
    { 8, 2, 64, 1500, 5, PRISM_KVF_Q8_0, PRISM_KVF_Q8_0, "blocks of Q8_0", 0, false },
    { 4, 2, 64, 100, 1, PRISM_KVF_F16, PRISM_KVF_F16, "a sink", 0, true },
    { 4, 2, 64, 2100, 4, PRISM_KVF_F32, PRISM_KVF_F32, "a sink of several spans", 0, true },
    { 4, 2, 32, 1030, 16, PRISM_KVF_F32, PRISM_KVF_F32, "a window across a span's end", 24, false },
    { 4, 1, 64, 3000, 3, PRISM_KVF_F16, PRISM_KVF_F16, "a window that begins a span back, and sinks", 1000, true },
    { 2, 2, 64, 1535, 2, PRISM_KVF_Q8_0, PRISM_KVF_Q8_0, "a window across a piece's end", 128, true },
    { 4, 2, 16, 10, 5, PRISM_KVF_BF16, PRISM_KVF_BF16, "a window that sees all", 128, false },
    { 8, 2, 64, 1500, 5, PRISM_KVF_F32, PRISM_KVF_Q8_0, "values of fewer bytes than keys", 0, false },
    { 4, 2, 32, 2070, 3, PRISM_KVF_Q8_0, PRISM_KVF_F16, "values of more bytes than keys", 0, false },
    { 4, 2, 32, 1030, 16, PRISM_KVF_F16, PRISM_KVF_Q8_0, "two formats in a ring", 24, false },
};

struct scene {
    struct prism_attention_call a;
    size_t kv_len;
    float *q, *k, *v; /* [n_rows][n_head][d]; [n_head_kv][kv_len][d] as the cache's rounding left them */
};

/* Rounds rows of d to the format; returns the last of them as a cache of `capacity` rows a head stores them. */
static uint8_t *store(float *x, const struct shape *s, enum prism_kv_format format, size_t kv_len, size_t capacity)
{
    size_t row = prism_kv_row_bytes(format, s->d);
    uint8_t *p = kt_alloc(s->n_head_kv * capacity * row, 4);

    memset(p, 0, s->n_head_kv * capacity * row);
    for (size_t h = 0; h < s->n_head_kv; h++)
        for (size_t pos = 0; pos < kv_len; pos++)
            kt_store_kv(p + (h * capacity + pos % capacity) * row, x + (h * kv_len + pos) * s->d, s->d, format);
    kt_freeze(p);
    return p;
}

static float *normal(size_t n)
{
    float *x = kt_floats(n);
    kt_fill(x, n, KT_NORMAL);
    return x;
}

static struct scene scene_open(const struct prism_kernels *k, const struct shape *s)
{
    size_t kv_len = s->q_pos + s->n_rows, n_kv = s->n_head_kv * kv_len * s->d;
    size_t ring = (s->window + s->n_rows + PRISM_ATTN_ROW_KEYS - 1) / PRISM_ATTN_ROW_KEYS * PRISM_ATTN_ROW_KEYS;
    size_t capacity = s->window && ring < kv_len ? ring : kv_len;
    struct scene c = { .kv_len = kv_len, .q = normal(s->n_rows * s->n_head * s->d), .k = normal(n_kv), .v = normal(n_kv) };

    c.a = (struct prism_attention_call){
        .kernels = k, .family = k->attention_f32, .attn_row = k->attn_row,
        .n_rows = s->n_rows, .q_pos = s->q_pos, .n_head = s->n_head, .n_head_kv = s->n_head_kv,
        .d = s->d, .scale = (float)(1 / sqrt((double)s->d)), .capacity = capacity,
        .k = store(c.k, s, s->k_format, kv_len, capacity), .k_head_bytes = capacity * prism_kv_row_bytes(s->k_format, s->d),
        .v = store(c.v, s, s->v_format, kv_len, capacity), .v_head_bytes = capacity * prism_kv_row_bytes(s->v_format, s->d),
        .window = s->window, .sinks = s->sinks ? normal(s->n_head) : NULL,
        .k_format = s->k_format, .v_format = s->v_format,
        .panels = kt_alloc(prism_attention_rows_bytes(s->n_rows, s->n_head, s->d, kv_len), 64),
        .scratch_bytes = (prism_attention_scratch(k->attention_f32, s->d, 128, kv_len) + 63) & ~(size_t)63,
    };
    c.a.scratch = kt_alloc(MAX_THREADS * c.a.scratch_bytes, 64);
    return c;
}

/* The output of rows [row, row + n). */
static float *attend(const struct scene *c, size_t row, size_t n, uint32_t n_threads)
{
    size_t width = c->a.n_head * c->a.d;
    struct prism_attention_call a = c->a;
    struct prism_team *team = new_team(n_threads, false);

    a.q = kt_floats(n * width);
    memcpy(a.q, c->q + row * width, n * width * sizeof *a.q);
    a.n_rows = n, a.q_pos += row, a.runner = (struct prism_runner){ run_on_team, team };
    assert_true(prism_attention_rows(&a));
    prism_team_free(team);
    return a.q;
}

/* As exact_row of tests/support/attn_scene.c derives it; each piece of keys rescales what was there, a few roundings more. */
static void check_head(const struct scene *c, const float *o, size_t row, size_t head)
{
    size_t d = c->a.d, n = c->a.q_pos + row + 1, kv = head / (c->a.n_head / c->a.n_head_kv) * c->kv_len * d;
    const float *q = c->q + (row * c->a.n_head + head) * d, *k = c->k + kv, *v = c->v + kv;
    double p[4096], sink = c->a.sinks ? (double)c->a.sinks[head] : -(double)INFINITY, max = sink, sum = 0, delta = 0;
    size_t pos = c->a.q_pos + row, first = c->a.window && pos >= c->a.window ? pos - c->a.window + 1 : 0;

    assert_true(n <= sizeof p / sizeof *p);
    for (size_t j = first; j < n; j++) {
        double dot = 0, sum_abs = 0;
        for (size_t i = 0; i < d; i++) {
            dot += (double)q[i] * k[j * d + i];
            sum_abs += fabs((double)q[i] * k[j * d + i]);
        }
        p[j] = (double)c->a.scale * dot;
        max = p[j] > max ? p[j] : max;
        sum_abs *= (double)d * FLT_EPSILON * (double)c->a.scale;
        delta = sum_abs > delta ? sum_abs : delta;
    }
    for (size_t j = first; j < n; j++)
        sum += p[j] = exp(p[j] - max);
    sum += exp(sink - max);
    double relative = 2 * expm1(delta) + ((double)n + 16 + 8 * (double)(n / PRISM_ATTN_ROW_KEYS)) * FLT_EPSILON;
    for (size_t i = 0; i < d; i++) {
        double exact = 0, weighted = 0;
        for (size_t j = first; j < n; j++) {
            exact += p[j] / sum * v[j * d + i];
            weighted += p[j] / sum * fabs((double)v[j * d + i]);
        }
        kt_near((double)o[i], exact, relative * weighted + FLT_MIN, row * c->a.n_head + head, i);
    }
}

static void check_shape(const struct prism_kernels *k, const struct shape *s)
{
    struct scene c = scene_open(k, s);
    size_t width = s->n_head * s->d;
    float *o = attend(&c, 0, s->n_rows, 1);

    for (size_t row = 0; row < s->n_rows; row += row + 2 < s->n_rows ? 2 : 1)
        for (size_t head = 0; head < s->n_head; head++)
            check_head(&c, o + row * width + head * s->d, row, head);
    for (uint32_t threads = 2; threads <= MAX_THREADS; threads += 3)
        kt_same_floats(attend(&c, 0, s->n_rows, threads), o, s->n_rows * width);
    for (size_t row = 0; row < s->n_rows; row++) /* spans and pieces lie on a grid of positions */
        kt_same_floats(attend(&c, row, 1, 1), o + row * width, width);
}

static void check_rows(const struct prism_kernels *k)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const struct shape *s = &shapes[i];
        kt_context("%s attention rows %zu/%zu heads of %zu at %zu + %zu (%s)", k->name, s->n_head, s->n_head_kv, s->d, s->q_pos, s->n_rows,
                   s->why);
        check_shape(k, s);
        kt_release();
    }
}

static void test_rows(void **state) { (void)state, kt_levels(check_rows); }

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows) };
    return cmocka_run_group_tests_name("attention/rows", tests, NULL, NULL);
}
