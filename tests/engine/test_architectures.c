/* test_architectures.c - a tiny model of every architecture against logits of all its rules in double precision (tests/golden/arch; made by an
 * independent implementation, see README.md there): every level, whole and in pieces, any number of threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/model/model.h"
#include "tests/support/engine_test.h"
#include "tests/support/near.h"

enum { N = 160, LAST = 8, N_CTX = 256, CHUNK = 64 };

/* The model of llama4 with chunks of CHUNK tokens in place of 8192, which are more than all. */
#define CHUNKED "llama4-chunk64"

static const struct {
    const char *name;
    bool experts; /* a rounded product may choose others: no bound on single logits */
    size_t from;  /* rows before it depend on how many tokens a call has (longrope) */
} files[] = {
    { "mixtral", true, 0 },    { "mistral3", false, 0 },  { "smollm3", false, 0 }, { "qwen2moe", true, 0 },      { "qwen3moe", true, 0 },
    { "qwen3vl", false, 0 },   { "qwen3vlmoe", true, 0 }, { "gemma2", false, 0 },  { "gemma3", false, 0 },       { "gpt-oss", true, 0 },
    { "gemma4", false, 0 },    { "gemma4-moe", true, 0 },
    { "gpt-oss-mxfp4", true, 0 }, { "granite", false, 0 }, { "granitemoe", true, 0 }, { "phi3", false, 64 },
    { "gemma", false, 0 },     { "glm4", false, 0 },      { "glm4moe", true, 0 }, { "ernie4_5-moe", true, 0 },  { "seed_oss", false, 0 },
    { "minicpm", false, 0 },   { "olmo2", false, 0 },     { "olmo3", false, 0 },  { "olmoe", true, 0 },         { "exaone4", false, 0 },
    { "hunyuan-dense", false, 0 }, { "hunyuan-moe", true, 0 }, { "command-r", false, 0 }, { "cohere2", false, 0 }, { "starcoder2", false, 0 },
    { "phimoe", true, 64 },    { "llama4", true, 0 },     { CHUNKED, true, 0 },
    { "nemotron", false, 0 },  { "stablelm", false, 0 },  { "stablelm-parallel", false, 0 }, { "falcon", false, 0 }, { "falcon-two-norms", false, 0 },
    { "qwen35", false, 0 },    { "qwen35moe", true, 0 },
};
enum { COUNT_FILES = sizeof files / sizeof *files };

struct golden {
    size_t file;
    prism_model *model;
    struct prism_gguf *g;
    const int32_t *tokens, *argmax;
    const float *reference, *nll, *gap; /* reference: of the last rows */
};

static const void *tensor(const struct golden *g, const char *name)
{
    const struct prism_gguf_tensor *t = prism_gguf_tensor_find(g->g, name);
    if (!t)
        fail_msg("%s: no %s", files[g->file].name, name);
    return t->data;
}

static bool is_chunked(size_t file) { return !strcmp(files[file].name, CHUNKED); }

static struct golden open_golden(size_t file)
{
    struct golden g = { .file = file };
    struct prism_error err;
    char path[256];

    snprintf(path, sizeof path, "tests/golden/arch/%s.gguf", is_chunked(file) ? "llama4" : files[file].name);
    g.model = load_model(path);
    for (uint32_t i = 0; is_chunked(file) && i < g.model->n_layer; i++) {
        struct prism_attn_spec *a = &g.model->layers[i].attn;
        a->window = a->window ? CHUNK : 0;
        a->temperature_from = CHUNK;
    }
    snprintf(path, sizeof path, "tests/golden/arch/%s.logits.gguf", files[file].name);
    must(prism_gguf_open(path, (struct prism_log){ 0 }, &g.g, &err), &err);
    g.tokens = tensor(&g, "tokens"), g.argmax = tensor(&g, "argmax");
    g.reference = tensor(&g, "reference"), g.nll = tensor(&g, "nll"), g.gap = tensor(&g, "top_gap");
    return g;
}

static void close_golden(struct golden *g)
{
    prism_gguf_close(g->g);
    prism_model_free(g->model);
}

static uint32_t vocab(const struct golden *g)
{
    struct prism_model_info info;
    prism_model_info(g->model, &info);
    return info.n_vocab;
}

/* All rows, in calls of `piece` tokens. */
static float *run(const struct golden *g, const struct prism_context_params *p, size_t piece)
{
    prism_context *c = make_context(g->model, p);
    size_t n_vocab = vocab(g);
    float *all = malloc(N * n_vocab * sizeof *all);

    for (size_t at = 0; at < N; at += piece) {
        size_t n = piece < N - at ? piece : N - at;
        float *rows = all_logits(c, g->tokens + at, n, n_vocab);
        memcpy(all + at * n_vocab, rows, n * n_vocab * sizeof *all);
        free(rows);
    }
    prism_context_free(c);
    return all;
}

