/* sketch.c - sketched queries against sketched keys by usdot. */
#include "arch/neon_i8mm_bf16/neon_i8mm_bf16.h"

static inline int32x4_t dot_four(int32x4_t sum, uint8x16_t keys, int8x16_t q) { return vusdotq_s32(sum, keys, q); }

#include "arch/neon/sketch_body.h"

void prism_sketch_pack_neon_i8mm_bf16(const struct prism_sketch_rows *r) { pack(r); }
void prism_sketch_scan_neon_i8mm_bf16(const struct prism_sketch_scan *s, size_t v, size_t n, size_t seen, bool whole) { scan(s, v, n, seen, whole); }
void prism_sketch_needed_neon_i8mm_bf16(const struct prism_sketch_scan *s, size_t n, uint64_t *bits) { needed(s, n, bits); }
