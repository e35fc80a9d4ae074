/* test_bench_output.c - prism-bench without a subcommand: the formats of llama-bench (llama.cpp v0.5.0), what is left after failures, and
 * progress. Times are whatever they are. Flags and values: test_bench_llama.c. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/csv.h"
#include "tests/support/data.h"
#include "tests/support/screen.h"
#include "tests/support/tool_check.h"

static const char model[] = "models/gutenberg-llama-16m-q8_0.gguf";

/* One thread and one run of each test without warm-up unless the arguments say more. */
#define BENCH(child, ...) RUN(child, "prism-bench", "-m", model, "-t", "1", "-r", "1", "--no-warmup", __VA_ARGS__)

/* compare-llama-bench.py refuses a record that lacks one of them. */
static const char *const required[] = {
    "cpu_info", "gpu_info", "backends", "n_gpu_layers", "n_cpu_moe", "tensor_buft_overrides", "model_filename", "model_type", "n_batch",
    "n_ubatch", "embeddings", "cpu_mask", "cpu_strict", "poll", "n_threads", "type_k", "type_v", "load_mode", "no_kv_offload", "split_mode",
    "main_gpu", "tensor_split", "flash_attn", "n_prompt", "n_gen", "n_depth", "fit_target", "fit_min_ctx", "build_commit", "test_time",
    "avg_ts",
};
enum { N_REQUIRED = sizeof required / sizeof *required };

/* Value of a member of the JSON object at p. */
static const char *member(const char *p, const char *name)
{
    char key[64];

    snprintf(key, sizeof key, "\"%s\": ", name);
    p = strstr(p, key);
    if (!p)
        fail_msg("no member %s", name);
    return p + strlen(key);
}

/* Means and sample standard deviations follow from the samples, to half of the last digit and rounding. */
static void statistics(void **state)
{
    struct child c;
    double ns[3], ts[3], mean_ns = 0, mean = 0, var_ns = 0, var = 0;

    (void)state;
    RUN(&c, "prism-bench", "-m", model, "-t", "1", "-pg", "8,2", "-p", "0", "-n", "0", "-r", "3", "-o", "jsonl");
    assert_worked(&c);
    const char *p = member(c.out, "samples_ns") + 1;
    for (size_t i = 0; i < 3; i++, p++)
        ns[i] = strtod(p, (char **)(uintptr_t)&p);
    p = member(c.out, "samples_ts") + 1;
    for (size_t i = 0; i < 3; i++, p++) {
        ts[i] = 1e9 * 10 / ns[i];
        assert_true(fabs(strtod(p, (char **)(uintptr_t)&p) - ts[i]) <= 5e-6 * ts[i]); /* six digits */
    }
    for (size_t i = 0; i < 3; i++) {
        mean += ts[i] / 3;
        mean_ns += ns[i] / 3;
    }
    for (size_t i = 0; i < 3; i++) {
        var += (ts[i] - mean) * (ts[i] - mean) / 2;
        var_ns += (ns[i] - mean_ns) * (ns[i] - mean_ns) / 2;
    }
    assert_true(fabs(strtod(member(c.out, "avg_ts"), NULL) - mean) <= 1e-6);
    assert_true(fabs(strtod(member(c.out, "stddev_ts"), NULL) - sqrt(var)) <= 1e-6);
    assert_true(fabs(strtod(member(c.out, "avg_ns"), NULL) - mean_ns) <= 1); /* whole, cut off */
    assert_true(fabs(strtod(member(c.out, "stddev_ns"), NULL) - sqrt(var_ns)) <= 1);
    child_free(&c);
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;

    for (; (text = strstr(text, what)); text++)
        n++;
    return n;
}

