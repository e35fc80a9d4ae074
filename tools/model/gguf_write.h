/* gguf_write.h - writes one GGUF file (v3, little-endian, aligned to 32) from its first byte to its last; src/gguf reads them.
 *
 * First all pairs and all tensors are named, then gguf_begin creates the file, then the data follows in the order of the
 * tensors. The file has a temporary name beside PATH until gguf_commit renames it: a reader never sees half a model, and an
 * existing file survives a failure. A device or pipe is written in place. Functions that return an int give PROCESS_OK,
 * PROCESS_ERROR after one line on stderr, or PROCESS_INTERRUPTED without a line. Keys and names are not checked for repetition. */
#ifndef PRISM_TOOLS_GGUF_WRITE_H
#define PRISM_TOOLS_GGUF_WRITE_H

#include "src/gguf/gguf.h"

enum { GGUF_ALIGNMENT = 32 };

struct gguf_bytes {
    uint8_t *p;
    size_t n, cap;
};

/* Starts as { 0 }; gguf_free afterwards, always. Callers read n_tensors and data_bytes only. */
struct gguf_writer {
    struct gguf_bytes pairs, infos;
    uint64_t n_pairs, n_tensors;
    uint64_t data_bytes;         /* of all tensors named so far, padding included */
    uint64_t written;            /* of the data */
    bool no_memory;              /* noted here, reported by gguf_begin */
    bool open;
    int fd;
    char *target, *temporary;    /* temporary NULL: target is written in place */
};

void gguf_add_u32(struct gguf_writer *w, const char *key, uint32_t value);
void gguf_add_f32(struct gguf_writer *w, const char *key, float value);
void gguf_add_str(struct gguf_writer *w, const char *key, const char *value);
void gguf_add_copy(struct gguf_writer *w, const struct prism_gguf_kv *kv);

/* n elements whose bytes are those of the file. */
void gguf_add_array(struct gguf_writer *w, const char *key, enum prism_gguf_vtype elem, uint64_t n, const void *bytes, size_t n_bytes);

void gguf_add_tensor(struct gguf_writer *w, const char *name, enum prism_type type, uint32_t n_dims, const uint64_t *ne);

/* Creates the file, reserves its whole size where the filesystem can, writes everything up to the data. */
int gguf_begin(struct gguf_writer *w, const char *path);
int gguf_data(struct gguf_writer *w, const void *bytes, size_t n);
int gguf_end_tensor(struct gguf_writer *w); /* zeros up to the next tensor */
int gguf_commit(struct gguf_writer *w);

/* Closes, and removes the temporary file unless it was committed. */
void gguf_free(struct gguf_writer *w);

/* ---- values as bytes of a file ---- */

/* Bytes that the value of kv takes in a file: of an array, its elements without type and count. */
size_t gguf_value_bytes(const struct prism_gguf_kv *kv);
/* A string with its length in front. False: out of memory. */
bool gguf_put_str(struct gguf_bytes *b, const char *s, size_t n);
bool gguf_put(struct gguf_bytes *b, const void *bytes, size_t n);

#endif
