/* test_bench_llama.c - prism-bench without a subcommand: the flags, the tests and the values in the columns of llama-bench, written down from
 * llama.cpp v0.5.0. Times are whatever they are. Formats and failures: test_bench_output.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/csv.h"
#include "tests/support/tiny_model.h"
#include "tests/support/tool_check.h"

static const char model[] = "models/gutenberg-llama-16m-q8_0.gguf"; /* 16737792 bytes of tensors, 15735168 weights, adds BOS */

/* One thread and one run of each test without warm-up unless the arguments say more. */
#define BENCH(child, ...) RUN(child, "prism-bench", "-m", model, "-t", "1", "-r", "1", "--no-warmup", __VA_ARGS__)

static const char llama_header[] =
    "build_commit,build_number,cpu_info,gpu_info,backends,model_filename,model_type,model_size,model_n_params,n_batch,n_ubatch,n_threads,"
    "cpu_mask,cpu_strict,poll,type_k,type_v,n_gpu_layers,n_cpu_moe,split_mode,main_gpu,no_kv_offload,flash_attn,devices,tensor_split,"
    "tensor_buft_overrides,load_mode,lazy_mode,embeddings,no_op_offload,no_host,fit_target,fit_min_ctx,n_prompt,n_gen,n_depth,test_time,"
    "avg_ns,stddev_ns,avg_ts,stddev_ts";

static long long number(const struct csv *t, size_t row, const char *name) { return strtoll(csv_cell(t, row, name), NULL, 10); }

/* Runs of different sizes, as "fa d p n" of every row. */
static void assert_rows(const struct csv *t, const char *const *expected, size_t n)
{
    assert_int_equal(t->n_rows, n + 1);
    for (size_t i = 0; i < n; i++) {
        char found[64];
        snprintf(found, sizeof found, "%s %s %s %s", csv_cell(t, i, "flash_attn"), csv_cell(t, i, "n_depth"), csv_cell(t, i, "n_prompt"),
                 csv_cell(t, i, "n_gen"));
        assert_string_equal(found, expected[i]);
    }
}

/* The columns in order, ours behind, and llama-bench's values for the same flags (it was run to see them). */
static void csv_columns_and_defaults(void **state)
{
    static const char *const usual[][2] = {
        { "gpu_info", "" },         { "backends", "CPU" },     { "model_filename", model },       { "model_type", "llama ?B Q8_0" },
        { "model_size", "16737792" }, { "model_n_params", "15735168" }, { "n_batch", "2048" },    { "n_ubatch", "512" },
        { "n_threads", "1" },       { "cpu_mask", "0x0" },     { "cpu_strict", "0" },             { "poll", "50" },
        { "type_k", "f16" },        { "type_v", "f16" },       { "n_gpu_layers", "-1" },          { "n_cpu_moe", "0" },
        { "split_mode", "layer" },  { "main_gpu", "0" },       { "no_kv_offload", "0" },          { "flash_attn", "-1" },
        { "devices", "auto" },      { "tensor_split", "0.00" }, { "tensor_buft_overrides", "none" }, { "load_mode", "auto" },
        { "lazy_mode", "auto" },    { "embeddings", "0" },     { "no_op_offload", "0" },          { "no_host", "0" },
        { "fit_target", "0" },      { "fit_min_ctx", "0" },    { "n_prompt", "16" },              { "n_gen", "0" },
        { "n_depth", "0" },         { "stddev_ns", "0" },      { "stddev_ts", "0.000000" },       { "attn", "auto" },
        { "attn_settings", "" },    { "attn_density", "1.0000" }, { "compute", "auto" },          { "prompt_source", "random" },
    };
    static const char ours[] = ",attn,attn_settings,attn_density,cpu_level,compute,prompt_source\n";
    struct child c;
    struct csv t;

    (void)state;
    BENCH(&c, "-p", "16", "-n", "0", "-o", "csv");
    assert_worked(&c);
    assert_int_equal(c.n_err, 0);
    assert_int_equal(strncmp(c.out, llama_header, strlen(llama_header)), 0);
    assert_int_equal(strncmp(c.out + strlen(llama_header), ours, strlen(ours)), 0);
    csv_read(&t, c.out);
    assert_int_equal(t.n_rows, 2);
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        assert_string_equal(csv_cell(&t, 0, usual[i][0]), usual[i][1]);
    assert_int_equal(strlen(csv_cell(&t, 0, "build_commit")), 7);
    assert_true(*csv_cell(&t, 0, "cpu_info") && *csv_cell(&t, 0, "cpu_level"));
    int year, n = 0;
    assert_int_equal(sscanf(csv_cell(&t, 0, "test_time"), "%4d-%*2d-%*2dT%*2d:%*2d:%*2dZ%n", &year, &n), 1);
    assert_int_equal(n, 20);
    child_free(&c);
}

