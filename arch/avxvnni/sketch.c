/* sketch.c - sketched queries against sketched keys by vpdpbusd: see struct prism_sketch_scan.
 *
 * Four rows times 16 keys at a time, a key in each lane. */
#include <assert.h>
#include <string.h>

#include "arch/avxvnni/avxvnni.h"
#include "arch/avxvnni/simd.h"

enum { ROWS = 4, LANES = 8 };

PRISM_INLINE __m256i four(const int8_t *q)
{
    int32_t v;
    memcpy(&v, q, 4);
    return _mm256_set1_epi32(v);
}

/* best[r] = the largest sum so far of lane and row, for keys [first, first + 16); row i sees keys j <= seen + i. */
PRISM_INLINE void add_keys(__m256i best[ROWS], const int8_t *q, const uint8_t *keys, size_t block, size_t n, size_t row, size_t first, size_t seen)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i sum[ROWS][2];

    for (size_t r = 0; r < ROWS; r++)
        sum[r][0] = sum[r][1] = _mm256_setzero_si256();
    for (size_t c = 0; c < n / 4; c++) {
        const uint8_t *at = keys + (c * block + first) * 4;
        const __m256i k0 = _mm256_loadu_si256((const __m256i *)(const void *)at), k1 = _mm256_loadu_si256((const __m256i *)(const void *)(at + 32));
        for (size_t r = 0; r < ROWS; r++) {
            const __m256i x = four(q + (c * PRISM_SKETCH_ROWS + row + r) * 4);
            sum[r][0] = _mm256_dpbusd_avx_epi32(sum[r][0], k0, x);
            sum[r][1] = _mm256_dpbusd_avx_epi32(sum[r][1], k1, x);
        }
    }
    for (size_t r = 0; r < ROWS; r++)
        for (size_t v = 0; v < 2; v++) { /* a key that is not seen does not count */
            const __m256i last = _mm256_set1_epi32((int)(seen + row + r) - (int)(first + v * LANES));
            const __m256i unseen = _mm256_cmpgt_epi32(lane, last);
            best[r] = _mm256_max_epi32(best[r], _mm256_blendv_epi8(sum[r][v], _mm256_set1_epi32(INT32_MIN), unseen));
        }
}

static void best_products(int32_t *best, const struct prism_sketch_tile *tile, const struct prism_sketch_scan *s, const uint8_t *keys, size_t n,
                          size_t seen)
{
    assert(n % 16 == 0 && n > 0 && s->block % 32 == 0);
    for (size_t row = 0; row < PRISM_SKETCH_ROWS; row += ROWS) {
        __m256i most[ROWS];
        for (size_t r = 0; r < ROWS; r++)
            most[r] = _mm256_set1_epi32(INT32_MIN);
        for (size_t first = 0; first < s->block; first += 2 * LANES)
            add_keys(most, tile->q, keys, s->block, n, row, first, seen);
        /* the largest lane of each of the four */
        const __m256i ab = _mm256_max_epi32(_mm256_unpacklo_epi32(most[0], most[1]), _mm256_unpackhi_epi32(most[0], most[1]));
        const __m256i cd = _mm256_max_epi32(_mm256_unpacklo_epi32(most[2], most[3]), _mm256_unpackhi_epi32(most[2], most[3]));
        const __m256i all = _mm256_max_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
        _mm_storeu_si128((__m128i *)(void *)(best + row), _mm_max_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1)));
    }
}

#include "arch/generic/sketch_scan.h"

void prism_sketch_pack_avxvnni(const struct prism_sketch_rows *r) { pack(r); }
void prism_sketch_scan_avxvnni(const struct prism_sketch_scan *s, size_t v, size_t n, size_t seen, bool whole) { scan(s, v, n, seen, whole); }
void prism_sketch_needed_avxvnni(const struct prism_sketch_scan *s, size_t n, uint64_t *bits) { needed(s, n, bits); }
