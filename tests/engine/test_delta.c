/* test_delta.c - models with delta nets, whose layers have a state in place of keys: what calls, cuts, clones and session files do with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/engine/context.h"
#include "src/session/session.h"
#include "tests/support/engine_test.h"
#include "tests/support/near.h"
#include "tests/support/session_file.h"

enum { MAX = 1300, CTX = 2048, BLOCK = 64 };

static struct {
    prism_model *model;
    uint32_t n_vocab;
    int32_t tokens[MAX];
    size_t layer_floats; /* of a state */
} the;

static int set_up(void **state)
{
    (void)state;
    struct tiny_model t = tiny_family("qwen35");
    t.n_layer = 4, t.n_ctx = CTX;
    the.model = load_tiny(&t, "delta.gguf");
    the.n_vocab = the.model->n_vocab;
    the.layer_floats = prism_delta_floats(&the.model->layers[0].delta);
    make_tokens(the.tokens, MAX, the.n_vocab);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    prism_model_free(the.model);
    return 0;
}

static prism_context *dense(void)
{
    return make_context(the.model, &(struct prism_context_params){ .n_ctx = CTX, .n_threads = 2, .attention = { .selector = "dense", .block = BLOCK } });
}

static void prefill(prism_context *c, size_t from, size_t to)
{
    struct prism_error err;
    must(prism_prefill(c, the.tokens + from, to - from, NULL, &err), &err);
}

static float *logits_of(const prism_context *c)
{
    float *x = malloc(the.n_vocab * sizeof *x);
    assert_non_null(prism_logits(c));
    memcpy(x, prism_logits(c), the.n_vocab * sizeof *x);
    return x;
}

static void assert_logits(const prism_context *c, const float *want) { assert_memory_equal(prism_logits(c), want, the.n_vocab * sizeof *want); }

/* After n tokens in one call. */
static float *fresh(size_t n)
{
    prism_context *c = dense();
    prefill(c, 0, n);
    float *x = logits_of(c);
    prism_context_free(c);
    return x;
}

static void refused(prism_context *c, size_t n, const char *text)
{
    struct prism_error err;
    size_t length = prism_length(c);

    assert_int_equal(prism_truncate(c, n, &err), PRISM_E_UNSUPPORTED);
    if (!strstr(err.text, text))
        fail_msg("%s", err.text);
    assert_int_equal(prism_length(c), length);
}

static void cut(prism_context *c, size_t n)
{
    struct prism_error err;
    must(prism_truncate(c, n, &err), &err);
    assert_int_equal(prism_length(c), n);
    assert_true(n > 0 || !prism_logits(c));
}

/* ---- calls ---- */

/* The same bits wherever calls of more than a few tokens began, if it was where a chunk does: also across slabs, of 512 tokens and shorter ones. */
static void test_grid(void **state)
{
    (void)state;
    static const size_t lengths[] = { 100, 512, 513, 528, 529, 576, 1100, 1300 }, cuts[] = { 64, 448, 512, 576, 1024 };

    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        float *want = fresh(lengths[l]);
        for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
            if (cuts[i] + 17 > lengths[l])
                continue;
            prism_context *c = dense();
            prefill(c, 0, cuts[i]);
            prefill(c, cuts[i], lengths[l]);
            assert_logits(c, want);
            prism_context_free(c);
        }
        free(want);
    }
}

/* A call from inside a chunk has the chunks of others from its next multiple of 64 on, so that a cut there changes nothing either. */
static void test_off_grid(void **state)
{
    (void)state;
    prism_context *c = dense(), *d = dense();

    prefill(c, 0, 32);
    prefill(c, 32, 1200);
    prefill(d, 0, 32);
    prefill(d, 32, 576);
    prefill(d, 576, 1200);
    assert_logits(c, prism_logits(d));
    prism_context_free(c);
    prism_context_free(d);
}

