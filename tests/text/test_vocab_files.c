/* test_vocab_files.c - files of small vocabularies: every refusal and warning of a damaged tokenizer, and what holds without keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/small_vocab.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void drop_tokens(struct gb *g) { gb_remove(g, KEY("tokens")); }
static void tokens_are_numbers(struct gb *g) { gb_array(g, KEY("tokens"), PRISM_GV_I32, N_BPE, small_bpe_types, sizeof small_bpe_types); }
static void tokens_are_one_text(struct gb *g) { gb_str(g, KEY("tokens"), "abc"); }
static void no_tokens(struct gb *g) { gb_strings(g, KEY("tokens"), NULL, 0); }
static void few_types(struct gb *g) { gb_array(g, KEY("token_type"), PRISM_GV_I32, 3, small_bpe_types, 12); }
static void float_types(struct gb *g) { gb_array(g, KEY("token_type"), PRISM_GV_F32, N_BPE, small_bpe_types, sizeof small_bpe_types); }
static void few_scores(struct gb *g) { gb_array(g, KEY("scores"), PRISM_GV_F32, N_SPM - 1, small_spm_scores, sizeof small_spm_scores - 4); }
static void drop_scores(struct gb *g) { gb_remove(g, KEY("scores")); }
static void drop_merges(struct gb *g) { gb_remove(g, KEY("merges")); }
static void merges_are_numbers(struct gb *g) { gb_array(g, KEY("merges"), PRISM_GV_I32, 4, small_bpe_types, 16); }
static void drop_model(struct gb *g) { gb_remove(g, KEY("model")); }
static void model_bert(struct gb *g) { gb_str(g, KEY("model"), "bert"); }
static void pre_unknown(struct gb *g) { gb_str(g, KEY("pre"), "kimi-k2"); }
static void pre_number(struct gb *g) { gb_u32(g, KEY("pre"), 3); }
static void bos_text(struct gb *g) { gb_str(g, KEY("bos_token_id"), "1"); }
static void flag_number(struct gb *g) { gb_u32(g, KEY("add_bos_token"), 1); }
static void twins(struct gb *g)
{
    const char *t[N_BPE];
    memcpy(t, small_bpe_tokens, sizeof t);
    t[ABD] = "ab";
    gb_strings(g, KEY("tokens"), t, N_BPE);
}
static void unchanged(struct gb *g) { (void)g; }

static void refusals(void **state)
{
    (void)state;
    static const struct {
        struct gb *(*file)(void);
        void (*damage)(struct gb *g);
        uint64_t n_expected;
        enum prism_status status;
        const char *says;
    } rows[] = {
        {small_bpe_file, drop_tokens, 0, PRISM_E_FORMAT, KEY("tokens") ": expected an array of strings, found nothing"},
        {small_bpe_file, tokens_are_numbers, 0, PRISM_E_FORMAT, KEY("tokens") ": expected an array of strings, found another type"},
        {small_bpe_file, tokens_are_one_text, 0, PRISM_E_FORMAT, KEY("tokens") ": expected an array of strings, found another type"},
        {small_bpe_file, no_tokens, 0, PRISM_E_FORMAT, KEY("tokens") ": expected 1 entries, found 0"},
        {small_bpe_file, unchanged, 32, PRISM_E_FORMAT, KEY("tokens") ": expected 32 entries (from token_embd.weight), found 21"},
        {small_spm_file, unchanged, 7, PRISM_E_FORMAT, KEY("tokens") ": expected 7 entries (from token_embd.weight), found 20"},
        {small_bpe_file, few_types, 0, PRISM_E_FORMAT, KEY("token_type") ": expected 21 entries, found 3"},
        {small_bpe_file, float_types, 0, PRISM_E_FORMAT, KEY("token_type") ": expected an array of i32, found another type"},
        {small_spm_file, few_scores, 0, PRISM_E_FORMAT, KEY("scores") ": expected 20 entries, found 19"},
        {small_spm_file, drop_scores, 0, PRISM_E_FORMAT, KEY("scores") ": expected an array of f32, found nothing"},
        {small_bpe_file, few_scores, 0, PRISM_E_FORMAT, KEY("scores") ": expected 21 entries, found 19"},
        {small_bpe_file, drop_merges, 0, PRISM_E_FORMAT, KEY("merges") ": expected an array of strings, found nothing"},
        {small_bpe_file, merges_are_numbers, 0, PRISM_E_FORMAT, KEY("merges") ": expected an array of strings, found another type"},
        {small_bpe_file, drop_model, 0, PRISM_E_FORMAT, KEY("model")},
        {small_bpe_file, model_bert, 0, PRISM_E_UNSUPPORTED, KEY("model") ": expected gpt2, llama or gemma4, found unknown value \"bert\""},
        {small_bpe_file, pre_unknown, 0, PRISM_E_UNSUPPORTED, "found unknown value \"kimi-k2\""},
        {small_bpe_file, pre_number, 0, PRISM_E_FORMAT, KEY("pre")},
        {small_bpe_file, bos_text, 0, PRISM_E_FORMAT, KEY("bos_token_id")},
        {small_bpe_file, flag_number, 0, PRISM_E_FORMAT, KEY("add_bos_token")},
        {small_bpe_file, twins, 0, PRISM_E_FORMAT, KEY("tokens") ": expected distinct texts, found \"ab\" as tokens 6 and 11"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct small_vocab l;
        struct gb *file = rows[i].file();
        rows[i].damage(file);
        small_load(&l, file, rows[i].n_expected);
        if (l.status != rows[i].status || !strstr(l.err.text, rows[i].says) || strncmp(l.err.text, l.g->path, strlen(l.g->path)))
            fail_msg("row %zu: expected %d \"%s\", found %d \"%s\"", i, rows[i].status, rows[i].says, l.status, l.err.text);
        small_unload(&l);
    }
}

static void odd_merges(struct gb *g)
{
    static const char *const m[] = {"a b", "ab", "a zz", " a", "zz a", "d d", "a ", "", "b c"};
    gb_strings(g, KEY("merges"), m, COUNT(m));
}
static void ids_out_of_range(struct gb *g)
{
    gb_u32(g, KEY("bos_token_id"), N_BPE);
    gb_u32(g, KEY("eos_token_id"), UINT32_MAX);
}
static void empty_text(struct gb *g)
{
    const char *t[N_BPE];
    memcpy(t, small_bpe_tokens, sizeof t);
    t[ONE] = t[BOS] = "";
    gb_strings(g, KEY("tokens"), t, N_BPE);
}
/* The left half has at least one byte, so this is " b" and "c". */
static void leading_space(struct gb *g)
{
    const char *t[N_BPE];
    static const char *const m[] = {"a b", "b c", " b c"};
    memcpy(t, small_bpe_tokens, sizeof t);
    t[ONE] = " b";
    t[ABD] = " bc";
    gb_strings(g, KEY("tokens"), t, N_BPE);
    gb_strings(g, KEY("merges"), m, COUNT(m));
}
static void pre_missing(struct gb *g) { gb_remove(g, KEY("pre")); }
static void odd_types(struct gb *g)
{
    int32_t t[N_BPE];
    memcpy(t, small_bpe_types, sizeof t);
    t[ABD] = -3;
    t[CD] = 1000;
    gb_array(g, KEY("token_type"), PRISM_GV_I32, N_BPE, t, sizeof t);
}