static void json_has_what_is_compared(void **state)
{
    static const char *const typed[][2] = { /* a string, a number and truth, as llama-bench has them */
        { "model_type", "\"llama ?B Q8_0\"," }, { "cpu_strict", "false," }, { "embeddings", "false," }, { "no_op_offload", "0," },
        { "flash_attn", "-1," }, { "n_batch", "2048," }, { "tensor_split", "\"0.00\"," }, { "no_kv_offload", "false," },
    };
    struct child c;
    char key[64];

    (void)state;
    BENCH(&c, "-p", "4", "-n", "1", "-o", "json", "-oe", "jsonl");
    assert_worked(&c);
    assert_json(c.out);
    assert_int_equal(c.out[0], '[');
    for (size_t i = 0; i < N_REQUIRED; i++) {
        snprintf(key, sizeof key, "\"%s\": ", required[i]);
        assert_int_equal(count(c.out, key), 2);
        assert_int_equal(count(c.err, key), 2);
    }
    for (size_t i = 0; i < sizeof typed / sizeof *typed; i++)
        assert_int_equal(strncmp(member(c.out, typed[i][0]), typed[i][1], strlen(typed[i][1])), 0);
    char *second = strchr(c.err, '\n');
    assert_non_null(second);
    *second++ = 0;
    assert_int_equal(count(second, "\n"), 1);
    assert_json(c.err);
    assert_json(second);
    assert_int_equal(strtol(member(second, "n_gen"), NULL, 10), 1);
    child_free(&c);
}

/* Values of "... VALUES (f(), 'a', 'b''c');" at p: their number, that at `index` in *value with halved quotes. Returns what is behind. */
static const char *take_values(const char *p, size_t *n, size_t index, char *value)
{
    for (*n = 0; *p != ')'; ++*n) {
        char text[1024];
        size_t len = 0;
        if (*p == '\'')
            for (p++; *p != '\'' || p[1] == '\''; p++) {
                assert_true(*p && len + 1 < sizeof text);
                p += *p == '\'';
                text[len++] = *p;
            }
        else
            for (; *p && *p != ','; p++) /* a call, not the last */
                text[len++] = *p;
        text[len] = 0;
        if (*n == index)
            strcpy(value, text);
        p += *p == '\'';
        p += strspn(p, ", ");
    }
    assert_int_equal(strncmp(p, ");\n", 3), 0);
    return p + 3;
}

/* Two tables; a model's name with every sort of quote; in CSV, JSON and SQL it comes out as it went in. */
static void quotes_survive(void **state)
{
    static const char create[] = "CREATE TABLE IF NOT EXISTS llama_bench (\n  build_commit TEXT,\n  build_number INTEGER,\n";
    char path[512], json_name[] = "a\\\"b'c\\\\d.gguf", value[1024], *target = realpath(model, NULL);
    struct child c;
    struct csv t;
    size_t n;

    (void)state;
    snprintf(path, sizeof path, "%s/a\"b'c\\d.gguf", test_tmp_dir());
    assert_int_equal(symlink(target, path), 0);
    free(target);
    RUN(&c, "prism-bench", "-m", path, "-t", "1", "-r", "1", "-p", "2", "-n", "0", "-o", "csv", "-oe", "json");
    assert_worked(&c);
    assert_json(c.err);
    assert_non_null(strstr(member(c.err, "model_filename"), json_name));
    csv_read(&t, c.out);
    assert_string_equal(csv_cell(&t, 0, "model_filename"), path);
    child_free(&c);
    RUN(&c, "prism-bench", "-m", path, "-t", "1", "-r", "1", "-p", "2,3", "-n", "0", "-o", "sql", "--attn", "dense");
    assert_worked(&c);
    assert_int_equal(strncmp(c.out, create, strlen(create)), 0);
    assert_non_null(strstr(c.out, "  avg_ts REAL,\n  stddev_ts REAL\n);\n\nCREATE TABLE IF NOT EXISTS prism_bench (\n  id INTEGER PRIMARY KEY,\n"));
    const char *p = c.out;
    for (int prompt = 2; prompt <= 3; prompt++) {
        p = strstr(p, "INSERT INTO llama_bench (build_commit, build_number, ");
        assert_non_null(p);
        const char *names = p;
        p = strstr(p, "stddev_ts) VALUES (") + 19;
        assert_int_equal(count(names, ", ") - count(p - 1, ", "), 40); /* 41 names */
        take_values(p, &n, 5, value);
        assert_string_equal(value, path);
        p = take_values(p, &n, 33, value);
        assert_int_equal(n, 41);
        assert_int_equal(atoi(value), prompt);
        assert_int_equal(strncmp(p, "INSERT OR REPLACE INTO prism_bench (id, attn, ", 46), 0);
        p = take_values(strstr(p, "VALUES (") + 8, &n, 0, value);
    }
    assert_int_equal(*p, 0);
    child_free(&c);
}

