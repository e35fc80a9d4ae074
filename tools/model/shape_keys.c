/* shape_keys.c - the keys that llama.cpp's converters write for the architectures of shapes.c. */
#include <math.h>
#include <stdio.h>

#include "tools/model/shapes.h"

static const char *key_of(const struct shape *s, const char *suffix)
{
    static char key[96];

    snprintf(key, sizeof key, "%s.%s", s->arch, suffix);
    return key;
}

static void add_scaling(struct gguf_writer *w, const struct shape *s)
{
    static const char *const names[] = { [SHAPE_LINEAR] = "linear", [SHAPE_YARN] = "yarn", [SHAPE_LONGROPE] = "longrope" };

    if (s->rope_scaling == SHAPE_NO_SCALING || s->rope_scaling == SHAPE_LLAMA3)
        return;
    gguf_add_str(w, key_of(s, "rope.scaling.type"), names[s->rope_scaling]);
    if (s->rope_scaling == SHAPE_LONGROPE) /* Ding et al. 2024: the magnitude that goes with a longer context */
        gguf_add_f32(w, key_of(s, "rope.scaling.attn_factor"), (float)sqrt(1 + log(s->n_ctx / (double)s->rope_orig_ctx) / log(s->rope_orig_ctx)));
    else
        gguf_add_f32(w, key_of(s, "rope.scaling.factor"), s->rope_factor);
    if (s->rope_orig_ctx)
        gguf_add_u32(w, key_of(s, "rope.scaling.original_context_length"), s->rope_orig_ctx);
}

void shape_add_keys(struct gguf_writer *w, const struct shape *s, uint32_t n_layer, uint32_t n_vocab)
{
    const struct {
        const char *suffix;
        uint32_t value;
        bool optional; /* not written when it is 0 */
    } sizes[] = {
        { "block_count", n_layer, false },
        { "context_length", s->n_ctx, false },
        { "embedding_length", s->n_embd, false },
        { "feed_forward_length", s->n_ff, false },
        { "attention.head_count", s->n_head, false },
        { "attention.head_count_kv", s->n_head_kv, false },
        { "attention.key_length", s->head_dim, false },
        { "attention.value_length", s->head_dim, false },
        { "rope.dimension_count", shape_n_rot(s), false },
        { "vocab_size", n_vocab, false },
        { "attention.sliding_window", s->window, true },
        { "expert_count", s->n_expert, true },
        { "expert_used_count", s->n_expert_used, true },
        { "expert_feed_forward_length", s->n_ff_exp, true },
        { "full_attention_interval", s->n_value_state ? 4 : 0, true },
        { "ssm.conv_kernel", s->n_value_state ? SHAPE_N_CONV : 0, true },
        { "ssm.state_size", s->d_state, true },
        { "ssm.group_count", s->n_key_state, true },
        { "ssm.time_step_rank", s->n_value_state, true },
        { "ssm.inner_size", s->n_value_state * s->d_state, true },
    };

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value || !sizes[i].optional)
            gguf_add_u32(w, key_of(s, sizes[i].suffix), sizes[i].value);
    gguf_add_f32(w, key_of(s, "rope.freq_base"), s->rope_base);
    gguf_add_f32(w, key_of(s, "attention.layer_norm_rms_epsilon"), s->rms_eps);
    add_scaling(w, s);
    if (s->n_value_state) { /* positions of text are the same in all sections, so any three that add up would do */
        const int32_t sections[4] = { 11, 11, 10, 0 };
        gguf_add_array(w, key_of(s, "rope.dimension_sections"), PRISM_GV_I32, 4, sections, sizeof sections);
    }
}
