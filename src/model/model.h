/* model.h - a network ready to run: layers as data with tensors bound by name and shape, RoPE frequencies, vocabulary.
 *
 * Owns the GGUF file and the vocabulary; read-only after loading. Which architectures exist is a table of rows (arch/arch.c). */
#ifndef PRISM_MODEL_MODEL_H
#define PRISM_MODEL_MODEL_H

#include "src/gguf/gguf.h"
#include "src/kernels.h" /* enum prism_gate, PRISM_MAX_HEAD_DIM */

struct prism_vocab; /* src/text/vocab.h */
struct prism_chat_template;

/* A matrix as stored: rows (outputs) of k values. data NULL: the model does not have it. */
struct prism_matrix {
    const uint8_t *data;
    enum prism_type type;
    size_t rows, k, row_bytes;
    const float *scale;             /* what the product is multiplied by: a number for each slab_rows rows; NULL: 1 */
    size_t slab_rows;
};

/* rows [first, first + n) of m, of one slab */
static inline struct prism_matrix prism_matrix_rows(const struct prism_matrix *m, size_t first, size_t n)
{
    return (struct prism_matrix){ m->data + first * m->row_bytes, m->type, n, m->k, m->row_bytes, m->scale ? m->scale + first / m->slab_rows : NULL,
                                  m->slab_rows };
}

/* ---- a layer is data: what the engine computes, whatever the architecture ---- */

enum prism_norm_kind { PRISM_NORM_NONE, PRISM_NORM_RMS, PRISM_NORM_LAYER };

struct prism_norm {
    enum prism_norm_kind kind; /* NONE: the values pass as they are */
    const float *weight, *bias; /* bias: added at the end, or NULL */
    float eps;
};

enum prism_head_norms {
    PRISM_NORM_HEADS,               /* each head, all with the weights [head_dim] */
    PRISM_NORM_EACH,                /* each head, with its own of the weights [heads][head_dim] */
    PRISM_NORM_ALL,                 /* the heads of a token together, weights [heads * head_dim] */
};

struct prism_attn_spec {
    uint32_t n_head, n_head_kv, head_dim; /* may differ from layer to layer; layers that see all tokens have heads of one size */
    uint32_t kv_layer;              /* whose keys and values it reads: its own, or those of an earlier layer with the same kv heads and window,
                                     * behind which no layer with a window has its own */
    float scale;                    /* of the logits */
    float softcap;                  /* 0: none; else a logit becomes softcap * tanh(logit / softcap) */
    uint32_t window;                /* keys that a row sees, itself among them; 0: all before it */
    bool chunked;                   /* of a window: a row sees back to the last multiple of it, which a block divides */
    int rope;                       /* index of prism_model.ropes; -1: not rotated */
    double temperature;             /* 0: none; else queries at position p are scaled by 1 + temperature * ln(1 + floor((p + temperature_shift) / */
    uint32_t temperature_from, temperature_shift; /* temperature_from)) */
    const float *sinks;             /* [n_head], one more logit of each head's softmax, without a value; NULL: none */
    struct prism_norm q_norm, k_norm;
    enum prism_head_norms norms;    /* what they look at */
    struct prism_norm v_norm;       /* of each head of values */
    bool norm_rotated;              /* after the rotation; else before it */
    struct prism_matrix q, k, v, o; /* q, k, v may be slices of a fused attn_qkv. v without data: values are what k makes, before its norm */
    bool gated;                     /* q holds for each head the rows of its queries, then those of its gate: sigmoid(gate . x) multiplies the head's output */
    const float *q_bias, *k_bias, *v_bias, *o_bias; /* or NULL */
};

#define PRISM_MAX_GATED_HEADS 64

/* Gated delta net (Yang et al. 2024, arXiv 2412.06464): a state in place of keys and values. Each token's queries, keys and values pass through a
 * convolution over the last n_conv tokens and silu; queries and keys are divided by their lengths. A value head with the state S [d][d] and the
 * key head of its number modulo n_key: S *= exp(g), S += k (beta (v - S^T k))^T, o = S^T q / sqrt(d), where beta = sigmoid(beta . x) and g =
 * softplus(alpha . x + alpha_bias) * decay. out takes norm(o) * silu(gate . x). */
