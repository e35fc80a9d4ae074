/* test_bench.c - prism-bench as a user meets it: the table, JSON and CSV of attn, the chart, and errors in one line. Times are whatever they
 * are; counts and shapes are checked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/data.h"
#include "tests/support/tool_check.h"

static const char model[] = "models/gutenberg-llama-16m-q8_0.gguf"; /* 8 layers, 6 heads of 64, context 4096 */

#define ATTN(child, ...) \
    RUN(child, "prism-bench", "attn", "-m", model, "-f", "models/persuasion.txt", "-t", "2", "-r", "2", "--layer", "1", __VA_ARGS__)

static void help(void **state)
{
    static const char *const commands[] = { "attn", "chart", "scaling" };
    struct child c;

    (void)state;
    RUN(&c, "prism-bench", "--help");
    assert_worked(&c);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        struct child one;
        assert_non_null(strstr(c.out, commands[i]));
        RUN(&one, "prism-bench", commands[i], "--help");
        assert_worked(&one);
        assert_non_null(strstr(one.out, "Examples:"));
        child_free(&one);
    }
    child_free(&c);
    RUN(&c, "prism-bench", "--version");
    assert_worked(&c);
    assert_memory_equal(c.out, "prism-bench ", 12);
    child_free(&c);
}

static void wrong_flags(void **state)
{
    static const struct {
        const char *args[6], *expected;
    } cases[] = {
        { { "--lengths", "512,abc" }, "--lengths 512,abc: expected at most 32 numbers" },
        { { "--lengths", "8" }, "--lengths 8: expected" },
        { { "--lengths", "" }, "--lengths: no length" },
        { { "--attn", "prism,nonsense" }, "--attn nonsense: expected one of: auto dense prism" },
        { { "--attn", "prism,,dense" }, "--attn : expected one of" },
        { { "--layer", "8" }, "--layer 8: expected 0..7" },
        { { "-r", "0" }, "-r 0: expected a whole number from 1" },
        { { "--json", "--csv" }, "give one of the two flags" },
        { { "--prism-block", "48", "--attn", "prism", "--lengths", "512" }, "attention block: expected 32, 64, 128 or 256, found 48" },
        { { "-f", "/nonexistent", "--lengths", "512" }, "/nonexistent: No such file" },
    };
    struct child c;

    (void)state;
    RUN(&c, "prism-bench");
    assert_refused(&c, "prism-bench: no model: use -m FILE (see --help)"); /* without a command it is llama-bench */
    child_free(&c);
    RUN(&c, "prism-bench", "nonsense");
    assert_refused(&c, "unknown command 'nonsense'");
    child_free(&c);
    RUN(&c, "prism-bench", "attn");
    assert_refused(&c, "no model: use -m FILE");
    child_free(&c);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const *a = cases[i].args;
        RUN(&c, "prism-bench", "attn", "-m", model, "-f", "models/persuasion.txt", a[0], a[1], a[2], a[3], a[4], a[5]);
        assert_refused(&c, cases[i].expected);
        child_free(&c);
    }
}

/* The number in field `index` of a line of comma-separated values. */
static double field(const char *line, int index)
{
    for (; index > 0; index--)
        line = strchr(line, ',') + 1;
    return strtod(line, NULL);
}

enum { N_TOKENS, SELECTOR, BLOCK, LAYER, ATTENTION_MS, SELECT_MS, SELECT_SHARE, DENSITY, SPEEDUP, GFLOPS, PEAK_GFLOPS, PEAK_SHARE };

/* What can be computed from other columns, is: within the digits that are printed. */
static void check_row(const char *line, size_t n_tokens, const char *selector)
{
    const char *name = strchr(line, ',') + 1;
    double attention = field(line, ATTENTION_MS), select = field(line, SELECT_MS), density = field(line, DENSITY);
    double gflops = 1e-6 * density * 2 * 6 * 64 * (double)(n_tokens * n_tokens) / attention;

    assert_int_equal((int)field(line, N_TOKENS), n_tokens);
    assert_int_equal(strncmp(name, selector, strlen(selector)), 0);
    assert_int_equal(name[strlen(selector)], ',');
    assert_int_equal((int)field(line, LAYER), 1);
    assert_true(attention > 0 && select >= 0 && field(line, SPEEDUP) > 0);
    assert_true(field(line, SELECT_SHARE) >= 0 && field(line, SELECT_SHARE) <= 1);
    /* attention has 3 decimals and is above 0.1 ms: half a unit is 0.5 %; density has 5, the rate 2 */
    assert_true(gflops / field(line, GFLOPS) > 0.99 && gflops / field(line, GFLOPS) < 1.01);
    assert_true(field(line, PEAK_GFLOPS) > 0);
    assert_true(!strcmp(selector, "dense") ? density == 1 && field(line, SPEEDUP) == 1 && select == 0 : density > 0 && density < 1);
}

