/* test_sketch.c - the largest products of sketched queries with the keys of a block, at every level: the same integers as sums made here,
 * guarded memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/kernel_test.h"

enum { ROWS = PRISM_SKETCH_ROWS };

/* The contract, key by key. */
static int32_t largest(const struct prism_sketch_tile *t, size_t i)
{
    int64_t most = INT64_MIN;

    for (size_t j = 0; j < t->block && j <= t->seen + i; j++) {
        int64_t sum = 0;
        for (size_t c = 0; c < t->n; c++)
            sum += (int64_t)t->q[(c / 4 * ROWS + i) * 4 + c % 4] * t->keys[(c / 4 * t->block + j) * 4 + c % 4];
        most = sum > most ? sum : most;
    }
    return (int32_t)most;
}

static void check_case(const struct prism_kernels *k, size_t n, size_t block, size_t seen, bool extreme)
{
    int8_t *q = kt_alloc(n * ROWS, 1);
    uint8_t *keys = kt_alloc(n * block, 1);
    int32_t *best = kt_alloc(ROWS * sizeof *best, sizeof *best);
    struct prism_sketch_tile t = { .best = best, .q = q, .keys = keys, .n = n, .block = block, .seen = seen };

    kt_context("%s sketch_tile n %zu block %zu seen %zu%s", k->name, n, block, seen, extreme ? ", largest bytes" : "");
    for (size_t i = 0; i < n * ROWS; i++)
        q[i] = (int8_t)(extreme ? (i / 4 % 2 ? 127 : -127) : (int)(kt_random() % 255) - 127);
    for (size_t i = 0; i < n * block; i++)
        keys[i] = (uint8_t)(extreme ? 255 : 1 + kt_random() % 255);
    kt_freeze(q);
    kt_freeze(keys);
    k->sketch_tile(&t);
    for (size_t i = 0; i < ROWS; i++)
        kt_true(best[i] == largest(&t, i), "the largest sum of each row");
    kt_release();
}

static void check_table(const struct prism_kernels *k)
{
    static const size_t blocks[] = { 32, 64, 96, 128, 256 };

    kt_seed(5);
    for (size_t n = 16; n <= PRISM_MAX_HEAD_DIM; n += 16)
        check_case(k, n, 64, 64, n % 32 == 0);
    for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++)
        for (size_t seen = 0; seen <= blocks[b]; seen += seen < 40 ? 1 : 8)
            check_case(k, 32, blocks[b], seen, false);
}

static void the_largest_sums_are_those_of_the_contract(void **state)
{
    (void)state;
    kt_levels(check_table);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_largest_sums_are_those_of_the_contract) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
