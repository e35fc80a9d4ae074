/* sketch.c - sketched queries against the keys of a block by vpdpbusd: see struct prism_sketch_rows.
 *
 * A tile is 6 rows times 64 keys, 24 sums in registers. Keys are the unsigned operand, whose offset of 128 costs each row a constant, its bias. */
#include <assert.h>
#include <string.h>

#include "arch/avx512/simd.h"
#include "arch/avx512vnni/avx512vnni.h"

enum { ROWS = 6, LANES = 16 };

static inline __m512i four(const int8_t *q)
{
    int32_t v;
    memcpy(&v, q, 4);
    return _mm512_set1_epi32(v);
}

/* The largest sums of `rows` rows with keys [first, first + 16 n) of the block, by lane, joined with what is in best. */
static inline __attribute__((always_inline)) void tile(const struct prism_sketch_rows *a, size_t row, size_t rows, size_t first, int n, __m512i *best)
{
    __m512i sum[ROWS][4];
    const uint8_t *keys = a->keys + first * 4;
    const int8_t *q = a->q + row * a->rank;

    for (size_t r = 0; r < ROWS; r++)
        for (int v = 0; v < n; v++)
            sum[r][v] = _mm512_setzero_si512();
    for (size_t c = 0; c < a->rank; c += 4, keys += a->block * 4) {
        __m512i k[4];
        for (int v = 0; v < n; v++)
            k[v] = _mm512_loadu_si512(keys + v * 64);
        for (size_t r = 0; r < rows; r++) {
            __m512i x = four(q + r * a->rank + c);
            for (int v = 0; v < n; v++)
                sum[r][v] = _mm512_dpbusd_epi32(sum[r][v], k[v], x);
        }
    }
    for (size_t r = 0; r < rows; r++)
        for (int v = 0; v < n; v++) {
            if (a->causal) { /* keys up to the row's own */
                __m512i key = _mm512_add_epi32(_mm512_set1_epi32((int)first + v * LANES), _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
                __mmask16 seen = _mm512_cmple_epi32_mask(key, _mm512_set1_epi32((int)(a->seen + row + r)));
                best[r] = _mm512_mask_max_epi32(best[r], seen, best[r], sum[r][v]);
            } else {
                best[r] = _mm512_max_epi32(best[r], sum[r][v]);
            }
        }
}

static inline __attribute__((always_inline)) void rows_of(const struct prism_sketch_rows *a, size_t row, size_t rows, __m512i *best)
{
    for (size_t r = 0; r < rows; r++)
        best[r] = _mm512_set1_epi32(INT32_MIN);
    if (a->block == 32)
        tile(a, row, rows, 0, 2, best);
    else
        for (size_t first = 0; first < a->block; first += 64)
            tile(a, row, rows, first, 4, best);
}

void prism_sketch_rows_avx512vnni(const struct prism_sketch_rows *a)
{
    __m512i best[ROWS];
    size_t row = 0;

    assert(a->rank % 16 == 0 && a->block % 32 == 0);
    for (; row + ROWS <= a->rows; row += ROWS) {
        rows_of(a, row, ROWS, best);
        for (size_t r = 0; r < ROWS; r++)
            a->best[row + r] = _mm512_reduce_max_epi32(best[r]) - a->bias[row + r];
    }
    for (; row < a->rows; row++) {
        rows_of(a, row, 1, best);
        a->best[row] = _mm512_reduce_max_epi32(best[0]) - a->bias[row];
    }
}
