/* dequant.c - stored weights to floats, 32 values at a time. Contract: prism_to_f32_fn of src/kernels.h; bit-equal to the
 * generic functions. */
#include "arch/avx2/avx2.h"

#include "arch/avx2/blocks.h"

/* type: a constant. */
PRISM_INLINE void to_f32(float *y, const void *x, size_t n, enum prism_type type)
{
    const struct prism_layout l = prism_layout_of(type);
    const uint8_t *b = x;
    for (size_t i = 0; i < n; i += l.block, b += l.bytes) {
        struct block_scales s;
        block_scales(&s, b, type);
#pragma GCC unroll 8
        for (int j = 0; j < (int)l.block / 32; j++, y += 32) {
            const struct group g = block_group(b, &s, j, type);
            _mm256_storeu_ps(y, g.w0);
            _mm256_storeu_ps(y + 8, g.w1);
            _mm256_storeu_ps(y + 16, g.w2);
            _mm256_storeu_ps(y + 24, g.w3);
        }
    }
}

void prism_to_f32_f16_avx2(float *y, const void *x, size_t n) { prism_f16_to_f32_avx2(y, x, n); }
void prism_to_f32_bf16_avx2(float *y, const void *x, size_t n) { prism_bf16_to_f32_avx2(y, x, n); }
#define TO_F32(A, NAME, name, ...) \
    void prism_to_f32_##name##_avx2(float *y, const void *x, size_t n) { to_f32(y, x, n, PRISM_##NAME); }
PRISM_BLOCK_TYPES(TO_F32, )
