/* make_random.c - a model of random weights in a public shape, with the tokenizer of another file or none; see make_model.h.
 *
 * Weights have mean 0 and deviation 1/sqrt(row length), norms are 1, biases have a deviation of a tenth and attention sinks of 1: a product
 * then has about the deviation of its input, and activations stay finite through any number of layers. Such a model is as fast as the real
 * one and knows nothing. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/process.h"
#include "tools/model/make_model.h"
#include "tools/model/quantize.h"
#include "tools/model/random_row.h"
#include "tools/model/shapes.h"

struct random_model {
    const struct make_options *opt;
    const struct shape *shape;
    struct make_type type;
    const struct prism_kernels *kernels;
    uint32_t n_layer, n_vocab;
    size_t n_tensors, n_made, n_typed; /* n_typed: matrices that got a type in turn */
    struct shape_tensor *tensors;
    struct made *made;       /* [n_made] what they become */
    struct make_tensor *listed; /* [n_made] */
};

/* A tensor of the shape, or the scales that go with one. */
struct made {
    size_t tensor;           /* of the shape */
    bool is_scale;
};

/* ---- tensors ------------------------------------------------------------------------------------------------------ */

/* The layers of which a medium mix stores more bits: the first and the last eighth, and every third between. */
static bool more_bits(uint32_t i, uint32_t n) { return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2; }

/* The medium mix is Q4_K_M of llama.cpp without an importance matrix: the output matrix (token_embd.weight when there is no other) has
 * Q6_K, attn_v and ffn_down have Q6_K in the layers of more bits, attn_qkv has Q5_K, everything else has Q4_K. All types: in turn, the last of the
 * list first, so that the embeddings are small. */
static enum prism_type choose_type(struct random_model *m, const struct shape_tensor *t)
{
    enum prism_type type = m->type.type;

    if (t->role != SHAPE_MATRIX && t->role != SHAPE_EXPERTS)
        return PRISM_F32;
    if (t->role == SHAPE_EXPERTS && m->shape->oss)
        return PRISM_MXFP4;
    if (m->type.mix == MAKE_ALL)
        type = (enum prism_type)(PRISM_N_TYPES - 1 - m->n_typed++ % PRISM_N_TYPES);
    if (m->type.mix == MAKE_MEDIUM && (t->is_output || ((t->is_value || t->is_down) && more_bits(t->layer, m->n_layer))))
        type = PRISM_Q6_K;
    else if (m->type.mix == MAKE_MEDIUM && t->is_qkv)
        type = PRISM_Q5_K;
    return quantize_type_for(type, (size_t)t->ne[0]);
}

/* Whether NVFP4 has a scale beside it: of each matrix, but for embeddings. */
static bool has_scale(const struct shape_tensor *t) { return strcmp(t->name, "token_embd.weight") != 0; }

/* FNV-1a: a tensor's weights depend on its name, not on how many come before it. */
static uint64_t hash_name(const char *s)
{
    uint64_t h = UINT64_C(0xCBF29CE484222325);

    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * UINT64_C(0x100000001B3);
    return h;
}

/* Weights of NVFP4 have deviation 1 beside a scale, for its own scales of groups are fine from 2^-6 on. */
static float deviation(const struct random_model *m, size_t i, const struct shape_tensor *t)
{
    double n = (double)t->ne[0];
    return t->role == SHAPE_BIAS ? 0.1f : t->role == SHAPE_SINKS || (m->listed[i].type == PRISM_NVFP4 && has_scale(t)) ? 1 : (float)(1 / sqrt(n));
}

static const char *make_row(const void *user, size_t i, uint64_t row, void *y, float *x)
{
    const struct random_model *m = user;
    const struct shape_tensor *t = &m->tensors[m->made[i].tensor];
    size_t n = (size_t)t->ne[0];

    if (m->made[i].is_scale) {
        const float scale = (float)(1 / sqrt((double)n));
        for (size_t j = 0; j < t->ne[2]; j++)
            memcpy((float *)y + j, &scale, sizeof scale);
        return NULL;
    }

    switch (t->role) {
    case SHAPE_NORM:
        for (size_t j = 0; j < n; j++)
            x[j] = 1;
        memcpy(y, x, n * sizeof *x);
        break;
    case SHAPE_ROPE:
    case SHAPE_ROPE_LONG:
        shape_rope_divisors(m->shape, t->role, x);
        memcpy(y, x, n * sizeof *x);
        break;
    case SHAPE_DECAY:
        random_row(m->kernels, PRISM_F32, y, x, n, 0.5f, random_seed((uint64_t)m->opt->seed, hash_name(t->name)));
        for (size_t j = 0; j < n; j++)
            x[j] = -expf(x[j] - 1);
        memcpy(y, x, n * sizeof *x);
        break;
    case SHAPE_BIAS:
    case SHAPE_SINKS:
    case SHAPE_ROUTER:
    case SHAPE_MATRIX:
    case SHAPE_EXPERTS:
        random_row(m->kernels, m->listed[i].type, y, x, n, deviation(m, i, t),
                   random_seed(random_seed((uint64_t)m->opt->seed, hash_name(t->name)), row));
        break;
    }
    return NULL;
}

