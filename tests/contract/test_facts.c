/* test_facts.c - what prism_model_info says of experts, windows and rotations, for every architecture of tests/support/tiny_family.c; no fact of
 * layers where there are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "src/gguf/gguf.h"
#include "tests/support/engine_test.h"

struct facts {
    const char *family;
    uint32_t n_expert, n_expert_used, n_ff_expert, n_ff_shared, window, n_window_layers, n_rot;
    float base, base_window;
};

/* Of files with 12 layers. */
static const struct facts families[] = {
    { "llama", 0, 0, 0, 0, 0, 0, 32, 10000, 10000 },     { "qwen2", 0, 0, 0, 0, 0, 0, 32, 10000, 10000 },
    { "qwen3", 0, 0, 0, 0, 0, 0, 32, 10000, 10000 },     { "mixtral", 6, 2, 32, 0, 0, 0, 32, 10000, 10000 },
    { "qwen2moe", 6, 2, 32, 64, 0, 0, 32, 10000, 10000 }, { "qwen3moe", 6, 2, 32, 0, 0, 0, 32, 10000, 10000 },
    { "qwen3vl", 0, 0, 0, 0, 0, 0, 32, 10000, 10000 },   { "qwen3vlmoe", 6, 2, 32, 0, 0, 0, 32, 10000, 10000 },
    { "gemma2", 0, 0, 0, 0, 16, 6, 32, 50000, 50000 },   { "gemma3", 0, 0, 0, 0, 16, 10, 32, 50000, 10000 },
    { "gpt-oss", 6, 2, 32, 0, 16, 6, 32, 10000, 10000 }, { "granitemoe", 6, 2, 32, 64, 0, 0, 32, 10000, 10000 },
    { "phi3", 0, 0, 0, 0, 0, 0, 24, 10000, 10000 },      { "qwen35", 0, 0, 0, 0, 0, 0, 8, 10000, 10000 },
    { "qwen35moe", 6, 2, 32, 64, 0, 0, 8, 10000, 10000 },
};

static struct tiny_model model_of(const struct facts *f)
{
    struct tiny_model t = tiny_family(f->family);
    t.n_layer = 12, t.rope_base = (double)f->base;
    return t;
}

static struct prism_model_info info_of(const prism_model *m)
{
    struct prism_model_info i;
    memset(&i, 0xA5, sizeof i);
    prism_model_info(m, &i);
    return i;
}

static void test_families(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof families / sizeof *families; k++) {
        const struct facts *f = &families[k];
        struct tiny_model t = model_of(f);
        prism_model *m = load_tiny(&t, "facts.gguf");
        struct prism_model_info i = info_of(m);
        struct facts found = { f->family, i.n_expert, i.n_expert_used, i.n_ff_expert, i.n_ff_shared, i.window, i.n_window_layers, i.n_rot,
                               i.rope_freq_base, i.rope_freq_base_window };
        if (memcmp(&found, f, offsetof(struct facts, base_window) + sizeof found.base_window)) /* without the padding */
            fail_msg("%s: %u experts, %u used, of %u, shared %u, window %u in %u layers, n_rot %u, bases %g and %g", f->family, i.n_expert,
                     i.n_expert_used, i.n_ff_expert, i.n_ff_shared, i.window, i.n_window_layers, i.n_rot, (double)i.rope_freq_base,
                     (double)i.rope_freq_base_window);
        prism_model_free(m);
    }
}

/* Heads of layers with and without windows, and layers without keys of their own: gemma4's; elsewhere all are alike. */
static void test_heads(void **state)
{
    (void)state;
    prism_model *m = load_model("tests/golden/arch/gemma4.gguf");
    struct prism_model_info i = info_of(m);

    assert_true(i.n_head == 4 && i.n_head_kv == 1 && i.head_dim == 24 && i.n_rot == 24 && i.n_ff == 24);
    assert_true(i.n_head_kv_window == 2 && i.head_dim_window == 16 && i.n_shared_kv == 2 && i.n_window_layers == 3);
    assert_string_equal(i.tokenizer, "gemma4");
    prism_model_free(m);
    struct tiny_model t = tiny_family("gemma3");
    m = load_tiny(&t, "heads.gguf");
    i = info_of(m);
    assert_true(i.n_head_kv_window == i.n_head_kv && i.head_dim_window == i.head_dim && i.head_dim == 32 && i.n_shared_kv == 0);
    prism_model_free(m);
}

/* A pattern decides, and a window that no layer has is none. */
static void test_patterns(void **state)
{
    (void)state;
    static const struct { uint32_t pattern, window, n_layers; } cases[] = { { 0, 16, 12 }, { 1, 0, 0 }, { 3, 16, 8 }, { 12, 16, 11 }, { 13, 16, 12 } };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct tiny_model t = model_of(&(struct facts){ .family = "gemma2", .base = 10000 });
        struct gb *g = tiny_build(&t);
        gb_u32(g, "gemma2.attention.sliding_window_pattern", cases[k].pattern);
        prism_model *m = load_built(g, "pattern.gguf");
        struct prism_model_info i = info_of(m);
        assert_int_equal(i.window, cases[k].window);
        assert_int_equal(i.n_window_layers, cases[k].n_layers);
        prism_model_free(m);
    }
}

/* A vocabulary alone has no layers to tell of. */
static void test_vocabulary(void **state)
{
    (void)state;
    struct tiny_model t = tiny_family("gpt-oss");
    struct prism_error err;
    prism_model *m;

    must(prism_model_load(tiny_write(&t, "words.gguf"), &(struct prism_model_params){ .vocab_only = true }, &m, &err), &err);
    struct prism_model_info i = info_of(m);
    assert_true(!i.n_expert && !i.n_expert_used && !i.n_ff_expert && !i.n_ff_shared && !i.window && !i.n_window_layers);
    assert_true(i.rope_freq_base == 0 && i.rope_freq_base_window == 0);
    prism_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families), cmocka_unit_test(test_heads), cmocka_unit_test(test_patterns), cmocka_unit_test(test_vocabulary),
    };
    return cmocka_run_group_tests_name("contract, facts", tests, NULL, NULL);
}
