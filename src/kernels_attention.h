/* kernels_attention.h - attention and the selection of key blocks: part of kernels.h, where the rules for all kernels are. */
#ifndef PRISM_KERNELS_ATTENTION_H
#define PRISM_KERNELS_ATTENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/gguf/types.h"

/* ---- attention --------------------------------------------------------------------------------------------------------- */

/* How a cache stores the d values of a token's kv head, one row after the other: as a row of a tensor of this type. Q8_0 needs d % 32 == 0. */
enum prism_kv_format { PRISM_KVF_F16, PRISM_KVF_BF16, PRISM_KVF_F32, PRISM_KVF_Q8_0, PRISM_N_KV_FORMATS };

static inline enum prism_type prism_kv_stored(enum prism_kv_format f)
{
    return f == PRISM_KVF_F16 ? PRISM_F16 : f == PRISM_KVF_BF16 ? PRISM_BF16 : f == PRISM_KVF_F32 ? PRISM_F32 : PRISM_Q8_0;
}

/* Bytes of a row of d values. */
static inline size_t prism_kv_row_bytes(enum prism_kv_format f, size_t d)
{
    return f == PRISM_KVF_F32 ? d * 4 : f == PRISM_KVF_Q8_0 ? d / 32 * 34 : d * 2;
}

/* What a softcap may add to the error of a logit: this times the cap. (The hyperbolic tangent is off by 1.4e-7, its argument and the product are
 * rounded.) */
#define PRISM_ATTN_CAP_ERR 4e-7f

/* One query tile of one head against a list of key blocks, exact softmax (online), causal by absolute position:
 * row r (position p = q_pos + r) sees keys 0..p of the listed blocks, with a window those of the last `window`. A key that is not finite, or an
 * infinite logit, makes a row that sees it NaN, a value the row's column; rows of the tile that do not see it may become so too, if a row of the
 * tile sees a key of its block. Keys of other blocks are not read. A row that sees nothing in a listed block has the bits that it has without. */
struct prism_attn_tile {
    const float *q;          /* [rows][d], stride ldq, after RoPE, not scaled */
    size_t ldq;
    float *o;                /* [rows][d], stride ldo; o == q with ldo == ldq is allowed */
    size_t ldo;
    size_t rows;             /* 1..tile_rows */
    size_t d;                /* head size: a multiple of 8, 8..PRISM_MAX_HEAD_DIM */
    size_t q_pos;            /* absolute position of row 0 */
    size_t kv_len;           /* keys present: >= q_pos + rows */
    size_t block;            /* keys per block: 32, 64, 128 or 256 */
    const void *k, *v;       /* packed blocks of one kv head: block b at offset b * k_block_bytes; 64-byte aligned */
    const uint32_t *blocks;  /* n_blocks block numbers, ascending, each <= (q_pos + rows - 1) / block; each row must */
    size_t n_blocks;         /*   see at least one key (its diagonal block is listed); some row sees a key of each block */
    float scale;             /* logits = scale * q.k */
    size_t window;           /* 0: none; else keys j with p - j < window are seen */
    float softcap;           /* 0: none; else a logit s becomes softcap * tanh(s / softcap), before mask and softmax */
    const float *sink;       /* NULL or -infinity: none; else one more logit of the head, neither scaled nor capped, without a value, */
                             /*   that takes part in maximum and sum. Any finite one leaves o finite; +infinity or a NaN make it NaN */
    void *scratch;           /* tile_scratch(d, block) bytes, 64-byte aligned, one per thread */
};
#define PRISM_MAX_HEAD_DIM 512

