/* test_make_model.c - make-model --shape: keys, tensors and parameters of each public shape, tokenizers and their fillers, random weights of
 * every type, and that the library runs what comes out. test_make_convert.c has --convert, refusals and what a failure leaves behind. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "src/gguf/gguf.h"
#include "src/kernels.h"
#include "tests/support/data.h"
#include "tests/support/made_model.h"
#include "tests/support/tiny_model.h"
#include "tests/support/tool_check.h"

/* A file with a vocabulary of some hundred tokens: "gpt2" or "llama". */
static const char *small_vocab(const char *kind)
{
    struct tiny_model m = tiny_llama();

    m.vocab = kind;
    return tiny_write(&m, "vocab.gguf");
}

static prism_model *load(const char *path)
{
    struct prism_model_params params = { .check_tensors = true, .log = made_no_warning };
    struct prism_error err = { 0 };
    prism_model *m;

    if (prism_model_load(path, &params, &m, &err) != PRISM_OK)
        fail_msg("%s", err.text);
    return m;
}

/* ---- shapes ------------------------------------------------------------------------------------------------------- */

/* From the model cards: config.json, and the parameters that the hub counts. */
static const struct public_shape {
    const char *name, *arch;
    uint64_t parameters;
    uint32_t n_layer, n_embd, n_head, n_head_kv, head_dim, n_ff, n_vocab, n_ctx;
    float rope_base, rms_eps;
    bool tied;
    unsigned scaling; /* factor of llama3 RoPE scaling */
} public_shapes[] = {
    { "qwen3-0.6b", "qwen3", 596049920, 28, 1024, 16, 8, 128, 3072, 151936, 40960, 1e6f, 1e-6f, true, 0 },
    { "qwen3-1.7b", "qwen3", 1720574976, 28, 2048, 16, 8, 128, 6144, 151936, 40960, 1e6f, 1e-6f, true, 0 },
    { "qwen3-4b", "qwen3", 4022468096, 36, 2560, 32, 8, 128, 9728, 151936, 40960, 1e6f, 1e-6f, true, 0 },
    { "qwen3-8b", "qwen3", 8190735360, 36, 4096, 32, 8, 128, 12288, 151936, 40960, 1e6f, 1e-6f, false, 0 },
    { "llama-3.2-1b", "llama", 1235814400, 16, 2048, 32, 8, 64, 8192, 128256, 131072, 5e5f, 1e-5f, true, 32 },
    { "llama-3.2-3b", "llama", 3212749824, 28, 3072, 24, 8, 128, 8192, 128256, 131072, 5e5f, 1e-5f, true, 32 },
    { "llama-3.1-8b", "llama", 8030261248, 32, 4096, 32, 8, 128, 14336, 128256, 131072, 5e5f, 1e-5f, false, 8 },
    { "smollm2-135m", "llama", 134515008, 30, 576, 9, 3, 64, 1536, 49152, 8192, 1e5f, 1e-5f, true, 0 },
    { "smollm2-360m", "llama", 361821120, 32, 960, 15, 5, 64, 2560, 49152, 8192, 1e5f, 1e-5f, true, 0 },
};
enum { N_SHAPES = sizeof public_shapes / sizeof *public_shapes };

static void help_and_list(void **state)
{
    struct child c;

    (void)state;
    RUN(&c, "make-model", "--help");
    assert_worked(&c);
    assert_non_null(strstr(c.out, "Examples:\n  make-model --shape "));
    child_free(&c);
    RUN(&c, "make-model", "--list");
    assert_worked(&c);
    for (size_t i = 0; i < N_SHAPES; i++) {
        char line[64];
        snprintf(line, sizeof line, "\n%-14s %14llu ", public_shapes[i].name, (unsigned long long)public_shapes[i].parameters);
        assert_non_null(strstr(c.out, line));
    }
    child_free(&c);
}

/* The divisors grow from 1 to the factor; how many pairs have either follows from the wavelengths 2 pi base^(2i/d): below 8192/4 for
 * i < 14.1 of 32 pairs and 28.2 of 64, above 8192 for i > 17.5 and 35.0. */
