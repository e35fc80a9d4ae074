/* test_selectors.c - what every selector promises. What each of them chooses: test_definitions.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/kernel_test.h"
#include "tests/support/select_case.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void check_promises(struct select_case *c, struct select_range r)
{
    static const size_t threads[] = { 2, 3, 7 };
    size_t bytes;

    for (size_t s = 0; s < prism_n_selectors; s++) {
        assert_true(select_case_run(c, prism_selectors[s], r.from, r.to, 1));
        uint64_t *bits = select_case_copy(c, &bytes);
        double mass[4];
        memcpy(mass, c->mass, c->n_head * sizeof *mass);
        for (size_t h = 0; h < c->n_head; h++) {
            assert_true(isnan(mass[h]) || (mass[h] > 0 && mass[h] <= 1 + 1e-6)); /* rounding to 2^-30 per entry */
            for (size_t row = 0; row < c->mask.n_rows; row++) {
                size_t u = c->mask.first + row;
                assert_true(select_case_bit(c, h, u, 0));
                assert_true(select_case_bit(c, h, u, u));
                for (size_t v = u + 1; v < 64 * c->mask.words; v++)
                    assert_false(select_case_bit(c, h, u, v));
            }
        }
        for (size_t t = 0; t < COUNT(threads); t++) {
            assert_true(select_case_run(c, prism_selectors[s], r.from, r.to, threads[t]));
            assert_memory_equal(c->bits, bits, bytes);
            assert_memory_equal(c->mass, mass, c->n_head * sizeof *mass);
        }
        free(bits);
    }
}

static void masks_are_causal_and_the_same_for_any_number_of_threads(void **state)
{
    (void)state;
    select_all_cases(check_promises);
}

/* The choice of every selector from keys in blocks of Q8_0 is that from the floats which these mean, and every block is there. */
static void a_cache_of_q8_0_is_the_floats_that_it_means(void **state)
{
    (void)state;
    static const struct select_shape shape = { 4, 2, 64, 32, 523, 0, false, PRISM_KVF_Q8_0 };

    for (size_t l = 0; l < PRISM_N_LEVELS; l++)
        for (size_t s = 0; prism_kernels_by_level[l] && prism_level_runs_here((enum prism_level)l) && s < prism_n_selectors; s++) {
            struct select_case c = select_case_peaked(&shape, (uint32_t)(50 + s));
            size_t bytes[2], n_chosen = 0, last = (shape.n_tokens - 1) / shape.block;
            c.kernels = prism_kernels_by_level[l];
            assert_true(select_case_run(&c, prism_selectors[s], 0, c.n_tokens, 2)); /* rounds c.k to what is cached */
            assert_true(select_case_run(&c, prism_selectors[s], 0, c.n_tokens, 2)); /* pools that */
            uint64_t *packed = select_case_copy(&c, &bytes[0]);
            for (size_t v = 0; v <= last; v++)
                n_chosen += select_case_bit(&c, 0, last, v);
            assert_in_range(n_chosen, 2, last + 1);
            struct select_case f = select_case_peaked(&shape, (uint32_t)(50 + s));
            free(f.cache);
            f.format = PRISM_KVF_F32, f.kernels = c.kernels;
            f.cache = calloc(f.n_tokens * f.n_head_kv * f.d, sizeof(float));
            memcpy(f.k, c.k, f.n_tokens * f.n_head_kv * f.d * sizeof *f.k);
            assert_true(select_case_run(&f, prism_selectors[s], 0, f.n_tokens, 2));
            uint64_t *floats = select_case_copy(&f, &bytes[1]);
            assert_int_equal(bytes[0], bytes[1]);
            assert_memory_equal(packed, floats, bytes[0]);
            free(packed);
            free(floats);
            select_case_free(&c);
            select_case_free(&f);
        }
}

