/* test_neon.c - what the fp32 attention of the NEON levels promises beyond its contract (arch/neon/attn_body.h): a row is not touched
 * by what lies behind its own position or before its window, not even by NaN or infinity, which 0 * v would let through. And what the default
 * attention rounds: the largest integers, and the low bytes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/kernel_test.h"

enum { D = 40, BLOCK = 32, Q_POS = 13, ROWS = 32, N_KEYS = Q_POS + ROWS, N_BLOCKS = 2 };

struct scene {
    float q[ROWS][D], k[N_KEYS][D], v[N_KEYS][D];
};

static void attend(const struct prism_attention *a, const struct scene *s, size_t window, float *o)
{
    const size_t k_bytes = a->k_block_bytes(D, BLOCK), v_bytes = a->v_block_bytes(D, BLOCK);
    const uint32_t blocks[N_BLOCKS] = { 0, 1 };
    char *k = kt_alloc(N_BLOCKS * k_bytes, 64), *v = kt_alloc(N_BLOCKS * v_bytes, 64);

    for (size_t b = 0; b < N_BLOCKS; b++) {
        size_t n = N_KEYS - b * BLOCK < BLOCK ? N_KEYS - b * BLOCK : BLOCK;
        a->pack_k(k + b * k_bytes, s->k[b * BLOCK], PRISM_KVF_F32, n, D, BLOCK);
        a->pack_v(v + b * v_bytes, s->v[b * BLOCK], PRISM_KVF_F32, n, D, BLOCK);
    }
    a->tile(&(struct prism_attn_tile){ .q = s->q[0], .ldq = D, .o = o, .ldo = D, .rows = ROWS, .d = D, .q_pos = Q_POS, .kv_len = N_KEYS,
                                       .block = BLOCK, .k = k, .v = v, .blocks = blocks, .n_blocks = N_BLOCKS, .scale = 0.2f,
                                       .window = window, .scratch = kt_alloc(a->tile_scratch(D, BLOCK), 64) });
}

static void check_causal(const struct prism_kernels *kernels, const struct prism_attention *a)
{
    static const float poison[] = { NAN, INFINITY, -INFINITY };
    struct scene clean, s;
    float want[ROWS * D];

    kt_fill(clean.q[0], ROWS * D, KT_NORMAL);
    kt_fill(clean.k[0], N_KEYS * D, KT_NORMAL);
    kt_fill(clean.v[0], N_KEYS * D, KT_NORMAL);
    attend(a, &clean, 0, want);
    kt_release();
    for (size_t r = 0; r + 1 < ROWS; r++) {
        s = clean;
        for (size_t i = r + 1; i < ROWS; i++)
            for (size_t c = 0; c < D; c++)
                s.q[i][c] = s.k[Q_POS + i][c] = s.v[Q_POS + i][c] = poison[r % 3];
        float *got = kt_floats(ROWS * D);
        attend(a, &s, 0, got);
        kt_context("%s attention %s, %g behind row %zu", kernels->name, a->name, (double)poison[r % 3], r);
        kt_same_floats(got, want, (r + 1) * D);
        kt_true(isnan(got[(r + 1) * D]), "a row with poison of its own is NaN");
        kt_release();
    }
}

/* Poison in the last key that row r does not see any more, and in all before it. */
static void check_window(const struct prism_kernels *kernels, const struct prism_attention *a, size_t window)
{
    struct scene s;
    float want[ROWS * D];

    kt_fill(s.q[0], ROWS * D, KT_NORMAL);
    kt_fill(s.k[0], N_KEYS * D, KT_NORMAL);
    kt_fill(s.v[0], N_KEYS * D, KT_NORMAL);
    attend(a, &s, window, want);
    kt_release();
    for (size_t key = 0; key + window < N_KEYS; key++) { /* the row at position key + window is the first that does not see it */
        for (size_t c = 0; c < D; c++)
            s.k[key][c] = s.v[key][c] = kt_poison[key % KT_N_POISONS];
        const size_t r = key + window < Q_POS ? 0 : key + window - Q_POS;
        float *got = kt_floats(ROWS * D);
        attend(a, &s, window, got);
        kt_context("%s attention %s, window %zu, keys up to %zu are poison", kernels->name, a->name, window, key);
        kt_same_floats(got + r * D, want + r * D, (ROWS - r) * D);
        kt_true(r == 0 || isnan(got[(r - 1) * D]), "a row that sees poison is NaN");
        kt_release();
    }
}