static void check_rope_freqs(const struct prism_gguf *g, const struct public_shape *p)
{
    const struct prism_gguf_tensor *t = prism_gguf_tensor_find(g, "rope_freqs.weight");
    unsigned ones = 0, full = 0, n = p->head_dim / 2;
    float d[64];

    assert_non_null(t);
    memcpy(d, t->data, n * sizeof *d);
    for (unsigned i = 0; i < n; i++) {
        assert_true(i == 0 || d[i] >= d[i - 1]);
        ones += d[i] == 1;
        full += d[i] == (float)p->scaling;
    }
    assert_int_equal(ones, n == 32 ? 15 : 29);
    assert_int_equal(full, n == 32 ? 14 : 29);
    if (n == 32) /* pair 16: wavelength 2 pi sqrt(500000) = 4442.88, mix (8192/4442.88 - 1)/3 = 0.281284, 1/(0.718716/32 + 0.281284) */
        assert_float_equal(d[16], 3.29232, 1e-4);
}

static void check_keys(const struct prism_gguf *g, const struct public_shape *p, uint32_t n_layer, uint32_t n_vocab)
{
    has_u32(g, p->arch, "block_count", n_layer);
    has_u32(g, p->arch, "context_length", p->n_ctx);
    has_u32(g, p->arch, "embedding_length", p->n_embd);
    has_u32(g, p->arch, "feed_forward_length", p->n_ff);
    has_u32(g, p->arch, "attention.head_count", p->n_head);
    has_u32(g, p->arch, "attention.head_count_kv", p->n_head_kv);
    has_u32(g, p->arch, "attention.key_length", p->head_dim);
    has_u32(g, p->arch, "attention.value_length", p->head_dim);
    has_u32(g, p->arch, "rope.dimension_count", p->head_dim);
    has_u32(g, p->arch, "vocab_size", n_vocab);
    has_u32(g, "general", "file_type", 15);
    has_u32(g, "general", "quantization_version", 2);
    has_f32(g, p->arch, "rope.freq_base", p->rope_base);
    has_f32(g, p->arch, "attention.layer_norm_rms_epsilon", p->rms_eps);
}

/* Parameters of the full model from those of the file: its layer n_layer times, its vocabulary at the public size. */
static uint64_t full_parameters(const struct prism_gguf *g, const struct public_shape *p)
{
    uint64_t layer = 0, around = 0;

    for (uint64_t i = 0; i < g->n_tensors; i++) {
        const struct prism_gguf_tensor *t = &g->tensors[i];
        if (!strncmp(t->name, "blk.0.", 6))
            layer += t->ne[0] * t->ne[1];
        else if (strcmp(t->name, "rope_freqs.weight"))
            around += t->ne[0] * (t->n_dims == 2 ? p->n_vocab : 1);
    }
    return around + layer * p->n_layer;
}

/* A file of one layer in the mix Q4_K_M: that layer has more bits (0 >= 7 * 1 / 8), and rows of 576 or 960 fall back. */
static void one_shape(const struct public_shape *p, const char *vocab, uint32_t n_vocab)
{
    bool falls_back = p->n_embd % 256 != 0, qwen = !strcmp(p->arch, "qwen3");
    const char *q4 = falls_back ? "Q5_0" : "Q4_K", *q6 = falls_back ? "Q8_0" : "Q6_K";
    uint64_t nq = (uint64_t)p->n_head * p->head_dim, nkv = (uint64_t)p->n_head_kv * p->head_dim;
    const char *path = MAKE("shape.gguf", "--shape", p->name, "--layers", "1", "--type", "q4_k_m", "--vocab", vocab, "--keep-vocab");
    struct prism_gguf *g = open_made(path);

    assert_int_equal(g->version, 3);
    check_keys(g, p, 1, n_vocab);
    has_tensor(g, "token_embd.weight", p->tied ? q6 : q4, p->n_embd, n_vocab);
    if (!p->tied)
        has_tensor(g, "output.weight", q6, p->n_embd, n_vocab);
    has_tensor(g, "output_norm.weight", "F32", p->n_embd, 0);
    has_tensor(g, "blk.0.attn_norm.weight", "F32", p->n_embd, 0);
    has_tensor(g, "blk.0.ffn_norm.weight", "F32", p->n_embd, 0);
    has_tensor(g, "blk.0.attn_q.weight", q4, p->n_embd, nq);
    has_tensor(g, "blk.0.attn_k.weight", q4, p->n_embd, nkv);
    has_tensor(g, "blk.0.attn_v.weight", q6, p->n_embd, nkv);
    has_tensor(g, "blk.0.attn_output.weight", nq % 256 ? "Q5_0" : "Q4_K", nq, p->n_embd);
    has_tensor(g, "blk.0.ffn_gate.weight", q4, p->n_embd, p->n_ff);
    has_tensor(g, "blk.0.ffn_up.weight", q4, p->n_embd, p->n_ff);
    has_tensor(g, "blk.0.ffn_down.weight", "Q6_K", p->n_ff, p->n_embd);
    if (qwen) {
        has_tensor(g, "blk.0.attn_q_norm.weight", "F32", p->head_dim, 0);
        has_tensor(g, "blk.0.attn_k_norm.weight", "F32", p->head_dim, 0);
    }
    if (p->scaling)
        check_rope_freqs(g, p);
    assert_int_equal(g->n_tensors, 11 + 2 * qwen + !p->tied + (p->scaling != 0));
    assert_int_equal(full_parameters(g, p), p->parameters);
    prism_gguf_close(g);
    prism_model_free(load(path));
    unlink(path);
}

