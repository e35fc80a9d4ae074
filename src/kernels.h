/* kernels.h - the dispatch table: every kernel's type and contract.
 *
 * A kernel is a leaf: it gets pointers, strides and a range, and computes. No malloc, no OpenMP, no globals, no errors; it
 * asserts its preconditions. One complete const table per level (arch/<level>/table.c), which begins with the entries of the
 * level below and says what is its own. arch/generic is the definition that every other level is compared with.
 *
 * Strides (ld*) count elements. Pointers need the alignment of their element type only, unless a line says otherwise.
 * Nothing is read or written outside the stated ranges. Buffers are disjoint unless a line allows aliasing.
 * Kernels add in a fixed order that depends on k (or d) only, never on how rows and columns were split into calls: the same
 * output element has the same bits whichever call computed it.
 * An output element in which a NaN or an infinity takes part, be its factor 0, is not finite, and the others keep their bits, unless a
 * line says otherwise; nor is one finite and wrong whose sum, or a part of it, is beyond the largest float.
 */
#ifndef PRISM_KERNELS_H
#define PRISM_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/gguf/types.h" /* enum prism_type: the quantised types */

/* Best last within each processor family; the order is that of prism_level_name. */
enum prism_level {
    PRISM_LEVEL_GENERIC,
    PRISM_LEVEL_AVX2,       /* AVX2 + FMA + F16C */
    PRISM_LEVEL_AVXVNNI,    /* + AVX-VNNI, its 256-bit form (Alder Lake and later, where there is no AVX-512) */
    PRISM_LEVEL_AVX512,     /* AVX2 + AVX-512 F BW DQ VL */
    PRISM_LEVEL_AVX512VNNI, /* + VNNI (Cascade Lake and later; chosen on Intel's processors with BF16 too, where it is faster) */
    PRISM_LEVEL_AVX512BF16, /* + VNNI + BF16 (Zen 4 and later) */
    PRISM_LEVEL_NEON,       /* ARMv8-A */
    PRISM_LEVEL_NEON_I8MM_BF16,
    PRISM_N_LEVELS
};

/* ---- stored weights to numbers ------------------------------------------------------------------------------------ */

/* y[0..n) = the n stored values at x. n is a multiple of the type's block (prism_type_info). Exact formula of
 * formats-and-peers.md 3.2: halves widened to fp32, products in fp32, d*q then -m; bit-equal at every level. */
typedef void prism_to_f32_fn(float *y, const void *x, size_t n);

/* The same values as signed bytes in groups of 32: value = d[g] * q[i] + m[g], where d or m is not finite when one of the values is not.
 * q: n bytes, d, m: n/32 floats. m is NULL or receives 0 for types that are symmetric (prism_type_info.has_min false). Exact for types whose
 * scales span 32 values or more; those with scales of 16 are requantised: d = max|value|/127, round half to even. n as above. */
typedef void prism_to_i8_fn(int8_t *q, float *d, float *m, const void *x, size_t n);

/* ---- linear layers -------------------------------------------------------------------------------------------------- */

struct prism_gemm_args {
    float *c;              /* [rows][cols], row stride ldc >= cols */
    size_t ldc;
    const void *a;         /* ceil(rows / mr) activation panels, one after the other; 64-byte aligned */
    const void *w;         /* ceil(cols / nr) weight panels, one after the other; 64-byte aligned */
    size_t rows, cols, k;
    bool add;              /* c += a.w instead of c = a.w */
};

/* One way to multiply: how weights and activations are laid out in panels, and the kernel that reads them. Panels are opaque
 * to the caller, who asks for their size (a multiple of 64 bytes each) and keeps them back to back.
 * A panel that is only partly filled (last rows or columns) is padded with zeros by the packer. */
