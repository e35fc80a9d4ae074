/* test_attention.c - the attention families and the row kernel of every level: head sizes, blocks, positions, lists, logits; windows, softcaps
 * and sinks. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/generic/generic.h"
#include "tests/support/attn_scene.h"
#include "tests/support/kernel_test.h"

static const struct attn_shape shapes[] = {
    { 64, 64, 0, 256, 0, ALL_BLOCKS, PRISM_KVF_F16, "full tile on the grid" },
    { 64, 32, 1, 0, 0, ALL_BLOCKS, PRISM_KVF_F16, "one row, one key" },
    { 8, 32, 5, 27, 3, ALL_BLOCKS, PRISM_KVF_F32, "smallest head, two diagonal blocks" },
    { 40, 64, 7, 100, 0, ALL_BLOCKS, PRISM_KVF_BF16, "odd head" },
    { 80, 128, 0, 130, 50, EVERY_THIRD, PRISM_KVF_F16, "head 80, off the grid, future keys" },
    { 96, 64, 99, 129, 0, SINK_AND_DIAGONAL, PRISM_KVF_F16, "head 96, one short of a tile" },
    { 128, 128, 0, 384, 0, ALL_BLOCKS, PRISM_KVF_F16, "head 128" },
    { 128, 128, 0, 384, 0, SINK_AND_DIAGONAL, PRISM_KVF_F16, "head 128, sparse" },
    { 128, 32, 99, 417, 17, EVERY_THIRD, PRISM_KVF_BF16, "head 128, small blocks, off the grid" },
    { 128, 256, 0, 200, 0, ALL_BLOCKS, PRISM_KVF_F32, "block larger than the prompt" },
    { 256, 256, 3, 500, 9, ALL_BLOCKS, PRISM_KVF_F16, "largest head" },
    { 256, 64, 0, 64, 0, ALL_BLOCKS, PRISM_KVF_BF16, "largest head, full tile" },
    { 96, 64, 9, 200, 21, EVERY_THIRD, PRISM_KVF_Q8_0, "head 96 of Q8_0, off the grid" },
    { 128, 128, 0, 384, 0, ALL_BLOCKS, PRISM_KVF_Q8_0, "head 128 of Q8_0" },
    { 32, 32, 5, 27, 3, ALL_BLOCKS, PRISM_KVF_Q8_0, "a head of one block" },
    { 64, 64, 23, 200, 5, ALL_BLOCKS, PRISM_KVF_F16, "rows of a third of a tile" },
    { 48, 32, 40, 96, 0, EVERY_THIRD, PRISM_KVF_F16, "head 48, rows of five eighths of a tile" },
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

/* Softcaps and sinks that take turns in the tests of windows: logits are up to 30, those of the smaller cap up to 4. */
static const float no_sink = -INFINITY, small_sink = -3.5f, sink = 2.25f, large_sink = 40;
static const struct attn_extras extras[] = {
    { .softcap = 0 }, { .softcap = 4 }, { .sink = &sink }, { .softcap = 50, .sink = &small_sink }, { .softcap = 50 },
    { .softcap = 4, .sink = &no_sink }, { .sink = &large_sink }, { .softcap = 4, .sink = &sink }, { .sink = &no_sink },
};
enum { N_EXTRAS = sizeof extras / sizeof *extras };

/* Window number w for blocks of `block` keys; 0: none. */
enum { N_WINDOWS = 9 };
static size_t window_of(size_t w, size_t block)
{
    const size_t windows[N_WINDOWS] = { 0, 1, 2, 24, 128, block - 1, block, block + 1, SIZE_MAX };
    return windows[w];
}

/* The same bits for a row computed alone, without the blocks in which it sees nothing. */
static void check_alone(const struct attn_scene *s, const float *o)
{
    float alone[PRISM_MAX_HEAD_DIM];
    for (size_t r = 0; r < s->t.rows; r += 7) {
        struct prism_attn_tile t = s->t;
        t.q += r * t.ldq;
        t.q_pos += r;
        t.rows = 1;
        t.o = alone;
        t.ldo = t.d;
        while (t.blocks[t.n_blocks - 1] > t.q_pos / t.block)
            t.n_blocks--;
        for (; (t.blocks[0] + 1) * t.block <= attn_scene_first_key(s, r); t.blocks++)
            t.n_blocks--;
        s->a->tile(&t);
        kt_same_floats(alone, o + r * s->t.ldo, t.d);
    }
}

