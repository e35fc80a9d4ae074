/* bench_out.c - see bench_out.h. */
#include "tools/bench/bench_out.h"

#include <stdlib.h>
#include <string.h>

enum type { TEXT, INT, BOOL, REAL };

/* `shown` and `width` are markdown's: the heading when it is not the name, the width, negative when aligned to the left. */
static const struct column {
    const char *name;
    enum type type;
    int width;
    const char *shown;
} columns[BENCH_N_COLUMNS] = {
    [BENCH_BUILD_COMMIT] = { "build_commit", TEXT, 0, NULL },
    [BENCH_BUILD_NUMBER] = { "build_number", INT, 0, NULL },
    [BENCH_CPU_INFO] = { "cpu_info", TEXT, 0, NULL },
    [BENCH_GPU_INFO] = { "gpu_info", TEXT, 0, NULL },
    [BENCH_BACKENDS] = { "backends", TEXT, -10, "backend" },
    [BENCH_MODEL_FILENAME] = { "model_filename", TEXT, 0, NULL },
    [BENCH_MODEL_TYPE] = { "model_type", TEXT, -30, "model" },
    [BENCH_MODEL_SIZE] = { "model_size", INT, 10, "size" },
    [BENCH_MODEL_N_PARAMS] = { "model_n_params", INT, 10, "params" },
    [BENCH_N_BATCH] = { "n_batch", INT, 7, NULL },
    [BENCH_N_UBATCH] = { "n_ubatch", INT, 8, NULL },
    [BENCH_N_THREADS] = { "n_threads", INT, 7, "threads" },
    [BENCH_CPU_MASK] = { "cpu_mask", TEXT, -10, NULL },
    [BENCH_CPU_STRICT] = { "cpu_strict", BOOL, 10, NULL },
    [BENCH_POLL] = { "poll", INT, 10, NULL },
    [BENCH_TYPE_K] = { "type_k", TEXT, 6, NULL },
    [BENCH_TYPE_V] = { "type_v", TEXT, 6, NULL },
    [BENCH_N_GPU_LAYERS] = { "n_gpu_layers", INT, 0, NULL }, /* not shown by a CPU backend */
    [BENCH_N_CPU_MOE] = { "n_cpu_moe", INT, 10, NULL },
    [BENCH_SPLIT_MODE] = { "split_mode", TEXT, 6, "sm" },
    [BENCH_MAIN_GPU] = { "main_gpu", INT, 10, NULL },
    [BENCH_NO_KV_OFFLOAD] = { "no_kv_offload", BOOL, 13, "nkvo" },
    [BENCH_FLASH_ATTN] = { "flash_attn", INT, 3, "fa" },
    [BENCH_DEVICES] = { "devices", TEXT, -12, "dev" },
    [BENCH_TENSOR_SPLIT] = { "tensor_split", TEXT, -12, "ts" },
    [BENCH_TENSOR_BUFT_OVERRIDES] = { "tensor_buft_overrides", TEXT, -21, "ot" },
    [BENCH_LOAD_MODE] = { "load_mode", TEXT, 10, "lm" },
    [BENCH_LAZY_MODE] = { "lazy_mode", TEXT, -10, NULL },
    [BENCH_EMBEDDINGS] = { "embeddings", BOOL, 10, "embd" },
    [BENCH_NO_OP_OFFLOAD] = { "no_op_offload", INT, 4, "nopo" },
    [BENCH_NO_HOST] = { "no_host", BOOL, 4, "noh" },
    [BENCH_FIT_TARGET] = { "fit_target", INT, 10, "fitt" },
    [BENCH_FIT_MIN_CTX] = { "fit_min_ctx", INT, 11, "fitc" },
    [BENCH_N_PROMPT] = { "n_prompt", INT, 0, NULL },
    [BENCH_N_GEN] = { "n_gen", INT, 0, NULL },
    [BENCH_N_DEPTH] = { "n_depth", INT, 0, NULL },
    [BENCH_TEST_TIME] = { "test_time", TEXT, 0, NULL },
    [BENCH_AVG_NS] = { "avg_ns", INT, 0, NULL },
    [BENCH_STDDEV_NS] = { "stddev_ns", INT, 0, NULL },
    [BENCH_AVG_TS] = { "avg_ts", REAL, 0, NULL },
    [BENCH_STDDEV_TS] = { "stddev_ts", REAL, 0, NULL },
    [BENCH_ATTN] = { "attn", TEXT, -14, NULL },
    [BENCH_ATTN_SETTINGS] = { "attn_settings", TEXT, -20, "settings" },
    [BENCH_ATTN_DENSITY] = { "attn_density", REAL, 8, "density" },
    [BENCH_CPU_LEVEL] = { "cpu_level", TEXT, -12, "level" },
    [BENCH_COMPUTE] = { "compute", TEXT, -7, NULL },
    [BENCH_PROMPT_SOURCE] = { "prompt_source", TEXT, -20, "prompt" },
};

static double number(const struct bench_result *r, enum bench_column c) { return strtod(r->value[c], NULL); }

/* ---- CSV ---- */

