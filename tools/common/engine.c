/* engine.c - see engine.h; facts as text and JSON: engine_facts.c. */
#include "tools/common/engine.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/process.h"

const struct engine_options engine_defaults = { .cache_k = -1, .cache_v = -1, .attention = { .selector = "auto", .dense_tail = -1 } };

#define AT(field) offsetof(struct engine_options, field)

const struct cli_option engine_rows[] = {
    { .kind = CLI_TEXT, .names = "-m, --model", .arg = "FILE", .offset = AT(model),
      .help = "GGUF model; of a split model, its first part" },
    { .kind = CLI_INT, .names = "-t, --threads", .arg = "N", .offset = AT(n_threads), .min = 1, .max = PRISM_MAX_THREADS,
      .initial = "one per physical core", .help = "threads" },
    { .kind = CLI_INT, .names = "-tb, --threads-batch", .arg = "N", .offset = AT(n_threads_batch), .min = 1, .max = PRISM_MAX_THREADS,
      .initial = "that of -t", .help = "the same: one number serves prompt and generation" },
    { .kind = CLI_FLAG, .names = "--no-bind", .offset = AT(no_bind), .help = "do not pin threads to cores; fewer threads than\ncores never are" },
    { .kind = CLI_TEXT, .names = "--cpu-level", .arg = "NAME", .offset = AT(cpu_level), .initial = "best of this machine",
      .help = "kernels to use: generic, avx2, ...;\nan unknown name lists them" },
    { .kind = CLI_CHOICE, .names = "--compute", .arg = "auto|f32", .offset = AT(compute), .choices = "auto f32",
      .help = "auto: the fastest arithmetic of the level\nf32: single precision everywhere" },
    { .kind = CLI_CHOICE, .names = "-ctk, --cache-type-k", .arg = "TYPE", .offset = AT(cache_k), .choices = "f16 bf16 f32 q8_0",
      .initial = "f16; f32 with --compute f32", .help = "type of cached keys: f16, bf16, f32 or q8_0, which is\nabout half of f16; values have the same without -ctv" },
    { .kind = CLI_CHOICE, .names = "-ctv, --cache-type-v", .arg = "TYPE", .offset = AT(cache_v), .choices = "f16 bf16 f32 q8_0",
      .initial = "that of keys", .help = "type of cached values" },
    { .kind = CLI_FLAG, .names = "--check-tensors", .offset = AT(check_tensors), .help = "look for NaN and infinities in the weights" },
    { .kind = CLI_HEADING, .help = "Attention while prefilling" },
    { .kind = CLI_TEXT, .names = "--attn", .arg = "NAME", .offset = AT(attention.selector),
      .help = "auto, dense, or what selects key blocks in prefill:\nprism, prism-rows, meanpool, streaming, vertical-slash,\nflexprefill, xattention; an unknown name lists them" },
    { .kind = CLI_ROWS, .rows = attention_rows, .offset = AT(attention) },
    { 0 },
};

/* Level of --cpu-level: -1 for the best, else its index. PROCESS_ERROR after one line when there is no such level. */
static int find_level(const struct engine_options *o, int *level)
{
    char names[256] = "";

    *level = -1;
    if (!o->cpu_level)
        return PROCESS_OK;
    for (int i = 0; i < prism_level_count(); i++) {
        if (strcmp(o->cpu_level, prism_level_name(i)) == 0) {
            *level = i;
            return PROCESS_OK;
        }
        snprintf(names + strlen(names), sizeof names - strlen(names), " %s", prism_level_name(i));
    }
    return process_error("--cpu-level %s: expected one of:%s", o->cpu_level, names);
}

int engine_context_params(const struct engine_options *o, struct prism_context_params *params)
{
    int level, status = find_level(o, &level);
    if (status != PROCESS_OK)
        return status;
    *params = (struct prism_context_params){
        .n_threads = (uint32_t)(o->n_threads_batch ? o->n_threads_batch : o->n_threads),
        .bind_threads = !o->no_bind,
        .compute = (enum prism_compute)o->compute,
        .kv_type = (enum prism_kv_type)(PRISM_KV_DEFAULT + 1 + o->cache_k),
        .v_type = (enum prism_kv_type)(PRISM_KV_DEFAULT + 1 + o->cache_v),
        .level = level + 1,
    };
    return attention_params(&o->attention, &params->attention);
}

