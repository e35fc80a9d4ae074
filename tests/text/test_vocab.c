/* test_vocab.c - small vocabularies made here: merging against a naive implementation, special tokens, defaults, and every
 * refusal and warning of a damaged tokenizer. Whole vocabularies: test_tokenizer.c. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/gguf/gguf.h"
#include "src/model/model.h"
#include "src/text/vocab.h"
#include "tests/support/data.h"
#include "tests/support/gguf_build.h"

#define KEY(name) "tokenizer.ggml." name
#define COUNT(a) (sizeof(a) / sizeof *(a))
#define SP "\xE2\x96\x81"

/* ---- byte-level BPE: a b c d and a few merges ---- */

static const char *const bpe_tokens[] = {
    "a", "b", "c", "d", "\xC4\xA0" /* space */, "1", "ab", "bc", "abc", "aa", ("\xC4\xA0" "a"), "abd",
    "<s>", "<user>", "<|im_end|>", "cd", "abcd", "\xC3\xA9" /* the byte E9 */, "<s><user>", "user", "caa",
};
enum { A, B, C, D, SPACE, ONE, AB, BC, ABC, AA, SPACE_A, ABD, BOS, USER, IM_END, CD, ABCD, E9, BOS_USER, WORD_USER, CAA, N_BPE };
static const int32_t bpe_types[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 4, 1, 1, 1, 1, 3, 5, 1};
static const char *const bpe_merges[] = {"a b", "b c", "c d", "a a", "\xC4\xA0 a", "ab cd", "c aa", "ab c", "a b"};

static struct gb *bpe_file(void)
{
    struct gb *g = gb_new();
    gb_str(g, "general.architecture", "llama");
    gb_str(g, KEY("model"), "gpt2");
    gb_str(g, KEY("pre"), "gpt-2");
    gb_strings(g, KEY("tokens"), bpe_tokens, COUNT(bpe_tokens));
    gb_array(g, KEY("token_type"), PRISM_GV_I32, COUNT(bpe_types), bpe_types, sizeof bpe_types);
    gb_strings(g, KEY("merges"), bpe_merges, COUNT(bpe_merges));
    gb_u32(g, KEY("bos_token_id"), BOS);
    gb_u32(g, KEY("eos_token_id"), IM_END);
    return g;
}

/* ---- SentencePiece: the same letters with scores ---- */

static const char *const spm_tokens[] = {
    "<unk>", "<s>", "</s>", "<0x78>", "<0xE9>", "y", SP, "a", "b", "c", "ab", "bc", SP "a", SP "ab", SP SP, "abc", "<user>", "aa",
    "<0x0A>", "d",
};
enum { S_UNK, S_BOS, S_EOS, S_X, S_E9, S_Y, S_SPACE, S_A, S_B, S_C, S_AB, S_BC, S_SP_A, S_SP_AB, S_SPACES, S_ABC, S_USER, S_AA, S_NEWLINE,
       S_D, N_SPM };
static const int32_t spm_types[] = {2, 3, 3, 6, 6, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 4, 1, 6, 1};
static const float spm_scores[] = {0, 0, 0, 0, 0, -9, -9, -9, -9, -9, -2, -1, -3, -4, -5, -6, 0, -0.0f, 0, -9};

static struct gb *spm_file(void)
{
    struct gb *g = gb_new();
    gb_str(g, "general.architecture", "llama");
    gb_str(g, KEY("model"), "llama");
    gb_strings(g, KEY("tokens"), spm_tokens, COUNT(spm_tokens));
    gb_array(g, KEY("token_type"), PRISM_GV_I32, COUNT(spm_types), spm_types, sizeof spm_types);
    gb_array(g, KEY("scores"), PRISM_GV_F32, COUNT(spm_scores), spm_scores, sizeof spm_scores);
    return g;
}

/* ---- a loaded vocabulary and what was said while loading ---- */

struct loaded {
    struct prism_gguf *g;
    struct prism_vocab *v;
    struct prism_error err;
    enum prism_status status;
    char warnings[2048];
};

