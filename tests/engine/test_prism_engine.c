/* test_prism_engine.c - block selection inside the engine: threads, calls in pieces, cancel, truncation, RoPE orders, memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "src/model/model.h"
#include "tests/support/allocations.h"
#include "tests/support/engine_test.h"
#include "tests/support/mask_trace.h"

enum { N = 1000 };

/* ---- the same answer, whatever the way ---- */

static void check_threads(prism_model *m, uint32_t block, float p_band)
{
    int32_t *tokens = trace_tokens(m, N);
    struct prism_context_params p = trace_params(N);

    p.attention.block = block, p.attention.p_high = p.attention.p_low = p_band, p.attention.dense_tail = 100;
    struct trace *one = trace_call(m, &p, tokens, N);
    assert_true(one->chosen[0][0] < one->causal[0][0]);
    if (m->n_embd <= 64) /* the forward pass in double is slow */
        trace_judge(one, m, &p, tokens, 0, N, N - p.attention.dense_tail);
    trace_same_for_threads(one, m, &p, tokens, N);
    trace_free(one);
    free(tokens);
    prism_model_free(m);
}

static void test_threads(void **state)
{
    (void)state;
    check_threads(trace_tiny_model("threads.gguf", 3), 32, 0.7f);
    check_threads(load_model("models/gutenberg-llama-16m-q8_0.gguf"), 64, 0.9f);
}

/* Pieces that end on the grid choose what one call chooses, with energies that look back only. The last layer attends with one row when
 * nobody wants logits: later pieces must not notice. */
static void check_pieces(const prism_model *m, enum prism_compute compute)
{
    static const size_t ends[] = { 64, 640, 672, N };
    int32_t *tokens = trace_tokens(m, N);
    struct prism_context_params p = trace_params(N);

    p.compute = compute;
    p.attention.causal_energy = true;
    struct trace *whole = trace_call(m, &p, tokens, N);
    trace_judge(whole, m, &p, tokens, 0, N, N);
    for (int logits_early = 0; logits_early < 2; logits_early++) {
        struct trace *pieces = trace_new(m);
        prism_context *c = make_context(m, &p);
        for (size_t i = 0; i < 4; i++)
            trace_feed(c, pieces, tokens + (i ? ends[i - 1] : 0), ends[i] - (i ? ends[i - 1] : 0), logits_early || i == 3);
        for (size_t l = 0; l < m->n_layer; l++)
            for (size_t h = 0; h < m->hp.n_head; h++)
                for (size_t u = logits_early || l + 1 < m->n_layer ? 0 : ends[2] / 32; u * 32 < N; u++)
                    if (memcmp(pieces->row[l][h][u], whole->row[l][h][u], sizeof whole->row[l][h][u]))
                        fail_msg("layer %zu, head %zu, query block %zu: %s", l, h, u, logits_early ? "all rows" : "rows as needed");
        assert_memory_equal(pieces->logits, whole->logits + ends[2] * m->n_vocab, (N - ends[2]) * m->n_vocab * sizeof(float));
        prism_context_free(c);
        trace_free(pieces);
    }
    p.attention.causal_energy = false;
    struct trace *global = trace_call(m, &p, tokens, N);
    assert_false(trace_same_masks(whole, global)); /* so the parameter does something */
    trace_free(global);
    trace_free(whole);
    free(tokens);
}

static void test_pieces(void **state)
{
    (void)state;
    prism_model *m = trace_tiny_model("pieces.gguf", 3);
    check_pieces(m, PRISM_COMPUTE_F32);
    check_pieces(m, PRISM_COMPUTE_AUTO);
    prism_model_free(m);
}

/* After a few layers, so that there is something to put back. Progress is told after every phase, so this does not depend on the speed. */
static int stop_later(void *user, const struct prism_progress *p)
{
    *(bool *)user = p->done > p->total / 4 && p->done < p->total / 2;
    return p->done > p->total / 4;
}

