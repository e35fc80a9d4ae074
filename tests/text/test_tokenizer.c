/* test_tokenizer.c - round trips, limits and speed over the vocabularies of the two models of the repository. Recorded cases of others:
 * test_recorded.c; small vocabularies and their errors: test_vocab.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/data.h"
#include "tests/support/whole_vocab.h"

/* The bytes of all tokens; free the result. */
static char *decode(const struct prism_vocab *v, struct token_ids t, size_t *len)
{
    size_t cap = 0;
    for (size_t i = 0; i < t.n; i++)
        cap += prism_vocab_bytes(v, t.id[i], true, i == 0, NULL, 0);
    char *text = malloc(cap + 1);
    assert_non_null(text);
    *len = 0;
    for (size_t i = 0; i < t.n; i++)
        *len += prism_vocab_bytes(v, t.id[i], true, i == 0, text + *len, cap - *len);
    assert_int_equal(*len, cap);
    return text;
}

static void assert_round_trip(const struct prism_vocab *v, const char *text, size_t len)
{
    struct token_ids t = encode_text(v, text, len, 0);
    size_t n;
    char *back = decode(v, t, &n);
    assert_int_equal(n, len);
    assert_memory_equal(back, text, len);
    free(back);
    free(t.id);
}

#define BPE_MODEL "models/gutenberg-38m-q8_0.gguf"
#define SPM_MODEL "models/gutenberg-llama-16m-q8_0.gguf"
static const char *const models[] = {BPE_MODEL, SPM_MODEL};

static void a_novel_survives_the_round_trip(void **state)
{
    (void)state;
    size_t len;
    char *text = test_read_file("models/persuasion.txt", &len);
    for (size_t i = 0; i < 2; i++) {
        struct whole_vocab o = open_vocab(models[i]);
        assert_round_trip(o.v, text, len);
        close_vocab(o);
    }
    struct whole_vocab o = open_vocab(BPE_MODEL);
    struct token_ids t = encode_text(o.v, text, len, PRISM_ADD_SPECIAL | PRISM_PARSE_SPECIAL);
    assert_int_equal(t.n, 104716);
    free(t.id);
    close_vocab(o);
    free(text);
}

static void facts_come_from_the_file(void **state)
{
    (void)state;
    struct prism_vocab_facts f;
    struct whole_vocab o = open_vocab(BPE_MODEL);
    prism_vocab_facts(o.v, &f);
    assert_string_equal(f.model, "gpt2");
    assert_string_equal(f.pre, "qwen2");
    assert_int_equal(f.n_tokens, 16384);
    assert_int_equal(f.bos, 0);
    assert_int_equal(f.eos, 0);
    assert_false(f.add_bos || f.add_eos || f.add_space_prefix);
    assert_true(prism_vocab_is_eog(o.v, 0));  /* <|endoftext|> */
    assert_false(prism_vocab_is_eog(o.v, 1)); /* <|im_start|> */
    assert_true(prism_vocab_is_eog(o.v, 2));  /* <|im_end|> */
    assert_false(prism_vocab_is_eog(o.v, -1) || prism_vocab_is_eog(o.v, 16384));
    close_vocab(o);

    o = open_vocab(SPM_MODEL);
    prism_vocab_facts(o.v, &f);
    assert_string_equal(f.model, "llama");
    assert_int_equal(f.n_tokens, 8192);
    assert_int_equal(f.bos, 1);
    assert_int_equal(f.eos, 2);
    assert_true(f.add_bos && !f.add_eos && f.add_space_prefix);
    assert_true(prism_vocab_is_eog(o.v, 2));
    close_vocab(o);
}

