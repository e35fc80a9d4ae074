/* test_pretokenize.c - the pieces that each family of patterns cuts. Expected pieces follow from the published patterns by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/text/internal.h"

struct joined {
    char text[512];
    size_t n;
};

/* Collects the pieces, each behind a bar. */
static enum prism_status join(void *user, const char *piece, size_t len)
{
    struct joined *j = user;
    assert_true(len > 0 && j->n + len + 2 < sizeof j->text);
    j->text[j->n++] = '|';
    memcpy(j->text + j->n, piece, len);
    j->n += len;
    j->text[j->n] = 0;
    return PRISM_OK;
}

static struct prism_splitter *splitter(const char *name)
{
    struct prism_splitter *s;
    const char *found;
    const struct prism_pre *pre = prism_pre_find((struct prism_str){name, strlen(name)}, &found);
    struct prism_error err = {0};
    if (!pre)
        fail_msg("%s is not in the table", name);
    assert_string_equal(found, name);
    if (prism_splitter_create(pre, &s, &err))
        fail_msg("%s", err.text);
    return s;
}

static void pieces_of_each_family(void **state)
{
    (void)state;
    static const struct {
        const char *pre, *text, *pieces;
    } rows[] = {
        /* contractions, words with their space, numbers, symbols, line ends, trailing space */
        {"llama-bpe", "I'LL see, 12345 \n\n  ok  ", "|I|'LL| see|,| |123|45| \n\n| | ok|  "},
        {"qwen2", "I'll see, 123 \n\n  ok  ", "|I|'ll| see|,| |1|2|3| \n\n| | ok|  "},
        {"gpt-2", "I'll SEE'LL, 123 \n\n  ok  ", "|I|'ll| SEE|'|LL|,| 123| \n\n | ok|  "},
        {"smollm", "a 12b\n", "|a| |1|2|b|\n"},
        {"default", "a, 12345 $x", "|a|,| |123|45| |$|x"},
        {"qwen35", "e\xCC\x81t 1", "|e\xCC\x81t| |1"},
        {"qwen2", "e\xCC\x81t 1", "|e|\xCC\x81t| |1"},
        {"tekken", "HelloWorld ABCdef it's 12/\n", "|Hello|World| ABCdef| it|'s| |1|2|/\n"},
        {"gpt-4o", "HelloWorld it's 1234/\n", "|Hello|World| it's| |123|4|/\n"},
        {"falcon", "a `x` 12345 $b", "|a| |`|x|`| |123|45| |$|b"},
        {"falcon", "\xD9\xA1\xD9\xA2\xD9\xA3\xD9\xA4 1", "|\xD9\xA1\xD9\xA2\xD9\xA3\xD9\xA4| 1"}, /* four Arabic digits */
        {"seed-coder", "I'LL see!!\n\nok 123", "|I|'LL| see|!!|\n\n|ok| |1|2|3"},
        {"hunyuan-dense", "Hello (world) 12345 \xE3\x81\x8B\xE6\xBC\xA2!\n don't", "|Hello| (|world|)| |123|45| |\xE3\x81\x8B\xE6\xBC\xA2|!\n| don|'t"},
        {"hunyuan-dense", "x(world) e\xCC\x81t \xED\x95\x9C\xEA\xB8\x80", "|x|(world|)| e\xCC\x81t| \xED\x95\x9C\xEA\xB8\x80"},
        /* U+00A0 and U+3000 are space, U+180E is not: it goes with the symbols */
        {"llama-bpe", "a\xC2\xA0\xE3\x80\x80" "b", "|a|\xC2\xA0|\xE3\x80\x80" "b"},
        {"llama-bpe", "!\xE1\xA0\x8E!", "|!\xE1\xA0\x8E!"},
        {"llama-bpe", " \xE1\xA0\x8E", "| \xE1\xA0\x8E"},
        /* letters and numbers of Unicode 15: U+31350 (CJK), U+1E4F0 (a digit), U+1DF25 (lower case) */
        {"gpt-2", "a\xF0\xB1\x8D\x90!", "|a\xF0\xB1\x8D\x90|!"},
        {"gpt-2", "1\xF0\x9E\x93\xB0!", "|1\xF0\x9E\x93\xB0|!"},
        {"qwen2", "!!\xF0\xB1\x8D\x90", "|!!|\xF0\xB1\x8D\x90"},
        {"gpt-4o", "A\xF0\x9D\xBC\xA5" "A", "|A\xF0\x9D\xBC\xA5|A"},
        {"qwen2", "", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct prism_splitter *s = splitter(rows[i].pre);
        struct joined j = {.n = 0};
        assert_int_equal(prism_split(s, rows[i].text, strlen(rows[i].text), join, &j, NULL), PRISM_OK);
        if (strcmp(j.text, rows[i].pieces))
            fail_msg("%s of \"%s\": expected %s, found %s", rows[i].pre, rows[i].text, rows[i].pieces, j.text);
        prism_splitter_free(s);
    }
}

/* Letters and numbers that Unicode 15 and 15.1 added: with a letter (a digit) before them they are one piece. */
static void letters_and_numbers_of_unicode_15(void **state)
{
    (void)state;
    static const struct {
        const char *after;
        uint32_t first, last;
    } ranges[] = {
        {"a", 0x1123F, 0x11240}, {"a", 0x11F02, 0x11F02}, {"a", 0x11F04, 0x11F10}, {"a", 0x11F12, 0x11F33}, {"a", 0x1342F, 0x1342F},
        {"a", 0x13441, 0x13446}, {"a", 0x1B132, 0x1B132}, {"a", 0x1B155, 0x1B155}, {"a", 0x1DF25, 0x1DF2A}, {"a", 0x1E030, 0x1E06D},
        {"a", 0x1E4D0, 0x1E4EB}, {"a", 0x2B739, 0x2B739}, {"a", 0x2EBF0, 0x2EE5D}, {"a", 0x31350, 0x323AF},
        {"1", 0x11F50, 0x11F59}, {"1", 0x1D2C0, 0x1D2D3}, {"1", 0x1E4F0, 0x1E4F9},
    };
    static const char *const names[] = {"gpt-2", "llama-bpe", "gpt-4o"};
    size_t letters = 0, numbers = 0;
    for (size_t k = 0; k < 3; k++) {
        struct prism_splitter *s = splitter(names[k]);
        for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
            for (uint32_t c = ranges[i].first; c <= ranges[i].last; c++) {
                struct joined j = {.n = 0};
                char text[8];
                text[0] = ranges[i].after[0];
                unsigned n = 1 + prism_utf8_encode(c, text + 1);
                assert_int_equal(prism_split(s, text, n, join, &j, NULL), PRISM_OK);
                if (j.n != n + 1)
                    fail_msg("%s: U+%X is cut off", names[k], c);
                *(text[0] == 'a' ? &letters : &numbers) += 1;
            }
        prism_splitter_free(s);
    }
    assert_int_equal(letters, 3 * 4970);
    assert_int_equal(numbers, 3 * 40);
}

/* Likewise marks, which go with a letter, and punctuation and symbols, which go with their like. */
static void marks_and_signs_of_unicode_15(void **state)
{
    (void)state;
    static const struct {
        char after;
        uint32_t first, last;
    } ranges[] = {
        {'a', 0xCF3, 0xCF3}, {'a', 0xECE, 0xECE}, {'a', 0x10EFD, 0x10EFF}, {'a', 0x11241, 0x11241}, {'a', 0x11F00, 0x11F01},
        {'a', 0x11F03, 0x11F03}, {'a', 0x11F34, 0x11F3A}, {'a', 0x11F3E, 0x11F42}, {'a', 0x13440, 0x13440}, {'a', 0x13447, 0x13455},
        {'a', 0x1E08F, 0x1E08F}, {'a', 0x1E4EC, 0x1E4EF}, {'!', 0x11B00, 0x11B09}, {'!', 0x11F43, 0x11F4F}, {'!', 0x2FFC, 0x2FFF},
        {'!', 0x31EF, 0x31EF}, {'!', 0x1F6DC, 0x1F6DC}, {'!', 0x1F774, 0x1F776}, {'!', 0x1F77B, 0x1F77F}, {'!', 0x1F7D9, 0x1F7D9},
        {'!', 0x1FA75, 0x1FA77}, {'!', 0x1FA87, 0x1FA88}, {'!', 0x1FAAD, 0x1FAAF}, {'!', 0x1FABB, 0x1FABD}, {'!', 0x1FABF, 0x1FABF},
        {'!', 0x1FACE, 0x1FACF}, {'!', 0x1FADA, 0x1FADB}, {'!', 0x1FAE8, 0x1FAE8}, {'!', 0x1FAF7, 0x1FAF8},
    };
    static const char *const names[] = {"hunyuan-dense", "qwen35", "gpt-4o", "tekken"};
    size_t marks = 0, signs = 0;
    for (size_t k = 0; k < 4; k++) {
        struct prism_splitter *s = splitter(names[k]);
        for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
            for (uint32_t c = ranges[i].first; c <= ranges[i].last; c++) {
                struct joined j = {.n = 0};
                char text[8] = {ranges[i].after};
                unsigned n = 1 + prism_utf8_encode(c, text + 1);
                assert_int_equal(prism_split(s, text, n, join, &j, NULL), PRISM_OK);
                if (j.n != n + 1)
                    fail_msg("%s: U+%X is cut off", names[k], c);
                *(text[0] == 'a' ? &marks : &signs) += 1;
            }
        prism_splitter_free(s);
    }
    assert_int_equal(marks, 4 * 42);
    assert_int_equal(signs, 4 * 57);
}

static void all_names_of_the_first_release(void **state)
{
    (void)state;
    static const struct {
        const char *names[24];
        bool whole_pieces, add_bos;
    } rows[] = {
        {{"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano", "tekken"}, true, true},
        {{"dbrx", "smaug-bpe", "glm4", "chatglm-bpe", "qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "hunyuan", "solar-open", "grok-2",
          "megrez", "stablelm2", "qwen35", "default", "falcon", "seed-coder", "hunyuan-dense"}, false, false},
        {{"gpt-2", "phi-2", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de", "gigachat", "a.x-4.0", "mellum", "modern-bert", "exaone4",
          "mpt", "olmo", "jais", "jina-v1-en", "jina-v2-code", "roberta-bpe", "trillion", "granite-docling"}, false, false},
        {{"smollm", "command-r", "starcoder", "refact", "codeshell", "exaone", "minerva-7b", "mellum2", "gpt-4o", "llama4", "kanana2",
          "talkie", "minimax-m2"}, false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (const char *const *name = rows[i].names; *name; name++) {
            const char *found;
            const struct prism_pre *pre = prism_pre_find((struct prism_str){*name, strlen(*name)}, &found);
            assert_non_null(pre);
            assert_int_equal(pre->whole_pieces, rows[i].whole_pieces);
            assert_int_equal(pre->add_bos, rows[i].add_bos);
            prism_splitter_free(splitter(*name));
        }
    static const char *const refused[] = {"deepseek-llm", "deepseek-v3", "bloom", "kimi-k2", "gemma4", "whitespace", "qwen", ""};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const char *found;
        assert_null(prism_pre_find((struct prism_str){refused[i], strlen(refused[i])}, &found));
    }
}

static enum prism_status count(void *user, const char *piece, size_t len)
{
    (void)piece;
    *(size_t *)user += len;
    return PRISM_OK;
}

static enum prism_status stop(void *user, const char *piece, size_t len)
{
    (void)piece, (void)len;
    ++*(size_t *)user;
    return PRISM_E_NOMEM;
}

/* 12 MB of blanks before a word: more backtracking steps than PCRE2's default limit; every byte is in one piece. */
static void long_blanks_stay_within_the_limits(void **state)
{
    (void)state;
    const size_t len = 12000000;
    char *text = malloc(len);
    assert_non_null(text);
    memset(text, ' ', len);
    text[len - 1] = 'x';
    static const char *const names[] = {"qwen2", "gpt-2", "tekken"};
    for (size_t i = 0; i < 3; i++) {
        struct prism_splitter *s = splitter(names[i]);
        size_t n = 0;
        struct prism_error err = {0};
        if (prism_split(s, text, len, count, &n, &err))
            fail_msg("%s", err.text);
        assert_int_equal(n, len);
        prism_splitter_free(s);
    }
    free(text);
}

static void a_failing_receiver_ends_the_split(void **state)
{
    (void)state;
    static const char *const names[] = {"qwen2", "smollm", "default"};
    for (size_t i = 0; i < 3; i++) {
        struct prism_splitter *s = splitter(names[i]);
        size_t calls = 0;
        assert_int_equal(prism_split(s, "one 2 three", 11, stop, &calls, NULL), PRISM_E_NOMEM);
        assert_int_equal(calls, 1);
        prism_splitter_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_of_each_family),
        cmocka_unit_test(letters_and_numbers_of_unicode_15),
        cmocka_unit_test(marks_and_signs_of_unicode_15),
        cmocka_unit_test(all_names_of_the_first_release),
        cmocka_unit_test(long_blanks_stay_within_the_limits),
        cmocka_unit_test(a_failing_receiver_ends_the_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
