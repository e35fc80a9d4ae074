/* test_selectors.c - what every selector promises, and the four comparison selectors against their definitions in double.
 *
 * Rows that hang on a near tie are left out of the comparison and counted: most rows must be left. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/kernel_test.h"
#include "tests/support/select_define.h"

static const struct shape {
    size_t n_head, n_head_kv, d, block, n_tokens, n_rot;
    bool interleaved;
    enum prism_kv_format format;
} shapes[] = {
    { 4, 2, 16, 32, 601, 0, false, PRISM_KVF_F32 },
    { 3, 1, 24, 64, 640, 16, true, PRISM_KVF_F16 },
    { 2, 2, 8, 32, 256, 0, false, PRISM_KVF_BF16 },
};

static const struct range {
    size_t from, to;
} ranges[] = { { 0, 640 }, { 0, 213 }, { 128, 640 }, { 101, 230 }, { 0, 20 }, { 200, 203 } };

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* Peaked attention with some keys and one distance that stand out; keys are numbers of the cache's format. */
static struct select_case open_case(const struct shape *s, uint32_t seed)
{
    struct select_case c = { .n_head = s->n_head, .n_head_kv = s->n_head_kv, .d = s->d, .block = s->block, .n_tokens = s->n_tokens,
                             .n_rot = s->n_rot, .interleaved = s->interleaved, .format = s->format };
    select_case_open(&c, seed);
    c.scale *= 2;
    for (size_t h = 0; h < c.n_head_kv; h++)
        for (size_t t = 0; t < c.n_tokens; t++) {
            float *k = c.k + (h * c.n_tokens + t) * c.d, *q = c.q + (t * c.n_head + h) * c.d;
            k[0] += t < 20 || t % 89 == 5 ? 2.0f : 0;
            q[0] += 1.0f;
            for (size_t i = 0; i < c.d && t >= 77; i++)
                q[i] += 0.5f * k[i - 77 * (ptrdiff_t)c.d];
            for (size_t i = 0; i < c.d; i++)
                k[i] = roundf(k[i] * 16) / 16; /* 8 significant bits hold what is below 16 */
        }
    return c;
}

/* The range cut to the prompt; false: nothing is left. What lies behind it must not be looked at. */
static bool fit(struct select_case *c, const struct range *r, struct range *out)
{
    *out = (struct range){ r->from, r->to < c->n_tokens ? r->to : c->n_tokens };
    for (size_t h = 0; h < c->n_head_kv; h++)
        for (size_t i = out->to * c->d; i < c->n_tokens * c->d; i++)
            c->k[h * c->n_tokens * c->d + i] = NAN;
    return out->from < out->to;
}

/* check(case, range) for every shape, range and table of kernels that runs here. */
static void all_cases(void (*check)(struct select_case *c, struct range r))
{
    for (size_t l = 0; l < PRISM_N_LEVELS; l++)
        for (size_t s = 0; prism_kernels_by_level[l] && prism_level_runs_here((enum prism_level)l) && s < COUNT(shapes); s++)
            for (size_t i = 0; i < COUNT(ranges); i++) {
                struct range r;
                struct select_case c = open_case(&shapes[s], (uint32_t)(7 + s));
                c.kernels = prism_kernels_by_level[l];
                if (fit(&c, &ranges[i], &r))
                    check(&c, r);
                select_case_free(&c);
            }
}

/* ---- every selector ---- */

static void check_promises(struct select_case *c, struct range r)
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
    all_cases(check_promises);
}

