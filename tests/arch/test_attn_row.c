/* test_attn_row.c - the row kernel of attention of every level: head sizes, pieces, formats, logits; windows, softcaps and sinks. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/attn_scene.h"
#include "tests/support/kernel_test.h"

/* The last `rows` positions of kv_len keys, which come in pieces of `piece`: late pieces are not seen by all rows. */
static const struct row_shape {
    size_t d, kv_len, rows, piece;
} row_shapes[] = {
    { 64, 1, 1, 512 },   { 8, 7, 3, 512 },    { 40, 33, 8, 16 },  { 80, 300, 5, 512 },  { 96, 31, 2, 512 },
    { 128, 600, 1, 512 }, { 128, 1000, 8, 512 }, { 32, 50, 3, 20 }, { 160, 200, 4, 130 }, { 256, 65, 4, 40 }, { 512, 65, 4, 40 },
    { 504, 90, 8, 33 }, { 64, 520, 7, 128 }, { 136, 70, 6, 33 },
};
enum { N_ROW_SHAPES = sizeof row_shapes / sizeof *row_shapes };

/* A piece of which a row sees nothing leaves what the row has. */
static void attend_piece(prism_attn_row_fn *fn, const struct prism_attn_row *a)
{
    float o[PRISM_ATTN_ROW_Q * PRISM_MAX_HEAD_DIM], max[PRISM_ATTN_ROW_Q], sum[PRISM_ATTN_ROW_Q];

    memcpy(o, a->o, a->n_q * a->d * sizeof *o);
    memcpy(max, a->max, a->n_q * sizeof *max);
    memcpy(sum, a->sum, a->n_q * sizeof *sum);
    fn(a);
    for (size_t r = 0; r < a->n_q; r++)
        if ((a->from ? a->from[r] : 0) >= a->seen[r]) {
            kt_same_floats(a->o + r * a->d, o + r * a->d, a->d);
            kt_same_floats(a->max + r, max + r, 1);
            kt_same_floats(a->sum + r, sum + r, 1);
        }
}

/* o[rows][d]: rows [first, first + n) of the scene, piece after piece. */
static void attend_rows(prism_attn_row_fn *fn, const struct attn_scene *s, const void *stored_k, const void *stored_v,
                        enum prism_kv_format format, size_t piece, size_t first, size_t n, float *o)
{
    const size_t d = s->t.d;
    float *max = kt_floats(n), *sum = kt_floats(n), *scores = kt_alloc(n * PRISM_ATTN_ROW_KEYS * sizeof *scores, 64);
    size_t *seen = kt_alloc(n * sizeof *seen, 8), *from = kt_alloc(n * sizeof *from, 8);

    for (size_t r = 0; r < n; r++) {
        max[r] = s->t.sink ? *s->t.sink * 0x1.715476p0f : -INFINITY; /* log2(e) */
        sum[r] = s->t.sink ? 1 : 0;
    }
    memset(o, 0, n * d * sizeof *o);
    for (size_t key = 0; key < s->t.q_pos + first + n; key += piece) {
        size_t left = s->t.q_pos + first + n - key, n_keys = left < piece ? left : piece, at = key * prism_kv_row_bytes(format, d);
        for (size_t r = 0; r < n; r++) {
            size_t limit = s->t.q_pos + first + r + 1, begin = attn_scene_first_key(s, first + r);
            seen[r] = limit < key ? 0 : limit - key < n_keys ? limit - key : n_keys;
            from[r] = begin < key ? 0 : begin - key < n_keys ? begin - key : n_keys;
        }
        attend_piece(fn, &(struct prism_attn_row){ .q = s->q + first * d, .n_q = n, .d = d, .k = (const char *)stored_k + at,
                                                   .v = (const char *)stored_v + at, .k_format = format, .v_format = format, .n_keys = n_keys,
                                                   .seen = seen, .from = s->t.window ? from : NULL, .scale = s->t.scale, .softcap = s->t.softcap,
                                                   .o = o, .max = max, .sum = sum, .scores = scores });
    }
    for (size_t r = 0; r < n; r++)
        for (size_t i = 0; i < d; i++)
            o[r * d + i] /= sum[r];
}

