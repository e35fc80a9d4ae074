/* groups.c - stored weights to signed bytes in groups of 32. Contract: prism_to_i8_fn of src/kernels.h; bit-equal to the
 * generic functions. */
#include "arch/avx2/avx2.h"

#include "arch/avx2/blocks.h"

/* type: a constant. */
PRISM_INLINE void to_i8(int8_t *q, float *d, float *m, const void *x, size_t n, enum prism_type type)
{
    const struct prism_layout l = prism_layout_of(type);
    const uint8_t *b = x;
    for (size_t i = 0; i < n; i += l.block, b += l.bytes) {
        struct block_scales s;
        block_scales(&s, b, type);
#pragma GCC unroll 8
        for (int j = 0; j < (int)l.block / 32; j++, q += 32, d++) {
            __m256i bytes;
            if (l.group == 32) {
                bytes = block_bytes(b, &s, j, type);
                *d = s.d[j];
            } else {
                bytes = quantize_group(d, block_group(b, &s, j, type));
            }
            _mm256_storeu_si256((__m256i *)q, bytes);
            if (m)
                *m++ = l.group == 32 && l.has_min ? s.m[j] : 0.0f;
        }
    }
}

#define TO_I8(A, NAME, name, ...) \
    void prism_to_i8_##name##_avx2(int8_t *q, float *d, float *m, const void *x, size_t n) { to_i8(q, d, m, x, n, PRISM_##NAME); }
PRISM_BLOCK_TYPES(TO_I8, )
