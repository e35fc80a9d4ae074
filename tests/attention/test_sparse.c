/* test_sparse.c - attention tiles with a mask: the same bits as dense where the mask leaves nothing out, softmax in double where it does.
 *
 * The kernels have tests of their own (tests/arch/test_attention.c); here it is the lists, tiles, dense tails and the order of jobs. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/attention/select.h"
#include "src/base/size.h"
#include "tests/support/kernel_test.h"
#include "tests/support/thread_test.h"

/* Sanitized programs are slow: fewer shapes and shorter prompts. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { N_SHAPES = 4, LONG = 300 };
#else
enum { N_SHAPES = 12, LONG = 3000 };
#endif

enum { MAX_THREADS = 7, CHECKED_ROWS = 12 };

/* ---- a call, with all that it points at ---- */

struct scene {
    struct prism_attention_call a;
    struct prism_mask mask;
    size_t kv_len;
    float *q;             /* [n_rows][n_head][d]: a.q is overwritten */
    float *k, *v;         /* [n_head_kv][kv_len][d] as the cache's rounding left them */
};

struct shape {
    size_t n_head, n_head_kv, d, block, q_pos, n_rows;
    size_t mask_first;    /* first query block of the mask: at most q_pos / block */
    size_t heads_at_once;
    enum prism_kv_format k_format, v_format;
};

static uint8_t *store(float *x, size_t n, enum prism_kv_format f)
{
    uint8_t *p = malloc(prism_kv_row_bytes(f, n));
    kt_store_kv(p, x, n, f);
    return p;
}

static float *normal(size_t n)
{
    float *x = malloc(n * sizeof *x);
    kt_fill(x, n, KT_NORMAL);
    return x;
}

static size_t round_64(size_t n) { return (n + 63) & ~(size_t)63; }

static struct scene scene_open(const struct shape *s, const struct prism_kernels *kernels, const struct prism_attention *family)
{
    size_t kv_len = s->q_pos + s->n_rows, n_blocks = (kv_len + s->block - 1) / s->block, n_kv = s->n_head_kv * kv_len * s->d;
    size_t tiles = kv_len / prism_attention_tile_rows(family, s->block) + 2;
    struct scene c = { .kv_len = kv_len, .q = normal(s->n_rows * s->n_head * s->d), .k = normal(n_kv), .v = normal(n_kv) };
    uint32_t *blocks = malloc(n_blocks * sizeof *blocks);

    for (uint32_t b = 0; b < n_blocks; b++)
        blocks[b] = b;
    c.a = (struct prism_attention_call){
        .kernels = kernels, .family = family, .q = malloc(s->n_rows * s->n_head * s->d * sizeof(float)), .n_rows = s->n_rows,
        .q_pos = s->q_pos, .n_head = s->n_head, .n_head_kv = s->n_head_kv, .d = s->d, .scale = (float)(1 / sqrt((double)s->d)),
        .k = store(c.k, n_kv, s->k_format), .v = store(c.v, n_kv, s->v_format),
        .k_head_bytes = prism_kv_row_bytes(s->k_format, kv_len * s->d), .v_head_bytes = prism_kv_row_bytes(s->v_format, kv_len * s->d),
        .k_format = s->k_format, .v_format = s->v_format, .block = s->block, .blocks = blocks, .order = malloc(2 * s->n_head * tiles * sizeof(uint32_t)),
        .heads_at_once = s->heads_at_once,
        .scratch_bytes = round_64(prism_attention_scratch(family, s->d, s->block, kv_len)),
    };
    c.a.panels = aligned_alloc(64, s->heads_at_once * prism_attention_head_bytes(family, s->d, s->block, kv_len));
    c.a.scratch = aligned_alloc(64, MAX_THREADS * c.a.scratch_bytes);
    size_t words = (n_blocks + 63) / 64, rows = n_blocks - s->mask_first;
    c.mask = (struct prism_mask){ calloc(s->n_head * rows * words, sizeof(uint64_t)), s->n_head, s->mask_first, rows, words };
    return c;
}

static void scene_free(struct scene *c)
{
    void *owned[] = { c->q, c->k, c->v, c->a.q, (void *)c->a.k, (void *)c->a.v, (void *)c->a.blocks, c->a.order, c->a.panels, c->a.scratch,
                      c->mask.bits };
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
}