static void note(void *user, const char *line)
{
    struct loaded *l = user;
    size_t n = strlen(l->warnings);
    snprintf(l->warnings + n, sizeof l->warnings - n, "%s\n", line);
}

/* Takes the file over. l stays where it is until unload: the log points to it. */
static void load(struct loaded *l, struct gb *file, uint64_t n_expected)
{
    *l = (struct loaded){0};
    const char *path = gb_write(file, "vocab.gguf");
    gb_free(file);
    if (prism_gguf_open(path, (struct prism_log){note, l}, &l->g, &l->err))
        fail_msg("%s", l->err.text);
    l->status = prism_vocab_load(l->g, n_expected, &l->v, &l->err);
    assert_int_equal(l->status == PRISM_OK, l->v != NULL);
    assert_int_equal(l->err.status, l->status);
}

static void load_good(struct loaded *l, struct gb *file)
{
    load(l, file, 0);
    if (l->status)
        fail_msg("%s", l->err.text);
}

static void unload(struct loaded *l)
{
    prism_vocab_free(l->v);
    prism_gguf_close(l->g);
}

#define END (-9)
/* expected ends with END. */
static void assert_ids(const struct prism_vocab *v, const char *text, size_t len, unsigned flags, const int32_t *expected)
{
    int32_t got[64];
    size_t n, i = 0;
    struct prism_error err = {0};
    if (prism_vocab_encode(v, text, len, flags, got, COUNT(got), &n, &err))
        fail_msg("%s", err.text);
    for (; expected[i] != END; i++)
        if (i >= n || got[i] != expected[i])
            fail_msg("\"%s\", token %zu: expected %d, found %d", text, i, expected[i], i < n ? got[i] : -1);
    if (i != n)
        fail_msg("\"%s\": expected %zu tokens, found %zu", text, i, n);
}
#define IDS(v, text, flags, ...) assert_ids(v, text, sizeof(text) - 1, flags, (const int32_t[]){__VA_ARGS__})

static void bpe_merges_by_rank_then_leftmost(void **state)
{
    (void)state;
    struct loaded l;
    load_good(&l, bpe_file());
    IDS(l.v, "abc", 0, ABC, END);
    IDS(l.v, "bcab", 0, BC, AB, END);
    IDS(l.v, "aaab", 0, AA, AB, END);      /* "a b" first, then "a a" */
    IDS(l.v, "aaa", 0, AA, A, END);        /* leftmost */
    IDS(l.v, "abcd", 0, ABCD, END);        /* "c d" outranks "ab c", and then meets "ab" */
    IDS(l.v, "aaaa", 0, AA, AA, END);
    IDS(l.v, "abcaa", 0, AB, CAA, END);    /* "b c" is overtaken and must leave no trace */
    IDS(l.v, "cdab", 0, CD, AB, END);
    IDS(l.v, "abd", 0, AB, D, END);        /* no merge makes it, so the token is not used */
    IDS(l.v, "a a1", 0, A, SPACE_A, ONE, END);
    IDS(l.v, "axb", 0, A, B, END);         /* bytes that the vocabulary lacks vanish */
    IDS(l.v, "x", 0, END);
    IDS(l.v, "", 0, END);
    IDS(l.v, "a\0b", 0, A, B, END);
    IDS(l.v, "\xC3\xA9", 0, END);          /* its bytes are C3 A9: token 17 is the byte E9 */
    assert_string_equal(l.warnings, "");
    unload(&l);

    struct gb *file = bpe_file();
    gb_str(file, KEY("pre"), "llama-bpe");
    load_good(&l, file);
    IDS(l.v, "abd", 0, ABD, END);          /* this family takes whole pieces first */
    IDS(l.v, "abd", PRISM_ADD_SPECIAL, BOS, ABD, END);
    IDS(l.v, "abdd", 0, AB, D, D, END);
    unload(&l);
}

