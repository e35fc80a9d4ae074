/* gguf.h - the GGUF reader (v2 and v3, little-endian, split files): maps, checks and indexes; copies no tensor data.
 *
 * Owns the mappings and the index. Knows the container only: which keys and tensors a model needs is src/model's business.
 * Every size is checked against the bytes left before it is used. Each refusal is one line
 *     FILE: WHERE: WHAT: expected E, found F
 * that names the key or tensor. Format: github.com/ggml-org/ggml/blob/master/docs/gguf.md. */
#ifndef PRISM_GGUF_GGUF_H
#define PRISM_GGUF_GGUF_H

#include <string.h>

#include "src/base/error.h"
#include "src/gguf/types.h"

enum prism_gguf_vtype {
    PRISM_GV_U8, PRISM_GV_I8, PRISM_GV_U16, PRISM_GV_I16, PRISM_GV_U32, PRISM_GV_I32, PRISM_GV_F32, PRISM_GV_BOOL,
    PRISM_GV_STR, PRISM_GV_ARR, PRISM_GV_U64, PRISM_GV_I64, PRISM_GV_F64, PRISM_GV_COUNT
};

/* Bytes inside the mapping: not terminated. */
struct prism_str {
    const char *p;
    size_t n;
};

static inline bool prism_str_is(struct prism_str s, const char *text) { return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0; }

struct prism_gguf_kv {
    struct prism_str key;
    enum prism_gguf_vtype type;
    enum prism_gguf_vtype elem;   /* of an array */
    uint64_t n;                   /* elements of an array, else 1 */
    const uint8_t *data;          /* first value, unaligned, inside the mapping */
    struct prism_str *strings;    /* array of strings: its n elements, indexed once */
};

#define PRISM_GGUF_NAME 64
struct prism_gguf_tensor {
    char name[PRISM_GGUF_NAME];   /* terminated */
    enum prism_type type;         /* PRISM_N_TYPES: a type that is known and not computed, see file_type */
    const struct prism_file_type *file_type;
    uint32_t n_dims;
    uint64_t ne[4];               /* ne[0] is the row length; missing dimensions are 1 */
    const uint8_t *data;          /* inside the mapping of its part */
    uint64_t n_bytes;
};

struct prism_gguf {
    const char *path;             /* as given */
    uint64_t n_kv, n_tensors;
    struct prism_gguf_kv *kv;     /* of the first part */
    struct prism_gguf_tensor *tensors; /* of all parts, in file order */
    uint32_t version, n_files;
    uint64_t file_bytes, tensor_bytes; /* of all parts */
    struct prism_log log;

    /* for src/gguf only */
    const uint8_t *map;           /* this part */
    uint64_t map_bytes;
    struct prism_index *keys, *names;
    struct prism_gguf **more;     /* parts 2.. of a split model, n_files - 1 of them */
};

/* Map and index the file at path, and when it is the first part of a split model the other parts too. Takes time in proportion
 * to the metadata, not to the tensors; the file must not shrink while it is mapped. A file without tensors is well-formed.
 * Warnings go to log. On failure *out is NULL and err names the file, and the key or tensor.
 * Errors: PRISM_E_IO (cannot open or map; not a regular file), PRISM_E_FORMAT, PRISM_E_NOMEM. */
enum prism_status prism_gguf_open(const char *path, struct prism_log log, struct prism_gguf **out, struct prism_error *err);
void prism_gguf_close(struct prism_gguf *g); /* NULL allowed */

/* Part i of n_files as it is mapped; bytes 0: there is nothing. */
struct prism_span_of_file {
    const uint8_t *at;
    uint64_t bytes;
};
struct prism_span_of_file prism_gguf_part(const struct prism_gguf *g, uint32_t i);

/* "u32", "str", ... */
const char *prism_gguf_vtype_name(enum prism_gguf_vtype t);
/* Bytes of one value, 0 for a string or an array. */
size_t prism_gguf_vtype_bytes(enum prism_gguf_vtype t);

const struct prism_gguf_kv *prism_gguf_find(const struct prism_gguf *g, const char *key);           /* NULL: absent; hashed */
const struct prism_gguf_tensor *prism_gguf_tensor_find(const struct prism_gguf *g, const char *name); /* likewise */

/* Typed access. Absent keys leave *out as it was and return PRISM_OK unless `required`; a wrong type, a value out of [lo, hi] or a
 * NaN is PRISM_E_FORMAT and names the key. Integers accept any integer type whose value fits. */
enum prism_status prism_gguf_get_uint(const struct prism_gguf *g, const char *key, bool required, uint64_t lo, uint64_t hi,
                                      uint64_t *out, struct prism_error *err);
/* Accepts f32, f64 and integers. Infinities pass: the caller knows the range. */
enum prism_status prism_gguf_get_float(const struct prism_gguf *g, const char *key, bool required, double *out,
                                       struct prism_error *err);
enum prism_status prism_gguf_get_bool(const struct prism_gguf *g, const char *key, bool *out, struct prism_error *err);
enum prism_status prism_gguf_get_str(const struct prism_gguf *g, const char *key, bool required, struct prism_str *out,
                                     struct prism_error *err);

/* Element i of an array, or the value itself as element 0, as a number: integers, f32, f64, bools as 0 and 1. False: another type. */
bool prism_gguf_number(const struct prism_gguf_kv *kv, uint64_t i, double *out);

/* As prism_gguf_get_uint, for a key that is either one integer or an array with one integer per layer, n_layer of them: each[layer]. An optional
 * key that is not there leaves them as they are. */
enum prism_status prism_gguf_get_per_layer(const struct prism_gguf *g, const char *key, bool required, uint64_t lo, uint64_t hi,
                                           uint64_t n_layer, uint32_t *each, struct prism_error *err);

#endif
