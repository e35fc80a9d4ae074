/* make_model.h - what the two halves of make-model share: types of whole files, and writing tensors row by row.
 *
 * make_random.c makes a model in a public shape, make_convert.c makes one from another. Functions return a status as in process.h and
 * have told what failed. */
#ifndef PRISM_TOOLS_MAKE_MODEL_H
#define PRISM_TOOLS_MAKE_MODEL_H

#include "tools/model/gguf_write.h"

struct make_options {
    const char *shape, *vocab, *convert; /* file names but the first */
    const char *type, *output;
    int64_t seed, n_layers;              /* n_layers 0: those of the shape */
    bool keep_vocab, list;
};

/* Which types the matrices of a file have, see make_random.c. */
enum make_mix {
    MAKE_ONE,                /* one type */
    MAKE_MEDIUM,             /* llama.cpp's medium mix */
    MAKE_ALL                 /* every type there is */
};

/* A type for a whole file. */
struct make_type {
    const char *name;
    enum prism_type type;    /* of most matrices */
    uint32_t file_type;      /* general.file_type: llama.h, enum llama_ftype */
    enum make_mix mix;
};

/* By its name in any case. PROCESS_ERROR after one line that lists the names. */
int make_find_type(const char *name, struct make_type *out);

struct make_tensor {
    char name[PRISM_GGUF_NAME];
    enum prism_type type;
    uint32_t n_dims;
    uint64_t ne[4];          /* missing dimensions are 1 */
};

/* Where the rows come from. */
struct make_source {
    const struct make_tensor *tensors;
    size_t n_tensors;
    /* Row `row` of tensor i, as stored, to y; x: scratch of ne[0] floats. NULL, or what is wrong with the row. Several threads. */
    const char *(*row)(const void *user, size_t i, uint64_t row, void *y, float *x);
    const void *user;
};

/* Names all tensors in w, whose pairs are complete, and writes the file. Says so in one line on stderr. */
int make_write(struct gguf_writer *w, const char *path, const struct make_source *source);

int make_random(const struct make_options *options);
int make_convert(const struct make_options *options);

/* Opens a GGUF file; its warnings go to stderr. */
int make_open(const char *path, struct prism_gguf **out);

#endif
