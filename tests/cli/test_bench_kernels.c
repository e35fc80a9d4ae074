/* test_bench_kernels.c - `prism-bench kernels` and `prism-bench peak` as a user meets them: table, JSON and CSV, the choice of kernels, levels
 * and threads, and errors in one line. Rates are whatever they are; what follows from other columns is checked. */
#include <math.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/kernels.h"
#include "tests/support/csv.h"
#include "tests/support/tool_check.h"

#define KERNELS(child, ...) RUN(child, "prism-bench", "kernels", __VA_ARGS__)

/* Rows are counted after the header. An empty cell is NaN. */
static double number(const struct csv *t, size_t row, const char *column)
{
    const char *text = csv_cell(t, row, column);

    return *text ? strtod(text, NULL) : NAN;
}

static void assert_cell(const struct csv *t, size_t row, const char *column, const char *expected)
{
    assert_string_equal(csv_cell(t, row, column), expected);
}

static int levels_here(void)
{
    int n = 0;

    for (int l = 0; l < PRISM_N_LEVELS; l++)
        n += prism_level_runs_here((enum prism_level)l);
    return n;
}

static int processors(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

/* ---- help and errors ---- */

static void help(void **state)
{
    static const char *const commands[] = { "kernels", "peak" };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct child c;
        RUN(&c, "prism-bench", commands[i], "--help");
        assert_worked(&c);
        assert_non_null(strstr(c.out, "Examples:\n  prism-bench "));
        assert_non_null(strstr(c.out, "--threads N"));
        child_free(&c);
        RUN(&c, "prism-bench", "--help");
        assert_non_null(strstr(c.out, commands[i]));
        child_free(&c);
    }
}

static void wrong_flags(void **state)
{
    static const struct {
        const char *args[4], *expected;
    } cases[] = {
        { { "kernels", "nonsense" }, "no kernel with 'nonsense' in its name, type or shape" },
        { { "kernels", "add", "--level", "mmx" }, "--level mmx: expected one that runs here: generic" },
        { { "kernels", "add", "rope" }, "unexpected argument 'rope'" },
        { { "kernels", "--json", "--csv" }, "--json and --csv: give one of the two flags" },
        { { "kernels", "add", "--threads", "0" }, "--threads 0: expected a whole number from 1 to" },
        { { "kernels", "add", "--level" }, "option '--level' needs a value" },
        { { "peak", "--threads", "1e9" }, "--threads 1e9: expected a whole number" },
        { { "peak", "--json", "--csv" }, "--json and --csv: give one of the two flags" },
        { { "peak", "add" }, "unexpected argument 'add'" },
    };
    struct child c;
    char too_many[16];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const *a = cases[i].args;
        RUN(&c, "prism-bench", a[0], a[1], a[2], a[3]);
        assert_refused(&c, cases[i].expected);
        child_free(&c);
    }
    snprintf(too_many, sizeof too_many, "%d", processors() + 1);
    KERNELS(&c, "add", "--threads", too_many);
    assert_refused(&c, "threads: this process may use ");
    child_free(&c);
}

/* ---- kernels ---- */

/* A line for every level in their order; rate and ratio have three decimals, so a rate above 1 is exact to 0.05 %. */
static void csv_has_a_line_for_each_level(void **state)
{
    static const char *const unknown[] = { "peak", "peak_share", "pack_a_share", "pack_w_share" };
    struct child c;
    struct csv t;
    size_t row = 0;

    (void)state;
    KERNELS(&c, "RMS_norm", "--csv");
    assert_worked(&c);
    assert_int_equal(c.n_err, 0);
    csv_read(&t, c.out);
    for (int level = 0; level < PRISM_N_LEVELS; level++) {
        if (!prism_level_runs_here((enum prism_level)level))
            continue;
        assert_cell(&t, row, "kernel", "rms_norm");
        assert_cell(&t, row, "level", prism_level_label((enum prism_level)level));
        assert_cell(&t, row, "shape", "1024");
        assert_cell(&t, row, "threads", "1");
        assert_cell(&t, row, "unit", "GB/s");
        assert_cell(&t, row, "bound", "other");
        double rate = number(&t, row, "rate"), spread = number(&t, row, "spread"), ratio = number(&t, row, "ratio_to_generic");
        assert_true(rate > 0 && spread >= 0 && spread <= rate);
        assert_true(fabs(ratio - rate / number(&t, 0, "rate")) <= 0.001 * (1 + ratio));
        for (size_t i = 0; i < 4; i++)
            assert_cell(&t, row, unknown[i], "");
        row++;
    }
    assert_int_equal(t.n_rows, 1 + row);
    child_free(&c);
}

