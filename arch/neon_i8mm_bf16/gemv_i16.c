/* gemv_i16.c - 1 to 8 rows of two-byte activations times stored weights of the common types: Q8_0, Q4_0, Q4_K, Q6_K. Contract: struct
 * prism_gemv of src/kernels.h. Not measured on a processor.
 *
 * A weight row is walked 256 values at a time: eight blocks of 32, or one. An activation is q = 256 * high + low, high in -127..127
 * and low in -128..127. SDOT multiplies signed bytes of weights with the high bytes, the sums are shifted left by 8, and the low bytes
 * follow in the same sums: |.| <= 8 * 128 * 32639 < 2^25, exact. They enter the row's fp32 sums scaled by both scales. The arithmetic
 * of a row does not depend on the number of rows: up to four share the expansion. */
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

/* d of 8 groups of 32 or (Q6_K) 16 groups of 16; m of 8 groups (Q4_K). */
static inline __attribute__((always_inline)) void scales_256(float *d, float *m, const uint8_t *b, enum prism_type type)
{
    if (type == PRISM_Q4_K) {
        prism_q4_k_scales(d, m, b);
    } else if (type == PRISM_Q6_K) {
        const float super = prism_half_to_f32(prism_load_u16(b + 208));
        for (int i = 0; i < 16; i++)
            d[i] = super * (float)(int8_t)b[192 + i];
    } else {
        for (size_t j = 0; j < 8; j++)
            d[j] = prism_half_to_f32(prism_load_u16(b + j * bytes_of_256(type) / 8));
    }
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

/* Two sums per row: a single chain of additions would be slower than the multiplications. */
struct sums {
    float32x4_t even, odd;
};

/* 256 values of one weight row with those of `rows` (1, 2 or 4: a constant) rows of activations, x_step apart. */
static inline __attribute__((always_inline)) void add_256(struct sums *sum, int rows, const struct x_256 *x, size_t x_step,
                                                          const uint8_t *b, enum prism_type type)
{
    float d[16], m[8], s[4][16];

    scales_256(d, m, b, type);
    for (int r = 0; r < rows; r++) {
        const struct x_256 *xr = x + (size_t)r * x_step;
        for (int g = 0; g < (type == PRISM_Q6_K ? 16 : 8); g++)
            s[r][g] = d[g] * xr->d[type == PRISM_Q6_K ? g / 2 : g];
        for (int g = 0; g < 8 && type == PRISM_Q4_K; g += 4)
            sum[r].even = vfmaq_f32(sum[r].even, vld1q_f32(m + g), vld1q_f32(xr->sum + g));
    }
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
        const int8x16_t w0 = values_16(b, 2 * j, type), w1 = values_16(b, 2 * j + 1, type);
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) {
            const int8_t *high = x[(size_t)r * x_step].high + 32 * j, *low = x[(size_t)r * x_step].low + 32 * j;
            const int32x4_t zero = vdupq_n_s32(0);
            if (type == PRISM_Q6_K) {
                const int32x4_t high0 = vdotq_s32(zero, w0, vld1q_s8(high)), high1 = vdotq_s32(zero, w1, vld1q_s8(high + 16));
                const int32x4_t t0 = vdotq_s32(vshlq_n_s32(high0, 8), w0, vld1q_s8(low));
                const int32x4_t t1 = vdotq_s32(vshlq_n_s32(high1, 8), w1, vld1q_s8(low + 16));
                sum[r].even = vfmaq_n_f32(sum[r].even, vcvtq_f32_s32(t0), s[r][2 * j]);
                sum[r].odd = vfmaq_n_f32(sum[r].odd, vcvtq_f32_s32(t1), s[r][2 * j + 1]);
            } else {
                const int32x4_t both = vdotq_s32(vdotq_s32(zero, w0, vld1q_s8(high)), w1, vld1q_s8(high + 16));
                const int32x4_t t = vdotq_s32(vdotq_s32(vshlq_n_s32(both, 8), w0, vld1q_s8(low)), w1, vld1q_s8(low + 16));
                float32x4_t *to = j % 2 ? &sum[r].odd : &sum[r].even;
                *to = vfmaq_n_f32(*to, vcvtq_f32_s32(t), s[r][j]);
            }
        }
    }
}

/* gemv_dot_fn */
static inline __attribute__((always_inline)) void dot_rows(float *y, size_t ldy, int rows, const char *packed, size_t packed_bytes,
                                                           const uint8_t *w, enum prism_type type, size_t k)
{
    const struct x_256 *x = (const struct x_256 *)(const void *)packed;
    const size_t x_step = packed_bytes / sizeof *x, bytes = bytes_of_256(type);
    struct sums sum[4];
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
        sum[r].even = sum[r].odd = vdupq_n_f32(0);
    for (; k >= 256; k -= 256, x++, w += bytes)
        add_256(sum, rows, x, x_step, w, type);
    if ((type == PRISM_Q8_0 || type == PRISM_Q4_0) && k > 0) { /* blocks that are missing count as zero: their activations have d = 0 */
        uint8_t last[8 * 34] = { 0 };
        memcpy(last, w, k / 32 * bytes / 8);
        add_256(sum, rows, x, x_step, last, type);
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
        y[(size_t)r * ldy] = vaddvq_f32(vaddq_f32(sum[r].even, sum[r].odd));
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