static void shapes_are_the_public_ones(void **state)
{
    char vocab[512];

    (void)state;
    snprintf(vocab, sizeof vocab, "%s", small_vocab("gpt2"));
    for (size_t i = 0; i < N_SHAPES; i++)
        one_shape(&public_shapes[i], vocab, tiny_n_vocab("gpt2"));
}

/* Of nine layers 0, 3, 6, 7 and 8 have more bits: i < 9/8, i >= 7*9/8, (i - 1) % 3 == 2. */
static void mix_by_layer(void **state)
{
    const char *path = MAKE("mix.gguf", "--shape", "qwen3-0.6b", "--layers", "9", "--type", "Q4_K_M", "--vocab", small_vocab("gpt2"), "--keep-vocab");
    struct prism_gguf *g = open_made(path);

    (void)state;
    for (unsigned i = 0; i < 9; i++) {
        const char *type = strchr("03678", '0' + (int)i) ? "Q6_K" : "Q4_K";
        char name[64];
        snprintf(name, sizeof name, "blk.%u.attn_v.weight", i);
        has_tensor(g, name, type, 1024, 1024);
        snprintf(name, sizeof name, "blk.%u.ffn_down.weight", i);
        has_tensor(g, name, type, 3072, 1024);
        snprintf(name, sizeof name, "blk.%u.attn_k.weight", i);
        has_tensor(g, name, "Q4_K", 1024, 1024);
    }
    prism_gguf_close(g);
    unlink(path);
}

/* ---- vocabulary --------------------------------------------------------------------------------------------------- */

static int32_t word(const struct prism_gguf_kv *kv, uint64_t i)
{
    int32_t v;
    memcpy(&v, kv->data + 4 * i, 4);
    return v;
}

