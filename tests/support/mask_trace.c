/* mask_trace.c - see mask_trace.h. */
#include "tests/support/mask_trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/engine_test.h"
#include "tests/support/near.h"
#include "tests/support/reference.h"

prism_model *trace_tiny_model(const char *name, uint32_t n_layer)
{
    struct tiny_model t = tiny_qwen3();
    t.n_layer = n_layer, t.n_head = 4, t.n_head_kv = 2;
    return load_tiny(&t, name);
}

struct prism_context_params trace_params(uint32_t n_ctx)
{
    return (struct prism_context_params){ .n_ctx = n_ctx, .n_threads = 1,
                                          .attention = { .selector = "prism", .block = 32, .p_high = 0.7f, .p_low = 0.7f,
                                                         .dense_tail = PRISM_NO_TAIL } };
}

static size_t n_vocab(const prism_model *m)
{
    struct prism_model_info info;
    prism_model_info(m, &info);
    return info.n_vocab;
}

int32_t *trace_tokens(const prism_model *m, size_t n)
{
    int32_t *tokens = malloc(n * sizeof *tokens);
    make_tokens(tokens, n, (uint32_t)n_vocab(m));
    return tokens;
}

static void keep_mask(void *user, const struct prism_attention_mask *m)
{
    struct trace *t = user;

    assert_true(m->n_words <= 2 && m->first_block + m->n_rows <= TRACE_BLOCKS && m->n_head <= TRACE_HEADS && m->layer < TRACE_LAYERS);
    t->calls[m->layer]++;
    for (size_t h = 0; h < m->n_head; h++)
        for (size_t r = 0; r < m->n_rows; r++) {
            const uint64_t *bits = m->bits + (h * m->n_rows + r) * m->n_words;
            uint64_t *row = t->row[m->layer][h][m->first_block + r];
            size_t u = m->first_block + r;
            row[0] = bits[0], row[1] = m->n_words > 1 ? bits[1] : 0;
            assert_true((row[0] & 1) && (row[u / 64] >> u % 64 & 1)); /* sink and diagonal */
            for (size_t v = u + 1; v < 128; v++)
                assert_int_equal(row[v / 64] >> v % 64 & 1, 0);
            t->chosen[m->layer][h] += (uint64_t)__builtin_popcountll(row[0]) + (uint64_t)__builtin_popcountll(row[1]);
            t->causal[m->layer][h] += u + 1;
        }
}

static void keep_logits(void *user, size_t row, size_t n_rows, const float *logits)
{
    struct trace *t = user;
    memcpy(t->logits + row * t->n_vocab, logits, n_rows * t->n_vocab * sizeof *logits);
}

struct trace *trace_new(const prism_model *m)
{
    struct trace *t = calloc(1, sizeof *t);
    t->n_vocab = n_vocab(m);
    t->logits = calloc(TRACE_TOKENS * t->n_vocab, sizeof *t->logits);
    return t;
}

void trace_free(struct trace *t)
{
    free(t->logits);
    free(t);
}

void trace_feed(prism_context *c, struct trace *t, const int32_t *tokens, size_t n, bool logits)
{
    struct prism_prefill_params p = { .mask = keep_mask, .mask_user = t, .logits = logits ? keep_logits : NULL, .logits_user = t };
    struct prism_error err;
    assert_true(n <= TRACE_TOKENS);
    must(prism_prefill(c, tokens, n, &p, &err), &err);
    if (logits)
        assert_sound(t->logits, n, t->n_vocab);
    assert_sound(prism_logits(c), 1, t->n_vocab);
}

/* ---- judgement ---- */

struct sight {
    const struct trace *trace;
    size_t block, dense_from;
};

static bool sees(const void *user, size_t layer, size_t head, size_t pos, size_t key)
{
    const struct sight *s = user;
    const uint64_t *row = s->trace->row[layer][head][pos / s->block];
    size_t v = key / s->block;
    return pos >= s->dense_from || !(row[0] | row[1]) || (row[v / 64] >> v % 64 & 1);
}

void trace_judge(const struct trace *t, const prism_model *m, const struct prism_context_params *p, const int32_t *tokens, size_t from,
                 size_t to, size_t dense_from)
{
    struct sight sight = { t, p->attention.block, dense_from };
    double *expected = test_reference_sparse(m, tokens, to, sees, &sight);
    double d = relative_distance(t->logits, expected + from * t->n_vocab, (to - from) * t->n_vocab);

    free(expected);
    assert_within(d, p->compute == PRISM_COMPUTE_F32 ? 1.4e-5 : TRACE_ERROR, "logits against the forward pass in double");
}

bool trace_same_masks(const struct trace *a, const struct trace *b)
{
    size_t calls = 0;
    for (size_t l = 0; l < TRACE_LAYERS; l++)
        calls += a->calls[l] > 0 && b->calls[l] > 0;
    return calls > 0 && !memcmp(a->row, b->row, sizeof a->row);
}

bool trace_same_logits(const struct trace *a, const struct trace *b, size_t from, size_t to)
{
    return !memcmp(a->logits + from * a->n_vocab, b->logits + from * b->n_vocab, (to - from) * a->n_vocab * sizeof(float));
}

struct trace *trace_call(const prism_model *m, const struct prism_context_params *p, const int32_t *tokens, size_t n)
{
    struct trace *t = trace_new(m);
    prism_context *c = make_context(m, p);
    trace_feed(c, t, tokens, n, true);
    prism_context_free(c);
    return t;
}

void trace_same_for_threads(struct trace *one, const prism_model *m, const struct prism_context_params *p, const int32_t *tokens, size_t n)
{
    static const uint32_t threads[] = { 2, 3, 7 };
    struct prism_context_params other = *p;

    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        other.n_threads = threads[i];
        struct trace *many = trace_call(m, &other, tokens, n);
        assert_true(trace_same_masks(one, many));
        assert_true(trace_same_logits(one, many, 0, n));
        trace_free(many);
    }
}
