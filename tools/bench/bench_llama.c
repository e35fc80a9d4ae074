/* bench_llama.c - prism-bench without a subcommand: which of llama-bench's tests run, and what is reported about each.
 *
 * The cross product of all lists is a number: test i of all is test i % per_point of point i / per_point, whose digits in the mixed radix of
 * the lists' lengths say which value each flag has. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/bench/bench.h"
#include "tools/bench/bench_facts.h"
#include "tools/bench/bench_llama.h"
#include "tools/bench/bench_run.h"
#include "tools/common/process.h"

/* As llama-bench nests its loops, outermost first; ours where it has its threads. */
static const enum bench_column nesting[] = {
    BENCH_MODEL_FILENAME, BENCH_FIT_TARGET, BENCH_FIT_MIN_CTX, BENCH_N_GPU_LAYERS, BENCH_N_CPU_MOE, BENCH_SPLIT_MODE, BENCH_LOAD_MODE,
    BENCH_LAZY_MODE, BENCH_MAIN_GPU, BENCH_DEVICES, BENCH_TENSOR_SPLIT, BENCH_TENSOR_BUFT_OVERRIDES, BENCH_NO_HOST, BENCH_EMBEDDINGS,
    BENCH_NO_OP_OFFLOAD, BENCH_N_BATCH, BENCH_N_UBATCH, BENCH_TYPE_K, BENCH_TYPE_V, BENCH_NO_KV_OFFLOAD, BENCH_FLASH_ATTN, BENCH_N_THREADS,
    BENCH_CPU_MASK, BENCH_CPU_STRICT, BENCH_CPU_LEVEL, BENCH_COMPUTE, BENCH_ATTN, BENCH_N_DEPTH, BENCH_POLL,
};
enum { N_NESTING = sizeof nesting / sizeof *nesting };

static const size_t max_tests = 100000;

struct bench {
    const struct bench_options *opt;
    struct bench_out out[2];    /* stdout, stderr */
    struct bench_sizes *tests;  /* [per_point], d left 0 */
    size_t per_point, n_tests;
    char cpu[256], build_commit[8], build_number[16];
    struct bench_run run;
    struct bench_result result; /* of the present test */
    char words[2048];           /* what values of the result point to */
    size_t n_words;
};

/* ---- the cross product ---- */

/* The tests of a point in llama-bench's order; 0 suppresses. */
static int list_tests(struct bench *b)
{
    const struct bench_list *p = &b->opt->list[BENCH_N_PROMPT], *n = &b->opt->list[BENCH_N_GEN], *pg = &b->opt->pairs;
    size_t points = 1;

    b->tests = calloc(p->n + n->n + pg->n / 2 + 1, sizeof *b->tests);
    if (!b->tests)
        return process_error("out of memory");
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->value[i], "0"))
            b->tests[b->per_point++].p = strtoul(p->value[i], NULL, 10);
    for (size_t i = 0; i < n->n; i++)
        if (strcmp(n->value[i], "0"))
            b->tests[b->per_point++].n = strtoul(n->value[i], NULL, 10);
    for (size_t i = 0; i < pg->n; i += 2)
        if (strcmp(pg->value[i], "0") || strcmp(pg->value[i + 1], "0"))
            b->tests[b->per_point++] = (struct bench_sizes){ strtoul(pg->value[i], NULL, 10), strtoul(pg->value[i + 1], NULL, 10), 0 };
    for (size_t i = 0; i < N_NESTING && points <= max_tests; i++)
        points *= b->opt->list[nesting[i]].n;
    if (points > max_tests || points * b->per_point > max_tests)
        return process_error("the flags ask for more than %zu tests", max_tests);
    b->n_tests = b->run.n_tests = points * b->per_point;
    return PROCESS_OK;
}

static bool is(const struct bench *b, enum bench_column c, const char *value) { return !strcmp(b->result.value[c], value); }

/* Index of a cache type in engine_options; -1: its default. */
static int cache_type(const struct bench *b, enum bench_column c)
{
    return is(b, c, "f16") ? 0 : is(b, c, "bf16") ? 1 : is(b, c, "f32") ? 2 : is(b, c, "q8_0") ? 3 : -1;
}