/* The definition, quadratic: the first pair of lowest rank merges. Letters only, one piece. Part i is text[cut[i]..cut[i + 1]). */
static void merge_naively(const char *text, int n, int32_t *ids)
{
    int cut[65], parts = n;
    for (int i = 0; i <= n; i++)
        cut[i] = i;
    for (;;) {
        int best = (int)COUNT(bpe_merges), at = 0;
        for (int i = 0; i + 1 < parts; i++)
            for (int r = 0; r < best; r++) {
                char pair[64];
                snprintf(pair, sizeof pair, "%.*s %.*s", cut[i + 1] - cut[i], text + cut[i], cut[i + 2] - cut[i + 1], text + cut[i + 1]);
                if (!strcmp(pair, bpe_merges[r])) {
                    best = r;
                    at = i;
                }
            }
        if (best == (int)COUNT(bpe_merges))
            break;
        memmove(cut + at + 1, cut + at + 2, (size_t)(parts-- - at - 1) * sizeof *cut);
    }
    for (int i = 0; i < parts; i++)
        for (ids[i] = 0; strlen(bpe_tokens[ids[i]]) != (size_t)(cut[i + 1] - cut[i]) ||
                         memcmp(bpe_tokens[ids[i]], text + cut[i], (size_t)(cut[i + 1] - cut[i]));)
            ids[i]++;
    ids[parts] = END;
}

static void bpe_agrees_with_the_definition(void **state)
{
    (void)state;
    struct loaded l;
    uint32_t r = 7;
    load_good(&l, bpe_file());
    for (int round = 0; round < 5000; round++) {
        char text[48] = {0};
        int32_t ids[64];
        int n = 1 + (int)((r >> 16) % 40);
        for (int i = 0; i < n; i++)
            text[i] = "abcd"[(r = r * 1664525u + 1013904223u) >> 30];
        merge_naively(text, n, ids);
        assert_ids(l.v, text, (size_t)n, 0, ids);
    }
    unload(&l);
}

static void special_tokens_in_bpe(void **state)
{
    (void)state;
    struct loaded l;
    load_good(&l, bpe_file());
    IDS(l.v, "a<user>b", 0, A, USER, B, END);                            /* user-defined: always */
    IDS(l.v, "a<s>b", 0, A, B, END);                                     /* control: text, whose bytes vanish here */
    IDS(l.v, "a<s>b", PRISM_PARSE_SPECIAL, A, BOS, B, END);
    IDS(l.v, "<s><user>", PRISM_PARSE_SPECIAL, BOS_USER, END);           /* the longest first */
    IDS(l.v, "<s><s><user><user>", PRISM_PARSE_SPECIAL, BOS, BOS_USER, USER, END);
    IDS(l.v, "<s><user>", 0, USER, END);
    IDS(l.v, "<user><user", 0, USER, END);
    IDS(l.v, "a<|im_end|>", PRISM_PARSE_SPECIAL, A, IM_END, END);        /* normal in the file, forced to control */
    IDS(l.v, "a<|im_end|>", 0, A, D, END);
    IDS(l.v, "a", PRISM_ADD_SPECIAL, A, END);                            /* gpt-2: no BOS */
    assert_true(prism_vocab_is_eog(l.v, IM_END));
    assert_false(prism_vocab_is_eog(l.v, BOS));
    unload(&l);

    struct gb *file = bpe_file();
    gb_bool(file, KEY("add_bos_token"), 1);
    gb_bool(file, KEY("add_eos_token"), 1);
    gb_u32(file, KEY("eot_token_id"), CD);
    load_good(&l, file);
    IDS(l.v, "a", PRISM_ADD_SPECIAL, BOS, A, IM_END, END);
    IDS(l.v, "", PRISM_ADD_SPECIAL, BOS, IM_END, END);
    IDS(l.v, "a", 0, A, END);
    IDS(l.v, "a<|im_end|>", PRISM_PARSE_SPECIAL, A, D, END);             /* eot is known: the stored type counts */
    assert_true(prism_vocab_is_eog(l.v, CD));
    unload(&l);
}