static int list_tensors(struct random_model *m)
{
    m->n_tensors = shape_tensors(m->shape, m->n_layer, m->n_vocab, NULL);
    m->tensors = calloc(m->n_tensors, sizeof *m->tensors);
    m->made = calloc(2 * m->n_tensors, sizeof *m->made);
    m->listed = calloc(2 * m->n_tensors, sizeof *m->listed);
    if (!m->tensors || !m->made || !m->listed)
        return process_error("out of memory");
    shape_tensors(m->shape, m->n_layer, m->n_vocab, m->tensors);
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct shape_tensor *t = &m->tensors[i];
        struct make_tensor *made = &m->listed[m->n_made];
        *made = (struct make_tensor){ .type = choose_type(m, t), .n_dims = t->n_dims, .ne = { t->ne[0], t->ne[1], t->ne[2], 1 } };
        memcpy(made->name, t->name, sizeof made->name);
        m->made[m->n_made++].tensor = i;
        if (made->type == PRISM_NVFP4 && has_scale(t)) {
            made[1] = (struct make_tensor){ .type = PRISM_F32, .n_dims = 1, .ne = { t->ne[2], 1, 1, 1 } };
            snprintf(made[1].name, sizeof made[1].name, "%.*s.scale", (int)(strrchr(t->name, '.') - t->name), t->name);
            m->made[m->n_made++] = (struct made){ i, true };
        }
    }
    return PROCESS_OK;
}

/* ---- metadata ----------------------------------------------------------------------------------------------------- */

static void add_shape(struct gguf_writer *w, const struct random_model *m)
{
    const struct shape *s = m->shape;
    char text[96];

    gguf_add_str(w, "general.architecture", s->arch);
    gguf_add_str(w, "general.type", "model");
    snprintf(text, sizeof text, "%s shape, random weights", s->title);
    gguf_add_str(w, "general.name", text);
    gguf_add_u32(w, "general.file_type", m->type.file_type);
    gguf_add_u32(w, "general.quantization_version", 2);
    shape_add_keys(w, s, m->n_layer, m->n_vocab);
}

#define TOKENS "tokenizer.ggml.tokens"
#define TOKEN_TYPE "tokenizer.ggml.token_type"
#define SCORES "tokenizer.ggml.scores"

enum { TOKEN_NORMAL = 1, TOKEN_UNUSED = 5 }; /* llama.h, enum llama_token_type */

static bool is_key(const struct prism_gguf_kv *kv, const char *key) { return kv->key.n == strlen(key) && !memcmp(kv->key.p, key, kv->key.n); }

/* One 32-bit value per token: those of kv (NULL: none), then `usual` up to the n_given tokens of the file, then `filler`. */
static void add_words(struct gguf_writer *w, const char *key, const struct prism_gguf_kv *kv, enum prism_gguf_vtype elem, uint32_t n_given,
                      uint32_t n, uint32_t usual, uint32_t filler)
{
    uint32_t *words = malloc(n * sizeof *words), n_copied = !kv ? 0 : kv->n < n_given ? (uint32_t)kv->n : n_given;

    w->no_memory |= !words;
    if (!words)
        return;
    for (uint32_t i = 0; i < n; i++)
        words[i] = i < n_given ? usual : filler;
    if (n_copied)
        memcpy(words, kv->data, n_copied * sizeof *words);
    gguf_add_array(w, key, elem, n, words, n * sizeof *words);
    free(words);
}

/* The texts of the tokens followed by those of fillers, and the arrays that go with them. */
static void add_tokens(struct gguf_writer *w, const struct random_model *m, const struct prism_gguf *from)
{
    const struct prism_gguf_kv *tokens = prism_gguf_find(from, TOKENS), *scores = prism_gguf_find(from, SCORES);
    const float low = -1000; /* what converters give to unused tokens */
    uint32_t n_given = (uint32_t)tokens->n, low_bits;
    struct gguf_bytes texts = { 0 };

    w->no_memory |= !gguf_put(&texts, tokens->data, gguf_value_bytes(tokens));
    for (uint32_t i = n_given; i < m->n_vocab; i++) {
        char text[32];
        int len = snprintf(text, sizeof text, "<filler-%u>", i);
        w->no_memory |= !gguf_put_str(&texts, text, (size_t)len);
    }
    gguf_add_array(w, TOKENS, PRISM_GV_STR, m->n_vocab, texts.p, texts.n);
    free(texts.p);
    add_words(w, TOKEN_TYPE, prism_gguf_find(from, TOKEN_TYPE), PRISM_GV_I32, n_given, m->n_vocab, TOKEN_NORMAL, TOKEN_UNUSED);
    memcpy(&low_bits, &low, sizeof low_bits);
    if (scores)
        add_words(w, SCORES, scores, scores->elem, n_given, m->n_vocab, 0, scores->elem == PRISM_GV_F32 ? low_bits : (uint32_t)(int32_t)low);
}

