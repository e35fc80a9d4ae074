/* sketch.c - sketched queries against the keys of a block by pmaddubsw and pmaddwd: see struct prism_sketch_scan.
 *
 * Four rows times 16 keys at a time, a key in each lane. pmaddubsw adds two products in 16 bits, and a row's largest byte times a key's would
 * saturate there. But the coordinates of a sketch are sorted: all but the first few are small, and the products of two or four times four
 * coordinates fit into 16 bits together (runs). The first few become words, of each four bytes those at even and those at odd places. */
#include <assert.h>
#include <string.h>

#include "arch/avx2/avx2.h"
#include "arch/avx2/sketch_best.h"
#include "arch/generic/sketch_scan.h"

enum { QUADS = PRISM_MAX_HEAD_DIM / 4, QUAD_BYTES = PRISM_SKETCH_ROWS * 4, MOST_OF_16_BITS = INT16_MAX / UINT8_MAX };

/* Four rows of a tile: quads of coordinates [0, n_wide) are words, [n_wide, n_twos) runs of two, from n_twos on runs of four. */
struct queries {
    const int8_t *bytes;
    size_t n_wide, n_twos;
    int16_t even[QUADS][ROWS][2], odd[QUADS][ROWS][2];
};

PRISM_INLINE __m128i load_quad(const int8_t *q) { return _mm_loadu_si128((const __m128i *)(const void *)q); }

/* No sum of products of n quads with bytes, at even and odd pairs of coordinates each, leaves 16 bits. */
PRISM_INLINE bool is_run(const int8_t *q, size_t n)
{
    __m128i sum = _mm_setzero_si128();
    for (size_t i = 0; i < n; i++)
        sum = _mm_add_epi16(sum, _mm_maddubs_epi16(_mm_abs_epi8(load_quad(q + i * QUAD_BYTES)), _mm_set1_epi8(1)));
    return !_mm_movemask_epi8(_mm_cmpgt_epi16(sum, _mm_set1_epi16(MOST_OF_16_BITS)));
}

static void sort_quads(struct queries *w, const int8_t *q, size_t n)
{
    size_t c = n / 4;

    w->bytes = q;
    while (c > 0 && is_run(q + (c - 4) * QUAD_BYTES, 4))
        c -= 4;
    w->n_twos = c;
    while (c > 0 && is_run(q + (c - 2) * QUAD_BYTES, 2))
        c -= 2;
    w->n_wide = c;
    while (c-- > 0) {
        const __m128i x = load_quad(q + c * QUAD_BYTES);
        _mm_storeu_si128((__m128i *)(void *)w->even[c], _mm_srai_epi16(_mm_slli_epi16(x, 8), 8));
        _mm_storeu_si128((__m128i *)(void *)w->odd[c], _mm_srai_epi16(x, 8));
    }
}

PRISM_INLINE __m256i four_bytes(const void *at)
{
    int32_t v;
    memcpy(&v, at, sizeof v);
    return _mm256_set1_epi32(v);
}

PRISM_INLINE __m256i load_keys(const uint8_t *at) { return _mm256_loadu_si256((const __m256i *)(const void *)at); }

PRISM_INLINE void add_to(__m256i *sum, __m256i products)
{
    *sum = _mm256_add_epi32(*sum, products);
    KEEP_IN_REGISTER(*sum);
}

PRISM_INLINE void add_words(__m256i sum[ROWS][2], const struct queries *w, size_t c, const uint8_t *keys)
{
    const __m256i low = _mm256_set1_epi16(0xff), k0 = load_keys(keys), k1 = load_keys(keys + 32);
    const __m256i even0 = _mm256_and_si256(k0, low), even1 = _mm256_and_si256(k1, low);
    const __m256i odd0 = _mm256_srli_epi16(k0, 8), odd1 = _mm256_srli_epi16(k1, 8);

    for (size_t r = 0; r < ROWS; r++) {
        const __m256i even = four_bytes(w->even[c][r]), odd = four_bytes(w->odd[c][r]);
        sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(even0, even));
        sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(even1, even));
        add_to(&sum[r][0], _mm256_madd_epi16(odd0, odd));
        add_to(&sum[r][1], _mm256_madd_epi16(odd1, odd));
    }
}

/* A run of n quads; keys of the next are `step` bytes further. */
PRISM_INLINE void add_run(__m256i sum[ROWS][2], size_t n, const int8_t *q, const uint8_t *keys, size_t step)
{
    const __m256i one = _mm256_set1_epi16(1);
    __m256i part[ROWS][2];

    for (size_t i = 0; i < n; i++) {
        const __m256i k0 = load_keys(keys + i * step), k1 = load_keys(keys + i * step + 32);
        for (size_t r = 0; r < ROWS; r++) {
            const __m256i x = four_bytes(q + i * QUAD_BYTES + r * 4), a = _mm256_maddubs_epi16(k0, x), b = _mm256_maddubs_epi16(k1, x);
            part[r][0] = i ? _mm256_add_epi16(part[r][0], a) : a;
            part[r][1] = i ? _mm256_add_epi16(part[r][1], b) : b;
            KEEP_IN_REGISTER(part[r][0]);
            KEEP_IN_REGISTER(part[r][1]);
        }
    }
    for (size_t r = 0; r < ROWS; r++)
        for (size_t v = 0; v < 2; v++)
            sum[r][v] = _mm256_add_epi32(sum[r][v], _mm256_madd_epi16(part[r][v], one));
}

