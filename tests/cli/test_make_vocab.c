/* test_make_vocab.c - make-model --shape: tokenizers, what fills them up to the size of the shape, and files without one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "src/gguf/gguf.h"
#include "tests/support/made_model.h"
#include "tests/support/tiny_model.h"

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
    prism_model *ours = load_made(path), *theirs = load_made(source);
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
    prism_model *m = load_made(path);
    prism_model_info(m, &info);
    assert_int_equal(info.n_vocab, 49152);
    assert_int_not_equal(prism_tokenize(m, "text", 4, 0, &token, 1, &n, &err), PRISM_OK);
    prism_model_free(m);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vocabulary_is_filled_up),
        cmocka_unit_test(types_of_tokens_are_made_up),
        cmocka_unit_test(without_a_vocabulary),
    };
    return cmocka_run_group_tests_name("cli/make_vocab", tests, NULL, NULL);
}