/* The attention output [n_rows][n_head][d], malloc'ed. */
static float *attend(struct scene *c, const struct prism_mask *mask, size_t dense_from, uint32_t n_threads)
{
    size_t n = c->a.n_rows * c->a.n_head * c->a.d;
    struct prism_team *team = new_team(n_threads, false);

    memcpy(c->a.q, c->q, n * sizeof(float));
    memset(c->a.scratch, 0xa5, MAX_THREADS * c->a.scratch_bytes);
    c->a.mask = mask, c->a.dense_from = dense_from, c->a.runner = (struct prism_runner){ run_on_team, team };
    assert_true(prism_attention_tiles(&c->a));
    prism_team_free(team);
    float *o = malloc(n * sizeof *o);
    memcpy(o, c->a.q, n * sizeof *o);
    return o;
}

/* Sink and diagonal, and each other causal block with probability share / 256. */
static void fill_mask(struct scene *c, unsigned share)
{
    for (size_t h = 0; h < c->mask.n_heads; h++)
        for (size_t r = 0; r < c->mask.n_rows; r++) {
            size_t u = c->mask.first + r;
            uint64_t *row = prism_mask_row(&c->mask, h, r);
            memset(row, 0, c->mask.words * sizeof *row);
            for (size_t v = 0; v <= u; v++)
                if (v == 0 || v == u || (kt_random() >> 8 & 255) < share)
                    row[v / 64] |= UINT64_C(1) << v % 64;
        }
}

/* ---- softmax over the chosen keys in double ---- */

static void exact_row(const struct scene *c, size_t row, size_t head, bool dense, double *o)
{
    size_t d = c->a.d, pos = c->a.q_pos + row, kv = head / (c->a.n_head / c->a.n_head_kv) * c->kv_len * d;
    const float *q = c->q + (row * c->a.n_head + head) * d;
    const uint64_t *bits = prism_mask_row(&c->mask, head, pos / c->a.block - c->mask.first);
    double sum = 0;

    memset(o, 0, d * sizeof *o);
    for (size_t key = 0; key <= pos; key++) {
        size_t b = key / c->a.block;
        double dot = 0;
        if (!dense && !(bits[b / 64] >> b % 64 & 1))
            continue;
        for (size_t i = 0; i < d; i++)
            dot += (double)q[i] * (double)c->k[kv + key * d + i];
        double weight = exp((double)c->a.scale * dot); /* |logit| <= sqrt(d) * 3.47^2 in theory, a few in practice */
        sum += weight;
        for (size_t i = 0; i < d; i++)
            o[i] += weight * (double)c->v[kv + key * d + i];
    }
    for (size_t i = 0; i < d; i++)
        o[i] /= sum;
}

static void check_row(const struct scene *c, const float *got, size_t row, size_t dense_from)
{
    double exact[PRISM_MAX_HEAD_DIM], bound = (double)c->a.family->err * 3.47; /* no value exceeds 3.47: kt_fill */

    for (size_t h = 0; h < c->a.n_head; h++) {
        exact_row(c, row, h, c->a.q_pos + row >= dense_from, exact);
        for (size_t i = 0; i < c->a.d; i++)
            kt_near((double)got[(row * c->a.n_head + h) * c->a.d + i], exact[i], bound, row, i);
    }
}

static void check_rows(struct scene *c, size_t dense_from, uint32_t n_threads)
{
    float *got = attend(c, &c->mask, dense_from, n_threads);
    size_t n = c->a.n_rows;

    check_row(c, got, 0, dense_from);
    check_row(c, got, n - 1, dense_from);
    for (size_t i = 0; i < 2; i++) /* the last sparse and the first dense row */
        if (dense_from - i >= c->a.q_pos && dense_from - i < c->kv_len)
            check_row(c, got, dense_from - i - c->a.q_pos, dense_from);
    for (int i = 0; i < CHECKED_ROWS; i++)
        check_row(c, got, kt_random() % n, dense_from);
    free(got);
}

static void expect_same(struct scene *c, float *want, float *got, const char *sentence)
{
    kt_true(!memcmp(want, got, c->a.n_rows * c->a.n_head * c->a.d * sizeof *want), sentence);
    free(got);
}

