/* test_reach.c - how many deviations keep the blocks that rows need (src/attention/reach.h): counts against the definition, and what is made of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "src/attention/reach.h"
#include "tests/support/kernel_test.h"

enum { TILES = 2, ROWS = TILES * PRISM_SKETCH_ROWS, BLOCKS = 9, STEPS = PRISM_REACH_STEPS };

static void test_counts(void **state)
{
    (void)state;
    struct prism_sketch_tile tiles[TILES] = { 0 };
    float x[BLOCKS][ROWS], mean[BLOCKS][ROWS], rest[BLOCKS];
    struct prism_sketch_scan s = { .tiles = tiles, .n_tiles = TILES, .x = x[0], .k_rest = rest };
    uint32_t counts[STEPS] = { 0 }, total = 0;

    kt_seed(9);
    for (size_t i = 0; i < ROWS; i++)
        tiles[i / 16].floor[i % 16] = (float)kt_uniform(-1, 1), tiles[i / 16].reach[i % 16] = (float)kt_uniform(0.5, 2);
    for (size_t v = 0; v < BLOCKS; v++) {
        rest[v] = (float)kt_uniform(0.2, 1);
        for (size_t i = 0; i < ROWS; i++)
            x[v][i] = (float)kt_uniform(-9, 3), mean[v][i] = x[v][i] - (float)kt_uniform(-1, 4);
    }
    for (size_t i = 0; i < ROWS; i++)
        x[4][i] = mean[4][i] = NAN; /* a key that is not finite: counted nowhere */
    prism_reach_count(counts, &s, mean[0], BLOCKS - 1);
    for (size_t step = 0; step + 1 < STEPS; step++) { /* those that `step` eighths of a deviation keep are those counted so far */
        uint32_t kept = 0, want = 0;
        for (size_t i = 0; i <= step; i++)
            kept += counts[i];
        for (size_t v = 1; v < BLOCKS - 1; v++)
            for (size_t row = 0; row < ROWS; row += 4) {
                uint32_t open = 0, needed = 0;
                for (size_t i = row; i < row + 4; i++) {
                    const struct prism_sketch_tile *t = &tiles[i / 16];
                    double reach = (double)step / PRISM_REACH_PER_DEVIATION * (double)t->reach[i % 16] * (double)rest[v];
                    open |= (double)mean[v][i] + reach >= (double)t->floor[i % 16];
                    needed += x[v][i] >= t->floor[i % 16];
                }
                want += open ? needed : 0;
            }
        kt_true(kept == want, "counted where the deviations suffice");
    }
    for (size_t i = 0; i < STEPS; i++)
        total += counts[i];
    assert_in_range(total, 30, 6 * ROWS);
    assert_true(counts[0] > 0 && counts[0] < total);
}

static float of(size_t step, uint32_t n, size_t rare_step, uint32_t rare)
{
    uint32_t counts[3 * STEPS] = { 0 };
    counts[STEPS + step] += n;
    counts[2 * STEPS + rare_step] += rare;
    return prism_reach(counts, 3);
}

static void test_deviations(void **state)
{
    (void)state;
    assert_true(of(24, 4995, 30, 5) == 24.0f / PRISM_REACH_PER_DEVIATION); /* one of a thousand may be lost */
    assert_true(of(24, 4995, 30, 6) == 30.0f / PRISM_REACH_PER_DEVIATION); /* not more */
    assert_true(of(0, 5000, 1, 5) == PRISM_REACH_LEAST);
    assert_true(of(31, 200, 31, 0) == 31.0f / PRISM_REACH_PER_DEVIATION);
    assert_true(of(30, 190, 31, 9) == 4); /* few were counted */
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_counts), cmocka_unit_test(test_deviations) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
