/* generate.h - the loop after prefill: draw a token, print it, decode it; and the stream that prints only complete UTF-8. */
#ifndef PRISM_TOOLS_GENERATE_H
#define PRISM_TOOLS_GENERATE_H

#include <stdio.h>

#include "prism/prism.h"

/* Set `out`, the rest is zero. Every write is flushed, so that a reader sees each token when it is there. */
struct stream {
    FILE *out;
    struct prism_utf8 utf8;
    char text[3 * (4096 + 4)];
};

/* Bytes of a text that may break off inside a code point; end: no more will come. PROCESS_ERROR after one line, or
 * PROCESS_INTERRUPTED. */
int stream_bytes(struct stream *s, const char *bytes, size_t len, bool end);

enum generate_stop { GENERATE_LENGTH, GENERATE_END, GENERATE_CONTEXT, GENERATE_INTERRUPT, GENERATE_TEXT };
extern const char *const generate_stop_names[];

struct generation {
    const prism_model *model;
    prism_context *ctx; /* prefilled */
    const struct prism_plan *plan; /* of ctx */
    int64_t n_predict;  /* -1: until the end of the text or of the context */
    struct prism_sampling sampling; /* afterwards with the state that the draws left */
    bool ignore_eos;
    bool from_nothing;  /* no text precedes: drop the space that a SentencePiece vocabulary begins a text with */
    const char *const *stops; /* texts of which the first to appear ends the answer, and is not printed; none is empty */
    size_t n_stops;
    FILE *out;
    /* results */
    char *text;         /* n_text bytes of the answer as printed, but for invalid UTF-8; malloc'ed, likewise to be freed */
    size_t n_text;
    int32_t *tokens;    /* n_tokens ids, malloc'ed; free them whatever the outcome */
    size_t n_tokens;
    enum generate_stop stop;
    double ms;          /* wall time of the loop: decode, sampling, printing */
};

/* Runs until a reason to stop, and frees nothing; Ctrl-C is one and no failure. Otherwise PROCESS_ERROR after one line, also for logits that are not finite. */
int generate(struct generation *g);

#endif
