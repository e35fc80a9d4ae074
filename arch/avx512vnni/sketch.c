/* sketch.c - sketched queries against the keys of a block by vpdpbusd: see struct prism_sketch_scan.
 *
 * Four rows times 64 keys at a time (32, where a block has no more), a key in each lane: two loads for four products. A row's largest sum is
 * then found across lanes for all 16 rows together. */
#include <assert.h>
#include <string.h>

#include "arch/avx512/simd.h"
#include "arch/avx512vnni/avx512vnni.h"

#define SKETCH_BYTES 64
#if !defined(PRISM_SIMDE)
#define SKETCH_SIGNS(mask) _mm512_movepi32_mask((__m512i)(mask))
#endif
#include "arch/generic/sketch_scan.h"

enum { ROWS = 4, LANES = 16 };

#define FORCE_INLINE static inline __attribute__((always_inline))

FORCE_INLINE __m512i four(const int8_t *q)
{
    int32_t v;
    memcpy(&v, q, 4);
    return _mm512_set1_epi32(v);
}

/* The 16 n keys of the block from `first` on: best[r] = its lane's largest sum of n_coords coordinates so far. */
FORCE_INLINE void add_rows(const struct sketch_part *p, size_t block, size_t n_coords, size_t first, size_t n, bool causal, __m512i *best)
{
    __m512i sum[ROWS][4];
    const uint8_t *keys = p->keys + first * 4;
    const int8_t *q = p->q, *end = q + n_coords * LANES;

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
                int seen = (int)(p->seen + r) - (int)(first + v * LANES);
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

FORCE_INLINE void add_block(const struct sketch_part *p, size_t block, size_t n_coords, size_t n, bool causal, __m512i *best)
{
    for (size_t r = 0; r < ROWS; r++)
        best[r] = _mm512_set1_epi32(INT32_MIN);
    for (size_t first = 0; first < block; first += n * LANES)
        add_rows(p, block, n_coords, first, n, causal, best);
}

FORCE_INLINE void best_products(int32_t best[PRISM_SKETCH_ROWS], const struct sketch_part part[SKETCH_PARTS], size_t block, size_t n)
{
    __m512i all[LANES];

    assert(n % 16 == 0 && n > 0 && block % 32 == 0);
    for (size_t p = 0; p < SKETCH_PARTS; p++)
        if (block % 64 || part[p].seen < block)
            add_block(&part[p], block, n, 2, true, all + p * ROWS);
        else
            add_block(&part[p], block, n, 4, false, all + p * ROWS);
    _mm512_storeu_si512(best, across(all));
}

/* Two tiles times BATCH blocks at a time, a row in each lane; blocks from n on repeat the last. */
static void mean_products(int32_t out[BATCH][MAX_TILES * PRISM_SKETCH_ROWS], const struct prism_sketch_scan *s, size_t v, size_t n)
{
    const uint8_t *mean[BATCH];

    for (size_t i = 0; i < BATCH; i++)
        mean[i] = s->means + (v - (i < n ? i : n - 1)) * s->mean_bytes;
    for (size_t t = 0; t < s->n_tiles; t += 2) {
        size_t last = t + 1 < s->n_tiles ? t + 1 : t;
        const int8_t *q0 = s->tiles[t].q, *q1 = s->tiles[last].q;
        __m512i sum[BATCH][2];
        for (size_t i = 0; i < BATCH; i++)
            sum[i][0] = sum[i][1] = _mm512_setzero_si512();
        for (size_t c = 0; c < s->rank; c += 4) {
            const __m512i x0 = _mm512_loadu_si512(q0 + c * LANES), x1 = _mm512_loadu_si512(q1 + c * LANES);
            for (size_t i = 0; i < BATCH; i++) {
                const __m512i m = four((const int8_t *)mean[i] + c);
                sum[i][0] = _mm512_dpbusd_epi32(sum[i][0], m, x0);
                sum[i][1] = _mm512_dpbusd_epi32(sum[i][1], m, x1);
#if !defined(PRISM_SIMDE)
                __asm__("" : "+v"(sum[i][0]), "+v"(sum[i][1])); /* as in add_rows */
#endif
            }
        }
        for (size_t i = 0; i < BATCH; i++) { /* n would keep the sums in memory */
            _mm512_storeu_si512(out[i] + t * LANES, sum[i][0]);
            _mm512_storeu_si512(out[i] + last * LANES, sum[i][1]);
        }
    }
}

void prism_sketch_pack_avx512vnni(const struct prism_sketch_rows *r) { pack(r); }
void prism_sketch_scan_avx512vnni(const struct prism_sketch_scan *s, size_t v, size_t n, size_t seen, bool whole) { scan(s, v, n, seen, whole); }
void prism_sketch_needed_avx512vnni(const struct prism_sketch_scan *s, size_t n, uint64_t *bits) { needed(s, n, bits); }
