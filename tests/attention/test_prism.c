/* test_prism.c - Prism and mean pooling: a worked example, invariants, and a definition in double. Masks of a model's layers: test_prism_layers.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/prism_reference.h"

static const struct prism_selector *prism, *meanpool;

static int find_selectors(void **state)
{
    (void)state;
    prism = select_case_find("prism");
    meanpool = select_case_find("meanpool");
    return 0;
}

/* A prompt of a made-up model: 2 kv heads, 4 heads of 64, blocks of 32, 20 and a half of them. */
static struct select_case prompt(void)
{
    struct select_case c = { .n_head = 4, .n_head_kv = 2, .d = 64, .block = 32, .n_tokens = 20 * 32 + 16 };
    select_case_open(&c, 1);
    prism_reference_prompt(&c, 7, 2);
    return c;
}

static size_t count(const struct select_case *c)
{
    size_t n = 0;
    for (size_t h = 0; h < c->n_head; h++)
        for (size_t u = c->mask.first; u < c->mask.first + c->mask.n_rows; u++)
            for (size_t v = 0; v < 64 * c->mask.words; v++)
                n += select_case_bit(c, h, u, v);
    return n;
}

/* Runs and fails unless the mask has (same) or has not (otherwise) the bits of the run before. */
static void rerun(struct select_case *c, const struct prism_selector *s, bool same)
{
    size_t n, n_now;
    uint64_t *before = select_case_copy(c, &n);
    assert_true(select_case_run(c, s, 0, c->n_tokens, 1));
    uint64_t *now = select_case_copy(c, &n_now);
    assert_int_equal(n, n_now);
    assert_true(!memcmp(before, now, n) == same);
    free(before);
    free(now);
}

/* ---- a worked example: 6 blocks of one token ---- */

static void expect_rows(const struct select_case *c, const char *const rows[6])
{
    for (size_t u = 0; u < 6; u++)
        for (size_t v = 0; v < 6; v++)
            assert_int_equal(select_case_bit(c, 0, u, v), rows[u][v] == '1');
}

static void test_example(void **state)
{
    (void)state;
    static const char *const with_prism[] = { "100000", "110000", "111000", "111100", "111110", "111011" };
    static const char *const with_meanpool[] = { "100000", "110000", "111000", "110100", "111110", "101011" };
    static const double w[] = { .3, .6, 1, 1.5, .3, .6, 1, 1.5 }, expected[2][6] = {
        { .185442, .130547, .220136, .110169, .260241, .093464 }, { .230729, .080076, .261280, .070998, .293379, .063537 } };
    struct select_case c = { .n_head = 1, .n_head_kv = 1, .d = 8, .block = 1, .n_tokens = 6 };
    size_t end = 6;

    select_case_open(&c, 1);
    for (size_t t = 0; t < 6; t++)
        for (size_t i = 0; i < 8; i++) {
            c.q[t * 8 + i] = (float)(w[i] * sin(0.7 * (double)(8 * t + i) + 1));
            c.k[t * 8 + i] = (float)(w[i] * cos(0.4 * (double)(8 * t + i) + 2));
        }
    c.params.p_high = c.params.p_low = 0.7;
    c.params.bands = (struct prism_bands){ 4, 2 };
    for (int l = 0; l < PRISM_N_LEVELS; l++)
        if (prism_kernels_by_level[l] && prism_level_runs_here((enum prism_level)l)) {
            c.kernels = prism_kernels_by_level[l];
            assert_true(select_case_run(&c, prism, 0, 6, 1));
            expect_rows(&c, with_prism);
            assert_true(select_case_run(&c, meanpool, 0, 6, 1));
            expect_rows(&c, with_meanpool);
        }
    struct prism_reference r = prism_reference_run(&c, &end, 1, false); /* the judge of the other tests, judged: six decimals */
    for (int band = 0; band < 2; band++)
        for (size_t v = 0; v < 6; v++)
            assert_true(fabs(r.p[band][5 * 6 + v] - expected[band][v]) <= 0.5e-6);
    prism_reference_free(&r);
    select_case_free(&c);
}

/* ---- invariants ---- */

static void test_one_band(void **state)
{
    (void)state;
    struct select_case c = prompt();
    c.params.bands = (struct prism_bands){ 64, 64 }; /* high is everything; low, empty, is skipped */
    assert_true(select_case_run(&c, meanpool, 0, c.n_tokens, 1));
    rerun(&c, prism, true);
    c.params.bands = (struct prism_bands){ 64, 0 }; /* both are everything */
    assert_true(select_case_run(&c, meanpool, 0, c.n_tokens, 1));
    rerun(&c, prism, true);
    c.params.bands = (struct prism_bands){ 32, 16 };
    rerun(&c, prism, false);
    select_case_free(&c);
}

