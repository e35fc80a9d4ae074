/* tiny_family.c - what the files of each architecture have beyond llama's (tiny_model.h). Names and defaults: architectures.md 3. */
#include "tests/support/tiny_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "src/gguf/gguf.h"

const char *tiny_key(const char *arch, const char *suffix)
{
    static char key[96];
    snprintf(key, sizeof key, "%s.%s", arch, suffix);
    return key;
}

/* ---- keys ---- */

static void experts(struct gb *g, const struct tiny_model *m)
{
    gb_u32(g, tiny_key(m->arch, "expert_count"), m->n_expert);
    gb_u32(g, tiny_key(m->arch, "expert_used_count"), m->n_expert_used);
    gb_u32(g, tiny_key(m->arch, "expert_feed_forward_length"), m->n_ff_expert);
}

static void shared(struct gb *g, const struct tiny_model *m)
{
    experts(g, m);
    gb_u32(g, tiny_key(m->arch, "expert_shared_feed_forward_length"), m->n_ff_shared);
}

static void sections(struct gb *g, const struct tiny_model *m)
{
    gb_array(g, tiny_key(m->arch, "rope.dimension_sections"), PRISM_GV_U32, 4, (uint32_t[]){ 6, 5, 5, 0 }, 16);
    gb_u32(g, tiny_key(m->arch, "n_deepstack_layers"), 3);
    if (m->n_expert)
        experts(g, m);
}

static void delta(struct gb *g, const struct tiny_model *m)
{
    gb_u32(g, tiny_key(m->arch, "full_attention_interval"), 2);
    gb_u32(g, tiny_key(m->arch, "ssm.conv_kernel"), TINY_CONV);
    gb_u32(g, tiny_key(m->arch, "ssm.state_size"), TINY_STATE);
    gb_u32(g, tiny_key(m->arch, "ssm.group_count"), TINY_N_KEY);
    gb_u32(g, tiny_key(m->arch, "ssm.time_step_rank"), TINY_N_VALUE);
    gb_u32(g, tiny_key(m->arch, "ssm.inner_size"), TINY_N_VALUE * TINY_STATE);
    gb_u32(g, tiny_key(m->arch, "rope.dimension_count"), m->head_dim / 4);
    gb_array(g, tiny_key(m->arch, "rope.dimension_sections"), PRISM_GV_U32, 4, (uint32_t[]){ 2, 1, 1, 0 }, 16);
    if (m->n_expert)
        shared(g, m);
}

static void yarn(struct gb *g, const struct tiny_model *m)
{
    gb_str(g, tiny_key(m->arch, "rope.scaling.type"), "yarn");
    gb_f32(g, tiny_key(m->arch, "rope.scaling.factor"), 4);
    gb_u32(g, tiny_key(m->arch, "rope.scaling.original_context_length"), 64);
}

static void mistral3(struct gb *g, const struct tiny_model *m)
{
    yarn(g, m);
    gb_f32(g, tiny_key(m->arch, "rope.scaling.yarn_beta_fast"), 16);
    gb_f32(g, tiny_key(m->arch, "rope.scaling.yarn_beta_slow"), 2);
    gb_f32(g, tiny_key(m->arch, "rope.scaling.yarn_log_multiplier"), 1);
    gb_f32(g, tiny_key(m->arch, "attention.temperature_scale"), 0.1f);
}

static void window(struct gb *g, const struct tiny_model *m) { gb_u32(g, tiny_key(m->arch, "attention.sliding_window"), m->window); }

static void gpt_oss(struct gb *g, const struct tiny_model *m)
{
    experts(g, m);
    window(g, m);
    yarn(g, m);
}

static void multipliers(struct gb *g, const struct tiny_model *m)
{
    gb_f32(g, tiny_key(m->arch, "logit_scale"), 0.5f);
    gb_f32(g, tiny_key(m->arch, "residual_scale"), 0.5f);
    gb_f32(g, tiny_key(m->arch, "embedding_scale"), 8);
    if (m->n_expert)
        shared(g, m);
}

