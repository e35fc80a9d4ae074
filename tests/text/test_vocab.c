/* test_vocab.c - small vocabularies made here: merging against a naive implementation, special tokens, bytes of tokens. Their files
 * damaged: test_vocab_files.c. Whole vocabularies: test_tokenizer.c, test_recorded.c. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/model/model.h"
#include "tests/support/small_vocab.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void bpe_merges_by_rank_then_leftmost(void **state)
{
    (void)state;
    struct small_vocab l;
    small_load_good(&l, small_bpe_file());
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
    small_unload(&l);

    struct gb *file = small_bpe_file();
    gb_str(file, KEY("pre"), "llama-bpe");
    small_load_good(&l, file);
    IDS(l.v, "abd", 0, ABD, END);          /* this family takes whole pieces first */
    IDS(l.v, "abd", PRISM_ADD_SPECIAL, BOS, ABD, END);
    IDS(l.v, "abdd", 0, AB, D, D, END);
    small_unload(&l);
}

/* The definition, quadratic: the first pair of lowest rank merges. Letters only, one piece. Part i is text[cut[i]..cut[i + 1]). */
static void merge_naively(const char *text, int n, int32_t *ids)
{
    int cut[65], parts = n;
    for (int i = 0; i <= n; i++)
        cut[i] = i;
    for (;;) {
        int best = (int)COUNT(small_bpe_merges), at = 0;
        for (int i = 0; i + 1 < parts; i++)
            for (int r = 0; r < best; r++) {
                char pair[64];
                snprintf(pair, sizeof pair, "%.*s %.*s", cut[i + 1] - cut[i], text + cut[i], cut[i + 2] - cut[i + 1], text + cut[i + 1]);
                if (!strcmp(pair, small_bpe_merges[r])) {
                    best = r;
                    at = i;
                }
            }
        if (best == (int)COUNT(small_bpe_merges))
            break;
        memmove(cut + at + 1, cut + at + 2, (size_t)(parts-- - at - 1) * sizeof *cut);
    }
    for (int i = 0; i < parts; i++)
        for (ids[i] = 0; strlen(small_bpe_tokens[ids[i]]) != (size_t)(cut[i + 1] - cut[i]) ||
                         memcmp(small_bpe_tokens[ids[i]], text + cut[i], (size_t)(cut[i + 1] - cut[i]));)
            ids[i]++;
    ids[parts] = END;
}

static void bpe_agrees_with_the_definition(void **state)
{
    (void)state;
    struct small_vocab l;
    uint32_t r = 7;
    small_load_good(&l, small_bpe_file());
    for (int round = 0; round < 5000; round++) {
        char text[48] = {0};
        int32_t ids[64];
        int n = 1 + (int)((r >> 16) % 40);
        for (int i = 0; i < n; i++)
            text[i] = "abcd"[(r = r * 1664525u + 1013904223u) >> 30];
        merge_naively(text, n, ids);
        small_assert_ids(l.v, text, (size_t)n, 0, ids);
    }
    small_unload(&l);
}

static void special_tokens_in_bpe(void **state)
{
    (void)state;
    struct small_vocab l;
    small_load_good(&l, small_bpe_file());
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
    IDS(l.v, "a", PRISM_ADD_BOS | PRISM_ADD_EOS, A, END);                /* nor by any flag */
    assert_true(prism_vocab_is_eog(l.v, IM_END));
    assert_false(prism_vocab_is_eog(l.v, BOS));
    small_unload(&l);

    struct gb *file = small_bpe_file();
    gb_bool(file, KEY("add_bos_token"), 1);
    gb_bool(file, KEY("add_eos_token"), 1);
    gb_u32(file, KEY("eot_token_id"), CD);
    small_load_good(&l, file);
    IDS(l.v, "a", PRISM_ADD_SPECIAL, BOS, A, IM_END, END);
    IDS(l.v, "", PRISM_ADD_SPECIAL, BOS, IM_END, END);
    IDS(l.v, "a", PRISM_ADD_BOS, BOS, A, END);                           /* to be continued */
    IDS(l.v, "a", PRISM_ADD_EOS, A, IM_END, END);
    IDS(l.v, "a", PRISM_ADD_BOS | PRISM_ADD_EOS, BOS, A, IM_END, END);
    IDS(l.v, "a", PRISM_ADD_SPECIAL | PRISM_ADD_BOS, BOS, A, IM_END, END); /* each once */
    IDS(l.v, "a", 0, A, END);
    IDS(l.v, "a<|im_end|>", PRISM_PARSE_SPECIAL, A, D, END);             /* eot is known: the stored type counts */
    assert_true(prism_vocab_is_eog(l.v, CD));
    small_unload(&l);
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
    struct small_vocab l;
    small_load_good(&l, small_bpe_file());
    for (size_t i = 0; i < COUNT(rows); i++)
        for (int first = 0; first < 2; first++) { /* only SentencePiece drops a space */
            char buf[16];
            assert_int_equal(prism_vocab_bytes(l.v, rows[i].id, rows[i].special, first, buf, sizeof buf), strlen(rows[i].bytes));
            assert_memory_equal(buf, rows[i].bytes, strlen(rows[i].bytes));
        }
    small_unload(&l);
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
    struct small_vocab l;
    struct gb *file = small_bpe_file();
    gb_strings(file, KEY("tokens"), tokens, 256);
    gb_remove(file, KEY("token_type"));
    gb_strings(file, KEY("merges"), NULL, 0);
    small_load_good(&l, file);
    for (unsigned b = 0; b < 256; b++) {
        char c = (char)b, back;
        assert_int_equal(prism_vocab_bytes(l.v, (int32_t)b, false, false, &back, 1), 1);
        assert_int_equal((uint8_t)back, b);
        if (b < 0x80)
            small_assert_ids(l.v, &c, 1, 0, (const int32_t[]){(int32_t)b, END});
    }
    IDS(l.v, "\xC3\xA9", 0, 0xC3, 0xA9, END);
    IDS(l.v, "\xFF", 0, 0xEF, 0xBF, 0xBD, END); /* invalid: U+FFFD */
    small_unload(&l);
}