static void check_row_shape(prism_attn_row_fn *fn, bool rounds, const struct row_shape *shape, enum prism_kv_format format, enum attn_logits logits,
                            const struct attn_extras *x)
{
    struct attn_scene s = { .piece = rounds && format == PRISM_KVF_Q8_0 ? shape->piece : 0 };
    const size_t d = shape->d, rows = shape->rows;
    void *stored_k, *stored_v;

    attn_scene_make_rows(&s, d, shape->kv_len, rows, format, logits, x, &stored_k, &stored_v);
    float *o = kt_floats(rows * d), *alone = kt_floats(d);
    attend_rows(fn, &s, stored_k, stored_v, format, shape->piece, 0, rows, o);
    attn_scene_check_rows(&s, o, d, logits);
    for (size_t r = 0; r < rows; r++) { /* the same bits for a row computed alone */
        attend_rows(fn, &s, stored_k, stored_v, format, shape->piece, r, 1, alone);
        kt_same_floats(alone, o + r * d, d);
    }
}

/* Every window with every shape; formats, softcaps, sinks and kinds of logits take turns. */
static void check_row_windows(const struct prism_kernels *k, prism_attn_row_fn *fn, bool rounds)
{
    for (size_t i = 0, turn = 0; i < N_ROW_SHAPES; i++)
        for (size_t w = 0; w < N_ATTN_WINDOWS; w++, turn++) {
            const struct row_shape *s = &row_shapes[i];
            const size_t formats = s->d % 32 ? PRISM_KVF_Q8_0 : PRISM_N_KV_FORMATS;
            const enum prism_kv_format f = rounds && s->d % 32 == 0 ? PRISM_KVF_Q8_0 : (enum prism_kv_format)(turn % formats);
            const enum attn_logits l = turn % 2 ? MODERATE : (enum attn_logits)(turn / 2 % N_ATTN_LOGITS);
            const struct attn_extras x = attn_scene_extras(i, w, s->piece);
            kt_context("%s attn_row%s d %zu kv_len %zu rows %zu piece %zu format %d logits %d window %zu softcap %g sink %g", k->name,
                       rounds ? "_auto" : "", s->d, s->kv_len, s->rows, s->piece, f, l, x.window, (double)x.softcap, x.sink ? (double)*x.sink : 0);
            check_row_shape(fn, rounds, s, f, l, &x);
            kt_release();
        }
}

static void check_row_kernel(const struct prism_kernels *k, prism_attn_row_fn *fn, bool rounds)
{
    for (size_t i = 0; i < N_ROW_SHAPES; i++)
        for (int f = 0; f < PRISM_N_KV_FORMATS; f++)
            for (int l = 0; l < N_ATTN_LOGITS; l++) {
                const struct row_shape *s = &row_shapes[i];
                if (f == PRISM_KVF_Q8_0 && s->d % 32)
                    continue;
                kt_context("%s attn_row%s d %zu kv_len %zu rows %zu piece %zu format %d logits %d", k->name, rounds ? "_auto" : "", s->d,
                           s->kv_len, s->rows, s->piece, f, l);
                check_row_shape(fn, rounds, s, (enum prism_kv_format)f, (enum attn_logits)l, NULL);
                kt_release();
            }
    check_row_windows(k, fn, rounds);
}

static void check_f32(const struct prism_kernels *k) { check_row_kernel(k, k->attn_row, false); }

static void check_auto(const struct prism_kernels *k)
{
    if (k->attn_row_auto != k->attn_row)
        check_row_kernel(k, k->attn_row_auto, true);
}

static void test_f32(void **state) { (void)state, kt_levels(check_f32); }
static void test_auto(void **state) { (void)state, kt_levels(check_auto); }

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_f32), cmocka_unit_test(test_auto) };
    return cmocka_run_group_tests_name("arch/attn_row", tests, NULL, NULL);
}
