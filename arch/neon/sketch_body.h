/* sketch_body.h - sketched queries against sketched keys on NEON: see struct prism_sketch_scan. The level's file has defined before
 *     dot_four(int32x4_t sum, uint8x16_t keys, int8x16_t q)
 * sum[j] += the product of four bytes of key j with the four bytes that q repeats. Four rows times 16 keys at a time. */
#ifndef PRISM_NEON_SKETCH_BODY_H
#define PRISM_NEON_SKETCH_BODY_H

#include <assert.h>
#include <string.h>

#include "arch/generic/sketch_scan.h"

enum { SKETCH_AT_ONCE = 4, SKETCH_LANES = 4 };

static inline int8x16_t sketch_four(const int8_t *q)
{
    int32_t v;
    memcpy(&v, q, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(v));
}

static void best_products(int32_t best[PRISM_SKETCH_ROWS], const struct sketch_part part[SKETCH_PARTS], size_t block, size_t n)
{
    static const int32_t lanes[SKETCH_LANES] = { 0, 1, 2, 3 };
    const int32x4_t lane = vld1q_s32(lanes), none = vdupq_n_s32(INT32_MIN);

    assert(n % 16 == 0 && n > 0 && block % 32 == 0);
    for (size_t p = 0; p < SKETCH_PARTS; p++) {
        int32x4_t most[SKETCH_AT_ONCE] = { none, none, none, none };
        for (size_t first = 0; first < block; first += 4 * SKETCH_LANES) {
            int32x4_t sum[SKETCH_AT_ONCE][4];
            for (size_t r = 0; r < SKETCH_AT_ONCE; r++)
                for (size_t v = 0; v < 4; v++)
                    sum[r][v] = vdupq_n_s32(0);
            for (size_t c = 0; c < n / 4; c++) {
                const uint8_t *at = part[p].keys + (c * block + first) * 4;
                const uint8x16_t k[4] = { vld1q_u8(at), vld1q_u8(at + 16), vld1q_u8(at + 32), vld1q_u8(at + 48) };
                for (size_t r = 0; r < SKETCH_AT_ONCE; r++) {
                    const int8x16_t q = sketch_four(part[p].q + (c * PRISM_SKETCH_ROWS + r) * 4);
                    for (size_t v = 0; v < 4; v++)
                        sum[r][v] = dot_four(sum[r][v], k[v], q);
                }
            }
            for (size_t r = 0; r < SKETCH_AT_ONCE; r++)
                for (size_t v = 0; v < 4; v++) { /* a key that is not seen does not count */
                    int32x4_t last = vdupq_n_s32((int32_t)(part[p].seen + r) - (int32_t)(first + v * SKETCH_LANES));
                    most[r] = vmaxq_s32(most[r], vbslq_s32(vcgtq_s32(lane, last), none, sum[r][v]));
                }
        }
        for (size_t r = 0; r < SKETCH_AT_ONCE; r++)
            best[p * SKETCH_AT_ONCE + r] = vmaxvq_s32(most[r]);
    }
}

/* Four blocks at a time, a row in each lane; blocks from n on repeat the last. */
static void mean_products(int32_t out[BATCH][MAX_TILES * PRISM_SKETCH_ROWS], const struct prism_sketch_scan *s, size_t v, size_t n)
{
    for (size_t first = 0; first < n; first += SKETCH_AT_ONCE)
        for (size_t row = 0; row < s->n_tiles * PRISM_SKETCH_ROWS; row += 2 * SKETCH_LANES) {
            const int8_t *q = s->tiles[row / PRISM_SKETCH_ROWS].q + row % PRISM_SKETCH_ROWS * 4;
            int32x4_t sum[SKETCH_AT_ONCE][2];
            for (size_t i = 0; i < SKETCH_AT_ONCE; i++)
                sum[i][0] = sum[i][1] = vdupq_n_s32(0);
            for (size_t c = 0; c < s->rank; c += 4) {
                const int8x16_t x0 = vld1q_s8(q + c * PRISM_SKETCH_ROWS), x1 = vld1q_s8(q + c * PRISM_SKETCH_ROWS + 16);
                for (size_t i = 0; i < SKETCH_AT_ONCE; i++) {
                    size_t at = first + i < n ? first + i : n - 1;
                    const uint8x16_t mean = vreinterpretq_u8_s8(sketch_four((const int8_t *)s->means + (v - at) * s->mean_bytes + c));
                    sum[i][0] = dot_four(sum[i][0], mean, x0);
                    sum[i][1] = dot_four(sum[i][1], mean, x1);
                }
            }
            for (size_t i = 0; i < SKETCH_AT_ONCE; i++) { /* n would keep the sums in memory */
                vst1q_s32(out[first + i] + row, sum[i][0]);
                vst1q_s32(out[first + i] + row + SKETCH_LANES, sum[i][1]);
            }
        }
}

#endif