/* Calls that begin inside chunks, and tokens one by one: near the whole. */
static void test_pieces(void **state)
{
    (void)state;
    static const size_t pieces[] = { 1, 5, 40, 63, 65, 200 };
    struct prism_context_params p = { .n_ctx = CTX, .n_threads = 2, .compute = PRISM_COMPUTE_F32 };
    prism_context *whole = make_context(the.model, &p);

    prefill(whole, 0, 650);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        prism_context *c = make_context(the.model, &p);
        for (size_t at = 0; at < 650; at += pieces[i])
            prefill(c, at, at + pieces[i] < 650 ? at + pieces[i] : 650);
        assert_within(largest_difference_f32(prism_logits(c), prism_logits(whole), the.n_vocab), 1e-4, "pieces");
        prism_context_free(c);
    }
    prism_context_free(whole);
}

/* A last layer with a state: one row of it, or all. */
static void test_last_layer(void **state)
{
    (void)state;
    struct tiny_model t = tiny_family("qwen35");
    t.n_layer = 3;
    prism_model *m = load_tiny(&t, "last.gguf");
    struct prism_context_params p = { .n_ctx = CTX, .n_threads = 2, .compute = PRISM_COMPUTE_F32 };
    struct prism_error err;

    for (size_t n = 1; n <= 641; n += 320) {
        prism_context *c = make_context(m, &p), *d = make_context(m, &p);
        float *all = all_logits(c, the.tokens, n, the.n_vocab);
        must(prism_prefill(d, the.tokens, n, NULL, &err), &err);
        assert_within(largest_difference_f32(prism_logits(d), all + (n - 1) * the.n_vocab, the.n_vocab), 1e-5, "the last row");
        free(all);
        prism_context_free(c);
        prism_context_free(d);
    }
    prism_model_free(m);
}

static int stop_soon(void *user, const struct prism_progress *p)
{
    (void)user;
    return p->done * 3 > p->total;
}

/* A call that is cancelled has changed nothing. */
static void test_cancelled(void **state)
{
    (void)state;
    prism_context *c = dense(), *d = dense();
    struct prism_error err;

    prefill(c, 0, 200);
    prefill(d, 0, 200);
    float *before = logits_of(c);
    assert_int_equal(prism_prefill(c, the.tokens + 200, 600, &(struct prism_prefill_params){ .progress = stop_soon }, &err), PRISM_E_CANCELLED);
    assert_int_equal(prism_length(c), 200);
    assert_logits(c, before);
    prefill(c, 200, 450);
    prefill(d, 200, 450);
    assert_logits(c, prism_logits(d));
    free(before);
    prism_context_free(c);
    prism_context_free(d);
}

/* Some layers only, taken away again. */
static void test_some_layers(void **state)
{
    (void)state;
    prism_context *c = dense();
    struct prism_error err;
    float *want = fresh(300);

    prefill(c, 0, 128);
    must(prism_prefill(c, the.tokens + 500, 300, &(struct prism_prefill_params){ .n_layers = 3 }, &err), &err);
    cut(c, 128);
    prefill(c, 128, 300);
    assert_logits(c, want);
    free(want);
    prism_context_free(c);
}

/* ---- cuts ---- */

/* A context can be cut to 0, to its length, and to where a call ended or left its mark. */
static void test_cuts(void **state)
{
    (void)state;
    prism_context *c = dense();
    float *want = fresh(300);

    prefill(c, 0, 300); /* the mark: the last chunk's end with more than 16 tokens behind it */
    refused(c, 299, "truncate: to 299 of 300 tokens: layers with a state in place of keys have kept that of 0 and of 256");
    refused(c, 1, "256");
    cut(c, 300);
    assert_logits(c, want);
    cut(c, 256);
    prefill(c, 256, 300);
    assert_logits(c, want);
    cut(c, 0);
    prefill(c, 0, 300);
    assert_logits(c, want);
    prefill(c, 300, 310);
    cut(c, 300);
    cut(c, 256);
    refused(c, 64, "256 tokens: layers with a state in place of keys have kept that of 0 and of 0");
    free(want);
    prism_context_free(c);
}

