/* test_attention.c - the attention families of every level: head sizes, blocks, positions, lists, logits; windows, softcaps and sinks. */
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
    { 256, 256, 3, 500, 9, ALL_BLOCKS, PRISM_KVF_F16, "head 256" },
    { 512, 128, 3, 300, 9, ALL_BLOCKS, PRISM_KVF_F16, "largest head" },
    { 512, 64, 0, 64, 0, ALL_BLOCKS, PRISM_KVF_BF16, "largest head, full tile" },
    { 488, 256, 30, 260, 0, SINK_AND_DIAGONAL, PRISM_KVF_F32, "large head, no multiple of 16" },
    { 96, 64, 9, 200, 21, EVERY_THIRD, PRISM_KVF_Q8_0, "head 96 of Q8_0, off the grid" },
    { 128, 128, 0, 384, 0, ALL_BLOCKS, PRISM_KVF_Q8_0, "head 128 of Q8_0" },
    { 32, 32, 5, 27, 3, ALL_BLOCKS, PRISM_KVF_Q8_0, "a head of one block" },
    { 64, 64, 23, 200, 5, ALL_BLOCKS, PRISM_KVF_F16, "rows of a third of a tile" },
    { 48, 32, 40, 96, 0, EVERY_THIRD, PRISM_KVF_F16, "head 48, rows of five eighths of a tile" },
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

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
    static const float none = -INFINITY;
    struct prism_attn_tile t = s->t;
    float *same = kt_floats(t.rows * t.d);

    if (t.window == SIZE_MAX)
        t.window = 0;
    else if (t.window == 0)
        t.window = t.q_pos + t.rows;
    t.sink = t.sink && *t.sink > -INFINITY ? t.sink : t.sink ? NULL : &none;
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

/* Logits far below zero, all of them: a softmax does not see what they have in common. */
static void check_low(const struct prism_attention *a)
{
    const struct attn_shape shape = { 64, 64, 0, 192, 0, ALL_BLOCKS, PRISM_KVF_F32, "low" };
    struct attn_scene s;
    attn_scene_make(&s, a, &shape, MODERATE, NULL);
    const size_t rows = s.t.rows, d = s.t.d, block = s.t.block, n_blocks = (s.t.kv_len + block - 1) / block, bytes = a->k_block_bytes(d, block);
    float *k = kt_floats(n_blocks * block * d), *q = kt_floats(rows * d), *o[2] = { kt_floats(rows * d), kt_floats(rows * d) };
    char *packed = kt_alloc(n_blocks * bytes, 64);
    float most = 0;

    memset(k, 0, n_blocks * block * d * sizeof *k);
    memcpy(k, s.k, s.t.kv_len * d * sizeof *k);
    for (size_t key = 0; key < s.t.kv_len; key++) {
        k[key * d] = 1;
        for (size_t i = 0; i < d; i++)
            most = fmaxf(most, fabsf(s.v[key * d + i]));
    }
    for (size_t b = 0; b < n_blocks; b++)
        a->pack_k(packed + b * bytes, k + b * block * d, PRISM_KVF_F32, s.t.kv_len - b * block < block ? s.t.kv_len - b * block : block, d, block);
    for (int low = 0; low < 2; low++) {
        for (size_t r = 0; r < rows; r++) {
            for (size_t i = 0; i < d; i++)
                q[r * d + i] = 0.25f * s.q[r * s.t.ldq + i];
            q[r * d] = low ? -20 / s.t.scale : 0;
        }
        struct prism_attn_tile t = s.t;
        t.k = packed;
        t.q = q;
        t.o = o[low];
        t.ldq = t.ldo = d;
        a->tile(&t);
    }
    for (size_t i = 0; i < rows * d; i++)
        kt_true(fabsf(o[1][i] - o[0][i]) <= 2 * a->err * most, "logits that are all low change the result");
    kt_release();
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

/* Every window with every shape; softcaps, sinks and kinds of logits (every second the moderate, whose error is bounded) take turns. */
static void check_windows(const struct prism_kernels *k, const struct prism_attention *a)
{
    for (size_t i = 0, turn = 0; i < N_SHAPES; i++)
        for (size_t w = 0; w < N_ATTN_WINDOWS; w++, turn++) {
            const enum attn_logits l = turn % 2 ? MODERATE : (enum attn_logits)(turn / 2 % N_ATTN_LOGITS);
            const struct attn_extras x = attn_scene_extras(i, w, shapes[i].block);
            kt_context("%s attention %s d %zu block %zu, %s logits, window %zu, softcap %g, sink %g (%s)", k->name, a->name, shapes[i].d,
                       shapes[i].block, attn_logit_names[l], x.window, (double)x.softcap, x.sink ? (double)*x.sink : 0, shapes[i].why);
            check_scene(a, &shapes[i], l, &x);
            kt_release();
        }
}

static void check_family(const struct prism_kernels *k, const struct prism_attention *a)
{
    for (size_t i = 0; i < N_SHAPES; i++)
        for (int l = 0; l < N_ATTN_LOGITS; l++) {
            kt_context("%s attention %s d %zu block %zu, %s logits (%s)", k->name, a->name, shapes[i].d, shapes[i].block, attn_logit_names[l],
                       shapes[i].why);
            check_scene(a, &shapes[i], (enum attn_logits)l, NULL);
            kt_release();
        }
    check_windows(k, a);
    kt_context("%s attention %s, NaN", k->name, a->name);
    check_nan(a, 150);
    check_nan(a, 130); /* rows that see three keys of the last block, and more */
    kt_context("%s attention %s, low logits", k->name, a->name);
    check_low(a);
    /* The largest errors that the families may claim: fp32 sums of 512 products behind logits of 30, by 6 sigma; with i16, 256 roundings of P
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

static void test_f32(void **state) { (void)state, kt_levels(check_f32); }
static void test_auto(void **state) { (void)state, kt_levels(check_auto); }

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_f32), cmocka_unit_test(test_auto) };
    return cmocka_run_group_tests_name("arch/attention", tests, NULL, NULL);
}
