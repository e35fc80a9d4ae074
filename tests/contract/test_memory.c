/* test_memory.c - what prism.h says about memory: a context is one reservation of the bytes that its plan tells, its functions allocate nothing
 * once it has run, and a call for which there is no memory fails in words, whichever allocation it is that fails. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "tests/support/allocations.h"
#include "tests/support/contract_model.h"
#include "tests/support/data.h"
#include "tests/support/engine_test.h"

#ifdef COUNTS_ALLOCATIONS

enum { N = 200, N_CTX = N + 20 };

/* Hidden: the mappings of the library itself. Those of shared libraries are not counted. */
static size_t mapped_bytes, mappings;

void *mmap(void *addr, size_t n, int prot, int flags, int fd, off_t offset)
{
    if (fd < 0)
        mapped_bytes += n, mappings++;
    return (void *)syscall(SYS_mmap, addr, n, prot, flags, fd, offset);
}

/* What is cut off to align the rest. */
int munmap(void *addr, size_t n)
{
    mapped_bytes -= n;
    return (int)syscall(SYS_munmap, addr, n);
}

/* ---- the plan ---- */

static void test_reservation(void **state)
{
    (void)state;
    for (int prism = 0; prism < 2; prism++)
        for (int f32 = 0; f32 < 2; f32++) {
            struct prism_context_params p = trace_params(N_CTX);
            struct prism_plan plan;
            p.attention.selector = prism ? "prism" : "dense", p.compute = (enum prism_compute)f32;
            assert_int_equal(prism_plan(model, &p, &plan, NULL), PRISM_OK);
            assert_int_equal(plan.total_bytes,
                             plan.kv_bytes + plan.activation_bytes + plan.panel_bytes + plan.attention_bytes + plan.logits_bytes);
            mapped_bytes = mappings = 0;
            prism_context *c = make_context(model, &p);
            assert_int_equal(mappings, 1);
            assert_true(mapped_bytes >= plan.total_bytes && mapped_bytes - plan.total_bytes < 4096); /* whole pages */
            assert_int_equal(prism_prefill(c, tokens, N, NULL, NULL), PRISM_OK);
            assert_int_equal(mappings, 1);
            prism_context_free(c);
        }
}

/* ---- nothing is allocated later ---- */

static int go_on(void *user, const struct prism_progress *p) { return p->done > p->total / 2 && *(bool *)user; }
static void take_rows(void *user, size_t row, size_t n, const float *logits) { (void)user, (void)row, (void)n, (void)logits; }
static void take_mask(void *user, const struct prism_attention_mask *mask) { (void)user, (void)mask; }

static void use_everything(prism_context *c)
{
    bool stop = false;
    struct prism_prefill_params p = { .progress = go_on, .progress_user = &stop, .mask = take_mask };
    struct prism_error err;
    struct prism_stats stats;
    struct prism_head_stats head;
    struct prism_layer_stats layer;

    assert_int_equal(prism_prefill(c, tokens, N, &p, &err), PRISM_OK);
    assert_int_equal(prism_truncate(c, 45, &err), PRISM_OK);
    p.logits = take_rows;
    assert_int_equal(prism_prefill(c, tokens, 100, &p, &err), PRISM_OK);
    stop = true;
    assert_int_equal(prism_prefill(c, tokens, 50, &p, &err), PRISM_E_CANCELLED);
    assert_int_equal(prism_prefill(c, tokens, N, &p, &err), PRISM_E_LENGTH);
    for (int i = 0; i < 10; i++)
        assert_int_equal(prism_decode(c, tokens[i], &err), PRISM_OK);
    assert_non_null(prism_logits(c));
    assert_int_equal(prism_length(c), 155);
    assert_true(prism_tokens(c)[154] == tokens[9]);
    assert_int_equal(prism_prefill_to(c, tokens, 150, &(struct prism_prefill_params){ .cut = 100 }, NULL, &err), PRISM_OK);
    prism_get_stats(c, &stats);
    assert_true(prism_get_head_stats(c, 0, 0, &head) && prism_get_layer_stats(c, 0, &layer));
    prism_stats_reset(c);
}

