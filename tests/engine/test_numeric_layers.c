/* test_numeric_layers.c - values that are not finite in the parts that only some architectures have: routers, experts, shared experts, norms behind
 * the halves, sinks, caps. PRISM_E_NUMERIC and where, at every level; never a finite logit that is wrong. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/engine/context.h"
#include "tests/support/engine_test.h"
#include "tests/support/near.h"
#include "tests/support/numeric_case.h"

enum { N = NUMERIC_TOKENS, N_EXPERT = 6, N_USED = 2 };

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const float bad[] = { NAN, INFINITY, -INFINITY };

static struct tiny_model plain(const char *family)
{
    struct tiny_model t = tiny_family(family);
    t.type = t.output_type = PRISM_F32;
    t.untied = true;
    return t;
}

static struct gb *poked(const char *family, const char *tensor, size_t index, float value)
{
    struct tiny_model t = plain(family);
    struct gb *g = tiny_build(&t);
    numeric_poke(g, tensor, index, value);
    return g;
}

/* ---- what every row meets ---- */

static void test_every_row(void **state)
{
    (void)state;
    static const struct {
        const char *family, *tensor;
        size_t index;
        const char *text;
    } cases[] = {
        { "qwen3moe", "blk.0.ffn_gate_inp.weight", 64 * 3 + 5, "layer 0: the router's output at position 0 is not finite" },
        { "qwen3moe", "blk.1.ffn_gate_inp.weight", 64 * 5 + 63, "layer 1: the router's output at position " },
        { "gpt-oss", "blk.0.ffn_gate_inp.bias", 4, "layer 0: the router's output at position 0 is not finite" },
        { "qwen2moe", "blk.0.ffn_gate_inp_shexp.weight", 9, "layer 0: the router's output at position 0 is not finite" },
        { "qwen2moe", "blk.0.ffn_down_shexp.weight", 70, "layer 0: the output at position 0 is not finite" },
        { "granitemoe", "blk.0.ffn_up_shexp.weight", 70, "layer 0: the output at position 0 is not finite" },
        { "gpt-oss", "blk.0.attn_sinks.weight", 1, "layer 0: attention's output at position 0 is not finite" }, /* -infinity: test_sinks */
        { "gpt-oss", "blk.0.attn_output.bias", 7, "layer 0: attention's output at position 0 is not finite" },
        { "gpt-oss", "blk.0.post_attention_norm.weight", 7, "layer 0: the router's output at position 0 is not finite" },
        { "gemma2", "blk.0.attn_output.weight", 64 * 2 + 3, "layer 0: attention's output at position 0 is not finite" },
        { "gemma2", "blk.0.ffn_down.weight", 3, "layer 0: the FFN's output at position 0 is not finite" },
        { "gemma3", "blk.0.ffn_up.weight", 64 * 7 + 3, "layer 0: the FFN's output at position 0 is not finite" },
        { "gemma3", "blk.1.ffn_gate.weight", 64 * 7 + 3, "layer 1: the FFN's output at position " },
        { "gemma3", "blk.0.post_attention_norm.weight", 7, "layer 0: attention's output at position 0 is not finite" },
        { "gemma3", "blk.0.post_ffw_norm.weight", 7, "layer 0: the output at position 0 is not finite" },
        { "gemma3", "blk.1.post_ffw_norm.weight", 0, "layer 1: the output at position " },
        { "phi3", "blk.0.ffn_up.weight", 64 * 130 + 3, "layer 0: the output at position 0 is not finite" },
        { "gemma2", "output.weight", 70, "logits at position " }, /* the cap of an infinity is finite */
        { "granite", "output.weight", 70, "logits at position " },
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t b = 0; b < COUNT(bad); b++)
            if (bad[b] != -INFINITY || !strstr(cases[i].tensor, "sinks"))
                numeric_check_failure(poked(cases[i].family, cases[i].tensor, cases[i].index, bad[b]), PRISM_KV_F32, cases[i].text);
}

/* Finite, but its square is not: the norm would make zeros of the others. */
static void test_squares(void **state)
{
    (void)state;
    numeric_check_failure(poked("gemma2", "blk.0.attn_output.weight", 3, 3e24f), PRISM_KV_F32, "layer 0: attention's output at position ");
    numeric_check_failure(poked("gemma3", "blk.0.ffn_down.weight", 3, 3e24f), PRISM_KV_F32, "layer 0: the FFN's output at position ");
}

/* ---- sinks ---- */

/* Logits of all rows; what[0]: of the model with other sinks, what[1]: of the model that it must equal. */
struct pair {
    prism_model *other, *same;
    double bound;
};

