/* test_tokenizer.c - whole vocabularies: the 322 recorded cases of seven of them, and round trips, limits and speed over the two
 * models of the repository. Small vocabularies and their errors: test_vocab.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "src/text/vocab.h"
#include "tests/support/data.h"

struct opened {
    struct prism_gguf *g;
    struct prism_vocab *v;
};

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static struct opened open_vocab(const char *path)
{
    struct opened o;
    struct prism_error err = {0};
    if (prism_gguf_open(path, (struct prism_log){0}, &o.g, &err) || prism_vocab_load(o.g, 0, &o.v, &err))
        fail_msg("%s", err.text);
    return o;
}

static void close_vocab(struct opened o)
{
    prism_vocab_free(o.v);
    prism_gguf_close(o.g);
}

struct ids {
    int32_t *id;
    size_t n;
};

/* Two calls, as a caller without a guess would make. */
static struct ids encode(const struct prism_vocab *v, const char *text, size_t len, unsigned flags)
{
    struct ids t = {0};
    size_t n;
    struct prism_error err = {0};
    if (prism_vocab_encode(v, text, len, flags, NULL, 0, &t.n, &err))
        fail_msg("%s", err.text);
    t.id = malloc((t.n + 1) * sizeof *t.id);
    assert_non_null(t.id);
    t.id[t.n] = -77;
    assert_int_equal(prism_vocab_encode(v, text, len, flags, t.id, t.n, &n, NULL), PRISM_OK);
    assert_int_equal(n, t.n);
    assert_int_equal(t.id[t.n], -77);
    return t;
}

/* The bytes of all tokens; free the result. */
static char *decode(const struct prism_vocab *v, struct ids t, size_t *len)
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
    struct ids t = encode(v, text, len, 0);
    size_t n;
    char *back = decode(v, t, &n);
    assert_int_equal(n, len);
    assert_memory_equal(back, text, len);
    free(back);
    free(t.id);
}

/* ---- recorded cases ---- */

#define FIXTURE "fixtures/tokenizer/ggml-vocab-"
#define SEPARATOR "\n__ggml_vocab_test__\n"

static void check_case(const char *name, int number, const struct prism_vocab *v, const char *text, size_t len, unsigned flags,
                       const char *expected)
{
    struct ids t = encode(v, text, len, flags);
    const char *p = expected;
    size_t i = 0;

    for (char *end;; p = end, i++) {
        long id = strtol(p, &end, 10);
        if (end == p)
            break;
        if (i >= t.n || id != t.id[i])
            fail_msg("%s case %d, token %zu: expected %ld, found %d", name, number, i, id, i < t.n ? t.id[i] : -1);
    }
    if (i != t.n)
        fail_msg("%s case %d: expected %zu tokens, found %zu", name, number, i, t.n);
    free(t.id);
}

/* Unpacks to a file of the test directory; skips the test where there is no fixture or no xz. */
static void unpack(const char *name, char *path, size_t cap)
{
    char command[1024], packed[256];

    snprintf(packed, sizeof packed, FIXTURE "%s.gguf.xz", name);
    const char *from = test_shared(packed);
    if (system("xz --version >/dev/null 2>&1")) {
        print_message("skipped: no xz to unpack %s\n", from);
        skip();
    }
    snprintf(path, cap, "%s/%s.gguf", test_tmp_dir(), name);
    snprintf(command, sizeof command, "xz -dc '%s' >'%s'", from, path);
    assert_int_equal(system(command), 0);
}

static void check_fixture(const char *name)
{
    char path[512], rel[256];

    unpack(name, path, sizeof path);
    struct opened o = open_vocab(path);
    snprintf(rel, sizeof rel, FIXTURE "%s.gguf.inp", name);
    char *input = test_read_file(test_shared(rel), NULL);
    snprintf(rel, sizeof rel, FIXTURE "%s.gguf.out", name);
    char *output = test_read_file(test_shared(rel), NULL);

    int n_cases = 0;
    char *text = input, *end, *line = output;
    while ((end = strstr(text, SEPARATOR))) {
        char *eol = strchr(line, '\n');
        assert_non_null(eol);
        *eol = 0;
        check_case(name, n_cases++, o.v, text, (size_t)(end - text), 0, line);
        text = end + strlen(SEPARATOR);
        line = eol + 1;
    }
    assert_int_equal(n_cases, 46);
    free(input);
    free(output);
    close_vocab(o);
}

static void recorded_llama_bpe(void **state) { (void)state, check_fixture("llama-bpe"); }
static void recorded_qwen2(void **state) { (void)state, check_fixture("qwen2"); }
static void recorded_gpt_2(void **state) { (void)state, check_fixture("gpt-2"); }
static void recorded_llama_spm(void **state) { (void)state, check_fixture("llama-spm"); }
static void recorded_phi_3(void **state) { (void)state, check_fixture("phi-3"); }
static void recorded_refact(void **state) { (void)state, check_fixture("refact"); }
static void recorded_starcoder(void **state) { (void)state, check_fixture("starcoder"); }