/* A state that long calls led to stays while short calls come and go: here the first mark, 64 tokens behind which nothing else is needed. */
static void test_long_stay(void **state)
{
    (void)state;
    prism_context *c = dense();

    prefill(c, 0, 1024);
    prefill(c, 1024, 1100);
    for (size_t at = 1100; at < 1140; at++)
        prefill(c, at, at + 1);
    cut(c, 960);
    prefill(c, 960, 1100);
    float *want = fresh(1100);
    assert_logits(c, want);
    free(want);
    prism_context_free(c);
}

/* ---- questions about a document ---- */

static void ask(prism_context *c, const int32_t *tokens, size_t n, size_t document, size_t expected)
{
    struct prism_error err;
    size_t reused;

    must(prism_prefill_to(c, tokens, n, &(struct prism_prefill_params){ .cut = document }, &reused, &err), &err);
    assert_int_equal(reused, expected);
    prism_context *d = dense();
    must(prism_prefill(d, tokens, n, NULL, &err), &err);
    assert_logits(c, prism_logits(d));
    prism_context_free(d);
}

static void test_questions(void **state)
{
    (void)state;
    enum { DOCUMENT = 700, KEPT = DOCUMENT / BLOCK * BLOCK };
    int32_t other[MAX];
    prism_context *c = dense();
    struct prism_error err;

    memcpy(other, the.tokens, sizeof other);
    for (size_t i = DOCUMENT; i < MAX; i++)
        other[i] = (int32_t)(((uint32_t)the.tokens[i] + 1) % the.n_vocab);
    ask(c, the.tokens, 800, DOCUMENT, 0);
    for (int i = 0; i < 40; i++) /* an answer */
        must(prism_decode(c, the.tokens[800 + i], &err), &err);
    ask(c, other, 790, DOCUMENT, KEPT);
    for (int i = 0; i < 40; i++)
        must(prism_decode(c, other[800 + i], &err), &err);
    ask(c, the.tokens, 720, DOCUMENT, KEPT);
    ask(c, the.tokens, 720, DOCUMENT, 720);
    ask(c, the.tokens, 300, 0, 0); /* shorter than any state: from the beginning */
    ask(c, the.tokens, 350, 0, 256); /* the mark of that */
    prism_context_free(c);
}

/* At least 17 tokens are prefilled, also of a question of three: what the first leaves serves that as well. */
static void test_short_question(void **state)
{
    (void)state;
    int32_t other[MAX];
    prism_context *c = dense();

    memcpy(other, the.tokens, sizeof other);
    other[709] = (int32_t)(((uint32_t)other[709] + 1) % the.n_vocab);
    ask(c, the.tokens, 800, 709, 0);
    ask(c, other, 712, 709, 640);
    prism_context_free(c);
}

/* All that is common, whatever made it, where a state is. */
static void test_reuse_all(void **state)
{
    (void)state;
    prism_context *c = dense();
    struct prism_error err;
    size_t reused;

    prefill(c, 0, 150);
    prefill(c, 150, 151);
    must(prism_prefill_to(c, the.tokens, 180, &(struct prism_prefill_params){ .reuse = PRISM_REUSE_ALL }, &reused, &err), &err);
    assert_int_equal(reused, 151);
    must(prism_prefill_to(c, the.tokens, 170, &(struct prism_prefill_params){ .reuse = PRISM_REUSE_ALL }, &reused, &err), &err);
    assert_int_equal(reused, 151);
    prism_context_free(c);
}

/* With blocks of half a chunk what counts is where chunks begin: a call from the middle of one gives other bits, and leaves nothing that is exact. */
static void test_small_blocks(void **state)
{
    (void)state;
    struct prism_context_params p = { .n_ctx = CTX, .n_threads = 2, .attention = { .selector = "dense", .block = 32 } };
    prism_context *c = make_context(the.model, &p), *d = make_context(the.model, &p);
    struct prism_error err;
    size_t reused;

    prefill(c, 0, 96);
    prefill(c, 96, 320);
    must(prism_prefill_to(c, the.tokens, 350, NULL, &reused, &err), &err);
    assert_int_equal(reused, 64);
    prefill(d, 0, 350);
    assert_logits(c, prism_logits(d));
    must(prism_prefill_to(c, the.tokens, 340, NULL, &reused, &err), &err);
    assert_int_equal(reused, 320); /* the mark of the 350 */
    prism_context_free(c);
    prism_context_free(d);
}

