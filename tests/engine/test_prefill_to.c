/* test_prefill_to.c - prism_prefill_to after random edits of a prompt: what is kept, and the logits bit for bit those of a fresh context.
 * Single cases: test_prefill_to_cases.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "src/model/model.h"
#include "tests/support/engine_test.h"
#include "tests/support/mask_trace.h"

enum { FEW = 16, MAX = 1100, MAX_CALLS = 2048 };

/* What this test believes of the context: its tokens and the calls that they came in. */
struct mirror {
    const prism_model *model;
    struct prism_context_params params; /* of the fresh contexts */
    prism_context *ctx;
    size_t block, min_tokens, original; /* min_tokens SIZE_MAX: dense; original: of longrope, or 0 */
    int32_t tokens[MAX];
    size_t n;
    struct { size_t from, to; } calls[MAX_CALLS];
    size_t n_calls, n_kept, n_whole, n_nothing;
    uint32_t random, n_vocab, span;
};

static uint32_t draw(struct mirror *m, uint32_t below)
{
    m->random = m->random * 1664525u + 1013904223u;
    return (m->random >> 8) % below;
}

static int32_t draw_token(struct mirror *m) { return (int32_t)draw(m, m->n_vocab); }

static void note_call(struct mirror *m, size_t from, size_t to)
{
    while (m->n_calls && m->calls[m->n_calls - 1].from >= from)
        m->n_calls--;
    if (m->n_calls && m->calls[m->n_calls - 1].to > from)
        m->calls[m->n_calls - 1].to = from; /* where nothing was chosen, as if it had ended there */
    assert_true(m->n_calls < MAX_CALLS && from == (m->n_calls ? m->calls[m->n_calls - 1].to : 0));
    m->calls[m->n_calls].from = from, m->calls[m->n_calls++].to = to;
    m->n = to;
}

static bool chose(const struct mirror *m, size_t from, size_t to) { return to >= m->min_tokens && to - from > FEW; }

static bool other_side(const struct mirror *m, size_t keep, size_t n)
{
    size_t last = m->n; /* whose rotations the cache has */
    return m->original && ((last <= m->original) != (n <= m->original) || (m->min_tokens != SIZE_MAX && keep <= m->original && n > m->original));
}

/* The longest prefix that the contract allows to keep. */
static size_t expected_keep(const struct mirror *m, const int32_t *tokens, size_t n)
{
    size_t common = 0, keep = 0;

    while (common < n && common < m->n && tokens[common] == m->tokens[common])
        common++;
    if (n <= FEW)
        return 0;
    size_t most = common < n - FEW - 1 ? common : n - FEW - 1;
    for (size_t i = 0; i < m->n_calls; i++) {
        size_t from = m->calls[i].from, to = m->calls[i].to;
        if (to - from <= FEW || from % m->block)
            break; /* what follows is of no use */
        for (size_t at = from + m->block; at <= to && at <= most; at += m->block)
            if (at % m->block == 0 && (!chose(m, from, to) || at == to))
                keep = at;
        if (to % m->block)
            break;
    }
    return other_side(m, keep, n) ? 0 : keep;
}

/* Notes the calls that prism_prefill_to makes for tokens [from, n). */
static void note_calls(struct mirror *m, size_t from, size_t n, size_t cut, size_t every)
{
    for (size_t at = m->block; n >= m->min_tokens && at + FEW < n; at += m->block) {
        bool ends = (every && at % every == 0) || at == (cut < n - FEW - 1 ? cut : n - FEW - 1) / m->block * m->block;
        bool rotated_again = m->original && at <= m->original && n > m->original;
        if (at > from && ends && (cut || at % (every ? every : SIZE_MAX) == 0) && !rotated_again) {
            note_call(m, from, at);
            from = at;
        }
    }
    note_call(m, from, n);
}

/* Logits after n tokens in these calls, in a context of its own. */
static void assert_fresh(const struct mirror *m, bool one_call)
{
    struct prism_error err;
    prism_context *c = make_context(m->model, &m->params);

    if (one_call)
        must(prism_prefill(c, m->tokens, m->n, NULL, &err), &err);
    for (size_t i = 0; !one_call && i < m->n_calls; i++)
        must(prism_prefill(c, m->tokens + m->calls[i].from, m->calls[i].to - m->calls[i].from, NULL, &err), &err);
    assert_int_equal(prism_length(c), prism_length(m->ctx));
    assert_memory_equal(prism_tokens(m->ctx), m->tokens, m->n * sizeof *m->tokens);
    assert_memory_equal(prism_logits(c), prism_logits(m->ctx), m->n_vocab * sizeof(float));
    prism_context_free(c);
}

