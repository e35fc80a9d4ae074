/* reader.h - what the files of src/gguf share while a file is read: a cursor over the mapping, and the reading steps.
 *
 * Every step checks sizes against the bytes left before using them, and fails with one line that starts with the file's name. */
#ifndef PRISM_GGUF_READER_H
#define PRISM_GGUF_READER_H

#include "src/gguf/gguf.h"
#include "src/gguf/index.h"

/* Limits of the format's reference implementation, except where noted. */
#define PRISM_MAX_STRING (UINT64_C(1) << 30)
#define PRISM_MAX_ARRAY (UINT64_C(1) << 30)
#define PRISM_MAX_STRINGS (UINT64_C(1) << 26) /* ours: an array of strings is indexed, 16 bytes each */
#define PRISM_MAX_KEY 65535u
#define PRISM_MAX_ALIGNMENT 65536u            /* ours */

struct prism_cursor {
    const uint8_t *at;
    uint64_t left;
};

struct prism_reader {
    struct prism_gguf *g;
    struct prism_cursor cur;
    struct prism_error *err;
    const char *shown; /* the file's name as messages show it */
    uint64_t alignment;
    uint64_t n_tensors; /* as the header says */
};

/* The next n bytes, or NULL (and no move) when fewer are left. */
const uint8_t *prism_take(struct prism_cursor *c, uint64_t n);
uint16_t prism_le16(const uint8_t *p);
uint32_t prism_le32(const uint8_t *p);
uint64_t prism_le64(const uint8_t *p);

/* For %.*s: at most 80 bytes of a string. */
int prism_show_len(size_t n);

/* Maps g->path read-only into g->map, g->map_bytes. */
enum prism_status prism_map_file(struct prism_gguf *g, struct prism_error *err);

/* Magic, version, counts, then all pairs into g->kv and g->keys, and the alignment. Leaves the cursor at the tensor infos. */
enum prism_status prism_read_meta(struct prism_reader *r);

/* All tensor infos into g->tensors and g->names, checked against the file. */
enum prism_status prism_read_tensors(struct prism_reader *r);

/* Makes room for one more element of `size` bytes in an array of n, capacity a power of two. Returns the array, NULL when out of
 * memory (the old one stays). */
void *prism_grow(void *array, uint64_t n, size_t size);

#endif