/* All keys of the tokenizer are the source's; the three arrays continue with fillers up to n. */
static void check_tokenizer(const char *path, const char *source, uint64_t n)
{
    struct prism_gguf *g = open_made(path), *from = open_made(source);
    const struct prism_gguf_kv *texts = prism_gguf_find(g, "tokenizer.ggml.tokens"), *types = prism_gguf_find(g, "tokenizer.ggml.token_type");
    const struct prism_gguf_kv *scores = prism_gguf_find(g, "tokenizer.ggml.scores");
    uint64_t n_given = prism_gguf_find(from, "tokenizer.ggml.tokens")->n, n_keys = 0;

    assert_int_equal(texts->n, n);
    assert_int_equal(types->n, n);
    for (uint64_t i = n_given; i < n; i++) {
        char text[32];
        int len = snprintf(text, sizeof text, "<filler-%d>", (int)i);
        assert_int_equal(texts->strings[i].n, len);
        assert_memory_equal(texts->strings[i].p, text, (size_t)len);
        assert_int_equal(word(types, i), 5); /* unused */
        assert_true(!scores || word(scores, i) == word(scores, n - 1));
    }
    for (uint64_t i = 0; i < from->n_kv; i++) {
        const struct prism_gguf_kv *theirs = &from->kv[i];
        char key[64];
        snprintf(key, sizeof key, "%.*s", (int)theirs->key.n, theirs->key.p);
        if (strncmp(key, "tokenizer.", 10))
            continue;
        n_keys++;
        const struct prism_gguf_kv *ours = prism_gguf_find(g, key);
        assert_non_null(ours);
        assert_int_equal(ours->type, theirs->type);
        assert_int_equal(ours->elem, theirs->elem);
        assert_true(ours->n == (theirs->n == n_given ? n : theirs->n));
        for (uint64_t j = 0; theirs->strings && j < theirs->n; j++) {
            assert_int_equal(ours->strings[j].n, theirs->strings[j].n);
            assert_memory_equal(ours->strings[j].p, theirs->strings[j].p, theirs->strings[j].n);
        }
        if (!theirs->strings)
            assert_memory_equal(ours->data, theirs->data, theirs->n * prism_gguf_vtype_bytes(theirs->elem));
    }
    assert_true(n_keys >= 8);
    prism_gguf_close(g);
    prism_gguf_close(from);
}

static void same_tokens(const char *path, const char *source)
{
    static const char text[] = "It was a dark night, and <filler-20000> 1234 t\xC3\xA9l\xC3\xA9phones rang.\n";
    prism_model *ours = load(path), *theirs = load(source);
    int32_t a[128], b[128];
    size_t n_a, n_b;

    assert_int_equal(prism_tokenize(ours, text, strlen(text), PRISM_ADD_SPECIAL, a, 128, &n_a, NULL), PRISM_OK);
    assert_int_equal(prism_tokenize(theirs, text, strlen(text), PRISM_ADD_SPECIAL, b, 128, &n_b, NULL), PRISM_OK);
    assert_int_equal(n_a, n_b);
    assert_true(n_a > 16 && n_a <= 128);
    assert_memory_equal(a, b, n_a * sizeof *a);
    prism_model_free(ours);
    prism_model_free(theirs);
}

static void vocabulary_is_filled_up(void **state)
{
    static const struct {
        const char *source, *shape;
        uint64_t n;
    } cases[] = {
        { "models/gutenberg-llama-16m-q8_0.gguf", "smollm2-135m", 49152 }, /* SentencePiece, with scores */
        { "models/gutenberg-38m-q8_0.gguf", "qwen3-0.6b", 151936 },        /* byte-level BPE */
    };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const char *path = MAKE("filled.gguf", "--shape", cases[i].shape, "--layers", "1", "--type", "Q2_K", "--vocab", cases[i].source);
        struct prism_gguf *g = open_made(path);
        assert_int_equal(prism_gguf_tensor_find(g, "token_embd.weight")->ne[1], cases[i].n);
        prism_gguf_close(g);
        check_tokenizer(path, cases[i].source, cases[i].n);
        same_tokens(path, cases[i].source);
        unlink(path);
    }
    const char *kept = MAKE("kept.gguf", "--shape", "smollm2-135m", "--layers", "1", "--type", "Q8_0", "--vocab", cases[0].source, "--keep-vocab");
    check_tokenizer(kept, cases[0].source, 8192);
    unlink(kept);
}

/* Without types every given token is a normal one. */
static void types_of_tokens_are_made_up(void **state)
{
    struct tiny_model m = tiny_llama();
    struct gb *source = tiny_build(&m);
    uint32_t n = tiny_n_vocab("gpt2");

    (void)state;
    gb_remove(source, "tokenizer.ggml.token_type");
    const char *vocab = gb_write(source, "no-types.gguf");
    const char *path = MAKE("made-up.gguf", "--shape", "smollm2-135m", "--layers", "1", "--type", "Q4_0", "--vocab", vocab);
    struct prism_gguf *g = open_made(path);
    const struct prism_gguf_kv *types = prism_gguf_find(g, "tokenizer.ggml.token_type");
    assert_non_null(types);
    assert_int_equal(types->n, 49152);
    assert_int_equal(word(types, 0), 1);
    assert_int_equal(word(types, n - 1), 1);
    assert_int_equal(word(types, n), 5);
    prism_gguf_close(g);
    gb_free(source);
    unlink(path);
}

