/* build.h - making a model's layers from metadata and tensors: what the architectures (arch/) are written with. Internal to src/model.
 *
 * A builder's status is sticky: after a failure every further request does nothing and gives nothing, so that an architecture reads like a
 * list. Each failure is one line that names the file and the key or tensor. Keys and tensors that somebody asked for are noted: what nobody
 * asked for is judged at the end (unread.c, tensors.c). */
#ifndef PRISM_MODEL_BUILD_H
#define PRISM_MODEL_BUILD_H

#include "src/model/model.h"

#define PRISM_MAX_LAYERS 512

enum need { OPTIONAL, REQUIRED };

/* Where a table of rotations comes from. */
struct prism_rope_params {
    uint32_t n_rot;
    bool interleaved;
    double base;
    const char *scaling;              /* "none", "linear", "yarn", "longrope" */
    double factor;                    /* context is stretched this many times; 1: not at all */
    double attn_factor;
    uint32_t orig_ctx;                /* context before stretching */
    double beta_fast, beta_slow;      /* YaRN: rotations over orig_ctx at which it changes over; 0, 0: 32 and 1 */
    double log_multiplier;            /* YaRN: 0: none */
    const float *divisors;            /* [n_rot/2] of the frequencies, or NULL; of longrope those for more than orig_ctx tokens */
    const float *divisors_short;      /* longrope: for fewer */
};

struct prism_builder {
    struct prism_model *m;
    const struct prism_gguf *g;
    const char *shown;                /* the file's name as messages show it */
    struct prism_error *err;
    enum prism_status status;
    bool *key_used, *tensor_used;     /* per pair, per tensor of the file */
    char key[96];                     /* of the latest read */
    int layer;                        /* of tensors; -1: outside the layers */
    struct prism_layer common;        /* every layer begins as a copy */
    struct prism_rope_params ropes[PRISM_MAX_ROPES];
    uint32_t n_ff, n_ff_expert, n_ff_shared; /* widths of FFN, of an expert, of the shared one */
    uint32_t each_n_ff[PRISM_MAX_LAYERS], each_n_head_kv[PRISM_MAX_LAYERS]; /* of each layer: before its function is called, they become n_ff and
                                       * attn.n_head_kv */
    uint32_t n_leading_dense;         /* layers without experts before those that have them */
    uint32_t expert_step;             /* every such layer has experts */
    uint32_t window;                  /* 0: no layer has one */
    bool in_window[PRISM_MAX_LAYERS]; /* the layers that do */
    uint32_t window_head_dim;         /* their head size, where it is another */
    uint32_t n_shared_kv;             /* layers at the end that read the keys and values of earlier ones */
    struct prism_matrix embd_proj;    /* of the layers' own embeddings, one below the other */
    bool recurrent[PRISM_MAX_LAYERS]; /* the layers that have a state in place of attention */
};

/* ---- keys: "ARCHITECTURE.suffix" ---- */

const char *prism_key_of(struct prism_builder *b, const char *suffix); /* also into b->key, and noted */
bool prism_key_is_there(struct prism_builder *b, const char *suffix);
void prism_key_u32(struct prism_builder *b, const char *suffix, enum need need, uint32_t lo, uint32_t hi, uint32_t *out);
void prism_key_bool(struct prism_builder *b, const char *suffix, bool *out);

/* One integer, or an array of one per layer that are all equal. */
void prism_key_per_layer(struct prism_builder *b, const char *suffix, enum need need, uint32_t lo, uint32_t hi, uint32_t *out);

/* The same into each[layer]; in architectures whose layers vary they need not be equal. */
void prism_key_each_layer(struct prism_builder *b, const char *suffix, enum need need, uint32_t lo, uint32_t hi, uint32_t *each);

/* An array of one boolean per layer; false: the key is no array. */
bool prism_key_layers(struct prism_builder *b, const char *suffix, bool *out);

/* A number above lo and below hi. It is computed with as a float, so a float is what is checked: 1e-50 is 0. */
void prism_key_between(struct prism_builder *b, const char *suffix, enum need need, double lo, double hi, double *out);

/* The same for an optional key, where 0 in the file stands for `unset`. True: it was there and 0. */
bool prism_key_unless_zero(struct prism_builder *b, const char *suffix, double lo, double hi, double unset, double *out);

/* The latest key has a value that is understood and not computed with. */
void prism_key_unsupported(struct prism_builder *b, const char *what);

/* What derives from these stays far inside the range of a float. */
#define PRISM_MIN_MULTIPLIER 1e-6
#define PRISM_MAX_MULTIPLIER 1e6

