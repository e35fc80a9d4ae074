/* test_clone.c - prism_context_clone: the copy has all that the original holds, and neither sees what happens to the other. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "src/engine/context.h"
#include "tests/support/engine_test.h"
#include "tests/support/state_case.h"

static prism_model *model;

static prism_context *clone(const prism_context *c)
{
    struct prism_error err;
    prism_context *n;
    must(prism_context_clone(c, &n, &err), &err);
    return n;
}

static void test_all_is_copied(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_state_cases; i++) {
        prism_context *a = state_context(model, &state_cases[i].params), *b = clone(a);
        struct prism_stats stats;

        assert_same_state(a, b, model->n_vocab);
        prism_get_stats(b, &stats);
        assert_int_equal(stats.prefill_tokens + stats.decode_tokens, 0);
        assert_true(stats.prefill_ms == 0);
        assert_same_future(a, b, model->n_vocab);
        prism_context_free(a);
        prism_context_free(b);
    }
}

/* One goes on while the other is emptied, filled with something else and freed. */
static void test_nothing_is_shared(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_state_cases; i++) {
        prism_context *fresh = state_context(model, &state_cases[i].params);
        for (int who = 0; who < 2; who++) {
            prism_context *a = state_context(model, &state_cases[i].params), *b = clone(a), *kept = who ? a : b, *gone = who ? b : a;
            prism_context *same = clone(fresh);
            int32_t other[200];
            struct prism_error err;

            make_tokens(other, 200, 50);
            must(prism_truncate(gone, 40, &err), &err);
            must(prism_prefill(gone, other, 200, NULL, &err), &err);
            prism_context_free(gone);
            assert_same_state(kept, same, model->n_vocab);
            assert_same_future(kept, same, model->n_vocab);
            prism_context_free(kept);
            prism_context_free(same);
        }
        prism_context_free(fresh);
    }
}

/* Of contexts that hold nothing, no logits, or tokens of some layers only. */
static void test_odd_states(void **state)
{
    (void)state;
    struct prism_context_params p = state_cases[2].params;
    prism_context *a = make_context(model, &p), *b = clone(a);
    int32_t tokens[64];
    struct prism_error err;

    make_tokens(tokens, 64, model->n_vocab);
    assert_same_state(a, b, model->n_vocab);
    must(prism_prefill(a, tokens, 64, NULL, &err), &err);
    must(prism_prefill(b, tokens, 64, NULL, &err), &err);
    assert_same_state(a, b, model->n_vocab);
    prism_context_free(b);
    must(prism_truncate(a, 50, &err), &err);
    b = clone(a);
    assert_null(prism_logits(b));
    assert_same_state(a, b, model->n_vocab);
    prism_context_free(b);
    must(prism_prefill(a, tokens, 40, &(struct prism_prefill_params){ .n_layers = 1 }, &err), &err);
    b = clone(a);
    assert_int_equal(a->whole, 50);
    assert_int_equal(b->whole, 50);
    assert_same_state(a, b, model->n_vocab);
    prism_context_free(a);
    prism_context_free(b);
}

static void test_settings(void **state)
{
    (void)state;
    struct prism_context_params p = state_cases[0].params;

    p.n_threads = 3, p.logits_rows = 100;
    prism_context *a = make_context(model, &p), *b = clone(a);
    assert_int_equal(prism_threads(a, NULL, 0), prism_threads(b, NULL, 0));
    assert_int_equal(a->plan.total_bytes, b->plan.total_bytes);
    assert_int_equal(a->logits_n, b->logits_n);
    prism_context_free(a);
    prism_context_free(b);
}

static int set_up(void **state)
{
    *state = model = state_model("clone.gguf");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_is_copied),
        cmocka_unit_test(test_nothing_is_shared),
        cmocka_unit_test(test_odd_states),
        cmocka_unit_test(test_settings),
    };
    return cmocka_run_group_tests_name("clone", tests, set_up, free_group_model);
}
