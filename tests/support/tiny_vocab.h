/* tiny_vocab.h - the vocabularies of tiny models: "gpt2", 256 byte tokens, merges, 3 special; "llama", SentencePiece with byte fallback. */
#ifndef PRISM_TESTS_TINY_VOCAB_H
#define PRISM_TESTS_TINY_VOCAB_H

#include "tests/support/gguf_build.h"

/* Number of tokens. */
uint32_t tiny_n_vocab(const char *vocab);

/* The pairs of a file. */
void tiny_add_vocab(struct gb *g, const char *vocab);

#endif
