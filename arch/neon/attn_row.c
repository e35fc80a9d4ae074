/* attn_row.c - attention of a few query rows against a piece of a cache as stored: decode, bound by memory. Contract: struct
 * prism_attn_row of src/kernels.h. Row by row: the piece stays in the cache. Values are added in the order of the keys, blocks of KEYS of
 * them for 64 dims at a time, so that a block of values is read once. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "arch/generic/bits.h"
#include "arch/neon/neon.h"

enum { KEYS = 64 };

typedef float32x4x2_t load8_fn(const void *cache, size_t i); /* values i..i+7 of a cache */

static float32x4x2_t load8_f32(const void *cache, size_t i)
{
    const float *x = (const float *)cache + i;
    return (float32x4x2_t){ { vld1q_f32(x), vld1q_f32(x + 4) } };
}

static float32x4x2_t load8_f16(const void *cache, size_t i)
{
    float16x8_t h = vld1q_f16((const float16_t *)cache + i);
    return (float32x4x2_t){ { vcvt_f32_f16(vget_low_f16(h)), vcvt_high_f32_f16(h) } };
}

static float32x4x2_t load8_bf16(const void *cache, size_t i)
{
    uint16x8_t b = vld1q_u16((const uint16_t *)cache + i);
    return (float32x4x2_t){ { vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(b), 16)), vreinterpretq_f32_u32(vshll_high_n_u16(b, 16)) } };
}

static float32x4x2_t load8_q8_0(const void *cache, size_t i)
{
    const char *block = (const char *)cache + i / 32 * 34;
    const int16x8_t q = vmovl_s8(vld1_s8((const int8_t *)block + 2 + i % 32));
    float16x4_t h = vreinterpret_f16_u16(vdup_n_u16(prism_load_u16((const uint8_t *)block)));
    const float32x4_t scale = vcvt_f32_f16(h);
    return (float32x4x2_t){ { vmulq_f32(scale, vcvtq_f32_s32(vmovl_s16(vget_low_s16(q)))), vmulq_f32(scale, vcvtq_f32_s32(vmovl_high_s16(q))) } };
}

static inline __attribute__((always_inline)) float dot(const float *q, const void *k, size_t first, size_t d, load8_fn *load8)
{
    float32x4_t s0 = vdupq_n_f32(0), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;
    for (; i + 16 <= d; i += 16) {
        float32x4x2_t a = load8(k, first + i), b = load8(k, first + i + 8);
        s0 = vfmaq_f32(s0, vld1q_f32(q + i), a.val[0]);
        s1 = vfmaq_f32(s1, vld1q_f32(q + i + 4), a.val[1]);
        s2 = vfmaq_f32(s2, vld1q_f32(q + i + 8), b.val[0]);
        s3 = vfmaq_f32(s3, vld1q_f32(q + i + 12), b.val[1]);
    }
    if (i < d) {
        float32x4x2_t a = load8(k, first + i);
        s0 = vfmaq_f32(s0, vld1q_f32(q + i), a.val[0]);
        s1 = vfmaq_f32(s1, vld1q_f32(q + i + 4), a.val[1]);
    }
    return vaddvq_f32(vaddq_f32(vaddq_f32(s0, s1), vaddq_f32(s2, s3)));
}

/* scores to 2^(score - largest); returns their sum. */
static float softmax(float *scores, size_t n, float largest)
{
    float32x4_t max = vdupq_n_f32(largest), sum = vdupq_n_f32(0);
    float last[4] = { -INFINITY, -INFINITY, -INFINITY, -INFINITY };
    size_t whole = n / 4 * 4;

    for (size_t i = whole; i < n; i++)
        last[i - whole] = scores[i];
    for (size_t i = 0; i < whole; i += 4) {
        float32x4_t p = prism_exp2_neon(vsubq_f32(vld1q_f32(scores + i), max));
        vst1q_f32(scores + i, p);
        sum = vaddq_f32(sum, p);
    }
    float32x4_t p = prism_exp2_neon(vsubq_f32(vld1q_f32(last), max));
    vst1q_f32(last, p);
    for (size_t i = whole; i < n; i++)
        scores[i] = last[i - whole];
    return vaddvq_f32(vaddq_f32(sum, p));
}

