/* engine.c - see engine.h. */
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

/* ---- tables ------------------------------------------------------------------------------------------------------- */

static double mib(uint64_t bytes) { return (double)bytes / (1024.0 * 1024.0); }

/* Texts come from the file: no control characters for the terminal. */
static void print_fact(const char *label, const char *text)
{
    printf("  %-18s ", label);
    for (const char *p = text && *text ? text : "-"; *p; p++)
        putchar((unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p);
    putchar('\n');
}

static void print_special(const char *label, int32_t id, bool added)
{
    if (id < 0)
        printf("  %-18s none\n", label);
    else
        printf("  %-18s %d%s\n", label, id, added ? ", added to prompts" : ", not added");
}

static void print_model(const struct prism_model_info *m)
{
    printf("model\n");
    print_fact("file", m->path);
    printf("  %-18s %.2f MiB in %u part%s, tensors %.2f MiB\n", "size", mib(m->file_bytes), m->n_files, m->n_files == 1 ? "" : "s",
           mib(m->tensor_bytes));
    print_fact("architecture", m->architecture);
    print_fact("name", m->name);
    print_fact("type", m->type);
    printf("  %-18s %.2f M in %u tensors\n", "parameters", (double)m->n_params / 1e6, m->n_tensors);
    printf("  %-18s %u\n", "layers", m->n_layer);
    printf("  %-18s %u\n", "embedding", m->n_embd);
    printf("  %-18s %u query, %u key/value, %u wide\n", "heads", m->n_head, m->n_head_kv, m->head_dim);
    if (m->n_head_kv_window != m->n_head_kv || m->head_dim_window != m->head_dim)
        printf("  %-18s %u key/value, %u wide\n", "heads in windows", m->n_head_kv_window, m->head_dim_window);
    if (m->n_shared_kv)
        printf("  %-18s of the last %u layers: those of earlier ones\n", "keys and values", m->n_shared_kv);
    printf("  %-18s %u\n", "feed-forward", m->n_ff);
    if (m->n_expert)
        printf("  %-18s %u, %u used, of %u\n", "experts", m->n_expert, m->n_expert_used, m->n_ff_expert);
    if (m->n_ff_shared)
        printf("  %-18s %u\n", "shared expert", m->n_ff_shared);
    if (m->window)
        printf("  %-18s %u tokens in %u of %u layers\n", "window", m->window, m->n_window_layers, m->n_layer);
    printf("  %-18s %u dims, %s, base %g, scaling %s\n", "rope", m->n_rot, m->rope_order ? m->rope_order : "-",
           (double)m->rope_freq_base, m->rope_scaling ? m->rope_scaling : "none");
    if (m->rope_freq_base_window != m->rope_freq_base)
        printf("  %-18s base %g\n", "rope in windows", (double)m->rope_freq_base_window);
    printf("  %-18s %g\n", "rms epsilon", (double)m->rms_eps);
    printf("  %-18s %u tokens\n", "trained context", m->n_ctx_train);
    printf("  %-18s %s\n", "output matrix", m->tied_embeddings ? "the embedding" : "its own");
    print_fact("tokenizer", m->tokenizer);
    print_fact("pre-tokenizer", m->pre_tokenizer);
    printf("  %-18s %u tokens\n", "vocabulary", m->n_vocab);
    print_special("bos", m->bos, m->add_bos);
    print_special("eos", m->eos, m->add_eos);
}

/* The default template and the names of others. */
static void print_templates(const prism_model *model)
{
    const char *text = prism_model_chat_template(model, NULL);
    char names[256] = "";

    prism_model_meta(model, "tokenizer.chat_templates", names, sizeof names);
    printf("  %-18s ", "chat template");
    if (text)
        printf("tokenizer.chat_template, %zu bytes%s", strlen(text), *names ? ", further ones: " : "\n");
    else
        printf("none%s", *names ? ", but ones named " : "\n");
    for (const char *p = names; *p; p++)
        putchar((unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p);
    if (*names)
        putchar('\n');
}

const char *engine_kv_type_name(enum prism_kv_type t)
{
    static const char *const names[] = { "default", "f16", "bf16", "f32", "q8_0" };

    return names[t];
}

static void print_plan(const struct prism_plan *p)
{
    const struct {
        const char *name;
        uint64_t bytes;
    } parts[] = {
        { "key/value cache", p->kv_bytes }, { "activations", p->activation_bytes }, { "weight panels", p->panel_bytes },
        { "attention", p->attention_bytes }, { "logits", p->logits_bytes }, { "total", p->total_bytes },
    };

    printf("plan\n");
    printf("  %-18s %u tokens\n", "context", p->n_ctx);
    printf("  %-18s %u\n", "threads", p->n_threads);
    printf("  %-18s %s, compute %s, cache %s", "kernels", p->level, p->compute, engine_kv_type_name(p->kv_type));
    if (p->v_type != p->kv_type)
        printf(", values %s", engine_kv_type_name(p->v_type));
    putchar('\n');
    printf("  %-18s %s, blocks of %u tokens\n", "attention", p->selector, p->block);
    printf("  %-18s %u tokens\n", "slab", p->slab_tokens);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        printf("  %-18s %10.2f MiB\n", parts[i].name, mib(parts[i].bytes));
}

/* ---- JSON --------------------------------------------------------------------------------------------------------- */

void engine_json_model(struct json *j, const struct prism_model_info *m)
{
    const struct {
        const char *key, *text;
    } texts[] = {
        { "path", m->path }, { "architecture", m->architecture }, { "name", m->name }, { "type", m->type },
        { "rope_order", m->rope_order }, { "rope_scaling", m->rope_scaling }, { "tokenizer", m->tokenizer },
        { "pre_tokenizer", m->pre_tokenizer },
    };
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {
        { "n_layer", m->n_layer }, { "n_embd", m->n_embd }, { "n_head", m->n_head }, { "n_head_kv", m->n_head_kv },
        { "head_dim", m->head_dim }, { "n_rot", m->n_rot }, { "n_ff", m->n_ff }, { "n_vocab", m->n_vocab },
        { "n_expert", m->n_expert }, { "n_expert_used", m->n_expert_used }, { "n_ff_expert", m->n_ff_expert },
        { "n_ff_shared", m->n_ff_shared }, { "n_head_kv_window", m->n_head_kv_window }, { "head_dim_window", m->head_dim_window },
        { "n_shared_kv", m->n_shared_kv }, { "window", m->window }, { "n_window_layers", m->n_window_layers },
        { "n_ctx_train", m->n_ctx_train }, { "bos", m->bos }, { "eos", m->eos }, { "n_files", m->n_files },
        { "n_tensors", m->n_tensors }, { "n_params", (int64_t)m->n_params }, { "tensor_bytes", (int64_t)m->tensor_bytes },
        { "file_bytes", (int64_t)m->file_bytes },
    };

    json_object(j, "model");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        json_text(j, texts[i].key, texts[i].text);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        json_int(j, numbers[i].key, numbers[i].value);
    json_real(j, "rope_freq_base", (double)m->rope_freq_base);
    json_real(j, "rope_freq_base_window", (double)m->rope_freq_base_window);
    json_real(j, "rms_eps", (double)m->rms_eps);
    json_bool(j, "tied_embeddings", m->tied_embeddings);
    json_bool(j, "add_bos", m->add_bos);
    json_bool(j, "add_eos", m->add_eos);
    json_close(j);
}

void engine_json_plan(struct json *j, const struct prism_plan *p)
{
    json_object(j, "plan");
    json_text(j, "level", p->level);
    json_text(j, "compute", p->compute);
    json_text(j, "kv_type", engine_kv_type_name(p->kv_type));
    json_text(j, "v_type", engine_kv_type_name(p->v_type));
    json_int(j, "n_ctx", p->n_ctx);
    json_int(j, "n_threads", p->n_threads);
    json_int(j, "slab_tokens", p->slab_tokens);
    json_text(j, "selector", p->selector);
    json_int(j, "block", p->block);
    json_int(j, "kv_bytes", (int64_t)p->kv_bytes);
    json_int(j, "activation_bytes", (int64_t)p->activation_bytes);
    json_int(j, "panel_bytes", (int64_t)p->panel_bytes);
    json_int(j, "attention_bytes", (int64_t)p->attention_bytes);
    json_int(j, "logits_bytes", (int64_t)p->logits_bytes);
    json_int(j, "total_bytes", (int64_t)p->total_bytes);
    json_close(j);
}

void engine_json_threads(struct json *j, prism_context *ctx)
{
    int core[PRISM_MAX_THREADS];
    uint32_t n = prism_threads(ctx, core, PRISM_MAX_THREADS);

    json_object(j, "threads");
    json_int(j, "count", n);
    json_array(j, "cores"); /* -1: not bound */
    for (uint32_t i = 0; i < n && i < PRISM_MAX_THREADS; i++)
        json_int(j, NULL, core[i]);
    json_close(j);
    json_close(j);
}

void engine_json_stats(struct json *j, const struct prism_stats *s)
{
    json_object(j, "stats");
    json_int(j, "prefill_tokens", (int64_t)s->prefill_tokens);
    json_int(j, "decode_tokens", (int64_t)s->decode_tokens);
    json_real(j, "prefill_ms", s->prefill_ms);
    json_real(j, "decode_ms", s->decode_ms);
    json_real(j, "linear_ms", s->linear_ms);
    json_real(j, "attention_ms", s->attention_ms);
    json_real(j, "select_ms", s->select_ms);
    json_real(j, "other_ms", s->other_ms);
    json_close(j);
}

/* ---- modes -------------------------------------------------------------------------------------------------------- */

int engine_show_info(const struct engine_options *o, uint32_t n_ctx, bool json)
{
    prism_model *model;
    struct prism_context_params params;
    struct prism_model_info info;
    struct prism_plan plan;
    struct prism_error err = { 0 };
    int status = engine_load(o, false, &model);

    if (status == PROCESS_OK)
        status = engine_context_params(o, &params);
    if (status == PROCESS_OK) {
        params.n_ctx = n_ctx;
        if (prism_plan(model, &params, &plan, &err) != PRISM_OK)
            status = process_error("%s", err.text);
    }
    if (status == PROCESS_OK) {
        prism_model_info(model, &info);
        if (json) {
            struct json j = { .out = stdout };
            json_object(&j, NULL);
            engine_json_model(&j, &info);
            json_text(&j, "chat_template", prism_model_chat_template(model, NULL));
            engine_json_plan(&j, &plan);
            json_close(&j);
        } else {
            print_model(&info);
            print_templates(model);
            print_plan(&plan);
        }
        status = process_flush_stdout();
    }
    prism_model_free(model);
    return status;
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