static void csv_has_a_row_for_each(void **state)
{
    static const char *const selectors[] = { "dense", "prism", "meanpool", "streaming" };
    static const char header[] =
        "n_tokens,selector,block,layer,attention_ms,select_ms,select_share,density,speedup,gflops,peak_gflops,peak_share\n";
    struct child c;

    (void)state;
    ATTN(&c, "--lengths", "512,1024", "--attn", "prism,meanpool,dense,streaming", "--stream-window", "128", "--csv");
    assert_worked(&c);
    assert_int_equal(c.n_err, 0);
    assert_int_equal(strncmp(c.out, header, strlen(header)), 0);
    const char *line = c.out;
    for (size_t n = 512; n <= 1024; n *= 2)
        for (size_t i = 0; i < 4; i++) {
            line = strchr(line, '\n') + 1;
            check_row(line, n, selectors[i]);
            assert_int_equal((int)field(line, BLOCK), i == 0 ? 128 : 64);
        }
    assert_string_equal(strchr(line, '\n'), "\n");
    child_free(&c);
}

static void json_is_one_document(void **state)
{
    static const char *const members[] = { "\"layer\": 1",     "\"repetitions\": 2", "\"selector\": \"prism\"", "\"layers_below\": \"dense\"",
                                           "\"density\": 1,", "\"peak_share\"",     "\"text_repeated\": false", "\"select_share\"" };
    struct child c;

    (void)state;
    ATTN(&c, "--lengths", "512", "--attn", "prism", "--json");
    assert_worked(&c);
    assert_json(c.out);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        assert_non_null(strstr(c.out, members[i]));
    child_free(&c);
}

/* A short text is repeated, and the table says so. */
static void table_of_a_short_text(void **state)
{
    struct child c;

    (void)state;
    child_run(&c, (const char *const[]){ "prism-bench", "attn", "-m", model, "-t", "2", "-r", "1", "--layer", "0", "--lengths", "512", "--attn",
                                         "prism", NULL }, "It was a dark night.\n", 21);
    assert_worked(&c);
    assert_non_null(strstr(c.out, "layer 0 of 8, 6 heads of 64; 2 threads"));
    assert_non_null(strstr(c.out, "attention ms  select ms  share  density  speedup  GFLOP/s  of peak\n"));
    assert_non_null(strstr(c.out, "\n    512  the text, "));
    assert_non_null(strstr(c.out, "\n    512  dense             128  "));
    assert_non_null(strstr(c.out, "\n    512  prism              64  "));
    child_free(&c);
}

/* ---- chart ---- */

static void write_csv(char path[512], const char *name, const char *text)
{
    snprintf(path, 512, "%s/%s", test_tmp_dir(), name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void chart_is_a_picture(void **state)
{
    static const char table[] = "length,selector,block,p,density,attention_ms,select_ms,speedup,ppl,ppl_dense,delta_ppl,paper_speedup\n"
                                "8192,dense,128,,1,100,0,1,20,20,0,\n"
                                "8192,prism,128,0.95,0.5,50,1,1.9,20.1,20,0.1,1.05\n"
                                "16384,prism,128,0.95,0.3,120,2,3.1,19.9,20,-0.1,1.61\n";
    struct child c;
    char csv[512], png[512];
    size_t n;

    (void)state;
    write_csv(csv, "paper.csv", table);
    snprintf(png, sizeof png, "%s/paper.png", test_tmp_dir());
    RUN(&c, "prism-bench", "chart", "-f", csv, "-o", png, "--title", "a test");
    assert_worked(&c);
    assert_int_equal(c.n_out + c.n_err, 0);
    child_free(&c);
    char *picture = test_read_file(png, &n);
    assert_true(n > 1000);
    assert_memory_equal(picture, "\x89PNG\r\n\x1a\n", 8);
    free(picture);
}

static void chart_refuses(void **state)
{
    static const char head[] = "length,selector,block,p,speedup,delta_ppl,paper_speedup\n";
    struct child c;
    char csv[512], text[256];

    (void)state;
    write_csv(csv, "few-columns.csv", "length,selector\n1024,prism\n");
    RUN(&c, "prism-bench", "chart", "-f", csv, "-o", "/dev/null");
    assert_refused(&c, "no column \"block\" in the first line");
    child_free(&c);
    snprintf(text, sizeof text, "%s2048,prism,64,0.9,1,0,\n1024,prism,64,0.9,1,0,\n", head);
    write_csv(csv, "descending.csv", text);
    RUN(&c, "prism-bench", "chart", "-f", csv, "-o", "/dev/null");
    assert_refused(&c, "descending.csv, line 3: expected 7 fields, lengths ascending");
    child_free(&c);
    snprintf(text, sizeof text, "%s1024,dense,64,,1,0,\n", head);
    write_csv(csv, "dense.csv", text);
    RUN(&c, "prism-bench", "chart", "-f", csv, "-o", "/dev/null");
    assert_refused(&c, "nothing to draw");
    child_free(&c);
    RUN(&c, "prism-bench", "chart", "-f", csv);
    assert_refused(&c, "no picture to write: use -o FILE.png");
    child_free(&c);
    snprintf(text, sizeof text, "%s1024,prism,64,,1,0,\n", head);
    write_csv(csv, "good.csv", text);
    RUN(&c, "prism-bench", "chart", "-f", csv, "-o", "/nonexistent/x.png");
    assert_refused(&c, "/nonexistent/x.png: No such file");
    child_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help),
        cmocka_unit_test(wrong_flags),
        cmocka_unit_test(csv_has_a_row_for_each),
        cmocka_unit_test(json_is_one_document),
        cmocka_unit_test(table_of_a_short_text),
        cmocka_unit_test(chart_is_a_picture),
        cmocka_unit_test(chart_refuses),
    };
    return cmocka_run_group_tests_name("cli/bench", tests, NULL, NULL);
}