static void bytes_of_bpe_tokens(void **state)
{
    (void)state;
    static const struct {
        int32_t id;
        bool special;
        const char *bytes;
    } rows[] = {
        {AB, false, "ab"}, {SPACE_A, false, " a"}, {E9, false, "\xE9"}, {BOS, false, ""}, {BOS, true, "<s>"}, {USER, false, "<user>"},
        {WORD_USER, true, ""}, {N_BPE, true, ""}, {-1, true, ""},
    };
    struct loaded l;
    load_good(&l, bpe_file());
    for (size_t i = 0; i < COUNT(rows); i++)
        for (int first = 0; first < 2; first++) { /* only SentencePiece drops a space */
            char buf[16];
            assert_int_equal(prism_vocab_bytes(l.v, rows[i].id, rows[i].special, first, buf, sizeof buf), strlen(rows[i].bytes));
            assert_memory_equal(buf, rows[i].bytes, strlen(rows[i].bytes));
        }
    unload(&l);
}

static void every_byte_has_a_character(void **state)
{
    (void)state;
    /* the 188 printable bytes of Latin-1 and the other 68 in order: the table of the GPT-2 release */
    char texts[256][4];
    const char *tokens[256];
    unsigned next = 0x100;
    for (unsigned b = 0; b < 256; b++) {
        bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        unsigned c = printable ? b : next++;
        if (c < 0x80)
            snprintf(texts[b], 4, "%c", (char)c);
        else
            snprintf(texts[b], 4, "%c%c", (char)(0xC0 | c >> 6), (char)(0x80 | (c & 0x3F)));
        tokens[b] = texts[b];
    }
    struct loaded l;
    struct gb *file = bpe_file();
    gb_strings(file, KEY("tokens"), tokens, 256);
    gb_remove(file, KEY("token_type"));
    gb_strings(file, KEY("merges"), NULL, 0);
    load_good(&l, file);
    for (unsigned b = 0; b < 256; b++) {
        char c = (char)b, back;
        assert_int_equal(prism_vocab_bytes(l.v, (int32_t)b, false, false, &back, 1), 1);
        assert_int_equal((uint8_t)back, b);
        if (b < 0x80)
            assert_ids(l.v, &c, 1, 0, (const int32_t[]){(int32_t)b, END});
    }
    IDS(l.v, "\xC3\xA9", 0, 0xC3, 0xA9, END);
    IDS(l.v, "\xFF", 0, 0xEF, 0xBF, 0xBD, END); /* invalid: U+FFFD */
    unload(&l);
}

