/* test_golden.c - logits of the two real models against the float32 oracle (../shared/golden/logits-*.gguf), at every level.
 *
 * Bounds, from the project's requirements: with compute f32 each NLL within 1e-3, argmax equal wherever the oracle's gap to the second
 * best exceeds 1e-3, last logits within 2e-3. With the fast path: mean NLL within 2e-3, argmax equal on 985 of 1000, last logits within
 * 0.15. Beside the oracle, a part that needs no shared file: the first tokens of the real models against a forward pass in double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "src/gguf/gguf.h"
#include "tests/support/data.h"
#include "tests/support/near.h"
#include "tests/support/reference.h"

/* Sanitized programs are slow: they look at the first tokens, which the later ones cannot change. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { N_GOLDEN = 1000, N_TOKENS = 100 };
#else
enum { N_GOLDEN = 1000, N_TOKENS = N_GOLDEN };
#endif

struct scores {
    const int32_t *tokens;
    size_t n, n_vocab;
    double *nll;
    int32_t *argmax;
    float *last;
};

static void score_rows(void *user, size_t row, size_t n_rows, const float *logits)
{
    struct scores *s = user;
    for (size_t r = row; r < row + n_rows; r++, logits += s->n_vocab) {
        size_t best = 0;
        for (size_t i = 1; i < s->n_vocab; i++)
            best = logits[i] > logits[best] ? i : best;
        s->argmax[r] = (int32_t)best;
        if (r + 1 < s->n)
            s->nll[r] = -prism_log_prob(logits, s->n_vocab, s->tokens[r + 1]);
        else
            memcpy(s->last, logits, s->n_vocab * sizeof *logits);
    }
}

static struct scores score(const prism_model *model, const struct prism_context_params *params, const int32_t *tokens, size_t n)
{
    struct prism_model_info info;
    struct prism_error err;
    prism_context *c;

    prism_model_info(model, &info);
    struct scores s = { tokens, n, info.n_vocab, calloc(n, sizeof(double)), calloc(n, sizeof(int32_t)), calloc(info.n_vocab, sizeof(float)) };
    if (prism_context_create(model, params, &c, &err))
        fail_msg("%s", err.text);
    if (prism_prefill(c, tokens, n, &(struct prism_prefill_params){ .logits = score_rows, .logits_user = &s }, &err))
        fail_msg("%s", err.text);
    prism_context_free(c);
    return s;
}

static void scores_free(struct scores *s) { free(s->nll), free(s->argmax), free(s->last); }

static const void *golden(const struct prism_gguf *g, const char *name, size_t n)
{
    const struct prism_gguf_tensor *t = prism_gguf_tensor_find(g, name);
    if (!t)
        fail_msg("golden file lacks %s", name);
    assert_int_equal(t->ne[0], n);
    return t->data;
}

static void compare(const struct prism_gguf *g, const struct scores *s, bool exact, const char *label)
{
    const float *nll = golden(g, "nll", N_GOLDEN - 1), *gap = golden(g, "top_gap", N_GOLDEN), *last = golden(g, "last_logits", s->n_vocab);
    const int32_t *argmax = golden(g, "argmax", N_GOLDEN);
    double worst = 0, mean = 0, last_worst = 0;
    size_t equal = 0;

    for (size_t i = 0; i < s->n; i++) {
        equal += s->argmax[i] == argmax[i];
        if (exact && gap[i] > 1e-3f)
            assert_int_equal(s->argmax[i], argmax[i]);
        if (i + 1 < s->n) {
            worst = larger(worst, fabs(s->nll[i] - nll[i]));
            mean += (s->nll[i] - nll[i]) / (double)(s->n - 1);
        }
    }
    if (s->n == N_GOLDEN)
        last_worst = largest_difference_f32(s->last, last, s->n_vocab);
    print_message("%-28s nll worst %.2e mean %+.2e  argmax %zu/%zu  last logits %.2e\n", label, worst, mean, equal, s->n, last_worst);
    if (exact) {
        assert_true(worst <= 1e-3);
        assert_true(last_worst <= 2e-3);
    } else {
        assert_true(s->n < N_GOLDEN || fabs(mean) <= 2e-3); /* a mean over 1000 tokens */
        assert_true(s->n < N_GOLDEN || equal >= 985);
        assert_true(last_worst <= 0.15);
    }
}

static void check_model(const char *model_path, const char *golden_rel)
{
    const char *path = test_shared(golden_rel);
    struct prism_error err = { 0 };
    struct prism_gguf *g;
    prism_model *model;

    if (prism_gguf_open(path, (struct prism_log){ 0 }, &g, &err) || prism_model_load(model_path, NULL, &model, &err))
        fail_msg("%s", err.text);
    const int32_t *tokens = golden(g, "tokens", N_GOLDEN);
    for (int level = 0; level < prism_level_count(); level++)
        for (int compute = 0; compute < 2 && prism_level_supported(level); compute++) {
            struct prism_context_params p = { .n_ctx = N_TOKENS, .compute = (enum prism_compute)compute, .level = level + 1 };
            struct scores s = score(model, &p, tokens, N_TOKENS);
            char label[64];
            snprintf(label, sizeof label, "%s compute %s", prism_level_name(level), compute ? "f32" : "auto");
            compare(g, &s, compute == PRISM_COMPUTE_F32, label);
            scores_free(&s);
        }
    prism_model_free(model);
    prism_gguf_close(g);
}

static void test_38m_golden(void **state)
{
    (void)state;
    check_model("models/gutenberg-38m-q8_0.gguf", "golden/logits-38m-1000.gguf");
}

static void test_llama_golden(void **state)
{
    (void)state;
    check_model("models/gutenberg-llama-16m-q8_0.gguf", "golden/logits-llama-1000.gguf");
}

/* 48 tokens of a real model against the double forward pass: logits within 2e-3, as above for the oracle's last row. */
static void check_reference(const char *model_path)
{
    enum { N = 48 };
    struct prism_error err;
    prism_model *model;
    int32_t tokens[N];
    size_t n = 0, len;
    char *text = test_read_file("models/persuasion.txt", &len);

    if (prism_model_load(model_path, NULL, &model, &err) || prism_tokenize(model, text, 4096, PRISM_ADD_SPECIAL, tokens, N, &n, &err))
        fail_msg("%s", err.text);
    assert_true(n >= N);
    double *expected = test_reference_logits(model, tokens, N);
    struct scores s = score(model, &(struct prism_context_params){ .n_ctx = N, .compute = PRISM_COMPUTE_F32 }, tokens, N);
    double worst = largest_difference(s.last, expected + (N - 1) * s.n_vocab, s.n_vocab);
    print_message("%s: last logits within %.2e of the double forward pass\n", model_path, worst);
    assert_true(worst <= 2e-3);
    scores_free(&s);
    free(expected);
    free(text);
    prism_model_free(model);
}

static void test_reference(void **state)
{
    (void)state;
    check_reference("models/gutenberg-38m-q8_0.gguf");
    check_reference("models/gutenberg-llama-16m-q8_0.gguf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_38m_golden),
        cmocka_unit_test(test_llama_golden),
    };
    return cmocka_run_group_tests_name("golden", tests, NULL, NULL);
}
