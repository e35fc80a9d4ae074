/* test_delta_reuse.c - prism_prefill_to of a model with delta nets: which of the states that earlier prompts left serves the next one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/delta_case.h"
#include "tests/support/engine_test.h"

static void ask(prism_context *c, const int32_t *tokens, size_t n, size_t document, size_t expected)
{
    struct prism_error err;
    size_t reused;

    must(prism_prefill_to(c, tokens, n, &(struct prism_prefill_params){ .cut = document }, &reused, &err), &err);
    assert_int_equal(reused, expected);
    prism_context *d = delta_dense();
    must(prism_prefill(d, tokens, n, NULL, &err), &err);
    delta_assert_logits(c, prism_logits(d));
    prism_context_free(d);
}

static void test_questions(void **state)
{
    (void)state;
    enum { DOCUMENT = 700, KEPT = DOCUMENT / DELTA_BLOCK * DELTA_BLOCK };
    int32_t other[DELTA_TOKENS];
    prism_context *c = delta_dense();
    struct prism_error err;

    memcpy(other, delta.tokens, sizeof other);
    for (size_t i = DOCUMENT; i < DELTA_TOKENS; i++)
        other[i] = (int32_t)(((uint32_t)delta.tokens[i] + 1) % delta.n_vocab);
    ask(c, delta.tokens, 800, DOCUMENT, 0);
    for (int i = 0; i < 40; i++) /* an answer */
        must(prism_decode(c, delta.tokens[800 + i], &err), &err);
    ask(c, other, 790, DOCUMENT, KEPT);
    for (int i = 0; i < 40; i++)
        must(prism_decode(c, other[800 + i], &err), &err);
    ask(c, delta.tokens, 720, DOCUMENT, KEPT);
    ask(c, delta.tokens, 720, DOCUMENT, 720);
    ask(c, delta.tokens, 300, 0, 0); /* shorter than any state: from the beginning */
    ask(c, delta.tokens, 350, 0, 256); /* the mark of that */
    prism_context_free(c);
}

/* At least 17 tokens are prefilled, also of a question of three: what the first leaves serves that as well. */
static void test_short_question(void **state)
{
    (void)state;
    int32_t other[DELTA_TOKENS];
    prism_context *c = delta_dense();

    memcpy(other, delta.tokens, sizeof other);
    other[709] = (int32_t)(((uint32_t)other[709] + 1) % delta.n_vocab);
    ask(c, delta.tokens, 800, 709, 0);
    ask(c, other, 712, 709, 640);
    prism_context_free(c);
}

/* All that is common, whatever made it, where a state is. */
static void test_reuse_all(void **state)
{
    (void)state;
    prism_context *c = delta_dense();
    struct prism_error err;
    size_t reused;

    delta_prefill(c, 0, 150);
    delta_prefill(c, 150, 151);
    must(prism_prefill_to(c, delta.tokens, 180, &(struct prism_prefill_params){ .reuse = PRISM_REUSE_ALL }, &reused, &err), &err);
    assert_int_equal(reused, 151);
    must(prism_prefill_to(c, delta.tokens, 170, &(struct prism_prefill_params){ .reuse = PRISM_REUSE_ALL }, &reused, &err), &err);
    assert_int_equal(reused, 151);
    prism_context_free(c);
}

/* With blocks of half a chunk what counts is where chunks begin: a call from the middle of one gives other bits, and leaves nothing that is exact. */
static void test_small_blocks(void **state)
{
    (void)state;
    struct prism_context_params p = { .n_ctx = DELTA_CTX, .n_threads = 2, .attention = { .selector = "dense", .block = 32 } };
    prism_context *c = make_context(delta.model, &p), *d = make_context(delta.model, &p);
    struct prism_error err;
    size_t reused;

    delta_prefill(c, 0, 96);
    delta_prefill(c, 96, 320);
    must(prism_prefill_to(c, delta.tokens, 350, NULL, &reused, &err), &err);
    assert_int_equal(reused, 64);
    delta_prefill(d, 0, 350);
    delta_assert_logits(c, prism_logits(d));
    must(prism_prefill_to(c, delta.tokens, 340, NULL, &reused, &err), &err);
    assert_int_equal(reused, 320); /* the mark of the 350 */
    prism_context_free(c);
    prism_context_free(d);
}

/* What other tokens led to is forgotten with them, also where states lie between those that are there. */
static void test_other_tokens(void **state)
{
    (void)state;
    int32_t other[DELTA_TOKENS], third[DELTA_TOKENS];
    prism_context *c = delta_dense();
    struct prism_error err;

    for (size_t i = 0; i < DELTA_TOKENS; i++) {
        int32_t changed = (int32_t)(((uint32_t)delta.tokens[i] + 1) % delta.n_vocab);
        other[i] = i < 256 ? delta.tokens[i] : changed;
        third[i] = i < 700 ? delta.tokens[i] : changed;
    }
    delta_prefill(c, 0, 300);
    must(prism_prefill(c, other + 300, 400, NULL, &err), &err); /* leaves its mark at 640 */
    delta_cut(c, 256);
    delta_prefill(c, 256, 960); /* and this at 896 */
    ask(c, third, 760, 0, 256);
    prism_context_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_questions),
        cmocka_unit_test(test_reuse_all),
        cmocka_unit_test(test_short_question),
        cmocka_unit_test(test_small_blocks),
        cmocka_unit_test(test_other_tokens),
    };
    return cmocka_run_group_tests_name("engine/delta_reuse", tests, delta_set_up, delta_tear_down);
}
