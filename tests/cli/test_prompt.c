/* What becomes of a prompt: one rule for its last newline, tokens at its ends that the model's metadata adds, and tokens of any length coming
 * back as text. Numbers that are none end each tool with one line. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/data.h"
#include "tests/support/tiny_model.h"
#include "tests/support/tool_check.h"

static const char model[] = "models/gutenberg-llama-16m-q8_0.gguf"; /* SentencePiece, BOS 1 added */

/* The number behind `"name": ` in a JSON document. */
static long long member(const struct child *c, const char *name)
{
    char key[64];

    assert_worked(c);
    snprintf(key, sizeof key, "\"%s\": ", name);
    const char *at = strstr(c->out, key);
    assert_non_null(at);
    return strtoll(at + strlen(key), NULL, 10);
}

/* ---- newlines ------------------------------------------------------------------------------------------------------- */

/* Standard input, -f - and -f FILE drop one newline at the end; -p and -bf FILE keep it. */
static void one_newline_is_dropped(void **state)
{
    static const struct {
        const char *text;
        const char *flags[2];
        bool from_stdin, same; /* as -p Hello */
    } cases[] = {
        { "Hello\n", { NULL }, true, true },          { "Hello", { NULL }, true, true },
        { "Hello\n\n", { NULL }, true, false },       { "Hello\n", { "-f", "-" }, true, true },
        { "Hello\n\n", { "-f", "-" }, true, false },  { "Hello\n", { "-f", "FILE" }, false, true },
        { "Hello\n", { "-bf", "FILE" }, false, false }, { "Hello", { "-bf", "FILE" }, false, true },
        { "Hello\n", { "-bf", "-" }, true, false },   { "", { "-p", "Hello\\n" }, false, false },
    };
    struct child expected;

    (void)state;
    RUN(&expected, "prism-run", "-m", model, "-p", "Hello", "--tokenize");
    assert_worked(&expected);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *text = cases[i].text, *value = cases[i].flags[1];
        struct child c;
        if (value && !strcmp(value, "FILE"))
            value = gb_write_bytes("prompt.txt", text, strlen(text));
        child_run(&c, (const char *const[]){ "prism-run", "-m", model, "--tokenize", cases[i].flags[0], value, NULL },
                  cases[i].from_stdin ? text : "", cases[i].from_stdin ? strlen(text) : 0);
        assert_worked(&c);
        if ((strcmp(c.out, expected.out) == 0) != cases[i].same)
            fail_msg("case %zu: tokens %s", i, c.out);
        child_free(&c);
    }
    child_free(&expected);
}

static void one_prompt_only(void **state)
{
    struct child c;

    (void)state;
    RUN(&c, "prism-run", "-m", model, "-f", "a", "-bf", "b");
    assert_refused(&c, "-f and -bf: give one prompt");
    child_free(&c);
    RUN(&c, "prism-perplexity", "-m", model, "-f", "a", "-bf", "b");
    assert_refused(&c, "-f and -bf: give one text");
    child_free(&c);
}

/* ---- tokens at the ends --------------------------------------------------------------------------------------------- */

static const char *model_with_ends(bool bos, bool eos)
{
    const struct tiny_model m = tiny_llama();
    struct gb *g = tiny_build(&m);

    gb_bool(g, "tokenizer.ggml.add_bos_token", bos);
    gb_bool(g, "tokenizer.ggml.add_eos_token", eos);
    const char *path = gb_write(g, "ends.gguf");
    gb_free(g);
    return path;
}

/* Nothing is continued behind the end of its text, nor scored there. */
static void no_end_of_text_in_a_prompt(void **state)
{
    static const char text[] = "abcdefghijklmnopqrst"; /* 20 bytes, 20 tokens */

    (void)state;
    for (int ends = 0; ends < 4; ends++) {
        const char *path = model_with_ends(ends & 1, ends & 2);
        struct child c;
        RUN(&c, "prism-run", "-m", path, "-p", text, "-n", "1", "-t", "1", "--json");
        assert_int_equal(member(&c, "n_prompt"), 20 + (ends & 1));
        child_free(&c);
        child_run(&c, (const char *const[]){ "prism-perplexity", "-m", path, "-c", "8", "-t", "1", "--json", NULL }, text, strlen(text));
        assert_int_equal(member(&c, "n_tokens"), 20 + (ends & 1));
        child_free(&c);
    }
}