/* A window that holds all keys, a sink of -infinity: the same bits as none. */
static void check_none(const struct attn_scene *s, const float *o)
{
    struct prism_attn_tile t = s->t;
    float *same = kt_floats(t.rows * t.d);

    if (t.window == SIZE_MAX)
        t.window = 0;
    else if (t.window == 0)
        t.window = t.q_pos + t.rows;
    t.sink = t.sink && *t.sink > -INFINITY ? t.sink : t.sink ? NULL : &no_sink;
    t.o = same;
    t.ldo = t.d;
    s->a->tile(&t);
    for (size_t r = 0; r < t.rows; r++)
        kt_same_floats(same + r * t.d, o + r * s->t.ldo, t.d);
}

/* A NaN among the keys makes NaN of every row that sees it, a NaN among the values of its column: it never becomes a number. */
static void check_nan(const struct prism_attention *a, size_t q_pos)
{
    const struct attn_shape shape = { 64, 64, 5, q_pos, 0, ALL_BLOCKS, PRISM_KVF_F32, "NaN" };
    const size_t column = 19;
    struct attn_scene s;

    for (int of_values = 0; of_values < 2; of_values++)
        for (size_t key = 0; key <= q_pos; key += q_pos / 2) { /* the first of all, in the middle, the last that the first row sees */
            attn_scene_make(&s, a, &shape, MODERATE, NULL);
            const size_t d = s.t.d, b = key / s.t.block, n = s.t.kv_len - b * s.t.block < s.t.block ? s.t.kv_len - b * s.t.block : s.t.block;
            const size_t bytes = of_values ? a->v_block_bytes(d, s.t.block) : a->k_block_bytes(d, s.t.block);
            float *x = kt_floats(n * d), *o = kt_floats(s.t.rows * d);
            char *packed = kt_alloc(bytes, 64), *all = kt_alloc((s.t.kv_len + 63) / 64 * bytes, 64);
            memcpy(x, (of_values ? s.v : s.k) + b * s.t.block * d, n * d * sizeof *x);
            x[(key - b * s.t.block) * d + column] = NAN;
            (of_values ? a->pack_v : a->pack_k)(packed, x, PRISM_KVF_F32, n, d, s.t.block);
            memcpy(all, of_values ? s.t.v : s.t.k, (s.t.kv_len + 63) / 64 * bytes);
            memcpy(all + b * bytes, packed, bytes);
            *(of_values ? &s.t.v : &s.t.k) = all;
            s.t.o = o;
            s.t.ldo = d;
            a->tile(&s.t);
            for (size_t r = 0; r < s.t.rows; r++)
                for (size_t i = 0; i < d; i++)
                    kt_true(isnan(o[r * d + i]) == (!of_values || i == column), "a NaN became a number, or the other way round");
            kt_release();
        }
}

static void check_scene(const struct prism_attention *a, const struct attn_shape *shape, enum attn_logits logits, const struct attn_extras *x)
{
    struct attn_scene s;
    attn_scene_make(&s, a, shape, logits, x);
    const size_t rows = s.t.rows, d = s.t.d;
    float *o = kt_floats((rows - 1) * s.t.ldo + d), *in_place = kt_floats((rows - 1) * s.t.ldq + d);

    s.t.o = o;
    a->tile(&s.t);
    for (size_t r = 0; r + 1 < rows; r++)
        kt_true(kt_untouched(o + r * s.t.ldo + d, (s.t.ldo - d) * sizeof *o), "wrote past d");
    attn_scene_check_rows(&s, o, s.t.ldo, logits);
    check_alone(&s, o);
    check_none(&s, o);

    memcpy(in_place, s.q, ((rows - 1) * s.t.ldq + d) * sizeof *in_place);
    struct prism_attn_tile t = s.t;
    t.q = t.o = in_place;
    t.ldo = t.ldq;
    a->tile(&t);
    for (size_t r = 0; r < rows; r++)
        kt_same_floats(in_place + r * t.ldo, o + r * s.t.ldo, d);
}

static const char *const logit_names[N_ATTN_LOGITS] = { "moderate", "equal", "peaked", "huge" };

