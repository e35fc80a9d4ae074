/* document.h - a GGUF file taken apart, for mutate.c. Pieces point into the bytes of the file or into the document's own room. */
#ifndef PRISM_TESTS_FUZZ_DOCUMENT_H
#define PRISM_TESTS_FUZZ_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FUZZ_PAIRS = 96, FUZZ_TENSORS = 64, FUZZ_DIMS = 4 };

struct fuzz_bytes {
    const uint8_t *at;
    size_t n;
};

struct fuzz_pair {
    struct fuzz_bytes key, value; /* value: as stored, without the type */
    uint32_t type;
};

struct fuzz_tensor {
    struct fuzz_bytes name, data;
    uint32_t n_dims, type;
    uint64_t ne[FUZZ_DIMS];
    uint64_t shift;               /* added to the offset that the format asks for */
};

struct fuzz_document {
    uint32_t version;
    struct fuzz_pair pair[FUZZ_PAIRS];
    struct fuzz_tensor tensor[FUZZ_TENSORS];
    size_t n_pairs, n_tensors;
    uint64_t pairs_shift, tensors_shift; /* added to the counts of the header */
    struct fuzz_bytes trailing;
};

/* False: not a file of the plain form (sizes beyond the limits above or beyond the file). */
bool fuzz_take_apart(struct fuzz_document *d, const uint8_t *bytes, size_t n);

/* Writes the file to out (not overlapping its pieces); returns its size, 0 when cap is too small. */
size_t fuzz_put_together(const struct fuzz_document *d, uint8_t *out, size_t cap);

/* Bytes of a scalar of GGUF value type `type`, 0: not a scalar. */
size_t fuzz_scalar_bytes(uint32_t type);

#endif