static void test_cancel(void **state)
{
    (void)state;
    enum { FIRST = 150, MORE = 200 }; /* the first call ends inside a block */
    prism_model *m = load_model("models/gutenberg-llama-16m-q8_0.gguf");
    int32_t *tokens = trace_tokens(m, N);
    bool between = false;
    struct prism_prefill_params stop = { .progress = stop_later, .progress_user = &between };
    struct prism_error err;

    for (int causal = 0; causal < 2; causal++) {
        struct prism_context_params p = trace_params(N);
        struct trace *t[2] = { trace_new(m), trace_new(m) };
        p.attention.causal_energy = causal, p.n_threads = 2;
        for (int cancelled = 0; cancelled < 2; cancelled++) {
            prism_context *c = make_context(m, &p);
            trace_feed(c, t[cancelled], tokens, FIRST, true);
            if (cancelled) { /* other tokens */
                assert_int_equal(prism_prefill(c, tokens + FIRST + 7, N - FIRST - 7, &stop, &err), PRISM_E_CANCELLED);
                assert_true(between);
                assert_int_equal(prism_length(c), FIRST);
            }
            trace_feed(c, t[cancelled], tokens + FIRST, MORE, true);
            prism_context_free(c);
        }
        assert_true(trace_same_masks(t[0], t[1]));
        assert_true(trace_same_logits(t[0], t[1], 0, MORE));
        trace_free(t[0]);
        trace_free(t[1]);
    }
    free(tokens);
    prism_model_free(m);
}

/* What was truncated leaves no trace: inside a block the sums are made again from the cache, exactly when that is F32. */
static void check_truncate(const prism_model *m, size_t keep, enum prism_kv_type kv, bool causal, uint32_t min_tokens)
{
    enum { MORE = 160 };
    int32_t *tokens = trace_tokens(m, N);
    struct prism_context_params p = trace_params(N);
    struct trace *t[2] = { trace_new(m), trace_new(m) };
    struct prism_error err;

    p.kv_type = kv, p.v_type = kv == PRISM_KV_F32 ? PRISM_KV_Q8_0 : kv; /* which rows are keys is known to the end */
    p.attention.causal_energy = causal, p.attention.min_tokens = min_tokens;
    for (int truncated = 0; truncated < 2; truncated++) {
        prism_context *c = make_context(m, &p);
        if (truncated) {
            trace_feed(c, t[1], tokens + N - 320, 320, true);
            must(prism_truncate(c, 0, &err), &err);
            memset(t[1]->row, 0, sizeof t[1]->row);
        }
        trace_feed(c, t[truncated], tokens, keep, true);
        if (truncated) {
            trace_feed(c, t[1], tokens + N - 200, 200, true);
            must(prism_truncate(c, keep, &err), &err);
        }
        memset(t[truncated]->row, 0, sizeof t[truncated]->row);
        trace_feed(c, t[truncated], tokens + keep, MORE, true);
        prism_context_free(c);
    }
    assert_true(t[0]->calls[0] > 0);
    assert_true(trace_same_masks(t[0], t[1]));
    assert_true(trace_same_logits(t[0], t[1], 0, MORE));
    trace_free(t[0]);
    trace_free(t[1]);
    free(tokens);
}

static void test_truncate(void **state)
{
    (void)state;
    prism_model *m = trace_tiny_model("truncate.gguf", 3);
    for (int causal = 0; causal < 2; causal++) {
        check_truncate(m, 160, PRISM_KV_F16, causal, 0);
        check_truncate(m, 160, PRISM_KV_Q8_0, causal, 0);
        check_truncate(m, 150, PRISM_KV_F32, causal, 0);
        check_truncate(m, 129, PRISM_KV_F32, causal, 200); /* what stays was dense */
        check_truncate(m, 10, PRISM_KV_F32, causal, 0);    /* likewise: few tokens */
    }
    prism_model_free(m);
}

/* ---- both orders of rotated pairs ---- */

/* Row i of a half-split head to row 2i, row i + half to row 2i + 1. */
static void interleave(uint8_t *out, const uint8_t *in, size_t row_bytes, size_t n_head, size_t d)
{
    for (size_t h = 0; h < n_head; h++)
        for (size_t i = 0; i < d; i++)
            memcpy(out + (h * d + (i % (d / 2) * 2 + i / (d / 2))) * row_bytes, in + (h * d + i) * row_bytes, row_bytes);
}

