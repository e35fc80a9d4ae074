/* small_vocab.h - two vocabularies of twenty tokens, as GGUF files to be changed and loaded: byte-level BPE and SentencePiece. */
#ifndef PRISM_TESTS_SMALL_VOCAB_H
#define PRISM_TESTS_SMALL_VOCAB_H

#include "src/gguf/gguf.h"
#include "src/text/vocab.h"
#include "tests/support/gguf_build.h"

#define KEY(name) "tokenizer.ggml." name
#define SP "\xE2\x96\x81"

/* byte-level BPE: a b c d and a few merges */
enum { A, B, C, D, SPACE, ONE, AB, BC, ABC, AA, SPACE_A, ABD, BOS, USER, IM_END, CD, ABCD, E9, BOS_USER, WORD_USER, CAA, N_BPE };
extern const char *const small_bpe_tokens[N_BPE];
extern const int32_t small_bpe_types[N_BPE];
enum { N_BPE_MERGES = 9 };
extern const char *const small_bpe_merges[N_BPE_MERGES];
struct gb *small_bpe_file(void);

/* SentencePiece: the same letters with scores */
enum { S_UNK, S_BOS, S_EOS, S_X, S_E9, S_Y, S_SPACE, S_A, S_B, S_C, S_AB, S_BC, S_SP_A, S_SP_AB, S_SPACES, S_ABC, S_USER, S_AA, S_NEWLINE,
       S_D, N_SPM };
extern const char *const small_spm_tokens[N_SPM];
extern const int32_t small_spm_types[N_SPM];
extern const float small_spm_scores[N_SPM];
struct gb *small_spm_file(void);

/* A loaded vocabulary and what was said while loading. */
struct small_vocab {
    struct prism_gguf *g;
    struct prism_vocab *v;
    struct prism_error err;
    enum prism_status status;
    char warnings[2048];
};

/* Takes the file over. l stays where it is until small_unload: the log points to it. n_expected as for prism_vocab_load. */
void small_load(struct small_vocab *l, struct gb *file, uint64_t n_expected);
/* The same, which must succeed. */
void small_load_good(struct small_vocab *l, struct gb *file);
void small_unload(struct small_vocab *l);

#define END (-9)
/* Tokenizes; expected ends with END. */
void small_assert_ids(const struct prism_vocab *v, const char *text, size_t len, unsigned flags, const int32_t *expected);
#define IDS(v, text, flags, ...) small_assert_ids(v, text, sizeof(text) - 1, flags, (const int32_t[]){__VA_ARGS__})

#endif
