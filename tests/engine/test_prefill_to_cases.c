/* test_prefill_to_cases.c - prism_prefill_to where one thing is asked: all that is common, prompts that look like what is there and are not, progress
 * and cancelled calls. Random edits of a prompt: test_prefill_to.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "src/model/model.h"
#include "tests/support/engine_test.h"
#include "tests/support/mask_trace.h"

/* ---- all that is common ---- */

/* What prism_truncate and prism_prefill give, bit for bit. */
static void test_reuse_all(void **state)
{
    (void)state;
    enum { N = 150, DECODED = 20 };
    static const size_t commons[] = { N + DECODED, N + DECODED - 1, N + 5, N, 77, 1, 0 };
    const struct prism_prefill_params all = { .reuse = PRISM_REUSE_ALL };
    prism_model *m = trace_tiny_model("to.gguf", 3);

    for (int kind = 0; kind < 3; kind++)
        for (size_t i = 0; i < sizeof commons / sizeof *commons; i++) {
            struct prism_context_params p = trace_params(300);
            struct prism_error err;
            p.attention.row_mass = 1;
            p.attention.selector = kind == 0 ? "dense" : kind == 1 ? "prism" : "prism-rows";
            prism_context *c[2] = { make_context(m, &p), make_context(m, &p) };
            int32_t *tokens = trace_tokens(m, 300);
            size_t reused, common = commons[i], n = common + 30;

            for (int k = 0; k < 2; k++) {
                must(prism_prefill(c[k], tokens, N, NULL, &err), &err);
                for (size_t at = N; at < N + DECODED; at++)
                    must(prism_decode(c[k], tokens[at], &err), &err);
            }
            must(prism_prefill_to(c[0], tokens, N + DECODED, &all, &reused, &err), &err);
            assert_int_equal(reused, N + DECODED);
            assert_memory_equal(prism_logits(c[0]), prism_logits(c[1]), m->n_vocab * sizeof(float));
            tokens[common] = (tokens[common] + 1) % (int32_t)m->n_vocab;
            must(prism_prefill_to(c[0], tokens, n, &all, &reused, &err), &err);
            assert_int_equal(reused, common);
            must(prism_truncate(c[1], common, &err), &err);
            must(prism_prefill(c[1], tokens + common, n - common, NULL, &err), &err);
            assert_memory_equal(prism_logits(c[0]), prism_logits(c[1]), m->n_vocab * sizeof(float));
            must(prism_prefill_to(c[0], tokens, common + 1, &all, &reused, &err), &err); /* shorter: the last token again */
            assert_int_equal(reused, common);
            assert_int_equal(prism_length(c[0]), common + 1);
            prism_context_free(c[0]);
            prism_context_free(c[1]);
            free(tokens);
        }
    prism_model_free(m);
}

/* ---- what looks alike and is not ---- */

static void assert_one_call(const prism_model *m, const struct prism_context_params *p, const prism_context *c, const int32_t *tokens, size_t n)
{
    struct prism_error err;
    prism_context *fresh = make_context(m, p);

    must(prism_prefill(fresh, tokens, n, NULL, &err), &err);
    assert_int_equal(prism_length(c), n);
    assert_memory_equal(prism_logits(c), prism_logits(fresh), m->n_vocab * sizeof(float));
    prism_context_free(fresh);
}