static void expect_same(prism_context *c, const void *arg)
{
    const struct pair *p = arg;
    static const size_t lengths[] = { N, 20, 1 };
    int32_t tokens[N];
    size_t n_vocab = p->same->n_vocab;
    struct prism_context_params params = { .n_ctx = N, .level = 0, .compute = c->compute, .kv_type = PRISM_KV_F32, .n_threads = 1 };
    struct prism_error err;

    make_tokens(tokens, N, (uint32_t)n_vocab);
    for (int level = 0; level < prism_level_count(); level++)
        params.level = strcmp(prism_level_name(level), c->plan.level) == 0 ? level + 1 : params.level;
    prism_context *same = make_context(p->same, &params);
    for (size_t i = 0; i < COUNT(lengths); i++) {
        float *found = all_logits(c, tokens, lengths[i], n_vocab), *expected = all_logits(same, tokens, lengths[i], n_vocab);
        assert_sound(found, lengths[i], n_vocab);
        assert_within(largest_difference_f32(found, expected, lengths[i] * n_vocab), p->bound, c->plan.level);
        must(prism_truncate(c, 0, &err), &err), must(prism_truncate(same, 0, &err), &err);
        free(found), free(expected);
    }
    prism_context_free(same);
}

/* -infinity is no sink; the largest float takes all of the softmax, so that nothing is left of the values. */
static void test_sinks(void **state)
{
    (void)state;
    static const float ends[] = { -INFINITY, FLT_MAX };

    for (size_t i = 0; i < COUNT(ends); i++) {
        struct tiny_model t = plain("gpt-oss");
        struct gb *g = tiny_build(&t), *h = tiny_build(&t);
        char name[64];
        for (int l = 0; l < 2; l++) {
            snprintf(name, sizeof name, "blk.%d.attn_sinks.weight", l);
            for (size_t k = 0; k < t.n_head; k++)
                numeric_poke(g, name, k, ends[i]);
            snprintf(name, sizeof name, "blk.%d.attn_output.weight", l);
            struct gb_tensor *o = gb_tensor(h, name);
            if (ends[i] > 0)
                memset(o->data, 0, o->n_bytes);
        }
        struct pair p = { load_built(g, "sinks.gguf"), load_built(h, "none.gguf"), 0 };
        for (uint32_t l = 0; l < 2; l++)
            p.same->layers[l].attn.sinks = NULL;
        numeric_each_level(p.other, (struct prism_context_params){ .n_ctx = N, .kv_type = PRISM_KV_F32 }, expect_same, &p);
        prism_model_free(p.other);
        prism_model_free(p.same);
    }
}

/* ---- experts: only the rows that one of them takes ---- */

/* One layer, so that its routes stay in the context after a call. */
static struct gb *one_layer(const char *family)
{
    struct tiny_model t = plain(family);
    t.n_layer = 1;
    return tiny_build(&t);
}

static bool takes(const prism_context *c, size_t row, uint32_t expert)
{
    bool found = false;
    for (size_t k = 0; k < N_USED; k++)
        found |= c->routes.expert[row * N_USED + k] == expert;
    return found;
}

struct damaged {
    prism_model *clean, *bad;
    uint32_t expert;
};

static int32_t tokens[N];

static void expect_numeric(enum prism_status status, const struct prism_error *err, size_t position, const char *level)
{
    char text[80];

    assert_int_equal(status, PRISM_E_NUMERIC);
    snprintf(text, sizeof text, "layer 0: the output at position %zu is not finite", position);
    if (!strstr(err->text, text))
        fail_msg("level %s: expected \"%s\", found \"%s\"", level, text, err->text);
}

/* n rows at once: fails at the first that the expert takes; the rows before it, and a last row that it does not take, have the bits of the
 * clean model. */
static void many(prism_context *c, prism_context *worse, const struct damaged *d, size_t n)
{
    size_t n_vocab = d->clean->n_vocab, first = 0, other = n - 1;
    struct prism_error err;
    struct numeric_rows rows = { .n_vocab = n_vocab };
    float *clean = all_logits(c, tokens, n, n_vocab);

    while (first < n && !takes(c, first, d->expert))
        first++;
    while (other > first && takes(c, other, d->expert))
        other--;
    assert_in_range(first, 1, n - 1);
    assert_true(other > first);
    must(prism_truncate(c, 0, &err), &err);
    expect_numeric(prism_prefill(worse, tokens, n, &(struct prism_prefill_params){ .logits = numeric_keep_rows, .logits_user = &rows }, &err), &err, first,
                   c->plan.level);
    assert_int_equal(rows.n_bad, 0);
    assert_int_equal(prism_length(worse), 0);
    free(clean);

    clean = all_logits(c, tokens, first, n_vocab);
    float *good = all_logits(worse, tokens, first, n_vocab);
    assert_sound(good, first, n_vocab);
    assert_memory_equal(good, clean, first * n_vocab * sizeof *good);
    must(prism_truncate(c, 0, &err), &err), must(prism_truncate(worse, 0, &err), &err);
    must(prism_prefill(c, tokens, other + 1, NULL, &err), &err);
    must(prism_prefill(worse, tokens, other + 1, NULL, &err), &err);
    assert_sound(prism_logits(worse), 1, n_vocab);
    assert_memory_equal(prism_logits(worse), prism_logits(c), n_vocab * sizeof *good);
    must(prism_truncate(c, 0, &err), &err), must(prism_truncate(worse, 0, &err), &err);
    free(clean), free(good);
}

