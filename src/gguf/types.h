/* types.h - the registry of tensor types, made from type_list.h. What a block means is in arch/generic. */
#ifndef PRISM_GGUF_TYPES_H
#define PRISM_GGUF_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/gguf/type_list.h"

/* The types that are computed; the number in the file is prism_type_info.id. */
#define PRISM_TYPE_NUMBER(A, NAME, ...) PRISM_##NAME,
enum prism_type { PRISM_TYPES(PRISM_TYPE_NUMBER, ) PRISM_N_TYPES };
#undef PRISM_TYPE_NUMBER

/* What the scales of a block are; of types without blocks, the values themselves. */
enum prism_scale {
    PRISM_SCALE_HALF, PRISM_SCALE_BF16, PRISM_SCALE_F32,
    PRISM_SCALE_E8M0,        /* a byte; the values are doubled */
    PRISM_SCALE_E4M3,        /* a byte for each group, always finite; the values are doubled */
    PRISM_SCALE_NIBBLES,     /* a half in the upper four bits of four words of two bytes, the lowest first */
};

/* A row of type_list.h, which says what the fields mean. */
struct prism_type_info {
    const char *name;        /* "Q8_0" */
    uint32_t id;             /* the number in a GGUF file */
    uint32_t block;          /* values per block: 1, or a multiple of 32 up to 256 */
    uint32_t bytes;          /* bytes per block */
    uint32_t group;          /* values per scale: 1, 16 or 32 */
    bool stored_min;         /* value = d*q + m with m != 0 */
    bool has_min;            /* the same of the groups of 32 that prism_to_i8_fn makes: those made of 16s are requantised without */
    enum prism_scale scale;
    int scale_at[2];         /* in a block; -1: no second one */
    float rms;
    uint32_t file_type;
    const char *label;       /* of such a file */
};

extern const struct prism_type_info prism_types[PRISM_N_TYPES]; /* all of them are computable */

/* Any type number of a GGUF file, computable or only known: for exact refusals. */
struct prism_file_type {
    uint32_t id;
    const char *name;
    uint32_t block, bytes;
    int type;                /* an enum prism_type, or -1: known, not computed */
    bool removed;            /* was removed from the format */
};
const struct prism_file_type *prism_file_type_find(uint32_t id); /* NULL: unknown */

/* Bytes of a row of n values; n must be a multiple of the block. */
static inline size_t prism_row_bytes(enum prism_type t, size_t n)
{
    return n / prism_types[t].block * prism_types[t].bytes;
}

#endif