static void test_thresholds(void **state)
{
    (void)state;
    struct select_case c = prompt();
    size_t blocks = (c.n_tokens + 31) / 32, bytes, words = c.n_head * blocks;
    static const double p[] = { 1e-6, 0.3, 0.5, 0.8, 0.9, 0.95, 0.999, 1, 1.5 };
    const struct prism_selector *const both[] = { prism, meanpool };

    for (int s = 0; s < 2; s++) {
        uint64_t *smaller = calloc(words, sizeof *smaller);
        size_t chosen = 0;
        for (size_t i = 0; i < sizeof p / sizeof *p; i++) {
            c.params.p_high = c.params.p_low = p[i];
            assert_true(select_case_run(&c, both[s], 0, c.n_tokens, 1));
            uint64_t *mask = select_case_copy(&c, &bytes);
            assert_int_equal(bytes, words * sizeof *mask);
            for (size_t w = 0; w < words; w++)
                assert_true((smaller[w] & ~mask[w]) == 0);
            assert_true(i == 0 || p[i] > 1 || count(&c) > chosen);
            chosen = count(&c);
            free(smaller);
            smaller = mask;
        }
        free(smaller);
        assert_int_equal(chosen, c.n_head * blocks * (blocks + 1) / 2); /* p >= 1: every causal block and no other */
        c.params.p_high = c.params.p_low = 1, c.scale *= 100; /* also those whose probability rounds to nothing */
        assert_true(select_case_run(&c, both[s], 0, c.n_tokens, 1));
        assert_int_equal(count(&c), chosen);
        c.scale /= 100;
        c.params.p_high = c.params.p_low = 1e-6;
        assert_true(select_case_run(&c, both[s], 0, c.n_tokens, 1));
        assert_in_range(count(&c), c.n_head * (2 * blocks - 1), c.n_head * (2 * blocks - 1 + (s ? 1 : 2) * blocks)); /* the best at most */
    }
    select_case_free(&c);
}

static void test_one_block(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 32; n += 31) {
        struct select_case c = { .n_head = 2, .n_head_kv = 1, .d = 64, .block = 32, .n_tokens = n };
        select_case_open(&c, 1);
        assert_true(select_case_run(&c, prism, 0, n, 1));
        assert_int_equal(count(&c), 2); /* dense: one bit per head */
        select_case_free(&c);
    }
}

/* Logits are not normalised: powers of two that cancel in q and the scale change nothing; a larger q sharpens. */
static void test_scaling(void **state)
{
    (void)state;
    struct select_case c = prompt();
    size_t n = c.n_tokens * c.n_head * c.d;

    assert_true(select_case_run(&c, prism, 0, c.n_tokens, 1));
    size_t before = count(&c);
    for (size_t i = 0; i < n; i++)
        c.q[i] *= 4;
    c.scale /= 4;
    rerun(&c, prism, true);
    c.scale *= 4;
    rerun(&c, prism, false);
    assert_true(count(&c) < before);
    select_case_free(&c);
}

/* Runs [0, cut), [cut, end) and counts the bits in which the masks differ from those of one call. */
static size_t changed_by_cutting(struct select_case *c, enum prism_energy energy)
{
    size_t changed = 0, bytes, blocks = (c->n_tokens + 31) / 32, cut = 8 * 32, head_words = blocks;

    c->params.energy = energy;
    assert_true(select_case_run(c, prism, 0, c->n_tokens, 1));
    uint64_t *whole = select_case_copy(c, &bytes);
    for (int part = 0; part < 2; part++) {
        assert_true(select_case_run(c, prism, part ? cut : 0, part ? c->n_tokens : cut, 1));
        for (size_t h = 0; h < c->n_head; h++)
            for (size_t u = c->mask.first; u < c->mask.first + c->mask.n_rows; u++)
                for (size_t v = 0; v <= u; v++)
                    changed += select_case_bit(c, h, u, v) != (whole[h * head_words + u] >> v & 1);
    }
    free(whole);
    return changed;
}

static void test_energies(void **state)
{
    (void)state;
    struct select_case c = prompt();
    assert_int_equal(changed_by_cutting(&c, PRISM_ENERGY_CAUSAL), 0);
    assert_true(changed_by_cutting(&c, PRISM_ENERGY_GLOBAL) > 0);
    select_case_free(&c);
}

/* ---- a band without energy, none at all, a runner that stops, threads ---- */

static void zero_band(struct select_case *c, size_t pairs)
{
    for (size_t t = 0; t < c->n_tokens * c->n_head; t++)
        for (size_t i = 0; i < pairs; i++)
            c->q[t * c->d + i] = c->q[t * c->d + i + c->d / 2] = 0;
}

static void test_empty_bands(void **state)
{
    (void)state;
    struct select_case c = prompt();

    zero_band(&c, 16);
    assert_true(select_case_run(&c, prism, 0, c.n_tokens, 1));
    struct prism_reference r = prism_reference_run(&c, &c.n_tokens, 1, false);
    assert_int_equal(prism_reference_differences(&r, &c), 0);
    assert_true(count(&c) < c.n_head * 21 * 22 / 2 * 9 / 10); /* the reference gives up a skipped band; that is not everything */
    assert_true(r.p[0][20 * 21] == 0 && r.p[1][20 * 21] > 0);
    prism_reference_free(&r);
    zero_band(&c, 32);
    assert_true(select_case_run(&c, prism, 0, c.n_tokens, 1));
    assert_int_equal(count(&c), c.n_head * (2 * 21 - 1)); /* sink and diagonal */
    assert_true(isnan(c.mass[0]));
    select_case_free(&c);
}

