/* attn_row.c - attention of one query row against a cache as stored: decode, bound by memory. Contract: prism_attn_row_fn of
 * src/kernels.h. Values are added in the order of the keys, blocks of KEYS of them for 64 dims at a time, so that a block of
 * rows is read from memory once. */
#include <assert.h>
#include <math.h>

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

/* scores (in units of log2) to probabilities times their sum, which is returned. */
static float softmax(float *scores, size_t n)
{
    float32x4_t max = vdupq_n_f32(prism_max_neon(scores, n)), sum = vdupq_n_f32(0);
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

struct row_args {
    float *o;
    const float *q;
    const void *k, *v;
    size_t kv_len, d;
    float scale, *scores;
};

static inline __attribute__((always_inline)) void attend(const struct row_args *a, load8_fn *load8)
{
    size_t d = a->d;

    for (size_t j = 0; j < a->kv_len; j++)
        a->scores[j] = a->scale * 1.44269504f * dot(a->q, a->k, j * d, d, load8);
    float sum = softmax(a->scores, a->kv_len);
    for (size_t c = 0; c < d; c++)
        a->o[c] = 0;
    for (size_t j = 0; j < a->kv_len; j += KEYS) {
        size_t n = a->kv_len - j < KEYS ? a->kv_len - j : KEYS, c = 0;
        for (; c + 64 <= d; c += 64)
            add_64(a->o + c, a->scores + j, a->v, j * d + c, n, d, load8);
        for (; c < d; c += 8)
            add_8(a->o + c, a->scores + j, a->v, j * d + c, n, d, load8);
    }
    for (size_t c = 0; c < d; c++)
        a->o[c] /= sum;
}

static void attend_f32(const struct row_args *a) { attend(a, load8_f32); }
static void attend_f16(const struct row_args *a) { attend(a, load8_f16); }
static void attend_bf16(const struct row_args *a) { attend(a, load8_bf16); }

void prism_attn_row_f32_neon(float *o, const float *q, const void *k, const void *v, enum prism_kv_format format, size_t kv_len,
                             size_t d, float scale, float *scores)
{
    static void (*const by_format[])(const struct row_args *) = {
        [PRISM_KVF_F16] = attend_f16, [PRISM_KVF_BF16] = attend_bf16, [PRISM_KVF_F32] = attend_f32,
    };
    struct row_args a = { .o = o, .q = q, .k = k, .v = v, .kv_len = kv_len, .d = d, .scale = scale, .scores = scores };

    assert(kv_len >= 1 && d % 8 == 0 && d >= 8 && d <= PRISM_MAX_HEAD_DIM);
    by_format[format](&a);
}
