/* test_prism_layers.c - Prism on queries and keys of two layers of the 38M model: the masks of a reference in double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "src/gguf/gguf.h"
#include "tests/support/data.h"
#include "tests/support/select_case.h"

static const struct prism_gguf_tensor *golden(const struct prism_gguf *g, const char *format, int layer, size_t block, int percent)
{
    char name[PRISM_GGUF_NAME];
    snprintf(name, sizeof name, format, layer, block, percent);
    const struct prism_gguf_tensor *t = prism_gguf_tensor_find(g, name);
    if (!t)
        fail_msg("golden file lacks %s", name);
    return t;
}

enum { GOLDEN_HEADS = 8, GOLDEN_KV_HEADS = 2, GOLDEN_D = 128, GOLDEN_TOKENS = 1500 };

static void load_golden(struct select_case *c, const struct prism_gguf *g, int layer)
{
    const struct prism_gguf_tensor *q = golden(g, "layer%d.q", layer, 0, 0), *k = golden(g, "layer%d.k", layer, 0, 0);
    assert_int_equal(q->n_bytes, 2 * GOLDEN_HEADS * GOLDEN_TOKENS * GOLDEN_D);
    assert_int_equal(k->n_bytes, 2 * GOLDEN_KV_HEADS * GOLDEN_TOKENS * GOLDEN_D);
    c->kernels->f16_to_f32(c->k, (const uint16_t *)(const void *)k->data, GOLDEN_KV_HEADS * GOLDEN_TOKENS * GOLDEN_D);
    for (size_t h = 0; h < GOLDEN_HEADS; h++)
        for (size_t t = 0; t < GOLDEN_TOKENS; t++)
            c->kernels->f16_to_f32(c->q + (t * GOLDEN_HEADS + h) * GOLDEN_D,
                                   (const uint16_t *)(const void *)q->data + (h * GOLDEN_TOKENS + t) * GOLDEN_D, GOLDEN_D);
}

static void check_golden(struct select_case *c, const struct prism_gguf *g, int layer, int percent)
{
    const struct prism_gguf_tensor *mask = golden(g, "layer%d.mask.b%zu.p%d", layer, c->block, percent);
    size_t n = (c->n_tokens + c->block - 1) / c->block, different = 0, bits = GOLDEN_HEADS * n * (n + 1) / 2;

    assert_int_equal(mask->n_bytes, GOLDEN_HEADS * n * n);
    c->params.p_high = c->params.p_low = percent / 100.0;
    assert_true(select_case_run(c, select_case_find("prism"), 0, c->n_tokens, 1));
    for (size_t h = 0; h < GOLDEN_HEADS; h++)
        for (size_t u = 0; u < n; u++)
            for (size_t v = 0; v <= u; v++)
                different += select_case_bit(c, h, u, v) != (mask->data[(h * n + u) * n + v] != 0);
    print_message("%-12s layer %d, blocks of %zu, p %.2f: %zu of %zu bits differ\n", c->kernels->name, layer, c->block, percent / 100.0,
                  different, bits);
    assert_true(different * 1000 <= bits);
}

static void test_golden(void **state)
{
    (void)state;
    const char *path = test_shared("golden/selection-1500.gguf");
    struct prism_error err;
    struct prism_gguf *g;

    if (prism_gguf_open(path, (struct prism_log){ 0 }, &g, &err))
        fail_msg("%s", err.text);
    for (int layer = 1; layer <= 4; layer += 3)
        for (size_t block = 64; block <= 128; block *= 2) {
            struct select_case c = { .n_head = GOLDEN_HEADS, .n_head_kv = GOLDEN_KV_HEADS, .d = GOLDEN_D, .block = block,
                                     .n_tokens = GOLDEN_TOKENS };
            select_case_open(&c, 1);
            load_golden(&c, g, layer);
            for (int best = 0; best < 2; best++) {
                c.kernels = prism_kernels_by_level[best ? prism_level_best() : PRISM_LEVEL_GENERIC];
                check_golden(&c, g, layer, 80);
                check_golden(&c, g, layer, 95);
            }
            select_case_free(&c);
        }
    prism_gguf_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_golden) };
    return cmocka_run_group_tests_name("prism on layers of a model", tests, NULL, NULL);
}