/* The share is of the peak in the same line. Four decimals of the share, two of a peak above 1. */
static void assert_peak(const struct csv *t)
{
    double rate = number(t, 0, "rate"), peak = number(t, 0, "peak"), share = number(t, 0, "peak_share");

    assert_true(peak > 0);
    assert_true(fabs(share - rate / peak) <= 0.0001 + 0.01 * share);
}

static void one_level_of_a_layer(void **state)
{
    enum prism_level best = prism_level_best();
    struct child c;
    struct csv t;

    (void)state;
    KERNELS(&c, "linear_layer Q8_0 512x1024", "--level", prism_level_label(best), "--csv");
    assert_worked(&c);
    csv_read(&t, c.out);
    assert_int_equal(t.n_rows, 1 + 1);
    assert_cell(&t, 0, "kernel", "linear_layer");
    assert_cell(&t, 0, "type", "Q8_0");
    assert_cell(&t, 0, "level", prism_level_label(best));
    assert_cell(&t, 0, "kind", prism_kernels_by_level[best]->linear_auto[PRISM_Q8_0]->name);
    assert_cell(&t, 0, "shape", "512x1024x3072");
    assert_cell(&t, 0, "unit", "Gop/s");
    assert_cell(&t, 0, "bound", "multiplying");
    assert_true(number(&t, 0, "ratio_to_generic") > 0); /* generic is measured although it is not shown */
    assert_peak(&t);
    double a = number(&t, 0, "pack_a_share"), w = number(&t, 0, "pack_w_share");
    assert_true(a > 0 && w > 0 && a + w < 1);
    child_free(&c);
}

static void weights_in_memory(void **state)
{
    struct child c;
    struct csv t;

    (void)state;
    KERNELS(&c, "gemv F16 4x64x1024", "--level", "generic", "--csv");
    assert_worked(&c);
    csv_read(&t, c.out);
    assert_int_equal(t.n_rows, 1 + 1);
    assert_cell(&t, 0, "bound", "memory");
    assert_cell(&t, 0, "unit", "GB/s");
    assert_peak(&t);
    child_free(&c);
}

/* A kind that only some levels have: those and generic. */
static void finer_where_there_is_one(void **state)
{
    struct child c;
    struct csv t;
    size_t row = 0;

    (void)state;
    KERNELS(&c, "linear_finer Q8_0", "--csv");
    assert_worked(&c);
    csv_read(&t, c.out);
    for (int level = 0; level < PRISM_N_LEVELS; level++) {
        if (!prism_level_runs_here((enum prism_level)level))
            continue;
        const struct prism_kernels *k = prism_kernels_by_level[level];
        const struct prism_linear *finer = k->linear_finer[PRISM_Q8_0];
        if (level != PRISM_LEVEL_GENERIC && !finer)
            continue;
        assert_cell(&t, row, "level", prism_level_label((enum prism_level)level));
        assert_cell(&t, row, "kind", (finer ? finer : k->linear_auto[PRISM_Q8_0])->name);
        row++;
    }
    assert_int_equal(t.n_rows, 1 + row);
    child_free(&c);
}

static void several_threads(void **state)
{
    struct child c;
    struct csv t;

    (void)state;
    if (processors() < 2) {
        print_message("skipped: one processor\n");
        skip();
    }
    KERNELS(&c, "linear_f32 F16 192x192x1024", "--threads", "2", "--level", "generic", "--csv");
    assert_worked(&c);
    csv_read(&t, c.out);
    assert_int_equal(t.n_rows, 1 + 1);
    assert_cell(&t, 0, "threads", "2");
    assert_peak(&t);
    child_free(&c);
}

static void json_is_one_document(void **state)
{
    static const char *const members[] = { "\"cpu\": \"", "\"threads\": 1,", "\"kernel\": \"softmax_q30\"", "\"type\": \"F32\"",
                                           "\"level\": \"generic\"", "\"kind\": null", "\"shape\": \"256\"", "\"ratio_to_generic\": 1,",
                                           "\"peak\": null", "\"pack_a_share\": null" };
    struct child c;

    (void)state;
    KERNELS(&c, "softmax_q30", "--json", "-l", "generic");
    assert_worked(&c);
    assert_json(c.out);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        assert_non_null(strstr(c.out, members[i]));
    child_free(&c);
}