static void test_stop(void **state)
{
    (void)state;
    struct select_case c = prompt();
    for (c.stop_at = 1; c.stop_at <= 2; c.stop_at++)
        assert_false(select_case_run(&c, prism, 0, c.n_tokens, 1));
    select_case_free(&c);
}

static void test_threads(void **state)
{
    (void)state;
    struct select_case c = prompt();
    static const size_t threads[] = { 2, 3, 7 };
    size_t bytes;
    double mass[4];

    assert_true(select_case_run(&c, prism, 0, c.n_tokens, 1));
    uint64_t *one = select_case_copy(&c, &bytes);
    memcpy(mass, c.mass, sizeof mass);
    for (size_t i = 0; i < 3; i++) {
        assert_true(select_case_run(&c, prism, 0, c.n_tokens, threads[i]));
        assert_memory_equal(c.mask.bits, one, bytes);
        assert_memory_equal(c.mass, mass, sizeof mass);
    }
    free(one);
    select_case_free(&c);
}

/* ---- against the definition in double ---- */

static const struct shape {
    size_t n_head, n_head_kv, d, block, ends[4]; /* of calls */
    size_t n_rot;
    struct prism_bands bands;                    /* zeros: the default */
    double size;
} shapes[] = {
    { 4, 2, 64, 64, { 1500 }, 0, { 0 }, 3 },                     /* partial last block */
    { 4, 4, 128, 128, { 2048 }, 0, { 0 }, 2 },                   /* whole blocks */
    { 3, 1, 80, 32, { 200, 901, 1203 }, 32, { 0 }, 2 },          /* unrotated dims, calls that start inside a block */
    { 2, 1, 64, 256, { 255 }, 0, { 0 }, 2 },                     /* one block that is not full */
    { 2, 2, 64, 64, { 70, 100, 127, 500 }, 0, { 0 }, 3 },        /* a block made by three calls */
    { 2, 1, 96, 32, { 640, 1280 }, 0, { 24, 72 }, 3 },           /* bands with a gap between them */
    { 2, 1, 256, 64, { 1000 }, 0, { 128, 128 }, 1 },             /* bands that touch */
    { 2, 1, 40, 32, { 999 }, 0, { 10, 2 }, 2 },
    { 2, 1, 512, 64, { 700 }, 384, { 64, 480 }, 1 },             /* the largest head, most of it unrotated */
};

struct tally {
    size_t bits, different;
};

static void check_calls(struct select_case *c, const size_t *ends, bool one_band, struct tally *t)
{
    for (size_t i = 0; i < 4 && ends[i]; i++) {
        assert_true(select_case_run(c, one_band ? meanpool : prism, i ? ends[i - 1] : 0, ends[i], 1 + i));
        struct prism_reference r = prism_reference_run(c, ends, i + 1, one_band);
        t->bits += c->n_head * r.n_rows * (2 * r.first + r.n_rows + 1) / 2;
        t->different += prism_reference_differences(&r, c);
        prism_reference_free(&r);
    }
}

static void test_definition(void **state)
{
    (void)state;
    struct tally t = { 0 };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (uint32_t variant = 0; variant < 4; variant++) {
            const struct shape *s = &shapes[i];
            size_t last = 0;
            for (size_t j = 0; j < 4; j++)
                last = s->ends[j] ? s->ends[j] : last;
            struct select_case c = { .n_head = s->n_head, .n_head_kv = s->n_head_kv, .d = s->d, .block = s->block, .n_tokens = last,
                                     .n_rot = s->n_rot, .interleaved = variant & 1 };
            select_case_open(&c, 1);
            prism_reference_prompt(&c, 10 * (uint32_t)i + variant + 1, s->size);
            c.params.bands = s->bands.high_end ? s->bands : c.params.bands;
            c.params.energy = variant & 2 ? PRISM_ENERGY_CAUSAL : PRISM_ENERGY_GLOBAL;
            c.params.p_high = 0.7 + 0.08 * variant, c.params.p_low = 0.95 - 0.1 * variant;
            for (int l = 0; l < PRISM_N_LEVELS; l++)
                if (prism_kernels_by_level[l] && prism_level_runs_here((enum prism_level)l)) {
                    c.kernels = prism_kernels_by_level[l];
                    check_calls(&c, s->ends, false, &t);
                    check_calls(&c, s->ends, true, &t);
                }
            select_case_free(&c);
        }
    print_message("%zu of %zu causal bits differ, all where rounding explains it\n", t.different, t.bits);
    assert_true(t.different * 1000 <= t.bits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example),    cmocka_unit_test(test_one_band),     cmocka_unit_test(test_thresholds),
        cmocka_unit_test(test_one_block),  cmocka_unit_test(test_scaling),      cmocka_unit_test(test_energies),
        cmocka_unit_test(test_empty_bands), cmocka_unit_test(test_stop),        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_definition),
    };
    return cmocka_run_group_tests_name("prism", tests, find_selectors, NULL);
}
