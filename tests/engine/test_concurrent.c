/* test_concurrent.c - an application with several threads: one model, a context per thread, everything through the public interface
 * at once. Small enough for ThreadSanitizer (make check-tsan); what contexts compute is test_engine.c's business. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "tests/support/engine_test.h"
#include "tests/support/near.h"
#include "tests/support/reference.h"

enum { WORKERS = 3, GENERATED = 4 };

static const char path[] = "models/gutenberg-llama-16m-q8_0.gguf";
static const char prompt[] = "Once upon a time there was a king who had three sons, and the youngest of them";

struct worker {
    const prism_model *model; /* NULL: loads its own */
    uint32_t n_threads;
    char text[512];           /* what it generated, or the error */
    float *logits;            /* after the prompt, if the caller gave room for them */
    int32_t prompt[64];       /* its tokens */
    size_t n_prompt;
};

/* A session from tokens to text; also appends and forgets a token in between. Safe outside cmocka's thread. */
static bool session(const prism_model *model, struct worker *w, struct prism_error *err)
{
    prism_context *ctx;
    struct prism_model_info info;
    struct prism_sampling greedy = { .temp = 0 };
    int32_t tokens[64];
    size_t n, len = 0;

    prism_model_info(model, &info);
    if (prism_tokenize(model, prompt, strlen(prompt), PRISM_ADD_SPECIAL, tokens, 64, &n, err) != PRISM_OK)
        return false;
    struct prism_context_params params = { .n_ctx = 64, .n_threads = w->n_threads, .bind_threads = true };
    if (prism_context_create(model, &params, &ctx, err) != PRISM_OK)
        return false;
    bool ok = prism_prefill(ctx, tokens, n, NULL, err) == PRISM_OK;
    memcpy(w->prompt, tokens, sizeof tokens);
    w->n_prompt = n;
    if (ok && w->logits)
        memcpy(w->logits, prism_logits(ctx), info.n_vocab * sizeof *w->logits);
    for (int i = 0; ok && i < GENERATED; i++) {
        int32_t token = prism_sample(&greedy, prism_logits(ctx), info.n_vocab, NULL);
        len += prism_token_bytes(model, token, true, false, w->text + len, sizeof w->text / GENERATED - 1);
        ok = prism_decode(ctx, tokens[0], err) == PRISM_OK && prism_truncate(ctx, n + (size_t)i, err) == PRISM_OK &&
             prism_decode(ctx, token, err) == PRISM_OK;
    }
    w->text[len] = 0;
    prism_context_free(ctx);
    return ok;
}

/* A thread alone against the forward pass in double: the last logits within 0.15, as tests/engine/test_golden.c asks of the fast path. */
static void judge(const prism_model *model, const struct worker *alone)
{
    size_t n_vocab = model->n_vocab;
    double *expected = test_reference_logits(model, alone->prompt, alone->n_prompt);
    assert_within(largest_difference(alone->logits, expected + (alone->n_prompt - 1) * n_vocab, n_vocab), 0.15, "logits after the prompt");
    free(expected);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct prism_error err = { 0 };
    prism_model *own = NULL;

    bool ok = w->model || prism_model_load(path, NULL, &own, &err) == PRISM_OK;
    ok = ok && session(w->model ? w->model : own, w, &err);
    if (!ok)
        snprintf(w->text, sizeof w->text, "error: %.400s", err.text);
    prism_model_free(own);
    return NULL;
}

/* model: shared by all, or NULL for one each. */
static void all_agree(const prism_model *model)
{
    struct worker alone = { .model = model, .n_threads = 1 }, w[WORKERS];
    pthread_t thread[WORKERS];

    if (model)
        alone.logits = calloc(model->n_vocab, sizeof *alone.logits);
    work(&alone);
    assert_true(strlen(alone.text) >= GENERATED);
    assert_null(strstr(alone.text, "error:"));
    if (model)
        judge(model, &alone);
    free(alone.logits);
    for (uint32_t i = 0; i < WORKERS; i++) {
        w[i] = (struct worker){ .model = model, .n_threads = 1 + i };
        assert_int_equal(pthread_create(&thread[i], NULL, work, &w[i]), 0);
    }
    for (int i = 0; i < WORKERS; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < WORKERS; i++)
        assert_string_equal(w[i].text, alone.text);
}

static void contexts_of_one_model(void **state)
{
    (void)state;
    prism_model *model = load_model(path);

    all_agree(model);
    prism_model_free(model);
}

static void a_model_each(void **state)
{
    (void)state;
    all_agree(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contexts_of_one_model),
        cmocka_unit_test(a_model_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
