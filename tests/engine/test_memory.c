/* test_memory.c - what a context is planned to take, how much of it is resident, how much stack the library takes, and (under AddressSanitizer)
 * the red zones between the pieces of its one reservation. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "src/base/redzone.h"
#include "src/engine/context.h"
#include "tests/support/engine_test.h"

static void fill_tokens(int32_t *tokens, size_t n)
{
    for (size_t i = 0; i < n; i++)
        tokens[i] = (int32_t)(i * i % 200);
}

/* ---- what is planned ---- */

static void test_plan(void **state)
{
    (void)state;
    struct tiny_model t = tiny_qwen3();
    prism_model *m = load_tiny(&t, "plan.gguf");
    struct prism_plan plan;
    struct prism_error err;
    struct prism_context_params p = { .n_ctx = 300, .n_threads = 3 };

    must(prism_plan(m, &p, &plan, &err), &err);
    assert_int_equal(plan.n_ctx, 300);
    assert_int_equal(plan.n_threads, 3);
    assert_int_equal(plan.kv_type, PRISM_KV_F16);
    assert_int_equal(plan.v_type, PRISM_KV_F16);
    uint64_t kv = 2ull * 300 * m->n_layer * m->hp.n_head_kv * m->hp.head_dim * 2;
    assert_in_range(plan.kv_bytes, kv, kv + 2 * (m->n_layer + 1) * (63 + PRISM_RED_ZONE + sizeof(void *))); /* each is rounded up to lines */
    assert_int_equal(plan.total_bytes,
                     plan.kv_bytes + plan.activation_bytes + plan.panel_bytes + plan.attention_bytes + plan.logits_bytes);
    p.compute = PRISM_COMPUTE_F32;
    must(prism_plan(m, &p, &plan, &err), &err);
    assert_int_equal(plan.kv_type, PRISM_KV_F32);
    assert_int_equal(plan.v_type, PRISM_KV_F32);
    prism_model_free(m);
}

/* ---- what is resident ---- */

/* Resident bytes of the context's reservation; -1: the system does not tell. */
static double resident(const prism_context *c)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (c->bytes + page - 1) / page, n = 0;
    unsigned char *in = malloc(pages);
    bool known = in && mincore(c->base, pages * page, in) == 0;

    for (size_t i = 0; known && i < pages; i++)
        n += in[i] & 1;
    free(in);
    return known ? (double)(n * page) : -1;
}

/* A short prompt in a large context takes hardly more than in a small one: what the calls fill, and the rest of at most a small page for
 * each piece of which only the beginning is used (two for each head of each layer, here 2 * 2 * 8). */
static void test_resident(void **state)
{
    (void)state;
    enum { N = 512 };
    struct tiny_model t = tiny_llama();
    t.n_head = 8, t.n_head_kv = 8, t.n_layer = 8, t.n_ctx = 131072;
    prism_model *m = load_tiny(&t, "resident.gguf");
    static const char *const selectors[] = { "dense", "auto" };
    int32_t tokens[N];

    fill_tokens(tokens, N);
    for (size_t s = 0; s < 2; s++) {
        double bytes[2];
        for (size_t i = 0; i < 2; i++) {
            struct prism_context_params p = { .n_ctx = i ? 131072 : N, .n_threads = 1, .attention.selector = selectors[s] };
            prism_context *c = make_context(m, &p);
            struct prism_error err;
            must(prism_prefill(c, tokens, N, NULL, &err), &err);
            bytes[i] = resident(c);
            prism_context_free(c);
        }
        if (bytes[0] < 0)
            skip();
        double pieces = 3.0 * t.n_layer * t.n_head_kv + 20; /* keys, values, sums of keys; and those of the context */
        if (!(bytes[1] - bytes[0] <= pieces * 8192 + 2 * (double)PRISM_HUGE_PAGE))
            fail_msg("%s: %.1f MiB with room for 131072 tokens, %.1f MiB for %d", selectors[s], bytes[1] / 1048576, bytes[0] / 1048576, N);
    }
    prism_model_free(m);
}

