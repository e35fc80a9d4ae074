/* attn_row.c - attention of one query row against a cache as stored: decode. Contract: prism_attn_row_fn of src/kernels.h.
 * Three passes: logits (in powers of two) four keys at a time, probabilities, weighted sum of the values by 64 dimensions.
 * Bound by memory for long caches; sums in fp32, in an order that depends on d and kv_len only. */
#include "arch/avx2/avx2.h"

#include <assert.h>

#include "arch/avx2/vec.h"

/* 8 values at element i of a cache of `format`, a constant at every call. */
PRISM_INLINE __m256 load_8(const void *cache, size_t i, enum prism_kv_format format)
{
    if (format == PRISM_KVF_F32)
        return _mm256_loadu_ps((const float *)cache + i);
    const uint16_t *p = (const uint16_t *)cache + i;
    return format == PRISM_KVF_F16 ? vec_load_f16(p) : vec_load_bf16(p);
}

/* scores[i] = factor * q.k[i]. A last group of fewer than four keys repeats the last key. */
PRISM_INLINE void logits(float *scores, const float *q, const void *k, enum prism_kv_format format, size_t n, size_t d,
                         float factor)
{
    for (size_t i = 0; i < n; i += 4) {
        const size_t i1 = i + 1 < n ? i + 1 : n - 1, i2 = i + 2 < n ? i + 2 : n - 1, i3 = i + 3 < n ? i + 3 : n - 1;
        __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
        for (size_t j = 0; j < d; j += 8) {
            const __m256 x = _mm256_loadu_ps(q + j);
            s0 = _mm256_fmadd_ps(x, load_8(k, i * d + j, format), s0);
            s1 = _mm256_fmadd_ps(x, load_8(k, i1 * d + j, format), s1);
            s2 = _mm256_fmadd_ps(x, load_8(k, i2 * d + j, format), s2);
            s3 = _mm256_fmadd_ps(x, load_8(k, i3 * d + j, format), s3);
        }
        const __m128 s = _mm_mul_ps(_mm_set1_ps(factor), vec_sum_4(s0, s1, s2, s3));
        const size_t left = n - i < 4 ? n - i : 4;
        _mm_maskstore_ps(scores + i, _mm256_castsi256_si128(vec_mask(left)), s);
    }
}

/* Logits to 2^(logit - maximum) in place; returns their sum. */
static float probabilities(float *scores, size_t n)
{
    const __m256 in_tail = _mm256_castsi256_ps(vec_mask(n % 8)), max = _mm256_set1_ps(vec_max_of(scores, n));
    const size_t whole = n - n % 8;
    __m256 sum = _mm256_setzero_ps();
    for (size_t i = 0; i < whole; i += 8) {
        __m256 p = vec_exp2_neg(_mm256_sub_ps(_mm256_loadu_ps(scores + i), max));
        _mm256_storeu_ps(scores + i, p);
        sum = _mm256_add_ps(sum, p);
    }
    __m256 p = _mm256_and_ps(in_tail, vec_exp2_neg(_mm256_sub_ps(vec_load_n(scores + whole, n % 8), max)));
    vec_store_n(scores + whole, p, n % 8);
    return vec_sum(_mm256_add_ps(sum, p));
}

/* o[0 .. 8 * vectors) = factor * sum of p[i] * v[i][0 ..); v rows of d values, first element at `at`. vectors: 8 or 1. */
PRISM_INLINE void weighted_sum(float *o, const float *p, const void *v, size_t at, enum prism_kv_format format, size_t n,
                               size_t d, int vectors, float factor)
{
    __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
    for (size_t i = 0; i < n; i++, at += d) {
        const __m256 x = _mm256_broadcast_ss(p + i);
        s0 = _mm256_fmadd_ps(x, load_8(v, at, format), s0);
        if (vectors == 8) {
            s1 = _mm256_fmadd_ps(x, load_8(v, at + 8, format), s1);
            s2 = _mm256_fmadd_ps(x, load_8(v, at + 16, format), s2);
            s3 = _mm256_fmadd_ps(x, load_8(v, at + 24, format), s3);
            s4 = _mm256_fmadd_ps(x, load_8(v, at + 32, format), s4);
            s5 = _mm256_fmadd_ps(x, load_8(v, at + 40, format), s5);
            s6 = _mm256_fmadd_ps(x, load_8(v, at + 48, format), s6);
            s7 = _mm256_fmadd_ps(x, load_8(v, at + 56, format), s7);
        }
    }
    const __m256 f = _mm256_set1_ps(factor), sums[8] = {s0, s1, s2, s3, s4, s5, s6, s7};
    for (int j = 0; j < vectors; j++)
        _mm256_storeu_ps(o + 8 * j, _mm256_mul_ps(f, sums[j]));
}

PRISM_INLINE void attend(float *o, const float *q, const void *k, const void *v, enum prism_kv_format format, size_t n, size_t d,
                         float scale, float *scores)
{
    logits(scores, q, k, format, n, d, scale * 0x1.715476p0f); /* log2(e) */
    const float inverse = 1.0f / probabilities(scores, n);
    size_t j = 0;
    for (; j + 64 <= d; j += 64)
        weighted_sum(o + j, scores, v, j, format, n, d, 8, inverse);
    for (; j < d; j += 8)
        weighted_sum(o + j, scores, v, j, format, n, d, 1, inverse);
}

void prism_attn_row_f32_avx2(float *o, const float *q, const void *k, const void *v, enum prism_kv_format format, size_t kv_len,
                             size_t d, float scale, float *scores)
{
    assert(kv_len >= 1 && d % 8 == 0 && d <= PRISM_MAX_HEAD_DIM);
    switch (format) {
    case PRISM_KVF_F16:
        attend(o, q, k, v, PRISM_KVF_F16, kv_len, d, scale, scores);
        break;
    case PRISM_KVF_BF16:
        attend(o, q, k, v, PRISM_KVF_BF16, kv_len, d, scale, scores);
        break;
    case PRISM_KVF_F32:
        attend(o, q, k, v, PRISM_KVF_F32, kv_len, d, scale, scores);
        break;
    }
}