static void spm_merges_by_score_then_leftmost(void **state)
{
    (void)state;
    struct loaded l;
    load_good(&l, spm_file());
    IDS(l.v, "abc", 0, S_SP_A, S_BC, END);      /* bc -1, then the prefix with a -3 */
    IDS(l.v, "ab", 0, S_SP_AB, END);            /* ab -2, then the prefix with ab -4 */
    IDS(l.v, "aaa", 0, S_SPACE, S_AA, S_A, END); /* -0 is 0: leftmost */
    IDS(l.v, "a  ab", 0, S_SP_A, S_SPACE, S_SP_AB, END); /* -4 before the two spaces' -5 */
    IDS(l.v, "c  c", 0, S_SPACE, S_C, S_SPACES, S_C, END);
    IDS(l.v, "x", 0, S_SPACE, S_X, END);        /* <0x78> */
    IDS(l.v, "y", 0, S_SPACE, S_Y, END);
    IDS(l.v, "z", 0, S_SPACE, S_UNK, END);      /* neither a token nor a byte token */
    IDS(l.v, "a\n", 0, S_SP_A, S_NEWLINE, END);
    IDS(l.v, "\xE9", 0, S_SPACE, S_E9, END);    /* announces three bytes, has one */
    IDS(l.v, "", 0, END);
    IDS(l.v, "", PRISM_ADD_SPECIAL, S_BOS, END);
    IDS(l.v, "a", PRISM_ADD_SPECIAL, S_BOS, S_SP_A, END);
    IDS(l.v, "a<user>a", 0, S_SP_A, S_USER, S_SP_A, END);
    IDS(l.v, "<s>a</s>", PRISM_PARSE_SPECIAL, S_BOS, S_SP_A, S_EOS, END);
    assert_string_equal(l.warnings, "");
    unload(&l);

    /* no prefix, no BOS; integer scores */
    int32_t integers[N_SPM];
    for (size_t i = 0; i < N_SPM; i++)
        integers[i] = (int32_t)spm_scores[i];
    struct gb *file = spm_file();
    gb_bool(file, KEY("add_space_prefix"), 0);
    gb_bool(file, KEY("add_bos_token"), 0);
    gb_array(file, KEY("scores"), PRISM_GV_I32, N_SPM, integers, sizeof integers);
    load_good(&l, file);
    IDS(l.v, "abc", PRISM_ADD_SPECIAL, S_ABC, END); /* without a prefix bc meets a */
    IDS(l.v, "ab", 0, S_AB, END);
    unload(&l);

    /* positive scores too, and +0 ties with -0 */
    static const struct {
        float aa, ab;
        int32_t ids[4];
    } ordered[] = {{1, 2, {S_SP_A, S_AB, END}}, {2, 1, {S_SPACE, S_AA, S_B, END}}, {-0.0f, 0, {S_SPACE, S_AA, S_B, END}},
                   {-1, 1, {S_SP_A, S_AB, END}}, {-2, -1, {S_SP_A, S_AB, END}}};
    for (size_t i = 0; i < COUNT(ordered); i++)
        for (int as_integers = 0; as_integers < 2; as_integers++) {
            float scores[N_SPM];
            for (size_t k = 0; k < N_SPM; k++)
                scores[k] = -9;
            scores[S_AA] = ordered[i].aa;
            scores[S_AB] = ordered[i].ab;
            for (size_t k = 0; k < N_SPM; k++)
                integers[k] = (int32_t)scores[k];
            file = spm_file();
            if (as_integers)
                gb_array(file, KEY("scores"), PRISM_GV_I32, N_SPM, integers, sizeof integers);
            else
                gb_array(file, KEY("scores"), PRISM_GV_F32, N_SPM, scores, sizeof scores);
            load_good(&l, file);
            assert_ids(l.v, "aab", 3, 0, ordered[i].ids);
            unload(&l);
        }

    /* a token across words: text is then merged as a whole */
    const char *tokens[N_SPM];
    memcpy(tokens, spm_tokens, sizeof tokens);
    tokens[S_ABC] = "b" SP "a";
    file = spm_file();
    gb_strings(file, KEY("tokens"), tokens, N_SPM);
    load_good(&l, file);
    IDS(l.v, "b a", 0, S_SPACE, S_ABC, END); /* SP "a" first, then b meets it */
    tokens[S_SP_A] = "unused";
    tokens[S_SP_AB] = "a" SP;
    unload(&l);
    file = spm_file();
    gb_strings(file, KEY("tokens"), tokens, N_SPM);
    load_good(&l, file);
    IDS(l.v, "a bc", 0, S_SPACE, S_SP_AB, S_BC, END);
    unload(&l);
}

static void bytes_of_spm_tokens(void **state)
{
    (void)state;
    static const struct {
        int32_t id;
        bool special, first;
        const char *bytes;
    } rows[] = {
        {S_SP_A, false, false, " a"}, {S_SP_A, false, true, "a"}, {S_SPACES, false, true, " "}, {S_AB, false, true, "ab"},
        {S_X, false, true, "x"},      {S_E9, false, false, "\xE9"}, {S_UNK, false, false, ""},  {S_UNK, true, false, "<unk>"},
        {S_EOS, true, false, "</s>"}, {S_USER, false, false, "<user>"},
    };
    struct loaded l;
    load_good(&l, spm_file());
    for (size_t i = 0; i < COUNT(rows); i++) {
        char buf[16];
        assert_int_equal(prism_vocab_bytes(l.v, rows[i].id, rows[i].special, rows[i].first, buf, sizeof buf), strlen(rows[i].bytes));
        assert_memory_equal(buf, rows[i].bytes, strlen(rows[i].bytes));
    }
    unload(&l);
    struct gb *file = spm_file();
    gb_bool(file, KEY("add_space_prefix"), 0);
    load_good(&l, file);
    assert_int_equal(prism_vocab_bytes(l.v, S_SP_A, false, true, NULL, 0), 2); /* no prefix was put there */
    unload(&l);
}

