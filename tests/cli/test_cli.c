/* The tools as a user meets them: flags, errors in one line, exit statuses, and what each mode prints. What prism-perplexity computes: test_perplexity.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/child.h"
#include "tests/support/data.h"
#include "tests/support/tool_check.h"

static const char model[] = "models/gutenberg-llama-16m-q8_0.gguf"; /* SentencePiece, BOS 1 added, context 4096 */

/* ---- flags ---------------------------------------------------------------------------------------------------------- */

static void help_and_version(void **state)
{
    static const char *const tools[] = { "prism-run", "prism-perplexity" };
    struct child c;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        RUN(&c, tools[i], "--help");
        assert_worked(&c);
        assert_int_equal(c.n_err, 0);
        assert_non_null(strstr(c.out, "-m, --model FILE"));
        assert_non_null(strstr(c.out, "Examples:"));
        child_free(&c);
        RUN(&c, tools[i], "--version");
        assert_worked(&c);
        assert_memory_equal(c.out, tools[i], strlen(tools[i]));
        child_free(&c);
    }
    RUN(&c, "prism-run", "-n", "5", "-h"); /* the default, not what was given before -h */
    assert_non_null(strstr(c.out, "(default: 64)"));
    child_free(&c);
}

static void wrong_flags(void **state)
{
    static const struct {
        const char *args[6], *expected;
    } cases[] = {
        { { "--zzz" }, "prism-run: unknown option '--zzz' (see --help)\n" },
        { { "-Z" }, "unknown option '-Z'" },
        { { "--thre", "2" }, "unknown option '--thre'" }, /* no abbreviations */
        { { "prompt" }, "unexpected argument 'prompt'" },
        { { "--temp" }, "option '--temp' needs a value" },
        { { "-t" }, "option '-t' needs a value" },
        { { "--info=yes" }, "option '--info' takes no value" },
        { { "-t", "0" }, "prism-run: -t 0: expected a whole number from 1 to 512\n" },
        { { "-t", "4096" }, "-t 4096: expected a whole number from 1 to 512" },
        { { "-t", "abc" }, "-t abc: expected a whole number" },
        { { "-t4x" }, "-t 4x: expected a whole number" },
        { { "--threads=-1" }, "--threads -1: expected" },
        { { "-n", "x" }, "-n x: expected a whole number from -1 to 2147483647" },
        { { "-n", "99999999999999999999" }, "-n 99999999999999999999: expected" },
        { { "-n", "" }, "-n : expected" },
        { { "-c", "1.5" }, "-c 1.5: expected a whole number from 0" },
        { { "--temp", "nan" }, "--temp nan: expected a number from -1 to 100" },
        { { "--temp", "inf" }, "--temp inf: expected" },
        { { "--top-p", "1.01" }, "--top-p 1.01: expected a number from 0 to 1" },
        { { "--compute", "f64" }, "--compute f64: expected one of: auto f32" },
        { { "-ctk", "q4_0" }, "-ctk q4_0: expected one of: f16 bf16 f32 q8_0" },
        { { "-ctv", "q8" }, "-ctv q8: expected one of: f16 bf16 f32 q8_0" },
        { { "--cpu-level", "sse" }, "--cpu-level sse: expected one of: generic" },
        { { "-p", "a", "-f", "/absent/b" }, "cannot open /absent/b" },
        { { "-p", "a", "-cnv", "-no-cnv" }, "-cnv and -no-cnv: give one of them" },
        { { "-p", "a", "-p", "b", "--json" }, "--json is for one prompt: give one -p\n" },
        { { "-p", "a", "-p", "b", "--attn-map", "x.png" }, "--attn-map is for one prompt" },
        { { "-p", "a", "-cnv", "--json" }, "--json is for one prompt: give one -p, without -cnv" },
        { { "-p", "a", "-r", "" }, "-r: the text is empty" },
        { { "-p", "a", "-sys", "x" }, "-sys: the model has no chat template; --chat-template chatml, or the text of another, sets one" },
        { { "-p", "a", "-sysf", "x" }, "-sysf: the model has no chat template" },
        { { "-p", "a", "--reasoning", "on" }, "--reasoning: the model has no chat template" },
        { { "-p", "a", "-cnv" }, "-cnv: the model has no chat template" },
        { { "-p", "a", "-sys", "x", "-no-cnv" }, "-sys needs a chat template, and -no-cnv is there" },
        { { "-p", "a", "--chat-template", "llama3" }, "--chat-template llama3: expected chatml, or the text of a template" },
        { { "-p", "a", "--chat-template", "{{", "--chat-template-file", "x" }, "--chat-template and --chat-template-file: give one of them" },
        { { "-p", "a", "--chat-template", "{{ x.y }}" }, "chat template, line 1: \"x\" is undefined" },
        { { "-p", "a", "--chat-template-file", "/absent/x" }, "cannot open /absent/x" },
        { { "--chat-template", "chatml", "-sys", "x", "-sysf", "y" }, "-sys and -sysf: give one of them" },
        { { "-p", "a", "--chat-template", "{{ raise_exception('no ' ~ messages[0].role) }}" },
          "chat template, line 1: the template refuses these messages: no user" },
        { { "-p", "a", "-p", "b", "--tokenize" }, "--tokenize: give one prompt" },
        { { "-f", "no/such/file" }, "cannot open no/such/file: No such file or directory" },
        { { "-f", "/" }, "cannot read /: Is a directory" },
    };
    struct child c;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const *a = cases[i].args;
        RUN(&c, "prism-run", "-m", model, a[0], a[1], a[2], a[3], a[4], a[5]);
        assert_refused(&c, cases[i].expected);
        child_free(&c);
    }
    RUN(&c, "prism-run", "-p", "a");
    assert_refused(&c, "no model: use -m FILE");
    child_free(&c);
}

