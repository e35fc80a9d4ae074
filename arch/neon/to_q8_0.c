/* to_q8_0.c - rows of fp32 to blocks of Q8_0. Contract: prism_to_q8_0_fn of src/kernels.h; bit-equal to arch/generic/to_q8_0.c. */
#include <assert.h>

#include "arch/generic/to_q8_0.h"
#include "arch/neon/neon.h"

/* Magnitudes are compared as integers: infinity is above all numbers, NaN above infinity. */
static uint32x4_t magnitude(float32x4_t x) { return vandq_u32(vreinterpretq_u32_f32(x), vdupq_n_u32(0x7fffffff)); }

static int16x8_t eight_bytes(const float *x, float inverse)
{
    const int32x4_t q0 = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x), inverse)), q1 = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + 4), inverse));
    return vcombine_s16(vmovn_s32(q0), vmovn_s32(q1));
}

static void to_block(uint8_t *out, const float *x)
{
    uint32x4_t largest = magnitude(vld1q_f32(x));
    float inverse;

    for (size_t i = 4; i < 32; i += 4)
        largest = vmaxq_u32(largest, magnitude(vld1q_f32(x + i)));
    const uint16_t scale = prism_q8_0_scale(prism_bits_f32(vmaxvq_u32(largest)), &inverse);
    memcpy(out, &scale, sizeof scale);
    for (size_t i = 0; i < 32; i += 8)
        vst1_s8((int8_t *)out + 2 + i, inverse > 0 ? vmovn_s16(eight_bytes(x + i, inverse)) : vdup_n_s8(0));
}

void prism_f32_to_q8_0_neon(void *y, const float *x, size_t n)
{
    assert(n % 32 == 0);
    for (size_t i = 0; i < n; i += 32)
        to_block((uint8_t *)y + i / 32 * 34, x + i);
}
