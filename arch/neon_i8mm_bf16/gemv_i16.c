/* gemv_i16.c - 1 to 8 rows of two-byte activations times stored weights of the common types: Q8_0, Q4_0, Q4_K, Q6_K. Contract: struct
 * prism_gemv of src/kernels.h. Not measured on a processor.
 *
 * A weight row is walked 256 values at a time: eight blocks of 32, or one. An activation is q = 256 * high + low, high in -127..127
 * and low in -128..127. SDOT multiplies signed bytes of weights with the high bytes, the sums are shifted left by 8, and the low bytes
 * follow in the same sums: |.| <= 8 * 128 * 32639 < 2^25, exact, as are the totals of a group, < 2^27. Those of four groups enter the row's fp32
 * sums together, scaled by both scales: adding neighbours up first takes three operations where four conversions take eight. The arithmetic of a
 * row does not depend on the number of rows: up to four share the expansion. */
#include "arch/generic/gemv_cols.h"
#include "arch/generic/gemv_i16.h"
#include "arch/generic/unpack.h"
#include "arch/neon_i8mm_bf16/neon_i8mm_bf16.h"

#include <assert.h>

struct x_256 {
    int8_t high[256], low[256];
    float d[8], sum[8];  /* of the groups of 32: scale, and scale * sum of the integers (for the offsets of Q4_K) */
};
_Static_assert(sizeof(struct x_256) == 576, "nine cache lines");

static inline __attribute__((always_inline)) size_t bytes_of_256(enum prism_type type)
{
    return type == PRISM_Q8_0 ? 8 * 34 : type == PRISM_Q4_0 ? 8 * 18 : type == PRISM_Q4_K ? 144 : 210;
}

/* ---- 256 weights ---- */

struct scales {
    float32x4_t d[4]; /* of 8 groups of 32 in two vectors or (Q6_K) 16 groups of 16 */
    float32x4_t m[2]; /* Q4_K: of 8 groups */
};

static inline __attribute__((always_inline)) struct scales scales_256(const uint8_t *b, enum prism_type type)
{
    struct scales s;
    if (type == PRISM_Q4_K) {
        float d[8], m[8];
        prism_q4_k_scales(d, m, b);
        s.d[0] = vld1q_f32(d), s.d[1] = vld1q_f32(d + 4);
        s.m[0] = vld1q_f32(m), s.m[1] = vld1q_f32(m + 4);
    } else if (type == PRISM_Q6_K) {
        const float super = prism_half_to_f32(prism_load_u16(b + 208));
        const int8x16_t q = vld1q_s8((const int8_t *)b + 192);
        const int16x8_t low = vmovl_s8(vget_low_s8(q)), high = vmovl_high_s8(q);
        s.d[0] = vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), super);
        s.d[1] = vmulq_n_f32(vcvtq_f32_s32(vmovl_high_s16(low)), super);
        s.d[2] = vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), super);
        s.d[3] = vmulq_n_f32(vcvtq_f32_s32(vmovl_high_s16(high)), super);
    } else { /* the halves at the beginning of 8 blocks */
        const size_t step = bytes_of_256(type) / 8;
        uint16x8_t h = vdupq_n_u16(0);
#define HALF(i) h = vsetq_lane_u16(prism_load_u16(b + (i) * step), h, i);
        HALF(0) HALF(1) HALF(2) HALF(3) HALF(4) HALF(5) HALF(6) HALF(7)
        s.d[0] = vcvt_f32_f16(vget_low_f16(vreinterpretq_f16_u16(h)));
        s.d[1] = vcvt_high_f32_f16(vreinterpretq_f16_u16(h));
    }
    return s;
}

static inline __attribute__((always_inline)) uint8x16_t field(const uint8_t *p, int left_shift, uint8_t mask)
{
    const uint8x16_t x = vld1q_u8(p);
    return vandq_u8(left_shift ? vshlq_u8(x, vdupq_n_s8((int8_t)left_shift)) : x, vdupq_n_u8(mask));
}

static inline __attribute__((always_inline)) int8x16_t minus(uint8x16_t x, int8_t bias)
{
    return vsubq_s8(vreinterpretq_s8_u8(x), vdupq_n_s8(bias));
}

/* Values 16 h .. 16 h + 15 of the 256 that begin at b. */
static inline __attribute__((always_inline)) int8x16_t values_16(const uint8_t *b, int h, enum prism_type type)
{
    const int j = h / 2, half = h % 2 * 16;
    switch (type) {
    case PRISM_Q8_0: return vld1q_s8((const int8_t *)b + 34 * j + 2 + half);
    case PRISM_Q4_0: return minus(field(b + 18 * j + 2, half ? -4 : 0, 15), 8);
    case PRISM_Q4_K: return vreinterpretq_s8_u8(field(b + 16 + j / 2 * 32 + half, j % 2 ? -4 : 0, 15));
    default:
        return minus(vorrq_u8(field(b + j / 4 * 64 + j % 2 * 32 + half, j % 4 / 2 ? -4 : 0, 15),
                              field(b + 128 + j / 4 * 32 + half, 4 - j % 4 * 2, 0x30)), 32);
    }
}

/* ---- dot products ---- */