/* ---- files ---------------------------------------------------------------------------------------------------------- */

/* The first n bytes of the model. */
static const char *cut_model(size_t n)
{
    static char path[512];
    size_t len;
    char *bytes = test_read_file(model, &len);

    assert_true(n < len);
    snprintf(path, sizeof path, "%s/cut.gguf", test_tmp_dir());
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
    free(bytes);
    return path;
}

static void damaged_models(void **state)
{
    static const char *const paths[] = { "no/such/model.gguf", "models", "/dev/zero", "/dev/null", "Makefile", "a\nb" };
    static const size_t cuts[] = { 0, 3, 23, 1000, 100000, 15000000 };
    struct child c;

    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        RUN(&c, "prism-run", "-m", paths[i], "-p", "a", "-n", "1");
        assert_refused(&c, "prism-run: ");
        child_free(&c);
    }
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        const char *path = cut_model(cuts[i]);
        RUN(&c, "prism-run", "-m", path, "-p", "a", "-n", "1");
        assert_refused(&c, "cut.gguf");
        child_free(&c);
    }
    RUN(&c, "prism-perplexity", "-m", "no/such/model.gguf", "-f", "models/persuasion.txt");
    assert_refused(&c, "prism-perplexity: ");
    child_free(&c);
}

/* ---- prompts -------------------------------------------------------------------------------------------------------- */

static void greedy(struct child *c, const char *prompt, const char *threads)
{
    RUN(c, "prism-run", "-m", model, "-p", prompt, "-n", "12", "--temp", "0", "--ignore-eos", "-t", threads);
    assert_worked(c);
}

static void same_text_for_any_number_of_threads(void **state)
{
    struct child one, two;

    (void)state;
    greedy(&one, "The old house stood upon the hill, and", "1");
    greedy(&two, "The old house stood upon the hill, and", "2");
    assert_string_equal(one.out, two.out);
    assert_true(one.n_out > 12);
    assert_int_equal(one.out[one.n_out - 1], '\n');
    assert_int_equal(child_error_lines(&one), 4); /* load, tokenize, prefill, decode */
    assert_non_null(strstr(one.err, "tokens/s"));
    child_free(&one);
    child_free(&two);
}

