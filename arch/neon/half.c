/* half.c - rows of fp32 to and from the two formats of 16 bits. Contracts: src/kernels.h; the conversions of bits.h are the
 * definition. FCVTN and FCVTL convert halves (round half to even is the processor's default mode; a NaN becomes quiet and keeps
 * the upper bits of its payload, where bits.h writes 0x7e00). Tails are converted in a padded vector. */
#include <string.h>

#include "arch/neon/neon.h"

static uint16x4_t to_half(float32x4_t v) { return vreinterpret_u16_f16(vcvt_f16_f32(v)); }
static float32x4_t from_half(uint16x4_t v) { return vcvt_f32_f16(vreinterpret_f16_u16(v)); }
static float32x4_t from_bf16(uint16x4_t v) { return vreinterpretq_f32_u32(vshll_n_u16(v, 16)); }

static uint16x4_t to_bf16(float32x4_t v)
{
    uint32x4_t u = vreinterpretq_u32_f32(v);
    uint32x4_t odd = vandq_u32(vshrq_n_u32(u, 16), vdupq_n_u32(1));
    uint32x4_t rounded = vaddq_u32(vaddq_u32(u, vdupq_n_u32(0x7fff)), odd);
    uint32x4_t quiet = vorrq_u32(u, vdupq_n_u32(0x400000));
    return vshrn_n_u32(vbslq_u32(vceqq_f32(v, v), rounded, quiet), 16);
}

static inline __attribute__((always_inline)) void narrow(uint16_t *y, const float *x, size_t n, uint16x4_t (*convert)(float32x4_t))
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1_u16(y + i, convert(vld1q_f32(x + i)));
    if (i < n) {
        float in[4] = { 0 };
        uint16_t out[4];
        memcpy(in, x + i, (n - i) * sizeof *in);
        vst1_u16(out, convert(vld1q_f32(in)));
        memcpy(y + i, out, (n - i) * sizeof *out);
    }
}

static inline __attribute__((always_inline)) void widen(float *y, const uint16_t *x, size_t n, float32x4_t (*convert)(uint16x4_t))
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(y + i, convert(vld1_u16(x + i)));
    if (i < n) {
        uint16_t in[4] = { 0 };
        float out[4];
        memcpy(in, x + i, (n - i) * sizeof *in);
        vst1q_f32(out, convert(vld1_u16(in)));
        memcpy(y + i, out, (n - i) * sizeof *out);
    }
}

void prism_f32_to_f16_neon(uint16_t *y, const float *x, size_t n) { narrow(y, x, n, to_half); }
void prism_f32_to_bf16_neon(uint16_t *y, const float *x, size_t n) { narrow(y, x, n, to_bf16); }
void prism_f16_to_f32_neon(float *y, const uint16_t *x, size_t n) { widen(y, x, n, from_half); }
void prism_bf16_to_f32_neon(float *y, const uint16_t *x, size_t n) { widen(y, x, n, from_bf16); }
void prism_to_f32_f16_neon(float *y, const void *x, size_t n) { widen(y, x, n, from_half); }
