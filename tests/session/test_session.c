/* test_session.c - a context saved and loaded goes on with the same bits; what it was not made with is refused and named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "src/engine/context.h"
#include "tests/support/engine_test.h"
#include "tests/support/session_file.h"
#include "tests/support/state_case.h"

static prism_model *model;

/* An empty context of a case, of another size and number of threads. */
static prism_context *empty(size_t i)
{
    struct prism_context_params p = state_cases[i].params;
    p.n_ctx = STATE_CTX - 77, p.n_threads = 3;
    return make_context(model, &p);
}

static void test_round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_state_cases; i++) {
        prism_context *a = state_context(model, &state_cases[i].params), *b = empty(i);
        const char *path = session_path("round.session");
        struct prism_session_info info;
        struct prism_stats stats;
        struct stat st;

        session_save(a, path);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(prism_session_info(path, &info, NULL), PRISM_OK);
        assert_true(info.n_tokens == STATE_TOKENS && info.file_bytes == (uint64_t)st.st_size);
        assert_true(access(session_path("round.session.tmp"), F_OK) != 0);
        session_load(b, path);
        prism_get_stats(b, &stats);
        assert_int_equal(stats.prefill_tokens + stats.decode_tokens, 0);
        assert_same_state(a, b, model->n_vocab);
        session_save(b, session_path("again.session"));
        size_t n, m;
        unsigned char *first = session_bytes(path, &n), *second = session_bytes(session_path("again.session"), &m);
        assert_int_equal(n, m);
        assert_memory_equal(first, second, n); /* nothing was lost */
        free(first);
        free(second);
        assert_same_future(a, b, model->n_vocab);
        prism_context_free(a);
        prism_context_free(b);
    }
}

/* Without logits, with tokens of some layers only, after other tokens in the same memory. */
static void test_odd_states(void **state)
{
    (void)state;
    const char *path = session_path("odd.session");
    for (size_t i = 0; i < n_state_cases; i++) {
        prism_context *a = state_context(model, &state_cases[i].params), *b = empty(i);
        struct prism_error err;
        int32_t tokens[30];

        make_tokens(tokens, 30, model->n_vocab);
        state_history(model, b); /* its memory has other things */
        must(prism_truncate(b, 0, &err), &err);
        must(prism_truncate(a, 397, &err), &err);
        session_save(a, path);
        session_load(b, path);
        assert_null(prism_logits(b));
        assert_same_state(a, b, model->n_vocab);
        assert_same_future(a, b, model->n_vocab);
        must(prism_truncate(b, 0, &err), &err);
        must(prism_prefill(a, tokens, 30, &(struct prism_prefill_params){ .n_layers = 1 }, &err), &err);
        session_save(a, path);
        session_load(b, path);
        assert_int_equal(b->whole, a->whole);
        assert_int_equal(b->length, a->whole + 30);
        prism_context_free(a);
        prism_context_free(b);
    }
}

/* ---- a document and questions ---- */

enum { QUESTIONS = 3, DOCUMENT = 256 };

static size_t ask(prism_context *c, const int32_t *tokens, int question, float *logits)
{
    int32_t prompt[DOCUMENT + 40];
    size_t reused, n = DOCUMENT + 37 + (size_t)question;
    struct prism_error err;

    memcpy(prompt, tokens, sizeof prompt);
    for (size_t i = DOCUMENT; i < n; i++)
        prompt[i] = (tokens[i] + question) % (int32_t)model->n_vocab;
    must(prism_prefill_to(c, prompt, n, &(struct prism_prefill_params){ .cut = DOCUMENT + 7 }, &reused, &err), &err);
    memcpy(logits, prism_logits(c), model->n_vocab * sizeof *logits);
    return reused;
}

