/* pack.h - panels of weights and activations, parametrised by the panel's width; shared by the packers of every level.
 *
 * All layouts are the same transposition of 32-bit words: word i of row j goes to panel[i * width + j], where a word is one
 * fp32, two bf16 of neighbouring k, or four int8 of neighbouring k. Rows that a panel lacks become zeros.
 *
 *   f32   [k][width] floats
 *   bf16  [k/2][width][2]                          k even (k_step 32 in our linears)
 *   i8    per group of 32 k: [8][width][4] bytes, then d[width] floats, then (weights) m[width] or (activations) d*sum[width]
 *         = 40 * width bytes per group: a multiple of 64 when width is a multiple of 8
 *
 * Widths are compile-time constants at each call. static inline only: files with different ISA flags include this. */
#ifndef PRISM_ARCH_GENERIC_PACK_H
#define PRISM_ARCH_GENERIC_PACK_H

#include <assert.h>

#include "arch/generic/bits.h"
#include "arch/generic/unpack.h"
#include "src/kernels.h"

#define PRISM_PACK_PIECE 256 /* values unpacked at a time: the largest block */

static inline size_t prism_round_up_64(size_t n) { return (n + 63) / 64 * 64; }
static inline size_t prism_panel_f32_bytes(size_t k, size_t width) { return prism_round_up_64(k * width * 4); }
static inline size_t prism_panel_bf16_bytes(size_t k, size_t width) { return prism_round_up_64(k * width * 2); }
static inline size_t prism_panel_i8_bytes(size_t k, size_t width) { return prism_round_up_64(k / 32 * width * 40); }

/* dst[i * width + lane] = src[lane][i], lane < lanes <= 4, i < n. 16-byte vectors exist in the baseline of both families. */
static inline void prism_transpose_4(uint32_t *dst, size_t width, size_t lanes, uint32_t (*src)[PRISM_PACK_PIECE], size_t n)
{
    typedef uint32_t u32x4 __attribute__((vector_size(16)));
    size_t i = 0;

    if (lanes == 4)
        for (; i + 4 <= n; i += 4) {
            u32x4 a, b, c, d;
            memcpy(&a, src[0] + i, 16);
            memcpy(&b, src[1] + i, 16);
            memcpy(&c, src[2] + i, 16);
            memcpy(&d, src[3] + i, 16);
            u32x4 ac_low = __builtin_shufflevector(a, c, 0, 4, 1, 5), ac_high = __builtin_shufflevector(a, c, 2, 6, 3, 7);
            u32x4 bd_low = __builtin_shufflevector(b, d, 0, 4, 1, 5), bd_high = __builtin_shufflevector(b, d, 2, 6, 3, 7);
            a = __builtin_shufflevector(ac_low, bd_low, 0, 4, 1, 5);
            b = __builtin_shufflevector(ac_low, bd_low, 2, 6, 3, 7);
            c = __builtin_shufflevector(ac_high, bd_high, 0, 4, 1, 5);
            d = __builtin_shufflevector(ac_high, bd_high, 2, 6, 3, 7);
            memcpy(dst + (i + 0) * width, &a, 16);
            memcpy(dst + (i + 1) * width, &b, 16);
            memcpy(dst + (i + 2) * width, &c, 16);
            memcpy(dst + (i + 3) * width, &d, 16);
        }
    for (; i < n; i++)
        for (size_t lane = 0; lane < lanes; lane++)
            memcpy(dst + i * width + lane, src[lane] + i, 4);
}

static inline void prism_pairs_bf16(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = prism_f32_to_bf16(x[i]);
}

/* ---- weights: rows stored as `type`, row_bytes apart, cols <= width of them ---- */

/* to_f32: the level's table of unpackers. bf16: panel of pairs instead of floats. */
static inline __attribute__((always_inline)) void prism_pack_w_float(uint32_t *panel, size_t width, bool bf16,
    prism_to_f32_fn *const *to_f32, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    uint32_t words[4][PRISM_PACK_PIECE];
    float piece[PRISM_PACK_PIECE];

    assert(cols >= 1 && cols <= width && (uintptr_t)panel % 64 == 0);
    for (size_t j0 = 0; j0 < width; j0 += 4) {
        size_t lanes = width - j0 < 4 ? width - j0 : 4;
        for (size_t k0 = 0; k0 < k; k0 += PRISM_PACK_PIECE) {
            size_t n = k - k0 < PRISM_PACK_PIECE ? k - k0 : PRISM_PACK_PIECE, n_words = bf16 ? n / 2 : n;
            for (size_t lane = 0; lane < lanes; lane++) {
                const uint8_t *row = (const uint8_t *)rows + (j0 + lane) * row_bytes + prism_row_bytes(type, k0);
                if (j0 + lane >= cols) {
                    memset(words[lane], 0, n_words * 4);
                } else if (bf16) {
                    to_f32[type](piece, row, n);
                    prism_pairs_bf16((uint16_t *)(void *)words[lane], piece, n);
                } else {
                    to_f32[type]((float *)(void *)words[lane], row, n);
                }
            }
            prism_transpose_4(panel + (bf16 ? k0 / 2 : k0) * width + j0, width, lanes, words, n_words);
        }
    }
}