static void a_model_without_vocabulary(void **state)
{
    (void)state;
    static const char *const names[] = {"no_vocab", "none"};
    for (size_t i = 0; i < COUNT(names); i++) {
        struct loaded l;
        struct gb *file = gb_new();
        struct prism_vocab_facts f;
        size_t n;
        gb_str(file, KEY("model"), names[i]);
        load(&l, file, 100);
        assert_int_equal(l.status, PRISM_OK);
        prism_vocab_facts(l.v, &f);
        assert_string_equal(f.model, "no_vocab");
        assert_int_equal(f.n_tokens, 100);
        assert_int_equal(f.bos, -1);
        assert_int_equal(f.eos, -1);
        assert_int_equal(prism_vocab_encode(l.v, "a", 1, 0, NULL, 0, &n, &l.err), PRISM_E_UNSUPPORTED);
        assert_int_equal(prism_vocab_bytes(l.v, 5, true, false, NULL, 0), 0);
        assert_false(prism_vocab_is_eog(l.v, 5));
        unload(&l);
    }
}

/* ---- damaged files ---- */

static void drop_tokens(struct gb *g) { gb_remove(g, KEY("tokens")); }
static void tokens_are_numbers(struct gb *g) { gb_array(g, KEY("tokens"), PRISM_GV_I32, N_BPE, bpe_types, sizeof bpe_types); }
static void tokens_are_one_text(struct gb *g) { gb_str(g, KEY("tokens"), "abc"); }
static void no_tokens(struct gb *g) { gb_strings(g, KEY("tokens"), NULL, 0); }
static void few_types(struct gb *g) { gb_array(g, KEY("token_type"), PRISM_GV_I32, 3, bpe_types, 12); }
static void float_types(struct gb *g) { gb_array(g, KEY("token_type"), PRISM_GV_F32, N_BPE, bpe_types, sizeof bpe_types); }
static void few_scores(struct gb *g) { gb_array(g, KEY("scores"), PRISM_GV_F32, N_SPM - 1, spm_scores, sizeof spm_scores - 4); }
static void drop_scores(struct gb *g) { gb_remove(g, KEY("scores")); }
static void drop_merges(struct gb *g) { gb_remove(g, KEY("merges")); }
static void merges_are_numbers(struct gb *g) { gb_array(g, KEY("merges"), PRISM_GV_I32, 4, bpe_types, 16); }
static void drop_model(struct gb *g) { gb_remove(g, KEY("model")); }
static void model_bert(struct gb *g) { gb_str(g, KEY("model"), "bert"); }
static void pre_unknown(struct gb *g) { gb_str(g, KEY("pre"), "kimi-k2"); }
static void pre_number(struct gb *g) { gb_u32(g, KEY("pre"), 3); }
static void bos_text(struct gb *g) { gb_str(g, KEY("bos_token_id"), "1"); }
static void flag_number(struct gb *g) { gb_u32(g, KEY("add_bos_token"), 1); }
static void twins(struct gb *g)
{
    const char *t[N_BPE];
    memcpy(t, bpe_tokens, sizeof t);
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
        {bpe_file, drop_tokens, 0, PRISM_E_FORMAT, KEY("tokens") ": expected an array of strings, found nothing"},
        {bpe_file, tokens_are_numbers, 0, PRISM_E_FORMAT, KEY("tokens") ": expected an array of strings, found another type"},
        {bpe_file, tokens_are_one_text, 0, PRISM_E_FORMAT, KEY("tokens") ": expected an array of strings, found another type"},
        {bpe_file, no_tokens, 0, PRISM_E_FORMAT, KEY("tokens") ": expected 1 entries, found 0"},
        {bpe_file, unchanged, 32, PRISM_E_FORMAT, KEY("tokens") ": expected 32 entries (from token_embd.weight), found 21"},
        {spm_file, unchanged, 7, PRISM_E_FORMAT, KEY("tokens") ": expected 7 entries (from token_embd.weight), found 20"},
        {bpe_file, few_types, 0, PRISM_E_FORMAT, KEY("token_type") ": expected 21 entries, found 3"},
        {bpe_file, float_types, 0, PRISM_E_FORMAT, KEY("token_type") ": expected an array of i32, found another type"},
        {spm_file, few_scores, 0, PRISM_E_FORMAT, KEY("scores") ": expected 20 entries, found 19"},
        {spm_file, drop_scores, 0, PRISM_E_FORMAT, KEY("scores") ": expected an array of f32, found nothing"},
        {bpe_file, few_scores, 0, PRISM_E_FORMAT, KEY("scores") ": expected 21 entries, found 19"},
        {bpe_file, drop_merges, 0, PRISM_E_FORMAT, KEY("merges") ": expected an array of strings, found nothing"},
        {bpe_file, merges_are_numbers, 0, PRISM_E_FORMAT, KEY("merges") ": expected an array of strings, found another type"},
        {bpe_file, drop_model, 0, PRISM_E_FORMAT, KEY("model")},
        {bpe_file, model_bert, 0, PRISM_E_UNSUPPORTED, KEY("model") ": expected gpt2 or llama, found unknown value \"bert\""},
        {bpe_file, pre_unknown, 0, PRISM_E_UNSUPPORTED, "found unknown value \"kimi-k2\""},
        {bpe_file, pre_number, 0, PRISM_E_FORMAT, KEY("pre")},
        {bpe_file, bos_text, 0, PRISM_E_FORMAT, KEY("bos_token_id")},
        {bpe_file, flag_number, 0, PRISM_E_FORMAT, KEY("add_bos_token")},
        {bpe_file, twins, 0, PRISM_E_FORMAT, KEY("tokens") ": expected distinct texts, found \"ab\" as tokens 6 and 11"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct loaded l;
        struct gb *file = rows[i].file();
        rows[i].damage(file);
        load(&l, file, rows[i].n_expected);
        if (l.status != rows[i].status || !strstr(l.err.text, rows[i].says) || strncmp(l.err.text, l.g->path, strlen(l.g->path)))
            fail_msg("row %zu: expected %d \"%s\", found %d \"%s\"", i, rows[i].status, rows[i].says, l.status, l.err.text);
        unload(&l);
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
    memcpy(t, bpe_tokens, sizeof t);
    t[ONE] = t[BOS] = "";
    gb_strings(g, KEY("tokens"), t, N_BPE);
}
/* The left half has at least one byte, so this is " b" and "c". */
static void leading_space(struct gb *g)
{
    const char *t[N_BPE];
    static const char *const m[] = {"a b", "b c", " b c"};
    memcpy(t, bpe_tokens, sizeof t);
    t[ONE] = " b";
    t[ABD] = " bc";
    gb_strings(g, KEY("tokens"), t, N_BPE);
    gb_strings(g, KEY("merges"), m, COUNT(m));
}
static void pre_missing(struct gb *g) { gb_remove(g, KEY("pre")); }
static void odd_types(struct gb *g)
{
    int32_t t[N_BPE];
    memcpy(t, bpe_types, sizeof t);
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
        struct loaded l;
        struct gb *file = bpe_file();
        rows[i].damage(file);
        load_good(&l, file);
        int lines = 0;
        for (const char *p = l.warnings; *p; p++)
            lines += *p == '\n';
        if (lines != rows[i].lines || !strstr(l.warnings, rows[i].says))
            fail_msg("row %zu: expected %d lines, \"%s\", found %s", i, rows[i].lines, rows[i].says, l.warnings);
        IDS(l.v, "bca", 0, BC, A, END);
        unload(&l);
    }
}