/* Flags without effect here appear in their columns as llama-bench prints them, and those that it heeds get a line. */
static void idle_flags_are_reported(void **state)
{
    static const char *const expected[][2] = {
        { "n_gpu_layers", "99" }, { "split_mode", "row" },    { "main_gpu", "1" },           { "no_kv_offload", "1" },
        { "devices", "none" },    { "tensor_split", "3.00/1.00" }, { "load_mode", "mmap" },  { "no_op_offload", "1" },
        { "n_ubatch", "64" },     { "cpu_mask", "0x3" },      { "flash_attn", "1" },
    };
    struct child c;
    struct csv t;

    (void)state;
    RUN(&c, "prism-bench", "-m", model, "-t1", "-r1", "-p4", "-n0", "-o=csv", "-ngl", "99", "-sm", "row", "-mg", "1", "-nkvo", "1", "-dev", "none",
        "-ts", "3/1/0", "-lm", "mmap", "-nopo", "1", "--ubatch_size=64", "-C", "0x3", "--flash_attn", "on");
    assert_worked(&c);
    assert_string_equal(c.err, "prism-bench: warning: -C has no effect, use taskset\n");
    csv_read(&t, c.out);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_string_equal(csv_cell(&t, 0, expected[i][0]), expected[i][1]);
    child_free(&c);
}

/* llama-bench's order: every list is a loop, -fa outside -d, and inside -p, then -n, then -pg; 0 is no test. */
static void cross_product_in_order(void **state)
{
    static const char *const expected[] = {
        "0 0 8 0", "0 0 4 0", "0 0 0 2", "0 0 3 1", "0 16 8 0", "0 16 4 0", "0 16 0 2", "0 16 3 1",
        "-1 0 8 0", "-1 0 4 0", "-1 0 0 2", "-1 0 3 1", "-1 16 8 0", "-1 16 4 0", "-1 16 0 2", "-1 16 3 1",
    };
    struct child c;
    struct csv t;

    (void)state;
    BENCH(&c, "-o", "csv", "-d", "0,16", "-pg", "3,1", "-pg", "0,0", "-n", "0", "-n", "2", "-p", "8,0", "--n_prompt", "4", "-fa", "off,auto");
    assert_worked(&c);
    csv_read(&t, c.out);
    assert_rows(&t, expected, sizeof expected / sizeof *expected);
    child_free(&c);
}

static void ranges(void **state)
{
    static const char *const expected[] = { "-1 0 4 0",  "-1 0 6 0", "-1 0 8 0", "-1 0 3 0", "-1 0 1 0", "-1 0 2 0",
                                            "-1 0 5 0",  "-1 0 15 0", "-1 0 8 0" };
    struct child c;
    struct csv t;

    (void)state;
    BENCH(&c, "-o", "csv", "-n", "0", "-p", "4-9+2,3,1-2,5-30*3", "-p", "8-9*9223372036854775807");
    assert_worked(&c);
    csv_read(&t, c.out);
    assert_rows(&t, expected, sizeof expected / sizeof *expected);
    child_free(&c);
}

