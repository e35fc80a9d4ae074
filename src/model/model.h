/* model.h - a network ready to run: hyper-parameters, tensors bound by name and shape, RoPE frequencies, vocabulary.
 *
 * Owns the GGUF file and the vocabulary; read-only after loading. Which architectures exist is a table of rows (arch.c). */
#ifndef PRISM_MODEL_MODEL_H
#define PRISM_MODEL_MODEL_H

#include "src/gguf/gguf.h"

struct prism_vocab; /* src/text/vocab.h */
struct prism_chat_template;

/* A matrix as stored: rows (outputs) of k values. data NULL: the model does not have it. */
struct prism_matrix {
    const uint8_t *data;
    enum prism_type type;
    size_t rows, k, row_bytes;
};

struct prism_layer {
    struct prism_matrix q, k, v, o, gate, up, down; /* q, k, v may be slices of a fused attn_qkv */
    const float *attn_norm, *ffn_norm;              /* [n_embd] */
    const float *q_norm, *k_norm;                   /* [head_dim] or NULL */
    const float *q_bias, *k_bias, *v_bias, *o_bias, *gate_bias, *up_bias, *down_bias; /* or NULL */
};

struct prism_hparams {
    uint32_t n_layer, n_embd, n_head, n_head_kv, head_dim, n_rot, n_ff, n_vocab;
    uint32_t n_ctx_train;           /* at most sliding_window, when there is one */
    uint32_t sliding_window;        /* less than the trained length: longer contexts are unsupported; 0: none */
    float rms_eps, attn_scale;      /* attn_scale: 1/sqrt(head_dim) unless the file says otherwise */
    bool rope_interleaved;          /* NORM order (llama); else NEOX (qwen) */
    double rope_base;
    const char *rope_scaling;       /* "none", "linear", "yarn", "longrope" */
    double rope_factor;             /* context is stretched this many times; 1: not at all */
    double rope_attn_factor;        /* rope.scaling.attn_factor */
    uint32_t rope_orig_ctx;         /* context before stretching */
};

struct prism_model {
    struct prism_gguf *gguf;
    struct prism_vocab *vocab;
    const struct prism_arch *arch;
    struct prism_hparams hp;
    struct prism_layer *layers;      /* [n_layer]; NULL when vocab_only */
    struct prism_matrix tok_embd, output;
    const float *output_norm, *output_bias;
    double *rope_freq;               /* [n_rot/2] radians per position, scaling and divisors applied */
    float rope_mag;                  /* YaRN magnitude, multiplies cos and sin */
    double *rope_freq_short;         /* longrope only: for up to rope_orig_ctx tokens in the cache; else NULL */
    uint32_t rope_orig_ctx;          /* as in hp */
    uint64_t n_params;               /* elements of all tensors */
    struct prism_owned *owned;       /* widened norms and biases */
    char *name, *arch_name;          /* terminated, printable */
    struct prism_chat_template *chat_templates; /* src/chat/templates.h */
    char type_name[48];
};

/* One row per architecture: what differs from llama. */
struct prism_arch {
    const char *name;
    bool rope_interleaved;
    bool n_rot_is_head_dim;      /* llama: rope.dimension_count must equal key_length */
    bool qk_norm;                /* attn_q_norm, attn_k_norm required */
    bool qkv_bias;               /* attn_{q,k,v}.bias all required (qwen2) */
};
extern const struct prism_arch prism_archs[];
extern const size_t prism_n_archs;

/* The row of a name that need not be terminated; NULL: none. */
const struct prism_arch *prism_arch_find(const char *name, size_t n);

/* 128 bits that tell the model from others: of all metadata, names, types and shapes, the sizes of the files, and three samples of every tensor.
 * Takes milliseconds. fingerprint.c. */
void prism_model_fingerprint(const struct prism_model *m, uint64_t out[2]);

#endif