/* The same weights under the two architectures, whose RoPE orders differ. */
static void write_pair(prism_model *m[2])
{
    struct tiny_model half = tiny_qwen2(), pairs = tiny_llama();
    half.n_layer = pairs.n_layer = 2, half.n_head = pairs.n_head = 4, half.n_head_kv = pairs.n_head_kv = 2;
    half.head_dim = pairs.head_dim = 64, half.type = half.output_type = pairs.type = pairs.output_type = PRISM_F32;
    pairs.biases = true;
    struct gb *g[2] = { tiny_build(&half), tiny_build(&pairs) };

    for (size_t i = g[1]->n_tensors; i-- > 0;) {
        struct gb_tensor *to = &g[1]->tensors[i], *from = NULL;
        for (size_t j = 0; j < g[0]->n_tensors; j++)
            from = strcmp(g[0]->tensors[j].name, to->name) ? from : &g[0]->tensors[j];
        if (!from) {
            gb_remove_tensor(g[1], to->name);
            continue;
        }
        assert_int_equal(from->n_bytes, to->n_bytes);
        size_t n_head = strstr(to->name, "attn_q.") ? 4 : strstr(to->name, "attn_k.") ? 2 : 0;
        if (n_head)
            interleave(to->data, from->data, from->n_bytes / (n_head * 64), n_head, 64);
        else
            memcpy(to->data, from->data, from->n_bytes);
    }
    for (int i = 0; i < 2; i++)
        m[i] = load_built(g[i], i ? "pairs.gguf" : "half.gguf");
    assert_true(!m[0]->ropes[0].interleaved && m[1]->ropes[0].interleaved);
}

static void test_rope_orders(void **state)
{
    (void)state;
    prism_model *m[2];
    struct trace *t[2];
    size_t different = 0;

    write_pair(m);
    int32_t *tokens = trace_tokens(m[0], N);
    for (int i = 0; i < 2; i++) {
        struct prism_context_params p = trace_params(N);
        p.compute = PRISM_COMPUTE_F32;
        t[i] = trace_call(m[i], &p, tokens, N);
        trace_judge(t[i], m[i], &p, tokens, 0, N, N);
        prism_model_free(m[i]);
    }
    /* Pooled vectors are the same numbers in the first layer; q.k of attention then adds in another order, so later ones are not. */
    assert_memory_equal(t[0]->row[0], t[1]->row[0], sizeof t[0]->row[0]);
    for (size_t h = 0; h < 4; h++)
        for (size_t u = 0; u * 32 < N; u++)
            different += (size_t)__builtin_popcountll(t[0]->row[1][h][u][0] ^ t[1]->row[1][h][u][0]);
    print_message("layer 1: %zu of %llu causal bits differ between the RoPE orders\n", different,
                  4 * (unsigned long long)t[0]->causal[1][0]);
    assert_true(different * 1000 <= 4 * t[0]->causal[1][0]);
    trace_free(t[0]);
    trace_free(t[1]);
    free(tokens);
}

/* ---- memory ---- */

#ifdef COUNTS_ALLOCATIONS
static void test_no_allocation(void **state)
{
    (void)state;
    prism_model *m = trace_tiny_model("allocation.gguf", 3);
    int32_t *tokens = trace_tokens(m, N);
    struct prism_error err;

    for (int i = 0; i < prism_selector_count(); i++) {
        struct prism_context_params p = trace_params(N);
        p.attention.selector = prism_selector_name(i), p.n_threads = 2;
        prism_context *c = make_context(m, &p);
        struct trace *t = trace_new(m);
        long before = atomic_load(&allocations);
        trace_feed(c, t, tokens, 100, true);
        trace_feed(c, t, tokens + 100, N - 101, true);
        must(prism_decode(c, tokens[0], &err), &err);
        must(prism_truncate(c, 333, &err), &err);
        trace_feed(c, t, tokens, 50, true);
        assert_int_equal(atomic_load(&allocations) - before, 0);
        trace_free(t);
        prism_context_free(c);
    }
    free(tokens);
    prism_model_free(m);
}
#else
static void test_no_allocation(void **state)
{
    (void)state;
    print_message("skipped: allocations are not counted under a sanitizer\n");
    skip();
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),  cmocka_unit_test(test_pieces),      cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_truncate), cmocka_unit_test(test_rope_orders), cmocka_unit_test(test_no_allocation),
    };
    return cmocka_run_group_tests_name("prism engine", tests, NULL, NULL);
}