/* Density is that of the timed prefill alone; -b cuts it into calls, and calls of 16 tokens are never sparse. */
static void attention_columns(void **state)
{
    struct child c;
    struct csv t;

    (void)state;
    BENCH(&c, "-o", "csv", "-p", "1024", "-n", "1", "-d", "0,1024", "--attn", "dense,streaming", "--stream-sink", "64", "--stream-window", "64",
          "--prism-block", "64", "-f", "models/persuasion.txt");
    assert_worked(&c);
    csv_read(&t, c.out);
    assert_int_equal(t.n_rows, 9);
    for (size_t i = 0; i < 8; i++) {
        bool streaming = i >= 4, prefill = i % 2 == 0;
        assert_string_equal(csv_cell(&t, i, "attn"), streaming ? "streaming" : "dense");
        assert_string_equal(csv_cell(&t, i, "attn_settings"), "--prism-block 64 --stream-sink 64 --stream-window 64");
        assert_string_equal(csv_cell(&t, i, "prompt_source"), "models/persuasion.txt");
        assert_int_equal(number(&t, i, "n_depth"), i % 4 < 2 ? 0 : 1024);
        double density = strtod(csv_cell(&t, i, "attn_density"), NULL);
        if (!streaming || !prefill)
            assert_true(density == 1);
        else /* block 0, the diagonal and the one before: 45 of the 136 blocks of 16 rows, 48 of the 392 of 16 more */
            assert_string_equal(csv_cell(&t, i, "attn_density"), i % 4 < 2 ? "0.3309" : "0.1224");
    }
    child_free(&c);
    BENCH(&c, "-o", "csv", "-p", "256", "-n", "0", "--attn", "streaming", "--stream-sink", "64", "--stream-window", "64", "-b", "16,2048");
    assert_worked(&c);
    csv_read(&t, c.out);
    assert_string_equal(csv_cell(&t, 0, "attn_density"), "1.0000");
    assert_true(strtod(csv_cell(&t, 1, "attn_density"), NULL) < 1);
    child_free(&c);
}

static void engine_lists(void **state)
{
    static const char *const expected[][4] = {
        { "f32", "f32", "generic", "f32" }, { "f16", "f16", "generic", "auto" }, { "bf16", "bf16", "generic", "f32" },
        { "bf16", "bf16", "generic", "auto" },
    };
    struct child c;
    struct csv t;

    (void)state;
    BENCH(&c, "-o", "csv", "-p", "2", "-n", "0", "-ctk", "auto,bf16", "--compute", "f32,auto", "--cpu-level", "generic");
    assert_worked(&c);
    csv_read(&t, c.out);
    assert_int_equal(t.n_rows, 5);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(csv_cell(&t, i, "type_k"), expected[i][0]);
        assert_string_equal(csv_cell(&t, i, "type_v"), expected[i][1]);
        assert_string_equal(csv_cell(&t, i, "cpu_level"), expected[i][2]);
        assert_string_equal(csv_cell(&t, i, "compute"), expected[i][3]);
    }
    child_free(&c);
}

/* Keys and values apart; values are as keys where nothing is said. */
static void two_cache_types(void **state)
{
    static const char *const expected[][2] = { { "f16", "f16" }, { "f16", "q8_0" }, { "q8_0", "q8_0" }, { "q8_0", "q8_0" } };
    struct child c;
    struct csv t;

    (void)state;
    BENCH(&c, "-o", "csv", "-p", "2", "-n", "0", "-ctk", "auto,q8_0", "-ctv", "auto,q8_0", "--cpu-level", "generic");
    assert_worked(&c);
    csv_read(&t, c.out);
    assert_int_equal(t.n_rows, 5);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(csv_cell(&t, i, "type_k"), expected[i][0]);
        assert_string_equal(csv_cell(&t, i, "type_v"), expected[i][1]);
    }
    child_free(&c);
}