static void warnings(void **state)
{
    (void)state;
    static const struct {
        void (*damage)(struct gb *g);
        const char *says;
        int lines;
    } rows[] = {
        {odd_merges, KEY("merges") ": expected pairs of known tokens, found 7 others, ignored; first: index 1", 1},
        {ids_out_of_range, KEY("bos_token_id") ": expected an id below 21, found 21, ignored", 2},
        {empty_text, KEY("tokens") ": expected texts, found 2 empty ones, ignored; first: token 5", 1},
        {pre_missing, KEY("pre") ": expected the model's pre-tokenizer", 1},
        {leading_space, "", 0},
        {odd_types, "", 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct small_vocab l;
        struct gb *file = small_bpe_file();
        rows[i].damage(file);
        small_load_good(&l, file);
        int lines = 0;
        for (const char *p = l.warnings; *p; p++)
            lines += *p == '\n';
        if (lines != rows[i].lines || !strstr(l.warnings, rows[i].says))
            fail_msg("row %zu: expected %d lines, \"%s\", found %s", i, rows[i].lines, rows[i].says, l.warnings);
        IDS(l.v, "bca", 0, BC, A, END);
        small_unload(&l);
    }
}

static void defaults_without_keys(void **state)
{
    (void)state;
    struct small_vocab l;
    struct prism_vocab_facts f;
    struct gb *file = small_bpe_file();
    gb_remove(file, KEY("bos_token_id"));
    gb_remove(file, KEY("eos_token_id"));
    gb_remove(file, KEY("pre"));
    small_load_good(&l, file);
    prism_vocab_facts(l.v, &f);
    assert_string_equal(f.pre, "default");
    assert_int_equal(f.bos, 11);
    assert_int_equal(f.eos, 11);
    assert_false(f.add_bos || f.add_eos || f.add_space_prefix);
    small_unload(&l);

    small_load_good(&l, small_spm_file());
    prism_vocab_facts(l.v, &f);
    assert_string_equal(f.model, "llama");
    assert_int_equal(f.bos, 1);
    assert_int_equal(f.eos, 2);
    assert_true(f.add_bos && !f.add_eos && f.add_space_prefix);
    small_unload(&l);

    /* 8 tokens: the default ids do not exist */
    file = small_bpe_file();
    gb_strings(file, KEY("tokens"), small_bpe_tokens, 8);
    gb_remove(file, KEY("bos_token_id"));
    gb_remove(file, KEY("eos_token_id"));
    small_load_good(&l, file);
    prism_vocab_facts(l.v, &f);
    assert_int_equal(f.bos, -1);
    assert_int_equal(f.eos, -1);
    IDS(l.v, "abc", PRISM_ADD_SPECIAL, AB, C, END);
    small_unload(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals),
        cmocka_unit_test(warnings),
        cmocka_unit_test(defaults_without_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
