/* test_make_weights.c - make-model --shape: random weights of every type, which the library runs, and their seeds. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "src/gguf/gguf.h"
#include "src/kernels.h"
#include "tests/support/data.h"
#include "tests/support/made_model.h"

/* Mean 0 and deviation 1/32 over 3 million values. Groups share a scale, so count at least blocks of 256: 12288 independent mean squares,
 * whose own relative deviation is below 1 (a product of two uniform factors and a code), make the error of the deviation 0.5 / sqrt(12288)
 * = 0.45 %; asserted is six times that, of the mean too. */
static void check_weights(const struct prism_gguf *g)
{
    const struct prism_gguf_tensor *t = prism_gguf_tensor_find(g, "blk.1.ffn_gate.weight");
    size_t n = (size_t)(t->ne[0] * t->ne[1]);
    float *w = malloc(n * sizeof *w);
    double sum = 0, squares = 0;

    assert_non_null(w);
    assert_int_equal(n, 3 << 20);
    prism_kernels_by_level[PRISM_LEVEL_GENERIC]->to_f32[t->type](w, t->data, n);
    const struct prism_gguf_tensor *scale = prism_gguf_tensor_find(g, "blk.1.ffn_gate.scale");
    assert_int_equal(scale != NULL, t->type == PRISM_NVFP4);
    for (size_t i = 0; i < n; i++) {
        w[i] *= scale ? *(const float *)(const void *)scale->data : 1;
        sum += w[i];
        squares += (double)w[i] * w[i];
    }
    double mean = sum / (double)n, deviation = sqrt(squares / (double)n - mean * mean);
    if (!(fabs(mean) < 0.027 / 32) || !(fabs(deviation * 32 - 1) < 0.027))
        fail_msg("%s: mean %g, deviation %g; expected 0, 1/32", t->file_type->name, mean, deviation);
    free(w);
}

/* The last row of logits is W x / sqrt(n) with W of deviation 1 and x of mean square 1: deviation 1 over 259 tokens, within six times
 * 1 / sqrt(2 * 259). */
static void check_logits(prism_model *m)
{
    struct prism_context_params params = { .n_ctx = 64, .n_threads = 1 };
    struct prism_model_info info;
    struct prism_error err = { 0 };
    prism_context *ctx;
    int32_t tokens[40];
    double squares = 0;

    prism_model_info(m, &info);
    for (int32_t i = 0; i < 40; i++)
        tokens[i] = i * 7 % (int32_t)info.n_vocab;
    assert_int_equal(prism_context_create(m, &params, &ctx, &err), PRISM_OK);
    assert_int_equal(prism_prefill(ctx, tokens, 40, NULL, &err), PRISM_OK);
    const float *logits = prism_logits(ctx);
    for (uint32_t i = 0; i < info.n_vocab; i++) {
        assert_true(isfinite(logits[i]));
        squares += (double)logits[i] * logits[i];
    }
    double deviation = sqrt(squares / info.n_vocab);
    if (!(fabs(deviation - 1) < 6 / sqrt(2.0 * info.n_vocab)))
        fail_msg("%s: logits have deviation %g", info.type, deviation);
    prism_context_free(ctx);
}

static void every_type_runs(void **state)
{
    char vocab[512];

    (void)state;
    snprintf(vocab, sizeof vocab, "%s", made_vocab("gpt2"));
    for (int i = 0; i <= PRISM_N_TYPES; i++) {
        const char *type = i < PRISM_N_TYPES ? prism_types[i].name : "Q4_K_M";
        const char *path = MAKE("type.gguf", "--shape", "qwen3-0.6b", "--layers", "2", "--type", type, "--vocab", vocab, "--keep-vocab");
        struct prism_gguf *g = open_made(path);
        has_tensor(g, "blk.1.attn_q.weight", i < PRISM_N_TYPES ? type : "Q4_K", 1024, 2048);
        check_weights(g);
        prism_gguf_close(g);
        prism_model *m = load_made(path);
        check_logits(m);
        prism_model_free(m);
        unlink(path);
    }
}

/* Of 28 matrices in 4 layers, and the embeddings, no two that follow each other have the same type; all types are in the file. */
static void all_types_in_one(void **state)
{
    bool found[PRISM_N_TYPES] = { false };
    char vocab[512];
    int kinds = 0;

    (void)state;
    snprintf(vocab, sizeof vocab, "%s", made_vocab("gpt2"));
    const char *path = MAKE("all.gguf", "--shape", "qwen3-0.6b", "--layers", "4", "--type", "ALL", "--vocab", vocab, "--keep-vocab");
    struct prism_gguf *g = open_made(path);
    has_tensor(g, "token_embd.weight", prism_types[PRISM_N_TYPES - 1].name, 1024, 289);
    for (size_t i = 0; i < g->n_tensors; i++)
        if (g->tensors[i].n_dims > 1)
            kinds += !found[g->tensors[i].type], found[g->tensors[i].type] = true;
    assert_int_equal(kinds, PRISM_N_TYPES);
    prism_gguf_close(g);
    prism_model *m = load_made(path);
    check_logits(m);
    prism_model_free(m);
    unlink(path);
}

/* Same seed, same bytes, whatever the number of threads; another seed, other bytes. A layer's weights do not depend on how many follow. */
static void seeds(void **state)
{
    static const struct {
        const char *seed, *layers, *threads;
    } runs[] = { { "0", "1", "1" }, { "0", "1", "3" }, { "1", "1", "3" }, { "0", "2", "3" } };
    const char *vocab = made_vocab("gpt2");
    char *bytes[4], *weights[4];
    size_t n[4];

    (void)state;
    for (int i = 0; i < 4; i++) {
        setenv("OMP_NUM_THREADS", runs[i].threads, 1);
        const char *path = MAKE("seed.gguf", "--shape", "smollm2-135m", "--seed", runs[i].seed, "--layers", runs[i].layers, "--type", "Q5_1",
                                "--vocab", vocab, "--keep-vocab");
        struct prism_gguf *g = open_made(path);
        const struct prism_gguf_tensor *t = prism_gguf_tensor_find(g, "blk.0.ffn_up.weight");
        weights[i] = malloc(t->n_bytes);
        assert_non_null(weights[i]);
        memcpy(weights[i], t->data, t->n_bytes);
        if (i == 3) {
            assert_memory_equal(weights[3], weights[0], t->n_bytes);
            assert_memory_not_equal(weights[2], weights[0], t->n_bytes);
        }
        prism_gguf_close(g);
        bytes[i] = test_read_file(path, &n[i]);
    }
    unsetenv("OMP_NUM_THREADS");
    assert_int_equal(n[1], n[0]);
    assert_memory_equal(bytes[1], bytes[0], n[0]);
    for (int i = 0; i < 4; i++) {
        free(bytes[i]);
        free(weights[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_runs),
        cmocka_unit_test(all_types_in_one),
        cmocka_unit_test(seeds),
    };
    return cmocka_run_group_tests_name("cli/make_weights", tests, NULL, NULL);
}