/* llama.cpp's names for sizes, from the shape. */
static void model_types(void **state)
{
    static const struct {
        const char *arch;
        uint32_t n_layer, n_embd, n_head_kv;
        const char *expected;
    } cases[] = {
        { "llama", 2, 64, 1, "llama ?B Q8_0" },  { "llama", 16, 64, 1, "llama 1B Q8_0" },  { "llama", 32, 64, 1, "llama 7B Q8_0" },
        { "llama", 80, 64, 1, "llama 70B Q8_0" }, { "llama", 80, 64, 2, "llama 65B Q8_0" }, { "qwen2", 24, 64, 1, "qwen2 1B Q8_0" },
        { "qwen3", 28, 64, 1, "qwen3 1.7B Q8_0" }, { "qwen3", 28, 1024, 1, "qwen3 0.6B Q8_0" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tiny_model m = tiny_llama();
        struct child c;
        struct csv t;
        m.arch = cases[i].arch;
        m.n_layer = cases[i].n_layer;
        m.n_embd = cases[i].n_embd;
        m.n_head_kv = cases[i].n_head_kv;
        RUN(&c, "prism-bench", "-m", tiny_write(&m, "type.gguf"), "-t", "1", "-r", "1", "--no-warmup", "-p", "1", "-n", "0", "-o", "csv");
        assert_worked(&c);
        csv_read(&t, c.out);
        assert_string_equal(csv_cell(&t, 0, "model_type"), cases[i].expected);
        child_free(&c);
    }
}

static void wrong_flags(void **state)
{
    static const struct {
        const char *args[6], *expected;
    } cases[] = {
        { { "-p", "8-" }, "-p 8-: expected whole numbers from 0" },
        { { "-p", "8-4" }, "-p 8-4: expected" },
        { { "--n-prompt", "4,,8" }, "--n-prompt 4,,8: expected" },
        { { "-n", "4," }, "-n 4,: expected" },
        { { "-d", "1-8+0" }, "-d 1-8+0: expected" },
        { { "-d", "0-8*2" }, "-d 0-8*2: expected" },
        { { "-p", "-3" }, "-p -3: expected" },
        { { "-p", "1e3" }, "-p 1e3: expected" },
        { { "-p", "9999999999999999999999" }, "expected whole numbers" },
        { { "-p", "1-5000" }, "-p: more than 1024 values" },
        { { "-p", "1-1000", "-n", "1-1000", "-d", "1-900" }, "more than 100000 tests" },
        { { "-p", "2147483647", "-d", "1" }, "-d 1 and 2147483647 more tokens: at most 2147483647" },
        { { "-pg", "512" }, "-pg 512: expected two whole numbers" },
        { { "-t", "513" }, "-t 513: expected whole numbers from 0 to 512" },
        { { "-b", "0" }, "-b 0: expected whole numbers from 1" },
        { { "-ctk", "q4_0" }, "-ctk q4_0: expected one of: auto f16 bf16 f32 q8_0" },
        { { "-fa", "maybe" }, "-fa maybe: expected one of: on off auto" },
        { { "-embd", "1" }, "-embd 1: embeddings are not supported" },
        { { "-hf", "a/b" }, "nothing is downloaded" },
        { { "-dev", "CUDA0" }, "-dev CUDA0: expected one of: auto none" },
        { { "-ts", "1/x" }, "-ts 1/x: expected at most 16 shares" },
        { { "--attn", "dense,nonsense" }, "--attn nonsense: expected one of: auto dense prism" },
        { { "--cpu-level", "mmx" }, "--cpu-level mmx: expected one of: generic" },
        { { "-o", "xml" }, "-o xml: expected one of: none csv json jsonl md sql" },
        { { "-r", "0" }, "-r 0: expected a whole number from 1" },
        { { "--no_such_flag" }, "unknown option '--no-such-flag'" },
        { { "-f", "/nonexistent" }, "/nonexistent: No such file" },
        { { "-f", "/dev/null" }, "the text is empty" },
        { { "-m", "/nonexistent", "-o", "json" }, "/nonexistent: file: cannot open" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const *a = cases[i].args;
        const char *file = strcmp(a[0], "-m") ? model : a[1];
        struct child c;
        RUN(&c, "prism-bench", "-m", file, a[0], a[1], a[2], a[3], a[4], a[5]);
        assert_refused(&c, cases[i].expected);
        child_free(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_columns_and_defaults), cmocka_unit_test(idle_flags_are_reported), cmocka_unit_test(cross_product_in_order),
        cmocka_unit_test(ranges),                   cmocka_unit_test(attention_columns),       cmocka_unit_test(engine_lists),
        cmocka_unit_test(model_types),              cmocka_unit_test(wrong_flags),             cmocka_unit_test(two_cache_types),
    };
    return cmocka_run_group_tests_name("cli/bench_llama", tests, NULL, NULL);
}
