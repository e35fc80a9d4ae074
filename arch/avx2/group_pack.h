/* group_pack.h - weights and activations to the panels of group_tile.h. Included by files that define
 *     row_words(words, start, d, m, row, n, type)   n <= 256 stored values of a row as words, and what their groups of 32 have else
 * from where the words of 16 columns are transposed into their places. */
#ifndef PRISM_AVX2_GROUP_PACK_H
#define PRISM_AVX2_GROUP_PACK_H

#include "arch/avx2/group_tile.h"
#include "arch/avx2/lines.h"
#include "arch/avx2/quantize.h"

enum { PIECE = 256, PIECE_GROUPS = PIECE / 32 }; /* values of a row at a time: the largest block of a type */

static void row_words(int32_t *words, int32_t *start, float *d, float *m, const void *row, size_t n, enum prism_type type);

/* has_min: of the words that row_words makes of the type. */
static void pack_columns(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k, bool has_min)
{
    _Alignas(32) int32_t words[NR][PIECE_GROUPS * WORDS], start[NR][PIECE_GROUPS];
    _Alignas(32) float d[NR][PIECE_GROUPS], m[NR][PIECE_GROUPS];
    const size_t group = has_min ? W_GROUP_MIN : W_GROUP;
    assert(cols >= 1 && cols <= NR && k % 32 == 0 && k % prism_types[type].block == 0 && (uintptr_t)panel % 64 == 0);

    memset(panel, 0, W_HEADER);
    *(uint32_t *)panel = has_min;
    memset(words, 0, sizeof words);
    memset(start, 0, sizeof start);
    memset(d, 0, sizeof d);
    memset(m, 0, sizeof m);
    for (size_t k0 = 0; k0 < k; k0 += PIECE) {
        const size_t n = k - k0 < PIECE ? k - k0 : PIECE;
        char *out = (char *)panel + W_HEADER + k0 / 32 * group;
        for (size_t j = 0; j < cols; j++) {
            const char *row = (const char *)rows + j * row_bytes + prism_row_bytes(type, k0);
            fetch_next(row, prism_row_bytes(type, PIECE));
            row_words(words[j], start[j], d[j], m[j], row, n, type);
        }
        for (size_t g = 0; g < n / 32; g++)
            for (size_t i = 0; i < WORDS; i += 8)
                put_lines(out + g * group + i * NR * 4, NR * 4, words[0] + g * WORDS + i, sizeof words[0], 8);
        put_lines(out + W_D, group, d, sizeof d[0], n / 32);
        if (HAS_START)
            put_lines(out + W_START, group, start, sizeof start[0], n / 32);
        if (has_min)
            put_lines(out + W_M, group, m, sizeof m[0], n / 32);
    }
}

/* Activations. limit, tiny, put: see quantize_groups; put makes WORDS words. */
PRISM_INLINE void pack_rows(void *panel, const float *x, size_t ldx, size_t rows, size_t k, float limit, float tiny, put_group_fn *put)
{
    const size_t groups = k / 32;
    assert(rows >= 1 && rows <= MR && k % 32 == 0 && (uintptr_t)panel % 64 == 0);

    if (rows < MR)
        memset(panel, 0, a_bytes(k)); /* d = 0: whatever the integers say, the product is 0 */
    for (size_t g = 0; g < groups; g += 8) {
        const size_t n = groups - g < 8 ? groups - g : 8;
        char *out = (char *)panel + g * A_GROUP;
        for (size_t i = 0; i < rows; i++) {
            struct group_scales s;
            quantize_groups(&s, out + i * WORDS * 4, A_GROUP, x + i * ldx + 32 * g, n, limit, tiny, put);
            for (size_t j = 0; j < n; j++) {
                float *d = (float *)(void *)(out + j * A_GROUP + A_D) + i;
                d[0] = s.d[j];
                d[MR] = s.d_sum[j];
            }
        }
    }
}

#endif