static void defaults_without_keys(void **state)
{
    (void)state;
    struct loaded l;
    struct prism_vocab_facts f;
    struct gb *file = bpe_file();
    gb_remove(file, KEY("bos_token_id"));
    gb_remove(file, KEY("eos_token_id"));
    gb_remove(file, KEY("pre"));
    load_good(&l, file);
    prism_vocab_facts(l.v, &f);
    assert_string_equal(f.pre, "default");
    assert_int_equal(f.bos, 11);
    assert_int_equal(f.eos, 11);
    assert_false(f.add_bos || f.add_eos || f.add_space_prefix);
    unload(&l);

    load_good(&l, spm_file());
    prism_vocab_facts(l.v, &f);
    assert_string_equal(f.model, "llama");
    assert_int_equal(f.bos, 1);
    assert_int_equal(f.eos, 2);
    assert_true(f.add_bos && !f.add_eos && f.add_space_prefix);
    unload(&l);

    /* 8 tokens: the default ids do not exist */
    file = bpe_file();
    gb_strings(file, KEY("tokens"), bpe_tokens, 8);
    gb_remove(file, KEY("bos_token_id"));
    gb_remove(file, KEY("eos_token_id"));
    load_good(&l, file);
    prism_vocab_facts(l.v, &f);
    assert_int_equal(f.bos, -1);
    assert_int_equal(f.eos, -1);
    IDS(l.v, "abc", PRISM_ADD_SPECIAL, AB, C, END);
    unload(&l);
}

