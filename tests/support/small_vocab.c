/* small_vocab.c - see small_vocab.h. */
#include "tests/support/small_vocab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- byte-level BPE: a b c d and a few merges ---- */

const char *const small_bpe_tokens[N_BPE] = {
    "a", "b", "c", "d", "\xC4\xA0" /* space */, "1", "ab", "bc", "abc", "aa", ("\xC4\xA0" "a"), "abd",
    "<s>", "<user>", "<|im_end|>", "cd", "abcd", "\xC3\xA9" /* the byte E9 */, "<s><user>", "user", "caa",
};
const int32_t small_bpe_types[N_BPE] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 4, 1, 1, 1, 1, 3, 5, 1};
const char *const small_bpe_merges[N_BPE_MERGES] = {"a b", "b c", "c d", "a a", "\xC4\xA0 a", "ab cd", "c aa", "ab c", "a b"};

struct gb *small_bpe_file(void)
{
    struct gb *g = gb_new();
    gb_str(g, "general.architecture", "llama");
    gb_str(g, KEY("model"), "gpt2");
    gb_str(g, KEY("pre"), "gpt-2");
    gb_strings(g, KEY("tokens"), small_bpe_tokens, COUNT(small_bpe_tokens));
    gb_array(g, KEY("token_type"), PRISM_GV_I32, COUNT(small_bpe_types), small_bpe_types, sizeof small_bpe_types);
    gb_strings(g, KEY("merges"), small_bpe_merges, COUNT(small_bpe_merges));
    gb_u32(g, KEY("bos_token_id"), BOS);
    gb_u32(g, KEY("eos_token_id"), IM_END);
    return g;
}

/* ---- SentencePiece: the same letters with scores ---- */

const char *const small_spm_tokens[N_SPM] = {
    "<unk>", "<s>", "</s>", "<0x78>", "<0xE9>", "y", SP, "a", "b", "c", "ab", "bc", SP "a", SP "ab", SP SP, "abc", "<user>", "aa",
    "<0x0A>", "d",
};
const int32_t small_spm_types[N_SPM] = {2, 3, 3, 6, 6, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 4, 1, 6, 1};
const float small_spm_scores[N_SPM] = {0, 0, 0, 0, 0, -9, -9, -9, -9, -9, -2, -1, -3, -4, -5, -6, 0, -0.0f, 0, -9};

struct gb *small_spm_file(void)
{
    struct gb *g = gb_new();
    gb_str(g, "general.architecture", "llama");
    gb_str(g, KEY("model"), "llama");
    gb_strings(g, KEY("tokens"), small_spm_tokens, COUNT(small_spm_tokens));
    gb_array(g, KEY("token_type"), PRISM_GV_I32, COUNT(small_spm_types), small_spm_types, sizeof small_spm_types);
    gb_array(g, KEY("scores"), PRISM_GV_F32, COUNT(small_spm_scores), small_spm_scores, sizeof small_spm_scores);
    return g;
}

/* ---- loading ---- */

static void note(void *user, const char *line)
{
    struct small_vocab *l = user;
    size_t n = strlen(l->warnings);
    snprintf(l->warnings + n, sizeof l->warnings - n, "%s\n", line);
}

void small_load(struct small_vocab *l, struct gb *file, uint64_t n_expected)
{
    *l = (struct small_vocab){0};
    const char *path = gb_write(file, "vocab.gguf");
    gb_free(file);
    if (prism_gguf_open(path, (struct prism_log){note, l}, &l->g, &l->err))
        fail_msg("%s", l->err.text);
    l->status = prism_vocab_load(l->g, n_expected, &l->v, &l->err);
    assert_int_equal(l->status == PRISM_OK, l->v != NULL);
    assert_int_equal(l->err.status, l->status);
}

void small_load_good(struct small_vocab *l, struct gb *file)
{
    small_load(l, file, 0);
    if (l->status)
        fail_msg("%s", l->err.text);
}

void small_unload(struct small_vocab *l)
{
    prism_vocab_free(l->v);
    prism_gguf_close(l->g);
}

void small_assert_ids(const struct prism_vocab *v, const char *text, size_t len, unsigned flags, const int32_t *expected)
{
    int32_t got[64];
    size_t n, i = 0;
    struct prism_error err = {0};
    if (prism_vocab_encode(v, text, len, flags, got, COUNT(got), &n, &err))
        fail_msg("%s", err.text);
    for (; expected[i] != END; i++)
        if (i >= n || got[i] != expected[i])
            fail_msg("\"%s\", token %zu: expected %d, found %d", text, i, expected[i], i < n ? got[i] : -1);
    if (i != n)
        fail_msg("\"%s\": expected %zu tokens, found %zu", text, i, n);
}
