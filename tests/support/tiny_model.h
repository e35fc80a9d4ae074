/* tiny_model.h - small random models of every architecture, as GGUF files: big enough to run, small enough for a unit test. */
#ifndef PRISM_TESTS_TINY_MODEL_H
#define PRISM_TESTS_TINY_MODEL_H

#include "src/gguf/types.h"
#include "tests/support/gguf_build.h"
#include "tests/support/tiny_vocab.h"

struct tiny_model {
    const char *arch;           /* any of prism_archs */
    const char *vocab;          /* tiny_vocab.h */
    uint32_t n_layer, n_embd, n_head, n_head_kv, head_dim, n_ff, n_ctx;
    double rope_base;
    enum prism_type type;       /* of all matrices, any type that divides n_embd, n_head * head_dim and n_ff; NVFP4 with its scales */
    enum prism_type output_type;/* of output.weight and token_embd.weight */
    bool untied;                /* has output.weight */
    bool fused_qkv;             /* attn_qkv instead of attn_q, attn_k, attn_v (qwen2: with its bias) */
    bool biases;                /* llama: all optional biases too */
    uint32_t n_expert, n_expert_used, n_ff_expert, n_ff_shared; /* of architectures with experts, llama among them; 0: none */
    uint32_t window;            /* of architectures with windows */
    uint64_t seed;              /* of the weights */
};

/* 2 layers, 64 wide, 2 heads of 32 (1 kv head), n_ff 128, context 512, Q8_0, tied, seed 1. */
struct tiny_model tiny_llama(void);   /* vocabulary gpt2 */
struct tiny_model tiny_qwen2(void);
struct tiny_model tiny_qwen3(void);   /* head_dim 64: not n_embd / n_head */

/* The same of any architecture, with what its files have: head_dim 32; 6 experts, 2 used, of 32 and a shared one of 64; windows of 16;
 * "mixtral" is llama with experts. tiny_family.c. */
struct tiny_model tiny_family(const char *name);

/* The file, to be changed, written with gb_write and freed with gb_free. Values have a standard deviation of about 1/sqrt(row length), so
 * that activations keep their size; norms lie around 1. */
struct gb *tiny_build(const struct tiny_model *m);

/* A tensor of n F32 zeros in each of two layers, as blk.<layer>.<name>. */
void tiny_add_layers(struct gb *g, const char *name, uint64_t n);

/* Two sets of n (half the rotated dims) rotations, as "longrope" has them: the second beyond n_original tokens. */
void tiny_add_longrope(struct gb *g, const char *arch, uint32_t n_original, uint64_t n);

/* Builds and writes test_tmp_dir()/name; the path lives as that of gb_write. */
const char *tiny_write(const struct tiny_model *m, const char *name);

/* Fills n values (a multiple of the block) at dst with stored random values of `type` of standard deviation about sd. *state: advanced. */
void tiny_random_weights(uint8_t *dst, enum prism_type type, size_t n, double sd, uint64_t *state);

/* ---- what an architecture's files have; for tiny_model.c ---- */

enum tiny_part {
    TINY_QKV_BIAS = 1, TINY_QK_NORM = 2, TINY_O_BIAS = 4, TINY_SINKS = 8,
    TINY_POST_NORMS = 16,      /* post_attention_norm and post_ffw_norm behind the halves */
    TINY_NORM_BEFORE_FFN = 32, /* the FFN's norm is called post_attention_norm */
    TINY_SHARED = 64, TINY_SHARED_GATE = 128, TINY_EXPERT_BIAS = 256, TINY_FUSED_FFN = 512,
    TINY_DELTA = 1024,         /* a delta net in every other layer, beginning with the first; gates of heads in the others */
};
enum { TINY_N_KEY = 2, TINY_N_VALUE = 4, TINY_STATE = 16, TINY_CONV = 4 }; /* of delta nets */
bool tiny_has_family(const char *arch);
unsigned tiny_parts(const char *arch); /* or-ed */

/* The keys beyond those that all architectures have. */
void tiny_add_family_keys(struct gb *g, const struct tiny_model *m);

/* ARCH.suffix, until the next call. */
const char *tiny_key(const char *arch, const char *suffix);

#endif