/* The mean of nll - expected over all rows but the last; a row whose best token is another where the gap says that it may not be fails. */
static double check_rows(const struct golden *g, const float *logits, double gap, double nll_bound, const char *label)
{
    size_t n_vocab = vocab(g), counted = 0;
    double sum = 0;

    for (size_t t = files[g->file].from; t < N; t++) {
        const float *row = logits + t * n_vocab;
        size_t best = 0;
        for (size_t i = 1; i < n_vocab; i++)
            best = row[i] > row[best] ? i : best;
        if ((double)g->gap[t] > gap && (int32_t)best != g->argmax[t])
            fail_msg("%s: row %zu: best token %zu, expected %d", label, t, best, g->argmax[t]);
        if (t + 1 == N)
            break;
        double difference = -prism_log_prob(row, n_vocab, g->tokens[t + 1]) - (double)g->nll[t];
        assert_within(difference < 0 ? -difference : difference, nll_bound, label);
        sum += difference, counted++;
    }
    return sum / (double)counted;
}

static const size_t pieces[] = { N, 1, 7, 64 };

/* level: as in struct prism_context_params */
static void check_run(const struct golden *g, int level, enum prism_compute compute, size_t piece)
{
    struct prism_context_params p = { .n_ctx = N_CTX, .n_threads = 2, .level = level, .compute = compute,
                                      .attention.block = is_chunked(g->file) ? CHUNK / 2 : 0 };
    size_t n_vocab = vocab(g), rest = (N - LAST) * n_vocab;
    float *logits = run(g, &p, piece);
    bool exact = compute == PRISM_COMPUTE_F32, experts = files[g->file].experts;
    char label[128];

    snprintf(label, sizeof label, "%s, %s, %s, pieces of %zu", files[g->file].name, level ? prism_level_name(level - 1) : "best level",
             exact ? "f32" : "auto", piece);
    assert_sound(logits, N, n_vocab);
    double mean = check_rows(g, logits, exact ? 1e-3 : 0.5, exact ? 1e-3 : experts ? 10 : 0.2, label);
    assert_within(mean < 0 ? -mean : mean, exact ? 1e-4 : 0.05, label);
    if (exact || !experts)
        assert_within(largest_difference_f32(logits + rest, g->reference, LAST * n_vocab), exact ? 1e-3 : 0.15, label);
    free(logits);
}

static void check_level(const struct golden *g, int level)
{
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        check_run(g, level + 1, PRISM_COMPUTE_AUTO, pieces[i]);
        check_run(g, level + 1, PRISM_COMPUTE_F32, pieces[i]);
    }
}

static void check_threads(const struct golden *g)
{
    size_t bytes = N * vocab(g) * sizeof(float);
    struct prism_context_params p = { .n_ctx = N_CTX, .n_threads = 1, .attention.block = is_chunked(g->file) ? CHUNK / 2 : 0 };

    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        p.n_threads = 1;
        float *one = run(g, &p, pieces[i]);
        for (p.n_threads = 2; p.n_threads <= 7; p.n_threads = p.n_threads == 3 ? 7 : p.n_threads + 1) {
            float *more = run(g, &p, pieces[i]);
            if (memcmp(one, more, bytes))
                fail_msg("%s: pieces of %zu: other bits with %u threads", files[g->file].name, pieces[i], p.n_threads);
            free(more);
        }
        free(one);
    }
}

/* The rules alone: what is wrong with one shows here, in a second. */
static void test_rules(void **state)
{
    (void)state;
    for (size_t f = 0; f < COUNT_FILES; f++) {
        struct golden g = open_golden(f);
        check_run(&g, 0, PRISM_COMPUTE_F32, N);
        check_run(&g, 0, PRISM_COMPUTE_F32, 7);
        close_golden(&g);
    }
}

static void test_levels(void **state)
{
    (void)state;
    for (size_t f = 0; f < COUNT_FILES; f++) {
        struct golden g = open_golden(f);
        for (int level = 0; level < prism_level_count(); level++)
            if (prism_level_supported(level))
                check_level(&g, level);
        close_golden(&g);
    }
}

static void test_threads(void **state)
{
    (void)state;
    for (size_t f = 0; f < COUNT_FILES; f++) {
        struct golden g = open_golden(f);
        check_threads(&g);
        close_golden(&g);
    }
}

/* Every architecture has a golden file, or is built by the tests themselves. */
static void test_complete(void **state)
{
    (void)state;
    for (size_t i = 0; i < prism_n_archs; i++) {
        bool found = tiny_has_family(prism_archs[i]->name);
        for (size_t f = 0; !found && f < COUNT_FILES; f++) {
            struct golden g = open_golden(f);
            found = g.model->arch == prism_archs[i];
            close_golden(&g);
        }
        if (!found)
            fail_msg("architecture %s: no golden file", prism_archs[i]->name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules), cmocka_unit_test(test_levels), cmocka_unit_test(test_threads), cmocka_unit_test(test_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
