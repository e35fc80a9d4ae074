/* shapes.h - public model shapes: what their config.json says, and the tensors that follow from it (shapes.c) and the keys (shape_keys.c). No
 * weights. */
#ifndef PRISM_TOOLS_SHAPES_H
#define PRISM_TOOLS_SHAPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/model/gguf_write.h"

struct shape {
    const char *name, *title; /* "qwen3-0.6b", "Qwen3 0.6B" */
    const char *arch;         /* general.architecture */
    uint32_t n_layer, n_embd, n_head, n_head_kv, head_dim, n_ff, n_vocab, n_ctx;
    float rope_base, rms_eps;
    enum shape_scaling {
        SHAPE_NO_SCALING,
        SHAPE_LLAMA3,         /* divisors that are a tensor */
        SHAPE_LINEAR,
        SHAPE_YARN,
        SHAPE_LONGROPE        /* two tensors of divisors: up to rope_orig_ctx and beyond */
    } rope_scaling;
    float rope_factor;        /* how far it stretches */
    uint32_t rope_orig_ctx;   /* 0: not said */
    uint32_t n_rot;           /* rotated dimensions of a head; 0: all */
    uint32_t window;          /* keys that a window layer sees; 0: not said. Which layers those are follows from the architecture */
    uint32_t n_expert, n_expert_used, n_ff_exp; /* 0: a dense model */
    bool qk_norm;             /* attn_q_norm and attn_k_norm of every layer */
    bool tied;                /* no output.weight: token_embd.weight serves */
    bool post_norms;          /* what a layer's two halves add is normalised first */
    bool fused;               /* attn_qkv, and ffn_up whose first half is the gate */
    uint32_t n_key_state, n_value_state, d_state; /* heads of a gated delta net in three of four layers, and their size; 0: none */
    bool oss;                 /* biases, attention sinks, and experts in MXFP4 whatever the type of the rest */
};
enum { SHAPE_N_CONV = 4 };    /* taps of a delta net's convolution */
extern const struct shape shapes[];
extern const size_t n_shapes;

const struct shape *shape_find(const char *name); /* NULL: there is none */

enum shape_role {
    SHAPE_NORM,      /* ones */
    SHAPE_ROPE,      /* shape_rope_divisors */
    SHAPE_ROPE_LONG, /* the same, beyond rope_orig_ctx */
    SHAPE_BIAS,      /* random and small */
    SHAPE_SINKS,     /* random logits */
    SHAPE_DECAY,     /* negative numbers of the size of 1 */
    SHAPE_ROUTER,    /* a matrix that stays F32 */
    SHAPE_MATRIX,    /* ne[1] rows of ne[0] weights */
    SHAPE_EXPERTS    /* ne[2] such matrices */
};

struct shape_tensor {
    char name[64];
    enum shape_role role;
    uint32_t n_dims;
    uint64_t ne[3];      /* 1 beyond n_dims */
    bool is_output;      /* the matrix that makes the logits */
    bool is_value, is_down, is_qkv; /* attn_v, ffn_down, attn_qkv: what mixed types treat with care */
    uint32_t layer;
};

/* The tensors of the shape with n_layer layers and n_vocab tokens, in the order of the file. tensors: NULL, or room for all.
 * Returns how many. */
size_t shape_tensors(const struct shape *s, uint32_t n_layer, uint32_t n_vocab, struct shape_tensor *tensors);

/* Weights that were trained: every element but those of the divisors. */
uint64_t shape_parameters(const struct shape *s, uint32_t n_layer, uint32_t n_vocab);

/* n_rot / 2 divisors of the rotary frequencies, for the two roles of tensors that hold such. */
void shape_rope_divisors(const struct shape *s, enum shape_role role, float *divisors);

uint32_t shape_n_rot(const struct shape *s);

/* The keys of the shape's architecture with n_layer layers and n_vocab tokens; shape_keys.c. */
void shape_add_keys(struct gguf_writer *w, const struct shape *s, uint32_t n_layer, uint32_t n_vocab);

#endif