static void special_tokens_are_parsed_on_request(void **state)
{
    (void)state;
    static const char chat[] = "<|im_start|>user\nWho?<|im_end|>";
    struct whole_vocab o = open_vocab(BPE_MODEL);
    struct token_ids t = encode_text(o.v, chat, sizeof chat - 1, PRISM_PARSE_SPECIAL), plain = encode_text(o.v, chat, sizeof chat - 1, 0);
    assert_int_equal(t.id[0], 1);
    assert_int_equal(t.id[t.n - 1], 2);
    for (size_t i = 0; i < plain.n; i++)
        assert_true(plain.id[i] > 2);
    assert_true(plain.n > t.n);
    assert_int_equal(prism_vocab_bytes(o.v, 1, false, false, NULL, 0), 0);
    assert_int_equal(prism_vocab_bytes(o.v, 1, true, false, NULL, 0), 12);
    free(t.id);
    free(plain.id);
    close_vocab(o);

    /* SentencePiece: BOS in front, and every stretch of plain text gets its space. */
    o = open_vocab(SPM_MODEL);
    t = encode_text(o.v, "the</s>the", 10, PRISM_ADD_SPECIAL | PRISM_PARSE_SPECIAL);
    plain = encode_text(o.v, "the", 3, 0);
    assert_int_equal(plain.n, 1);
    assert_int_equal(t.n, 4);
    assert_int_equal(t.id[0], 1);
    assert_int_equal(t.id[1], plain.id[0]);
    assert_int_equal(t.id[2], 2);
    assert_int_equal(t.id[3], plain.id[0]);
    char bytes[8];
    assert_int_equal(prism_vocab_bytes(o.v, plain.id[0], false, false, bytes, 8), 4);
    assert_memory_equal(bytes, " the", 4);
    assert_int_equal(prism_vocab_bytes(o.v, plain.id[0], false, true, bytes, 8), 3);
    assert_memory_equal(bytes, "the", 3);
    free(t.id);
    free(plain.id);
    t = encode_text(o.v, "", 0, PRISM_ADD_SPECIAL);
    assert_int_equal(t.n, 1);
    free(t.id);
    close_vocab(o);
}

static void any_bytes_are_text(void **state)
{
    (void)state;
    static const char nul[] = "a\0b\0\0 c\n\n\t  d";
    static const char utf8[] = "na\xC3\xAFve \xE2\x80\x9Cwords\xE2\x80\x9D \xF0\x9F\xA6\x80 \xE6\xBC\xA2\xE5\xAD\x97";
    for (size_t i = 0; i < 2; i++) {
        struct whole_vocab o = open_vocab(models[i]);
        assert_round_trip(o.v, nul, sizeof nul - 1);
        assert_round_trip(o.v, utf8, sizeof utf8 - 1);
        assert_round_trip(o.v, " leading and trailing ", 22);
        assert_round_trip(o.v, "", 0);
        close_vocab(o);
    }
    /* Invalid bytes: SentencePiece keeps them by byte tokens, byte-level BPE replaces each by U+FFFD. */
    static const char bad[] = "x\xFFy\xE2\x82z\xC0\x80\xED\xA0\x80\xF4\x90\x80\x80w\xF0\x9F";
    struct whole_vocab o = open_vocab(SPM_MODEL);
    assert_round_trip(o.v, bad, sizeof bad - 1);
    close_vocab(o);
    o = open_vocab(BPE_MODEL);
    struct token_ids t = encode_text(o.v, bad, sizeof bad - 1, 0);
    size_t n;
    char *back = decode(o.v, t, &n);
    static const char replaced[] = "x\xEF\xBF\xBDy\xEF\xBF\xBD\xEF\xBF\xBDz\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
                                   "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDw\xEF\xBF\xBD\xEF\xBF\xBD";
    assert_int_equal(n, sizeof replaced - 1);
    assert_memory_equal(back, replaced, n);
    free(back);
    free(t.id);
    close_vocab(o);
}

/* A token may end inside a character; the stream of the tokens' bytes never does. */
static void streams_are_well_formed(void **state)
{
    (void)state;
    static const char text[] = "\xE2\x80\x9C\xF0\x9F\xA6\x80 \xC3\xA9t\xC3\xA9\xE2\x80\x9D \xE6\xBC\xA2\xE5\xAD\x97\xF0\x9F\x8E\x89!";
    for (size_t m = 0; m < 2; m++) {
        struct whole_vocab o = open_vocab(models[m]);
        struct token_ids t = encode_text(o.v, text, sizeof text - 1, 0);
        struct prism_utf8 s = {0};
        char all[256];
        size_t n = 0, split = 0;
        for (size_t i = 0; i < t.n; i++) {
            char bytes[64];
            size_t len = prism_vocab_bytes(o.v, t.id[i], false, i == 0, bytes, sizeof bytes);
            n += prism_utf8_push(&s, bytes, len, false, all + n);
            split += s.n_held > 0;
            assert_true(n == sizeof text - 1 || ((uint8_t)text[n] & 0xC0) != 0x80); /* whole characters so far */
        }
        n += prism_utf8_push(&s, NULL, 0, true, all + n);
        assert_true(split > 0);
        assert_int_equal(n, sizeof text - 1);
        assert_memory_equal(all, text, n);
        free(t.id);
        close_vocab(o);
    }
}

