/* sketch.c - sketched queries against sketched keys: keys less 128 as signed bytes, products as words, and 128 times the sum of q added, so that
 * the integers are those of the contract. */
#include "arch/neon/neon.h"

/* Two products of signed bytes fit a word: 2 * 128 * 127 < 32768. */
static inline int32x4_t dot_four(int32x4_t sum, uint8x16_t keys, int8x16_t q)
{
    const int8x16_t k = vreinterpretq_s8_u8(veorq_u8(keys, vdupq_n_u8(0x80)));
    const int16x8_t low = vmull_s8(vget_low_s8(k), vget_low_s8(q)), high = vmull_high_s8(k, q);
    const int16x8_t bias = vpaddlq_s8(q); /* of pairs */
    sum = vpadalq_s16(sum, vpaddq_s16(low, high));
    return vpadalq_s16(sum, vshlq_n_s16(bias, 7));
}

#include "arch/neon/sketch_body.h"

void prism_sketch_pack_neon(const struct prism_sketch_rows *r) { pack(r); }
void prism_sketch_scan_neon(const struct prism_sketch_scan *s, size_t v, size_t n, size_t seen, bool whole) { scan(s, v, n, seen, whole); }
void prism_sketch_needed_neon(const struct prism_sketch_scan *s, size_t n, uint64_t *bits) { needed(s, n, bits); }
