/* test_recorded.c - the 322 recorded cases of seven whole vocabularies, and that a large one loads at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/data.h"
#include "tests/support/whole_vocab.h"

#define FIXTURE "fixtures/tokenizer/ggml-vocab-"
#define SEPARATOR "\n__ggml_vocab_test__\n"

static void check_case(const char *name, int number, const struct prism_vocab *v, const char *text, size_t len, unsigned flags,
                       const char *expected)
{
    struct token_ids t = encode_text(v, text, len, flags);
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
    struct whole_vocab o = open_vocab(path);
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
    struct whole_vocab o = open_vocab(path);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