/* Long prompts do get huge pages in the cache, where a head's tokens fill them. */
static double huge_bytes(const void *from, const void *end)
{
    FILE *f = fopen("/proc/self/smaps", "r");
    unsigned long long a, b, kb, sum = 0;
    bool inside = false;
    char line[512];

    if (!f)
        return -1;
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%llx-%llx %*4s", &a, &b) == 2)
            inside = a >= (uintptr_t)from && b <= (uintptr_t)end;
        else if (inside && sscanf(line, "AnonHugePages: %llu kB", &kb) == 1)
            sum += kb << 10;
    }
    fclose(f);
    return (double)sum;
}

static void test_huge_cache(void **state)
{
    (void)state;
    enum { N = 4096 + 16 };
    struct tiny_model t = tiny_llama();
    t.n_head = 2, t.n_head_kv = 2, t.head_dim = 256, t.n_layer = 1, t.n_ctx = 65536;
    prism_model *m = load_tiny(&t, "huge.gguf");
    prism_context *c = make_context(m, &(struct prism_context_params){ .n_ctx = 65536, .attention.selector = "dense", .kv_type = PRISM_KV_F32 });
    int32_t *tokens = malloc(N * sizeof *tokens);
    struct prism_error err;
    FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
    char allowed[64] = "[never]";

    if (f) {
        if (!fgets(allowed, sizeof allowed, f))
            strcpy(allowed, "[never]");
        fclose(f);
    }
    fill_tokens(tokens, N);
    must(prism_prefill(c, tokens, N, NULL, &err), &err);
    double huge = huge_bytes(c->base + c->fixed_bytes, c->base + c->bytes);
    free(tokens);
    prism_context_free(c);
    prism_model_free(m);
    if (strstr(allowed, "[never]") || huge < 0)
        skip();
    assert_true(huge >= 4 * (double)PRISM_HUGE_PAGE); /* 4 MiB per head, keys and values: one whole page in each, at least */
}

/* ---- stack ---- */

enum { STACK = 256 << 10 };

struct caller {
    const char *path;
    enum prism_compute compute;
    int level;
    const char *selector;
};

/* What is kept of c, in a clone and in a file. */
static bool keep_everything(prism_context *c, const struct caller *a, const int32_t *tokens)
{
    char file[4200];
    prism_context *clone;
    struct prism_session_info info;

    snprintf(file, sizeof file, "%s.session", a->path);
    if (prism_prefill_to(c, tokens, 590, &(struct prism_prefill_params){ .cut = 300 }, NULL, NULL) || prism_context_clone(c, &clone, NULL))
        return false;
    bool ok = prism_session_save(c, file, NULL) == PRISM_OK && prism_session_info(file, &info, NULL) == PRISM_OK &&
              prism_truncate(clone, 0, NULL) == PRISM_OK && prism_session_load(clone, file, NULL) == PRISM_OK;
    prism_context_free(clone);
    return ok;
}

static void *call_everything(void *arg)
{
    const struct caller *a = arg;
    static int32_t tokens[600];
    struct prism_error err;
    prism_context *c;
    prism_model *m;
    size_t n = 0;
    bool ok = false;
    struct prism_context_params p = { .n_ctx = 700, .n_threads = 1, .level = a->level, .compute = a->compute, .attention.selector = a->selector };

    fill_tokens(tokens, 600);
    if (prism_model_load(a->path, NULL, &m, &err))
        return NULL;
    if (prism_tokenize(m, "The quick brown fox", 19, PRISM_PARSE_SPECIAL, NULL, 0, &n, &err) == PRISM_OK &&
        prism_context_create(m, &p, &c, &err) == PRISM_OK) {
        ok = prism_prefill(c, tokens, 600, NULL, &err) == PRISM_OK && prism_decode(c, 5, &err) == PRISM_OK &&
             prism_prefill(c, tokens, 12, NULL, &err) == PRISM_OK && keep_everything(c, a, tokens);
        prism_context_free(c);
    }
    prism_model_free(m);
    return ok ? arg : NULL;
}

/* Bytes of the stack that a thread writes while it calls, found by what is left of a pattern. */
static size_t stack_used(struct caller *a)
{
    uint8_t *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_t attr;
    pthread_t thread;
    void *ok = NULL;
    size_t untouched = 0;

    assert_true(stack != MAP_FAILED);
    memset(stack, 0x5a, STACK);
    pthread_attr_init(&attr);
    assert_int_equal(pthread_attr_setstack(&attr, stack, STACK), 0);
    assert_int_equal(pthread_create(&thread, &attr, call_everything, a), 0);
    pthread_join(thread, &ok);
    pthread_attr_destroy(&attr);
    assert_non_null(ok);
    while (untouched < STACK && stack[untouched] == 0x5a)
        untouched++;
    munmap(stack, STACK);
    return STACK - untouched;
}

