/* linear_body.h - linear layers on 32-bit words of one fp32 or two bf16: panels of 12 activation rows and 32 weight columns, and
 * the product. Included by linear_f32.c and arch/avx512bf16/linear_bf16.c, which first include their level's words.h.
 *
 * Layout, in words: A panel [k][12], W panel [k][32]. One tile of c is 12 x 32: 24 accumulators, 2 registers of W and one
 * broadcast of A leave the 32 registers free of spills, and 14 loads feed 24 multiply-adds.
 * Blocking: KC words of k and NC columns at a time: that part of W (512 KiB) stays in L2 while each A panel passes by it once;
 * c is walked along its rows, so that a page of it is met once per pass. Each element adds its products in k order within a
 * KC block, and the blocks one after the other: the order depends on k only. */
#ifndef PRISM_AVX512_LINEAR_BODY_H
#define PRISM_AVX512_LINEAR_BODY_H

#include <assert.h>
#include <string.h>

#include "arch/avx512/avx512.h"
#include "arch/avx512/tile.h"

enum { MR = 12, NR = 32, KC = 1024, NC = 4 * NR };

static size_t a_bytes(size_t k)
{
    return (k / PER_WORD * MR * sizeof(float) + 63) / 64 * 64;
}

static size_t w_bytes(size_t k)
{
    return k / PER_WORD * NR * sizeof(float);
}

/* W panel: 16 rows at a time become numbers in a buffer, CHUNK values each, and are transposed into their half panel. */
static void pack_w(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    enum { CHUNK = 256 }; /* the largest block of a type */
    _Alignas(64) float buf[16][CHUNK];
    prism_to_f32_fn *to_f32 = prism_kernels_avx512.to_f32[type];
    const size_t block = prism_types[type].block, block_bytes = prism_types[type].bytes;
    assert(cols >= 1 && cols <= NR && k % block == 0 && k % PER_WORD == 0);

    for (size_t j0 = 0; j0 < NR; j0 += 16) {
        float *out = (float *)panel + j0;
        memset(buf, 0, sizeof buf);
        for (size_t k0 = 0; k0 < k; k0 += CHUNK) {
            size_t n = k - k0 < CHUNK ? k - k0 : CHUNK;
            for (size_t j = j0; j < cols && j < j0 + 16; j++)
                to_f32(buf[j - j0], (const char *)rows + j * row_bytes + k0 / block * block_bytes, n);
            for (size_t i = 0; i < n; i += 16 * PER_WORD) {
                __m512 r[16];
                for (size_t j = 0; j < 16; j++)
                    r[j] = words_from_floats(buf[j] + i);
                vec_transpose_16(r);
                for (size_t l = 0; l < 16 && i + l * PER_WORD < n; l++)
                    _mm512_store_ps(out + ((k0 + i) / PER_WORD + l) * NR, r[l]);
            }
        }
    }
}

static void pack_a(void *panel, const float *x, size_t ldx, size_t rows, size_t k)
{
    float *out = panel;
    assert(rows >= 1 && rows <= MR && k % PER_WORD == 0);
    for (size_t i = 0; i < k; i += 16 * PER_WORD) {
        const size_t n = k - i < 16 * PER_WORD ? k - i : 16 * PER_WORD;
        __m512 r[16];
        for (size_t j = 0; j < 16; j++)
            r[j] = j < rows ? words_from_part(x + j * ldx + i, n) : _mm512_setzero_ps();
        vec_transpose_16(r);
        for (size_t l = 0; l < 16 && l * PER_WORD < n; l++)
            _mm512_mask_storeu_ps(out + (i / PER_WORD + l) * MR, (1u << MR) - 1, r[l]);
    }
}

/* c[12][32] = (or +=, when add) a.w over n words. */
static __attribute__((noinline)) void tile(float *c, size_t ldc, const float *a, const float *w, size_t n, bool add)
{
    struct pair c0 = pair_zero(), c1 = c0, c2 = c0, c3 = c0, c4 = c0, c5 = c0, c6 = c0, c7 = c0, c8 = c0, c9 = c0, c10 = c0, c11 = c0;
    for (size_t i = 0; i < MR; i++)
        pair_prefetch(c + i * ldc);
    for (; n > 0; n--, a += MR, w += NR) {
        const struct pair b = pair_load(w, w + 16);
        madd(&c0, _mm512_set1_ps(a[0]), b);
        madd(&c1, _mm512_set1_ps(a[1]), b);
        madd(&c2, _mm512_set1_ps(a[2]), b);
        madd(&c3, _mm512_set1_ps(a[3]), b);
        madd(&c4, _mm512_set1_ps(a[4]), b);
        madd(&c5, _mm512_set1_ps(a[5]), b);
        madd(&c6, _mm512_set1_ps(a[6]), b);
        madd(&c7, _mm512_set1_ps(a[7]), b);
        madd(&c8, _mm512_set1_ps(a[8]), b);
        madd(&c9, _mm512_set1_ps(a[9]), b);
        madd(&c10, _mm512_set1_ps(a[10]), b);
        madd(&c11, _mm512_set1_ps(a[11]), b);
    }
    pair_put_6(c, ldc, c0, c1, c2, c3, c4, c5, add);
    pair_put_6(c + 6 * ldc, ldc, c6, c7, c8, c9, c10, c11, add);
}

static void gemm(const struct prism_gemm_args *g)
{
    const size_t a_panel = a_bytes(g->k) / sizeof(float), w_panel = w_bytes(g->k) / sizeof(float), words = g->k / PER_WORD;
    assert((uintptr_t)g->a % 64 == 0 && (uintptr_t)g->w % 64 == 0 && g->k > 0);

    for (size_t n = 0; n < g->cols; n += NC)
        for (size_t l = 0; l < words; l += KC) {
            const size_t n_end = n + NC < g->cols ? n + NC : g->cols, kc = l + KC < words ? KC : words - l;
            const bool add = g->add || l > 0;
            for (size_t i = 0; i < g->rows; i += MR)
                for (size_t j = n; j < n_end; j += NR) {
                    const float *a = (const float *)g->a + i / MR * a_panel + l * MR;
                    const float *w = (const float *)g->w + j / NR * w_panel + l * NR;
                    float *c = g->c + i * g->ldc + j;
                    const size_t rows = g->rows - i < MR ? g->rows - i : MR, cols = n_end - j < NR ? n_end - j : NR;
                    if (rows == MR && cols == NR) {
                        tile(c, g->ldc, a, w, kc, add);
                    } else {
                        _Alignas(64) float part[MR * NR];
                        tile(part, NR, a, w, kc, false);
                        tile_put_part(c, g->ldc, part, rows, cols, add);
                    }
                }
        }
}

#endif