/* Below the heads, within 120 columns: right-aligned numbers end where their head ends, texts begin where it begins. */
static void the_table_is_aligned(void **state)
{
    static const char *const right[] = { " rate", " +-", " generic", " of peak", " peak pack_a" }, *const left[] = { "type ", "level ", "shape " };
    struct child c;
    int n = 0;

    (void)state;
    KERNELS(&c, "linear_f32");
    assert_worked(&c);
    assert_int_equal(c.n_err, 0);
    char *head = strstr(c.out, "\nkernel ");
    assert_non_null(head);
    head++;
    char *end = strchr(head, '\n');
    *end = 0;
    for (char *line = end + 1, *next; *line; line = next, n++) {
        next = strchr(line, '\n') + 1;
        assert_in_range(next - line, 80, 121);
        for (size_t i = 0; i < 3; i++) {
            ptrdiff_t at = strstr(head, left[i]) - head;
            assert_true(line[at - 1] == ' ' && line[at] != ' ');
        }
        for (size_t i = 0; i < 5; i++) {
            ptrdiff_t at = strstr(head, right[i]) - head + (ptrdiff_t)strcspn(right[i] + 1, i == 3 ? "" : " ");
            assert_true(line[at] != ' ' && (line[at + 1] == ' ' || line[at + 1] == '\n'));
        }
    }
    assert_int_equal(n, 2 * levels_here());
    child_free(&c);
}

static void interrupted(void **state)
{
    static const char *const args[] = { "prism-bench", "kernels", "--csv", NULL };
    struct child c;

    (void)state;
    pid_t pid = child_start(&c, args, "", 0, -1);
    child_await_handler(pid);
    kill(pid, SIGINT);
    child_finish(&c, pid);
    assert_int_equal(c.status, 130);
    assert_string_equal(c.err, "prism-bench: interrupted while measuring\n");
    assert_int_equal(c.n_out, 0);
    child_free(&c);
}

/* ---- peak ---- */

/* Every peak kernel of every level, and two rates of memory, for one thread. */
static void peaks_of_one_thread(void **state)
{
    static const char *const types[PRISM_N_PEAKS] = { [PRISM_PEAK_F32] = "f32", [PRISM_PEAK_I8] = "i8", [PRISM_PEAK_I16] = "i16",
                                                     [PRISM_PEAK_BF16] = "bf16" };
    struct child c;
    struct csv t;
    size_t row = 0;

    (void)state;
    RUN(&c, "prism-bench", "peak", "--threads", "1", "--csv");
    assert_worked(&c);
    csv_read(&t, c.out);
    for (int level = 0; level < PRISM_N_LEVELS; level++)
        for (int kind = 0; kind < PRISM_N_PEAKS; kind++)
            if (prism_level_is_native((enum prism_level)level) && prism_kernels_by_level[level]->peak[kind]) {
                assert_cell(&t, row, "level", prism_level_label((enum prism_level)level));
                assert_cell(&t, row, "type", types[kind]);
                assert_cell(&t, row++, "unit", "Gop/s");
            }
    for (int copy = 0; copy < 2; copy++) {
        assert_cell(&t, row, "level", "memory");
        assert_cell(&t, row, "type", copy ? "copy" : "read");
        assert_cell(&t, row++, "unit", "GB/s");
    }
    assert_int_equal(t.n_rows, 1 + row);
    for (row = 0; row < t.n_rows - 1; row++) {
        assert_cell(&t, row, "threads", "1");
        assert_true(number(&t, row, "rate") > 0);
    }
    child_free(&c);
}

static void peak_formats(void **state)
{
    struct child c;

    (void)state;
    RUN(&c, "prism-bench", "peak", "-t", "1", "--json");
    assert_worked(&c);
    assert_json(c.out);
    assert_non_null(strstr(c.out, "\"level\": \"memory\",\n      \"type\": \"read\",\n      \"threads\": 1,"));
    child_free(&c);
    RUN(&c, "prism-bench", "peak"); /* one thread, and one per core */
    assert_worked(&c);
    assert_non_null(strstr(c.out, "\nlevel              1 thread"));
    assert_non_null(strstr(c.out, "\ngeneric  "));
    assert_non_null(strstr(c.out, "\nmemory, GB/s       1 thread"));
    child_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help),
        cmocka_unit_test(wrong_flags),
        cmocka_unit_test(csv_has_a_line_for_each_level),
        cmocka_unit_test(one_level_of_a_layer),
        cmocka_unit_test(weights_in_memory),
        cmocka_unit_test(finer_where_there_is_one),
        cmocka_unit_test(several_threads),
        cmocka_unit_test(json_is_one_document),
        cmocka_unit_test(the_table_is_aligned),
        cmocka_unit_test(interrupted),
        cmocka_unit_test(peaks_of_one_thread),
        cmocka_unit_test(peak_formats),
    };
    return cmocka_run_group_tests_name("cli/bench_kernels", tests, NULL, NULL);
}