/* A new prompt: the old one with something done to it. Returns its length. */
static size_t edit(struct mirror *m, int32_t *to)
{
    size_t n = m->n, at = n ? draw(m, (uint32_t)n) : 0, more = 1 + draw(m, 60);

    memcpy(to, m->tokens, n * sizeof *to);
    switch (draw(m, 14)) {
    case 0: /* another one, often up to a block's end: a document */
        n = 1 + draw(m, m->span);
        n = n > 2 * m->block && n % 4 ? n / m->block * m->block : n;
        at = 0;
        break;
    case 1: /* one token differs */
        if (n)
            to[at] = (int32_t)((uint32_t)(to[at] + 1) % m->n_vocab);
        return n ? n : (to[0] = 1, 1);
    case 2: /* another end, from somewhere on */
        n = at + more;
        break;
    case 3: case 9: case 10: case 11: /* another end, from a call's end on: another question about the document */
        for (int tries = 0; tries < 6 && m->n_calls && (tries == 0 || at % m->block); tries++)
            at = m->calls[draw(m, (uint32_t)m->n_calls)].to;
        n = at + more;
        break;
    case 4: case 12: case 13: /* goes on, to a block's end */
        at = n;
        n = (n + more + m->block) / m->block * m->block;
        break;
    case 5: /* the beginning of it */
        return at + 1;
    case 6: /* some tokens are gone from the middle */
        more = more < n - at ? more : n - at;
        memmove(to + at, to + at + more, (n - at - more) * sizeof *to);
        return n > more ? n - more : (to[0] = 1, 1);
    case 7: /* the same again */
        return n ? n : (to[0] = 1, 1);
    default: /* goes on */
        at = n;
        n += more;
    }
    n = n < m->span ? n : m->span;
    for (size_t i = at; i < n; i++)
        to[i] = draw_token(m);
    return n;
}

static int stop_later(void *user, const struct prism_progress *p) { return p->done > p->total / *(uint64_t *)user; }

/* What happens between two prompts: tokens are decoded, appended by a call, forgotten, or a call is cancelled. */
static void disturb(struct mirror *m)
{
    struct prism_error err;
    size_t n = 1 + draw(m, 40), what = draw(m, 12);
    int32_t some[40];
    uint64_t part = 1 + draw(m, 4);
    struct prism_prefill_params stop = { .progress = stop_later, .progress_user = &part };

    for (size_t i = 0; i < n; i++)
        some[i] = draw_token(m);
    if (m->n + n > m->span || m->n == 0)
        return;
    if (what == 0)
        for (size_t i = 0; i < n; i++) {
            must(prism_decode(m->ctx, some[i], &err), &err);
            m->tokens[m->n] = some[i];
            note_call(m, m->n, m->n + 1);
        }
    else if (what == 1) {
        must(prism_prefill(m->ctx, some, n, NULL, &err), &err);
        memcpy(m->tokens + m->n, some, n * sizeof *some);
        note_call(m, m->n, m->n + n);
    } else if (what == 2 && part > 1) {
        assert_int_equal(prism_prefill(m->ctx, some, n, &stop, &err), PRISM_E_CANCELLED);
    }
}

/* One prompt. */
static void step(struct mirror *m)
{
    int32_t *tokens = malloc(MAX * sizeof *tokens);
    struct prism_error err;
    size_t reused = 77, n;

    disturb(m);
    n = edit(m, tokens);
    bool same = n == m->n && !memcmp(tokens, m->tokens, n * sizeof *tokens);
    struct prism_prefill_params params = { .cut = draw(m, 2) ? draw(m, (uint32_t)n + 1) : 0, .cut_every = draw(m, 3) ? 0 : 3 * m->block };
    size_t expected = expected_keep(m, tokens, n);
    must(prism_prefill_to(m->ctx, tokens, n, params.cut || params.cut_every ? &params : NULL, &reused, &err), &err);
    memcpy(m->tokens, tokens, n * sizeof *tokens);
    if (same && reused == n) {
        m->n_nothing++;
    } else {
        assert_int_equal(reused, expected);
        m->n_kept += reused > 0;
        note_calls(m, reused, n, params.cut, params.cut_every);
    }
    m->n_whole += reused == 0;
    assert_fresh(m, m->min_tokens == SIZE_MAX);
    free(tokens);
}