/* Ids without texts, as many as the public model has. */
static void without_a_vocabulary(void **state)
{
    const char *path = MAKE("ids.gguf", "--shape", "smollm2-135m", "--layers", "1", "--type", "Q2_K");
    struct prism_gguf *g = open_made(path);
    struct prism_model_info info;
    int32_t token;
    size_t n;
    struct prism_error err = { 0 };

    (void)state;
    has_u32(g, "llama", "vocab_size", 49152);
    has_str(g, "tokenizer.ggml.model", "no_vocab");
    assert_null(prism_gguf_find(g, "tokenizer.ggml.tokens"));
    has_tensor(g, "token_embd.weight", "Q4_0", 576, 49152); /* 576 is no multiple of 256 */
    prism_gguf_close(g);
    prism_model *m = load(path);
    prism_model_info(m, &info);
    assert_int_equal(info.n_vocab, 49152);
    assert_int_not_equal(prism_tokenize(m, "text", 4, 0, &token, 1, &n, &err), PRISM_OK);
    prism_model_free(m);
    unlink(path);
}

/* ---- weights ------------------------------------------------------------------------------------------------------ */

/* Mean 0 and deviation 1/32 over 3 million values. Groups share a scale, so count at least blocks of 256: 12288 independent mean squares,
 * whose own relative deviation is below 1 (a product of two uniform factors and a code), make the error of the deviation 0.5 / sqrt(12288)
 * = 0.45 %; asserted is six times that, of the mean too. */
static void check_weights(const struct prism_gguf *g)
{
    const struct prism_gguf_tensor *t = prism_gguf_tensor_find(g, "blk.1.ffn_gate.weight");
    size_t n = (size_t)(t->ne[0] * t->ne[1]);
    float *w = malloc(n * sizeof *w);
    double sum = 0, squares = 0;

    assert_non_null(w);
    assert_int_equal(n, 3 << 20);
    prism_kernels_by_level[PRISM_LEVEL_GENERIC]->to_f32[t->type](w, t->data, n);
    const struct prism_gguf_tensor *scale = prism_gguf_tensor_find(g, "blk.1.ffn_gate.scale");
    assert_int_equal(scale != NULL, t->type == PRISM_NVFP4);
    for (size_t i = 0; i < n; i++) {
        w[i] *= scale ? *(const float *)(const void *)scale->data : 1;
        sum += w[i];
        squares += (double)w[i] * w[i];
    }
    double mean = sum / (double)n, deviation = sqrt(squares / (double)n - mean * mean);
    if (!(fabs(mean) < 0.027 / 32) || !(fabs(deviation * 32 - 1) < 0.027))
        fail_msg("%s: mean %g, deviation %g; expected 0, 1/32", t->file_type->name, mean, deviation);
    free(w);
}

/* The last row of logits is W x / sqrt(n) with W of deviation 1 and x of mean square 1: deviation 1 over 259 tokens, within six times
 * 1 / sqrt(2 * 259). */
static void check_logits(prism_model *m)
{
    struct prism_context_params params = { .n_ctx = 64, .n_threads = 1 };
    struct prism_model_info info;
    struct prism_error err = { 0 };
    prism_context *ctx;
    int32_t tokens[40];
    double squares = 0;

    prism_model_info(m, &info);
    for (int32_t i = 0; i < 40; i++)
        tokens[i] = i * 7 % (int32_t)info.n_vocab;
    assert_int_equal(prism_context_create(m, &params, &ctx, &err), PRISM_OK);
    assert_int_equal(prism_prefill(ctx, tokens, 40, NULL, &err), PRISM_OK);
    const float *logits = prism_logits(ctx);
    for (uint32_t i = 0; i < info.n_vocab; i++) {
        assert_true(isfinite(logits[i]));
        squares += (double)logits[i] * logits[i];
    }
    double deviation = sqrt(squares / info.n_vocab);
    if (!(fabs(deviation - 1) < 6 / sqrt(2.0 * info.n_vocab)))
        fail_msg("%s: logits have deviation %g", info.type, deviation);
    prism_context_free(ctx);
}