/* to_i8: the level's table; the type must have blocks of 32. m of symmetric types is 0. */
static inline __attribute__((always_inline)) void prism_pack_w_i8(void *panel, size_t width, prism_to_i8_fn *const *to_i8,
    const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    int8_t q[PRISM_PACK_PIECE];
    float d[PRISM_PACK_PIECE / 32], m[PRISM_PACK_PIECE / 32];
    uint32_t words[4][PRISM_PACK_PIECE];

    assert(cols >= 1 && cols <= width && k % 32 == 0 && to_i8[type] && (uintptr_t)panel % 64 == 0);
    for (size_t j0 = 0; j0 < width; j0 += 4) {
        size_t lanes = width - j0 < 4 ? width - j0 : 4;
        for (size_t k0 = 0; k0 < k; k0 += PRISM_PACK_PIECE) {
            size_t n = k - k0 < PRISM_PACK_PIECE ? k - k0 : PRISM_PACK_PIECE, groups = n / 32;
            /* Ten words per group and row: eight of bytes, d, m. */
            for (size_t lane = 0; lane < lanes; lane++) {
                if (j0 + lane >= cols) {
                    memset(words[lane], 0, groups * 40);
                    continue;
                }
                to_i8[type](q, d, m, (const uint8_t *)rows + (j0 + lane) * row_bytes + prism_row_bytes(type, k0), n);
                for (size_t g = 0; g < groups; g++) {
                    memcpy(words[lane] + 10 * g, q + 32 * g, 32);
                    memcpy(words[lane] + 10 * g + 8, d + g, 4);
                    memcpy(words[lane] + 10 * g + 9, m + g, 4);
                }
            }
            prism_transpose_4((uint32_t *)panel + k0 / 32 * 10 * width + j0, width, lanes, words, groups * 10);
        }
    }
}

/* ---- activations: rows <= width rows of k floats, stride ldx ---- */

static inline __attribute__((always_inline)) void prism_pack_a_float(uint32_t *panel, size_t width, bool bf16, const float *x,
                                                                     size_t ldx, size_t rows, size_t k)
{
    uint32_t words[4][PRISM_PACK_PIECE];

    assert(rows >= 1 && rows <= width && (uintptr_t)panel % 64 == 0);
    for (size_t i0 = 0; i0 < width; i0 += 4) {
        size_t lanes = width - i0 < 4 ? width - i0 : 4;
        for (size_t k0 = 0; k0 < k; k0 += PRISM_PACK_PIECE) {
            size_t n = k - k0 < PRISM_PACK_PIECE ? k - k0 : PRISM_PACK_PIECE, n_words = bf16 ? n / 2 : n;
            for (size_t lane = 0; lane < lanes; lane++) {
                if (i0 + lane >= rows)
                    memset(words[lane], 0, n_words * 4);
                else if (bf16)
                    prism_pairs_bf16((uint16_t *)(void *)words[lane], x + (i0 + lane) * ldx + k0, n);
                else
                    memcpy(words[lane], x + (i0 + lane) * ldx + k0, n * 4);
            }
            prism_transpose_4(panel + (bf16 ? k0 / 2 : k0) * width + i0, width, lanes, words, n_words);
        }
    }
}

/* The last word of a group is d * (sum of its 32 bytes): what the weights' m is multiplied with. */
static inline __attribute__((always_inline)) void prism_pack_a_i8(void *panel, size_t width, const float *x, size_t ldx, size_t rows,
                                                                  size_t k)
{
    uint32_t words[4][PRISM_PACK_PIECE];

    assert(rows >= 1 && rows <= width && k % 32 == 0 && (uintptr_t)panel % 64 == 0);
    for (size_t i0 = 0; i0 < width; i0 += 4) {
        size_t lanes = width - i0 < 4 ? width - i0 : 4;
        for (size_t k0 = 0; k0 < k; k0 += PRISM_PACK_PIECE) {
            size_t groups = (k - k0 < PRISM_PACK_PIECE ? k - k0 : PRISM_PACK_PIECE) / 32;
            for (size_t lane = 0; lane < lanes; lane++) {
                if (i0 + lane >= rows) {
                    memset(words[lane], 0, groups * 40);
                    continue;
                }
                for (size_t g = 0; g < groups; g++) {
                    int8_t q[32];
                    float d = prism_quantize_32(q, x + (i0 + lane) * ldx + k0 + 32 * g), d_sum;
                    int sum = 0;
                    for (int i = 0; i < 32; i++)
                        sum += q[i];
                    d_sum = d * (float)sum;
                    memcpy(words[lane] + 10 * g, q, 32);
                    memcpy(words[lane] + 10 * g + 8, &d, 4);
                    memcpy(words[lane] + 10 * g + 9, &d_sum, 4);
                }
            }
            prism_transpose_4((uint32_t *)panel + k0 / 32 * 10 * width + i0, width, lanes, words, groups * 10);
        }
    }
}

#endif