struct prism_delta_spec {
    uint32_t n_key, n_value, d;     /* heads, a multiple of n_key of values, and their size. n_value 0: the layer has attention */
    uint32_t n_conv;
    float eps;                      /* in the lengths of queries and keys */
    struct prism_matrix qkv, gate, beta, alpha, out;
    const float *conv;              /* [(2 n_key + n_value) d][n_conv], the last for the token itself */
    const float *alpha_bias, *decay; /* [n_value]; decay <= 0 */
    struct prism_norm norm;         /* of each value head, weights [d] */
};
enum { PRISM_MAX_CONV = 8 };

/* down . act(gate . x, up . x), or without a gate down . act(up . x): of a layer, or of all its experts, whose rows follow each other. */
struct prism_ffn {
    enum prism_gate act;
    enum prism_act plain_act;       /* where there is no gate */
    size_t width;                   /* of one: activations between the two products */
    struct prism_matrix gate, up, down; /* gate: perhaps without data */
    size_t stride;                  /* rows of gate, and of up, from one expert to the next */
    const float *gate_bias, *up_bias, *down_bias; /* or NULL */
};

/* How a router's numbers become probabilities. */
enum prism_gating { PRISM_GATING_SOFTMAX = 1, PRISM_GATING_SIGMOID, PRISM_GATING_SOFTMAX_CHOSEN };

/* Mixture of experts: the n_used best of n take each token, architectures.md 2.6. */
struct prism_experts {
    uint32_t n, n_used;             /* n 0: the layer has none */
    struct prism_matrix router;     /* [n_embd, n] */
    const float *router_bias;       /* [n] or NULL */
    const float *choice_bias;       /* [n] or NULL: added where experts are chosen, not where they are weighed */
    enum prism_gating gating;
    bool by_logit;                  /* chosen by the router's numbers as they are */
    bool normalise;                 /* weights of the chosen add up to 1 */
    bool weigh_input;               /* a weight multiplies what its expert reads; else what it makes */
    float scale;                    /* of the weights */
    const float *each_scale;        /* [n] of what each adds, or NULL */
    struct prism_norm norm;         /* of what experts read; none: the FFN's */
    struct prism_norm router_norm;  /* of what the router reads; none: the experts' */
    struct prism_norm post_norm;    /* of what all the chosen add */
    struct prism_ffn each;
};

struct prism_ffn_spec {
    struct prism_ffn dense;   /* takes every token; beside experts: the shared one. width 0: there is none */
    struct prism_matrix dense_gate; /* [n_embd, 1]: its output is multiplied by sigmoid(dense_gate . x). Or without data */
    struct prism_norm dense_post_norm; /* beside experts: of what it adds */
    struct prism_experts experts;
};

/* An embedding of the token for this layer alone, behind the FFN: x += post_norm(out . (gelu(gate . x) * e)) with e = (norm(from_embd . embd /
 * sqrt(n_embd)) + part * sqrt(width)) / sqrt(2), where embd is the token's ordinary embedding and part `width` values of its row in
 * prism_model.layer_embd. */
struct prism_layer_embd {
    size_t width;                   /* 0: the layer has none */
    size_t part_offset;             /* bytes into a row */
    struct prism_matrix from_embd, gate, out;
    struct prism_norm norm, post_norm;
};

struct prism_layer {
    struct prism_norm attn_norm, attn_post_norm, ffn_norm, ffn_post_norm; /* of what enters each half, and of what it adds */
    struct prism_attn_spec attn;
    struct prism_delta_spec delta;  /* with n_value > 0: in place of attention, of which only the sizes are there */
    struct prism_ffn_spec ffn;
    struct prism_layer_embd embd;
    float residual_scale;           /* of what each half adds */
    float out_scale;                /* of all that leaves the layer */
    bool parallel;                  /* both halves read what enters the layer; else the FFN reads what attention has added to as well */
};

static inline bool prism_is_delta(const struct prism_layer *l) { return l->delta.n_value > 0; }

/* One table of rotations. */
struct prism_rope {
    uint32_t n_rot;
    uint32_t n_turning;             /* dims of the pairs before the first that does not turn in any context */
    bool interleaved;               /* NORM order (llama); else NEOX (qwen) */
    double *freq;                   /* [n_rot/2] radians per position, scaling and divisors applied */
    double *freq_short;             /* longrope only: for up to rope_orig_ctx tokens in the cache; else NULL */
    float mag;                      /* multiplies cos and sin */
};
enum { PRISM_MAX_ROPES = 2 };