/* One family of attention kernels: dense is sparse with every block listed. */
struct prism_attention {
    const char *name;        /* "f32", "i16" */
    unsigned tile_rows;      /* query rows of a tile: 32 or 64; divides every block size */
    size_t (*k_block_bytes)(size_t d, size_t block); /* multiples of 64 */
    size_t (*v_block_bytes)(size_t d, size_t block);
    size_t (*tile_scratch)(size_t d, size_t block);
    /* Pack n <= block keys (values) of one kv head, rows of `format`; missing keys are packed as zeros. */
    void (*pack_k)(void *dst, const void *src, enum prism_kv_format format, size_t n, size_t d, size_t block);
    void (*pack_v)(void *dst, const void *src, enum prism_kv_format format, size_t n, size_t d, size_t block);
    void (*tile)(const struct prism_attn_tile *t);
    float err;               /* |o - exact| <= err * max|v|: stated and tested bound for |logits| <= 30, with a softcap up to 50 as well */
};

/* Decode: up to PRISM_ATTN_ROW_Q query rows of the heads that share a kv head against a piece of its cache as stored. Each row keeps a
 * running softmax (in powers of two): before its first piece max is -INFINITY, sum 0 and o zeros; after its last, o / sum is the result. A sink
 * (as in struct prism_attn_tile) needs nothing else than another beginning: max sink * log2(e), finite or -INFINITY, and sum 1.
 * A row's arithmetic depends on what it sees and on how its keys were cut into pieces, not on the other rows. */
#define PRISM_ATTN_ROW_Q 8
struct prism_attn_row {
    const float *q;          /* [n_q][d], after RoPE, not scaled */
    size_t n_q, d;           /* 1..PRISM_ATTN_ROW_Q; a multiple of 8, 8..PRISM_MAX_HEAD_DIM */
    const void *k, *v;       /* [n_keys] rows of k_format and of v_format */
    enum prism_kv_format k_format, v_format;
    size_t n_keys;           /* 1..PRISM_ATTN_ROW_KEYS */
    const size_t *seen;      /* [n_q]: row r sees keys from[r]..seen[r] - 1 of the piece, none when from[r] >= seen[r]: then its o, max and sum */
    const size_t *from;      /*   stay as they are. seen[r] <= n_keys; the other keys are finite. from NULL: 0 for all */
    float scale;             /* logits = scale * q.k */
    float softcap;           /* as in struct prism_attn_tile */
    float *o, *max, *sum;    /* [n_q][d], [n_q], [n_q] */
    float *scores;           /* scratch: [n_q][PRISM_ATTN_ROW_KEYS], 64-byte aligned */
};
#define PRISM_ATTN_ROW_KEYS 512 /* of a piece at most: rows beyond the first few find it in the second-level cache */
typedef void prism_attn_row_fn(const struct prism_attn_row *a);

/* What --compute auto may round where keys or values are Q8_0; the rest is exact or fp32. Against keys: each value of a query by this part of the
 * largest of its block of 32. Of values: the products of probability and scale by this part of the largest that a row has of a block of columns
 * in PRISM_ATTN_ROW_CHUNK keys. */
#define PRISM_ATTN_ROW_Q_STEP (0.5 / 16256)
#define PRISM_ATTN_ROW_P_STEP (0.5 / 32767)
#define PRISM_ATTN_ROW_CHUNK 128

/* ---- selection of key blocks (src/attention/prism.c) ---- */

/* Dot products of q with each of n pooled keys ([n][d], contiguous), split at b1 <= b2 <= d: before[j] over [0, b1), inside[j] over
 * [b1, b2), after[j] over [b2, d). b1, b2 even, d a multiple of 8. Sums in fp32. */
typedef void prism_band_dots_fn(float *before, float *inside, float *after, const float *q, const float *k, size_t n, size_t d, size_t b1,
                                size_t b2);

/* p[i] = floor(P[i] * 2^30 + 0.5), P = softmax(x[0..n)), n >= 1. P within 2e-6 relative plus half a unit. All p are 0 when an x is NaN or
 * infinity: then a choice by mass takes every block, and attention finds what is not finite. */
typedef void prism_softmax_q30_fn(uint32_t *p, const float *x, size_t n);