static void a_small_buffer_gets_the_first_ids(void **state)
{
    (void)state;
    struct whole_vocab o = open_vocab(SPM_MODEL);
    int32_t few[3] = {-5, -5, -5};
    size_t n;
    struct token_ids t = encode_text(o.v, "It was the best of times", 24, PRISM_ADD_SPECIAL);
    assert_true(t.n > 3);
    assert_int_equal(prism_vocab_encode(o.v, "It was the best of times", 24, PRISM_ADD_SPECIAL, few, 2, &n, NULL), PRISM_OK);
    assert_int_equal(n, t.n);
    assert_int_equal(few[0], t.id[0]);
    assert_int_equal(few[1], t.id[1]);
    assert_int_equal(few[2], -5);
    char byte;
    assert_int_equal(prism_vocab_bytes(o.v, t.id[1], false, false, &byte, 1), prism_vocab_bytes(o.v, t.id[1], false, false, NULL, 0));
    assert_int_equal(byte, ' ');
    free(t.id);

    struct prism_error err = {0};
    assert_int_equal(prism_vocab_encode(o.v, NULL, 4, 0, NULL, 0, &n, &err), PRISM_E_ARG);
    assert_int_equal(prism_vocab_encode(o.v, "a", 1, 0, NULL, 4, &n, NULL), PRISM_E_ARG);
    assert_int_equal(prism_vocab_encode(o.v, "a", 1, 64, NULL, 0, &n, NULL), PRISM_E_ARG);
    assert_int_equal(prism_vocab_encode(o.v, "a", (size_t)1 << 40, 0, NULL, 0, &n, NULL), PRISM_E_ARG);
    assert_int_equal(prism_vocab_bytes(o.v, -1, true, false, NULL, 0), 0);
    assert_int_equal(prism_vocab_bytes(o.v, 8192, true, false, NULL, 0), 0);
    close_vocab(o);
}

#define MB ((size_t)1000000)

/* One character a million times is one piece: merging must not be quadratic. */
static void long_runs_are_not_quadratic(void **state)
{
    (void)state;
    static const char *const units[] = {"a", " ", "\n", "7", "!", "\xC3\xA9", "<"};
    char *text = malloc(MB);
    assert_non_null(text);
    for (size_t m = 0; m < 2; m++) {
        struct whole_vocab o = open_vocab(models[m]);
        double start = cpu_seconds();
        for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
            size_t k = strlen(units[u]);
            for (size_t i = 0; i < MB; i++)
                text[i] = units[u][i % k];
            assert_round_trip(o.v, text, MB);
        }
        double seconds = (cpu_seconds() - start) / (2 * sizeof units / sizeof *units); /* each text is encoded twice */
        print_message("%s: 1 MB of one character in %.2f s\n", models[m], seconds);
        assert_true(seconds < 5);
        close_vocab(o);
    }
    free(text);
}

static void a_megabyte_takes_less_than_a_second(void **state)
{
    (void)state;
    size_t len;
    char *novel = test_read_file("models/persuasion.txt", &len), *text = malloc(MB);
    assert_non_null(text);
    for (size_t i = 0; i < MB; i++)
        text[i] = novel[i % len];
    for (size_t m = 0; m < 2; m++) {
        struct whole_vocab o = open_vocab(models[m]);
        size_t n;
        double start = cpu_seconds();
        assert_int_equal(prism_vocab_encode(o.v, text, MB, PRISM_ADD_SPECIAL | PRISM_PARSE_SPECIAL, NULL, 0, &n, NULL), PRISM_OK);
        double seconds = cpu_seconds() - start;
        print_message("%s: 1 MB of text, %zu tokens, in %.3f s\n", models[m], n, seconds);
        assert_true(seconds < 1);
        close_vocab(o);
    }
    free(novel);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_novel_survives_the_round_trip),
        cmocka_unit_test(facts_come_from_the_file),
        cmocka_unit_test(special_tokens_are_parsed_on_request),
        cmocka_unit_test(any_bytes_are_text),
        cmocka_unit_test(streams_are_well_formed),
        cmocka_unit_test(a_small_buffer_gets_the_first_ids),
        cmocka_unit_test(long_runs_are_not_quadratic),
        cmocka_unit_test(a_megabyte_takes_less_than_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