/* Between quotes, which are doubled inside: CSV with '"', SQL with '\''. */
static void put_quoted(FILE *out, char quote, const char *text)
{
    putc(quote, out);
    for (; *text; text++) {
        if (*text == quote)
            putc(quote, out);
        putc(*text, out);
    }
    putc(quote, out);
}

/* Names or values of columns [from, to); quote 0: names. */
static void put_columns(FILE *out, const struct bench_result *r, int from, int to, const char *separator, char quote)
{
    for (int c = from; c < to; c++) {
        if (c > from)
            fputs(separator, out);
        if (quote)
            put_quoted(out, quote, r->value[c]);
        else
            fputs(columns[c].name, out);
    }
}

static void csv_begin(struct bench_out *o)
{
    put_columns(o->out, NULL, 0, BENCH_N_COLUMNS, ",", 0);
    putc('\n', o->out);
}

static void csv_result(struct bench_out *o, const struct bench_result *r)
{
    put_columns(o->out, r, 0, BENCH_N_COLUMNS, ",", '"');
    putc('\n', o->out);
}

/* ---- JSON ---- */

static void put_object(struct json *j, const struct bench_result *r)
{
    char digits[32];

    json_object(j, NULL);
    for (int c = 0; c < BENCH_N_COLUMNS; c++) {
        if (columns[c].type == TEXT)
            json_text(j, columns[c].name, r->value[c]);
        else if (columns[c].type == BOOL)
            json_bool(j, columns[c].name, strcmp(r->value[c], "0") != 0);
        else
            json_number(j, columns[c].name, r->value[c]);
    }
    json_array(j, "samples_ns");
    for (size_t i = 0; i < r->n_samples; i++)
        json_int(j, NULL, (int64_t)r->samples_ns[i]);
    json_close(j);
    json_array(j, "samples_ts");
    for (size_t i = 0; i < r->n_samples; i++) {
        snprintf(digits, sizeof digits, "%g", r->samples_ts[i]);
        json_number(j, NULL, digits);
    }
    json_close(j);
    json_close(j);
}

static void json_begin(struct bench_out *o)
{
    o->json = (struct json){ .out = o->out };
    json_array(&o->json, NULL);
}

static void json_result(struct bench_out *o, const struct bench_result *r) { put_object(&o->json, r); }

static void json_end(struct bench_out *o) { json_close(&o->json); }

static void jsonl_result(struct bench_out *o, const struct bench_result *r)
{
    struct json line = { .out = o->out, .one_line = true };

    put_object(&line, r);
}

/* ---- SQL ---- */

static void put_create(FILE *out, const char *table, const char *key, int from, int to)
{
    static const char *const types[] = { [TEXT] = "TEXT", [INT] = "INTEGER", [BOOL] = "INTEGER", [REAL] = "REAL" };

    fprintf(out, "CREATE TABLE IF NOT EXISTS %s (\n%s", table, key);
    for (int c = from; c < to; c++)
        fprintf(out, "  %s %s%s\n", columns[c].name, types[columns[c].type], c + 1 < to ? "," : "");
    fprintf(out, ");\n\n");
}

static void sql_begin(struct bench_out *o)
{
    put_create(o->out, "llama_bench", "", 0, BENCH_N_LLAMA);
    put_create(o->out, "prism_bench", "  id INTEGER PRIMARY KEY,\n", BENCH_N_LLAMA, BENCH_N_COLUMNS);
}

static void sql_result(struct bench_out *o, const struct bench_result *r)
{
    fputs("INSERT INTO llama_bench (", o->out);
    put_columns(o->out, NULL, 0, BENCH_N_LLAMA, ", ", 0);
    fputs(") VALUES (", o->out);
    put_columns(o->out, r, 0, BENCH_N_LLAMA, ", ", '\'');
    fputs(");\nINSERT OR REPLACE INTO prism_bench (id, ", o->out);
    put_columns(o->out, NULL, BENCH_N_LLAMA, BENCH_N_COLUMNS, ", ", 0);
    fputs(") VALUES (last_insert_rowid(), ", o->out);
    put_columns(o->out, r, BENCH_N_LLAMA, BENCH_N_COLUMNS, ", ", '\'');
    fputs(");\n", o->out);
}

/* ---- markdown ---- */

enum { TEST_WIDTH = 15, SPEED_WIDTH = 20, ALWAYS = 4 };

/* Columns in the order of the table; the first four are always there. */
static const enum bench_column md_order[] = {
    BENCH_MODEL_TYPE, BENCH_MODEL_SIZE, BENCH_MODEL_N_PARAMS, BENCH_BACKENDS, BENCH_N_CPU_MOE, BENCH_N_THREADS, BENCH_CPU_MASK,
    BENCH_CPU_STRICT, BENCH_POLL, BENCH_N_BATCH, BENCH_N_UBATCH, BENCH_TYPE_K, BENCH_TYPE_V, BENCH_MAIN_GPU, BENCH_SPLIT_MODE,
    BENCH_NO_KV_OFFLOAD, BENCH_FLASH_ATTN, BENCH_DEVICES, BENCH_TENSOR_SPLIT, BENCH_TENSOR_BUFT_OVERRIDES, BENCH_LOAD_MODE, BENCH_LAZY_MODE,
    BENCH_EMBEDDINGS, BENCH_NO_OP_OFFLOAD, BENCH_NO_HOST, BENCH_FIT_TARGET, BENCH_FIT_MIN_CTX, BENCH_CPU_LEVEL, BENCH_COMPUTE, BENCH_ATTN,
    BENCH_ATTN_SETTINGS, BENCH_ATTN_DENSITY, BENCH_PROMPT_SOURCE,
};
enum { N_MD = sizeof md_order / sizeof *md_order };