/* Every window with every shape; softcaps, sinks and kinds of logits (every second the moderate, whose error is bounded) take turns. */
static void check_windows(const struct prism_kernels *k, const struct prism_attention *a)
{
    for (size_t i = 0, turn = 0; i < N_SHAPES; i++)
        for (size_t w = 0; w < N_WINDOWS; w++, turn++) {
            const enum attn_logits l = turn % 2 ? MODERATE : (enum attn_logits)(turn / 2 % N_ATTN_LOGITS);
            struct attn_extras x = extras[(i + w) % N_EXTRAS];
            x.window = window_of(w, shapes[i].block);
            kt_context("%s attention %s d %zu block %zu, %s logits, window %zu, softcap %g, sink %g (%s)", k->name, a->name, shapes[i].d,
                       shapes[i].block, logit_names[l], x.window, (double)x.softcap, x.sink ? (double)*x.sink : 0, shapes[i].why);
            check_scene(a, &shapes[i], l, &x);
            kt_release();
        }
}

static void check_family(const struct prism_kernels *k, const struct prism_attention *a)
{
    for (size_t i = 0; i < N_SHAPES; i++)
        for (int l = 0; l < N_ATTN_LOGITS; l++) {
            kt_context("%s attention %s d %zu block %zu, %s logits (%s)", k->name, a->name, shapes[i].d, shapes[i].block, logit_names[l],
                       shapes[i].why);
            check_scene(a, &shapes[i], (enum attn_logits)l, NULL);
            kt_release();
        }
    check_windows(k, a);
    kt_context("%s attention %s, NaN", k->name, a->name);
    check_nan(a, 150);
    check_nan(a, 130); /* rows that see three keys of the last block, and more */
    /* The largest errors that the families may claim: fp32 sums of 256 products behind logits of 30, by 6 sigma; with i16, 256 roundings of P
     * by 5 sigma. */
    assert_true(a->err <= (!strcmp(a->name, "i16") ? 3e-3f : 1e-4f));
}

static void check_f32(const struct prism_kernels *k) { check_family(k, k->attention_f32); }

static void check_auto(const struct prism_kernels *k)
{
    if (k->attention_auto != k->attention_f32)
        check_family(k, k->attention_auto);
    if (k == &prism_kernels_generic) { /* the definitions that its table does not choose */
        check_family(k, &prism_attention_i16_generic);
    }
}

/* ---- the row kernel ---- */

/* The last `rows` positions of kv_len keys, which come in pieces of `piece`: late pieces are not seen by all rows. */
static const struct row_shape {
    size_t d, kv_len, rows, piece;
} row_shapes[] = {
    { 64, 1, 1, 512 },   { 8, 7, 3, 512 },    { 40, 33, 8, 16 },  { 80, 300, 5, 512 },  { 96, 31, 2, 512 },
    { 128, 600, 1, 512 }, { 128, 1000, 8, 512 }, { 32, 50, 3, 20 }, { 160, 200, 4, 130 }, { 256, 65, 4, 40 }, { 64, 520, 7, 128 }, { 136, 70, 6, 33 },
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
        for (size_t w = 0; w < N_WINDOWS; w++, turn++) {
            const struct row_shape *s = &row_shapes[i];
            const size_t formats = s->d % 32 ? PRISM_KVF_Q8_0 : PRISM_N_KV_FORMATS;
            const enum prism_kv_format f = rounds && s->d % 32 == 0 ? PRISM_KVF_Q8_0 : (enum prism_kv_format)(turn % formats);
            const enum attn_logits l = turn % 2 ? MODERATE : (enum attn_logits)(turn / 2 % N_ATTN_LOGITS);
            struct attn_extras x = extras[(i + w) % N_EXTRAS];
            x.window = window_of(w, s->piece);
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

static void check_row(const struct prism_kernels *k)
{
    check_row_kernel(k, k->attn_row, false);
    if (k->attn_row_auto != k->attn_row)
        check_row_kernel(k, k->attn_row_auto, true);
}

static void test_f32(void **state) { (void)state, kt_levels(check_f32); }
static void test_auto(void **state) { (void)state, kt_levels(check_auto); }
static void test_row(void **state) { (void)state, kt_levels(check_row); }

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_f32), cmocka_unit_test(test_auto), cmocka_unit_test(test_row) };
    return cmocka_run_group_tests_name("arch/attention", tests, NULL, NULL);
}