struct prism_linear {
    const char *name;      /* "f32", "i8", "i8w", "i8x2", "i16", "bf16": printed by --kernels */
    unsigned mr, nr;       /* activation rows per panel (divides 24), weight columns (= output features) per panel (at most 64) */
    unsigned k_step;       /* k must be a multiple of this (1, 2, 32 or 64) */
    unsigned few_rows;     /* up to so many rows the level's gemv takes less time than packing: measured; 0: up to 16 */
    unsigned a_part;       /* an activation panel of k is the panels of its parts, one after the other, when k is cut at multiples of this:
                            * a_bytes(part) before the next, each packed on its own. 0: only as a whole */
    size_t (*a_bytes)(size_t k);
    size_t (*w_bytes)(size_t k);

    /* One weight panel from cols <= nr stored rows of k values of `type`, row_bytes apart. 64-byte aligned panel. */
    void (*pack_w)(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k);

    /* One activation panel from rows <= mr rows of k floats, stride ldx. i8: groups of 32 with d = max|x|/127 and
     * round half to even, i8w (groups of 64) the same, i8x2 and i16 (groups of k_step) likewise with finer steps; bf16: round half to even. */
    void (*pack_a)(void *panel, const float *x, size_t ldx, size_t rows, size_t k);

    void (*gemm)(const struct prism_gemm_args *args);

    /* Bound for |c - exact|, exact = the double product of the *original* float activations and dequantised weights:
     * a_err * sum|x_max32 * w| + w_err * sum|x * w_max32| + a_err * w_err * sum|x_max32 * w_max32| + k * FLT_EPSILON * sum|x * w|,
     * where x_max32, w_max32 stand for the largest magnitude in the value's group of 32 (of k_step, if that is more; bf16: the value itself;
     * weights of i8w: the 256; of Q4_0 and Q4_K: the largest that the scales of these can express). f32: 0, 0. */
    float a_err, w_err;
};

/* y[i][j] = sum over k of x[i][.] * w[j][.], straight from stored rows: decode and very short prompts, bound by memory.
 * x: [n_rows][k] fp32 stride ldx, y: [n_rows][cols] stride ldy. n_rows 1..PRISM_GEMV_ROWS. Sums in fp32. Activations stay fp32. */
#define PRISM_GEMV_ROWS 8
typedef void prism_gemv_fn(float *y, size_t ldy, const float *x, size_t ldx, size_t n_rows, const void *w, size_t row_bytes,
                           enum prism_type type, size_t cols, size_t k);

/* The same product from quantised weights by integers: activations are rounded to two bytes once, and a vector instruction then does
 * two or four times the multiply-adds of fp32, which is what makes the narrow types bound by memory. */
struct prism_gemv {
    const char *name;                      /* "i16": printed by --kernels */
    size_t (*x_bytes)(size_t k);           /* of one packed row: a multiple of 64 */
    void (*pack_x)(void *packed, const float *x, size_t k); /* groups of 32 with d = max|x| / 32639, round half to even; 64-byte aligned */

    /* x: n_rows packed rows, x_bytes(k) apart. The rest as prism_gemv_fn. k % 32 == 0. */
    void (*gemv)(float *y, size_t ldy, const void *x, size_t n_rows, const void *w, size_t row_bytes, enum prism_type type, size_t cols,
                 size_t k);

    /* Bound for |y - exact|: x_err * sum|x_max32 * w| + k * FLT_EPSILON * sum|x| * (|d * u| + |m|), where a stored value is d * u + m:
     * u the field without a sign, 0 .. 2^bits - 1, where the type has one (Q8_0: its byte + 128), else the integer itself, with m = 0. */
    float x_err;
};

/* ---- vectors ---------------------------------------------------------------------------------------------------------- */

/* y[i] = w[i] * x[i] / sqrt(mean(x^2) + eps), i < n. w NULL: all ones. y == x allowed. Returns the sum of squares, within 1e-6 relative. All y are
 * NaN when an x is not finite. */
typedef double prism_rms_norm_fn(float *y, const float *x, const float *w, size_t n, float eps);