/* ---- all of it on one shape ---- */

static void check_scene(const struct shape *s, const struct prism_kernels *kernels, const struct prism_attention *family)
{
    static const uint32_t threads[] = { 2, 3, 7 };
    struct scene c = scene_open(s, kernels, family);
    size_t tail = c.kv_len - min_size(c.kv_len, 1 + kt_random() % (2 * s->block)); /* most often inside a tile */

    kt_context("%s %s: %zu heads, %zu kv, d %zu, block %zu, rows %zu + %zu, tail from %zu", kernels->name, family->name, s->n_head,
               s->n_head_kv, s->d, s->block, s->q_pos, s->n_rows, tail);
    float *dense = attend(&c, NULL, 0, 1);
    fill_mask(&c, 256);
    expect_same(&c, dense, attend(&c, &c.mask, c.kv_len, 2), "a full mask is dense");
    expect_same(&c, dense, attend(&c, &c.mask, tail, 2), "a full mask with a tail is dense");
    fill_mask(&c, kt_random() >> 8 & 127);
    expect_same(&c, dense, attend(&c, &c.mask, s->q_pos, 2), "a tail over all rows is dense");
    check_rows(&c, c.kv_len, 2);
    check_rows(&c, tail, 3);
    free(dense);

    float *one = attend(&c, &c.mask, tail, 1);
    for (size_t i = 0; i < 3; i++)
        expect_same(&c, one, attend(&c, &c.mask, tail, threads[i]), "the same bits on any number of threads");
    free(one);
    scene_free(&c);
}

static struct shape random_shape(bool is_long)
{
    static const size_t head_dims[] = { 64, 80, 96, 128, 256, 512 };
    size_t kv = 1 + kt_random() % 3, rows = 1 + (is_long ? LONG - kt_random() % 100 : kt_random() % 500);
    struct shape s = {
        .n_head = kv * (1 + kt_random() % 3), .n_head_kv = kv, .d = is_long ? 64 : head_dims[kt_random() % 6],
        .block = (size_t)32 << kt_random() % 4, .q_pos = kt_random() % 2 ? 0 : kt_random() % 700, .n_rows = rows,
        .heads_at_once = 1 + kt_random() % kv,
    };
    size_t n_formats = s.d % 32 ? PRISM_KVF_Q8_0 : PRISM_N_KV_FORMATS; /* the last has blocks of 32 */
    s.k_format = (enum prism_kv_format)(kt_random() % n_formats);
    s.v_format = (enum prism_kv_format)(kt_random() % n_formats);
    s.mask_first = s.q_pos / s.block - (s.q_pos >= s.block && kt_random() % 2); /* rows that the call does not attend with */
    return s;
}

static void check_level(const struct prism_kernels *k)
{
    for (int i = 0; i < N_SHAPES; i++) {
        struct shape s = random_shape(i == 0);
        check_scene(&s, k, k->attention_f32);
        if (k->attention_auto != k->attention_f32)
            check_scene(&s, k, k->attention_auto);
    }
}

static void test_random_shapes(void **state)
{
    (void)state;
    for (int l = 0; l < PRISM_N_LEVELS; l++)
        if (prism_kernels_by_level[l] && prism_level_runs_here((enum prism_level)l)) {
            kt_seed(1);
            check_level(prism_kernels_by_level[l]);
        } else if (prism_kernels_by_level[l]) {
            print_message("skipped: no %s\n", prism_level_label((enum prism_level)l));
        }
}

/* prism_mask_list: every bit of words that are empty, full and in between. */
static void test_list(void **state)
{
    (void)state;
    uint64_t row[4] = { 0, UINT64_MAX, UINT64_C(1) << 63 | 1, 0 };
    uint32_t list[256];

    assert_int_equal(prism_mask_list(row, 4, list), 66);
    for (uint32_t i = 0; i < 64; i++)
        assert_int_equal(list[i], 64 + i);
    assert_int_equal(list[64], 128);
    assert_int_equal(list[65], 191);
    assert_int_equal(prism_mask_list(row, 1, list), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_list), cmocka_unit_test(test_random_shapes) };
    return cmocka_run_group_tests_name("sparse", tests, NULL, NULL);
}