static bool is_shown(const struct bench_out *o, size_t i) { return i < ALWAYS || o->shown[md_order[i]]; }

static void put_rule(FILE *out, int width)
{
    fprintf(out, " %.*s%c |", abs(width) - 1, "--------------------------------------------------", width > 0 ? ':' : '-');
}

static void md_begin(struct bench_out *o)
{
    putc('|', o->out);
    for (size_t i = 0; i < N_MD; i++) {
        const struct column *c = &columns[md_order[i]];
        if (is_shown(o, i))
            fprintf(o->out, " %*s |", c->width, c->shown ? c->shown : c->name);
    }
    fprintf(o->out, " %*s | %*s |\n|", TEST_WIDTH, "test", SPEED_WIDTH, "t/s");
    for (size_t i = 0; i < N_MD; i++)
        if (is_shown(o, i))
            put_rule(o->out, columns[md_order[i]].width);
    put_rule(o->out, TEST_WIDTH);
    put_rule(o->out, SPEED_WIDTH);
    putc('\n', o->out);
}

void bench_test_name(const struct bench_result *r, char *out, size_t cap)
{
    double p = number(r, BENCH_N_PROMPT), n = number(r, BENCH_N_GEN), d = number(r, BENCH_N_DEPTH);
    char depth[32] = "";

    if (d > 0)
        snprintf(depth, sizeof depth, " @ d%.0f", d);
    if (n == 0)
        snprintf(out, cap, "pp%.0f%s", p, depth);
    else if (p == 0)
        snprintf(out, cap, "tg%.0f%s", n, depth);
    else
        snprintf(out, cap, "pp%.0f+tg%.0f%s", p, n, depth);
}

/* A size or a count in the larger of two units when it fills it. */
static void put_amount(FILE *out, double v, double unit, const char *name, double larger_unit, const char *larger_name)
{
    char text[32];

    snprintf(text, sizeof text, "%.2f %s", v / (v < larger_unit ? unit : larger_unit), v < larger_unit ? name : larger_name);
    fprintf(out, " %*s |", columns[BENCH_MODEL_SIZE].width, text);
}

static void md_result(struct bench_out *o, const struct bench_result *r)
{
    char text[96];

    putc('|', o->out);
    for (size_t i = 0; i < N_MD; i++) {
        enum bench_column c = md_order[i];
        if (c == BENCH_MODEL_SIZE)
            put_amount(o->out, number(r, c), 1 << 20, "MiB", 1 << 30, "GiB");
        else if (c == BENCH_MODEL_N_PARAMS)
            put_amount(o->out, number(r, c), 1e6, "M", 1e9, "B");
        else if (is_shown(o, i))
            fprintf(o->out, " %*s |", columns[c].width, r->value[c]);
    }
    bench_test_name(r, text, sizeof text);
    fprintf(o->out, " %*s |", TEST_WIDTH, text);
    snprintf(text, sizeof text, "%.2f ± %.2f", number(r, BENCH_AVG_TS), number(r, BENCH_STDDEV_TS));
    fprintf(o->out, " %*s |\n", SPEED_WIDTH + 1, text); /* printf counts bytes, and the sign has two */
}

/* ---- all formats ---- */

static const struct {
    void (*begin)(struct bench_out *o);
    void (*result)(struct bench_out *o, const struct bench_result *r);
    void (*end)(struct bench_out *o);
} formats[] = {
    [BENCH_CSV] = { csv_begin, csv_result, NULL },
    [BENCH_JSON] = { json_begin, json_result, json_end },
    [BENCH_JSONL] = { NULL, jsonl_result, NULL },
    [BENCH_MD] = { md_begin, md_result, NULL },
    [BENCH_SQL] = { sql_begin, sql_result, NULL },
};

static void begin(struct bench_out *o)
{
    if (!o->begun && formats[o->format].begin)
        formats[o->format].begin(o);
    o->begun = true;
}

void bench_out_result(struct bench_out *o, const struct bench_result *r)
{
    if (o->format == BENCH_NONE)
        return;
    begin(o);
    formats[o->format].result(o, r);
}

void bench_out_end(struct bench_out *o, const char *build_commit, const char *build_number, bool complete)
{
    if (o->format == BENCH_NONE || (!o->begun && !complete))
        return;
    begin(o);
    if (formats[o->format].end)
        formats[o->format].end(o);
    if (o->format == BENCH_MD)
        fprintf(o->out, "\nbuild: %s (%s)\n", build_commit, build_number);
}