/* y[i] = w[i] * (x[i] - mean(x)) / sqrt(mean((x - mean(x))^2) + eps) + b[i], i < n. w NULL: all ones; b NULL: zeros. y == x allowed. Mean and variance
 * in double, the variance in a pass of its own. Returns the sum of squares of x, within 1e-6 relative. All y are NaN when an x is not finite. */
typedef double prism_layer_norm_fn(float *y, const float *x, const float *w, const float *b, size_t n, float eps);

/* Rotate the first n_rot values of one head in place by n_rot/2 angles; c, s: n_rot/2 cosines and sines (already times the
 * YaRN magnitude). interleaved: pairs (2i, 2i+1), the "NORM" order; else (i, i + n_rot/2), the "NEOX" order. */
typedef void prism_rope_fn(float *x, const float *c, const float *s, size_t n_rot, bool interleaved);

/* c[t][i] = mag * cos((pos + t) * freq[i]), s likewise, t < n_pos, i < n_freq; rows n_freq apart. Angles in double (SLEEF). */
typedef void prism_rope_table_fn(float *c, float *s, const double *freq, size_t n_freq, size_t pos, size_t n_pos, float mag);

/* x[i] = f(x[i]), i < n. f and its largest relative error, in units of FLT_EPSILON, also in the tails; but what is below 2^-120 may become 0:
 *   SILU      x / (1 + exp(-x)), 2
 *   GELU      x / (1 + exp(-t)), t = sqrt(8 / pi) (x + 0.044715 x^3), 2 + 2.5 |t| / (1 + exp(t)): 0.5 x (1 + tanh(t / 2)), which would cancel
 *   GELU_ERF  0.5 x erfc(-x / sqrt 2), 8, and x^2 / 4 more for x < 0: 0.5 x (1 + erf(x / sqrt 2)), which would cancel
 *   RELU2     max(0, x)^2, 0.5
 * exp is SLEEF's, 1.0 ULP. An infinity becomes NaN or +infinity, also -infinity, where the limits are 0.
 * An element's bits do not depend on its place. */
enum prism_act { PRISM_ACT_GELU, PRISM_ACT_GELU_ERF, PRISM_ACT_RELU2, PRISM_ACT_SILU, PRISM_N_ACTS };
typedef void prism_act_fn(float *x, size_t n);

/* gate[i] = f(gate[i], up[i]), i < n, as above; the last product adds 0.5 to the error, and the small number is 2^-120 times |u|:
 *   SWIGLU, GEGLU, GEGLU_ERF  SILU, GELU, GELU_ERF of the gate, times up
 *   SIGMOID                   up / (1 + exp(-gate)), 3
 *   SWIGLU_CLAMPED            g / (1 + exp(-1.702 g)) * (u + 1), g = min(gate, 7), u = up within -7 .. 7, 3 + 1.702 |g| / (1 + exp(1.702 g)): that of
 *                             gpt-oss. An infinity of either becomes NaN, not the limit */
enum prism_gate { PRISM_GATE_SWIGLU, PRISM_GATE_GEGLU, PRISM_GATE_GEGLU_ERF, PRISM_GATE_SWIGLU_CLAMPED, PRISM_GATE_SIGMOID, PRISM_N_GATES };
typedef void prism_gate_fn(float *gate, const float *up, size_t n);

/* A small product of rows as they lie, for operands that stay near a core: c[i][j] = c[i][j] or 0, plus a[i * a_row + p * a_k] * b[p][j] for p = 0, 1,
 * ... k - 1 in this order. Rows of b and c are ldb and ldc apart, cols long. k 0: c stays, or becomes 0. */
struct prism_matmul {
    float *c;
    size_t ldc;
    const float *a;
    size_t a_row, a_k;
    const float *b;
    size_t ldb;
    size_t rows, cols, k;
    bool add;              /* to what c holds */
};
typedef void prism_matmul_fn(const struct prism_matmul *m);

