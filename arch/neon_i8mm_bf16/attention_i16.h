/* attention_i16.h - the operands of int16 attention by matrix products of bytes: written by pack_i16.c, read by attention_i16.c.
 *
 * Integers q = 256 * high + low, both bytes signed. 8 rows (keys, columns) are a panel, [n / 8] steps along the sum of n (d for queries and keys,
 * keys for values) of {high [8][8], low [8][8]} bytes. A block of K: panels of keys, then the steps of its keys, [block] floats. A block of V:
 * panels of columns, then [chunk][d] floats. */
#ifndef PRISM_NEON_ATTENTION_I16_H
#define PRISM_NEON_ATTENTION_I16_H

#include <assert.h>
#include <string.h>

#include "arch/generic/attention_i16.h"
#include "arch/generic/attn_keys.h"
#include "arch/neon_i8mm_bf16/neon_i8mm_bf16.h"

enum { STEP = 128 }; /* bytes of 8 of the sum of a panel */

static inline size_t k_block_bytes(size_t d, size_t block) { return block * d * 2 + block * sizeof(float); }

static inline size_t v_block_bytes(size_t d, size_t block)
{
    return (block * d * 2 + block / chunk_keys(block) * d * sizeof(float) + 63) / 64 * 64;
}

/* d values of row i of a panel to integers of norm 32639; returns the step. */
float prism_quantize_i16_neon_i8mm_bf16(int8_t *panel, size_t i, const float *x, size_t d);

/* pack_k, pack_v of struct prism_attention. */
void prism_pack_k_i16_neon_i8mm_bf16(void *dst, const void *src, enum prism_kv_format format, size_t n, size_t d, size_t block);
void prism_pack_v_i16_neon_i8mm_bf16(void *dst, const void *src, enum prism_kv_format format, size_t n, size_t d, size_t block);

#endif
