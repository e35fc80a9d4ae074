/* sketch.c - sketched queries against sketched keys by vpdpbusd: see struct prism_sketch_scan.
 *
 * Four rows times 16 keys at a time, a key in each lane. */
#include <assert.h>
#include <string.h>

#include "arch/avx2/sketch_best.h"
#include "arch/avxvnni/avxvnni.h"
#include "arch/avxvnni/simd.h"
#include "arch/generic/sketch_scan.h"

PRISM_INLINE __m256i four(const int8_t *q)
{
    int32_t v;
    memcpy(&v, q, 4);
    return _mm256_set1_epi32(v);
}

/* best[r] = the largest sum so far of lane and row, for keys [first, first + 16); row i sees keys j <= seen + i. */
PRISM_INLINE void add_keys(__m256i best[ROWS], const int8_t *q, const uint8_t *keys, size_t block, size_t n, size_t first, size_t seen)
{
    __m256i sum[ROWS][2];

    for (size_t r = 0; r < ROWS; r++)
        sum[r][0] = sum[r][1] = _mm256_setzero_si256();
    for (size_t c = 0; c < n / 4; c++) {
        const uint8_t *at = keys + (c * block + first) * 4;
        const __m256i k0 = _mm256_loadu_si256((const __m256i *)(const void *)at), k1 = _mm256_loadu_si256((const __m256i *)(const void *)(at + 32));
        for (size_t r = 0; r < ROWS; r++) {
            const __m256i x = four(q + (c * PRISM_SKETCH_ROWS + r) * 4);
            sum[r][0] = _mm256_dpbusd_avx_epi32(sum[r][0], k0, x);
            sum[r][1] = _mm256_dpbusd_avx_epi32(sum[r][1], k1, x);
        }
    }
    keep_largest(best, sum, first, seen, seen < block);
}

static void best_products(int32_t best[PRISM_SKETCH_ROWS], const struct sketch_part part[SKETCH_PARTS], size_t block, size_t n)
{
    assert(n % 16 == 0 && n > 0 && block % 32 == 0);
    for (size_t p = 0; p < SKETCH_PARTS; p++) {
        __m256i most[ROWS];
        for (size_t r = 0; r < ROWS; r++)
            most[r] = _mm256_set1_epi32(INT32_MIN);
        for (size_t first = 0; first < block; first += 2 * LANES)
            add_keys(most, part[p].q, part[p].keys, block, n, first, part[p].seen);
        store_largest(best + p * ROWS, most);
    }
}

/* Eight rows times BATCH blocks at a time, a row in each lane; blocks from n on repeat the last. */
static void mean_products(int32_t out[BATCH][MAX_TILES * PRISM_SKETCH_ROWS], const struct prism_sketch_scan *s, size_t v, size_t n)
{
    const uint8_t *mean[BATCH];

    for (size_t i = 0; i < BATCH; i++)
        mean[i] = s->means + (v - (i < n ? i : n - 1)) * s->mean_bytes;
    for (size_t row = 0; row < s->n_tiles * PRISM_SKETCH_ROWS; row += LANES) {
        const int8_t *q = s->tiles[row / PRISM_SKETCH_ROWS].q + row % PRISM_SKETCH_ROWS * 4;
        __m256i sum[BATCH];
        for (size_t i = 0; i < BATCH; i++)
            sum[i] = _mm256_setzero_si256();
        for (size_t c = 0; c < s->rank; c += 4) {
            const __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(q + c * PRISM_SKETCH_ROWS));
            for (size_t i = 0; i < BATCH; i++)
                sum[i] = _mm256_dpbusd_avx_epi32(sum[i], four((const int8_t *)mean[i] + c), x);
        }
        for (size_t i = 0; i < BATCH; i++) /* n would keep the sums in memory */
            _mm256_storeu_si256((__m256i *)(void *)(out[i] + row), sum[i]);
    }
}

void prism_sketch_pack_avxvnni(const struct prism_sketch_rows *r) { pack(r); }
void prism_sketch_scan_avxvnni(const struct prism_sketch_scan *s, size_t v, size_t n, size_t seen, bool whole) { scan(s, v, n, seen, whole); }
void prism_sketch_needed_avxvnni(const struct prism_sketch_scan *s, size_t n, uint64_t *bits) { needed(s, n, bits); }