static void print_warning(void *user, const char *line)
{
    (void)user;
    process_warning("%s", line);
}

int engine_load(const struct engine_options *o, bool vocab_only, prism_model **model)
{
    struct prism_model_params params = { .vocab_only = vocab_only, .check_tensors = o->check_tensors, .log = print_warning };
    struct prism_error err = { 0 };

    *model = NULL;
    if (o->n_threads && o->n_threads_batch && o->n_threads != o->n_threads_batch)
        process_warning("-t %" PRId64 " -tb %" PRId64 ": one number of threads serves prompt and generation, %" PRId64, o->n_threads,
                        o->n_threads_batch, o->n_threads_batch);
    if (!o->model)
        return process_error("no model: use -m FILE (see --help)");
    if (prism_model_load(o->model, &params, model, &err) != PRISM_OK)
        return process_error("%s", err.text);
    return PROCESS_OK;
}

/* What the library advises, as a flag. */
int engine_error(const struct prism_error *err)
{
    bool narrow = err->status == PRISM_E_NUMERIC && strstr(err->text, "F32 cache"), values = strstr(err->text, ": values of");

    return process_error("%s%s", err->text, !narrow ? "" : values ? " (-ctv bf16 or -ctv f32)" : " (-ctk bf16 or -ctk f32)");
}

bool engine_logits_finite(const float *logits, size_t n_vocab, struct prism_error *err)
{
    for (size_t i = 0; i < n_vocab; i++) {
        if (isfinite(logits[i]))
            continue;
        err->status = PRISM_E_NUMERIC;
        snprintf(err->text, sizeof err->text, "logits: expected finite numbers, found %f for token %zu", (double)logits[i], i);
        return false;
    }
    return true;
}

int engine_open_context(const prism_model *model, const struct prism_context_params *params, struct prism_plan *plan, prism_context **ctx)
{
    struct prism_context_params p = *params;
    struct prism_error err = { 0 };

    p.n_threads = 0;
    if (prism_plan(model, &p, plan, &err) != PRISM_OK)
        return process_error("%s", err.text);
    /* Two programs of a few threads each would be bound to the same first cores, and leave the others idle. */
    p.bind_threads = params->bind_threads && (!params->n_threads || params->n_threads >= plan->n_threads);
    p.n_threads = params->n_threads;
    if (prism_plan(model, &p, plan, &err) != PRISM_OK || prism_context_create(model, &p, ctx, &err) != PRISM_OK)
        return process_error("%s", err.text);
    uint32_t n = prism_threads(*ctx, NULL, 0);
    if (n < plan->n_threads)
        process_warning("%u threads: the system let %u start", plan->n_threads, n);
    plan->n_threads = n;
    return PROCESS_OK;
}

int engine_tokenize(const prism_model *model, const char *text, size_t len, unsigned flags, int32_t **tokens, size_t *n)
{
    struct prism_error err = { 0 };
    size_t cap = len + 8; /* one per byte is rarely exceeded */
    int32_t *ids = malloc(cap * sizeof *ids);

    *tokens = NULL;
    while (ids && prism_tokenize(model, text, len, flags, ids, cap, n, &err) == PRISM_OK) {
        if (*n <= cap) {
            *tokens = ids;
            return PROCESS_OK;
        }
        free(ids);
        cap = *n;
        ids = malloc(cap * sizeof *ids);
    }
    free(ids);
    return process_error("%s", err.status != PRISM_OK ? err.text : "out of memory for the tokens");
}

int engine_show_kernels(const struct engine_options *o)
{
    int level, status = find_level(o, &level);

    if (status != PROCESS_OK)
        return status;
    size_t len = prism_kernels_text(level, NULL, 0);
    char *text = malloc(len + 1);
    if (!text)
        return process_error("out of memory");
    prism_kernels_text(level, text, len + 1);
    fputs(text, stdout);
    free(text);
    return process_flush_stdout();
}
