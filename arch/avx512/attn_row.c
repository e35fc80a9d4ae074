/* attn_row.c - attention of one query row against a cache as stored: decode. Contract: prism_attn_row_fn of src/kernels.h.
 * Three passes: logits (in powers of two) four keys at a time, probabilities, weighted sum of the values by 128 dimensions. Bound
 * by memory for long caches; sums in fp32, in an order that depends on d and kv_len only. */
#include <assert.h>
#include <math.h>

#include "arch/avx512/avx512.h"
#include "arch/avx512/vec.h"

/* Element i of a cache of `format`, a constant at every call. */
PRISM_INLINE const char *element(const void *cache, size_t i, enum prism_kv_format format)
{
    return (const char *)cache + i * (format == PRISM_KVF_F32 ? 4 : 2);
}

/* Elements i .. of a cache, n of them. */
PRISM_INLINE __m512 load_part(const void *cache, size_t i, enum prism_kv_format format, size_t n)
{
    return vec_load_stored(element(cache, i, format), format, n);
}

/* scores[i] = factor * q.k[i]. A last group of fewer than four keys repeats the last key. */
PRISM_INLINE void logits(float *scores, const float *q, const void *k, enum prism_kv_format format, size_t n, size_t d, float factor)
{
    for (size_t i = 0; i < n; i += 4) {
        const size_t i1 = i + 1 < n ? i + 1 : n - 1, i2 = i + 2 < n ? i + 2 : n - 1, i3 = i + 3 < n ? i + 3 : n - 1;
        __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
        vec_fetch_ahead(element(k, i * d, format), 4 * d * (format == PRISM_KVF_F32 ? 4 : 2));
        for (size_t j = 0; j < d; j += 16) {
            const size_t in = d - j < 16 ? d - j : 16;
            const __m512 x = _mm512_maskz_loadu_ps(vec_mask(in), q + j);
            s0 = _mm512_fmadd_ps(x, load_part(k, i * d + j, format, in), s0);
            s1 = _mm512_fmadd_ps(x, load_part(k, i1 * d + j, format, in), s1);
            s2 = _mm512_fmadd_ps(x, load_part(k, i2 * d + j, format, in), s2);
            s3 = _mm512_fmadd_ps(x, load_part(k, i3 * d + j, format, in), s3);
        }
        scores[i] = factor * _mm512_reduce_add_ps(s0);
        scores[i1] = factor * _mm512_reduce_add_ps(s1);
        scores[i2] = factor * _mm512_reduce_add_ps(s2);
        scores[i3] = factor * _mm512_reduce_add_ps(s3);
    }
}

/* Logits to 2^(logit - maximum) in place; returns their sum. */
static float probabilities(float *scores, size_t n)
{
    const __m512 minus_inf = _mm512_set1_ps(-INFINITY);
    const __m512 max = _mm512_set1_ps(vec_max_of(scores, n));
    __m512 sum = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 in = vec_mask(n - i);
        const __m512 p = vec_exp2_neg(_mm512_sub_ps(_mm512_mask_loadu_ps(minus_inf, in, scores + i), max));
        _mm512_mask_storeu_ps(scores + i, in, p);
        sum = _mm512_add_ps(sum, p);
    }
    return _mm512_reduce_add_ps(sum);
}

/* o[0 .. n_dims) = factor * sum of p[i] * v[i][0 ..); v: rows of d values, first element at `at`. vectors: 8, 4, or 1, which
 * may be a part of one. */
PRISM_INLINE void weighted_sum(float *o, const float *p, const void *v, size_t at, enum prism_kv_format format, size_t n, size_t d,
                               int vectors, size_t n_dims, float factor)
{
    __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
    const size_t first = vectors == 1 ? n_dims : 16;
    for (size_t i = 0; i < n; i++, at += d) {
        const __m512 x = _mm512_set1_ps(p[i]);
        vec_fetch_ahead(element(v, at, format), (vectors == 1 ? 16 : 16 * (size_t)vectors) * (format == PRISM_KVF_F32 ? 4 : 2));
        s0 = _mm512_fmadd_ps(x, load_part(v, at, format, first), s0);
        if (vectors >= 4) {
            s1 = _mm512_fmadd_ps(x, load_part(v, at + 16, format, 16), s1);
            s2 = _mm512_fmadd_ps(x, load_part(v, at + 32, format, 16), s2);
            s3 = _mm512_fmadd_ps(x, load_part(v, at + 48, format, 16), s3);
        }
        if (vectors == 8) {
            s4 = _mm512_fmadd_ps(x, load_part(v, at + 64, format, 16), s4);
            s5 = _mm512_fmadd_ps(x, load_part(v, at + 80, format, 16), s5);
            s6 = _mm512_fmadd_ps(x, load_part(v, at + 96, format, 16), s6);
            s7 = _mm512_fmadd_ps(x, load_part(v, at + 112, format, 16), s7);
        }
    }
    const __m512 f = _mm512_set1_ps(factor), sums[8] = { s0, s1, s2, s3, s4, s5, s6, s7 };
    for (int j = 0; j < vectors; j++)
        _mm512_mask_storeu_ps(o + 16 * j, vec_mask(n_dims - 16 * (size_t)j), _mm512_mul_ps(f, sums[j]));
}

PRISM_INLINE void attend(float *o, const float *q, const void *k, const void *v, enum prism_kv_format format, size_t n, size_t d,
                         float scale, float *scores)
{
    logits(scores, q, k, format, n, d, scale * 0x1.715476p0f); /* log2(e) */
    const float inverse = 1.0f / probabilities(scores, n);
    size_t j = 0;
    for (; j + 128 <= d; j += 128)
        weighted_sum(o + j, scores, v, j, format, n, d, 8, 128, inverse);
    for (; j + 64 <= d; j += 64)
        weighted_sum(o + j, scores, v, j, format, n, d, 4, 64, inverse);
    for (; j < d; j += 16)
        weighted_sum(o + j, scores, v, j, format, n, d, 1, d - j < 16 ? d - j : 16, inverse);
}

void prism_attn_row_f32_avx512(float *o, const float *q, const void *k, const void *v, enum prism_kv_format format, size_t kv_len,
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
