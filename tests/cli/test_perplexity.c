/* test_perplexity.c - prism-perplexity as a user meets it: the estimate of a text, the divergence of cache types, and what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/child.h"
#include "tests/support/tool_check.h"

static const char model[] = "models/gutenberg-llama-16m-q8_0.gguf"; /* SentencePiece, BOS 1 added, context 4096 */

static void perplexity(struct child *c, const char *threads, const char *format)
{
    RUN(c, "prism-perplexity", "-m", model, "-f", "models/persuasion.txt", "-c", "128", "--chunks", "3", "-t", threads, format);
    assert_worked(c);
}

static void perplexity_of_a_text(void **state)
{
    struct child one, two, json;
    double ppl = 0, error = 0;
    char *end;

    (void)state;
    perplexity(&one, "1", NULL);
    perplexity(&two, "2", NULL);
    assert_string_equal(one.out, two.out);
    assert_int_equal(strncmp(one.out, "[1]", 3), 0);
    assert_non_null(strstr(one.out, ",[3]"));
    assert_int_equal(sscanf(strchr(one.out, '\n'), "\nFinal estimate: PPL = %lf +/- %lf", &ppl, &error), 2);
    assert_true(ppl > 5 && ppl < 500); /* an untrained vocabulary of 8192 would be at 8192, a leak of the answer near 1 */
    assert_true(error > 0 && error < ppl);
    double last = strtod(strstr(one.out, "[3]") + 3, &end);
    assert_true(*end == ',' && last == ppl); /* both printed with four decimals */
    perplexity(&json, "2", "--json");
    assert_json(json.out);
    assert_non_null(strstr(json.out, "\"n_scored\": 189,")); /* 3 * (128 - 1 - 64) */
    child_free(&one);
    child_free(&two);
    child_free(&json);
}

static void divergence(struct child *c, const char *type, const char *base, double *mean, double *same)
{
    double error, most;
    char found[16] = "";

    RUN(c, "prism-perplexity", "-m", model, "-f", "models/persuasion.txt", "-c", "128", "--chunks", "3", "--compute", "f32", "-ctk", type, "--kl",
        base);
    assert_worked(c);
    const char *line = strstr(c->out, "\nKL divergence");
    assert_non_null(line);
    assert_int_equal(sscanf(line, "\nKL divergence to a cache of %15[a-z0-9_]: mean %lf +/- %lf, largest %lf; the first token is the same in %lf %%",
                            found, mean, &error, &most, same), 5);
    assert_string_equal(found, base);
    assert_true(*mean >= 0 && error >= 0 && most >= *mean && *same <= 100);
    child_free(c);
}

/* None of a type to itself; rounding to seven bits diverges more than rounding to eleven; both little. */
static void divergence_of_cache_types(void **state)
{
    struct child c;
    double same, none, wide, narrow;

    (void)state;
    divergence(&c, "q8_0", "q8_0", &none, &same);
    assert_true(none == 0 && same == 100);
    divergence(&c, "f16", "f32", &narrow, &same);
    divergence(&c, "q8_0", "f32", &wide, &same);
    assert_true(narrow > 0 && wide > 10 * narrow && wide < 0.01 && same > 90); /* with --compute auto the rounding of activations is above both */
    RUN(&c, "prism-perplexity", "-m", model, "-f", "models/persuasion.txt", "-c", "128", "--chunks", "1", "-ctk", "q8_0", "--kl", "f16", "--json");
    assert_worked(&c);
    assert_json(c.out);
    assert_non_null(strstr(c.out, "\"kl\": {"));
    assert_non_null(strstr(c.out, "\"kv_type\": \"q8_0\""));
    assert_non_null(strstr(c.out, "\"v_type\": \"q8_0\""));
    child_free(&c);
}

static void perplexity_refuses(void **state)
{
    struct child c;

    (void)state;
    child_run(&c, (const char *const[]){ "prism-perplexity", "-m", model, "-c", "256", NULL }, "too short", 9);
    assert_refused(&c, "need at least 512");
    child_free(&c);
    RUN(&c, "prism-perplexity", "-m", model, "-c", "4");
    assert_refused(&c, "-c 4: expected a whole number from 8");
    child_free(&c);
    RUN(&c, "prism-perplexity", "-m", model, "-f", "models/persuasion.txt", "--chunks", "0");
    assert_refused(&c, "--chunks 0");
    child_free(&c);
    RUN(&c, "prism-perplexity", "-m", model, "-f", "models/persuasion.txt", "--kl", "q4_0");
    assert_refused(&c, "--kl q4_0: expected one of: f16 bf16 f32 q8_0");
    child_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(perplexity_of_a_text),
        cmocka_unit_test(perplexity_refuses),
        cmocka_unit_test(divergence_of_cache_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
