/* pack_i16.c - queries, keys and values to the bytes of attention_i16.h. */
#include "arch/neon_i8mm_bf16/attention_i16.h"

static void load_row(float *x, const void *src, enum prism_kv_format format, size_t row, size_t d)
{
    prism_kernels_neon.to_f32[prism_kv_stored(format)](x, (const char *)src + row * prism_kv_row_bytes(format, d), d);
}

static inline int16x8_t to_integers(const float *x, float32x4_t factor0, float32x4_t factor1)
{
    const int32x4_t a = vcvtnq_s32_f32(vmulq_f32(vld1q_f32(x), factor0)), b = vcvtnq_s32_f32(vmulq_f32(vld1q_f32(x + 4), factor1));
    return vcombine_s16(vmovn_s32(a), vmovn_s32(b));
}

float prism_quantize_i16_neon_i8mm_bf16(int8_t *panel, size_t i, const float *x, size_t d)
{
    float32x4_t square0 = vdupq_n_f32(0), square1 = square0;
    float step;
    for (size_t c = 0; c < d; c += 8) {
        square0 = vfmaq_f32(square0, vld1q_f32(x + c), vld1q_f32(x + c));
        square1 = vfmaq_f32(square1, vld1q_f32(x + c + 4), vld1q_f32(x + c + 4));
    }
    const float32x4_t factor = vdupq_n_f32(norm_factor(vaddvq_f32(vaddq_f32(square0, square1)), &step) * (32639.0f / NORM));
    for (size_t c = 0; c < d; c += 8) {
        const int16x8_t q = to_integers(x + c, factor, factor);
        vst1_s8(panel + c / 8 * STEP + 8 * i, vrshrn_n_s16(q, 8));
        vst1_s8(panel + c / 8 * STEP + 64 + 8 * i, vmovn_s16(q));
    }
    return step * (NORM / 32639.0f);
}

void prism_pack_k_i16_neon_i8mm_bf16(void *dst, const void *src, enum prism_kv_format format, size_t n, size_t d, size_t block)
{
    float x[PRISM_MAX_HEAD_DIM], *step = (float *)(void *)((char *)dst + block * d * 2);

    assert((uintptr_t)dst % 64 == 0 && n <= block && d % 8 == 0 && d <= PRISM_MAX_HEAD_DIM);
    if (n < block)
        memset(dst, 0, k_block_bytes(d, block));
    for (size_t key = 0; key < n; key++) {
        load_row(x, src, format, key, d);
        step[key] = prism_quantize_i16_neon_i8mm_bf16((int8_t *)dst + key / 8 * d * 16, key % 8, x, d);
    }
    spread_nan(step, n, block);
}

/* Steps of four columns of n keys; returns the factors. */
static float32x4_t column_steps(float *step, const float *x, size_t n)
{
    float32x4_t max = vdupq_n_f32(0);
    for (size_t key = 0; key < n; key++)
        max = vmaxq_f32(max, vabsq_f32(vld1q_f32(x + key * PRISM_MAX_HEAD_DIM))); /* a NaN stays */
    const uint32x4_t small = vcltq_f32(max, vdupq_n_f32(LEAST_V)), finite = vcltq_f32(max, vdupq_n_f32(INFINITY));
    const float32x4_t top = vdupq_n_f32(V_MAX), zero = vdupq_n_f32(0);
    vst1q_f32(step, vbslq_f32(finite, vbslq_f32(small, zero, vdivq_f32(max, top)), vdupq_n_f32(NAN)));
    return vbslq_f32(vbicq_u32(finite, small), vdivq_f32(top, max), zero);
}

void prism_pack_v_i16_neon_i8mm_bf16(void *dst, const void *src, enum prism_kv_format format, size_t n, size_t d, size_t block)
{
    const size_t chunk = chunk_keys(block);
    float x[CHUNK][PRISM_MAX_HEAD_DIM], *step = (float *)(void *)((char *)dst + block * d * 2);
    int8_t high[8][8], low[8][8];

    assert((uintptr_t)dst % 64 == 0 && n <= block && d % 8 == 0 && d <= PRISM_MAX_HEAD_DIM);
    memset(dst, 0, v_block_bytes(d, block));
    for (size_t first = 0; first < n; first += chunk, step += d) {
        const size_t keys = n - first < chunk ? n - first : chunk;
        for (size_t j = 0; j < keys; j++)
            load_row(x[j], src, format, first + j, d);
        memset(x[keys], 0, ((keys + 7) / 8 * 8 - keys) * sizeof *x);
        for (size_t c = 0; c < d; c += 8) {
            const float32x4_t factor0 = column_steps(step + c, x[0] + c, keys), factor1 = column_steps(step + c + 4, x[0] + c + 4, keys);
            int8_t *out = (int8_t *)dst + (c * block + first * 8) * 2;
            for (size_t j = 0; j < keys; j += 8, out += STEP) {
                for (size_t i = 0; i < 8; i++) {
                    const int16x8_t q = to_integers(x[j + i] + c, factor0, factor1);
                    vst1_s8(high[i], vrshrn_n_s16(q, 8));
                    vst1_s8(low[i], vmovn_s16(q));
                }
                for (size_t i = 0; i < 64; i++) {
                    out[i] = high[i % 8][i / 8];
                    out[64 + i] = low[i % 8][i / 8];
                }
            }
        }
    }
}