static void run(const prism_model *model, struct prism_context_params p, size_t span, size_t original, size_t cases)
{
    struct mirror *m = calloc(1, sizeof *m);
    bool dense = !strcmp(p.attention.selector, "dense");

    m->model = model, m->random = 5, m->span = (uint32_t)span, m->original = original;
    m->block = p.attention.block ? p.attention.block : 128;
    m->min_tokens = dense ? SIZE_MAX : p.attention.min_tokens;
    m->n_vocab = model->n_vocab;
    p.n_ctx = (uint32_t)span, p.n_threads = 2;
    m->ctx = make_context(model, &p);
    p.n_ctx = (uint32_t)span + 100, p.n_threads = 1; /* no other bits */
    m->params = p;
    for (size_t i = 0; i < cases; i++)
        step(m);
    assert_true(m->n_kept > cases / 8 && (m->n_nothing > 0 || cases < 100) && m->n_whole > cases / 20);
    prism_context_free(m->ctx);
    free(m);
}

static void test_dense(void **state)
{
    (void)state;
    prism_model *m = trace_tiny_model("to.gguf", 2);
    struct prism_context_params p = { .attention = { .selector = "dense" } };

    run(m, p, 700, 0, 1000); /* beyond the 512 tokens that go through linear layers together */
    p.compute = PRISM_COMPUTE_F32;
    p.attention.block = 32;
    run(m, p, 300, 0, 200);
    prism_model_free(m);
}

/* At every level, weights of types that are multiplied in different ways. */
static void test_levels(void **state)
{
    (void)state;
    static const enum prism_type types[] = { PRISM_Q8_0, PRISM_Q4_0, PRISM_Q4_K, PRISM_F16, PRISM_BF16 };

    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        struct tiny_model tiny = tiny_llama();
        tiny.n_embd = 256, tiny.n_head = 4, tiny.n_head_kv = 2, tiny.head_dim = 64, tiny.n_ff = 256, tiny.type = types[t];
        prism_model *m = load_tiny(&tiny, "to-types.gguf");
        for (int level = 0; level < prism_level_count(); level++)
            if (prism_level_supported(level))
                run(m, (struct prism_context_params){ .level = 1 + level, .attention = { .selector = "dense" } }, 600, 0, 24);
        prism_model_free(m);
    }
}

static void test_prism(void **state)
{
    (void)state;
    prism_model *m = trace_tiny_model("to.gguf", 3);
    struct prism_context_params p = trace_params(0);

    p.attention.p_high = p.attention.p_low = 0.5f;
    run(m, p, 400, 0, 1000);
    p.attention.causal_energy = true, p.attention.dense_tail = 40, p.attention.min_tokens = 200;
    run(m, p, 400, 0, 300);
    prism_model_free(m);
}

static void test_rows(void **state)
{
    (void)state;
    prism_model *m = trace_tiny_model("to.gguf", 3);
    struct prism_context_params p = trace_params(0);

    p.attention.selector = "prism-rows", p.attention.row_mass = 1; /* on this model six blocks of ten */
    run(m, p, 400, 0, 1000);
    p.attention.min_tokens = 200;
    run(m, p, 400, 0, 300);
    prism_model_free(m);
}

/* Where the other set of rotations begins, in the middle of what is edited. */
static void test_longrope(void **state)
{
    (void)state;
    enum { ORIGINAL = 150 };
    struct tiny_model t = tiny_llama();
    struct gb *g = tiny_build(&t);
    struct prism_context_params p = trace_params(0);

    tiny_add_longrope(g, "llama", ORIGINAL, 16);
    prism_model *m = load_built(g, "to-longrope.gguf");
    p.attention.min_tokens = 250;
    run(m, p, 400, ORIGINAL, 300);
    p.attention.selector = "prism-rows", p.attention.row_mass = 1;
    run(m, p, 400, ORIGINAL, 300);
    p.attention.selector = "dense";
    run(m, p, 400, ORIGINAL, 300);
    prism_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dense),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_prism),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_longrope),
    };
    return cmocka_run_group_tests_name("prefill_to", tests, NULL, NULL);
}