static void check_context(const char *selector, bool bind)
{
    struct prism_context_params p = trace_params(N_CTX);
    p.attention.selector = selector, p.n_threads = 2, p.bind_threads = bind;
    prism_context *c = make_context(model, &p);

    long before = atomic_load(&allocations);
    use_everything(c);
    assert_int_equal(atomic_load(&allocations) - before, 0);
    prism_context_free(c);
}

static void test_unbound(void **state)
{
    (void)state;
    check_context("dense", false);
    for (int i = 0; i < prism_selector_count(); i++)
        check_context(prism_selector_name(i), false);
}

static void test_bound(void **state)
{
    (void)state;
    check_context("dense", true);
    check_context("prism", true);
}

static void test_threads_and_peak(void **state)
{
    struct prism_context_params p = trace_params(N_CTX);
    int core[PRISM_MAX_THREADS];

    (void)state;
    p.n_threads = 2;
    for (int bind = 0; bind < 2; bind++) {
        p.bind_threads = bind;
        prism_context *c = make_context(model, &p);
        long before = atomic_load(&allocations);
        assert_int_equal(prism_threads(c, core, PRISM_MAX_THREADS), 2);
        assert_true(prism_peak_gops(c, "f32") >= 0);
        assert_int_equal(atomic_load(&allocations) - before, 0);
        prism_context_free(c);
    }
}

/* The functions without a context, but for those that make something. */
static void test_small_functions(void **state)
{
    struct prism_sampling s = { .temp = 1, .top_k = 20, .top_p = 0.9f, .min_p = 0.01f, .state = 1 };
    struct prism_utf8 utf8 = { 0 };
    struct prism_model_info info;
    float *logits = calloc(n_vocab, sizeof *logits);
    void *scratch = malloc(8 * n_vocab);
    char text[4096], out[64];
    long before = atomic_load(&allocations);

    (void)state;
    prism_model_info(model, &info);
    for (int i = 0; i < prism_level_count(); i++)
        assert_true(prism_level_name(i) && (prism_level_supported(i) || i > 0));
    assert_true(prism_kernels_text(-1, text, sizeof text) > 0);
    assert_true(prism_version() && prism_status_text(PRISM_OK) && prism_selector_name(0));
    assert_true(prism_sample(&s, logits, n_vocab, scratch) >= 0);
    assert_true(prism_log_prob(logits, n_vocab, 0) < 0);
    for (size_t i = 0; i < n_vocab; i++)
        assert_true(prism_token_bytes(model, (int32_t)i, true, false, text, sizeof text) < sizeof text || prism_token_is_eog(model, (int32_t)i));
    assert_int_equal(prism_utf8_push(&utf8, "\xC3\xA4", 2, true, out), 2);
    assert_true(prism_model_meta(model, "tokenizer.ggml.tokens", text, sizeof text) > 0 && prism_model_meta(model, "absent", text, 9) < 0);
    assert_null(prism_model_chat_template(model, NULL));
    assert_int_equal(atomic_load(&allocations) - before, 0);
    free(logits);
    free(scratch);
}

/* ---- no memory ---- */

/* Runs out after each number of allocations in turn, until the call gets by with them. Returns how many it takes. */
static long sweep(enum prism_status (*call)(struct prism_error *err))
{
    struct prism_error err;

    for (long allowed = 0; allowed < 100000; allowed++) {
        memset(&err, 0xA5, sizeof err);
        atomic_store(&allocations_allowed, allowed);
        enum prism_status s = call(&err);
        atomic_store(&allocations_allowed, LONG_MAX);
        if (s == PRISM_OK)
            return allowed;
        if (s != PRISM_E_NOMEM || err.status != s || !err.text[0])
            fail_msg("with %ld allocations: %s: %.200s", allowed, prism_status_text(s), err.text);
    }
    fail_msg("it never succeeds");
    return 0;
}

static const char *path;

static enum prism_status load(struct prism_error *err)
{
    prism_model *m = (prism_model *)&m;
    enum prism_status s = prism_model_load(path, NULL, &m, err);

    assert_true((s == PRISM_OK) == (m != NULL));
    prism_model_free(m);
    return s;
}

static enum prism_status tokenize(struct prism_error *err)
{
    static const char text[] = "Twelve words, <|im_end|> and a byte that is not UTF-8: \xFF.";
    int32_t ids[64];
    size_t n;

