/* sketch.c - sketched queries against the keys of a block by vpdpbusd: see struct prism_sketch_scan.
 *
 * Four rows times 64 keys at a time (32, where a block has no more), a key in each lane: two loads for four products. A row's largest sum is
 * then found across lanes for all 16 rows together. */
#include <assert.h>
#include <string.h>

#include "arch/avx512/simd.h"
#include "arch/avx512vnni/avx512vnni.h"

enum { ROWS = 4, LANES = 16 };

#define FORCE_INLINE static inline __attribute__((always_inline))

/* A tile and a block of keys, n coordinates of each; row i sees keys j <= seen + i. */
struct block {
    const int8_t *q;
    const uint8_t *keys;
    size_t n, block, seen;
};

FORCE_INLINE __m512i four(const int8_t *q)
{
    int32_t v;
    memcpy(&v, q, 4);
    return _mm512_set1_epi32(v);
}

/* Rows [row, row + 4) and the 16 n keys from `first` on: best[r] = its lane's largest sum so far. */
FORCE_INLINE void add_rows(const struct block *t, size_t row, size_t first, size_t n, bool causal, __m512i *best)
{
    __m512i sum[ROWS][4];
    const uint8_t *keys = t->keys + first * 4;
    const int8_t *q = t->q + row * 4, *end = q + t->n * LANES;
    const size_t block = t->block;

    for (size_t r = 0; r < ROWS; r++)
        for (size_t v = 0; v < n; v++)
            sum[r][v] = _mm512_setzero_si512();
    for (; q < end; q += 4 * LANES, keys += 4 * block) {
        __m512i k[4];
        for (size_t v = 0; v < n; v++)
            k[v] = _mm512_loadu_si512(keys + v * 64);
        for (size_t r = 0; r < ROWS; r++) {
            __m512i x = four(q + r * 4);
            for (size_t v = 0; v < n; v++) {
                sum[r][v] = _mm512_dpbusd_epi32(sum[r][v], k[v], x);
#if !defined(PRISM_SIMDE)
                __asm__("" : "+v"(sum[r][v])); /* else gcc 12 copies and spills the sums */
#endif
            }
        }
    }
    for (size_t r = 0; r < ROWS; r++)
        for (size_t v = 0; v < n; v++) {
            if (causal) {
                __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
                int seen = (int)(t->seen + row + r) - (int)(first + v * LANES);
                best[r] = _mm512_mask_max_epi32(best[r], _mm512_cmple_epi32_mask(lane, _mm512_set1_epi32(seen)), best[r], sum[r][v]);
            } else {
                best[r] = _mm512_max_epi32(best[r], sum[r][v]);
            }
        }
}

/* Lane i: the largest of the lanes of x[i]. */
FORCE_INLINE __m512i across(__m512i *x)
{
    for (size_t i = 0; i < 8; i++)
        x[i] = _mm512_max_epi32(_mm512_unpacklo_epi32(x[2 * i], x[2 * i + 1]), _mm512_unpackhi_epi32(x[2 * i], x[2 * i + 1]));
    for (size_t i = 0; i < 4; i++)
        x[i] = _mm512_max_epi32(_mm512_unpacklo_epi64(x[2 * i], x[2 * i + 1]), _mm512_unpackhi_epi64(x[2 * i], x[2 * i + 1]));
    for (size_t n = 2; n > 0; n--)
        for (size_t i = 0; i < n; i++)
            x[i] = _mm512_max_epi32(_mm512_shuffle_i32x4(x[2 * i], x[2 * i + 1], 0x88), _mm512_shuffle_i32x4(x[2 * i], x[2 * i + 1], 0xdd));
    return x[0];
}

FORCE_INLINE __m512i all(const struct block *t, size_t n, bool causal)
{
    __m512i best[LANES];

    for (size_t row = 0; row < LANES; row += ROWS) {
        for (size_t r = 0; r < ROWS; r++)
            best[row + r] = _mm512_set1_epi32(INT32_MIN);
        for (size_t first = 0; first < t->block; first += n * LANES)
            add_rows(t, row, first, n, causal, best + row);
    }
    return across(best);
}

FORCE_INLINE void best_products(int32_t *best, const struct prism_sketch_tile *tile, const struct prism_sketch_scan *s, const uint8_t *keys, size_t n,
                                size_t seen)
{
    const struct block t = { .q = tile->q, .keys = keys, .n = n, .block = s->block, .seen = seen };

    assert(n % 16 == 0 && n > 0 && s->block % 32 == 0);
    _mm512_storeu_si512(best, s->block % 64 || seen < s->block ? all(&t, 2, true) : all(&t, 4, false));
}

#if !defined(PRISM_SIMDE)
#define SKETCH_ALL_LANES(mask) (_mm512_movepi32_mask((__m512i)(mask)) == 0xffff)
#endif
#include "arch/generic/sketch_scan.h"

void prism_sketch_pack_avx512vnni(const struct prism_sketch_rows *r) { pack(r); }
void prism_sketch_scan_avx512vnni(const struct prism_sketch_scan *s, size_t v, size_t n, size_t seen, bool whole) { scan(s, v, n, seen, whole); }
void prism_sketch_needed_avx512vnni(const struct prism_sketch_scan *s, size_t n, uint64_t *bits) { needed(s, n, bits); }