/* best[r] = the largest sum so far of lane and row, for keys [first, first + 16); row i sees keys j <= p->seen + i. */
PRISM_INLINE void add_keys(__m256i best[ROWS], const struct queries *w, const struct sketch_part *p, size_t block, size_t n, size_t first)
{
    const size_t step = block * 4;
    const uint8_t *keys = p->keys + first * 4;
    __m256i sum[ROWS][2];
    size_t c = 0;

    for (size_t r = 0; r < ROWS; r++)
        sum[r][0] = sum[r][1] = _mm256_setzero_si256();
    for (; c < w->n_wide; c++, keys += step)
        add_words(sum, w, c, keys);
    for (; c < w->n_twos; c += 2, keys += 2 * step)
        add_run(sum, 2, w->bytes + c * QUAD_BYTES, keys, step);
    for (; c < n / 4; c += 4, keys += 4 * step)
        add_run(sum, 4, w->bytes + c * QUAD_BYTES, keys, step);
    keep_largest(best, sum, first, p->seen, p->seen < block);
}

static void best_products(int32_t best[PRISM_SKETCH_ROWS], const struct sketch_part part[SKETCH_PARTS], size_t block, size_t n)
{
    struct queries w;

    assert(n % 16 == 0 && n > 0 && n <= PRISM_MAX_HEAD_DIM && block % 32 == 0);
    for (size_t p = 0; p < SKETCH_PARTS; p++) {
        __m256i most[ROWS];
        sort_quads(&w, part[p].q, n);
        for (size_t r = 0; r < ROWS; r++)
            most[r] = _mm256_set1_epi32(INT32_MIN);
        for (size_t first = 0; first < block; first += 2 * LANES)
            add_keys(most, &w, &part[p], block, n, first);
        store_largest(best + p * ROWS, most);
    }
}

/* Eight rows times BATCH blocks at a time, a row in each lane; blocks from n on repeat the last. */
static void mean_products(int32_t out[BATCH][MAX_TILES * PRISM_SKETCH_ROWS], const struct prism_sketch_scan *s, size_t v, size_t n)
{
    int16_t even[BATCH][QUADS][2], odd[BATCH][QUADS][2];

    for (size_t i = 0; i < BATCH; i++)
        for (size_t c = 0; c < s->rank; c += 16) {
            const uint8_t *mean = s->means + (v - (i < n ? i : n - 1)) * s->mean_bytes + c;
            const __m128i x = _mm_loadu_si128((const __m128i *)(const void *)mean);
            _mm_storeu_si128((__m128i *)(void *)even[i][c / 4], _mm_and_si128(x, _mm_set1_epi16(0xff)));
            _mm_storeu_si128((__m128i *)(void *)odd[i][c / 4], _mm_srli_epi16(x, 8));
        }
    for (size_t row = 0; row < s->n_tiles * PRISM_SKETCH_ROWS; row += LANES) {
        const int8_t *q = s->tiles[row / PRISM_SKETCH_ROWS].q + row % PRISM_SKETCH_ROWS * 4;
        __m256i sum[BATCH];
        for (size_t i = 0; i < BATCH; i++)
            sum[i] = _mm256_setzero_si256();
        for (size_t c = 0; c < s->rank / 4; c++) {
            const __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(q + c * QUAD_BYTES));
            const __m256i x0 = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8), x1 = _mm256_srai_epi16(x, 8);
            for (size_t i = 0; i < BATCH; i++)
                add_to(&sum[i], _mm256_add_epi32(_mm256_madd_epi16(x0, four_bytes(even[i][c])), _mm256_madd_epi16(x1, four_bytes(odd[i][c]))));
        }
        for (size_t i = 0; i < BATCH; i++) /* n would keep the sums in memory */
            _mm256_storeu_si256((__m256i *)(void *)(out[i] + row), sum[i]);
    }
}

void prism_sketch_pack_avx2(const struct prism_sketch_rows *r) { pack(r); }
void prism_sketch_scan_avx2(const struct prism_sketch_scan *s, size_t v, size_t n, size_t seen, bool whole) { scan(s, v, n, seen, whole); }
void prism_sketch_needed_avx2(const struct prism_sketch_scan *s, size_t n, uint64_t *bits) { needed(s, n, bits); }