static void prompt_from_each_source(void **state)
{
    static const char prompt[] = "It was a dark night.\nThe";
    char path[512];
    struct child flag, file, pipe, echo, escaped;

    (void)state;
    snprintf(path, sizeof path, "%s/prompt.txt", test_tmp_dir());
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "%s\n", prompt); /* -f drops this newline */
    fclose(f);
    RUN(&flag, "prism-run", "-m", model, "-p", prompt, "-n", "8", "-t", "1", "--temp", "0");
    RUN(&escaped, "prism-run", "-m", model, "-p", "It was a dark night.\\nThe", "-n", "8", "-t", "1", "--temp", "0");
    RUN(&file, "prism-run", "-m", model, "-f", path, "-n", "8", "-t", "1", "--temp", "0");
    child_run(&pipe, (const char *const[]){ "prism-run", "-m", model, "-n", "8", "-t", "1", "--temp", "0", NULL }, prompt,
              strlen(prompt));
    RUN(&echo, "prism-run", "-m", model, "-p", prompt, "-n", "8", "-t", "1", "--temp", "0", "--display-prompt");
    assert_worked(&flag);
    assert_string_equal(flag.out, file.out);
    assert_string_equal(flag.out, pipe.out);
    assert_string_equal(flag.out, escaped.out);
    assert_memory_equal(echo.out, prompt, strlen(prompt));
    assert_string_equal(echo.out + strlen(prompt), flag.out);
    child_free(&flag);
    child_free(&escaped);
    child_free(&file);
    child_free(&pipe);
    child_free(&echo);
}

static void odd_prompts(void **state)
{
    static const char odd[] = "nul \0 byte, broken \xff\xc3( utf-8 and a torn end \xe2\x82";
    struct child c;

    (void)state;
    child_run(&c, (const char *const[]){ "prism-run", "-m", model, "-n", "4", "-t", "1", "--display-prompt", NULL }, odd,
              sizeof odd - 1);
    assert_worked(&c);
    assert_non_null(memchr(c.out, 0, c.n_out));                   /* the NUL byte came through */
    assert_non_null(memmem(c.out, c.n_out, "\xef\xbf\xbd", 3)); /* and the broken bytes as U+FFFD */
    assert_null(memchr(c.out, 0xff, c.n_out));
    child_free(&c);
    RUN(&c, "prism-run", "-m", model, "-p", "", "-n", "4", "-t", "1", "--json"); /* empty: BOS alone */
    assert_worked(&c);
    assert_non_null(strstr(c.out, "\"n_prompt\": 1,"));
    child_free(&c);
    RUN(&c, "prism-run", "-m", "models/gutenberg-38m-q8_0.gguf", "-p", ""); /* has no BOS */
    assert_refused(&c, "the prompt is empty");
    child_free(&c);
}

static void prompt_longer_than_context(void **state)
{
    struct child c;

    (void)state;
    RUN(&c, "prism-run", "-m", model, "-p", "one two three four five six seven eight nine ten", "-c", "8");
    assert_refused(&c, "tokens, the context holds 8: shorten the prompt or set -c ");
    child_free(&c);
    RUN(&c, "prism-run", "-m", model, "-f", "models/persuasion.txt", "-n", "1");
    assert_refused(&c, "tokens, the model was trained for 4096: shorten the prompt, or set -c 114906 to read it all the same");
    child_free(&c);
    RUN(&c, "prism-run", "-m", model, "-f", "models/persuasion.txt", "-n", "1", "-c", "5000");
    assert_refused(&c, "the context holds 5000: shorten the prompt or set -c 114906, more than the model was trained for");
    child_free(&c);
    RUN(&c, "prism-run", "-m", model, "-p", "one two", "-c", "16", "-n", "-1", "-t", "1", "--ignore-eos", "--json"); /* fills it */
    assert_worked(&c);
    assert_non_null(strstr(c.out, "\"stop\": \"context full\""));
    child_free(&c);
}

