/* vocab.h - tokens of a model and the tokenizers over them: byte-level BPE, BPE over the text itself, SentencePiece BPE.
 *
 * Owns its tables (allocated at load); texts point into the GGUF mapping. Read-only and thread-safe after loading.
 * Algorithms: Sennrich et al. 2016 (BPE), Kudo & Richardson 2018 (SentencePiece); patterns as published with the models. */
#ifndef PRISM_TEXT_VOCAB_H
#define PRISM_TEXT_VOCAB_H

#include "src/gguf/gguf.h"

struct prism_vocab;

/* n_expected: rows of token_embd.weight, 0 when unknown (vocabulary-only file). */
enum prism_status prism_vocab_load(const struct prism_gguf *g, uint64_t n_expected, struct prism_vocab **out, struct prism_error *err);
void prism_vocab_free(struct prism_vocab *v); /* NULL allowed */

struct prism_vocab_facts {
    const char *model, *pre;      /* "gpt2", "qwen2" */
    uint32_t n_tokens;
    int32_t bos, eos;             /* -1: none */
    bool add_bos, add_eos, add_space_prefix;
};
void prism_vocab_facts(const struct prism_vocab *v, struct prism_vocab_facts *facts);

/* As prism_tokenize of the public header. */
enum prism_status prism_vocab_encode(const struct prism_vocab *v, const char *text, size_t len, unsigned flags, int32_t *tokens,
                                     size_t cap, size_t *n, struct prism_error *err);
/* A rendered chat: user[i] says that byte i was written by a user, so that no control token may lie on it. All special tokens of the other
 * bytes count, and what is between special tokens is tokenized in one piece. BOS is in front once: that of the text, or where the metadata
 * says so. */
enum prism_status prism_vocab_encode_chat(const struct prism_vocab *v, const char *text, const bool *user, size_t len, int32_t *tokens, size_t cap,
                                          size_t *n, struct prism_error *err);
/* Inside the mapping; empty: there is no such token. */
struct prism_str prism_vocab_bos_text(const struct prism_vocab *v);
struct prism_str prism_vocab_eos_text(const struct prism_vocab *v);
/* As prism_token_bytes. */
size_t prism_vocab_bytes(const struct prism_vocab *v, int32_t token, bool special, bool first, char *buf, size_t cap);
bool prism_vocab_is_eog(const struct prism_vocab *v, int32_t token);

#endif