/* Values of the flags in test i, and what they mean to the engine. */
static void choose_test(struct bench *b, size_t i)
{
    struct bench_run *r = &b->run;
    const char **value = b->result.value;
    size_t point = i / b->per_point;

    for (size_t k = N_NESTING; k-- > 0;) {
        const struct bench_list *l = &b->opt->list[nesting[k]];
        value[nesting[k]] = l->value[point % l->n];
        point /= l->n;
    }
    r->number = i + 1;
    r->size = b->tests[i % b->per_point];
    r->size.d = strtoul(value[BENCH_N_DEPTH], NULL, 10);
    r->piece = b->opt->in_pieces ? strtoul(value[BENCH_N_BATCH], NULL, 10) : 0;
    r->engine = (struct engine_options){
        .model = value[BENCH_MODEL_FILENAME], .n_threads = strtol(value[BENCH_N_THREADS], NULL, 10),
        .cpu_level = is(b, BENCH_CPU_LEVEL, "auto") ? NULL : value[BENCH_CPU_LEVEL],
        .compute = is(b, BENCH_COMPUTE, "f32") ? PRISM_COMPUTE_F32 : PRISM_COMPUTE_AUTO,
        .cache_k = cache_type(b, BENCH_TYPE_K), .cache_v = cache_type(b, BENCH_TYPE_V),
        .no_bind = b->opt->no_bind, .attention = b->opt->attention,
    };
    r->engine.attention.selector = value[BENCH_ATTN];
}

/* A wrong value is known before anything is measured. */
static int check_tests(struct bench *b)
{
    struct prism_context_params params;

    for (size_t i = 0; i < b->n_tests; i++) {
        choose_test(b, i);
        struct bench_sizes s = b->run.size;
        int status = engine_context_params(&b->run.engine, &params);
        if (status != PROCESS_OK)
            return status;
        if (s.p + s.n + s.d > INT32_MAX)
            return process_error("-d %zu and %zu more tokens: at most %d in all", s.d, s.p + s.n, INT32_MAX);
    }
    return PROCESS_OK;
}

/* ---- results ---- */

/* A formatted value that lives until the next test. */
__attribute__((format(printf, 2, 3))) static const char *word(struct bench *b, const char *format, ...)
{
    char *at = b->words + b->n_words;
    va_list args;

    va_start(args, format);
    vsnprintf(at, sizeof b->words - b->n_words, format, args);
    va_end(args);
    b->n_words += strlen(at) + 1;
    if (b->n_words == sizeof b->words)
        abort(); /* only numbers, a time and the type of the model are written here */
    return at;
}

/* What is known once the context is open. */
static void describe(struct bench *b)
{
    const struct bench_run *r = &b->run;
    const char **v = b->result.value;
    char text[192];
    time_t now = time(NULL);
    struct tm utc;

    b->n_words = 0;
    v[BENCH_BUILD_COMMIT] = b->build_commit;
    v[BENCH_BUILD_NUMBER] = b->build_number;
    v[BENCH_CPU_INFO] = b->cpu;
    v[BENCH_GPU_INFO] = "";
    v[BENCH_BACKENDS] = "CPU";
    bench_model_type(&r->info, text, sizeof text);
    v[BENCH_MODEL_TYPE] = word(b, "%s", text);
    v[BENCH_MODEL_SIZE] = word(b, "%llu", (unsigned long long)r->info.tensor_bytes);
    v[BENCH_MODEL_N_PARAMS] = word(b, "%llu", (unsigned long long)r->info.n_params);
    v[BENCH_N_THREADS] = word(b, "%u", r->plan.n_threads);
    v[BENCH_TYPE_K] = engine_kv_type_name(r->plan.kv_type);
    v[BENCH_TYPE_V] = engine_kv_type_name(r->plan.v_type);
    v[BENCH_N_PROMPT] = word(b, "%zu", r->size.p);
    v[BENCH_N_GEN] = word(b, "%zu", r->size.n);
    strftime(text, sizeof text, "%FT%TZ", gmtime_r(&now, &utc));
    v[BENCH_TEST_TIME] = word(b, "%s", text);
    v[BENCH_ATTN_SETTINGS] = b->opt->attention_given;
    v[BENCH_CPU_LEVEL] = r->plan.level;
    v[BENCH_PROMPT_SOURCE] = b->opt->file ? b->opt->file : "random";
}