/* The header of llama-bench for these flags, the names of the tests, sizes; ours are shown when they are not at their defaults. */
static void markdown(void **state)
{
    static const char head[] =
        "| model                          |       size |     params | backend    | threads |            test |                  t/s |\n"
        "| ------------------------------ | ---------: | ---------: | ---------- | ------: | --------------: | -------------------: |\n"
        "| llama ?B Q8_0                  |  15.96 MiB |    15.74 M | CPU        |       1 |            pp64 | ";
    static const char *const names[] = { "|            pp64 | ", "|             tg4 | ", "|        pp64+tg4 | ", "|      pp64 @ d32 | ",
                                         "|       tg4 @ d32 | ", "|  pp64+tg4 @ d32 | " };
    struct child c;

    (void)state;
    BENCH(&c, "-p", "64", "-n", "4", "-pg", "64,4", "-d", "0,32");
    assert_worked(&c);
    char *p = c.out;
    assert_int_equal(strncmp(c.out, head, strlen(head)), 0);
    for (size_t i = 0; i < 6; i++) {
        p = strstr(p, names[i]);
        assert_non_null(p);
        char *line_end = strchr(p, '\n'), *plus_minus = strstr(p, " ± ");
        assert_true(plus_minus && plus_minus < line_end);
        assert_int_equal(line_end - p, strlen(names[i]) + 23); /* 20 wide, the sign has two bytes */
        p = line_end;
    }
    assert_int_equal(strncmp(p, "\n\nbuild: ", 9), 0);
    child_free(&c);
    BENCH(&c, "-p", "16", "-n", "0", "-b", "32", "-fa", "1", "--attn", "prism", "--prism-p", "0.9");
    assert_worked(&c);
    assert_non_null(strstr(c.out, " threads | n_batch |  fa | attn           | settings             |  density |            test | "));
    assert_non_null(strstr(c.out, " |       1 |      32 |   1 | prism          | --prism-p 0.9        |   1.0000 |            pp16 | "));
    child_free(&c);
}

/* Every column that llama-bench shows when its flag is not at the default, as it printed them for these flags. */
static void markdown_columns(void **state)
{
    static const char head[] =
        "| model                          |       size |     params | backend    | threads | cpu_mask   | cpu_strict |       poll | n_batch |"
        " n_ubatch | type_k | type_v |     sm |          nkvo |  fa | dev          | ts           |         lm | lazy_mode  | nopo |  noh |"
        "            test |                  t/s |\n"
        "| ------------------------------ | ---------: | ---------: | ---------- | ------: | ---------- | ---------: | ---------: | ------: |"
        " -------: | -----: | -----: | -----: | ------------: | --: | ------------ | ------------ | ---------: | ---------- | ---: | ---: |"
        " --------------: | -------------------: |\n"
        "| llama ?B Q8_0                  |  15.96 MiB |    15.74 M | CPU        |       1 | 0x1        |          1 |         30 |      64 |"
        "       32 |   bf16 |   bf16 |    row |             1 |   0 | none         | 1.00/2.00    |       mmap | on         |    1 |    1 |"
        "             pp8 | ";
    struct child c;

    (void)state;
    RUN(&c, "prism-bench", "-m", model, "-t1", "-r1", "-p8", "-n0", "-b64", "-ub=32", "-ctk=bf16", "-ctv=bf16", "-fa=0", "-C0x1",
        "--cpu-strict=1", "--poll=30", "-sm=row", "-nkvo=1", "-dev=none", "-ts=1/2", "-lm=mmap", "-lzm=on", "-nopo=1", "--no-host=1",
        "-ngl=7"); /* not shown by a CPU backend */
    assert_worked(&c);
    assert_int_equal(child_error_lines(&c), 2); /* -C and --cpu-strict */
    assert_int_equal(strncmp(c.out, head, strlen(head)), 0);
    child_free(&c);
}

/* ---- failures ---- */

static void nothing_to_do(void **state)
{
    struct child c;

    (void)state;
    BENCH(&c, "-p", "0", "-n", "0", "-o", "json");
    assert_worked(&c);
    assert_string_equal(c.out, "[]\n");
    child_free(&c);
    RUN(&c, "prism-bench", "--list_devices");
    assert_worked(&c);
    assert_string_equal(c.out, "Available devices:\n  (none)\n");
    child_free(&c);
}