static void two_beginnings_are_told(void **state)
{
    static const char warning[] =
        "prism-run: warning: the prompt begins with the beginning-of-text token, and the model's metadata adds it: it is there twice\n";
    struct child c;

    (void)state;
    RUN(&c, "prism-run", "-m", model, "-p", "<s>Hello", "-n", "1", "-t", "1", "--json");
    assert_worked(&c);
    assert_string_equal(c.err, warning);
    child_free(&c);
    RUN(&c, "prism-run", "-m", model, "-p", "Hello<s>", "-n", "1", "-t", "1", "--json");
    assert_worked(&c);
    assert_string_equal(c.err, "");
    child_free(&c);
    RUN(&c, "prism-run", "-m", model_with_ends(false, false), "-p", "<|endoftext|>ab", "-n", "1", "-t", "1", "--json"); /* none added */
    assert_worked(&c);
    assert_string_equal(c.err, "");
    child_free(&c);
}

/* ---- long tokens ---------------------------------------------------------------------------------------------------- */

enum { N_BYTES = 256, N_LONG = 30, N_SPECIAL = 3, LONG = 5000 };

/* A model whose 30 tokens after the bytes have 5000 bytes each, nearly all of them 'x'. */
static const char *model_with_long_tokens(void)
{
    static char room[N_BYTES][8], texts[N_LONG][LONG + 1];
    const char *all[N_BYTES + N_LONG + N_SPECIAL] = { [N_BYTES + N_LONG] = "<|a|>", "<|b|>", "<|c|>" };
    const struct tiny_model m = tiny_llama();
    struct gb *g = tiny_build(&m);
    const uint8_t *p = gb_pair(g, "tokenizer.ggml.tokens")->value + 4 + 8; /* behind the type and the count */

    assert_int_equal(tiny_n_vocab("gpt2"), N_BYTES + N_LONG + N_SPECIAL);
    for (size_t i = 0; i < N_BYTES; i++) {
        uint64_t len;
        memcpy(&len, p, sizeof len);
        assert_true(len < sizeof room[i]);
        memcpy(room[i], p + 8, len);
        all[i] = room[i];
        p += 8 + len;
    }
    for (int i = 0; i < N_LONG; i++) {
        memset(texts[i], 'x', LONG);
        texts[i][0] = (char)('A' + i);
        all[N_BYTES + i] = texts[i];
    }
    gb_strings(g, "tokenizer.ggml.tokens", all, N_BYTES + N_LONG + N_SPECIAL);
    gb_strings(g, "tokenizer.ggml.merges", NULL, 0);
    const char *path = gb_write(g, "long.gguf");
    gb_free(g);
    return path;
}

/* Drawn nearly evenly, a tenth of the tokens are long ones, and each of their bytes is printed. */
static void long_tokens_are_whole(void **state)
{
    long n_long = 0, n_x = 0, n_tokens = 0;
    struct child c;
    char *end;

    (void)state;
    RUN(&c, "prism-run", "-m", model_with_long_tokens(), "-p", "ab", "-n", "200", "-s", "1", "-t", "1", "--temp", "100", "--top-k", "0",
        "--top-p", "1", "--min-p", "0", "--ignore-eos", "--json");
    assert_worked(&c);
    assert_json(c.out);
    const char *ids = strstr(c.out, "\"tokens\": [");
    assert_non_null(ids);
    for (ids += strlen("\"tokens\": ["); *ids != ']'; ids = end + strspn(end, ", \n")) {
        long id = strtol(ids + strspn(ids, " \n"), &end, 10);
        n_long += id >= N_BYTES && id < N_BYTES + N_LONG;
        n_tokens++;
    }
    for (const char *p = c.out; *p; p++)
        n_x += *p == 'x';
    assert_int_equal(n_tokens, 200);
    assert_true(n_long > 0);
    assert_in_range(n_x, n_long * (LONG - 1), n_long * (LONG - 1) + 200); /* beside single bytes 'x' and words of the document */
    child_free(&c);
}

/* ---- numbers that are none ------------------------------------------------------------------------------------------ */

static void fill(struct gb *g, const char *tensor, float value)
{
    struct gb_tensor *t = gb_tensor(g, tensor);

    for (size_t i = 0; i < t->n_bytes; i += sizeof value)
        memcpy(t->data + i, &value, sizeof value);
}