/* from: NULL for ids without texts. */
static void add_tokenizer(struct gguf_writer *w, const struct random_model *m, const struct prism_gguf *from)
{
    static const char prefix[] = "tokenizer.";

    if (!from) {
        gguf_add_str(w, "tokenizer.ggml.model", "no_vocab");
        return;
    }
    for (uint64_t i = 0; i < from->n_kv; i++) {
        const struct prism_gguf_kv *kv = &from->kv[i];
        if (is_key(kv, TOKENS))
            add_tokens(w, m, from);
        else if (kv->key.n > strlen(prefix) && !memcmp(kv->key.p, prefix, strlen(prefix)) && !is_key(kv, TOKEN_TYPE) && !is_key(kv, SCORES))
            gguf_add_copy(w, kv);
    }
}

/* Tokens are required; types and scores are not. */
static int check_tokenizer(const char *path, const struct prism_gguf *from)
{
    static const struct {
        const char *key, *what;
        enum prism_gguf_vtype a, b;
    } arrays[] = {
        { TOKENS, "strings", PRISM_GV_STR, PRISM_GV_STR },
        { TOKEN_TYPE, "i32", PRISM_GV_I32, PRISM_GV_I32 },
        { SCORES, "f32", PRISM_GV_F32, PRISM_GV_I32 },
    };

    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        const struct prism_gguf_kv *kv = prism_gguf_find(from, arrays[i].key);
        if (i == 0 && (!kv || kv->n == 0))
            return process_error("--vocab %s: no tokenizer in it: key " TOKENS " is missing or empty", path);
        if (kv && (kv->type != PRISM_GV_ARR || (kv->elem != arrays[i].a && kv->elem != arrays[i].b)))
            return process_error("--vocab %s: key %s: expected an array of %s", path, arrays[i].key, arrays[i].what);
    }
    return PROCESS_OK;
}

static int choose_vocab(struct random_model *m, const struct prism_gguf *from)
{
    m->n_vocab = m->shape->n_vocab;
    if (!from)
        return m->opt->keep_vocab ? process_error("--keep-vocab: no tokenizer: use --vocab FILE (see --help)") : PROCESS_OK;
    int status = check_tokenizer(m->opt->vocab, from);
    if (status != PROCESS_OK)
        return status;
    uint64_t n = prism_gguf_find(from, TOKENS)->n; /* fits: the reader allows 2^26 strings */
    if (m->opt->keep_vocab)
        m->n_vocab = (uint32_t)n;
    if (n > m->n_vocab)
        return process_error("--vocab %s: has %llu tokens, %s has %u: use another file or --keep-vocab", m->opt->vocab,
                             (unsigned long long)n, m->shape->name, m->shape->n_vocab);
    return PROCESS_OK;
}

/* ---- the command -------------------------------------------------------------------------------------------------- */

static int find_shape(const char *name, const struct shape **out)
{
    char names[256] = "";

    *out = shape_find(name);
    for (size_t i = 0; i < n_shapes; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), " %s", shapes[i].name);
    return *out ? PROCESS_OK : process_error("--shape %s: expected one of:%s", name, names);
}

int make_random(const struct make_options *options)
{
    struct random_model m = { .opt = options, .kernels = prism_kernels_by_level[prism_level_best()] };
    struct prism_gguf *from = NULL;
    struct gguf_writer w = { 0 };

    int status = find_shape(options->shape, &m.shape);
    if (status == PROCESS_OK)
        status = make_find_type(options->type, &m.type);
    if (status == PROCESS_OK)
        status = options->vocab ? make_open(options->vocab, &from) : PROCESS_OK;
    if (status == PROCESS_OK)
        status = choose_vocab(&m, from);
    if (status == PROCESS_OK) {
        m.n_layer = options->n_layers ? (uint32_t)options->n_layers : m.shape->n_layer;
        status = list_tensors(&m);
    }
    if (status == PROCESS_OK) {
        add_shape(&w, &m);
        add_tokenizer(&w, &m, from);
        status = make_write(&w, options->output, &(struct make_source){ m.listed, m.n_made, make_row, &m });
    }
    gguf_free(&w);
    prism_gguf_close(from);
    free(m.tensors);
    free(m.made);
    free(m.listed);
    return status;
}
