/* unread.c - metadata that nothing read and that would change the computation: refused, whatever else the file says.
 *
 * Two tables: keys whose values must be among those that change nothing, and keys that change nothing. A key of the architecture that was
 * not read and is in neither is named in a warning. Names: the key list of the GGUF format and of its reference implementation. */
#include "src/gguf/reader.h"
#include "src/model/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum when { ALWAYS, WITH_YARN, WITHOUT_YARN, WITH_EXPERTS };

/* Behind "ARCHITECTURE."; a '*' at the end stands for any rest. harmless: at most two numbers (bools are 0 and 1) or words, one
 * space apart; "" stands for none: the key must be absent. An array is harmless when all its elements are. */
static const struct {
    const char *suffix, *harmless;
    enum when when;
} rules[] = {
    /* scales and caps */
    { .suffix = "embedding_scale", .harmless = "0 1" },
    { .suffix = "residual_scale", .harmless = "0 1" },
    { .suffix = "logit_scale", .harmless = "0 1" },
    { .suffix = "attn_logit_softcapping", .harmless = "0" },
    { .suffix = "final_logit_softcapping", .harmless = "0" },
    { .suffix = "router_logit_softcapping", .harmless = "0" },
    { .suffix = "attention.output_scale", .harmless = "0 1" },
    { .suffix = "attention.value_scale", .harmless = "0 1" },
    { .suffix = "attention.temperature_scale", .harmless = "0" },
    { .suffix = "attention.clamp_kqv", .harmless = "0" },
    { .suffix = "attention.max_alibi_bias", .harmless = "0" },
    { .suffix = "rescale_every_n_layers", .harmless = "0" },
    { .suffix = "activation_sparsity_scale", .harmless = "0" },
    { .suffix = "hidden_activation", .harmless = "silu swish" },
    { .suffix = "xielu.*", .harmless = "" },
    /* another shape of the network */
    { .suffix = "expert_count", .harmless = "0" },
    { .suffix = "expert_group_count", .harmless = "0 1", .when = WITH_EXPERTS },
    { .suffix = "expert_weights_scale", .harmless = "0 1", .when = WITH_EXPERTS },
    { .suffix = "use_parallel_residual", .harmless = "0" },
    { .suffix = "swin_norm", .harmless = "0" },
    { .suffix = "nextn_predict_layers", .harmless = "0" },
    { .suffix = "embedding_length_per_layer_input", .harmless = "0" },
    { .suffix = "full_attention_interval", .harmless = "0 1" },
    { .suffix = "attention.recurrent_layers", .harmless = "0" },
    { .suffix = "attention.rope_pattern", .harmless = "1" },
    { .suffix = "attention.shared_kv_layers", .harmless = "0" },
    { .suffix = "attention.relative_buckets_count", .harmless = "0" },
    { .suffix = "attention.group_norm_groups", .harmless = "0" },
    { .suffix = "attention.block_skip_connection", .harmless = "0" },
    { .suffix = "attention.q_lora_rank", .harmless = "0" },
    { .suffix = "attention.kv_lora_rank", .harmless = "0" },
    { .suffix = "attention.key_length_mla", .harmless = "0" },
    { .suffix = "attention.value_length_mla", .harmless = "0" },
    { .suffix = "attention.indexer.*", .harmless = "" },
    { .suffix = "decoder_block_count", .harmless = "0" },
    { .suffix = "altup.*", .harmless = "" },
    { .suffix = "laurel.*", .harmless = "" },
    { .suffix = "ssm.*", .harmless = "" },
    { .suffix = "wkv.*", .harmless = "" },
    { .suffix = "shortconv.*", .harmless = "" },
    { .suffix = "posnet.*", .harmless = "" },
    { .suffix = "convnext.*", .harmless = "" },
    /* results other than logits of the vocabulary */
    { .suffix = "pooling_type", .harmless = "0" },
    { .suffix = "classifier.*", .harmless = "" },
    { .suffix = "dense_2_*", .harmless = "" },
    { .suffix = "dense_3_*", .harmless = "" },
    /* rotation */
    { .suffix = "rope.dimension_sections", .harmless = "0" },
    { .suffix = "rope.scaling.alpha", .harmless = "0 1" },
    { .suffix = "rope.scaling.yarn_ext_factor", .harmless = "-1 1", .when = WITH_YARN },
    { .suffix = "rope.scaling.yarn_ext_factor", .harmless = "-1 0", .when = WITHOUT_YARN },
    { .suffix = "rope.scaling.yarn_attn_factor", .harmless = "1", .when = WITH_YARN },
    { .suffix = "rope.scaling.yarn_beta_fast", .harmless = "32", .when = WITH_YARN },
    { .suffix = "rope.scaling.yarn_beta_slow", .harmless = "1", .when = WITH_YARN },
    { .suffix = "rope.scaling.yarn_log_multiplier", .harmless = "0", .when = WITH_YARN },
};

/* Without meaning where they were not read: for a network without experts or windows, or about training and text. */
static const char *const known[] = {
    "vocab_size", "tensor_data_layout", "attention.layer_norm_epsilon", "attention.group_norm_epsilon", "attention.sliding_window_pattern",
    "attention.temperature_length", "rope.scale_linear", "rope.scaling.finetuned", "rope.scaling.yarn_*", "expert_*", "experts_per_group",
    "moe_every_n_layers", "interleave_moe_layer_step", "leading_dense_block_count", "n_deepstack_layers", "decoder_start_token_id",
};

#define COUNT(a) (sizeof(a) / sizeof *(a))

static bool matches(const char *pattern, struct prism_str s)
{
    size_t n = strlen(pattern);
    bool prefix = n > 0 && pattern[n - 1] == '*';
    n -= prefix;
    return (prefix ? s.n >= n : s.n == n) && memcmp(pattern, s.p, n) == 0;
}