/* What other tokens led to is forgotten with them, also where states lie between those that are there. */
static void test_other_tokens(void **state)
{
    (void)state;
    int32_t other[MAX], third[MAX];
    prism_context *c = dense();
    struct prism_error err;

    for (size_t i = 0; i < MAX; i++) {
        int32_t changed = (int32_t)(((uint32_t)the.tokens[i] + 1) % the.n_vocab);
        other[i] = i < 256 ? the.tokens[i] : changed;
        third[i] = i < 700 ? the.tokens[i] : changed;
    }
    prefill(c, 0, 300);
    must(prism_prefill(c, other + 300, 400, NULL, &err), &err); /* leaves its mark at 640 */
    cut(c, 256);
    prefill(c, 256, 960); /* and this at 896 */
    ask(c, third, 760, 0, 256);
    prism_context_free(c);
}

/* ---- selectors ---- */

static void test_selector(void **state)
{
    (void)state;
    static const char *const selectors[] = { "prism", "prism-rows" };

    for (size_t i = 0; i < 2; i++) {
        struct prism_context_params p = { .n_ctx = CTX, .n_threads = 2, .attention = { .selector = selectors[i], .p_high = 0.5f, .p_low = 0.5f } };
        prism_context *c = make_context(the.model, &p), *d = make_context(the.model, &p), *clone;
        struct prism_error err;
        struct prism_head_stats s;

        prefill(c, 0, 1280);
        for (uint32_t l = 0; l < the.model->n_layer; l++) {
            assert_true(prism_get_head_stats(c, l, 0, &s));
            assert_true((s.causal_blocks > 0) == (l == 1)); /* of the full layers, which are 1 and 3, the last has one row */
        }
        assert_sound(prism_logits(c), 1, the.n_vocab);
        must(prism_context_clone(c, &clone, &err), &err);
        prefill(c, 1280, 1300);
        prefill(clone, 1280, 1300);
        assert_logits(clone, prism_logits(c));
        prism_context_free(clone);

        size_t reused;
        must(prism_prefill_to(d, the.tokens, 1000, &(struct prism_prefill_params){ .cut = 900 }, &reused, &err), &err);
        float *want = logits_of(d);
        cut(d, 896);
        must(prism_prefill_to(d, the.tokens, 1000, &(struct prism_prefill_params){ .cut = 900 }, &reused, &err), &err);
        assert_int_equal(reused, 896);
        assert_logits(d, want);
        free(want);
        prism_context_free(c);
        prism_context_free(d);
    }
}

/* ---- clones, session files, memory ---- */

static void check_copy(prism_context *copy, prism_context *c)
{
    assert_int_equal(prism_length(copy), prism_length(c));
    assert_logits(copy, prism_logits(c));
    prefill(copy, 330, 400);
    prefill(c, 330, 400);
    assert_logits(copy, prism_logits(c));
    cut(copy, 256);
    cut(c, 256);
    prefill(copy, 256, 280);
    prefill(c, 256, 280);
    assert_logits(copy, prism_logits(c));
}

static void test_clone(void **state)
{
    (void)state;
    prism_context *c = dense(), *copy;
    struct prism_error err;

    prefill(c, 0, 300);
    prefill(c, 300, 330);
    must(prism_context_clone(c, &copy, &err), &err);
    check_copy(copy, c);
    prism_context_free(copy);
    prism_context_free(c);
}