/* The choice of every selector from keys in blocks of Q8_0 is that from the floats which these mean, and every block is there. */
static void a_cache_of_q8_0_is_the_floats_that_it_means(void **state)
{
    (void)state;
    static const struct shape shape = { 4, 2, 64, 32, 523, 0, false, PRISM_KVF_Q8_0 };

    for (size_t l = 0; l < PRISM_N_LEVELS; l++)
        for (size_t s = 0; prism_kernels_by_level[l] && prism_level_runs_here((enum prism_level)l) && s < prism_n_selectors; s++) {
            struct select_case c = open_case(&shape, (uint32_t)(50 + s));
            size_t bytes[2], n_chosen = 0, last = (shape.n_tokens - 1) / shape.block;
            c.kernels = prism_kernels_by_level[l];
            assert_true(select_case_run(&c, prism_selectors[s], 0, c.n_tokens, 2)); /* rounds c.k to what is cached */
            assert_true(select_case_run(&c, prism_selectors[s], 0, c.n_tokens, 2)); /* pools that */
            uint64_t *packed = select_case_copy(&c, &bytes[0]);
            for (size_t v = 0; v <= last; v++)
                n_chosen += select_case_bit(&c, 0, last, v);
            assert_in_range(n_chosen, 2, last + 1);
            struct select_case f = open_case(&shape, (uint32_t)(50 + s));
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
    struct select_case c = open_case(&shapes[0], 3);

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

/* ---- against the definitions ---- */

/* Rows that were compared and rows left out, of all tests since the last reset. */
static size_t n_compared, n_near;

static void compare_row(const struct select_case *c, size_t h, size_t u, const bool *want)
{
    for (size_t v = 0; v <= u; v++)
        if (select_case_bit(c, h, u, v) != (want[v] || v == 0 || v == u))
            fail_msg("head %zu row %zu block %zu: expected %d", h, u, v, want[v]);
    n_compared++;
}

static void enough_was_compared(void)
{
    assert_true(n_compared > 100);
    assert_true(n_near * 2 < n_compared);
    n_compared = n_near = 0;
}

static void compare(const struct select_case *c, struct range r, select_define_fn *define)
{
    for (size_t h = 0; h < c->n_head; h++) {
        struct select_choice choice;
        define(c, r.from, r.to, h, &choice);
        for (size_t u = r.from / c->block; u <= (r.to - 1) / c->block; u++)
            if (choice.near[u])
                n_near++;
            else
                compare_row(c, h, u, choice.want[u]);
    }
}

/* ---- streaming ---- */

static void check_streaming(struct select_case *c, struct range r)
{
    static const struct {
        uint32_t sink, window;
    } sizes[] = { { 128, 2048 }, { 1, 1 }, { 32, 32 }, { 33, 33 }, { 64, 65 }, { 100, 128 } };

    for (size_t s = 0; s < COUNT(sizes); s++) {
        c->params.sink = sizes[s].sink, c->params.window = sizes[s].window;
        select_case_run(c, select_case_find("streaming"), r.from, r.to, 1);
        compare(c, r, select_define_streaming);
    }
}

static void streaming_is_exact(void **state)
{
    (void)state;
    all_cases(check_streaming);
    enough_was_compared();
}

/* ---- vertical-slash ---- */

static void check_vertical_slash(struct select_case *c, struct range r)
{
    static const uint32_t budgets[][2] = { { 30, 100 }, { 45, 60 }, { 1, 1 }, { 34, 130 }, { 1000, 6096 } };

    for (size_t i = 0; i < COUNT(budgets); i++) {
        c->params.vertical = budgets[i][0], c->params.slash = budgets[i][1];
        select_case_run(c, select_case_find("vertical-slash"), r.from, r.to, 1);
        compare(c, r, select_define_vertical_slash);
    }
}

static void vertical_slash_is_as_defined(void **state)
{
    (void)state;
    all_cases(check_vertical_slash);
    enough_was_compared();
}

/* ---- flexprefill ---- */

static void check_flexprefill(struct select_case *c, struct range r)
{
    static const struct {
        double gamma, tau;
        uint32_t min_budget;
    } settings[] = { { 0.5, 1e-9, 0 }, { 0.9, 1e-9, 0 }, { 0.9, 0.15, 0 }, { 0.95, 0.5, 100 }, { 0.7, 1, 0 }, { 0.6, 1, 65 } };

    for (size_t i = 0; i < COUNT(settings); i++) {
        c->params.gamma = settings[i].gamma, c->params.tau = settings[i].tau, c->params.min_budget = settings[i].min_budget;
        select_case_run(c, select_case_find("flexprefill"), r.from, r.to, 1);
        compare(c, r, select_define_flexprefill);
    }
}

static void flexprefill_is_as_defined(void **state)
{
    (void)state;
    all_cases(check_flexprefill);
    enough_was_compared();
}

/* One query, to which all 640 keys are alike: the share gamma holds 127 of them, so lines need 128, that is two blocks (the divisor is 128
 * whatever the block). Of equal blocks the first ones are taken: those next to the first key and to the query. */
static void flexprefill_counts_one_key_more_than_the_share_holds(void **state)
{
    (void)state;
    struct select_case c = open_case(&shapes[1], 3);
    bool want[DEFINE_MAX_BLOCKS] = { [0] = true, [1] = true, [8] = true, [9] = true };

    memset(c.q, 0, c.n_tokens * c.n_head * c.d * sizeof *c.q);
    c.params.gamma = 127.5 / 640, c.params.tau = 0;
    select_case_run(&c, select_case_find("flexprefill"), 639, 640, 1);
    for (size_t h = 0; h < c.n_head; h++)
        compare_row(&c, h, 9, want);
    select_case_free(&c);
}

/* ---- xattention ---- */

static void check_xattention(struct select_case *c, struct range r)
{
    static const struct {
        double threshold;
        uint32_t stride;
    } settings[] = { { 0.9, 8 }, { 0.5, 8 }, { 0.8, 16 }, { 0.9, 2 }, { 0.7, 4 } };

    for (size_t i = 0; i < COUNT(settings); i++) {
        c->params.threshold = settings[i].threshold, c->params.stride = settings[i].stride;
        select_case_run(c, select_case_find("xattention"), r.from, r.to, 1);
        compare(c, r, select_define_xattention);
    }
}

static void xattention_is_as_defined(void **state)
{
    (void)state;
    all_cases(check_xattention);
    enough_was_compared();
}

/* Rows that depend on their own queries and earlier keys only are the same however a prompt is cut at blocks. */
static void rows_of_streaming_and_xattention_do_not_depend_on_the_calls(void **state)
{
    (void)state;
    static const char *const names[] = { "streaming", "xattention" };

    for (size_t s = 0; s < COUNT(names); s++) {
        struct select_case one = open_case(&shapes[0], 11), cut = open_case(&shapes[0], 11);
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

/* ---- prism-rows: against products of all queries and keys ---- */

/* The largest part of a row of query block u that block v has, by the best keys of each block, in double. */
static double neediest(const struct select_case *c, struct range r, size_t h, size_t u, size_t v)
{
    size_t kv = h / (c->n_head / c->n_head_kv), end = (u + 1) * c->block < r.to ? (u + 1) * c->block : r.to;
    double most = 0;

    for (size_t t = u * c->block > r.from ? u * c->block : r.from; t < end; t++) {
        double sum = 0, of_v = 0;
        for (size_t w = 0; w <= u; w++) {
            double best = -INFINITY;
            for (size_t j = w * c->block; j < (w + 1) * c->block && j <= t; j++) {
                double dot = 0;
                for (size_t i = 0; i < c->d; i++)
                    dot += (double)c->q[(t * c->n_head + h) * c->d + i] * (double)c->k[(kv * c->n_tokens + j) * c->d + i];
                best = dot > best ? dot : best;
            }
            sum += exp(best * (double)c->scale);
            of_v = w == v ? exp(best * (double)c->scale) : of_v;
        }
        most = of_v / sum > most ? of_v / sum : most;
    }
    return most;
}

static size_t n_needed, n_missed, n_others, n_left;

static void check_rows(struct select_case *c, struct range r)
{
    if (c->kernels->level == PRISM_LEVEL_GENERIC || r.to - r.from < 400)
        return;
    c->params.row_mass = 0.1, c->scale *= 3.0f / 16;
    for (size_t i = 0; i < c->n_tokens * c->n_head * c->d; i++)
        c->q[i] *= 16; /* so that a forgotten scale is seen */
    assert_true(select_case_run(c, select_case_find("prism-rows"), r.from, r.to, 2));
    for (size_t h = 0; h < c->n_head; h++)
        for (size_t u = c->mask.first; u < c->mask.first + c->mask.n_rows; u += 3)
            for (size_t v = 1; v < u; v++) {
                double p = neediest(c, r, h, u, v);
                bool chosen = select_case_bit(c, h, u, v);
                n_needed += p >= 0.25, n_missed += p >= 0.25 && !chosen;
                n_others += p < 0.25, n_left += p < 0.25 && !chosen;
            }
}

/* The sketch's logits are off by half a unit (one deviation) at most, by design: a factor of 2.5 for what is needed. */
static void prism_rows_serves_the_neediest_row(void **state)
{
    (void)state;
    n_needed = n_missed = n_others = n_left = 0;
    all_cases(check_rows);

    if (n_needed < 500 || n_missed * 100 > n_needed || n_left * 10 < n_others)
        fail_msg("%zu of %zu needed blocks missed, %zu of %zu others left out", n_missed, n_needed, n_left, n_others);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_are_causal_and_the_same_for_any_number_of_threads),
        cmocka_unit_test(a_cache_of_q8_0_is_the_floats_that_it_means),
        cmocka_unit_test(a_runner_that_stops_ends_the_selection),
        cmocka_unit_test(scratch_stays_modest_for_long_prompts),
        cmocka_unit_test(scratch_grows_with_the_prompt),
        cmocka_unit_test(prism_rows_serves_the_neediest_row),
        cmocka_unit_test(streaming_is_exact),
        cmocka_unit_test(vertical_slash_is_as_defined),
        cmocka_unit_test(flexprefill_is_as_defined),
        cmocka_unit_test(flexprefill_counts_one_key_more_than_the_share_holds),
        cmocka_unit_test(xattention_is_as_defined),
        cmocka_unit_test(rows_of_streaming_and_xattention_do_not_depend_on_the_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