/* Mean and sample standard deviation of ns or, where that is NULL, of ts. */
static void spread(const uint64_t *ns, const double *ts, size_t n, double *mean, double *deviation)
{
    double sum = 0, squares = 0;

    for (size_t i = 0; i < n; i++)
        sum += ns ? (double)ns[i] : ts[i];
    *mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) {
        double d = (ns ? (double)ns[i] : ts[i]) - *mean;
        squares += d * d;
    }
    *deviation = n > 1 ? sqrt(squares / (double)(n - 1)) : 0;
}

static int report(struct bench *b)
{
    const struct bench_run *r = &b->run;
    size_t n = (size_t)b->opt->repetitions;
    const char **v = b->result.value;
    double mean, deviation;

    spread(r->samples_ns, NULL, n, &mean, &deviation);
    v[BENCH_AVG_NS] = word(b, "%.0f", floor(mean));
    v[BENCH_STDDEV_NS] = word(b, "%.0f", floor(deviation));
    spread(NULL, r->samples_ts, n, &mean, &deviation);
    v[BENCH_AVG_TS] = word(b, "%.6f", mean);
    v[BENCH_STDDEV_TS] = word(b, "%.6f", deviation);
    v[BENCH_ATTN_DENSITY] = word(b, "%.4f", attention_density(r->ctx, &r->info));
    b->result.samples_ns = r->samples_ns;
    b->result.samples_ts = r->samples_ts;
    b->result.n_samples = n;
    for (size_t i = 0; i < 2; i++)
        bench_out_result(&b->out[i], &b->result);
    return process_flush_stdout();
}

/* ---- the whole ---- */

static int prepare(struct bench *b)
{
    size_t reps = (size_t)b->opt->repetitions;
    FILE *const streams[2] = { stdout, stderr };
    const int formats[2] = { b->opt->format, b->opt->format_err };
    int number, status = list_tests(b);

    if (status == PROCESS_OK)
        status = check_tests(b);
    if (status == PROCESS_OK && b->opt->file)
        status = text_read(b->opt->file, false, &b->run.text);
    if (status != PROCESS_OK)
        return status;
    b->run.samples_ns = malloc(reps * sizeof *b->run.samples_ns);
    b->run.samples_ts = malloc(reps * sizeof *b->run.samples_ts);
    if (!b->run.samples_ns || !b->run.samples_ts)
        return process_error("out of memory");
    bench_cpu_name(b->cpu, sizeof b->cpu);
    bench_build(b->build_commit, &number);
    snprintf(b->build_number, sizeof b->build_number, "%d", number);
    for (size_t i = 0; i < 2; i++) {
        b->out[i] = (struct bench_out){ .out = streams[i], .format = (enum bench_format)formats[i] };
        memcpy(b->out[i].shown, b->opt->shown, sizeof b->out[i].shown);
    }
    return PROCESS_OK;
}

static int run_test(struct bench *b, size_t i)
{
    choose_test(b, i);
    int status = bench_run_open(&b->run);
    if (status == PROCESS_OK) {
        describe(b);
        status = bench_run_measure(&b->run);
    }
    if (status == PROCESS_OK)
        status = report(b);
    bench_run_close(&b->run);
    return status;
}

/* Ends the documents whatever happened. */
static int measure(struct bench *b)
{
    int status = PROCESS_OK;

    for (size_t i = 0; i < b->n_tests && status == PROCESS_OK; i++)
        status = run_test(b, i);
    for (size_t i = 0; i < 2; i++)
        bench_out_end(&b->out[i], b->build_commit, b->build_number, status == PROCESS_OK);
    if (status == PROCESS_INTERRUPTED)
        return process_report_interrupt("while measuring");
    return status == PROCESS_OK ? process_flush_stdout() : status; /* after an error its line is enough */
}

int bench_llama(int argc, char **argv, const char *commands)
{
    struct bench_options opt;
    struct bench b = { .opt = &opt, .run.opt = &opt };
    int status = bench_llama_options(&opt, commands, argc, argv);

    if (status < 0) {
        status = prepare(&b);
        if (status == PROCESS_OK)
            status = measure(&b);
    }
    bench_run_unload(&b.run);
    free(b.tests);
    free(b.run.samples_ns);
    free(b.run.samples_ts);
    free(b.run.text.bytes);
    bench_llama_free_options(&opt);
    return status;
}