/* Queries and keys with one coordinate that is not zero: the largest integers that a norm allows. Judge: the softmax in double. */
static void check_one_coordinate(const struct prism_kernels *kernels, const struct prism_attention *a)
{
    struct scene s = { .q = { { 0 } } };
    float *got = kt_floats(ROWS * D), most = 0;

    kt_context("%s attention %s, one coordinate", kernels->name, a->name);
    kt_fill(s.v[0], N_KEYS * D, KT_NORMAL);
    for (size_t i = 0; i < N_KEYS; i++)
        s.k[i][3] = (float)kt_uniform(-3, 3);
    for (size_t r = 0; r < ROWS; r++)
        s.q[r][3] = (float)kt_uniform(-30, 30);
    for (size_t i = 0; i < N_KEYS; i++)
        for (size_t c = 0; c < D; c++)
            most = fmaxf(most, fabsf(s.v[i][c]));
    attend(a, &s, 0, got);
    for (size_t r = 0; r < ROWS; r++)
        for (size_t c = 0; c < D; c++) {
            double sum = 0, o = 0;
            for (size_t j = 0; j <= Q_POS + r; j++) {
                const double p = exp(0.2f * (double)s.q[r][3] * (double)s.k[j][3]);
                sum += p;
                o += p * (double)s.v[j][c];
            }
            kt_near((double)got[r * D + c], o / sum, (double)(a->err * most), r, c);
        }
    kt_release();
}

/* Row r has two keys whose logits are near 1000 and half a unit apart: the one is the query itself, so that the low bytes of their integers agree
 * and the products of low bytes are all positive, 2e-4 of a logit; the other one's have nothing to do with them. Roundings put 0.02 of a unit on a
 * difference of logits, and nothing on the mean of 13. */
static void check_low_bytes(const struct prism_kernels *kernels, const struct prism_attention *a)
{
    enum { PAIRS = Q_POS };
    struct scene s;
    float *got = kt_floats(ROWS * D);
    double want[PAIRS], bias = 0;

    kt_context("%s attention %s, low bytes", kernels->name, a->name);
    kt_fill(s.q[0], ROWS * D, KT_NORMAL);
    kt_fill(s.k[0], N_KEYS * D, KT_NORMAL);
    memset(s.v, 0, sizeof s.v);
    for (size_t r = 0; r < PAIRS; r++) {
        float *same = s.k[2 * r], *other = s.k[2 * r + 1];
        double square = 0, across = 0;
        for (size_t c = 0; c < D; c++) {
            same[c] = s.q[r][c];
            square += (double)same[c] * same[c];
            across += (double)same[c] * other[c];
        }
        for (size_t c = 0; c < D; c++) { /* along the query and half a unit less, and a third of what is across */
            other[c] = (float)(same[c] * (1 - 0.0005) + (other[c] - across / square * same[c]) / 3);
            s.q[r][c] = (float)(5000 / square * same[c]);
        }
        want[r] = 0;
        for (size_t c = 0; c < D; c++)
            want[r] += 0.2f * (double)s.q[r][c] * ((double)same[c] - (double)other[c]);
        s.v[2 * r][0] = 1;
        s.v[2 * r + 1][0] = -1;
    }
    attend(a, &s, 0, got);
    for (size_t r = 0; r < PAIRS; r++) {
        const double difference = 2 * atanh((double)got[r * D]);
        kt_near(difference, want[r], 0.15, r, 0);
        bias += (difference - want[r]) / PAIRS;
    }
    kt_near(bias, 0, 0.04, 0, 0);
    kt_release();
}

static void check_family(const struct prism_kernels *k, const struct prism_attention *a)
{
    static const size_t windows[] = { 1, 5, 8, 20 };

    check_causal(k, a);
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++)
        check_window(k, a, windows[i]);
}

static void check_level(const struct prism_kernels *k)
{
    if (k->level != PRISM_LEVEL_NEON && k->level != PRISM_LEVEL_NEON_I8MM_BF16)
        return;
    check_family(k, k->attention_f32);
    check_one_coordinate(k, k->attention_auto);
    check_low_bytes(k, k->attention_auto);
}

static void test_causal(void **state)
{
    (void)state;
    if (!prism_level_runs_here(PRISM_LEVEL_NEON)) {
        print_message("skipped: no neon\n");
        skip();
    }
    kt_levels(check_level);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_causal) };
    return cmocka_run_group_tests_name("arch/neon", tests, NULL, NULL);
}