/* ---- what several architectures share (common.c) ---- */

/* Sizes, heads, norms and rotation: what nearly every architecture has, into m, b->common and b->ropes[0]. */
void prism_common_keys(struct prism_builder *b);

/* Sliding windows: attention.sliding_window keys, in the layers that sliding_window_pattern names: an array of booleans, or n: all layers but
 * every n-th (1: none, 0: all). 0 keys, or fewer layers than that: no windows. */
void prism_window_keys(struct prism_builder *b, enum need need, uint32_t keys_default, uint32_t pattern_default);

/* A head size, which keys and values share; how many of the d values of a head are rotated. */
void prism_key_head_size(struct prism_builder *b, const char *keys, const char *values, enum need need, uint32_t *d);
void prism_key_n_rot(struct prism_builder *b, const char *suffix, uint32_t d, uint32_t *n_rot);

/* ropes[1], for the layers with a window: the rotation of the others without their scaling. */
void prism_window_rope(struct prism_builder *b, double base);

/* nextn_predict_layers: so many blocks at the end draft later tokens and are not run. */
void prism_draft_keys(struct prism_builder *b);

/* Reads a key that changes nothing here. */
void prism_key_ignore(struct prism_builder *b, const char *suffix);

/* expert_count (of that many), expert_used_count, expert_feed_forward_length (else ff_default), into b->common.ffn.experts: softmax over all,
 * no normalisation, scale 1. */
void prism_expert_keys(struct prism_builder *b, enum need need, uint32_t ff_default);

/* For architectures whose files tell how experts are weighed: expert_gating_func, expert_weights_norm, expert_weights_scale, and
 * leading_dense_block_count. What a file does not say stays as it is. */
void prism_expert_weight_keys(struct prism_builder *b);

/* ---- tensors: "blk.LAYER.name" (tensors.c) ---- */

bool prism_tensor_is_there(const struct prism_builder *b, const char *name);
void prism_tensor_matrix(struct prism_builder *b, struct prism_matrix *out, const char *name, size_t k, size_t rows, enum need need);
void prism_tensor_slabs(struct prism_builder *b, struct prism_matrix *out, const char *name, size_t k, size_t rows, size_t n, enum need need);
const float *prism_tensor_vector(struct prism_builder *b, const char *name, size_t n, enum need need);
void prism_tensor_unsupported(struct prism_builder *b, const char *name, const char *what); /* it is there, and is not computed with */
const float *prism_tensor_scaled(struct prism_builder *b, const char *name, size_t n, float factor); /* a REQUIRED vector, times factor */
const float *prism_tensor_table(struct prism_builder *b, const char *name, size_t n, size_t rows, enum need need);

/* ---- parts of a layer (parts.c) ---- */

enum { PRISM_QK_NORM = 1, PRISM_QKV_BIAS = 2, /* tensors that must be there; the norms as a->norms says */
       PRISM_V_IS_K = 4 };                    /* attn_v need not be there: then values are made of what attn_k makes */

/* The norm of "name.weight" [n_embd], and "name.bias" if there is one and the architecture has such. */
void prism_part_norm(struct prism_builder *b, struct prism_norm *norm, const char *name);
void prism_part_attention(struct prism_builder *b, struct prism_attn_spec *a, unsigned flags); /* q, k, v, o; norms of heads, biases. A layer
                                                      * that reads another one's keys and values needs none of its own */
void prism_part_ffn(struct prism_builder *b, struct prism_ffn *f);      /* ffn_gate, ffn_up, ffn_down of b->n_ff */
void prism_part_plain_ffn(struct prism_builder *b, struct prism_ffn *f, enum prism_act act); /* ffn_up, ffn_down: no gate */
void prism_part_fused_ffn(struct prism_builder *b, struct prism_ffn *f); /* ffn_up holds the gate's rows, then up's */
void prism_part_experts(struct prism_builder *b, struct prism_experts *e);    /* ffn_gate_inp, ffn_{gate,up,down}_exps and what biases there are */
void prism_part_shared(struct prism_builder *b, struct prism_ffn *f, size_t width); /* ffn_{gate,up,down}_shexp */

/* Experts, chosen with the bias exp_probs_b, but for the leading layers, which are dense. */
void prism_part_experts_or_dense(struct prism_builder *b, struct prism_layer *l, uint32_t index, enum need choice_bias);

/* A llama layer: norm, attention, norm, FFN or experts. */
void prism_part_llama(struct prism_builder *b, struct prism_layer *l, unsigned flags);

#endif