/* o[0..8) += sum of p[j] * row j of n keys, rows d apart, from value `first` of the cache. */
static inline __attribute__((always_inline)) void add_8(float *o, const float *p, const void *v, size_t first, size_t n, size_t d,
                                                        load8_fn *load8)
{
    float32x4_t o0 = vld1q_f32(o), o1 = vld1q_f32(o + 4);
    for (size_t j = 0; j < n; j++) {
        float32x4x2_t a = load8(v, first + j * d);
        o0 = vfmaq_n_f32(o0, a.val[0], p[j]);
        o1 = vfmaq_n_f32(o1, a.val[1], p[j]);
    }
    vst1q_f32(o, o0);
    vst1q_f32(o + 4, o1);
}

#define LOAD_8(i) float32x4_t o##i##0 = vld1q_f32(o + 8 * (i)), o##i##1 = vld1q_f32(o + 8 * (i) + 4);
#define STORE_8(i) vst1q_f32(o + 8 * (i), o##i##0); vst1q_f32(o + 8 * (i) + 4, o##i##1);
#define FMA_8(i)                                         \
    a = load8(v, first + j * d + 8 * (i));               \
    o##i##0 = vfmaq_n_f32(o##i##0, a.val[0], p[j]);      \
    o##i##1 = vfmaq_n_f32(o##i##1, a.val[1], p[j]);

/* The same for 64 dims. */
static inline __attribute__((always_inline)) void add_64(float *o, const float *p, const void *v, size_t first, size_t n, size_t d,
                                                         load8_fn *load8)
{
    LOAD_8(0) LOAD_8(1) LOAD_8(2) LOAD_8(3) LOAD_8(4) LOAD_8(5) LOAD_8(6) LOAD_8(7)
    for (size_t j = 0; j < n; j++) {
        float32x4x2_t a;
        FMA_8(0) FMA_8(1) FMA_8(2) FMA_8(3) FMA_8(4) FMA_8(5) FMA_8(6) FMA_8(7)
    }
    STORE_8(0) STORE_8(1) STORE_8(2) STORE_8(3) STORE_8(4) STORE_8(5) STORE_8(6) STORE_8(7)
}

/* Logits of one row and keys i .. n - 1. */
static inline __attribute__((always_inline)) void logits(const struct prism_attn_row *a, size_t r, size_t i, size_t n, load8_fn *load8)
{
    float *scores = a->scores + r * PRISM_ATTN_ROW_KEYS;

    for (size_t j = i; j < n; j++) {
        scores[j] = a->scale * 1.44269504f * dot(a->q + r * a->d, a->k, j * a->d, a->d, load8); /* log2(e) */
        scores[j] += 0 * scores[j]; /* infinity to NaN: -infinity would have no weight */
    }
}

/* The cap of n logits. */
static void cap_logits(float *scores, size_t n, float softcap)
{
    const float cap = softcap * 1.44269504f; /* log2(e) */
    for (size_t i = 0; i < n; i += 4) {
        float last[4] = { 0 }, *s = n - i < 4 ? memcpy(last, scores + i, (n - i) * sizeof *last) : scores + i;
        vst1q_f32(s, vmulq_n_f32(prism_tanh_neon(vmulq_n_f32(vld1q_f32(s), 1 / cap)), cap));
        if (n - i < 4)
            memcpy(scores + i, last, (n - i) * sizeof *last);
    }
}