/* y[i] = exp(to - from[i]), i < n, for from[i] >= to: what is left between two places of a sum of logarithms. The difference in double, rounded once;
 * 1.5 ULP, and what is below 2^-120 may become 0. NaN when `to` or from[i] is not finite. */
typedef void prism_decay_fn(float *y, double to, const double *from, size_t n);

/* x[i] = cap * tanh(x[i] / cap), i < n, cap > 0 and finite: off by 4e-7 * cap (PRISM_ATTN_CAP_ERR says of what) plus FLT_EPSILON * |result|. An
 * infinity becomes NaN, though its limit is the cap. An element's bits do not depend on its place. */
typedef void prism_softcap_fn(float *x, float cap, size_t n);

/* Every level gives the same bits. */
typedef void prism_add_fn(float *y, const float *x, size_t n);                 /* y += x */
typedef void prism_add_scaled_fn(float *y, float a, const float *x, size_t n); /* y += a * x, the product rounded first */
typedef void prism_scale_fn(float *y, float a, size_t n);                      /* y *= a */

/* fp32 <-> half and bf16, round half to even, NaN stays NaN, overflow to infinity. */
typedef void prism_to_16_fn(uint16_t *y, const float *x, size_t n);
typedef void prism_from_16_fn(float *y, const uint16_t *x, size_t n);

/* fp32 to blocks of Q8_0, n % 32 == 0; y of any alignment. The scale s is max|x| / 127 as the nearest half or, where that lies so far below
 * (subnormal halves) that a byte would not reach, the next; a byte is x * (1 / s) rounded half to even: off by s / 2 and a rounding of fp32 at
 * most. A block with a NaN, an infinity, or more than 127 * 65519 becomes a scale that is not finite and bytes 0: all NaN when it is read.
 * The same bits at every level, but for the payload of a NaN. */
typedef void prism_to_q8_0_fn(void *y, const float *x, size_t n);

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

/* ---- what the processor can do at most ---- */

enum prism_peak_kind { PRISM_PEAK_F32, PRISM_PEAK_I8, PRISM_PEAK_I16, PRISM_PEAK_BF16, PRISM_N_PEAKS };

const char *prism_peak_label(enum prism_peak_kind kind); /* "f32", "i8", "i16", "bf16" */

/* n >= 1 steps of the level's multiply-add of a kind on registers alone: floats; bytes, and pairs of int16, into int32 by the fastest
 * sequence that never saturates; pairs of bf16 into floats. Returns the operations done, two per multiply-add; a microsecond is about 300 steps. */
typedef double prism_peak_fn(size_t n);

/* What a level names after the types (src/gguf/type_list.h): prism_to_f32_q4_0_avx2 and so on; and entries of its table for each of them. */
#define PRISM_DECLARE_TO_F32(level, NAME, name, ...) extern prism_to_f32_fn prism_to_f32_##name##_##level;
#define PRISM_DECLARE_TO_I8(level, NAME, name, ...)  extern prism_to_i8_fn prism_to_i8_##name##_##level;
#define PRISM_ENTRY_TO_F32(level, NAME, name, ...)   [PRISM_##NAME] = prism_to_f32_##name##_##level,
#define PRISM_ENTRY_TO_I8(level, NAME, name, ...)    [PRISM_##NAME] = prism_to_i8_##name##_##level,
#define PRISM_ENTRY(value, NAME, ...)                [PRISM_##NAME] = value,

/* The types of "i8w" where a level has it: of at most six bits, those that models are rounded to and not trained in. Beside them also Q6_K. */
#define PRISM_I8W_TYPES(X, A)                                                                               \
    X(A, Q4_0) X(A, Q4_1) X(A, Q5_0) X(A, Q5_1) X(A, Q2_K) X(A, Q3_K) X(A, Q4_K) X(A, Q5_K) X(A, IQ4_NL)    \
    X(A, IQ4_XS) X(A, IQ2_XXS) X(A, IQ2_XS) X(A, IQ2_S) X(A, IQ3_XXS) X(A, IQ3_S) X(A, IQ1_S) X(A, IQ1_M)