static void a_runner_that_stops_ends_the_selection(void **state)
{
    (void)state;
    struct select_case c = select_case_peaked(&select_shapes[0], 3);

    c.stop_at = 1;
    for (size_t s = 0; s < prism_n_selectors; s++)
        if (strcmp(prism_selectors[s]->name, "streaming") != 0) /* has no phase */
            assert_false(select_case_run(&c, prism_selectors[s], 0, c.n_tokens, 1));
    c.stop_at = 2, c.params.tau = 1; /* all heads query-aware */
    assert_false(select_case_run(&c, select_case_find("flexprefill"), 0, c.n_tokens, 1));
    select_case_free(&c);
}

/* 131072 tokens of a model with 32 heads of 128: one head's scores of all pairs would be 64 GB of floats. */
static void scratch_stays_modest_for_long_prompts(void **state)
{
    (void)state;
    struct prism_select_params params = { .stride = 8 };
    struct prism_select_call call = { .kernels = prism_kernels_by_level[PRISM_LEVEL_GENERIC], .params = &params, .n_head = 32,
                                      .n_head_kv = 8, .d = 128, .block = 64, .n_tokens = 131072, .kv_len = 131072 };
    for (size_t s = 0; s < prism_n_selectors; s++) {
        assert_in_range(prism_selectors[s]->thread_bytes(&call), 0, 16 << 20);
        assert_in_range(prism_selectors[s]->shared_bytes(&call), 0, 32 << 20);
    }
}

/* What is planned for the longest prompt is enough for every shorter one. */
static void scratch_grows_with_the_prompt(void **state)
{
    (void)state;
    struct prism_select_params params = { .stride = 8 };
    for (size_t s = 0; s < prism_n_selectors; s++) {
        size_t thread = 0, shared = 0;
        for (size_t n = 17; n < 20000; n += 17) {
            struct prism_select_call call = { .kernels = prism_kernels_by_level[PRISM_LEVEL_GENERIC], .params = &params, .n_head = 4,
                                              .n_head_kv = 2, .d = 128, .block = 64, .n_tokens = n, .kv_len = n };
            if (prism_selectors[s]->thread_bytes(&call) < thread || prism_selectors[s]->shared_bytes(&call) < shared)
                fail_msg("%s: less scratch for %zu tokens than for fewer", prism_selectors[s]->name, n);
            thread = prism_selectors[s]->thread_bytes(&call), shared = prism_selectors[s]->shared_bytes(&call);
        }
    }
}

/* Rows that depend on their own queries and earlier keys only are the same however a prompt is cut at blocks. */
static void rows_of_streaming_and_xattention_do_not_depend_on_the_calls(void **state)
{
    (void)state;
    static const char *const names[] = { "streaming", "xattention" };

    for (size_t s = 0; s < COUNT(names); s++) {
        struct select_case one = select_case_peaked(&select_shapes[0], 11), cut = select_case_peaked(&select_shapes[0], 11);
        one.params.window = cut.params.window = 100;
        select_case_run(&one, select_case_find(names[s]), 0, one.n_tokens, 1);
        for (size_t from = 0; from < cut.n_tokens; from += 160) {
            size_t to = from + 160 < cut.n_tokens ? from + 160 : cut.n_tokens;
            select_case_run(&cut, select_case_find(names[s]), from, to, 1);
            for (size_t h = 0; h < cut.n_head; h++)
                for (size_t u = from / cut.block; u <= (to - 1) / cut.block; u++)
                    for (size_t v = 0; v <= u; v++)
                        assert_int_equal(select_case_bit(&cut, h, u, v), select_case_bit(&one, h, u, v));
        }
        select_case_free(&one);
        select_case_free(&cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_are_causal_and_the_same_for_any_number_of_threads),
        cmocka_unit_test(a_cache_of_q8_0_is_the_floats_that_it_means),
        cmocka_unit_test(a_runner_that_stops_ends_the_selection),
        cmocka_unit_test(scratch_stays_modest_for_long_prompts),
        cmocka_unit_test(scratch_grows_with_the_prompt),
        cmocka_unit_test(rows_of_streaming_and_xattention_do_not_depend_on_the_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
