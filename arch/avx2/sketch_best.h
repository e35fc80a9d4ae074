/* sketch_best.h - the largest products of four rows, a key in each of eight lanes: what sketch.c of the AVX2 levels share. */
#ifndef PRISM_AVX2_SKETCH_BEST_H
#define PRISM_AVX2_SKETCH_BEST_H

#include "arch/avx2/vec.h"

enum { ROWS = 4, LANES = 8 };

#define SKETCH_BYTES 32
#define SKETCH_SIGNS(mask) _mm256_movemask_ps((__m256)(mask))

/* best[r] = the larger of it and sum[r], of keys [first, first + 16) in two vectors, lane by lane. Where the block is causal, row r sees keys
 * j <= seen + r; a key that is not seen does not count. */
PRISM_INLINE void keep_largest(__m256i best[ROWS], __m256i sum[ROWS][2], size_t first, size_t seen, bool causal)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);

    for (size_t r = 0; r < ROWS; r++)
        for (size_t v = 0; v < 2; v++) {
            if (causal) {
                const __m256i last = _mm256_set1_epi32((int)(seen + r) - (int)(first + v * LANES));
                sum[r][v] = _mm256_blendv_epi8(sum[r][v], _mm256_set1_epi32(INT32_MIN), _mm256_cmpgt_epi32(lane, last));
            }
            best[r] = _mm256_max_epi32(best[r], sum[r][v]);
        }
}

/* out[r] = the largest lane of best[r]. */
PRISM_INLINE void store_largest(int32_t *out, const __m256i best[ROWS])
{
    const __m256i ab = _mm256_max_epi32(_mm256_unpacklo_epi32(best[0], best[1]), _mm256_unpackhi_epi32(best[0], best[1]));
    const __m256i cd = _mm256_max_epi32(_mm256_unpacklo_epi32(best[2], best[3]), _mm256_unpackhi_epi32(best[2], best[3]));
    const __m256i all = _mm256_max_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
    _mm_storeu_si128((__m128i *)(void *)out, _mm_max_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1)));
}

#endif