/* ---- the model ---- */

/* Facts of the file as a person reads them (struct prism_model_info); the engine reads none of them. */
struct prism_hparams {
    uint32_t n_head, n_head_kv, head_dim, n_rot, n_ff;
    uint32_t n_head_kv_window, head_dim_window, n_shared_kv;
    uint32_t n_ctx_train;
    uint32_t window, n_window_layers; /* 0: none */
    uint32_t n_expert, n_expert_used, n_ff_expert, n_ff_shared; /* 0: none */
    float rms_eps;                  /* of the norms, whatever their kind */
    double rope_base, rope_base_window;
    const char *rope_scaling;       /* "none", "linear", "yarn", "longrope" */
};

struct prism_model {
    struct prism_gguf *gguf;
    struct prism_vocab *vocab;
    const struct prism_arch *arch;
    struct prism_hparams hp;
    uint32_t n_layer, n_embd, n_vocab;
    uint32_t n_ctx_limit;            /* longer contexts are unsupported; 0: none is */
    struct prism_layer *layers;      /* [n_layer]; NULL when vocab_only */
    struct prism_rope ropes[PRISM_MAX_ROPES];
    uint32_t n_ropes;
    uint32_t rope_orig_ctx;          /* of a longrope: tokens up to which freq_short holds */
    struct prism_matrix tok_embd, output;
    struct prism_matrix layer_embd;  /* embeddings for single layers, side by side in the row of a token; or without data */
    float embd_scale;                /* of embeddings */
    struct prism_norm output_norm;
    const float *output_bias;
    float logit_scale, logit_softcap; /* logits are scaled, then capped as those of attention; softcap 0: not */
    uint64_t n_params;               /* elements of all tensors */
    struct prism_owned *owned;       /* widened norms and biases */
    char *name, *arch_name;          /* terminated, printable */
    struct prism_chat_template *chat_templates; /* src/chat/templates.h */
    char type_name[48];
};

/* Whether the cache holds keys and values that this layer makes: not where it reads those of another one, or has no attention (no heads). */
static inline bool prism_has_kv(const struct prism_model *m, size_t layer)
{
    const struct prism_layer *l = &m->layers[layer];
    return !prism_is_delta(l) && l->attn.n_head_kv > 0 && l->attn.kv_layer == layer;
}

/* kv heads of the layer in the cache. */
static inline size_t prism_own_kv_heads(const struct prism_model *m, size_t layer)
{
    return prism_has_kv(m, layer) ? m->layers[layer].attn.n_head_kv : 0;
}

/* The frequencies of ropes[0] when n tokens will be in the cache. */
static inline const double *prism_frequencies(const struct prism_model *m, size_t n)
{
    return m->ropes[0].freq_short && n <= m->rope_orig_ctx ? m->ropes[0].freq_short : m->ropes[0].freq;
}

struct prism_builder;

/* One row per architecture. The rest of what differs from llama is done by its functions (src/model/arch/NAME.c). */
struct prism_arch {
    const char *name;
    bool rope_interleaved;
    bool n_rot_is_head_dim;      /* rope.dimension_count must equal key_length */
    bool layer_norm;             /* norms are LayerNorms, perhaps with biases; else RMSNorms */
    bool norm_bias;              /* RMSNorms too may have biases */
    bool layers_vary;            /* attention.head_count_kv and feed_forward_length may differ from layer to layer */
    void (*keys)(struct prism_builder *b);                              /* what the metadata says of all layers; NULL: nothing more */
    void (*top)(struct prism_builder *b);                               /* tensors outside the layers; NULL: nothing more */
    void (*layer)(struct prism_builder *b, struct prism_layer *l, uint32_t index); /* one layer's spec and tensors; NULL: prism_part_llama with */
    unsigned parts;                                                                /* these flags */
};
extern const struct prism_arch *const prism_archs[];
extern const size_t prism_n_archs;

/* The row of a name that need not be terminated; NULL: none. */
const struct prism_arch *prism_arch_find(const char *name, size_t n);

/* 128 bits that tell the model from others: of all metadata, names, types and shapes, the sizes of the files, and three samples of every tensor.
 * Takes milliseconds. fingerprint.c. */
void prism_model_fingerprint(const struct prism_model *m, uint64_t out[2]);

#endif