/* Sketched queries against sketched keys, block by block (src/attention/sketch.h): exact integers, then 16 floats at a time in an order that
 * every level keeps, so that all levels give the same bits. Logits are in units of log 2.
 *
 * A tile is 16 rows of a query head with what they have seen: the softmax of the blocks' logits so far is sum * 2^most over 2^0. The product of
 * row i with a block is the largest, over its keys j, of the sum over c < rank of q[c / 4][i][c % 4] * keys[c / 4][j][c % 4]. */
enum { PRISM_SKETCH_ROWS = 16, PRISM_SKETCH_TOGETHER = 4 }; /* of a tile; of it, those that finish a block together */
struct prism_sketch_tile {
    const int8_t *q;                                                /* [rank / 4][16][4] */
    int32_t bias[PRISM_SKETCH_ROWS];                                /* subtracted from products */
    float scale[PRISM_SKETCH_ROWS];                                 /* of a product, but for that of the block */
    float reach[PRISM_SKETCH_ROWS];                                 /* what a key may have above the block's mean, but for that of the block */
    float most[PRISM_SKETCH_ROWS], sum[PRISM_SKETCH_ROWS];          /* begin as -2^100, 0 */
    float floor[PRISM_SKETCH_ROWS];                                 /* most + log2 sum + log_t: renewed after every 8 blocks and at the end */
    float mass[PRISM_SKETCH_ROWS];                                  /* sum of the shares of the blocks that are needed */
};

/* Rows of coordinates x, [n][rank], become bytes: out[(c / 4 * lanes + i) * 4 + c % 4] = offset + x[i][c] / scale, rounded half to even. A row's
 * scale is its largest magnitude / 127, or with `common` that of all rows; NaN where a coordinate is not finite, the bytes then being anything. */
struct prism_sketch_rows {
    uint8_t *out;
    const float *x;
    size_t n, lanes, rank;        /* n <= lanes; rank: a multiple of 16 */
    const float *weights;         /* [rank] */
    float *scale;                 /* [n] */
    float *length;                /* [n] square root of the sum of weights[c] * x[i][c]^2 */
    int32_t *sum;                 /* [n] of the bytes without the offset */
    uint8_t offset;
    bool common;
};
typedef void prism_sketch_pack_fn(const struct prism_sketch_rows *r);

struct prism_sketch_scan {
    struct prism_sketch_tile *tiles;
    size_t n_tiles;
    float *x;                      /* [blocks][n_tiles][16] logits */
    const uint8_t *keys;           /* [blocks] of [rank / 4][block][4], block_bytes apart */
    const uint8_t *means;          /* [blocks] of [rank], mean_bytes apart: the mean of a block's keys */
    const float *k_scale, *k_rest; /* [blocks]: a block whose scale is NaN is passed over, and its logits are NaN */
    size_t block, block_bytes, mean_bytes, rank; /* block, of keys: a multiple of 32; rank: a multiple of 16, 16..PRISM_MAX_HEAD_DIM */
    float lift;                    /* a dropped block's logit is that of its mean and this part of the reach */
    float log_t, log_mean;         /* log2 of the share that makes a row need a block, and of the mean share that makes a block needed */
};

/* Blocks v, v - 1, ... v - n + 1, each with all tiles. x[v] = the logits of the means + lift * reach * k_rest[v]; where those of the
 * means + reach * k_rest[v] are not below the floor for one of PRISM_SKETCH_TOGETHER rows (0..3, 4..7, ... of a tile), or where `whole`, the
 * logits of the keys for these rows. Both join the softmax.
 * Row i of tile t sees keys j <= seen + 16 t + i. */
typedef void prism_sketch_scan_fn(const struct prism_sketch_scan *s, size_t v, size_t n, size_t seen, bool whole);

/* Sets the bits of the blocks v < n, logits x[v], that some row gives at least log_t, or all rows log_mean on average, of the softmax of all
 * blocks seen, and adds the shares of these blocks to mass. A block of NaN is needed and adds nothing. */
typedef void prism_sketch_needed_fn(const struct prism_sketch_scan *s, size_t n, uint64_t *bits);

#endif
