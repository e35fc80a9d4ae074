/* sketch.c - sketched queries against the keys of a block by pmaddwd: see struct prism_sketch_scan.
 *
 * The bytes of a key at even and at odd places become words, each once for four rows; pmaddubsw would saturate. Four rows times 16 keys at a time,
 * a key in each lane. */
#include <assert.h>
#include <string.h>

#include "arch/avx2/avx2.h"
#include "arch/avx2/sketch_best.h"
#include "arch/generic/sketch_scan.h"

enum { WORDS = PRISM_MAX_HEAD_DIM / 4 };

/* A row's bytes as words: of each four the two at even places, then the two at odd ones. */
struct row_words {
    int16_t even[WORDS][2], odd[WORDS][2];
};

static void widen(struct row_words *w, const int8_t *bytes, size_t n)
{
    for (size_t c = 0; c < n / 4; c++) {
        const int8_t *q = bytes + c * PRISM_SKETCH_ROWS * 4;
        w->even[c][0] = q[0], w->even[c][1] = q[2];
        w->odd[c][0] = q[1], w->odd[c][1] = q[3];
    }
}

PRISM_INLINE __m256i pair(const int16_t *words)
{
    int32_t v;
    memcpy(&v, words, sizeof v);
    return _mm256_set1_epi32(v);
}

/* best[r] = the largest sum so far of lane and row, for keys [first, first + 16); row i sees keys j <= seen + i. */
PRISM_INLINE void add_keys(__m256i best[ROWS], const struct row_words *w, const uint8_t *keys, size_t block, size_t n, size_t first, size_t seen)
{
    const __m256i low = _mm256_set1_epi16(0xff);
    __m256i sum[ROWS][2];

    for (size_t r = 0; r < ROWS; r++)
        sum[r][0] = sum[r][1] = _mm256_setzero_si256();
    for (size_t c = 0; c < n / 4; c++) {
        const uint8_t *at = keys + (c * block + first) * 4;
        for (size_t v = 0; v < 2; v++) {
            const __m256i k = _mm256_loadu_si256((const __m256i *)(const void *)(at + v * 32));
            const __m256i even = _mm256_and_si256(k, low), odd = _mm256_srli_epi16(k, 8);
            for (size_t r = 0; r < ROWS; r++) {
                sum[r][v] = _mm256_add_epi32(sum[r][v], _mm256_madd_epi16(even, pair(w[r].even[c])));
                sum[r][v] = _mm256_add_epi32(sum[r][v], _mm256_madd_epi16(odd, pair(w[r].odd[c])));
            }
        }
    }
    keep_largest(best, sum, first, seen);
}

static void best_products(int32_t best[PRISM_SKETCH_ROWS], const struct sketch_part part[SKETCH_PARTS], size_t block, size_t n)
{
    struct row_words w[ROWS];

    assert(n % 16 == 0 && n > 0 && n <= PRISM_MAX_HEAD_DIM && block % 32 == 0);
    for (size_t p = 0; p < SKETCH_PARTS; p++) {
        __m256i most[ROWS];
        for (size_t r = 0; r < ROWS; r++) {
            widen(&w[r], part[p].q + r * 4, n);
            most[r] = _mm256_set1_epi32(INT32_MIN);
        }
        for (size_t first = 0; first < block; first += 2 * LANES)
            add_keys(most, w, part[p].keys, block, n, first, part[p].seen);
        store_largest(best + p * ROWS, most);
    }
}

/* Four blocks at a time, a row in each lane; blocks from n on repeat the last. */
static void mean_products(int32_t out[BATCH][MAX_TILES * PRISM_SKETCH_ROWS], const struct prism_sketch_scan *s, size_t v, size_t n)
{
    for (size_t first = 0; first < n; first += ROWS)
        for (size_t row = 0; row < s->n_tiles * PRISM_SKETCH_ROWS; row += LANES) {
            const int8_t *q = s->tiles[row / PRISM_SKETCH_ROWS].q + row % PRISM_SKETCH_ROWS * 4;
            __m256i sum[ROWS];
            for (size_t i = 0; i < ROWS; i++)
                sum[i] = _mm256_setzero_si256();
            for (size_t c = 0; c < s->rank; c += 4) {
                const __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(q + c * PRISM_SKETCH_ROWS));
                const __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8), odd = _mm256_srai_epi16(x, 8);
                for (size_t i = 0; i < ROWS; i++) {
                    size_t at = first + i < n ? first + i : n - 1;
                    uint32_t four;
                    memcpy(&four, s->means + (v - at) * s->mean_bytes + c, sizeof four);
                    sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(even, _mm256_set1_epi32((int)(four & 0xff00ff))));
                    sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(odd, _mm256_set1_epi32((int)(four >> 8 & 0xff00ff))));
                }
            }
            for (size_t i = 0; i < ROWS; i++) /* n would keep the sums in memory */
                _mm256_storeu_si256((__m256i *)(void *)(out[first + i] + row), sum[i]);
        }
}

void prism_sketch_pack_avx2(const struct prism_sketch_rows *r) { pack(r); }
void prism_sketch_scan_avx2(const struct prism_sketch_scan *s, size_t v, size_t n, size_t seen, bool whole) { scan(s, v, n, seen, whole); }
void prism_sketch_needed_avx2(const struct prism_sketch_scan *s, size_t n, uint64_t *bits) { needed(s, n, bits); }