/* Whether one of the words is this text, or this number when text.p is NULL. */
static bool listed(const char *words, struct prism_str text, double number)
{
    while (*words) {
        size_t n = strcspn(words, " ");
        if (text.p ? text.n == n && memcmp(words, text.p, n) == 0 : strtod(words, NULL) == number)
            return true;
        words += n + (words[n] == ' ');
    }
    return false;
}

/* Whether every value of the pair is listed; else *shown (cap bytes) is the first that is not. */
static bool harmless(const struct prism_gguf_kv *kv, const char *words, char *shown, size_t cap)
{
    for (uint64_t i = 0; i < kv->n; i++) {
        struct prism_str text = { NULL, 0 };
        double number = 0;
        if (kv->elem == PRISM_GV_STR)
            text = kv->strings[i];
        else if (!prism_gguf_number(kv, i, &number))
            number = 0;
        if (listed(words, text, number))
            continue;
        if (text.p)
            snprintf(shown, cap, "\"%.*s\"", prism_show_len(text.n), text.p);
        else
            snprintf(shown, cap, "%g", number);
        return false;
    }
    return *words || kv->n == 0;
}

static enum prism_status check_rule(const struct prism_model *m, const struct prism_gguf_kv *kv, const char *words, struct prism_error *err)
{
    char shown[128] = "an empty array";
    const char *second = strchr(words, ' ');
    if (harmless(kv, words, shown, sizeof shown))
        return PRISM_OK;
    return prism_fail(err, PRISM_E_UNSUPPORTED, "%s: key %.*s: unsupported: expected %.*s%s%s, found %s", m->gguf->path,
                      prism_show_len(kv->key.n), kv->key.p, second ? (int)(second - words) : 80, *words ? words : "no such key",
                      second ? " or " : "", second ? second + 1 : "", shown);
}

/* Keys that say again what is known: a number for window layers or for the output, where another one is a second shape, or how experts are
 * weighed, which the architecture decides. */
static enum prism_status check_twins(const struct prism_builder *b, struct prism_str suffix, const struct prism_gguf_kv *kv, bool *found)
{
    const struct prism_attn_spec *a = &b->common.attn;
    const struct prism_experts *e = &b->common.ffn.experts;
    const struct {
        const char *suffix;
        double value;
    } twins[] = {
        { "expert_gating_func", e->gating },
        { "expert_weights_norm", e->normalise || e->gating == PRISM_GATING_SOFTMAX_CHOSEN },
        { "attention.key_length_swa", a->head_dim },   { "attention.value_length_swa", a->head_dim },
        { "rope.dimension_count_swa", b->ropes[0].n_rot }, { "rope.freq_base_swa", b->ropes[0].base },
        { "embedding_length_out", b->m->n_embd },      { "features_length", b->m->n_embd },
    };
    char value[32];
    *found = false;
    if (e->n == 0 && matches("expert_*", suffix))
        return PRISM_OK;
    for (size_t i = 0; i < COUNT(twins); i++)
        if (matches(twins[i].suffix, suffix)) {
            *found = true;
            snprintf(value, sizeof value, "%.9g", twins[i].value);
            return check_rule(b->m, kv, value, b->err);
        }
    return PRISM_OK;
}

static bool applies(const struct prism_builder *b, enum when when)
{
    bool yarn = strcmp(b->ropes[0].scaling, "yarn") == 0;
    switch (when) {
    case WITH_YARN: return yarn;
    case WITHOUT_YARN: return !yarn;
    case WITH_EXPERTS: return b->common.ffn.experts.n > 0;
    case ALWAYS: break;
    }
    return true;
}

/* Whether a pair that nothing read may be passed over: else an error, or *known false. */
static enum prism_status check_unread(const struct prism_builder *b, const struct prism_gguf_kv *kv, struct prism_str suffix, bool *found)
{
    enum prism_status status = check_twins(b, suffix, kv, found);

    for (size_t r = 0; !status && r < COUNT(rules); r++)
        if (matches(rules[r].suffix, suffix)) {
            *found = true;
            if (applies(b, rules[r].when))
                status = check_rule(b->m, kv, rules[r].harmless, b->err);
        }
    for (size_t k = 0; !status && !*found && k < COUNT(known); k++)
        *found = matches(known[k], suffix);
    return status;
}

void prism_check_unread_keys(struct prism_builder *b)
{
    const struct prism_gguf *g = b->g;
    const struct prism_gguf_kv *unknown = NULL;
    uint64_t n_unknown = 0;
    size_t prefix = strlen(b->m->arch->name);

    for (uint64_t i = 0; !b->status && i < g->n_kv; i++) {
        const struct prism_gguf_kv *kv = &g->kv[i];
        bool found = false;
        if (b->key_used[i] || kv->key.n <= prefix || memcmp(kv->key.p, b->m->arch->name, prefix) != 0 || kv->key.p[prefix] != '.')
            continue;
        b->status = check_unread(b, kv, (struct prism_str){ kv->key.p + prefix + 1, kv->key.n - prefix - 1 }, &found);
        if (!found && n_unknown++ == 0)
            unknown = kv;
    }
    if (b->status || n_unknown == 0)
        return;
    if (n_unknown == 1)
        prism_warn(&g->log, "%s: key %.*s: unknown, ignored", g->path, prism_show_len(unknown->key.n), unknown->key.p);
    else
        prism_warn(&g->log, "%s: key %.*s and %llu more: unknown, ignored", g->path, prism_show_len(unknown->key.n), unknown->key.p,
                   (unsigned long long)(n_unknown - 1));
}
