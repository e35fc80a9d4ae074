/* engine_facts.c - facts of a model, of the plan and of a context, as tables and as JSON; see engine.h. */
#include <stdio.h>
#include <string.h>

#include "tools/common/engine.h"
#include "tools/common/process.h"

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

/* ---- both ---------------------------------------------------------------------------------------------------------- */

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