static void test_session(void **state)
{
    (void)state;
    prism_context *c = dense(), *copy = dense();
    const char *path = session_path("delta.session");

    prefill(c, 0, 300);
    prefill(c, 300, 330);
    session_save(c, path);
    session_load(copy, path);
    check_copy(copy, c);
    prism_context_free(copy);
    prism_context_free(c);
}

/* Loads the file with these lengths of states and hashes that are right. */
static void check_states(const prism_model *m, const unsigned char *file, size_t n, const uint64_t states[PRISM_DELTA_STATES])
{
    unsigned char *bytes = malloc(n);
    struct session_header h;

    assert_non_null(bytes);
    memcpy(bytes, file, n);
    memcpy(&h, file, sizeof h);
    memcpy(h.facts.states, states, sizeof h.facts.states);
    h.hash = session_header_hash(&h);
    memcpy(bytes, &h, sizeof h);
    session_write(session_path("hostile.session"), bytes, n);
    prism_context *c = make_context(m, &(struct prism_context_params){ .n_ctx = CTX, .n_threads = 2, .attention = { .selector = "dense", .block = BLOCK } });
    assert_load_fails(c, session_path("hostile.session"), PRISM_E_FORMAT, "contradicts itself");
    prism_context_free(c);
    free(bytes);
}

static unsigned char *saved(const prism_model *m, size_t *n)
{
    prism_context *c = make_context(m, &(struct prism_context_params){ .n_ctx = CTX, .n_threads = 2, .attention = { .selector = "dense", .block = BLOCK } });
    prefill(c, 0, 300);
    session_save(c, session_path("whole.session"));
    prism_context_free(c);
    return session_bytes(session_path("whole.session"), n);
}

/* As many states as there are (of 300 and of 256 tokens), and other numbers of them. */
static void test_hostile_session(void **state)
{
    (void)state;
    static const uint64_t states[][PRISM_DELTA_STATES] = {
        { 301, 300 }, { 256, 128 }, { UINT64_MAX, 300 }, { 0 }, { 300 }, { 300, 256, 128 },
    };
    size_t n;
    unsigned char *bytes = saved(the.model, &n);

    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        check_states(the.model, bytes, n, states[i]);
    free(bytes);

    struct tiny_model t = tiny_llama();
    prism_model *m = load_tiny(&t, "stateless.gguf");
    bytes = saved(m, &n);
    check_states(m, bytes, n, (uint64_t[PRISM_DELTA_STATES]){ 300 });
    free(bytes);
    prism_model_free(m);
}

/* The plan counts four states of each layer that has one, and keys and values of the others. */
static void test_plan(void **state)
{
    (void)state;
    struct prism_plan p;
    struct prism_error err;
    const struct prism_attn_spec *a = &the.model->layers[1].attn;

    must(prism_plan(the.model, &(struct prism_context_params){ .n_ctx = CTX, .n_threads = 1, .kv_type = PRISM_KV_F16 }, &p, &err), &err);
    uint64_t states = 2 * PRISM_DELTA_STATES * the.layer_floats * sizeof(float);
    uint64_t kv = 2 * 2 * (uint64_t)CTX * a->n_head_kv * a->head_dim * sizeof(uint16_t);
    assert_true(p.kv_bytes >= states + kv && p.kv_bytes < states + kv + 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grid),      cmocka_unit_test(test_off_grid), cmocka_unit_test(test_pieces),   cmocka_unit_test(test_cancelled), cmocka_unit_test(test_some_layers),
        cmocka_unit_test(test_cuts),      cmocka_unit_test(test_long_stay), cmocka_unit_test(test_questions), cmocka_unit_test(test_reuse_all),
        cmocka_unit_test(test_short_question), cmocka_unit_test(test_small_blocks), cmocka_unit_test(test_other_tokens), cmocka_unit_test(test_last_layer),
        cmocka_unit_test(test_selector),  cmocka_unit_test(test_clone),    cmocka_unit_test(test_session),
        cmocka_unit_test(test_hostile_session),
        cmocka_unit_test(test_plan),
    };
    return cmocka_run_group_tests_name("engine/delta", tests, set_up, tear_down);
}