static void test_stack(void **state)
{
    (void)state;
    struct tiny_model t = tiny_qwen3();
    t.n_ff = 256;
    char path[4096];

    if (PRISM_RED_ZONE) /* sanitizers pad every frame */
        skip();
    snprintf(path, sizeof path, "%s", tiny_write(&t, "stack.gguf"));
    for (int level = 0; level < prism_level_count(); level++)
        for (int s = -1; s < prism_selector_count() && prism_level_supported(level); s++)
            for (int mode = 0; mode < 2; mode++) {
                struct caller a = { path, (enum prism_compute)mode, level + 1, s < 0 ? "dense" : prism_selector_name(s) };
                size_t used = stack_used(&a);
                if (used > PRISM_MIN_STACK)
                    fail_msg("level %s, selector %s: %zu bytes of stack, documented %d", prism_level_name(level), a.selector, used, PRISM_MIN_STACK);
            }
}

/* ---- red zones ---- */

#ifdef __SANITIZE_ADDRESS__
static void assert_zone(const void *piece, size_t bytes, const char *name)
{
    const char *end = (const char *)piece + bytes;

    if (__asan_region_is_poisoned((void *)piece, bytes))
        fail_msg("%s: poisoned inside", name);
    for (size_t i = 0; i < PRISM_RED_ZONE; i++)
        if (!__asan_address_is_poisoned(end + i))
            fail_msg("%s: %zu bytes behind its end may be written", name, i);
}

/* Each piece, up to its last byte and from the one behind it. */
static void test_red_zones(void **state)
{
    (void)state;
    enum { N_CTX = 333 };
    struct tiny_model t = tiny_qwen3();
    prism_model *m = load_tiny(&t, "zones.gguf");
    prism_context *c = make_context(m, &(struct prism_context_params){ .n_ctx = N_CTX, .n_threads = 3, .attention.selector = "prism" });
    size_t d = t.head_dim, kv = (size_t)t.n_head_kv * N_CTX * d * 2;

    for (size_t l = 0; l < t.n_layer; l++)
        assert_zone(c->k_cache.layer[l], kv, "keys");
    for (size_t l = 0; l < t.n_layer; l++)
        assert_zone(c->v_cache.layer[l], kv, "values");
    assert_zone(c->x, N_CTX * t.n_embd * sizeof(float), "x");
    assert_zone(c->q, N_CTX * t.n_head * d * sizeof(float), "q");
    assert_zone(c->tokens, N_CTX * sizeof(int32_t), "tokens");
    assert_zone(c->rope[0].cos, N_CTX * d / 2 * sizeof(float), "cosines");
    assert_zone(c->rope[0].sin, N_CTX * d / 2 * sizeof(float), "sines");
    assert_zone(c->logits, m->n_vocab * sizeof(float), "logits");
    assert_zone(c->logits_rows, 16 * m->n_vocab * sizeof(float), "rows of logits");
    assert_zone(c->layer_stats, t.n_layer * sizeof *c->layer_stats, "statistics");
    assert_zone(c->blocks, (N_CTX + 63) / 64 * sizeof(uint32_t), "blocks");
    assert_zone(c->cuts, (N_CTX + 63) / 64 + 1, "cuts");
    for (size_t l = 0; l < t.n_layer; l++)
        assert_zone(c->selection.pooled[l].k_sum, t.n_head_kv * c->selection.max_blocks * d * sizeof(float), "sums of keys");
    assert_zone(c->selection.q_mean, t.n_head * c->selection.max_blocks * d * sizeof(float), "means of queries");
    for (uint32_t i = 0; i < 3; i++)
        assert_zone(prism_thread_scratch(c, i), c->thread_used, "scratch of a thread");
    prism_context_free(c);
    prism_model_free(m);
}
#else
static void test_red_zones(void **state)
{
    (void)state;
    skip(); /* there are none */
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan),  cmocka_unit_test(test_resident),  cmocka_unit_test(test_huge_cache),
        cmocka_unit_test(test_stack), cmocka_unit_test(test_red_zones),
    };
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