/* Tokens of some layers only, with others behind them; a last token that came by itself; logits of rows. */
static void test_lookalikes(void **state)
{
    (void)state;
    prism_model *m = trace_tiny_model("to.gguf", 3);
    struct prism_context_params p = { .n_ctx = 400, .n_threads = 1, .attention = { .selector = "dense", .block = 32 } };
    int32_t *tokens = trace_tokens(m, 400);
    struct prism_error err;
    size_t reused;

    for (size_t reuse = 0; reuse < 2; reuse++) {
        struct prism_prefill_params to = { .reuse = (enum prism_reuse)reuse };
        prism_context *c = make_context(m, &p);
        must(prism_prefill(c, tokens, 64, NULL, &err), &err);
        must(prism_prefill(c, tokens + 64, 64, &(struct prism_prefill_params){ .n_layers = 2 }, &err), &err);
        must(prism_prefill(c, tokens + 128, 128, NULL, &err), &err);
        must(prism_prefill_to(c, tokens, 256, &to, &reused, &err), &err);
        assert_int_equal(reused, 64);
        assert_one_call(m, &p, c, tokens, 256);
        must(prism_prefill_to(c, tokens, 256, &to, &reused, &err), &err);
        assert_int_equal(reused, 256);
        prism_context_free(c);
    }

    prism_context *c = make_context(m, &p);
    must(prism_prefill(c, tokens, 64, NULL, &err), &err);
    must(prism_decode(c, tokens[64], &err), &err);
    must(prism_prefill_to(c, tokens, 65, NULL, &reused, &err), &err);
    assert_int_equal(reused, 32);
    assert_one_call(m, &p, c, tokens, 65);
    must(prism_truncate(c, 0, &err), &err);
    free(all_logits(c, tokens, 200, m->n_vocab));
    must(prism_prefill_to(c, tokens, 200, NULL, &reused, &err), &err);
    assert_int_equal(reused, 160);
    assert_one_call(m, &p, c, tokens, 200);
    prism_context_free(c);
    free(tokens);
    prism_model_free(m);
}

/* ---- progress ---- */

struct seen {
    size_t calls, stop_at, tokens_total, n_full;
    uint64_t done, total;
    bool strange;
};

static int watch(void *user, const struct prism_progress *p)
{
    struct seen *s = user;

    s->strange |= p->done < s->done || p->done > p->total || (s->calls && p->total != s->total) || p->tokens_done > p->tokens_total ||
                  p->tokens_total != s->tokens_total || s->n_full > 0 || p->elapsed_ms < 0;
    s->done = p->done, s->total = p->total;
    s->n_full += p->done == p->total;
    return ++s->calls == s->stop_at;
}

/* One progress over all calls; cancelled at every point, and then gone on with. */
static void test_progress(void **state)
{
    (void)state;
    enum { N = 300, KEEP = 64 };
    prism_model *m = trace_tiny_model("to.gguf", 2);
    struct prism_context_params p = trace_params(N);
    int32_t *tokens = trace_tokens(m, N), *first = trace_tokens(m, N);
    struct prism_error err;
    size_t points = 1;
    float *expected = NULL;

    first[KEEP] = first[KEEP] ? 0 : 1;
    for (size_t at = 0; at <= points; at += at < 5 ? 1 : 3) {
        prism_context *c = make_context(m, &p);
        struct seen s = { .stop_at = at, .tokens_total = N - KEEP };
        struct prism_prefill_params params = { .progress = watch, .progress_user = &s, .cut = 200, .cut_every = 96 };
        size_t reused;

        must(prism_prefill(c, first, KEEP, NULL, &err), &err);
        must(prism_prefill(c, first + KEEP, 50, NULL, &err), &err);
        enum prism_status status = prism_prefill_to(c, tokens, N, &params, &reused, &err);
        assert_false(s.strange);
        if (at == 0) { /* not cancelled */
            must(status, &err);
            assert_true(reused == KEEP && s.n_full == 1 && s.done == s.total);
            points = s.calls;
            assert_true(points > 20);
            expected = memcpy(malloc(m->n_vocab * sizeof *expected), prism_logits(c), m->n_vocab * sizeof *expected);
        } else {
            assert_int_equal(status, PRISM_E_CANCELLED);
            assert_int_equal(s.calls, at);
            size_t n = prism_length(c);
            assert_true(n == KEEP || n == 96 || n == 192); /* 200, and 288 leaves fewer than 17 */
            assert_memory_equal(prism_tokens(c), tokens, n * sizeof *tokens);
            params.progress = NULL;
            must(prism_prefill_to(c, tokens, N, &params, &reused, &err), &err);
            assert_int_equal(reused, n);
            assert_memory_equal(prism_logits(c), expected, m->n_vocab * sizeof *expected);
        }
        prism_context_free(c);
    }
    free(expected);
    free(tokens);
    free(first);
    prism_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reuse_all),
        cmocka_unit_test(test_lookalikes),
        cmocka_unit_test(test_progress),
    };
    return cmocka_run_group_tests_name("prefill_to cases", tests, NULL, NULL);
}