/* The same bits in a fresh context for each, in one for all, in clones, and from the file, in any order. */
static void test_questions(void **state)
{
    (void)state;
    int32_t tokens[DOCUMENT + 40];
    size_t n = model->n_vocab;
    float *expected = calloc(QUESTIONS * n, sizeof *expected), *found = calloc(n, sizeof *found);
    const char *path = session_path("document.session");
    struct prism_error err;

    make_tokens(tokens, DOCUMENT + 40, model->n_vocab);
    for (size_t i = 0; i < n_state_cases; i++) {
        for (int q = 0; q < QUESTIONS; q++) {
            prism_context *fresh = empty(i);
            assert_int_equal(ask(fresh, tokens, q, expected + (size_t)q * n), 0);
            prism_context_free(fresh);
        }
        prism_context *one = empty(i), *document = empty(i);
        must(prism_prefill_to(document, tokens, DOCUMENT, NULL, NULL, &err), &err);
        session_save(document, path);
        for (int turn = 0; turn < 7; turn++) {
            int q = turn * 2 % QUESTIONS;
            prism_context *copy, *loaded = empty(i);
            assert_int_equal(ask(one, tokens, q, found), turn ? DOCUMENT : 0);
            assert_memory_equal(found, expected + (size_t)q * n, n * sizeof *found);
            must(prism_context_clone(document, &copy, &err), &err);
            assert_int_equal(ask(copy, tokens, q, found), DOCUMENT);
            assert_memory_equal(found, expected + (size_t)q * n, n * sizeof *found);
            session_load(loaded, path);
            assert_int_equal(ask(loaded, tokens, q, found), DOCUMENT);
            assert_memory_equal(found, expected + (size_t)q * n, n * sizeof *found);
            prism_context_free(copy);
            prism_context_free(loaded);
        }
        prism_context_free(one);
        prism_context_free(document);
    }
    free(expected);
    free(found);
}

/* ---- what is refused ---- */

static void check_setting(const char *path, struct prism_context_params p, enum prism_status s, const char *text)
{
    prism_context *c = make_context(model, &p);
    assert_load_fails(c, path, s, text);
    prism_context_free(c);
}

#define CHANGED(text, ...) do { struct prism_context_params p = base; __VA_ARGS__; check_setting(path, p, PRISM_E_UNSUPPORTED, text); } while (0)

static void test_settings(void **state)
{
    (void)state;
    struct prism_context_params base = state_cases[4].params;
    const char *path = session_path("settings.session");
    prism_context *a = state_context(model, &base);

    session_save(a, path);
    prism_context_free(a);
    check_setting(path, (base.n_ctx = STATE_TOKENS - 1, base), PRISM_E_LENGTH, "420 tokens, the context holds 419");
    base.n_ctx = STATE_CTX;
    CHANGED("made with compute auto, this context has compute f32", p.compute = PRISM_COMPUTE_F32);
    CHANGED("made with keys f16, this context has keys bf16", p.kv_type = PRISM_KV_BF16);
    CHANGED("made with values f16, this context has values f32", p.v_type = PRISM_KV_F32);
    CHANGED("made with selector prism-rows, this context has selector prism", p.attention.selector = "prism");
    CHANGED("this context has selector dense", p.attention.selector = "dense");
    CHANGED("made with block 32, this context has block 64", p.attention.block = 64);
    CHANGED("made with min_tokens 0, this context has min_tokens 9", p.attention.min_tokens = 9);
    CHANGED("dense_tail", p.attention.dense_tail = 5);
    CHANGED("dense_layers", p.attention.dense_layers[0] = 2);
    CHANGED("made with p_high 0.500000", p.attention.p_high = 0.51f);
    CHANGED("p_low", p.attention.p_low = 0.50001f);
    CHANGED("high_band", p.attention.high_dim = 10);
    CHANGED("low_band", p.attention.low_dim = 10);
    CHANGED("energies", p.attention.causal_energy = true);
    CHANGED("sink", p.attention.sink = 1);
    CHANGED("window", p.attention.window = 1);
    CHANGED("vertical", p.attention.vertical = 1);
    CHANGED("slash", p.attention.slash = 1);
    CHANGED("min_budget", p.attention.min_budget = 1);
    CHANGED("stride", p.attention.stride = 16);
    CHANGED("gamma", p.attention.gamma = 0.5f);
    CHANGED("tau", p.attention.tau = 0.5f);
    CHANGED("threshold", p.attention.threshold = 0.5f);
    CHANGED("made with row_mass 1.000000", p.attention.row_mass = 0.99999994f);
    struct prism_plan plan;
    assert_int_equal(prism_plan(model, &base, &plan, NULL), PRISM_OK);
    for (int i = 0; i < prism_level_count(); i++)
        if (prism_level_supported(i) && strcmp(prism_level_name(i), plan.level))
            CHANGED("made with level", p.level = 1 + i);
}