/* 16 values of weights with 16 of a row, the high bytes on top of 256 of the sum, or the low bytes. */
static inline __attribute__((always_inline)) int32x4_t dot_16(int8x16_t w, const int8_t *high, const int8_t *low)
{
    return vdotq_s32(vshlq_n_s32(vdotq_s32(vdupq_n_s32(0), w, vld1q_s8(high)), 8), w, vld1q_s8(low));
}

static inline __attribute__((always_inline)) int32x4_t dot_32(int8x16_t w0, int8x16_t w1, const int8_t *high, const int8_t *low)
{
    const int32x4_t both = vdotq_s32(vdotq_s32(vdupq_n_s32(0), w0, vld1q_s8(high)), w1, vld1q_s8(high + 16));
    return vdotq_s32(vdotq_s32(vshlq_n_s32(both, 8), w0, vld1q_s8(low)), w1, vld1q_s8(low + 16));
}

/* 256 values of one weight row with those of `rows` (1, 2 or 4: a constant) rows of activations, x_step apart. Four groups are added up to the four
 * lanes of a vector before they are converted: a conversion takes as long as two products. */
static inline __attribute__((always_inline)) void add_256(float32x4_t *sum, int rows, const struct x_256 *x, size_t x_step, const uint8_t *b,
                                                          enum prism_type type)
{
    const struct scales scales = scales_256(b, type);

#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        if (v >= 2 && type != PRISM_Q6_K)
            break;
        int32x4_t t[4][4];
#pragma GCC unroll 4
        for (int g = 0; g < 4; g++) {
            const int j = 4 * v + g;
            const int8x16_t w0 = values_16(b, type == PRISM_Q6_K ? j : 2 * j, type);
            const int8x16_t w1 = type == PRISM_Q6_K ? w0 : values_16(b, 2 * j + 1, type);
#pragma GCC unroll 4
            for (int r = 0; r < rows; r++) {
                const struct x_256 *xr = x + (size_t)r * x_step;
                t[r][g] = type == PRISM_Q6_K ? dot_16(w0, xr->high + 16 * j, xr->low + 16 * j)
                                             : dot_32(w0, w1, xr->high + 32 * j, xr->low + 32 * j);
            }
        }
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) {
            const struct x_256 *xr = x + (size_t)r * x_step;
            const float32x4_t total = vcvtq_f32_s32(vpaddq_s32(vpaddq_s32(t[r][0], t[r][1]), vpaddq_s32(t[r][2], t[r][3])));
            const float32x4_t d = type == PRISM_Q6_K ? vcombine_f32(vdup_n_f32(xr->d[2 * v]), vdup_n_f32(xr->d[2 * v + 1])) : vld1q_f32(xr->d + 4 * v);
            sum[r] = vfmaq_f32(sum[r], total, vmulq_f32(scales.d[v], d));
            if (type == PRISM_Q4_K)
                sum[r] = vfmaq_f32(sum[r], scales.m[v], vld1q_f32(xr->sum + 4 * v));
        }
    }
}

/* gemv_dot_fn */
static inline __attribute__((always_inline)) void dot_rows(float *y, size_t ldy, int rows, const char *packed, size_t packed_bytes,
                                                           const uint8_t *w, enum prism_type type, size_t k)
{
    const struct x_256 *x = (const struct x_256 *)(const void *)packed;
    const size_t x_step = packed_bytes / sizeof *x, bytes = bytes_of_256(type);
    float32x4_t sum[4];
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
        sum[r] = vdupq_n_f32(0);
    for (; k >= 256; k -= 256, x++, w += bytes)
        add_256(sum, rows, x, x_step, w, type);
    if ((type == PRISM_Q8_0 || type == PRISM_Q4_0) && k > 0) { /* blocks that are missing count as zero: their activations have d = 0 */
        uint8_t last[8 * 34] = { 0 };
        memcpy(last, w, k / 32 * bytes / 8);
        add_256(sum, rows, x, x_step, last, type);
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
        y[(size_t)r * ldy] = vaddvq_f32(sum[r]);
}

#include "arch/generic/gemv_i16_body.h"

/* ---- activations ---- */

static void pack_x(void *packed, const float *x, size_t k)
{
    struct x_256 *out = packed;
    assert(k % 32 == 0 && (uintptr_t)packed % 64 == 0);

    if (k % 256)
        memset(out + k / 256, 0, sizeof *out);
    for (size_t i = 0; i < k; i += 32) {
        struct x_256 *o = out + i / 256;
        const size_t at = i % 256;
        int16_t q[32];
        int32_t sum = 0;
        const float d = prism_quantize_32_i16(q, x + i);
        for (size_t t = 0; t < 32; t++) {
            o->high[at + t] = (int8_t)((q[t] + 128) >> 8);
            o->low[at + t] = (int8_t)q[t];
            sum += q[t];
        }
        o->d[at / 32] = d;
        o->sum[at / 32] = d * (float)sum;
    }
}

const struct prism_gemv prism_gemv_i16_neon_i8mm_bf16 = {
    .name = "i16", .x_bytes = x_bytes, .pack_x = pack_x, .gemv = gemv, .x_err = PRISM_GEMV_X_ERR,
};