static void one_by_one(prism_context *c, prism_context *worse, const struct damaged *d)
{
    struct prism_error err;
    size_t failed = 0;

    for (size_t i = 0; i < 20 && !failed; i++) {
        must(prism_decode(c, tokens[i], &err), &err);
        enum prism_status status = prism_decode(worse, tokens[i], &err);
        if (takes(c, 0, d->expert)) {
            expect_numeric(status, &err, i, c->plan.level);
            failed = i;
        } else {
            must(status, &err);
            assert_memory_equal(prism_logits(worse), prism_logits(c), d->clean->n_vocab * sizeof(float));
        }
    }
    assert_true(failed > 0);
    must(prism_truncate(c, 0, &err), &err);
}

static void expect_one_expert(prism_context *worse, const void *arg)
{
    const struct damaged *d = arg;
    struct prism_context_params params = { .n_ctx = N, .compute = worse->compute, .kv_type = PRISM_KV_F32, .n_threads = 1 };

    for (int level = 0; level < prism_level_count(); level++)
        params.level = strcmp(prism_level_name(level), worse->plan.level) == 0 ? level + 1 : params.level;
    prism_context *c = make_context(d->clean, &params);
    many(c, worse, d, N);
    many(c, worse, d, 20);
    one_by_one(c, worse, d);
    prism_context_free(c);
}

/* An expert that some of the first 20 rows take, not the first one. */
static uint32_t pick_expert(prism_model *m)
{
    prism_context *c = make_context(m, &(struct prism_context_params){ .n_ctx = N, .compute = PRISM_COMPUTE_F32, .n_threads = 1 });
    uint32_t picked = N_EXPERT;

    free(all_logits(c, tokens, 20, m->n_vocab));
    for (uint32_t e = 0; e < N_EXPERT; e++)
        for (size_t row = 3; row < 15; row++)
            if (takes(c, row, e) && !takes(c, 0, e))
                picked = e;
    assert_true(picked < N_EXPERT);
    prism_context_free(c);
    return picked;
}

static void test_one_expert(void **state)
{
    (void)state;
    static const struct {
        const char *family, *tensor;
        size_t slab, index; /* floats of an expert, and which of them */
    } cases[] = {
        { "qwen3moe", "blk.0.ffn_gate_exps.weight", 64 * 32, 64 * 31 + 63 }, { "qwen3moe", "blk.0.ffn_up_exps.weight", 64 * 32, 0 },
        { "mixtral", "blk.0.ffn_down_exps.weight", 64 * 32, 32 * 9 + 30 },   { "qwen2moe", "blk.0.ffn_down_exps.weight", 64 * 32, 0 },
        { "gpt-oss", "blk.0.ffn_gate_exps.weight", 64 * 32, 64 * 3 },        { "gpt-oss", "blk.0.ffn_up_exps.weight", 64 * 32, 70 },
        { "gpt-oss", "blk.0.ffn_gate_exps.bias", 32, 31 },                   { "gpt-oss", "blk.0.ffn_up_exps.bias", 32, 0 },
        { "gpt-oss", "blk.0.ffn_down_exps.bias", 64, 63 },                   { "granitemoe", "blk.0.ffn_up_exps.weight", 64 * 32, 1 },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct damaged d = { .clean = load_built(one_layer(cases[i].family), "clean.gguf") };
        make_tokens(tokens, N, d.clean->n_vocab);
        d.expert = pick_expert(d.clean);
        for (size_t b = 0; b < COUNT(bad); b++) {
            struct gb *g = one_layer(cases[i].family);
            numeric_poke(g, cases[i].tensor, d.expert * cases[i].slab + cases[i].index, bad[b]);
            d.bad = load_built(g, "bad.gguf");
            numeric_each_level(d.bad, (struct prism_context_params){ .n_ctx = N, .kv_type = PRISM_KV_F32 }, expect_one_expert, &d);
            prism_model_free(d.bad);
        }
        prism_model_free(d.clean);
    }
}

/* A bias of the choice that is not finite would hide its expert, or prefer it always. */
static void test_choice_bias(void **state)
{
    (void)state;
    struct tiny_model t = plain("qwen3moe");
    prism_model *m = load_tiny(&t, "choice.gguf");

    for (size_t b = 0; b < COUNT(bad); b++) {
        const float bias[N_EXPERT] = { 0, 0.1f, bad[b], 0, 0, 0 };
        m->layers[0].ffn.experts.choice_bias = bias;
        numeric_each_level(m, (struct prism_context_params){ .n_ctx = N, .kv_type = PRISM_KV_F32 }, numeric_expect_failure,
                           &(struct numeric_expected){ m, "layer 0: the router's output at position 0", 0 });
    }
    prism_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row), cmocka_unit_test(test_squares),     cmocka_unit_test(test_sinks),
        cmocka_unit_test(test_one_expert), cmocka_unit_test(test_choice_bias),
    };
    return cmocka_run_group_tests_name("numeric, layers", tests, NULL, NULL);
}