/* ---- the table --------------------------------------------------------------------------------------------------------- */

struct prism_kernels {
    enum prism_level level;
    const char *name;                                  /* "generic", "avx2", ... */

    prism_to_f32_fn *to_f32[PRISM_N_TYPES];            /* complete */
    prism_to_i8_fn *to_i8[PRISM_N_TYPES];              /* NULL where the type has no blocks of 32 (F32, F16, BF16) */

    const struct prism_linear *linear_f32;             /* --compute f32 */
    const struct prism_linear *linear_auto[PRISM_N_TYPES]; /* --compute auto, by type of the weights; measured choice */
    const struct prism_linear *linear_finer[PRISM_N_TYPES]; /* finer activations, for the products where an int8 step is seen most
                                                             * (src/engine/kinds.c); NULL: linear_auto's are fine enough */
    const struct prism_linear *linear_beside_few[PRISM_N_TYPES]; /* for these products beside weights of few bits; NULL: linear_auto */
    prism_gemv_fn *gemv;                               /* complete: --compute f32, and types without an entry in gemv_auto */
    const struct prism_gemv *gemv_auto[PRISM_N_TYPES]; /* --compute auto; NULL: gemv */

    prism_rms_norm_fn *rms_norm;
    prism_layer_norm_fn *layer_norm;
    prism_rope_fn *rope;
    prism_rope_table_fn *rope_table;
    prism_gate_fn *gate[PRISM_N_GATES];
    prism_act_fn *act[PRISM_N_ACTS];
    prism_matmul_fn *matmul;
    prism_decay_fn *decay;
    prism_softcap_fn *softcap;
    prism_add_fn *add;
    prism_add_scaled_fn *add_scaled;
    prism_scale_fn *scale;
    prism_to_16_fn *f32_to_f16, *f32_to_bf16;
    prism_from_16_fn *f16_to_f32, *bf16_to_f32;
    prism_to_q8_0_fn *f32_to_q8_0;

    const struct prism_attention *attention_f32;       /* --compute f32 */
    const struct prism_attention *attention_auto;
    prism_attn_row_fn *attn_row;                       /* in fp32: --compute f32 */
    prism_attn_row_fn *attn_row_auto;                  /* --compute auto: of Q8_0 it may multiply integers, PRISM_ATTN_ROW_Q_STEP */

    prism_band_dots_fn *band_dots;
    prism_softmax_q30_fn *softmax_q30;
    prism_sketch_pack_fn *sketch_pack;
    prism_sketch_scan_fn *sketch_scan;
    prism_sketch_needed_fn *sketch_needed;

    prism_peak_fn *peak[PRISM_N_PEAKS];                /* NULL where the level has no instruction for it; fp32 always */
};

/* What a level multiplies weights of a type with, i < PRISM_TYPE_KINDS; NULL where it has nothing for case i. Some may be the same. */
enum { PRISM_TYPE_KINDS = 3 };
static inline const struct prism_linear *prism_type_kind(const struct prism_kernels *k, enum prism_type t, int i)
{
    return (i == 0 ? k->linear_auto : i == 1 ? k->linear_finer : k->linear_beside_few)[t];
}

/* Tables that this build contains, indexed by level; NULL where the level belongs to another processor family. */
extern const struct prism_kernels *const prism_kernels_by_level[PRISM_N_LEVELS];

/* arch/detect.c: what the processor (and the operating system's register saving) supports. */
bool prism_level_runs_here(enum prism_level level);
bool prism_level_is_native(enum prism_level level); /* by its own instructions: under PRISM_SIMDE more levels run; peak kernels do not */
enum prism_level prism_level_best(void); /* the last that runs here, but for one that is slower here than the one before */
const char *prism_level_label(enum prism_level level); /* also for levels that are not compiled in */

#endif