static void partial(struct gb *g, const struct tiny_model *m) { gb_u32(g, tiny_key(m->arch, "rope.dimension_count"), m->head_dim * 3 / 4); }

/* ---- the table ---- */

static const struct family {
    const char *arch;
    unsigned parts;
    bool has_experts, has_window, fused_qkv;
    void (*keys)(struct gb *g, const struct tiny_model *m); /* NULL: none */
} families[] = {
    { .arch = "llama" },
    { .arch = "ernie4_5" },
    { .arch = "qwen2", .parts = TINY_QKV_BIAS },
    { .arch = "qwen3", .parts = TINY_QK_NORM },
    { .arch = "qwen2moe", .parts = TINY_QKV_BIAS | TINY_SHARED | TINY_SHARED_GATE, .has_experts = true, .keys = shared },
    { .arch = "qwen3moe", .parts = TINY_QK_NORM, .has_experts = true, .keys = experts },
    { .arch = "qwen3vl", .parts = TINY_QK_NORM, .keys = sections },
    { .arch = "qwen3vlmoe", .parts = TINY_QK_NORM, .has_experts = true, .keys = sections },
    { .arch = "qwen35", .parts = TINY_DELTA | TINY_QK_NORM | TINY_NORM_BEFORE_FFN, .keys = delta },
    { .arch = "qwen35moe", .parts = TINY_DELTA | TINY_QK_NORM | TINY_NORM_BEFORE_FFN | TINY_SHARED | TINY_SHARED_GATE, .has_experts = true, .keys = delta },
    { .arch = "mistral3", .keys = mistral3 },
    { .arch = "smollm3" },
    { .arch = "gemma2", .parts = TINY_POST_NORMS, .has_window = true, .keys = window },
    { .arch = "gemma3", .parts = TINY_POST_NORMS | TINY_QK_NORM, .has_window = true, .keys = window },
    { .arch = "gpt-oss", .parts = TINY_QKV_BIAS | TINY_O_BIAS | TINY_SINKS | TINY_NORM_BEFORE_FFN | TINY_EXPERT_BIAS, .has_experts = true, .has_window = true,
      .keys = gpt_oss },
    { .arch = "glm4", .parts = TINY_POST_NORMS | TINY_FUSED_FFN },
    { .arch = "granite", .keys = multipliers },
    { .arch = "granitemoe", .parts = TINY_SHARED, .has_experts = true, .keys = multipliers },
    { .arch = "phi3", .parts = TINY_FUSED_FFN, .fused_qkv = true, .keys = partial },
};

static const struct family *find(const char *arch)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strcmp(families[i].arch, arch) == 0)
            return &families[i];
    fail_msg("no family %s", arch);
    return NULL;
}

bool tiny_has_family(const char *arch)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strcmp(families[i].arch, arch) == 0)
            return true;
    return false;
}

unsigned tiny_parts(const char *arch) { return find(arch)->parts; }

void tiny_add_family_keys(struct gb *g, const struct tiny_model *m)
{
    const struct family *f = find(m->arch);

    if (f->keys)
        f->keys(g, m);
    else if (m->n_expert)
        experts(g, m);
}

struct tiny_model tiny_family(const char *name)
{
    struct tiny_model m = tiny_llama();
    bool mixtral = strcmp(name, "mixtral") == 0;
    const struct family *f = find(mixtral ? "llama" : name);

    m.arch = f->arch;
    m.fused_qkv = f->fused_qkv;
    if (mixtral || f->has_experts)
        m.n_expert = 6, m.n_expert_used = 2, m.n_ff_expert = 32, m.n_ff_shared = f->parts & TINY_SHARED ? 64 : 0;
    if (f->has_window)
        m.window = 16;
    return m;
}
