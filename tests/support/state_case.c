/* state_case.c - see state_case.h. */
#include "tests/support/state_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/engine_test.h"
#include "tests/support/mask_trace.h"

#define SELECT(name, ...) { .selector = name, .block = 32, .p_high = 0.5f, .p_low = 0.5f, .dense_tail = PRISM_NO_TAIL, __VA_ARGS__ }

const struct state_case state_cases[] = {
    { "dense", { .n_ctx = STATE_CTX, .attention = { .selector = "dense" } } },
    { "dense in fp32", { .n_ctx = STATE_CTX, .compute = PRISM_COMPUTE_F32, .attention = { .selector = "dense", .block = 32 } } },
    { "prism", { .n_ctx = STATE_CTX, .attention = SELECT("prism", .row_mass = 0) } },
    { "prism, causal energies", { .n_ctx = STATE_CTX, .kv_type = PRISM_KV_BF16, .attention = SELECT("prism", .causal_energy = true) } },
    { "prism-rows", { .n_ctx = STATE_CTX, .attention = SELECT("prism-rows", .row_mass = 1) } },
    { "prism-rows, not yet", { .n_ctx = STATE_CTX, .v_type = PRISM_KV_F32, .attention = SELECT("prism-rows", .row_mass = 1, .min_tokens = 430) } },
    { "meanpool", { .n_ctx = STATE_CTX, .kv_type = PRISM_KV_F32, .attention = SELECT("meanpool", .row_mass = 0) } },
    { "auto", { .n_ctx = STATE_CTX } },
};
const size_t n_state_cases = sizeof state_cases / sizeof *state_cases;

prism_model *state_model(const char *name) { return trace_tiny_model(name, STATE_LAYERS); }

void state_history(const prism_model *m, prism_context *c)
{
    int32_t *tokens = trace_tokens(m, STATE_TOKENS);
    struct prism_error err;

    must(prism_prefill(c, tokens, 256, NULL, &err), &err);
    must(prism_prefill(c, tokens + 256, 64, NULL, &err), &err);
    must(prism_prefill(c, tokens, 100, NULL, &err), &err); /* forgotten again */
    must(prism_truncate(c, 320, &err), &err);
    must(prism_prefill(c, tokens + 320, 97, NULL, &err), &err);
    for (size_t i = 417; i < STATE_TOKENS; i++)
        must(prism_decode(c, tokens[i], &err), &err);
    free(tokens);
}

prism_context *state_context(const prism_model *m, const struct prism_context_params *p)
{
    prism_context *c = make_context(m, p);
    state_history(m, c);
    return c;
}

void assert_same_state(const prism_context *a, const prism_context *b, size_t n_vocab)
{
    assert_int_equal(prism_length(a), prism_length(b));
    assert_true((prism_tokens(a) == NULL) == (prism_tokens(b) == NULL));
    if (prism_tokens(a))
        assert_memory_equal(prism_tokens(a), prism_tokens(b), prism_length(a) * sizeof(int32_t));
    assert_true((prism_logits(a) == NULL) == (prism_logits(b) == NULL));
    if (prism_logits(a))
        assert_memory_equal(prism_logits(a), prism_logits(b), n_vocab * sizeof(float));
}

static void both_to(prism_context *c[2], const int32_t *tokens, size_t n, size_t n_vocab)
{
    size_t reused[2];
    struct prism_error err;

    for (int i = 0; i < 2; i++)
        must(prism_prefill_to(c[i], tokens, n, NULL, &reused[i], &err), &err);
    assert_int_equal(reused[0], reused[1]);
    assert_same_state(c[0], c[1], n_vocab);
}

void assert_same_future(prism_context *a, prism_context *b, size_t n_vocab)
{
    prism_context *c[2] = { a, b };
    size_t n = prism_length(a), more = 90;
    int32_t *tokens = malloc((n + more) * sizeof *tokens);
    struct prism_error err;

    assert_true(n > 0);
    memcpy(tokens, prism_tokens(a), n * sizeof *tokens);
    make_tokens(tokens + n, more, (uint32_t)n_vocab);
    for (int i = 0; i < 2; i++)
        must(prism_decode(c[i], tokens[n], &err), &err);
    assert_same_state(a, b, n_vocab);
    for (int i = 0; i < 2; i++)
        must(prism_prefill(c[i], tokens + n + 1, more - 1, NULL, &err), &err);
    assert_same_state(a, b, n_vocab);
    both_to(c, tokens, n, n_vocab);
    both_to(c, tokens, 300, n_vocab);
    both_to(c, tokens, 290, n_vocab);
    free(tokens);
}