static void every_type_runs(void **state)
{
    char vocab[512];

    (void)state;
    snprintf(vocab, sizeof vocab, "%s", small_vocab("gpt2"));
    for (int i = 0; i <= PRISM_N_TYPES; i++) {
        const char *type = i < PRISM_N_TYPES ? prism_types[i].name : "Q4_K_M";
        const char *path = MAKE("type.gguf", "--shape", "qwen3-0.6b", "--layers", "2", "--type", type, "--vocab", vocab, "--keep-vocab");
        struct prism_gguf *g = open_made(path);
        has_tensor(g, "blk.1.attn_q.weight", i < PRISM_N_TYPES ? type : "Q4_K", 1024, 2048);
        check_weights(g);
        prism_gguf_close(g);
        prism_model *m = load(path);
        check_logits(m);
        prism_model_free(m);
        unlink(path);
    }
}

/* Of 28 matrices in 4 layers, and the embeddings, no two that follow each other have the same type; all types are in the file. */
static void all_types_in_one(void **state)
{
    bool found[PRISM_N_TYPES] = { false };
    char vocab[512];
    int kinds = 0;

    (void)state;
    snprintf(vocab, sizeof vocab, "%s", small_vocab("gpt2"));
    const char *path = MAKE("all.gguf", "--shape", "qwen3-0.6b", "--layers", "4", "--type", "ALL", "--vocab", vocab, "--keep-vocab");
    struct prism_gguf *g = open_made(path);
    has_tensor(g, "token_embd.weight", prism_types[PRISM_N_TYPES - 1].name, 1024, 289);
    for (size_t i = 0; i < g->n_tensors; i++)
        if (g->tensors[i].n_dims > 1)
            kinds += !found[g->tensors[i].type], found[g->tensors[i].type] = true;
    assert_int_equal(kinds, PRISM_N_TYPES);
    prism_gguf_close(g);
    prism_model *m = load(path);
    check_logits(m);
    prism_model_free(m);
    unlink(path);
}

/* Same seed, same bytes, whatever the number of threads; another seed, other bytes. A layer's weights do not depend on how many follow. */
static void seeds(void **state)
{
    static const struct {
        const char *seed, *layers, *threads;
    } runs[] = { { "0", "1", "1" }, { "0", "1", "3" }, { "1", "1", "3" }, { "0", "2", "3" } };
    const char *vocab = small_vocab("gpt2");
    char *bytes[4], *weights[4];
    size_t n[4];

    (void)state;
    for (int i = 0; i < 4; i++) {
        setenv("OMP_NUM_THREADS", runs[i].threads, 1);
        const char *path = MAKE("seed.gguf", "--shape", "smollm2-135m", "--seed", runs[i].seed, "--layers", runs[i].layers, "--type", "Q5_1",
                                "--vocab", vocab, "--keep-vocab");
        struct prism_gguf *g = open_made(path);
        const struct prism_gguf_tensor *t = prism_gguf_tensor_find(g, "blk.0.ffn_up.weight");
        weights[i] = malloc(t->n_bytes);
        assert_non_null(weights[i]);
        memcpy(weights[i], t->data, t->n_bytes);
        if (i == 3) {
            assert_memory_equal(weights[3], weights[0], t->n_bytes);
            assert_memory_not_equal(weights[2], weights[0], t->n_bytes);
        }
        prism_gguf_close(g);
        bytes[i] = test_read_file(path, &n[i]);
    }
    unsetenv("OMP_NUM_THREADS");
    assert_int_equal(n[1], n[0]);
    assert_memory_equal(bytes[1], bytes[0], n[0]);
    for (int i = 0; i < 4; i++) {
        free(bytes[i]);
        free(weights[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_and_list),
        cmocka_unit_test(shapes_are_the_public_ones),
        cmocka_unit_test(mix_by_layer),
        cmocka_unit_test(vocabulary_is_filled_up),
        cmocka_unit_test(types_of_tokens_are_made_up),
        cmocka_unit_test(without_a_vocabulary),
        cmocka_unit_test(every_type_runs), cmocka_unit_test(all_types_in_one),
        cmocka_unit_test(seeds),
    };
    return cmocka_run_group_tests_name("cli/make_model", tests, NULL, NULL);
}