/* What was measured before a failure is a whole document. */
static void failure_after_a_test(void **state)
{
    char models[64 + sizeof model];
    struct child c;

    (void)state;
    snprintf(models, sizeof models, "%s,/nonexistent", model);
    RUN(&c, "prism-bench", "-m", models, "-t", "1", "-r", "1", "-p", "2", "-n", "0", "-o", "json");
    assert_int_equal(c.status, 1);
    assert_int_equal(child_error_lines(&c), 1);
    assert_json(c.out);
    assert_int_equal(count(c.out, "\"avg_ts\""), 1);
    child_free(&c);
}

static void reader_goes_away(void **state)
{
    static const char *const run[] = { "prism-bench", "-m", model, "-t", "1", "-r", "1", "-p", "2,3", "-n", "0", NULL };
    struct child c;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    child_finish(&c, child_start(&c, run, "", 0, ends[1]));
    close(ends[1]);
    assert_int_equal(c.status, 1);
    assert_string_equal(c.err, "prism-bench: stdout: Broken pipe\n");
    child_free(&c);
}

/* The first test ends at once, the second takes minutes with the plain C kernels. */
static void interrupt_leaves_a_document(void **state)
{
    static const char *const run[] = { "prism-bench", "-m", model, "-t", "1", "-r", "1", "--no-warmup", "-p", "2,60000", "-n", "0", "-o",
                                       "json", "--attn", "dense", "--cpu-level", "generic", "--compute", "f32", NULL };
    char text[1 << 14] = "";
    size_t len = 0;
    bool sent = false;
    struct child c;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = child_start(&c, run, "", 0, ends[1]);
    close(ends[1]);
    for (ssize_t n; (n = read(ends[0], text + len, sizeof text - 1 - len)) > 0; len += (size_t)n)
        if (!sent && memchr(text + len, '}', (size_t)n))
            sent = kill(pid, SIGINT) == 0; /* the second test takes minutes */
    text[len] = 0;
    close(ends[0]);
    child_finish(&c, pid);
    assert_int_equal(c.status, 130);
    assert_string_equal(c.err, "prism-bench: interrupted while measuring\n");
    assert_json(text);
    assert_int_equal(count(text, "\"avg_ts\""), 1);
    child_free(&c);
}

/* ---- progress ---- */

/* On a terminal too there is nothing but the table unless --progress asks, and that prints lines. */
static void progress_only_when_asked(void **state)
{
    static const char *const silent[] = { "prism-bench", "-m", model, "-t", "1", "-r", "2", "-p", "8", "-n", "1", NULL };
    static const char *const told[] = { "prism-bench", "-m", model, "-t", "1", "-r", "2", "-p", "8", "-n", "1", "-d", "4", "-o", "none",
                                        "--progress", NULL };
    static const char *const lines[] = {
        "1/2: starting", "1/2: warmup prompt run", "1/2: depth run 1/2", "1/2: prompt run 1/2", "1/2: depth run 2/2 (cached)",
        "1/2: prompt run 2/2", "2/2: starting", "2/2: warmup generation run", "2/2: depth run 1/2", "2/2: generation run 1/2",
        "2/2: depth run 2/2 (cached)", "2/2: generation run 2/2",
    };
    static struct screen s;
    char expected[2048] = "";

    (void)state;
    pid_t pid = screen_start(&s, silent);
    screen_read(&s, NULL);
    assert_int_equal(child_wait(pid), 0);
    close(s.master);
    assert_int_equal(strncmp(s.text, "| model ", 8), 0);
    assert_int_equal(count(s.text, "\n"), 6); /* two of the header, two tests, an empty one and the build */
    assert_null(strchr(s.text, '\033'));

    pid = screen_start(&s, told);
    screen_read(&s, NULL);
    assert_int_equal(child_wait(pid), 0);
    close(s.master);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "prism-bench: benchmark %s\r\n", lines[i]);
    assert_string_equal(s.text, expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statistics),           cmocka_unit_test(json_has_what_is_compared),
        cmocka_unit_test(quotes_survive),       cmocka_unit_test(markdown),
        cmocka_unit_test(markdown_columns),     cmocka_unit_test(nothing_to_do),
        cmocka_unit_test(failure_after_a_test), cmocka_unit_test(reader_goes_away),
        cmocka_unit_test(interrupt_leaves_a_document), cmocka_unit_test(progress_only_when_asked),
    };
    return cmocka_run_group_tests_name("cli/bench_output", tests, NULL, NULL);
}
