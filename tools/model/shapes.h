/* shapes.h - public model shapes: what their config.json says, and the tensors that follow from it. No weights. */
#ifndef PRISM_TOOLS_SHAPES_H
#define PRISM_TOOLS_SHAPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shape {
    const char *name, *title; /* "qwen3-0.6b", "Qwen3 0.6B" */
    const char *arch;         /* general.architecture */
    uint32_t n_layer, n_embd, n_head, n_head_kv, head_dim, n_ff, n_vocab, n_ctx;
    float rope_base, rms_eps;
    float rope_factor;        /* of llama3 RoPE scaling, whose divisors are a tensor; 0: none */
    bool qk_norm;             /* attn_q_norm and attn_k_norm of every layer */
    bool tied;                /* no output.weight: token_embd.weight serves */
};
extern const struct shape shapes[];
extern const size_t n_shapes;

const struct shape *shape_find(const char *name); /* NULL: there is none */

enum shape_role {
    SHAPE_NORM,       /* one dimension, ones */
    SHAPE_ROPE_FREQS, /* one dimension, shape_rope_freqs */
    SHAPE_MATRIX      /* ne[1] rows of ne[0] weights */
};

struct shape_tensor {
    char name[64];
    enum shape_role role;
    uint64_t ne[2];      /* ne[1] is 1 of one dimension */
    bool is_output;      /* the matrix that makes the logits */
    bool is_value, is_down; /* attn_v, ffn_down: what mixed types treat with care */
    uint32_t layer;
};

/* The tensors of the shape with n_layer layers and n_vocab tokens, in the order of the file. tensors: NULL, or room for all.
 * Returns how many. */
size_t shape_tensors(const struct shape *s, uint32_t n_layer, uint32_t n_vocab, struct shape_tensor *tensors);

/* Weights that were trained: every element but those of rope_freqs. */
uint64_t shape_parameters(const struct shape *s, uint32_t n_layer, uint32_t n_vocab);

/* head_dim/2 divisors of the rotary frequencies. */
void shape_rope_freqs(const struct shape *s, float *divisors);

#endif