/* ---- modes ---------------------------------------------------------------------------------------------------------- */

static void tokenize_prints_ids(void **state)
{
    struct child c;

    (void)state;
    RUN(&c, "prism-run", "-m", model, "-p", "Hello world", "--tokenize");
    assert_worked(&c);
    assert_int_equal(c.n_err, 0);
    assert_int_equal(strspn(c.out, "0123456789 "), c.n_out - 1);
    assert_int_equal(c.out[c.n_out - 1], '\n');
    assert_true(strtol(c.out, NULL, 10) > 2); /* no BOS in front */
    child_free(&c);
    RUN(&c, "prism-run", "-m", model, "-p", "", "--tokenize");
    assert_worked(&c);
    assert_string_equal(c.out, "\n");
    child_free(&c);
}

static void json_is_one_document(void **state)
{
    static const char *const members[] = { "\"text\"",  "\"tokens\"", "\"timings\"", "\"plan\"",
                                           "\"model\"", "\"stats\"",  "\"threads\"", "\"cores\"" };
    struct child c;
    char odd[512], *target = realpath(model, NULL);

    (void)state;
    RUN(&c, "prism-run", "-m", model, "-p", "A line\nand", "-n", "2", "-s", "7", "-t", "2", "--json");
    assert_worked(&c);
    assert_json(c.out);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        assert_non_null(strstr(c.out, members[i]));
    assert_non_null(strstr(c.out, "\"seed\": 7,"));
    assert_int_equal(c.n_err, 0);
    child_free(&c);
    snprintf(odd, sizeof odd, "%s/a\"b\\c\n\xff.gguf", test_tmp_dir()); /* a path that needs every kind of escape */
    assert_int_equal(symlink(target, odd), 0);
    RUN(&c, "prism-run", "-m", odd, "--info", "--json");
    assert_worked(&c);
    assert_json(c.out);
    assert_non_null(strstr(c.out, "/a\\\"b\\\\c\\n\xef\xbf\xbd.gguf\","));
    child_free(&c);
    free(target);
}

static void info_and_kernels(void **state)
{
    static const char *const facts[] = { "architecture       llama", "key/value cache", "total", "trained context    4096 tokens" };
    struct child c;

    (void)state;
    RUN(&c, "prism-run", "-m", model, "--info");
    assert_worked(&c);
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        assert_non_null(strstr(c.out, facts[i]));
    child_free(&c);
    RUN(&c, "prism-run", "--kernels", "--cpu-level", "generic");
    assert_worked(&c);
    assert_non_null(strstr(c.out, "generic"));
    child_free(&c);
}

static void same_seed_same_text(void **state)
{
    struct child a, b, other;

    (void)state;
    RUN(&a, "prism-run", "-m", model, "-p", "Once", "-n", "16", "-t", "1", "-s", "1");
    RUN(&b, "prism-run", "-m", model, "-p", "Once", "-n", "16", "-t", "1", "-s", "1");
    RUN(&other, "prism-run", "-m", model, "-p", "Once", "-n", "16", "-t", "1", "-s", "2");
    assert_worked(&a);
    assert_string_equal(a.out, b.out);
    assert_string_not_equal(a.out, other.out);
    child_free(&a);
    child_free(&b);
    child_free(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_and_version),
        cmocka_unit_test(wrong_flags),
        cmocka_unit_test(damaged_models),
        cmocka_unit_test(same_text_for_any_number_of_threads),
        cmocka_unit_test(prompt_from_each_source),
        cmocka_unit_test(odd_prompts),
        cmocka_unit_test(prompt_longer_than_context),
        cmocka_unit_test(tokenize_prints_ids),
        cmocka_unit_test(json_is_one_document),
        cmocka_unit_test(info_and_kernels),
        cmocka_unit_test(same_seed_same_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
