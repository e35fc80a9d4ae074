/* test_families.c - a small model of each architecture that tests can build (tests/support/tiny_family.c) loads without a word, says what it is, and runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/engine/context.h"
#include "tests/support/engine_test.h"
#include "tests/support/hostile.h"
#include "tests/support/near.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void test_families(void **state)
{
    (void)state;
    static const size_t lengths[] = { 1, 20 };

    for (size_t i = 0; i <= prism_n_archs; i++) {
        const char *name = i < prism_n_archs ? prism_archs[i]->name : "mixtral";
        if (i < prism_n_archs && !tiny_has_family(name))
            continue; /* tests/engine/test_architectures.c has a golden file */
        struct tiny_model t = tiny_family(name);
        struct gb *g = tiny_build(&t);
        hostile_load_quietly(g, name);
        prism_model *m = load_built(g, "family.gguf");
        struct prism_model_info info;
        int32_t tokens[20];

        prism_model_info(m, &info);
        assert_int_equal(info.n_expert, t.n_expert);
        assert_int_equal(info.n_expert_used, t.n_expert_used);
        assert_int_equal(info.n_ff_expert, t.n_ff_expert);
        assert_int_equal(info.n_ff_shared, t.n_ff_shared);
        assert_int_equal(info.window, t.window);
        make_tokens(tokens, 20, info.n_vocab);
        for (size_t k = 0; k < COUNT(lengths); k++) {
            prism_context *c = make_context(m, &(struct prism_context_params){ .n_ctx = 32, .n_threads = 1 });
            float *logits = all_logits(c, tokens, lengths[k], info.n_vocab);
            assert_sound(logits, lengths[k], info.n_vocab);
            free(logits);
            prism_context_free(c);
        }
        prism_model_free(m);
    }
}

/* As many experts as there may be, in a model so narrow that nothing else asks for much scratch. */
static void test_most_experts(void **state)
{
    (void)state;
    struct tiny_model t = tiny_family("qwen3moe");
    int32_t tokens[20];

    t.n_layer = 1, t.n_embd = 8, t.head_dim = 8, t.n_ff = 8, t.type = t.output_type = PRISM_F32;
    t.n_expert = 4096, t.n_expert_used = 9, t.n_ff_expert = 1;
    prism_model *m = load_tiny(&t, "most.gguf");
    make_tokens(tokens, 20, m->n_vocab);
    prism_context *c = make_context(m, &(struct prism_context_params){ .n_ctx = 20, .n_threads = 2, .attention = { .block = 32 } });
    assert_true(c->thread_bytes >= t.n_expert * sizeof(double));
    float *logits = all_logits(c, tokens, 20, m->n_vocab);
    assert_sound(logits, 20, m->n_vocab);
    free(logits);
    prism_context_free(c);
    prism_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_families), cmocka_unit_test(test_most_experts) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