static void spm_merges_by_score_then_leftmost(void **state)
{
    (void)state;
    struct small_vocab l;
    small_load_good(&l, small_spm_file());
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
    small_unload(&l);

    /* no prefix, no BOS; integer scores */
    int32_t integers[N_SPM];
    for (size_t i = 0; i < N_SPM; i++)
        integers[i] = (int32_t)small_spm_scores[i];
    struct gb *file = small_spm_file();
    gb_bool(file, KEY("add_space_prefix"), 0);
    gb_bool(file, KEY("add_bos_token"), 0);
    gb_array(file, KEY("scores"), PRISM_GV_I32, N_SPM, integers, sizeof integers);
    small_load_good(&l, file);
    IDS(l.v, "abc", PRISM_ADD_SPECIAL, S_ABC, END); /* without a prefix bc meets a */
    IDS(l.v, "ab", 0, S_AB, END);
    small_unload(&l);

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
            file = small_spm_file();
            if (as_integers)
                gb_array(file, KEY("scores"), PRISM_GV_I32, N_SPM, integers, sizeof integers);
            else
                gb_array(file, KEY("scores"), PRISM_GV_F32, N_SPM, scores, sizeof scores);
            small_load_good(&l, file);
            small_assert_ids(l.v, "aab", 3, 0, ordered[i].ids);
            small_unload(&l);
        }

    /* a token across words: text is then merged as a whole */
    const char *tokens[N_SPM];
    memcpy(tokens, small_spm_tokens, sizeof tokens);
    tokens[S_ABC] = "b" SP "a";
    file = small_spm_file();
    gb_strings(file, KEY("tokens"), tokens, N_SPM);
    small_load_good(&l, file);
    IDS(l.v, "b a", 0, S_SPACE, S_ABC, END); /* SP "a" first, then b meets it */
    tokens[S_SP_A] = "unused";
    tokens[S_SP_AB] = "a" SP;
    small_unload(&l);
    file = small_spm_file();
    gb_strings(file, KEY("tokens"), tokens, N_SPM);
    small_load_good(&l, file);
    IDS(l.v, "a bc", 0, S_SPACE, S_SP_AB, S_BC, END);
    small_unload(&l);
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
    struct small_vocab l;
    small_load_good(&l, small_spm_file());
    for (size_t i = 0; i < COUNT(rows); i++) {
        char buf[16];
        assert_int_equal(prism_vocab_bytes(l.v, rows[i].id, rows[i].special, rows[i].first, buf, sizeof buf), strlen(rows[i].bytes));
        assert_memory_equal(buf, rows[i].bytes, strlen(rows[i].bytes));
    }
    small_unload(&l);
    struct gb *file = small_spm_file();
    gb_bool(file, KEY("add_space_prefix"), 0);
    small_load_good(&l, file);
    assert_int_equal(prism_vocab_bytes(l.v, S_SP_A, false, true, NULL, 0), 2); /* no prefix was put there */
    small_unload(&l);
}

static void a_model_without_vocabulary(void **state)
{
    (void)state;
    static const char *const names[] = {"no_vocab", "none"};
    for (size_t i = 0; i < COUNT(names); i++) {
        struct small_vocab l;
        struct gb *file = gb_new();
        struct prism_vocab_facts f;
        size_t n;
        gb_str(file, KEY("model"), names[i]);
        small_load(&l, file, 100);
        assert_int_equal(l.status, PRISM_OK);
        prism_vocab_facts(l.v, &f);
        assert_string_equal(f.model, "no_vocab");
        assert_int_equal(f.n_tokens, 100);
        assert_int_equal(f.bos, -1);
        assert_int_equal(f.eos, -1);
        assert_int_equal(prism_vocab_encode(l.v, "a", 1, 0, NULL, 0, &n, &l.err), PRISM_E_UNSUPPORTED);
        assert_int_equal(prism_vocab_bytes(l.v, 5, true, false, NULL, 0), 0);
        assert_false(prism_vocab_is_eog(l.v, 5));
        small_unload(&l);
    }
}

static void the_public_functions_are_these(void **state)
{
    (void)state;
    struct small_vocab l;
    small_load_good(&l, small_spm_file());
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
    small_unload(&l);
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
    struct small_vocab l;
    pthread_t threads[4];
    struct job jobs[4];
    small_load_good(&l, small_bpe_file());
    for (int i = 0; i < 4; i++) {
        jobs[i] = (struct job){.v = l.v};
        assert_int_equal(pthread_create(&threads[i], NULL, encode_again_and_again, &jobs[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_true(jobs[i].same);
    }
    small_unload(&l);
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
        cmocka_unit_test(the_public_functions_are_these),
        cmocka_unit_test(threads_share_a_vocabulary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
