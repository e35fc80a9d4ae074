/* gguf_build.h - writes GGUF files for tests, valid ones and damaged ones.
 *
 * Build up pairs and tensors, then gb_assemble gives the bytes. Every part can be replaced, removed or set to nonsense before
 * that; afterwards gb_image tells where each piece lies, so that bytes can be changed or the file cut. All functions fail the
 * running test when memory is short or a name is not there. */
#ifndef PRISM_TESTS_GGUF_BUILD_H
#define PRISM_TESTS_GGUF_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Value types as numbers of the file: src/gguf/gguf.h, enum prism_gguf_vtype. */
struct gb_pair {
    char *key;
    size_t key_len;      /* bytes of the key; may contain zeros */
    uint64_t key_count;  /* the length that the file states */
    uint32_t type;
    uint8_t *value;      /* as stored, without the type */
    size_t value_len;
};

struct gb_tensor {
    char *name;
    size_t name_len;
    uint32_t n_dims, type; /* type: number in the file */
    uint64_t ne[8];        /* n_dims of them are stored, at most 8 */
    uint8_t *data;
    size_t n_bytes;
    uint64_t shift;        /* added to the offset that the rules ask for */
};

struct gb {
    char magic[4];
    uint32_t version;
    struct gb_pair *pairs;
    size_t n_pairs;
    struct gb_tensor *tensors;
    size_t n_tensors;
    uint64_t pairs_shift, tensors_shift; /* added to the counts of the header */
    size_t alignment;    /* that the writer uses, whatever general.alignment says */
    size_t trailing;     /* junk bytes after the last tensor */
};

struct gb *gb_new(void);
struct gb *gb_read(const char *path); /* the parts of a good file: gguf_read.c */
void gb_free(struct gb *g);

/* Pairs. Setting a key that is there replaces it, in place. */
void gb_set(struct gb *g, const char *key, uint32_t type, const void *value, size_t n); /* raw */
void gb_u32(struct gb *g, const char *key, uint32_t v);
void gb_u64(struct gb *g, const char *key, uint64_t v);
void gb_u16(struct gb *g, const char *key, uint16_t v);
void gb_i32(struct gb *g, const char *key, int32_t v);
void gb_f32(struct gb *g, const char *key, float v);
void gb_bool(struct gb *g, const char *key, uint8_t v);
void gb_str(struct gb *g, const char *key, const char *v);
void gb_array(struct gb *g, const char *key, uint32_t elem, uint64_t count, const void *values, size_t n_bytes);
void gb_strings(struct gb *g, const char *key, const char *const *v, size_t n);
void gb_remove(struct gb *g, const char *key);
struct gb_pair *gb_pair(struct gb *g, const char *key);
/* A pair after the others without looking whether the key exists. */
struct gb_pair *gb_append(struct gb *g, const void *key, size_t key_len, uint32_t type, const void *value, size_t n);

/* Tensors. data (n_bytes) is copied; NULL: zeros. */
struct gb_tensor *gb_add(struct gb *g, const char *name, uint32_t type, uint32_t n_dims, const uint64_t *ne, const void *data, size_t n_bytes);
void gb_add_f32(struct gb *g, const char *name, uint64_t n); /* n zeros */
void gb_remove_tensor(struct gb *g, const char *name);
struct gb_tensor *gb_tensor(struct gb *g, const char *name);

/* Where the pieces of an assembled file lie, in bytes from its start. */
struct gb_image {
    uint8_t *bytes;
    size_t n;
    size_t *pair_at, *pair_type, *pair_value, *pair_end;      /* per pair: key length, value type, value, end */
    size_t *info_at, *info_dims, *info_type, *info_offset;    /* per tensor: name length, n_dims, type, offset */
    size_t infos_end, data_start;
    size_t *data_at, *data_end;                               /* per tensor */
};
struct gb_image gb_assemble(const struct gb *g);
void gb_image_free(struct gb_image *im);
size_t gb_pair_index(const struct gb *g, const char *key);
size_t gb_tensor_index(const struct gb *g, const char *name);

/* Writes n bytes to test_tmp_dir()/name. The path is valid until the fourth next call. */
const char *gb_write_bytes(const char *name, const void *bytes, size_t n);
/* gb_assemble and gb_write_bytes. */
const char *gb_write(const struct gb *g, const char *name);

#endif
