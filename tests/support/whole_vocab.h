/* whole_vocab.h - the vocabulary of a model file alone, and texts through it. What goes wrong fails the test. */
#ifndef PRISM_TESTS_WHOLE_VOCAB_H
#define PRISM_TESTS_WHOLE_VOCAB_H

#include "src/gguf/gguf.h"
#include "src/text/vocab.h"

struct whole_vocab {
    struct prism_gguf *g;
    struct prism_vocab *v;
};
struct whole_vocab open_vocab(const char *path);
void close_vocab(struct whole_vocab o);

struct token_ids {
    int32_t *id; /* malloc'ed */
    size_t n;
};

/* Two calls, as a caller without a guess would make. */
struct token_ids encode_text(const struct prism_vocab *v, const char *text, size_t len, unsigned flags);

/* Processor time of this process: other work on the machine does not count. */
double cpu_seconds(void);

#endif