/* Damage to the weights of the model that made the file, and to its metadata. */
static void test_models(void **state)
{
    (void)state;
    static const char *const what[] = { "another seed", "a weight in the middle", "a norm", "metadata", "a name" };
    struct prism_context_params p = { .n_ctx = 100 };
    const char *path = session_path("models.session");
    int32_t tokens[50];
    struct prism_error err;
    struct tiny_model t = tiny_llama();

    make_tokens(tokens, 50, 100);
    prism_model *first = load_tiny(&t, "first.gguf");
    prism_context *a = make_context(first, &p);
    must(prism_prefill(a, tokens, 50, NULL, &err), &err);
    session_save(a, path);
    prism_context_free(a);
    prism_model_free(first);
    for (size_t i = 0; i < sizeof what / sizeof *what; i++) {
        t = tiny_llama();
        t.seed += i == 0;
        struct gb *g = tiny_build(&t);
        struct gb_tensor *w = gb_tensor(g, "blk.1.ffn_down.weight");
        if (i == 1)
            w->data[w->n_bytes / 2] ^= 1;
        if (i == 2)
            gb_tensor(g, "blk.0.attn_norm.weight")->data[0] ^= 1;
        if (i == 3)
            gb_f32(g, "llama.rope.freq_base", 10001);
        if (i == 4)
            gb_str(g, "general.name", "other");
        prism_model *m = load_built(g, "other.gguf");
        prism_context *c = make_context(m, &p);
        assert_load_fails(c, path, PRISM_E_UNSUPPORTED, "another model");
        prism_context_free(c);
        prism_model_free(m);
    }
    t = tiny_llama();
    prism_model *same = load_tiny(&t, "same.gguf"); /* another file of the same content */
    a = make_context(same, &p);
    session_load(a, path);
    assert_int_equal(prism_length(a), 50);
    prism_context_free(a);
    prism_model_free(same);
}

/* Which rotations the keys have goes with them. */
static void test_longrope(void **state)
{
    (void)state;
    struct tiny_model t = tiny_llama();
    struct gb *g = tiny_build(&t);
    struct prism_context_params p = { .n_ctx = 300 };
    int32_t tokens[200];
    const char *path = session_path("longrope.session");

    tiny_add_longrope(g, "llama", 64, 16);
    prism_model *m = load_built(g, "session-longrope.gguf");
    make_tokens(tokens, 200, m->n_vocab);
    for (size_t n = 40; n <= 140; n += 100)
        for (size_t more = 10; more <= 60; more += 50) {
            prism_context *a = make_context(m, &p), *b = make_context(m, &p);
            struct prism_error err;
            must(prism_prefill(a, tokens, n, NULL, &err), &err);
            session_save(a, path);
            session_load(b, path);
            must(prism_prefill(a, tokens + n, more, NULL, &err), &err);
            must(prism_prefill(b, tokens + n, more, NULL, &err), &err);
            assert_same_state(a, b, m->n_vocab);
            prism_context_free(a);
            prism_context_free(b);
        }
    prism_model_free(m);
}

static void test_not_empty(void **state)
{
    (void)state;
    prism_context *a = state_context(model, &state_cases[2].params), *b = state_context(model, &state_cases[2].params);
    const char *path = session_path("full.session");
    struct prism_error err;

    session_save(a, path);
    assert_int_equal(prism_session_load(a, path, &err), PRISM_E_ARG);
    assert_non_null(strstr(err.text, "not empty"));
    assert_same_state(a, b, model->n_vocab);
    assert_same_future(a, b, model->n_vocab);
    prism_context_free(a);
    prism_context_free(b);
}

static int set_up(void **state)
{
    *state = model = state_model("session.gguf");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_odd_states), cmocka_unit_test(test_questions), cmocka_unit_test(test_settings),
        cmocka_unit_test(test_models), cmocka_unit_test(test_longrope), cmocka_unit_test(test_not_empty),
    };
    return cmocka_run_group_tests_name("session", tests, set_up, free_group_model);
}