static const char *spoilt_model(const char *tensor, float value)
{
    const struct tiny_model m = tiny_qwen2();
    struct gb *g = tiny_build(&m);

    fill(g, tensor, value);
    const char *path = gb_write(g, "spoilt.gguf");
    gb_free(g);
    return path;
}

static void not_finite(void **state)
{
    static const char text[] = "abcdefghijklmnopqrstuvwxyz";
    static const float values[] = { NAN, INFINITY };
    struct child c;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const char *path = spoilt_model("output_norm.weight", values[i]);
        RUN(&c, "prism-run", "-m", path, "-p", "ab", "-n", "8", "-t", "1");
        assert_refused(&c, "prism-run: ");
        assert_null(strstr(c.err, "out of memory"));
        child_free(&c);
        RUN(&c, "prism-run", "-m", path, "-p", "ab", "-n", "8", "-t", "1", "--json", "--ignore-eos", "--temp", "0");
        assert_refused(&c, "prism-run: ");
        child_free(&c);
        child_run(&c, (const char *const[]){ "prism-perplexity", "-m", path, "-c", "8", "-t", "1", NULL }, text, strlen(text));
        assert_refused(&c, "prism-perplexity: ");
        child_free(&c);
        child_run(&c, (const char *const[]){ "prism-perplexity", "-m", path, "-c", "8", "-t", "1", "--json", NULL }, text, strlen(text));
        assert_refused(&c, "prism-perplexity: ");
        child_free(&c);
    }
    assert_non_null(spoilt_model("output_norm.weight", 1)); /* the same file with a number */
    RUN(&c, "prism-run", "-m", spoilt_model("output_norm.weight", 1), "-p", "ab", "-n", "8", "-t", "1");
    assert_worked(&c);
    child_free(&c);
}

/* Half of the tokens have no embedding: the text goes on until one of them is drawn. Its line ends before the error's. */
static void not_finite_after_a_while(void **state)
{
    struct tiny_model m = tiny_llama();
    struct child c;

    (void)state;
    m.type = m.output_type = PRISM_F32;
    m.untied = true;
    struct gb *g = tiny_build(&m);
    struct gb_tensor *t = gb_tensor(g, "token_embd.weight");
    for (size_t i = t->n_bytes / 2; i < t->n_bytes; i += sizeof(float))
        memcpy(t->data + i, &(float){ NAN }, sizeof(float));
    const char *path = gb_write(g, "later.gguf");
    gb_free(g);
    RUN(&c, "prism-run", "-m", path, "-p", "AB", "-n", "200", "-s", "1", "-t", "1", "--temp", "100", "--top-k", "0", "--top-p", "1", "--min-p",
        "0", "--ignore-eos");
    assert_int_equal(c.status, 1);
    assert_int_equal(child_error_lines(&c), 1);
    assert_true(c.n_out > 1);
    assert_int_equal(c.out[c.n_out - 1], '\n');
    child_free(&c);
}

/* Values of 70000 are no half floats: one line says so and what to do, and that helps. */
static void too_large_for_the_cache(void **state)
{
    static const char text[] = "abcdefghijklmnopqrstuvwxyz", advice[] = "use a BF16 or F32 cache (-ctv bf16 or -ctv f32)\n";
    static const char *const types[] = { "bf16", "f32" };
    const char *path = spoilt_model("blk.0.attn_v.bias", 7e4f);
    struct child c;

    (void)state;
    RUN(&c, "prism-run", "-m", path, "-p", "ab", "-n", "2", "-t", "1", "--cpu-level", "generic");
    assert_refused(&c, advice);
    child_free(&c);
    child_run(&c, (const char *const[]){ "prism-perplexity", "-m", path, "-c", "8", "-t", "1", "--cpu-level", "generic", NULL }, text,
              strlen(text));
    assert_refused(&c, advice);
    child_free(&c);
    for (size_t i = 0; i < 2; i++) {
        RUN(&c, "prism-run", "-m", path, "-p", "ab", "-n", "2", "-t", "1", "--cpu-level", "generic", i ? "-ctk" : "-ctv", types[i]); /* of keys: of both */
        assert_worked(&c);
        child_free(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_newline_is_dropped),     cmocka_unit_test(one_prompt_only),
        cmocka_unit_test(no_end_of_text_in_a_prompt), cmocka_unit_test(two_beginnings_are_told),
        cmocka_unit_test(long_tokens_are_whole),      cmocka_unit_test(not_finite),
        cmocka_unit_test(not_finite_after_a_while),   cmocka_unit_test(too_large_for_the_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
