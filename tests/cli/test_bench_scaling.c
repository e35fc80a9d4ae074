/* test_bench_scaling.c - prism-bench scaling as a user meets it: table, CSV, JSON and errors. Costs are whatever they are; what follows from them is
 * checked. Which splits leave threads idle is tests/cli/test_scaling.c's business. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/csv.h"
#include "tests/support/tool_check.h"

static const char model[] = "models/gutenberg-llama-16m-q8_0.gguf"; /* 8 layers, a dense gated FFN */

static double number(const struct csv *t, size_t row, const char *column) { return strtod(csv_cell(t, row, column), NULL); }

static void csv_adds_up(void **state)
{
    struct child c;
    struct csv t;
    size_t row = 0;

    (void)state;
    RUN(&c, "prism-bench", "scaling", "--shape", "qwen3-0.6b", "--type", "Q4_0", "-p", "640", "-t", "1,3,64", "--csv");
    assert_worked(&c);
    assert_int_equal(c.n_err, 0);
    csv_read(&t, c.out);
    for (size_t threads = 1; threads <= 64; threads = threads == 1 ? 3 : threads == 3 ? 64 : 65) {
        double busy = 0, span = 0, jobs = 0;
        for (; strcmp(csv_cell(&t, row, "phase"), "all"); row++) {
            assert_true(number(&t, row, "threads") == (double)threads);
            assert_true(number(&t, row, "busy_ms") > 0 && number(&t, row, "jobs") >= 1);
            busy += number(&t, row, "busy_ms"), span += number(&t, row, "span_ms"), jobs += number(&t, row, "jobs");
        }
        assert_true(jobs == number(&t, row, "jobs"));
        assert_true(fabs(busy - number(&t, row, "busy_ms")) < 0.001 && fabs(span - number(&t, row, "span_ms")) < 0.001); /* 4 decimals, 11 phases */
        assert_true(fabs(number(&t, row, "idle") - (1 - busy / ((double)threads * span))) < 0.01);
        assert_true(threads > 1 || number(&t, row, "idle") == 0);
        assert_true(threads == 1 || number(&t, row, "idle") > 0);
        row++;
    }
    assert_int_equal(row, t.n_rows - 1); /* but for the header */
    child_free(&c);
}

static void json_and_runs_of_a_model(void **state)
{
    static const char *const members[] = { "\"subject\": \"models/gutenberg-llama-16m-q8_0.gguf\"", "\"n_tokens\": 96", "\"threads\": 8", "\"phase\": \"gate, up\"",
                                           "\"idle\": ", "\"part\": \"linear\"", "\"measured_ms\": ", "\"level\": \"generic\"" };
    struct child c;

    (void)state;
    RUN(&c, "prism-bench", "scaling", "-m", model, "-p", "96", "-t", "8", "--cpu-level", "generic", "--json");
    assert_worked(&c);
    assert_json(c.out);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        assert_non_null(strstr(c.out, members[i]));
    child_free(&c);
}

static void table_of_a_shape(void **state)
{
    struct child c;

    (void)state;
    RUN(&c, "prism-bench", "scaling", "--shape", "smollm2-135m", "-p", "64", "-t", "1-8*2");
    assert_worked(&c);
    assert_non_null(strstr(c.out, "a layer of smollm2-135m, 64 tokens, dense; part of the threads' time that is idle\n"));
    assert_non_null(strstr(c.out, "\nthreads             of one       1       2       4       8\n"));
    assert_non_null(strstr(c.out, "\nall                 100.0%"));
    const char *speedups = strstr(c.out, "\nspeedup                        1.0 ");
    double two, four, eight;
    assert_non_null(speedups);
    assert_int_equal(sscanf(speedups, " speedup 1.0 %lf %lf %lf", &two, &four, &eight), 3);
    assert_true(two > 1 && two <= 2 && four > two && four <= 4 && eight > four && eight <= 8);
    assert_null(strstr(c.out, "ms, run / modelled"));
    child_free(&c);
}

static void wrong_flags(void **state)
{
    static const struct {
        const char *args[4], *expected;
    } cases[] = {
        { { "--shape", "nonsense" }, "--shape nonsense: make-model --list has the names" },
        { { "--shape", "qwen3-30b-a3b" }, "layers with attention and a dense FFN are modelled" },
        { { "--type", "Q4_K_M" }, "--type Q4_K_M: expected one type" },
        { { "--type", "Q9" }, "Q9" },
        { { "-t", "0" }, "-t 0" },
        { { "-p", "8" }, "-p 8: expected a whole number from 32" },
        { { "--json", "--csv" }, "give one of the two flags" },
        { { "--cpu-level", "z80" }, "--cpu-level z80: expected one of" },
        { { "-m", "/nonexistent" }, "/nonexistent" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct child c;
        RUN(&c, "prism-bench", "scaling", cases[i].args[0], cases[i].args[1]);
        assert_refused(&c, cases[i].expected);
        child_free(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_adds_up),
        cmocka_unit_test(json_and_runs_of_a_model),
        cmocka_unit_test(table_of_a_shape),
        cmocka_unit_test(wrong_flags),
    };
    return cmocka_run_group_tests_name("cli/bench_scaling", tests, NULL, NULL);
}
