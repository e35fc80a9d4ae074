/* test_prism_pooling.c - what the engine pools, call by call, against pooling its own cache anew (tests/support/select_case.c).
 *
 * Queries are not kept by the engine, so this model's queries equal its keys: same weights, same norms, as many heads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "src/engine/context.h"
#include "tests/support/engine_test.h"
#include "tests/support/near.h"
#include "tests/support/select_case.h"

enum { HEADS = 3, D = 64, MAX_TOKENS = 700 };

static void copy_tensor(struct gb *g, const char *to, const char *from)
{
    struct gb_tensor *a = gb_tensor(g, to), *b = gb_tensor(g, from);
    assert_int_equal(a->n_bytes, b->n_bytes);
    memcpy(a->data, b->data, a->n_bytes);
}

static prism_model *make_model(void)
{
    struct tiny_model t = tiny_qwen3();

    t.n_layer = 1, t.n_head = t.n_head_kv = HEADS, t.head_dim = D;
    struct gb *g = tiny_build(&t);
    copy_tensor(g, "blk.0.attn_q.weight", "blk.0.attn_k.weight");
    copy_tensor(g, "blk.0.attn_q_norm.weight", "blk.0.attn_k_norm.weight");
    return load_built(g, "pooling.gguf");
}

/* The mask of a call, or none. */
struct call {
    size_t n_vocab, n_words;
    uint64_t *bits;
};

static void keep_mask(void *user, const struct prism_attention_mask *m)
{
    struct call *c = user;
    c->n_words = m->n_head * m->n_rows * m->n_words;
    c->bits = malloc(c->n_words * sizeof *c->bits);
    memcpy(c->bits, m->bits, c->n_words * sizeof *c->bits);
}

/* One thread. Asked for, so that the only layer attends with every row. */
static void look_at_logits(void *user, size_t row, size_t n_rows, const float *logits)
{
    (void)row;
    assert_sound(logits, n_rows, ((struct call *)user)->n_vocab);
}

static void load_cache(struct select_case *c, const prism_context *ctx)
{
    const struct prism_kv_view kv = prism_kv_view(ctx, 0, 1);

    for (size_t h = 0; h < HEADS; h++)
        for (size_t t = 0; t < c->n_tokens; t++) {
            const void *row = prism_view_key(&kv, h, t);
            memcpy(c->k + (h * c->n_tokens + t) * D, row, D * sizeof(float));
            memcpy(c->q + (t * HEADS + h) * D, row, D * sizeof(float));
        }
}

/* Calls end before token ends[i]; ends[n_calls - 1] is the last. Both sides add the same rows in the same order: the same bits. */
static void check(const prism_model *m, const size_t *ends, size_t n_calls, uint32_t block, bool causal)
{
    struct select_case c = { .n_head = HEADS, .n_head_kv = HEADS, .d = D, .block = block, .n_tokens = ends[n_calls - 1] };
    struct prism_context_params p = { .n_ctx = MAX_TOKENS, .n_threads = 1, .compute = PRISM_COMPUTE_F32, /* auto: finer keys */
                                      .attention = { .selector = "prism", .block = block, .p_high = 0.5f, .p_low = 0.5f,
                                                     .causal_energy = causal } };
    struct call calls[8] = { 0 };
    int32_t tokens[MAX_TOKENS];
    struct prism_error err;

    for (size_t i = 0; i < MAX_TOKENS; i++)
        tokens[i] = (int32_t)(i * i * 2654435761u >> 7 & 255);
    prism_context *ctx = make_context(m, &p);
    for (size_t i = 0; i < n_calls; i++) {
        struct prism_prefill_params pp = { .mask = keep_mask, .mask_user = &calls[i], .logits = look_at_logits, .logits_user = &calls[i] };
        size_t from = i ? ends[i - 1] : 0;
        calls[i].n_vocab = m->n_vocab;
        must(prism_prefill(ctx, tokens + from, ends[i] - from, &pp, &err), &err);
    }
    select_case_open(&c, 1);
    load_cache(&c, ctx);
    c.kernels = ctx->kernels;
    c.params.p_high = c.params.p_low = 0.5;
    c.params.energy = causal ? PRISM_ENERGY_CAUSAL : PRISM_ENERGY_GLOBAL;
    for (size_t i = 0; i < n_calls; i++) {
        size_t bytes;
        assert_true(select_case_run(&c, select_case_find("prism"), i ? ends[i - 1] : 0, ends[i], 1));
        uint64_t *want = select_case_copy(&c, &bytes);
        assert_int_equal(calls[i].bits != NULL, ends[i] - (i ? ends[i - 1] : 0) > 16);
        if (calls[i].bits) {
            assert_int_equal(calls[i].n_words * sizeof *want, bytes);
            assert_memory_equal(calls[i].bits, want, bytes);
        }
        free(want);
        free(calls[i].bits);
    }
    select_case_free(&c);
    prism_context_free(ctx);
}

static void test_calls(void **state)
{
    (void)state;
    static const struct { size_t ends[5], n; } cases[] = {
        { { 699 }, 1 },                     /* the last block is partial */
        { { 256, 512 }, 2 },
        { { 150, 217, 400, 417, 690 }, 5 }, /* calls begin and end inside blocks */
        { { 20, 40, 60, 79, 640 }, 5 },     /* one block of several calls */
        { { 5, 21, 100, 101, 700 }, 5 },    /* some calls are too short to select */
        { { 20, 48, 64, 90 }, 4 },          /* such a call alone holds a block of 32, and no block is full */
    };
    prism_model *m = make_model();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (uint32_t block = 32; block <= 256; block *= 2)
            for (int causal = 0; causal < 2; causal++)
                check(m, cases[i].ends, cases[i].n, block, causal);
    prism_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_calls) };
    return cmocka_run_group_tests_name("prism pooling", tests, NULL, NULL);
}