    return prism_tokenize(model, text, sizeof text - 1, PRISM_ADD_SPECIAL | PRISM_PARSE_SPECIAL, ids, 64, &n, err);
}

/* Messages that do not fit into one piece of a rendering's memory. */
static enum prism_status chat(struct prism_error *err)
{
    static const struct prism_chat_params p = {
        .template_text = "{% macro turn(m) %}<|{{ m.role }}|>{{ m.content|trim }}{% endmacro %}{% set ns = namespace(n=0) %}"
                         "{% for m in messages %}{{ turn(m) }}{% set ns.n = ns.n + m.content.split('a')|length %}{% endfor %}{{ ns.n }}"
    };
    static char text[200000];
    struct prism_message messages[2] = { { "user", text, sizeof text }, { "assistant", "<|im_end|>", 10 } };
    size_t n;

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "a few words "[i % 12];
    return prism_chat_tokenize(model, messages, 2, &p, NULL, 0, &n, err);
}

static enum prism_status render(struct prism_error *err)
{
    static const struct prism_message hello = { "user", "Hello", 5 };
    static const struct prism_chat_params p = { .template_text = "chatml" };
    size_t n;

    return prism_chat_render(model, &hello, 1, &p, NULL, 0, &n, err);
}

static void test_chat_without_memory(void **state)
{
    (void)state;
    assert_true(sweep(chat) > 10);
    assert_true(sweep(render) > 2);
}

static void test_load_without_memory(void **state)
{
    struct tiny_model kinds[3] = { tiny_llama(), tiny_qwen2(), tiny_llama() };

    (void)state;
    kinds[2].vocab = "llama";
    for (size_t i = 0; i < 3; i++) {
        path = tiny_write(&kinds[i], "memory.gguf");
        assert_true(sweep(load) > 10);
    }
    struct gb *g = tiny_build(&kinds[0]);
    gb_str(g, "tokenizer.chat_template", "default");
    gb_str(g, "tokenizer.chat_template.tool_use", "another");
    path = gb_write(g, "memory.gguf");
    assert_true(sweep(load) > 10);
    gb_free(g);
}

static void test_tokenize_without_memory(void **state)
{
    (void)state;
    assert_true(sweep(tokenize) > 2);
}

static prism_context *context;

static enum prism_status clone(struct prism_error *err)
{
    prism_context *c = (prism_context *)&c;
    enum prism_status s = prism_context_clone(context, &c, err);

    assert_true((s == PRISM_OK) == (c != NULL));
    prism_context_free(c);
    return s;
}

static enum prism_status save(struct prism_error *err) { return prism_session_save(context, path, err); }

static enum prism_status load_session(struct prism_error *err)
{
    enum prism_status s = prism_session_load(context, path, err);

    assert_int_equal(prism_length(context), s ? 0 : N);
    return s;
}

static void test_sessions_without_memory(void **state)
{
    struct prism_context_params p = trace_params(N_CTX);
    struct prism_error err;
    char name[600];

    (void)state;
    snprintf(name, sizeof name, "%s/memory.session", test_tmp_dir());
    path = name;
    p.attention.selector = "prism-rows";
    context = make_context(model, &p);
    must(prism_prefill(context, tokens, N, NULL, &err), &err);
    assert_true(sweep(clone) > 2);
    assert_true(sweep(save) > 2);
    must(prism_truncate(context, 0, &err), &err);
    assert_true(sweep(load_session) > 2);
    prism_context_free(context);
}

static int set_up(void **state)
{
    (void)state;
    return contract_set_up("model.gguf", 3, N);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reservation),      cmocka_unit_test(test_unbound),
        cmocka_unit_test(test_bound),            cmocka_unit_test(test_threads_and_peak),
        cmocka_unit_test(test_small_functions),  cmocka_unit_test(test_load_without_memory),
        cmocka_unit_test(test_tokenize_without_memory), cmocka_unit_test(test_sessions_without_memory),
        cmocka_unit_test(test_chat_without_memory),
    };
    return cmocka_run_group_tests_name("memory", tests, set_up, contract_tear_down);
}

#else

static void test_all(void **state)
{
    (void)state;
    print_message("skipped: allocations are not counted under a sanitizer\n");
    skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_all) };
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}

#endif
