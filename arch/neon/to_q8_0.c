/* to_q8_0.c - rows of fp32 to blocks of Q8_0. Contract: prism_to_q8_0_fn of src/kernels.h; bit-equal to arch/generic/to_q8_0.c. */
#include <assert.h>

#include "arch/generic/to_q8_0.h"
#include "arch/neon/neon.h"

static void to_block(uint8_t *out, const float *x)
{
    float inverse;
    const uint16_t scale = prism_q8_0_scale(prism_largest_neon(x, 32), &inverse);

    memcpy(out, &scale, sizeof scale);
    for (size_t i = 0; i < 32; i += 8)
        vst1_s8((int8_t *)out + 2 + i, inverse > 0 ? prism_bytes_8_neon(vld1q_f32(x + i), vld1q_f32(x + i + 4), inverse) : vdup_n_s8(0));
}

void prism_f32_to_q8_0_neon(void *y, const float *x, size_t n)
{
    assert(n % 32 == 0);
    for (size_t i = 0; i < n; i += 32)
        to_block((uint8_t *)y + i / 32 * 34, x + i);
}
