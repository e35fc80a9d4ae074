/* types.h - the registry of tensor types: number in the file, name, block, bytes. What a block means is in arch/generic. */
#ifndef PRISM_GGUF_TYPES_H
#define PRISM_GGUF_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The types that are computed; the number in the file is prism_type_info.id. */
enum prism_type {
    PRISM_F32, PRISM_F16, PRISM_BF16,
    PRISM_Q4_0, PRISM_Q4_1, PRISM_Q5_0, PRISM_Q5_1, PRISM_Q8_0,
    PRISM_Q2_K, PRISM_Q3_K, PRISM_Q4_K, PRISM_Q5_K, PRISM_Q6_K,
    PRISM_IQ4_NL, PRISM_IQ4_XS, PRISM_MXFP4,
    PRISM_N_TYPES
};

struct prism_type_info {
    const char *name;        /* "Q8_0" */
    uint32_t id;             /* the number in a GGUF file */
    uint32_t block;          /* values per block: 1, 32 or 256 */
    uint32_t bytes;          /* bytes per block */
    bool has_min;            /* value = d*q + m with m != 0 (Q4_1, Q5_1, Q2_K is requantised: false, Q4_K, Q5_K) */
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
