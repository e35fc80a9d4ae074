/* test_prism_golden.c - masks of the two real models against the float64 oracle (../shared/golden/masks-*.gguf), end to end.
 *
 * Bounds, from the project's requirements: with compute f32 99.8 % of the causal bits are equal (activations in another order of sums move
 * probabilities that lie beside a threshold, and each layer's choice changes the input of the next), with the fast path 99 %. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "src/gguf/gguf.h"
#include "tests/support/data.h"
#include "tests/support/near.h"

/* Sanitized programs are slow: they run the smaller model on the fast path only. (A shorter prompt would have other temperatures.) */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool sanitized = true;
#else
static const bool sanitized = false;
#endif

struct comparison {
    const int8_t *expected; /* [layer][head][n][n] */
    uint32_t n;
    size_t bits, different, chosen, layer_different[8];
    size_t n_vocab;
    atomic_size_t unsound; /* rows of logits */
};

static void compare(void *user, const struct prism_attention_mask *m)
{
    struct comparison *c = user;

    assert_true(m->first_block == 0 && m->n_rows <= c->n && m->layer < 8);
    for (size_t h = 0; h < m->n_head; h++)
        for (size_t u = 0; u < m->n_rows; u++) {
            const int8_t *expected = c->expected + ((m->layer * m->n_head + h) * c->n + u) * c->n;
            const uint64_t *row = m->bits + (h * m->n_rows + u) * m->n_words;
            for (size_t v = 0; v <= u; v++) {
                bool got = row[v / 64] >> v % 64 & 1;
                c->bits++;
                c->chosen += got;
                c->layer_different[m->layer] += got != (expected[v] != 0);
            }
        }
    c->different += c->layer_different[m->layer];
}

/* Masks are what is compared, but masks of a call whose logits are sound. Any thread. */
static void look_at_logits(void *user, size_t row, size_t n_rows, const float *logits)
{
    struct comparison *c = user;
    (void)row;
    atomic_fetch_add(&c->unsound, is_sound(logits, n_rows, c->n_vocab) ? 0 : n_rows);
}

static void check(const prism_model *model, const int32_t *tokens, size_t n, const struct prism_context_params *given,
                  struct comparison *c, double allowed)
{
    struct prism_context_params p = *given;
    struct prism_model_info info;
    struct prism_error err;
    prism_context *ctx;

    p.n_ctx = (uint32_t)n;
    p.attention.selector = "prism";
    p.attention.dense_tail = PRISM_NO_TAIL;
    prism_model_info(model, &info);
    c->n_vocab = info.n_vocab;
    if (prism_context_create(model, &p, &ctx, &err))
        fail_msg("%s", err.text);
    /* More than 16 rows leave the last layer, so that it selects as well: its mask covers all query blocks of the call. */
    struct prism_prefill_params pp = { .mask = compare, .mask_user = c, .logits = look_at_logits, .logits_user = c, .logits_from = n - 17 };
    if (prism_prefill(ctx, tokens, n, &pp, &err))
        fail_msg("%s", err.text);
    prism_context_free(ctx);
    assert_int_equal(atomic_load(&c->unsound), 0);
    print_message("compute %-4s blocks of %3u, p %.2f: %zu of %zu bits differ (%.4f %% equal), density %.4f; by layer:",
                  p.compute == PRISM_COMPUTE_F32 ? "f32" : "auto", p.attention.block, (double)p.attention.p_high, c->different, c->bits,
                  100 - 100 * (double)c->different / (double)c->bits, (double)c->chosen / (double)c->bits);
    for (size_t l = 0; l < 8; l++)
        print_message(" %zu", c->layer_different[l]);
    print_message("\n");
    assert_true((double)c->different <= allowed * (double)c->bits);
}

static void check_masks(const char *model_path, const char *golden_rel, const char *name, size_t n_tokens, uint32_t block, float p_band)
{
    const char *path = test_shared(golden_rel);
    struct prism_error err;
    struct prism_gguf *g;
    prism_model *model;
    size_t n, len;

    if (sanitized && n_tokens > 4096) {
        print_message("skipped: %zu tokens under a sanitizer\n", n_tokens);
        skip();
    }
    if (prism_gguf_open(path, (struct prism_log){ 0 }, &g, &err) || prism_model_load(model_path, NULL, &model, &err))
        fail_msg("%s", err.text);
    const struct prism_gguf_tensor *t = prism_gguf_tensor_find(g, name);
    if (!t)
        fail_msg("golden file lacks %s", name);
    int32_t *tokens = malloc(n_tokens * sizeof *tokens);
    char *text = test_read_file("models/persuasion.txt", &len);
    if (prism_tokenize(model, text, len, PRISM_ADD_SPECIAL, tokens, n_tokens, &n, &err))
        fail_msg("%s", err.text);
    assert_true(n >= n_tokens);
    for (int compute = 0; compute < (sanitized ? 1 : 2); compute++) {
        struct prism_context_params p = { .compute = (enum prism_compute)compute,
                                          .attention = { .block = block, .p_high = p_band, .p_low = p_band } };
        struct comparison c = { .expected = (const int8_t *)t->data, .n = (uint32_t)(n_tokens / block) };
        assert_int_equal(t->ne[0], c.n);
        assert_int_equal(t->n_bytes, t->ne[3] * t->ne[2] * c.n * c.n);
        check(model, tokens, n_tokens, &p, &c, compute == PRISM_COMPUTE_F32 ? 0.002 : 0.01);
        assert_true(c.bits == t->ne[3] * t->ne[2] * c.n * (c.n + 1) / 2);
    }
    free(text);
    free(tokens);
    prism_model_free(model);
    prism_gguf_close(g);
}

static void test_38m_b128(void **state)
{
    (void)state;
    check_masks("models/gutenberg-38m-q8_0.gguf", "golden/masks-38m-8192.gguf", "mask.b128_p95", 8192, 128, 0.95f);
}

static void test_38m_b64(void **state)
{
    (void)state;
    check_masks("models/gutenberg-38m-q8_0.gguf", "golden/masks-38m-8192.gguf", "mask.b64_p90", 8192, 64, 0.90f);
}

static void test_llama_b64(void **state)
{
    (void)state;
    check_masks("models/gutenberg-llama-16m-q8_0.gguf", "golden/masks-llama-4096.gguf", "mask.b64_p90", 4096, 64, 0.90f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama_b64),
        cmocka_unit_test(test_38m_b128),
        cmocka_unit_test(test_38m_b64),
    };
    return cmocka_run_group_tests_name("prism golden", tests, NULL, NULL);
}