/* Ids of llama.cpp v0.5.0: the white space behind most special tokens is gone. */
static void recorded_special_tokens_of_phi_3(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"<|user|>\nWho was she?<|end|>\n<|assistant|>\n", "32010 11644 471 1183 29973 32007 32001"},
        {"<s><|system|>\nBe brief.<|end|>\n<|user|>\n  Hi  <|end|>\n<|assistant|>\n",
         "1 32006 1522 11473 29889 32007 32010 6324 259 32007 32001"},
        {" <|assistant|> <unk> x <|endoftext|> y </s>\n z", "259 32001 0 29871 921 29871 32000 29871 343 29871 2 503"},
    };
    char path[512];
    unpack("phi-3", path, sizeof path);
    struct opened o = open_vocab(path);
    for (int i = 0; i < 3; i++)
        check_case("special tokens of phi-3", i, o.v, rows[i][0], strlen(rows[i][0]), PRISM_PARSE_SPECIAL, rows[i][1]);
    close_vocab(o);
}

static void a_large_vocabulary_loads_at_once(void **state)
{
    (void)state;
    char path[512];
    unpack("llama-bpe", path, sizeof path);
    struct prism_gguf *g;
    struct prism_vocab *v;
    assert_int_equal(prism_gguf_open(path, (struct prism_log){0}, &g, NULL), PRISM_OK);
    double start = cpu_seconds(); /* of this process: other work on the machine does not count */
    assert_int_equal(prism_vocab_load(g, 128256, &v, NULL), PRISM_OK);
    double ms = (cpu_seconds() - start) * 1e3;
    print_message("llama-bpe: 128256 tokens and 280147 merges loaded in %.0f ms\n", ms);
    assert_true(ms < 3000); /* linear: some 50 ms, and a slow machine's or a sanitizer's multiple; quadratic: minutes */
    prism_vocab_free(v);
    prism_gguf_close(g);
}

/* ---- the models of the repository ---- */

#define BPE_MODEL "models/gutenberg-38m-q8_0.gguf"
#define SPM_MODEL "models/gutenberg-llama-16m-q8_0.gguf"
static const char *const models[] = {BPE_MODEL, SPM_MODEL};

static void a_novel_survives_the_round_trip(void **state)
{
    (void)state;
    size_t len;
    char *text = test_read_file("models/persuasion.txt", &len);
    for (size_t i = 0; i < 2; i++) {
        struct opened o = open_vocab(models[i]);
        assert_round_trip(o.v, text, len);
        close_vocab(o);
    }
    struct opened o = open_vocab(BPE_MODEL);
    struct ids t = encode(o.v, text, len, PRISM_ADD_SPECIAL | PRISM_PARSE_SPECIAL);
    assert_int_equal(t.n, 104716);
    free(t.id);
    close_vocab(o);
    free(text);
}

static void facts_come_from_the_file(void **state)
{
    (void)state;
    struct prism_vocab_facts f;
    struct opened o = open_vocab(BPE_MODEL);
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
    struct opened o = open_vocab(BPE_MODEL);
    struct ids t = encode(o.v, chat, sizeof chat - 1, PRISM_PARSE_SPECIAL), plain = encode(o.v, chat, sizeof chat - 1, 0);
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
    t = encode(o.v, "the</s>the", 10, PRISM_ADD_SPECIAL | PRISM_PARSE_SPECIAL);
    plain = encode(o.v, "the", 3, 0);
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
    t = encode(o.v, "", 0, PRISM_ADD_SPECIAL);
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
        struct opened o = open_vocab(models[i]);
        assert_round_trip(o.v, nul, sizeof nul - 1);
        assert_round_trip(o.v, utf8, sizeof utf8 - 1);
        assert_round_trip(o.v, " leading and trailing ", 22);
        assert_round_trip(o.v, "", 0);
        close_vocab(o);
    }
    /* Invalid bytes: SentencePiece keeps them by byte tokens, byte-level BPE replaces each by U+FFFD. */
    static const char bad[] = "x\xFFy\xE2\x82z\xC0\x80\xED\xA0\x80\xF4\x90\x80\x80w\xF0\x9F";
    struct opened o = open_vocab(SPM_MODEL);
    assert_round_trip(o.v, bad, sizeof bad - 1);
    close_vocab(o);
    o = open_vocab(BPE_MODEL);
    struct ids t = encode(o.v, bad, sizeof bad - 1, 0);
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
        struct opened o = open_vocab(models[m]);
        struct ids t = encode(o.v, text, sizeof text - 1, 0);
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
    struct opened o = open_vocab(SPM_MODEL);
    int32_t few[3] = {-5, -5, -5};
    size_t n;
    struct ids t = encode(o.v, "It was the best of times", 24, PRISM_ADD_SPECIAL);
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
        struct opened o = open_vocab(models[m]);
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
        struct opened o = open_vocab(models[m]);
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
        cmocka_unit_test(recorded_llama_bpe),
        cmocka_unit_test(recorded_qwen2),
        cmocka_unit_test(recorded_gpt_2),
        cmocka_unit_test(recorded_llama_spm),
        cmocka_unit_test(recorded_phi_3),
        cmocka_unit_test(recorded_special_tokens_of_phi_3),
        cmocka_unit_test(recorded_refact),
        cmocka_unit_test(recorded_starcoder),
        cmocka_unit_test(a_large_vocabulary_loads_at_once),
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