static inline __attribute__((always_inline)) void add_values(const struct prism_attn_row *a, size_t r, size_t i, size_t n, load8_fn *load8)
{
    const size_t d = a->d;
    const float *p = a->scores + r * PRISM_ATTN_ROW_KEYS;
    float *o = a->o + r * d;

    for (size_t j = i; j < n; j += KEYS) {
        size_t keys = n - j < KEYS ? n - j : KEYS, c = 0;
        for (; c + 64 <= d; c += 64)
            add_64(o + c, p + j, a->v, j * d + c, keys, d, load8);
        for (; c < d; c += 8)
            add_8(o + c, p + j, a->v, j * d + c, keys, d, load8);
    }
}

typedef void pass_fn(const struct prism_attn_row *a, size_t r, size_t i, size_t n);

static void logits_f32(const struct prism_attn_row *a, size_t r, size_t i, size_t n) { logits(a, r, i, n, load8_f32); }
static void logits_f16(const struct prism_attn_row *a, size_t r, size_t i, size_t n) { logits(a, r, i, n, load8_f16); }
static void logits_bf16(const struct prism_attn_row *a, size_t r, size_t i, size_t n) { logits(a, r, i, n, load8_bf16); }
static void logits_q8_0(const struct prism_attn_row *a, size_t r, size_t i, size_t n) { logits(a, r, i, n, load8_q8_0); }
static void add_values_f32(const struct prism_attn_row *a, size_t r, size_t i, size_t n) { add_values(a, r, i, n, load8_f32); }
static void add_values_f16(const struct prism_attn_row *a, size_t r, size_t i, size_t n) { add_values(a, r, i, n, load8_f16); }
static void add_values_bf16(const struct prism_attn_row *a, size_t r, size_t i, size_t n) { add_values(a, r, i, n, load8_bf16); }
static void add_values_q8_0(const struct prism_attn_row *a, size_t r, size_t i, size_t n) { add_values(a, r, i, n, load8_q8_0); }

/* One row, which sees keys i .. n - 1, one at least. */
static void attend_row(const struct prism_attn_row *a, size_t r, size_t i, size_t n)
{
    static pass_fn *const logits_of[PRISM_N_KV_FORMATS] = {
        [PRISM_KVF_F16] = logits_f16, [PRISM_KVF_BF16] = logits_bf16, [PRISM_KVF_F32] = logits_f32, [PRISM_KVF_Q8_0] = logits_q8_0,
    };
    static pass_fn *const add_values_of[PRISM_N_KV_FORMATS] = {
        [PRISM_KVF_F16] = add_values_f16, [PRISM_KVF_BF16] = add_values_bf16, [PRISM_KVF_F32] = add_values_f32,
        [PRISM_KVF_Q8_0] = add_values_q8_0,
    };
    float *scores = a->scores + r * PRISM_ATTN_ROW_KEYS, *o = a->o + r * a->d;

    logits_of[a->k_format](a, r, i, n);
    if (a->softcap > 0)
        cap_logits(scores + i, n - i, a->softcap);
    const float here = prism_max_neon(scores + i, n - i), max = here > a->max[r] ? here : a->max[r];
    const float old = vgetq_lane_f32(prism_exp2_neon(vdupq_n_f32(a->max[r] - max)), 0);
    a->sum[r] = a->sum[r] * old + softmax(scores + i, n - i, max);
    a->max[r] = max;
    for (size_t c = 0; c < a->d; c++)
        o[c] *= old;
    add_values_of[a->v_format](a, r, i, n);
}

void prism_attn_row_f32_neon(const struct prism_attn_row *a)
{
    assert(a->n_q >= 1 && a->n_q <= PRISM_ATTN_ROW_Q && a->n_keys >= 1 && a->n_keys <= PRISM_ATTN_ROW_KEYS);
    assert(a->d % 8 == 0 && a->d >= 8 && a->d <= PRISM_MAX_HEAD_DIM);
    assert(a->d % 32 == 0 || (a->k_format != PRISM_KVF_Q8_0 && a->v_format != PRISM_KVF_Q8_0));
    for (size_t r = 0; r < a->n_q; r++) {
        const size_t from = a->from ? a->from[r] : 0;
        if (from < a->seen[r])
            attend_row(a, r, from, a->seen[r]);
    }
}
