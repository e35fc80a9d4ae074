/* tiny_vocab.c - see tiny_vocab.h. */
#include "tests/support/tiny_vocab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "src/gguf/gguf.h"

static const char *const gpt2_merges[] = {
    "t h", "th e", "Ġ t", "Ġ the", "Ġ a", "i n", "o n", "a n", "an d", "Ġ and", "e r", "r e", "o u", "Ġ w", "Ġ s",
    "Ġ o", "Ġo f", "e d", "in g", "Ġ h", "o r", "i s", "a t", "e s", "Ġ b", "Ġ c", "Ġ m", "i t", "Ġt o", "e n",
};
static const char *const gpt2_special[] = { "<|endoftext|>", "<|im_start|>", "<|im_end|>" };
static const char *const spm_pieces[] = { "▁t", "he", "▁the", "▁a", "in", "on", "er", "an", "nd", "▁and", "ou", "▁w", "▁s", "of", "ing" };
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The printable character that byte-level BPE writes for a byte, as UTF-8. */
static void byte_text(unsigned byte, char out[4])
{
    unsigned code = byte;
    if (!((byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE))
        code = 0x100 + (byte <= 0x20 ? byte : byte <= 0xA0 ? byte - 0x7F + 33 : 67);
    if (code < 0x80)
        snprintf(out, 4, "%c", (int)code);
    else
        snprintf(out, 4, "%c%c", (int)(0xC0 | code >> 6), (int)(0x80 | (code & 0x3F)));
}

#define MAX_TOKENS 400
struct tokens {
    const char *text[MAX_TOKENS];
    char room[MAX_TOKENS][16];
    int32_t type[MAX_TOKENS];
    float score[MAX_TOKENS];
    uint32_t n;
};

static char *add_token(struct tokens *t, int32_t type, float score)
{
    assert_true(t->n < MAX_TOKENS);
    t->text[t->n] = t->room[t->n];
    t->type[t->n] = type;
    t->score[t->n] = score;
    return t->room[t->n++];
}

static void make_gpt2(struct tokens *t)
{
    for (unsigned b = 0; b < 256; b++)
        byte_text(b, add_token(t, 1, 0));
    for (size_t i = 0; i < COUNT(gpt2_merges); i++) {
        const char *gap = strchr(gpt2_merges[i] + 1, ' ');
        snprintf(add_token(t, 1, 0), 16, "%.*s%s", (int)(gap - gpt2_merges[i]), gpt2_merges[i], gap + 1);
    }
    for (size_t i = 0; i < COUNT(gpt2_special); i++)
        snprintf(add_token(t, 3, 0), 16, "%s", gpt2_special[i]);
}

static void make_spm(struct tokens *t)
{
    snprintf(add_token(t, 2, 0), 16, "<unk>");
    snprintf(add_token(t, 3, 0), 16, "<s>");
    snprintf(add_token(t, 3, 0), 16, "</s>");
    for (unsigned b = 0; b < 256; b++)
        snprintf(add_token(t, 6, 0), 16, "<0x%02X>", b);
    for (size_t i = 0; i < COUNT(spm_pieces); i++)
        snprintf(add_token(t, 1, -(float)i), 16, "%s", spm_pieces[i]);
    snprintf(add_token(t, 1, -100), 16, "▁");
    for (int c = 'a'; c <= 'z'; c++)
        snprintf(add_token(t, 1, -101 - (float)(c - 'a')), 16, "%c", c);
}

uint32_t tiny_n_vocab(const char *vocab)
{
    struct tokens t = { .n = 0 };
    strcmp(vocab, "gpt2") == 0 ? make_gpt2(&t) : make_spm(&t);
    return t.n;
}

void tiny_add_vocab(struct gb *g, const char *vocab)
{
    struct tokens t = { .n = 0 };
    bool bpe = strcmp(vocab, "gpt2") == 0;
    bpe ? make_gpt2(&t) : make_spm(&t);
    gb_str(g, "tokenizer.ggml.model", vocab);
    if (bpe)
        gb_str(g, "tokenizer.ggml.pre", "qwen2");
    gb_strings(g, "tokenizer.ggml.tokens", t.text, t.n);
    gb_array(g, "tokenizer.ggml.token_type", PRISM_GV_I32, t.n, t.type, t.n * sizeof t.type[0]);
    if (bpe)
        gb_strings(g, "tokenizer.ggml.merges", gpt2_merges, COUNT(gpt2_merges));
    else
        gb_array(g, "tokenizer.ggml.scores", PRISM_GV_F32, t.n, t.score, t.n * sizeof t.score[0]);
    gb_u32(g, "tokenizer.ggml.bos_token_id", bpe ? t.n - 3 : 1);
    gb_u32(g, "tokenizer.ggml.eos_token_id", bpe ? t.n - 1 : 2);
    gb_bool(g, "tokenizer.ggml.add_bos_token", !bpe);
}
