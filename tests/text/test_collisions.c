/* test_collisions.c - files made to collide: tokens, keys and merges that an unseeded hash puts into a handful of slots. What counts is
 * the longest run of used slots in the tables (linear probing walks it), not time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/gguf/index.h"
#include "src/text/internal.h"
#include "tests/support/gguf_build.h"

#define KEY(name) "tokenizer.ggml." name

enum { N = 4096, SLOTS = 8192, HOMES = 64 }; /* N texts that an unseeded hash would send to the first HOMES of SLOTS slots */

/* Tables are at most two thirds full. Runs of random keys are then shorter than 200 with all but a probability of about 1e-9; N crafted ones
 * make one of N. */
enum { LONGEST_RUN = 400 };

/* The hash that the tables once had: FNV-1a, folded. */
static uint64_t fnv(const char *p, size_t n)
{
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint8_t)p[i]) * 0x100000001B3u;
    return h ^ h >> 32;
}

/* N distinct texts whose hashes agree but for a few bits. */
static char (*crafted(void))[12]
{
    char(*texts)[12] = calloc(N, sizeof *texts);
    assert_non_null(texts);
    size_t n = 0;
    for (unsigned i = 0; n < N; i++) {
        snprintf(texts[n], sizeof texts[n], "t%08x", i);
        n += (fnv(texts[n], 9) & (SLOTS - 1)) < HOMES;
    }
    return texts;
}

struct run {
    size_t now, longest;
};

static void count_slot(struct run *r, bool used)
{
    r->now = used ? r->now + 1 : 0;
    r->longest = r->now > r->longest ? r->now : r->longest;
}

/* A test of the attack itself: the old hash with linear probing puts all into one run. */
static void the_attack_works(void **state)
{
    (void)state;
    char(*texts)[12] = crafted();
    static bool used[SLOTS];
    struct run r = { 0 };
    for (size_t i = 0; i < N; i++) {
        size_t slot = fnv(texts[i], 9) & (SLOTS - 1);
        while (used[slot])
            slot = (slot + 1) & (SLOTS - 1);
        used[slot] = true;
    }
    for (size_t i = 0; i < SLOTS; i++)
        count_slot(&r, used[i]);
    assert_int_equal(r.longest, N);
    free(texts);
}

static void keys_and_names(void **state)
{
    (void)state;
    char(*texts)[12] = crafted();
    struct prism_index *ix = prism_index_new();
    struct run r = { 0 };
    uint64_t held;
    assert_non_null(ix);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(prism_index_add(ix, texts[i], 9, i, &held), 0);
        assert_true(held == PRISM_INDEX_NONE);
    }
    for (size_t i = 0; i < ix->cap; i++)
        count_slot(&r, ix->slots[i].name != NULL);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(prism_index_find(ix, texts[i], 9), i);
    prism_index_free(ix);
    free(texts);
    assert_true(r.longest < LONGEST_RUN);
}

static struct prism_vocab *load(struct gb *file, struct prism_gguf **g)
{
    struct prism_vocab *v = NULL;
    struct prism_error err = { 0 };
    if (prism_gguf_open(gb_write(file, "collide.gguf"), (struct prism_log){ 0 }, g, &err) || prism_vocab_load(*g, 0, &v, &err))
        fail_msg("%s", err.text);
    gb_free(file);
    return v;
}

static void tokens(void **state)
{
    (void)state;
    char(*texts)[12] = crafted();
    const char *list[N];
    for (size_t i = 0; i < N; i++)
        list[i] = texts[i];
    struct gb *file = gb_new();
    struct prism_gguf *g;
    struct run r = { 0 };
    gb_str(file, KEY("model"), "gpt2");
    gb_str(file, KEY("pre"), "gpt-2");
    gb_strings(file, KEY("tokens"), list, N);
    gb_strings(file, KEY("merges"), NULL, 0);
    struct prism_vocab *v = load(file, &g);
    for (uint64_t i = 0; i <= v->ids.mask; i++)
        count_slot(&r, v->ids.slots[i].id >= 0);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(prism_token_find(v, texts[i], 9), i);
    assert_int_equal(prism_token_find(v, "t", 1), -1);
    prism_vocab_free(v);
    prism_gguf_close(g);
    free(texts);
    assert_true(r.longest < LONGEST_RUN);
}

/* Multiplied by the constant that the table once had, the pairs have the same upper bits. */
enum { PARTS = 1200 };
static bool collides(unsigned left, unsigned right)
{
    return (((uint64_t)left << 32 | right) * 0x9E3779B97F4A7C15u) >> 51 < HOMES; /* 51: 8192 slots for 4096 merges */
}

static void merges(void **state)
{
    (void)state;
    struct texts {
        char token[PARTS + N][8], merge[N][8];
    } *t = calloc(1, sizeof *t);
    const char *tokens[PARTS + N], *merges[N];
    assert_non_null(t);
    for (unsigned i = 0; i < PARTS; i++)
        snprintf(t->token[i], sizeof t->token[i], "%03x", i);
    size_t n = 0;
    for (unsigned left = 0; left < PARTS && n < N; left++)
        for (unsigned right = 0; right < PARTS && n < N; right++)
            if (collides(left, right)) {
                snprintf(t->token[PARTS + n], sizeof t->token[0], "%03x%03x", left, right);
                snprintf(t->merge[n++], sizeof t->merge[0], "%03x %03x", left, right);
            }
    assert_int_equal(n, N);
    for (size_t i = 0; i < PARTS + N; i++)
        tokens[i] = t->token[i];
    for (size_t i = 0; i < N; i++)
        merges[i] = t->merge[i];
    struct gb *file = gb_new();
    struct prism_gguf *g;
    struct run r = { 0 };
    gb_str(file, KEY("model"), "gpt2");
    gb_str(file, KEY("pre"), "gpt-2");
    gb_strings(file, KEY("tokens"), tokens, PARTS + N);
    gb_strings(file, KEY("merges"), merges, N);
    struct prism_vocab *v = load(file, &g);
    size_t used = 0;
    for (uint64_t i = 0; i <= v->pairs.mask; i++) {
        count_slot(&r, v->pairs.slots[i].key != UINT64_MAX);
        used += v->pairs.slots[i].key != UINT64_MAX;
    }
    assert_int_equal(used, N);
    for (size_t i = 0; i < N; i++) {
        int32_t left = prism_token_find(v, t->merge[i], 3), right = prism_token_find(v, t->merge[i] + 4, 3);
        const struct prism_pair *p = prism_pair_find(v, left, right);
        assert_true(p && p->rank == i && p->merged == (int32_t)(PARTS + i));
    }
    prism_vocab_free(v);
    prism_gguf_close(g);
    free(t);
    assert_true(r.longest < LONGEST_RUN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_attack_works), cmocka_unit_test(keys_and_names), cmocka_unit_test(tokens), cmocka_unit_test(merges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