static void the_public_functions_are_these(void **state)
{
    (void)state;
    struct loaded l;
    load_good(&l, spm_file());
    struct prism_model m = {.vocab = l.v};
    int32_t ids[4];
    size_t n;
    char buf[8];
    assert_int_equal(prism_tokenize(&m, "ab", 2, PRISM_ADD_SPECIAL, ids, 4, &n, NULL), PRISM_OK);
    assert_int_equal(n, 2);
    assert_int_equal(ids[1], S_SP_AB);
    assert_int_equal(prism_token_bytes(&m, S_SP_AB, false, true, buf, sizeof buf), 2);
    assert_memory_equal(buf, "ab", 2);
    assert_int_equal(prism_token_bytes(&m, S_SP_AB, false, false, buf, sizeof buf), 3);
    assert_int_equal(prism_token_bytes(&m, S_EOS, true, false, buf, sizeof buf), 4);
    assert_true(prism_token_is_eog(&m, S_EOS));
    assert_false(prism_token_is_eog(&m, S_BOS));
    unload(&l);
}

struct job {
    const struct prism_vocab *v;
    bool same;
};

static void *encode_again_and_again(void *user)
{
    struct job *job = user;
    static const char text[] = "abc ab 1 abcd<s>aab<user>bc";
    int32_t first[64], ids[64];
    size_t n0, n;
    job->same = prism_vocab_encode(job->v, text, sizeof text - 1, PRISM_PARSE_SPECIAL, first, 64, &n0, NULL) == PRISM_OK;
    for (int i = 0; i < 500; i++)
        job->same = job->same && prism_vocab_encode(job->v, text, sizeof text - 1, PRISM_PARSE_SPECIAL, ids, 64, &n, NULL) == PRISM_OK &&
                    n == n0 && !memcmp(ids, first, n * sizeof *ids);
    return NULL;
}

static void threads_share_a_vocabulary(void **state)
{
    (void)state;
    struct loaded l;
    pthread_t threads[4];
    struct job jobs[4];
    load_good(&l, bpe_file());
    for (int i = 0; i < 4; i++) {
        jobs[i] = (struct job){.v = l.v};
        assert_int_equal(pthread_create(&threads[i], NULL, encode_again_and_again, &jobs[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_true(jobs[i].same);
    }
    unload(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bpe_merges_by_rank_then_leftmost),
        cmocka_unit_test(bpe_agrees_with_the_definition),
        cmocka_unit_test(special_tokens_in_bpe),
        cmocka_unit_test(bytes_of_bpe_tokens),
        cmocka_unit_test(every_byte_has_a_character),
        cmocka_unit_test(spm_merges_by_score_then_leftmost),
        cmocka_unit_test(bytes_of_spm_tokens),
        cmocka_unit_test(a_model_without_vocabulary),
        cmocka_unit_test(refusals),
        cmocka_unit_test(warnings),
        cmocka_unit_test(defaults_without_keys),
        cmocka_unit_test(the_public_functions_are_these),
        cmocka_unit_test(threads_share_a_vocabulary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
