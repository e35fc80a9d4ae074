/* model.c - loading a model, its facts, its end. The steps are in load.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/chat/templates.h"
#include "src/gguf/reader.h"
#include "src/model/load.h"
#include "src/text/vocab.h"

static enum prism_status out_of_memory(const char *path, struct prism_error *err)
{
    return prism_fail(err, PRISM_E_NOMEM, "%s: out of memory", path);
}

static char *printable_copy(struct prism_str s)
{
    size_t cap = 256;
    char *p = malloc(cap);
    return p ? prism_printable(p, cap, s.p, s.n) : NULL;
}

static enum prism_status read_names(struct prism_model *m, struct prism_str *arch, struct prism_error *err)
{
    struct prism_str name = { "", 0 };
    enum prism_status status = prism_gguf_get_str(m->gguf, "general.architecture", true, arch, err);
    if (status || (status = prism_gguf_get_str(m->gguf, "general.name", false, &name, err)))
        return status;
    m->name = printable_copy(name);
    m->arch_name = printable_copy(*arch);
    return m->name && m->arch_name ? PRISM_OK : out_of_memory(m->gguf->path, err);
}

/* A projector of images, which comes beside a text model in a file of its own. */
static bool is_projector(const struct prism_gguf *g, struct prism_str arch)
{
    const struct prism_gguf_kv *type = prism_gguf_find(g, "general.type");
    return prism_str_is(arch, "clip") || (type && type->type == PRISM_GV_STR && prism_str_is(type->strings[0], "mmproj"));
}

static enum prism_status find_arch(struct prism_model *m, struct prism_str name, struct prism_error *err)
{
    if (is_projector(m->gguf, name))
        return prism_fail(err, PRISM_E_UNSUPPORTED, "%s: key general.architecture: \"%.*s\" is the image part of a model (mmproj), and images are "
                          "unsupported; the file of the text model works without it", m->gguf->path, prism_show_len(name.n), name.p);
    m->arch = prism_arch_find(name.p, name.n);
    if (m->arch)
        return PRISM_OK;
    char list[512];
    size_t o = 0;
    for (size_t i = 0; i < prism_n_archs && o < sizeof list; i++)
        o += (size_t)snprintf(list + o, sizeof list - o, " %s", prism_archs[i]->name);
    return prism_fail(err, PRISM_E_UNSUPPORTED, "%s: key general.architecture: unsupported architecture \"%.*s\"; supported:%s",
                      m->gguf->path, prism_show_len(name.n), name.p, list);
}

static enum prism_status load_network(struct prism_model *m, struct prism_str arch, struct prism_error *err)
{
    enum prism_status status = find_arch(m, arch, err);
    return status ? status : prism_build(m, err);
}

/* A vocabulary alone needs no architecture that we run; its size is checked where there are tensors. */
static enum prism_status load_steps(struct prism_model *m, const struct prism_model_params *p, struct prism_error *err)
{
    struct prism_str arch;
    enum prism_status status = read_names(m, &arch, err);
    if (status || (!p->vocab_only && (status = load_network(m, arch, err))))
        return status;
    const struct prism_gguf_tensor *embd = prism_gguf_tensor_find(m->gguf, "token_embd.weight");
    if ((status = prism_vocab_load(m->gguf, embd ? embd->ne[1] : 0, &m->vocab, err)) ||
        (status = prism_chat_templates_load(m->gguf, &m->chat_templates, err)))
        return status;
    if (p->check_tensors && (status = prism_check_tensors(m->gguf, err)))
        return status;
    for (uint64_t i = 0; i < m->gguf->n_tensors; i++) {
        const uint64_t *ne = m->gguf->tensors[i].ne;
        m->n_params += ne[0] * ne[1] * ne[2] * ne[3];
    }
    return prism_label_type(m, err);
}

enum prism_status prism_model_load(const char *path, const struct prism_model_params *params, prism_model **out, struct prism_error *err)
{
    static const struct prism_model_params defaults;
    const struct prism_model_params *p = params ? params : &defaults;
    struct prism_model *m;

    prism_error_clear(err);
    if (!out)
        return prism_fail(err, PRISM_E_ARG, "model: there is nowhere to put it (NULL)");
    *out = NULL;
    if (!path)
        return prism_fail(err, PRISM_E_ARG, "model: the path is NULL");
    m = calloc(1, sizeof *m);
    if (!m)
        return out_of_memory(path, err);
    enum prism_status status = prism_gguf_open(path, (struct prism_log){ p->log, p->log_user }, &m->gguf, err);
    if (!status)
        status = load_steps(m, p, err);
    if (status)
        prism_model_free(m);
    else
        *out = m;
    return status;
}

void prism_model_free(prism_model *m)
{
    if (!m)
        return;
    while (m->owned) {
        struct prism_owned *next = m->owned->next;
        free(m->owned);
        m->owned = next;
    }
    prism_vocab_free(m->vocab);
    prism_chat_templates_free(m->chat_templates);
    free(m->layers);
    for (uint32_t i = 0; i < PRISM_MAX_ROPES; i++) {
        free(m->ropes[i].freq);
        free(m->ropes[i].freq_short);
    }
    free(m->name);
    free(m->arch_name);
    prism_gguf_close(m->gguf); /* last: everything above may point into the mapping */
    free(m);
}

void prism_model_info(const prism_model *m, struct prism_model_info *info)
{
    const struct prism_hparams *hp = &m->hp;
    struct prism_vocab_facts facts;
    prism_vocab_facts(m->vocab, &facts);
    *info = (struct prism_model_info){
        .path = m->gguf->path, .architecture = m->arch_name, .name = m->name, .type = m->type_name,
        .n_layer = m->n_layer, .n_embd = m->n_embd, .n_head = hp->n_head, .n_head_kv = hp->n_head_kv, .head_dim = hp->head_dim,
        .n_rot = hp->n_rot, .n_ff = hp->n_ff, .n_vocab = m->layers ? m->n_vocab : facts.n_tokens, .n_ctx_train = hp->n_ctx_train,
        .n_expert = hp->n_expert, .n_expert_used = hp->n_expert_used, .n_ff_expert = hp->n_ff_expert, .n_ff_shared = hp->n_ff_shared,
        .n_head_kv_window = hp->n_head_kv_window, .head_dim_window = hp->head_dim_window, .n_shared_kv = hp->n_shared_kv,
        .window = hp->window, .n_window_layers = hp->n_window_layers,
        .rope_freq_base = (float)hp->rope_base, .rope_freq_base_window = (float)hp->rope_base_window, .rms_eps = hp->rms_eps,
        .rope_order = m->ropes[0].interleaved ? "interleaved" : "half-split",
        .rope_scaling = hp->rope_scaling ? hp->rope_scaling : "none",
        .tokenizer = facts.model, .pre_tokenizer = facts.pre,
        .tied_embeddings = m->layers && m->output.data == m->tok_embd.data, .add_bos = facts.add_bos, .add_eos = facts.add_eos,
        .bos = facts.bos, .eos = facts.eos,
        .n_files = m->gguf->n_files, .n_tensors = (uint32_t)m->gguf->n_tensors,
        .n_params = m->n_params, .tensor_bytes = m->gguf->tensor_bytes, .file_bytes = m->gguf->file_bytes,
    };
}
