/* test_means.c - what prism-rows keeps of blocks to drop them by (src/attention/sketch.h): means of keys, variances about them, and the outermost
 * key, against doubles from the sketched keys themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "src/attention/sketch.h"
#include "tests/support/kernel_test.h"
#include "tests/support/select_case.h"

enum { BLOCK = 32, WHOLE = 21, D = 64 };

/* Coordinate of key j of block v, as stored. */
static double key(const struct select_case *c, size_t kv, size_t v, size_t j, size_t i)
{
    const struct prism_sketch *s = c->sketch;
    size_t at = kv * s->max_blocks + v;
    return ((double)s->keys[at * BLOCK * D + (i / 4 * BLOCK + j) * 4 + i % 4] - 128) * (double)s->k_scale[at];
}

static double mean_of(const struct select_case *c, size_t kv, size_t v, size_t i)
{
    double sum = 0;
    for (size_t j = 0; j < BLOCK; j++)
        sum += key(c, kv, v, j, i);
    return sum / BLOCK;
}

/* Keys of a block have a part in common, which differs between blocks; half of the dims vary more within blocks than the others. */
static struct select_case blocks_apart(void)
{
    struct select_case c = { .n_head = 4, .n_head_kv = 2, .d = D, .block = BLOCK, .n_tokens = WHOLE * BLOCK + 9 };

    select_case_open(&c, 3);
    for (size_t kv = 0; kv < c.n_head_kv; kv++)
        for (size_t t = 0; t < c.n_tokens; t++)
            for (size_t i = 0; i < D; i++) {
                float *k = c.k + (kv * c.n_tokens + t) * D + i;
                *k = *k * (i % 2 ? 1.5f : 0.5f) + (float)sin((double)(t / BLOCK * 7 + i * 3 + kv));
            }
    return c;
}

static void test_means(void **state)
{
    (void)state;
    struct select_case c = blocks_apart();
    assert_true(select_case_run(&c, select_case_find("prism-rows"), 0, c.n_tokens, 1));
    const struct prism_sketch *s = c.sketch;

    for (size_t kv = 0; kv < c.n_head_kv; kv++)
        for (size_t v = 0; v < WHOLE; v++) {
            size_t at = kv * s->max_blocks + v, r = s->rank[kv];
            double most = 0;
            assert_in_range(r, 16, D);
            for (size_t i = 0; i < r; i++)
                kt_near(s->means[at * D + i], 128 + mean_of(&c, kv, v, i) / (double)s->k_scale[at], 1, v, i);
            for (size_t j = 0; j < BLOCK; j++) {
                double sum = 0;
                for (size_t i = 0; i < r; i++) {
                    double x = key(&c, kv, v, j, i) - mean_of(&c, kv, v, i);
                    sum += x * x / (double)s->within[kv * D + i] / (double)r;
                }
                most = fmax(most, sqrt(sum));
            }
            kt_near((double)s->k_rest[at], most, 0.03 * most, kv, v);
        }
    select_case_free(&c);
}

static void test_variances(void **state)
{
    (void)state;
    struct select_case c = blocks_apart();
    assert_true(select_case_run(&c, select_case_find("prism-rows"), 0, c.n_tokens, 1));
    const size_t step = 2; /* 16 blocks at most */

    for (size_t kv = 0; kv < c.n_head_kv; kv++)
        for (size_t i = 0; i < c.sketch->rank[kv]; i++) {
            double sum = 0, n = 0;
            for (size_t v = 0; v < WHOLE; v += step, n += BLOCK)
                for (size_t j = 0; j < BLOCK; j++) {
                    double x = key(&c, kv, v, j, i) - mean_of(&c, kv, v, i);
                    sum += x * x;
                }
            kt_near((double)c.sketch->within[kv * D + i], sum / n, 0.03 * sum / n, kv, i);
        }
    select_case_free(&c);
}

/* Without a whole block there is nothing to take variances from. */
static void test_no_whole_block(void **state)
{
    (void)state;
    struct select_case c = { .n_head = 2, .n_head_kv = 1, .d = D, .block = BLOCK, .n_tokens = BLOCK - 1 };

    select_case_open(&c, 4);
    assert_true(select_case_run(&c, select_case_find("prism-rows"), 0, c.n_tokens, 1));
    for (size_t i = 0; i < D; i++)
        assert_true(c.sketch->within[i] == 1);
    select_case_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_means), cmocka_unit_test(test_variances), cmocka_unit_test(test_no_whole_block) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
